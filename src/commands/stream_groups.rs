//! Streams: groups and their consumers, acknowledging, and what is pending. It knows no entries.

use super::error::shown;
use super::spec::{CommandSpec, Flags, key_range, one_key};
use super::streams::{bulk_id, interval_end, interval_start, loose_id, strict_id};
use super::{CommandError, CommandResult, Context, Outcome, help};
use crate::keyspace::EventClass;
use crate::reply::Reply;
use crate::value::stream::{Delivery, Group, Stream, StreamId};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 group:string id:string*",
        acl: "write stream fast",
        keys: &[one_key("RW update")],
        group: "stream",
        since: "5.0.0",
        summary: "Marks a pending message as correctly processed, effectively removing it from the pending entries list of the consumer group. Return value of the command is the number of messages successfully acknowledged, that is, the IDs we were actually able to resolve in the PEL.",
        complexity: "O(1) for each message ID processed.",
        ..CommandSpec::new("xack", -4, Flags::WRITE.and(Flags::FAST), xack)
    },
    CommandSpec {
        acl: "slow",
        group: "stream",
        since: "5.0.0",
        summary: "A container for consumer groups commands",
        complexity: "Depends on subcommand.",
        subcommands: &[
            CommandSpec {
                arguments: "key:key#0 groupname:string id:oneof{id:string new_id:pure-token=$} mkstream:pure-token=MKSTREAM? entries_read:integer=ENTRIESREAD?",
                acl: "write stream slow",
                keys: &[key_range("RW insert", 2, 0, 1)],
                group: "stream",
                since: "5.0.0",
                summary: "Create a consumer group.",
                complexity: "O(1)",
                history: &[("7.0.0", "Added the `entries_read` named argument.")],
                ..CommandSpec::new(
                    "create",
                    -5,
                    Flags::WRITE.and(Flags::DENYOOM),
                    xgroup_create,
                )
            },
            CommandSpec {
                arguments: "key:key#0 groupname:string consumername:string",
                acl: "write stream slow",
                keys: &[key_range("RW insert", 2, 0, 1)],
                group: "stream",
                since: "6.2.0",
                summary: "Create a consumer in a consumer group.",
                complexity: "O(1)",
                ..CommandSpec::new(
                    "createconsumer",
                    5,
                    Flags::WRITE.and(Flags::DENYOOM),
                    xgroup_createconsumer,
                )
            },
            CommandSpec {
                arguments: "key:key#0 groupname:string consumername:string",
                acl: "write stream slow",
                keys: &[key_range("RW delete", 2, 0, 1)],
                group: "stream",
                since: "5.0.0",
                summary: "Delete a consumer from a consumer group.",
                complexity: "O(1)",
                ..CommandSpec::new("delconsumer", 5, Flags::WRITE, xgroup_delconsumer)
            },
            CommandSpec {
                arguments: "key:key#0 groupname:string",
                acl: "write stream slow",
                keys: &[key_range("RW delete", 2, 0, 1)],
                group: "stream",
                since: "5.0.0",
                summary: "Destroy a consumer group.",
                complexity: "O(N) where N is the number of entries in the group's pending entries list (PEL).",
                ..CommandSpec::new("destroy", 4, Flags::WRITE, xgroup_destroy)
            },
            CommandSpec {
                acl: "stream slow",
                group: "stream",
                since: "5.0.0",
                summary: "Show helpful text about the different subcommands",
                complexity: "O(1)",
                ..CommandSpec::new("help", 2, Flags::LOADING.and(Flags::STALE), xgroup_help)
            },
            CommandSpec {
                arguments: "key:key#0 groupname:string id:oneof{id:string new_id:pure-token=$} entries_read:integer=ENTRIESREAD?",
                acl: "write stream slow",
                keys: &[key_range("RW update", 2, 0, 1)],
                group: "stream",
                since: "5.0.0",
                summary: "Set a consumer group to an arbitrary last delivered ID value.",
                complexity: "O(1)",
                history: &[("7.0.0", "Added the optional `entries_read` argument.")],
                ..CommandSpec::new("setid", -5, Flags::WRITE, xgroup_setid)
            },
        ],
        ..CommandSpec::new("xgroup", -2, Flags::NONE, help::container)
    },
    CommandSpec {
        arguments: "key:key#0 group:string filters:block?{min-idle-time:integer=IDLE?@6.2.0 start:string end:string count:integer consumer:string?}",
        acl: "read stream slow",
        keys: &[one_key("RO access")],
        group: "stream",
        since: "5.0.0",
        summary: "Return information and entries from a stream consumer group pending entries list, that are messages fetched but never acknowledged.",
        complexity: "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for iterating every consumer.",
        tips: "nondeterministic_output",
        history: &[(
            "6.2.0",
            "Added the `IDLE` option and exclusive range intervals.",
        )],
        ..CommandSpec::new("xpending", -3, Flags::READONLY, xpending)
    },
];

const HELP: &[&str] = &[
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a new consumer group. Options are:",
    "    * MKSTREAM",
    "      Create the empty stream if it does not exist.",
    "    * ENTRIESREAD entries_read",
    "      Set the group's entries_read counter (internal use).",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a new consumer in the specified group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the specified consumer.",
    "DESTROY <key> <groupname>",
    "    Remove the specified group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the current group ID and entries_read counter.",
];

fn xgroup_help(context: &mut Context<'_, '_>) -> CommandResult {
    help::reply(context, HELP)
}

/// The error of commands that take no key without the group.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (shown(key), shown(group));
    format!("NOGROUP No such key '{key}' or consumer group '{group}'").into()
}

/// The error where the key is there and the group is not.
pub(super) fn no_such_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (shown(key), shown(group));
    format!("NOGROUP No such consumer group '{group}' for key name '{key}'").into()
}

// ------------------------------------------------------------------------------------------------ groups

/// The options of CREATE and SETID: MKSTREAM (only where it is allowed) and ENTRIESREAD.
fn group_options(
    context: &Context<'_, '_>,
    allow_make: bool,
) -> Result<(bool, Option<i64>), CommandError> {
    let (mut make, mut entries_read) = (false, None);
    let mut at = 5;
    while at < context.args.len() {
        if allow_make && context.is(at, "mkstream") {
            make = true;
        } else if context.is(at, "entriesread") && at + 1 < context.args.len() {
            entries_read = match context.int(at + 1)? {
                -1 => None,
                read @ 0.. => Some(read),
                _ => {
                    return Err(CommandError::text(
                        "ERR value for ENTRIESREAD must be positive or -1",
                    ));
                }
            };
            at += 1;
        } else {
            return Err(help::wrong_subcommand(context));
        }
        at += 1;
    }
    Ok((make, entries_read))
}

/// The stream of a subcommand, which has to be there.
fn existing<'t>(context: &'t mut Context<'_, '_>) -> Result<&'t mut Stream, CommandError> {
    let key = context.args[2];
    context.txn.stream_mut(key)?.ok_or(CommandError::text(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    ))
}

/// The group of a subcommand, which has to be there.
fn existing_group<'t>(context: &'t mut Context<'_, '_>) -> Result<&'t mut Group, CommandError> {
    let (key, name) = (context.args[2], context.args[3]);
    existing(context)?
        .group_mut(name)
        .ok_or_else(|| no_such_group(key, name))
}

fn xgroup_create(context: &mut Context<'_, '_>) -> CommandResult {
    let (make, entries_read) = group_options(context, true)?;
    let (key, name, id) = (context.args[2], context.args[3], context.args[4]);
    let found = match context.txn.stream_mut(key)? {
        None if make => None,
        _ => Some(existing(context)?),
    };
    let last_id = found.map(|stream| stream.state().last_id);
    let is_new = last_id.is_none();
    // As many as there are options; the same one may come again in another's place.
    if context.args.len() > 8 {
        return Err(help::wrong_subcommand(context));
    }
    let last = match id {
        b"$" => last_id.unwrap_or(StreamId::MIN),
        id => strict_id(id, 0)?,
    };
    let group = Group::new(last, entries_read);
    if !context.txn.stream_or_new(key)?.add_group(name, group) {
        return Err(CommandError::text(
            "BUSYGROUP Consumer Group name already exists",
        ));
    }
    if is_new {
        context
            .txn
            .changed(EventClass::STREAM, "xgroup-create", key);
    } else {
        context.txn.changed_groups("xgroup-create", key);
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

fn xgroup_setid(context: &mut Context<'_, '_>) -> CommandResult {
    let (_, entries_read) = group_options(context, false)?;
    let (key, id) = (context.args[2], context.args[4]);
    existing_group(context)?;
    if context.args.len() > 7 {
        return Err(help::wrong_subcommand(context));
    }
    let last_id = existing(context)?.state().last_id;
    let last_delivered = match id {
        b"$" => last_id,
        id => loose_id(id, 0)?,
    };
    let group = existing_group(context)?;
    group.last_delivered = last_delivered;
    group.entries_read = entries_read;
    context.txn.changed_groups("xgroup-setid", key);
    context.reply.ok();
    Ok(Outcome::Done)
}

fn xgroup_destroy(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, name) = (context.args[2], context.args[3]);
    let removed = existing(context)?.remove_group(name);
    if removed {
        context.txn.changed_groups("xgroup-destroy", key);
        // Those who wait as its consumers are told.
        context.txn.wake_waiters(key);
    }
    context.reply.int(i64::from(removed));
    Ok(Outcome::Done)
}

fn xgroup_createconsumer(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, name, now_ms) = (context.args[2], context.args[4], context.txn.now_ms());
    let added = existing_group(context)?.add_consumer(name, now_ms);
    if added {
        context.txn.changed_groups("xgroup-createconsumer", key);
    }
    context.reply.int(i64::from(added));
    Ok(Outcome::Done)
}

fn xgroup_delconsumer(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, name) = (context.args[2], context.args[4]);
    let removed = existing_group(context)?.remove_consumer(name);
    if removed.is_some() {
        context.txn.changed_groups("xgroup-delconsumer", key);
    }
    context.reply.int(removed.unwrap_or(0) as i64);
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ what is pending

fn xack(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let stream = context.txn.stream_mut(args[1])?;
    let Some(group) = stream.and_then(|stream| stream.group_mut(args[2])) else {
        context.reply.int(0);
        return Ok(Outcome::Done);
    };
    let ids: Vec<StreamId> = args[3..]
        .iter()
        .map(|word| strict_id(word, 0))
        .collect::<Result<_, _>>()?;
    let acknowledged = ids.iter().filter(|id| group.acknowledge(**id)).count();
    context.txn.add_dirty(acknowledged as u64);
    context.reply.int(acknowledged as i64);
    Ok(Outcome::Done)
}

fn xpending(context: &mut Context<'_, '_>) -> CommandResult {
    let wanted = match context.args.len() {
        3 => None,
        6..=9 => Some(Interval::parse(context)?),
        _ => return Err(CommandError::Syntax),
    };
    let Context {
        txn, args, reply, ..
    } = context;
    let now_ms = txn.now_ms();
    let group = txn
        .stream(args[1])?
        .and_then(|stream| stream.group(args[2]))
        .ok_or_else(|| no_group(args[1], args[2]))?;
    match wanted {
        None => write_summary(&mut **reply, group),
        Some(interval) => interval.write(&mut **reply, group, now_ms),
    }
    Ok(Outcome::Done)
}

/// How many are pending, the first and the last of them, and how many each consumer has.
fn write_summary(reply: &mut dyn Reply, group: &Group) {
    reply.array(4);
    reply.int(group.pending_len() as i64);
    let mut ids = group.pending(StreamId::MIN..=StreamId::MAX);
    let Some((first, _)) = ids.next() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    bulk_id(reply, first);
    bulk_id(reply, ids.next_back().map_or(first, |(last, _)| last));
    let busy = || {
        group
            .consumers()
            .filter(|(_, consumer)| consumer.pending().len() > 0)
    };
    reply.array(busy().count());
    for (name, consumer) in busy() {
        reply.array(2);
        reply.bulk(name);
        reply.bulk_int(consumer.pending().len() as i64);
    }
}

/// Which deliveries XPENDING is to tell of.
struct Interval<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Interval<'a> {
    fn parse(context: &Context<'a, '_>) -> Result<Self, CommandError> {
        let args = context.args;
        let (mut min_idle_ms, mut first) = (0, 3);
        if context.is(3, "idle") {
            min_idle_ms = context.int(4)?;
            if args.len() < 8 {
                return Err(CommandError::Syntax);
            }
            first = 5;
        }
        let count = usize::try_from(context.int(first + 2)?).unwrap_or(0);
        Ok(Self {
            min_idle_ms,
            start: interval_start(args[first])?,
            end: interval_end(args[first + 1])?,
            count,
            consumer: args.get(first + 3).copied(),
        })
    }

    fn write(&self, reply: &mut dyn Reply, group: &Group, now_ms: i64) {
        let idle_ms = |delivery: &Delivery| now_ms.saturating_sub(delivery.delivered_ms).max(0);
        let is_idle = |(_, delivery): &(StreamId, &Delivery)| {
            self.min_idle_ms == 0 || idle_ms(delivery) >= self.min_idle_ms
        };
        let of_consumer: Vec<(StreamId, &Delivery)> = match self.consumer {
            None => group
                .pending(self.start..=self.end)
                .filter(is_idle)
                .take(self.count)
                .collect(),
            Some(name) => group
                .consumer(name)
                .into_iter()
                .flat_map(|consumer| consumer.pending_from(self.start))
                .take_while(|id| *id <= self.end)
                .filter_map(|id| Some((id, group.delivery(id)?)))
                .filter(is_idle)
                .take(self.count)
                .collect(),
        };
        reply.array(of_consumer.len());
        for (id, delivery) in of_consumer {
            reply.array(4);
            bulk_id(reply, id);
            reply.bulk(&delivery.consumer);
            reply.int(idle_ms(delivery));
            reply.int(delivery.count as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;

    /// What redis-server 7.0.15 answers, publishes and logs.
    /// But for one thing that Redis logs from 7.2 on: how far a group has read.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("streams/groups.txt"));
    }
}
