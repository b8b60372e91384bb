//! Streams: XINFO, what is known of a stream, its groups and their consumers.

use super::spec::{CommandSpec, Flags, key_range};
use super::stream_groups::no_such_group;
use super::streams::{bulk_id, write_entries, write_entry};
use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::reply::Reply;
use crate::value::stream::{Consumer, Entry, Group, Stream, StreamId};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    acl: "slow",
    group: "stream",
    since: "5.0.0",
    summary: "A container for stream introspection commands",
    complexity: "Depends on subcommand.",
    subcommands: &[
        CommandSpec {
            arguments: "key:key#0 groupname:string",
            acl: "read stream slow",
            keys: &[key_range("RO access", 2, 0, 1)],
            group: "stream",
            since: "5.0.0",
            summary: "List the consumers in a consumer group",
            complexity: "O(1)",
            tips: "nondeterministic_output",
            history: &[(
                "7.2.0",
                "Added the `inactive` field, and changed the meaning of `idle`.",
            )],
            ..CommandSpec::new("consumers", 4, Flags::READONLY, xinfo_consumers)
        },
        CommandSpec {
            arguments: "key:key#0",
            acl: "read stream slow",
            keys: &[key_range("RO access", 2, 0, 1)],
            group: "stream",
            since: "5.0.0",
            summary: "List the consumer groups of a stream",
            complexity: "O(1)",
            history: &[("7.0.0", "Added the `entries-read` and `lag` fields")],
            ..CommandSpec::new("groups", 3, Flags::READONLY, xinfo_groups)
        },
        CommandSpec {
            acl: "stream slow",
            group: "stream",
            since: "5.0.0",
            summary: "Show helpful text about the different subcommands",
            complexity: "O(1)",
            ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), xinfo_help)
        },
        CommandSpec {
            arguments: "key:key#0 full:block=FULL?{count:integer=COUNT?}",
            acl: "read stream slow",
            keys: &[key_range("RO access", 2, 0, 1)],
            group: "stream",
            since: "5.0.0",
            summary: "Get information about a stream",
            complexity: "O(1)",
            history: &[
                ("6.0.0", "Added the `FULL` modifier."),
                (
                    "7.0.0",
                    "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` fields",
                ),
                (
                    "7.2.0",
                    "Added the `active-time` field, and changed the meaning of `seen-time`.",
                ),
            ],
            ..CommandSpec::new("stream", -3, Flags::READONLY, xinfo_stream)
        },
    ],
    ..CommandSpec::new("xinfo", -2, Flags::NONE, help::container)
}];

const HELP: &[&str] = &[
    "CONSUMERS <key> <groupname>",
    "    Show consumers of <groupname>.",
    "GROUPS <key>",
    "    Show the stream consumer groups.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Show information about the stream.",
];

/// Entries, and deliveries of each group and consumer, that FULL shows unless COUNT says otherwise.
const SHOWN_BY_DEFAULT: usize = 10;

fn xinfo_help(context: &mut Context<'_, '_>) -> CommandResult {
    help::reply(context, HELP)
}

fn existing<'t>(context: &'t mut Context<'_, '_>) -> Result<&'t Stream, CommandError> {
    let key = context.args[2];
    context.txn.stream(key)?.ok_or(CommandError::NoSuchKey)
}

fn name(reply: &mut dyn Reply, name: &str) {
    reply.bulk(name.as_bytes());
}

fn count(reply: &mut dyn Reply, label: &str, count: usize) {
    name(reply, label);
    reply.int(count as i64);
}

fn id(reply: &mut dyn Reply, label: &str, id: StreamId) {
    name(reply, label);
    bulk_id(reply, id);
}

fn known(reply: &mut dyn Reply, label: &str, number: Option<i64>) {
    name(reply, label);
    match number {
        Some(number) => reply.int(number),
        None => reply.null(),
    }
}

// ------------------------------------------------------------------------------------------------ the stream

fn xinfo_stream(context: &mut Context<'_, '_>) -> CommandResult {
    existing(context)?;
    let shown = match context.args.len() {
        3 => None,
        4 if context.is(3, "full") => Some(SHOWN_BY_DEFAULT),
        6 if context.is(3, "full") && context.is(4, "count") => match context.int(5)? {
            0 => Some(usize::MAX),
            shown => Some(usize::try_from(shown).unwrap_or(SHOWN_BY_DEFAULT)),
        },
        _ => return Err(help::wrong_subcommand(context)),
    };
    let Context {
        txn, args, reply, ..
    } = context;
    let stream = txn.stream(args[2])?.ok_or(CommandError::NoSuchKey)?;
    match shown {
        None => write_stream(&mut **reply, stream),
        Some(shown) => write_full(&mut **reply, stream, shown),
    }
    Ok(Outcome::Done)
}

/// What both forms begin with: seven fields.
fn write_state(reply: &mut dyn Reply, stream: &Stream) {
    let state = stream.state();
    count(reply, "length", stream.len());
    count(reply, "radix-tree-keys", stream.nodes().len());
    let masters: Vec<_> = stream.nodes().map(|(id, _)| id.to_bytes()).collect();
    count(reply, "radix-tree-nodes", radix_nodes(&masters, 0));
    id(reply, "last-generated-id", state.last_id);
    id(reply, "max-deleted-entry-id", state.max_deleted_id);
    count(reply, "entries-added", state.entries_added as usize);
    id(reply, "recorded-first-entry-id", state.first_id);
}

fn write_stream(reply: &mut dyn Reply, stream: &Stream) {
    reply.map(10);
    write_state(reply, stream);
    count(reply, "groups", stream.groups().len());
    let mut edge = |label: &str, entry: Option<Entry<'_>>| {
        name(reply, label);
        match entry {
            Some(entry) => write_entry(reply, &entry),
            None => reply.null(),
        }
    };
    edge("first-entry", stream.first_entry());
    edge("last-entry", stream.last_entry());
}

fn write_full(reply: &mut dyn Reply, stream: &Stream, shown: usize) {
    reply.map(9);
    write_state(reply, stream);
    name(reply, "entries");
    write_entries(
        reply,
        stream.range(StreamId::MIN, StreamId::MAX).take(shown),
    );
    name(reply, "groups");
    reply.array(stream.groups().len());
    for (label, group) in stream.groups() {
        reply.map(7);
        name(reply, "name");
        reply.bulk(label);
        id(reply, "last-delivered-id", group.last_delivered);
        known(reply, "entries-read", group.entries_read);
        known(reply, "lag", stream.lag(group));
        count(reply, "pel-count", group.pending_len());
        name(reply, "pending");
        reply.array(group.pending_len().min(shown));
        for (id, delivery) in group.pending(StreamId::MIN..=StreamId::MAX).take(shown) {
            reply.array(4);
            bulk_id(reply, id);
            reply.bulk(&delivery.consumer);
            reply.int(delivery.delivered_ms);
            reply.int(delivery.count as i64);
        }
        name(reply, "consumers");
        reply.array(group.consumers().len());
        for (label, consumer) in group.consumers() {
            write_full_consumer(reply, group, (label, consumer), shown);
        }
    }
}

fn write_full_consumer(
    reply: &mut dyn Reply,
    group: &Group,
    (label, consumer): (&[u8], &Consumer),
    shown: usize,
) {
    reply.map(5);
    name(reply, "name");
    reply.bulk(label);
    name(reply, "seen-time");
    reply.int(consumer.seen_ms);
    name(reply, "active-time");
    reply.int(consumer.active_ms);
    count(reply, "pel-count", consumer.pending().len());
    name(reply, "pending");
    reply.array(consumer.pending().len().min(shown));
    let pending = consumer
        .pending()
        .filter_map(|id| Some((id, group.delivery(id)?)));
    for (id, delivery) in pending.take(shown) {
        reply.array(3);
        bulk_id(reply, id);
        reply.int(delivery.delivered_ms);
        reply.int(delivery.count as i64);
    }
}

/// How many nodes a radix tree would have that holds these ids, which agree up to `depth`: Redis keeps a stream in one.
/// A run of bytes without a choice is one node. O(ids).
fn radix_nodes(ids: &[[u8; StreamId::LEN]], depth: usize) -> usize {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        return 1;
    };
    if ids.len() == 1 {
        return 1 + usize::from(depth < StreamId::LEN);
    }
    let same = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let below: usize = ids
        .chunk_by(|a, b| a.get(same) == b.get(same))
        .map(|ids| radix_nodes(ids, same + 1))
        .sum();
    usize::from(same > depth) + 1 + below
}

// ------------------------------------------------------------------------------------------------ groups and consumers

fn xinfo_groups(context: &mut Context<'_, '_>) -> CommandResult {
    existing(context)?;
    let Context {
        txn, args, reply, ..
    } = context;
    let stream = txn.stream(args[2])?.ok_or(CommandError::NoSuchKey)?;
    let reply = &mut **reply;
    reply.array(stream.groups().len());
    for (label, group) in stream.groups() {
        reply.map(6);
        name(reply, "name");
        reply.bulk(label);
        count(reply, "consumers", group.consumers().len());
        count(reply, "pending", group.pending_len());
        id(reply, "last-delivered-id", group.last_delivered);
        known(reply, "entries-read", group.entries_read);
        known(reply, "lag", stream.lag(group));
    }
    Ok(Outcome::Done)
}

fn xinfo_consumers(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let now_ms = txn.now_ms();
    let stream = txn.stream(args[2])?.ok_or(CommandError::NoSuchKey)?;
    let group = stream
        .group(args[3])
        .ok_or_else(|| no_such_group(args[2], args[3]))?;
    let reply = &mut **reply;
    reply.array(group.consumers().len());
    for (label, consumer) in group.consumers() {
        reply.map(4);
        name(reply, "name");
        reply.bulk(label);
        count(reply, "pending", consumer.pending().len());
        name(reply, "idle");
        reply.int(now_ms.saturating_sub(consumer.seen_ms).max(0));
        name(reply, "inactive");
        reply.int(match consumer.active_ms {
            ..0 => -1,
            active_ms => now_ms.saturating_sub(active_ms).max(0),
        });
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radix_trees_have_as_many_nodes_as_those_of_redis() {
        let nodes = |ids: &[(u64, u64)]| {
            let ids: Vec<_> = ids
                .iter()
                .map(|(ms, seq)| StreamId::new(*ms, *seq).to_bytes())
                .collect();
            radix_nodes(&ids, 0)
        };
        assert_eq!(nodes(&[]), 1);
        assert_eq!(nodes(&[(1, 1)]), 2);
        let six = [
            (1, 1),
            (65537, 3),
            (65537, 4),
            (65537, 1000),
            (165_537, 1000),
            (165_538, 1000),
        ];
        assert_eq!(nodes(&six), 17);
    }
}
