//! Publish and subscribe. A session keeps the names it is subscribed to, [`Channels`](crate::services::Channels) who
//! listens to a name; messages travel through the mailboxes of the clients, never through a reply.

use std::sync::atomic::Ordering;

use super::help::{self, container, wrong_subcommand};
use super::spec::{CommandSpec, Flags, key_range, one_key};
use super::{CommandResult, Context, Outcome};
use crate::services::channels::Kind;
use crate::services::subscriptions::Subscriptions;
use crate::services::{ClientFlags, Services, SessionState};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "pattern:block*{pattern:pattern}",
        acl: "pubsub slow",
        group: "pubsub",
        since: "2.0.0",
        summary: "Listen for messages published to channels matching the given patterns",
        complexity: "O(N) where N is the number of patterns the client is already subscribed to.",
        ..CommandSpec::new(
            "psubscribe",
            -2,
            Flags::PUBSUB
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE),
            psubscribe,
        )
    },
    CommandSpec {
        arguments: "channel:string message:string",
        acl: "pubsub fast",
        group: "pubsub",
        since: "2.0.0",
        summary: "Post a message to a channel",
        complexity: "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of subscribed patterns (by any client).",
        ..CommandSpec::new(
            "publish",
            3,
            Flags::PUBSUB
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::MAY_REPLICATE),
            publish,
        )
    },
    CommandSpec {
        acl: "slow",
        group: "pubsub",
        since: "2.8.0",
        summary: "A container for Pub/Sub commands",
        complexity: "Depends on subcommand.",
        subcommands: &[
            CommandSpec {
                arguments: "pattern:pattern?",
                acl: "pubsub slow",
                group: "pubsub",
                since: "2.8.0",
                summary: "List active channels",
                complexity: "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively short channels and patterns)",
                ..CommandSpec::new(
                    "channels",
                    -2,
                    Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE),
                    pubsub_channels,
                )
            },
            CommandSpec {
                acl: "slow",
                group: "pubsub",
                since: "6.2.0",
                summary: "Show helpful text about the different subcommands",
                complexity: "O(1)",
                ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), pubsub_help)
            },
            CommandSpec {
                acl: "pubsub slow",
                group: "pubsub",
                since: "2.8.0",
                summary: "Get the count of unique patterns pattern subscriptions",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "numpat",
                    2,
                    Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE),
                    pubsub_numpat,
                )
            },
            CommandSpec {
                arguments: "channel:string?*",
                acl: "pubsub slow",
                group: "pubsub",
                since: "2.8.0",
                summary: "Get the count of subscribers for channels",
                complexity: "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
                ..CommandSpec::new(
                    "numsub",
                    -2,
                    Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE),
                    pubsub_numsub,
                )
            },
            CommandSpec {
                arguments: "pattern:pattern?",
                acl: "pubsub slow",
                group: "pubsub",
                since: "7.0.0",
                summary: "List active shard channels",
                complexity: "O(N) where N is the number of active shard channels, and assuming constant time pattern matching (relatively short shard channels).",
                ..CommandSpec::new(
                    "shardchannels",
                    -2,
                    Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE),
                    pubsub_shardchannels,
                )
            },
            CommandSpec {
                arguments: "shardchannel:string?*",
                acl: "pubsub slow",
                group: "pubsub",
                since: "7.0.0",
                summary: "Get the count of subscribers for shard channels",
                complexity: "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
                ..CommandSpec::new(
                    "shardnumsub",
                    -2,
                    Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE),
                    pubsub_shardnumsub,
                )
            },
        ],
        ..CommandSpec::new("pubsub", -2, Flags::NONE, container)
    },
    CommandSpec {
        arguments: "pattern:pattern?*",
        acl: "pubsub slow",
        group: "pubsub",
        since: "2.0.0",
        summary: "Stop listening for messages posted to channels matching the given patterns",
        complexity: "O(N+M) where N is the number of patterns the client is already subscribed and M is the number of total patterns subscribed in the system (by any client).",
        ..CommandSpec::new(
            "punsubscribe",
            -1,
            Flags::PUBSUB
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE),
            punsubscribe,
        )
    },
    CommandSpec {
        arguments: "shardchannel:string message:string",
        acl: "pubsub fast",
        keys: &[one_key("not_key")],
        group: "pubsub",
        since: "7.0.0",
        summary: "Post a message to a shard channel",
        complexity: "O(N) where N is the number of clients subscribed to the receiving shard channel.",
        ..CommandSpec::new(
            "spublish",
            3,
            Flags::PUBSUB
                .and(Flags::LOADING)
                .and(Flags::STALE)
                .and(Flags::FAST)
                .and(Flags::MAY_REPLICATE),
            spublish,
        )
    },
    CommandSpec {
        arguments: "shardchannel:string*",
        acl: "pubsub slow",
        keys: &[key_range("not_key", 1, -1, 1)],
        group: "pubsub",
        since: "7.0.0",
        summary: "Listen for messages published to the given shard channels",
        complexity: "O(N) where N is the number of shard channels to subscribe to.",
        ..CommandSpec::new(
            "ssubscribe",
            -2,
            Flags::PUBSUB
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE),
            ssubscribe,
        )
    },
    CommandSpec {
        arguments: "channel:string*",
        acl: "pubsub slow",
        group: "pubsub",
        since: "2.0.0",
        summary: "Listen for messages published to the given channels",
        complexity: "O(N) where N is the number of channels to subscribe to.",
        ..CommandSpec::new(
            "subscribe",
            -2,
            Flags::PUBSUB
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE),
            subscribe,
        )
    },
    CommandSpec {
        arguments: "shardchannel:string?*",
        acl: "pubsub slow",
        keys: &[key_range("not_key", 1, -1, 1)],
        group: "pubsub",
        since: "7.0.0",
        summary: "Stop listening for messages posted to the given shard channels",
        complexity: "O(N) where N is the number of clients already subscribed to a shard channel.",
        ..CommandSpec::new(
            "sunsubscribe",
            -1,
            Flags::PUBSUB
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE),
            sunsubscribe,
        )
    },
    CommandSpec {
        arguments: "channel:string?*",
        acl: "pubsub slow",
        group: "pubsub",
        since: "2.0.0",
        summary: "Stop listening for messages posted to the given channels",
        complexity: "O(N) where N is the number of clients already subscribed to a channel.",
        ..CommandSpec::new(
            "unsubscribe",
            -1,
            Flags::PUBSUB
                .and(Flags::NOSCRIPT)
                .and(Flags::LOADING)
                .and(Flags::STALE),
            unsubscribe,
        )
    },
];

impl Kind {
    fn names(self, session: &mut SessionState) -> &mut Subscriptions {
        match self {
            Self::Channel => &mut session.channels,
            Self::Pattern => &mut session.patterns,
            Self::Shard => &mut session.shard_channels,
        }
    }

    /// What a confirmation counts: channels and patterns together, shard channels apart.
    fn count(self, session: &SessionState) -> i64 {
        let count = match self {
            Self::Channel | Self::Pattern => session.subscription_count(),
            Self::Shard => session.shard_channels.len(),
        };
        count as i64
    }

    const fn confirmations(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Channel => (b"subscribe", b"unsubscribe"),
            Self::Pattern => (b"psubscribe", b"punsubscribe"),
            Self::Shard => (b"ssubscribe", b"sunsubscribe"),
        }
    }
}

const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

/// Tells others what the session listens to.
/// Bytes that a subscription takes: its name and an entry in the session's set, and its place among the subscribers.
const SUBSCRIPTION: usize = 96;

fn publish_counts(session: &SessionState) {
    let info = &session.info;
    info.channels
        .store(session.channels.len(), Ordering::Relaxed);
    info.patterns
        .store(session.patterns.len(), Ordering::Relaxed);
    info.shard_channels
        .store(session.shard_channels.len(), Ordering::Relaxed);
    info.set_flag(ClientFlags::PUBSUB, session.is_subscribed());
    let count = session.subscription_count() + session.shard_channels.len();
    info.subscription_memory
        .store(count * SUBSCRIPTION, Ordering::Relaxed);
}

/// A mailbox is bounded by the limits for subscribers from the first subscription on.
fn bound_mailbox(session: &SessionState, services: &Services) {
    let limit = services.config.read().output_buffer_limits().pubsub;
    let mailbox = &session.info.mailbox;
    mailbox.hard_limit.store(limit.hard, Ordering::Relaxed);
    mailbox.soft_limit.store(limit.soft, Ordering::Relaxed);
    let soft_ms = u64::from(limit.soft_seconds) * 1000;
    mailbox.soft_ms.store(soft_ms, Ordering::Relaxed);
}

fn confirm(context: &mut Context<'_, '_>, word: &[u8], name: Option<&[u8]>, count: i64) {
    let reply = &mut *context.reply;
    reply.push(3);
    reply.bulk(word);
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.int(count);
}

fn subscribe_to(context: &mut Context<'_, '_>, kind: Kind) -> CommandResult {
    if context.mode.nested && (kind == Kind::Shard || context.mode.script) {
        let name = context.command.full_name.to_uppercase();
        return Err(format!("ERR {name} isn't allowed for a DENY BLOCKING client").into());
    }
    if !context.session.is_subscribed() {
        bound_mailbox(context.session, context.services);
    }
    for name in &context.args[1..] {
        if kind.names(context.session).insert(name) {
            let client = &context.session.info;
            context.services.channels.subscribe(kind, name, client);
        }
        let count = kind.count(context.session);
        confirm(context, kind.confirmations().0, Some(name), count);
    }
    publish_counts(context.session);
    Ok(Outcome::Done)
}

fn unsubscribe_from(context: &mut Context<'_, '_>, kind: Kind) -> CommandResult {
    let word = kind.confirmations().1;
    let named = context.args.get(1..).unwrap_or_default();
    let all: Vec<Box<[u8]>> = if named.is_empty() {
        kind.names(context.session).in_order()
    } else {
        Vec::new()
    };
    if named.is_empty() && all.is_empty() {
        let count = kind.count(context.session);
        confirm(context, word, None, count);
    }
    for name in named.iter().copied().chain(all.iter().map(|name| &**name)) {
        if kind.names(context.session).remove(name) {
            let id = context.session.info.id;
            context.services.channels.unsubscribe(kind, name, id);
        }
        let count = kind.count(context.session);
        confirm(context, word, Some(name), count);
    }
    publish_counts(context.session);
    Ok(Outcome::Done)
}

/// Ends every subscription of a session, without confirmations: it ends, or was RESET.
pub fn unsubscribe_all(session: &mut SessionState, services: &Services) {
    if !session.is_subscribed() {
        return;
    }
    let id = session.info.id;
    for kind in KINDS {
        for name in std::mem::take(kind.names(session)).in_order() {
            services.channels.unsubscribe(kind, &name, id);
        }
    }
    publish_counts(session);
}

fn subscribe(context: &mut Context<'_, '_>) -> CommandResult {
    subscribe_to(context, Kind::Channel)
}

fn psubscribe(context: &mut Context<'_, '_>) -> CommandResult {
    subscribe_to(context, Kind::Pattern)
}

fn ssubscribe(context: &mut Context<'_, '_>) -> CommandResult {
    subscribe_to(context, Kind::Shard)
}

fn unsubscribe(context: &mut Context<'_, '_>) -> CommandResult {
    unsubscribe_from(context, Kind::Channel)
}

fn punsubscribe(context: &mut Context<'_, '_>) -> CommandResult {
    unsubscribe_from(context, Kind::Pattern)
}

fn sunsubscribe(context: &mut Context<'_, '_>) -> CommandResult {
    unsubscribe_from(context, Kind::Shard)
}

/// The subscribers of replicas hear of it too.
fn tell_replicas(context: &mut Context<'_, '_>) {
    if context.services.replicas.is_fed() {
        context.txn.propagate_to_replicas(context.args);
    }
}

fn publish(context: &mut Context<'_, '_>) -> CommandResult {
    let (channel, message) = (context.args[1], context.args[2]);
    let now_ms = context.txn.now_ms();
    let channels = &context.services.channels;
    let receivers = channels.publish(channel, message, now_ms);
    tell_replicas(context);
    context.reply.int(receivers as i64);
    Ok(Outcome::Done)
}

fn spublish(context: &mut Context<'_, '_>) -> CommandResult {
    let (channel, message) = (context.args[1], context.args[2]);
    let now_ms = context.txn.now_ms();
    let channels = &context.services.channels;
    let receivers = channels.publish_shard(channel, message, now_ms);
    tell_replicas(context);
    context.reply.int(receivers as i64);
    Ok(Outcome::Done)
}

fn list_channels(context: &mut Context<'_, '_>, shard: bool) -> CommandResult {
    if context.args.len() > 3 {
        return Err(wrong_subcommand(context));
    }
    let pattern = context.args.get(2).copied();
    let names = context.services.channels.names(shard, pattern);
    context.reply.array(names.len());
    names.iter().for_each(|name| context.reply.bulk(name));
    Ok(Outcome::Done)
}

fn count_subscribers(context: &mut Context<'_, '_>, shard: bool) -> CommandResult {
    let names = context.args.get(2..).unwrap_or_default();
    context.reply.array(names.len() * 2);
    for name in names {
        let count = context.services.channels.subscribers(shard, name);
        context.reply.bulk(name);
        context.reply.int(count as i64);
    }
    Ok(Outcome::Done)
}

fn pubsub_channels(context: &mut Context<'_, '_>) -> CommandResult {
    list_channels(context, false)
}

fn pubsub_shardchannels(context: &mut Context<'_, '_>) -> CommandResult {
    list_channels(context, true)
}

fn pubsub_numsub(context: &mut Context<'_, '_>) -> CommandResult {
    count_subscribers(context, false)
}

fn pubsub_shardnumsub(context: &mut Context<'_, '_>) -> CommandResult {
    count_subscribers(context, true)
}

fn pubsub_numpat(context: &mut Context<'_, '_>) -> CommandResult {
    let count = context.services.channels.pattern_count();
    context.reply.int(count as i64);
    Ok(Outcome::Done)
}

const HELP: &[&str] = &[
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions(default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
];

fn pubsub_help(context: &mut Context<'_, '_>) -> CommandResult {
    help::reply(context, HELP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Harness;
    use crate::commands::{Mode, call, lookup};
    use crate::keyspace::txn::{Journal, TxnOptions};
    use crate::reply::{Reply, RespReply, Response};

    /// Runs a command and shows all it writes: a subscription answers several messages.
    fn wire(harness: &mut Harness, line: &str, mode: Mode) -> String {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut reply = RespReply::new(harness.session.resp3);
        let journal = Journal::default();
        let mut txn = harness.keyspace.begin(0, 0, TxnOptions::default(), journal);
        let result = lookup(&args).and_then(|command| {
            call(&mut Context {
                txn: &mut txn,
                args: &args,
                reply: &mut reply,
                session: &mut harness.session,
                services: &harness.services,
                command,
                mode,
            })
        });
        if let Err(error) = result {
            reply.error(&error.to_string());
        }
        String::from_utf8_lossy(&reply.take()).replace("\r\n", " ")
    }

    fn plain(harness: &mut Harness, line: &str) -> String {
        wire(harness, line, Mode::default())
    }

    #[test]
    fn every_name_is_confirmed() {
        let mut harness = Harness::new();
        assert_eq!(
            plain(&mut harness, "SUBSCRIBE a a b"),
            "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 "
        );
        assert_eq!(
            plain(&mut harness, "SSUBSCRIBE s"),
            "*3 $10 ssubscribe $1 s :1 "
        );
        assert_eq!(
            plain(&mut harness, "PSUBSCRIBE p"),
            "*3 $10 psubscribe $1 p :3 "
        );
        let info = harness.session.info.clone();
        assert!(info.has_flag(ClientFlags::PUBSUB));
        assert_eq!(info.channels.load(Ordering::Relaxed), 2);
        assert_eq!(
            plain(&mut harness, "UNSUBSCRIBE zz b"),
            "*3 $11 unsubscribe $2 zz :3 *3 $11 unsubscribe $1 b :2 "
        );
        assert_eq!(
            plain(&mut harness, "UNSUBSCRIBE"),
            "*3 $11 unsubscribe $1 a :1 "
        );
        assert_eq!(
            plain(&mut harness, "UNSUBSCRIBE"),
            "*3 $11 unsubscribe $-1 :1 "
        );
        assert_eq!(
            plain(&mut harness, "PSUBSCRIBE z a"),
            "*3 $10 psubscribe $1 z :2 *3 $10 psubscribe $1 a :3 "
        );
        assert_eq!(
            plain(&mut harness, "PUNSUBSCRIBE"),
            "*3 $12 punsubscribe $1 p :2 *3 $12 punsubscribe $1 z :1 *3 $12 punsubscribe $1 a :0 "
        );
        assert!(info.has_flag(ClientFlags::PUBSUB));
        assert_eq!(
            plain(&mut harness, "SUNSUBSCRIBE x"),
            "*3 $12 sunsubscribe $1 x :1 "
        );
        assert_eq!(
            plain(&mut harness, "SUNSUBSCRIBE"),
            "*3 $12 sunsubscribe $1 s :0 "
        );
        assert!(!info.has_flag(ClientFlags::PUBSUB));
        harness.session.resp3 = true;
        assert_eq!(
            plain(&mut harness, "SUNSUBSCRIBE"),
            ">3 $12 sunsubscribe _ :0 "
        );
    }

    #[test]
    fn published_messages_are_counted_and_delivered() {
        let mut harness = Harness::new();
        plain(&mut harness, "SUBSCRIBE news");
        plain(&mut harness, "PSUBSCRIBE n* x*");
        plain(&mut harness, "SSUBSCRIBE news");
        assert_eq!(plain(&mut harness, "PUBLISH news hello"), ":2 ");
        assert_eq!(plain(&mut harness, "SPUBLISH news hello"), ":1 ");
        assert_eq!(plain(&mut harness, "PUBLISH other hello"), ":0 ");
        assert_eq!(plain(&mut harness, "PUBSUB CHANNELS"), "*1 $4 news ");
        assert_eq!(plain(&mut harness, "PUBSUB CHANNELS x*"), "*0 ");
        assert_eq!(
            plain(&mut harness, "PUBSUB SHARDCHANNELS n*"),
            "*1 $4 news "
        );
        assert_eq!(
            plain(&mut harness, "PUBSUB NUMSUB news other"),
            "*4 $4 news :1 $5 other :0 "
        );
        assert_eq!(
            plain(&mut harness, "PUBSUB SHARDNUMSUB news"),
            "*2 $4 news :1 "
        );
        assert_eq!(plain(&mut harness, "PUBSUB NUMPAT"), ":2 ");
        unsubscribe_all(&mut harness.session, &harness.services);
        assert!(harness.services.channels.is_idle());
        assert_eq!(plain(&mut harness, "PUBSUB NUMSUB"), "*0 ");
    }

    #[test]
    fn mistakes_are_answered_as_redis_does() {
        let mut harness = Harness::new();
        let error = |text: &str| Response::Error(text.to_owned());
        assert_eq!(
            harness.run("PUBSUB"),
            error("ERR wrong number of arguments for 'pubsub' command")
        );
        assert_eq!(
            harness.run("PUBSUB FOO"),
            error("ERR unknown subcommand 'FOO'. Try PUBSUB HELP.")
        );
        assert_eq!(
            harness.run("PUBSUB Channels a b"),
            error(
                "ERR unknown subcommand or wrong number of arguments for 'Channels'. Try PUBSUB HELP."
            )
        );
        let nested = Mode {
            nested: true,
            ..Mode::default()
        };
        assert_eq!(
            wire(&mut harness, "SSUBSCRIBE s", nested),
            "-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client "
        );
        assert_eq!(
            wire(&mut harness, "SUBSCRIBE s", nested),
            "*3 $9 subscribe $1 s :1 "
        );
    }

    #[test]
    fn subscribers_have_limits() {
        let mut harness = Harness::new();
        plain(&mut harness, "SUBSCRIBE a");
        let mailbox = &harness.session.info.mailbox;
        assert_eq!(mailbox.hard_limit.load(Ordering::Relaxed), 32 << 20);
        assert_eq!(mailbox.soft_limit.load(Ordering::Relaxed), 8 << 20);
        assert_eq!(mailbox.soft_ms.load(Ordering::Relaxed), 60_000);
    }
}
