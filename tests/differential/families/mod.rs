//! The tables of commands, one file a family. A new command is a line in its family's table.

mod acl;
mod bitmaps;
mod cluster;
mod connection;
mod fields;
mod geo;
mod hashes;
mod hyperloglog;
mod keys;
mod libraries;
mod lists;
mod players;
mod pubsub;
mod server;
mod sets;
mod sort;
mod streams;
mod strings;
mod tracking;
mod transactions;
mod zsets;

use crate::grammar::Family;

/// The families of all roles.
pub(crate) const ALL: &[&[Family]] = &[
    FAMILIES,
    NEWER_FAMILIES,
    SUBSCRIBERS,
    PUBLISHERS,
    WAITERS,
    WAKERS,
    PLAYERS,
    LAPSES,
];

/// All families, with how often each is chosen.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "strings",
        prefix: 's',
        weight: 20,
        commands: strings::COMMANDS,
    },
    Family {
        name: "bitmaps",
        prefix: 's',
        weight: 10,
        commands: bitmaps::COMMANDS,
    },
    Family {
        name: "geo",
        prefix: 'g',
        weight: 10,
        commands: geo::COMMANDS,
    },
    Family {
        name: "hyperloglog",
        prefix: 'p',
        weight: 8,
        commands: hyperloglog::COMMANDS,
    },
    Family {
        name: "lists",
        prefix: 'l',
        weight: 20,
        commands: lists::COMMANDS,
    },
    Family {
        name: "hashes",
        prefix: 'h',
        weight: 20,
        commands: hashes::COMMANDS,
    },
    Family {
        name: "sets",
        prefix: 't',
        weight: 20,
        commands: sets::COMMANDS,
    },
    Family {
        name: "zsets",
        prefix: 'z',
        weight: 26,
        commands: zsets::COMMANDS,
    },
    Family {
        name: "streams",
        prefix: 'r',
        weight: 26,
        commands: streams::COMMANDS,
    },
    Family {
        name: "keys",
        prefix: crate::pool::ANY,
        weight: 22,
        commands: keys::COMMANDS,
    },
    Family {
        name: "sort",
        prefix: 'l',
        weight: 8,
        commands: sort::COMMANDS,
    },
    Family {
        name: "transactions",
        prefix: crate::pool::ANY,
        weight: 8,
        commands: transactions::COMMANDS,
    },
    Family {
        name: "connection",
        prefix: crate::pool::ANY,
        weight: 4,
        commands: connection::COMMANDS,
    },
    Family {
        name: "server",
        prefix: crate::pool::ANY,
        weight: 8,
        commands: server::COMMANDS,
    },
    Family {
        name: "pubsub",
        prefix: crate::pool::ANY,
        weight: 2,
        commands: pubsub::INTROSPECTION,
    },
    Family {
        name: "acl",
        prefix: crate::pool::ANY,
        weight: 5,
        commands: acl::COMMANDS,
    },
    Family {
        name: "cluster",
        prefix: crate::pool::ANY,
        weight: 1,
        commands: cluster::COMMANDS,
    },
    Family {
        name: "libraries",
        prefix: crate::pool::ANY,
        weight: 5,
        commands: libraries::COMMANDS,
    },
    Family {
        name: "moving",
        prefix: crate::pool::ANY,
        weight: 4,
        commands: server::MOVING,
    },
    Family {
        name: "dumps",
        prefix: crate::pool::ANY,
        weight: 6,
        commands: keys::DUMPS,
    },
];

/// What only a newer server knows, and what has to do with it.
pub(crate) const NEWER_FAMILIES: &[Family] = &[
    Family {
        name: "fields",
        prefix: 'h',
        weight: 3,
        commands: fields::COMMANDS,
    },
    Family {
        name: "streams",
        prefix: 'r',
        weight: 1,
        commands: streams::NEWER,
    },
    Family {
        name: "bitmaps",
        prefix: 's',
        weight: 1,
        commands: bitmaps::NEWER,
    },
    Family {
        name: "zsets",
        prefix: 'z',
        weight: 1,
        commands: zsets::NEWER,
    },
    Family {
        name: "cluster",
        prefix: crate::pool::ANY,
        weight: 1,
        commands: cluster::NEWER,
    },
    Family {
        name: "connection",
        prefix: crate::pool::ANY,
        weight: 1,
        commands: connection::NEWER,
    },
];

/// What the subscribing connections do.
pub(crate) const SUBSCRIBERS: &[Family] = &[
    Family {
        name: "pubsub",
        prefix: crate::pool::ANY,
        weight: 1,
        commands: pubsub::SUBSCRIPTIONS,
    },
    Family {
        name: "tracking",
        prefix: crate::pool::ANY,
        weight: 1,
        commands: tracking::COMMANDS,
    },
];

/// What is published to them.
pub(crate) const PUBLISHERS: &[Family] = &[Family {
    name: "pubsub",
    prefix: crate::pool::ANY,
    weight: 1,
    commands: pubsub::PUBLICATIONS,
}];

/// Commands that wait for an element, as long as it takes.
pub(crate) const WAITERS: &[Family] = &[
    Family {
        name: "lists",
        prefix: 'l',
        weight: 3,
        commands: lists::WAITERS,
    },
    Family {
        name: "zsets",
        prefix: 'z',
        weight: 1,
        commands: zsets::WAITERS,
    },
    Family {
        name: "streams",
        prefix: 'r',
        weight: 2,
        commands: streams::WAITERS,
    },
];

/// Commands that may bring what a waiter waits for.
pub(crate) const WAKERS: &[Family] = &[
    Family {
        name: "lists",
        prefix: 'l',
        weight: 3,
        commands: lists::WAKERS,
    },
    Family {
        name: "zsets",
        prefix: 'z',
        weight: 1,
        commands: zsets::WAKERS,
    },
    Family {
        name: "streams",
        prefix: 'r',
        weight: 2,
        commands: streams::WAKERS,
    },
    Family {
        name: "sort",
        prefix: 'l',
        weight: 1,
        commands: sort::WAKERS,
    },
    Family {
        name: "keys",
        prefix: crate::pool::ANY,
        weight: 1,
        commands: keys::WAKERS,
    },
];

/// What the clients of a play do: wait, wake, and meddle with each other.
pub(crate) const PLAYERS: &[Family] = &[
    Family {
        name: "players",
        prefix: 'l',
        weight: 4,
        commands: players::MEDDLING,
    },
    Family {
        name: "lists",
        prefix: 'l',
        weight: 3,
        commands: lists::WAITERS,
    },
    Family {
        name: "zsets",
        prefix: 'z',
        weight: 2,
        commands: zsets::WAITERS,
    },
    Family {
        name: "lists",
        prefix: 'l',
        weight: 3,
        commands: lists::WAKERS,
    },
    Family {
        name: "zsets",
        prefix: 'z',
        weight: 2,
        commands: zsets::WAKERS,
    },
];

/// What lets keys run out soon.
pub(crate) const LAPSES: &[Family] = &[Family {
    name: "keys",
    prefix: crate::pool::ANY,
    weight: 1,
    commands: keys::LAPSES,
}];
