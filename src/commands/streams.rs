//! Streams: entries by id, the number of entries, deleting. Also what all stream commands share: how ids are read and
//! entries are answered. It knows no groups and no waiting.

use super::elements::bulk_element;
use super::spec::{CommandSpec, Flags, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::EventClass;
use crate::reply::Reply;
use crate::value::stream::{Entry, IdText, StreamId};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 id:string*",
        acl: "write stream fast",
        keys: &[one_key("RW delete")],
        group: "stream",
        since: "5.0.0",
        summary: "Removes the specified entries from the stream. Returns the number of items actually deleted, that may be different from the number of IDs passed in case certain IDs do not exist.",
        complexity: "O(1) for each single item to delete in the stream, regardless of the stream size.",
        ..CommandSpec::new("xdel", -3, Flags::WRITE.and(Flags::FAST), xdel)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read stream fast",
        keys: &[one_key("RO")],
        group: "stream",
        since: "5.0.0",
        summary: "Return the number of entries in a stream",
        complexity: "O(1)",
        ..CommandSpec::new("xlen", 2, Flags::READONLY.and(Flags::FAST), xlen)
    },
    CommandSpec {
        arguments: "key:key#0 start:string end:string count:integer=COUNT?",
        acl: "read stream slow",
        keys: &[one_key("RO access")],
        group: "stream",
        since: "5.0.0",
        summary: "Return a range of elements in a stream, with IDs matching the specified IDs interval",
        complexity: "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).",
        history: &[("6.2.0", "Added exclusive ranges.")],
        ..CommandSpec::new("xrange", -4, Flags::READONLY, xrange)
    },
    CommandSpec {
        arguments: "key:key#0 end:string start:string count:integer=COUNT?",
        acl: "read stream slow",
        keys: &[one_key("RO access")],
        group: "stream",
        since: "5.0.0",
        summary: "Return a range of elements in a stream, with IDs matching the specified IDs interval, in reverse order (from greater to smaller IDs) compared to XRANGE",
        complexity: "O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).",
        history: &[("6.2.0", "Added exclusive ranges.")],
        ..CommandSpec::new("xrevrange", -4, Flags::READONLY, xrevrange)
    },
    CommandSpec {
        arguments: "key:key#0 last-id:string entries_added:integer=ENTRIESADDED?@7.0.0 max_deleted_entry_id:string=MAXDELETEDID?@7.0.0",
        acl: "write stream fast",
        keys: &[one_key("RW update")],
        group: "stream",
        since: "5.0.0",
        summary: "An internal command for replicating stream values",
        complexity: "O(1)",
        history: &[(
            "7.0.0",
            "Added the `entries_added` and `max_deleted_entry_id` arguments.",
        )],
        ..CommandSpec::new(
            "xsetid",
            -3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            xsetid,
        )
    },
];

// ------------------------------------------------------------------------------------------------ shared

const INVALID_ID: CommandError =
    CommandError::text("ERR Invalid stream ID specified as stream command argument");

/// An id that must be one: `-` and `+` are none. `seq` stands for a number that is left out.
pub(super) fn strict_id(word: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    IdText::parse(word)
        .and_then(|id| id.or_sequence(seq))
        .ok_or(INVALID_ID)
}

/// An id as XADD takes it, where its number may be left to the server.
pub(super) fn new_id(word: &[u8]) -> Result<IdText, CommandError> {
    IdText::parse(word).ok_or(INVALID_ID)
}

/// An id, or `-` and `+` for the first and the last.
pub(super) fn loose_id(word: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    match word {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => strict_id(word, seq),
    }
}

/// The first id of an interval: `-`, `+`, an id, or `(` and an id that is itself excluded.
pub(super) fn interval_start(word: &[u8]) -> Result<StreamId, CommandError> {
    match word {
        [b'(', id @ ..] if !id.is_empty() => strict_id(id, 0)?
            .next()
            .ok_or(CommandError::text("ERR invalid start ID for the interval")),
        _ => loose_id(word, 0),
    }
}

/// The last id of an interval, as [`interval_start`].
pub(super) fn interval_end(word: &[u8]) -> Result<StreamId, CommandError> {
    match word {
        [b'(', id @ ..] if !id.is_empty() => strict_id(id, u64::MAX)?
            .previous()
            .ok_or(CommandError::text("ERR invalid end ID for the interval")),
        _ => loose_id(word, u64::MAX),
    }
}

/// Answers an id.
pub(super) fn bulk_id(reply: &mut dyn Reply, id: StreamId) {
    reply.bulk(&id.to_text());
}

/// Answers an entry: its id, and its fields and values in turn.
pub(super) fn write_entry(reply: &mut dyn Reply, entry: &Entry<'_>) {
    reply.array(2);
    bulk_id(reply, entry.id);
    reply.array(entry.len() * 2);
    for (name, value) in entry.fields() {
        bulk_element(reply, name);
        bulk_element(reply, value);
    }
}

/// Answers entries.
pub(super) fn write_entries<'a>(reply: &mut dyn Reply, entries: impl Iterator<Item = Entry<'a>>) {
    let entries: Vec<Entry<'_>> = entries.collect();
    reply.array(entries.len());
    entries.iter().for_each(|entry| write_entry(reply, entry));
}

// ------------------------------------------------------------------------------------------------ entries

fn xlen(context: &mut Context<'_, '_>) -> CommandResult {
    let stream = context.txn.stream(context.args[1])?;
    let len = stream.map_or(0, |stream| stream.len());
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

/// COUNT, if it is there; what is below zero is zero.
fn parse_count(context: &Context<'_, '_>) -> Result<Option<usize>, CommandError> {
    let mut count = None;
    let mut at = 4;
    while at < context.args.len() {
        if !context.is(at, "count") || at + 1 == context.args.len() {
            return Err(CommandError::Syntax);
        }
        count = Some(usize::try_from(context.int(at + 1)?).unwrap_or(0));
        at += 2;
    }
    Ok(count)
}

fn range(context: &mut Context<'_, '_>, reverse: bool) -> CommandResult {
    let args = context.args;
    let (first, last) = if reverse { (3, 2) } else { (2, 3) };
    // Redis reads the two ids in their own order, whichever comes first among the words.
    let start = interval_start(args[first])?;
    let end = interval_end(args[last])?;
    let count = parse_count(context)?;
    let Context { txn, reply, .. } = context;
    let Some(stream) = txn.stream(args[1])? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    let count = count.unwrap_or(usize::MAX);
    if count == 0 {
        reply.null_array();
    } else if reverse {
        write_entries(&mut **reply, stream.reverse_range(start, end).take(count));
    } else {
        write_entries(&mut **reply, stream.range(start, end).take(count));
    }
    Ok(Outcome::Done)
}

fn xrange(context: &mut Context<'_, '_>) -> CommandResult {
    range(context, false)
}

fn xrevrange(context: &mut Context<'_, '_>) -> CommandResult {
    range(context, true)
}

fn xdel(context: &mut Context<'_, '_>) -> CommandResult {
    let (args, key) = (context.args, context.args[1]);
    let Some(stream) = context.txn.stream_mut(key)? else {
        context.reply.int(0);
        return Ok(Outcome::Done);
    };
    let ids: Vec<StreamId> = args[2..]
        .iter()
        .map(|word| strict_id(word, 0))
        .collect::<Result<_, _>>()?;
    let deleted = ids.iter().filter(|id| stream.delete(**id)).count();
    if deleted > 0 {
        context
            .txn
            .changed_unawaited(EventClass::STREAM, "xdel", key);
        context.txn.add_dirty(deleted as u64 - 1);
    }
    context.reply.int(deleted as i64);
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ what a stream knows of itself

/// The options of XSETID.
#[derive(Default)]
struct SetId {
    entries_added: Option<u64>,
    max_deleted: StreamId,
}

impl SetId {
    fn parse(context: &Context<'_, '_>, id: StreamId) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 3;
        while let Some(value) = context.args.get(at + 1) {
            if context.is(at, "entriesadded") {
                let added = u64::try_from(context.int(at + 1)?);
                let added =
                    added.map_err(|_| CommandError::text("ERR entries_added must be positive"));
                options.entries_added = Some(added?);
            } else if context.is(at, "maxdeletedid") {
                options.max_deleted = strict_id(value, 0)?;
                // The log may say so of a stream whose last id was set back.
                if id < options.max_deleted && !context.mode.loading {
                    return Err(CommandError::text(
                        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                    ));
                }
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        if at < context.args.len() {
            return Err(CommandError::Syntax);
        }
        Ok(options)
    }
}

fn xsetid(context: &mut Context<'_, '_>) -> CommandResult {
    let (args, key) = (context.args, context.args[1]);
    let id = strict_id(args[2], 0)?;
    let options = SetId::parse(context, id)?;
    let stream = context
        .txn
        .stream_mut(key)?
        .ok_or(CommandError::NoSuchKey)?;
    let state = stream.state();
    if stream.last_entry().is_some_and(|last| id < last.id) {
        return Err(CommandError::text(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    let len = stream.len() as u64;
    if !stream.is_empty() && options.entries_added.is_some_and(|added| added < len) {
        return Err(CommandError::text(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    let max_deleted = match options.max_deleted {
        StreamId::MIN => state.max_deleted_id,
        given => given,
    };
    let added = options.entries_added.unwrap_or(state.entries_added);
    stream.set_state(id, max_deleted, added);
    context.txn.changed_groups("xsetid", key);
    context.reply.ok();
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("streams/entries.txt"));
    }
}
