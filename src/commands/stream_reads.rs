//! Streams: reading what comes after an id, alone or as a consumer of a group, and waiting for it. Knows no waiter: a
//! handler says what shall run when one of its keys is ready.

use super::error::shown;
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec};
use super::streams::{bulk_id, strict_id, write_entries, write_entry};
use super::{Block, CommandError, CommandResult, Context, Outcome, TimeoutReply};
use crate::keyspace::{Entry, Txn, ValueRef};
use crate::reply::Reply;
use crate::value::lossless;
use crate::value::number::parse_i64;
use crate::value::stream::{Stream, StreamId};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "count:integer=COUNT? milliseconds:integer=BLOCK? streams:block=STREAMS{key:key#0* id:string*}",
        acl: "read stream slow blocking",
        keys: &[KeySpec {
            flags: "RO access",
            notes: "",
            begin: Begin::Keyword("STREAMS", 1),
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 2,
            },
        }],
        group: "stream",
        since: "5.0.0",
        summary: "Return never seen elements in multiple streams, with IDs greater than the ones reported by the caller for each stream. Can block.",
        complexity: "For each stream mentioned: O(N) with N being the number of elements being returned, it means that XREAD-ing with a fixed COUNT is O(1). Note that when the BLOCK option is used, XADD will pay O(M) time in order to serve the M clients blocked on the stream getting new data.",
        find_keys: Some(find_keys),
        ..CommandSpec::new(
            "xread",
            -4,
            Flags::READONLY.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
            xread,
        )
    },
    CommandSpec {
        arguments: "group_consumer:block=GROUP{group:string consumer:string} count:integer=COUNT? milliseconds:integer=BLOCK? noack:pure-token=NOACK? streams:block=STREAMS{key:key#0* id:string*}",
        acl: "write stream slow blocking",
        keys: &[KeySpec {
            flags: "RO access",
            notes: "",
            begin: Begin::Keyword("STREAMS", 4),
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 2,
            },
        }],
        group: "stream",
        since: "5.0.0",
        summary: "Return new entries from a stream using a consumer group, or access the history of the pending entries for a given consumer. Can block.",
        complexity: "For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.",
        find_keys: Some(find_keys),
        ..CommandSpec::new(
            "xreadgroup",
            -7,
            Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
            xreadgroup,
        )
    },
];

// ------------------------------------------------------------------------------------------------ words

/// The words of XREAD and XREADGROUP.
struct Words<'a> {
    count: usize,
    /// Milliseconds since 1970; nothing: it does not wait; the inner nothing: for ever.
    deadline_ms: Option<Option<i64>>,
    /// Group and consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// Position of the first key, and how many there are; as many ids follow.
    first: usize,
    keys: usize,
}

impl<'a> Words<'a> {
    fn parse(context: &Context<'a, '_>, grouped: bool) -> Result<Self, CommandError> {
        let args = context.args;
        let mut words = Self {
            count: usize::MAX,
            deadline_ms: None,
            group: None,
            no_ack: false,
            first: 0,
            keys: 0,
        };
        let mut at = 1;
        while at < args.len() {
            let more = args.len() - 1 - at;
            if more > 0 && context.is(at, "block") {
                if context.mode.script {
                    let name = lossless::text(args[0]);
                    return Err(format!(
                        "ERR {name} command is not allowed with BLOCK option from scripts"
                    )
                    .into());
                }
                words.deadline_ms = Some(deadline(context, at + 1)?);
                at += 1;
            } else if more > 0 && context.is(at, "count") {
                let count = usize::try_from(context.int(at + 1)?).unwrap_or(0);
                words.count = if count == 0 { usize::MAX } else { count };
                at += 1;
            } else if more > 0 && context.is(at, "streams") {
                words.find_keys(at, args.len())?;
                break;
            } else if more > 1 && context.is(at, "group") {
                only_grouped(grouped, "GROUP")?;
                words.group = Some((args[at + 1], args[at + 2]));
                at += 2;
            } else if context.is(at, "noack") {
                only_grouped(grouped, "NOACK")?;
                words.no_ack = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if words.keys == 0 {
            return Err(CommandError::Syntax);
        }
        if grouped && words.group.is_none() {
            return Err(CommandError::text(
                "ERR Missing GROUP option for XREADGROUP",
            ));
        }
        Ok(words)
    }

    fn find_keys(&mut self, at: usize, len: usize) -> Result<(), CommandError> {
        self.first = at + 1;
        self.keys = (len - self.first) / 2;
        if !(len - self.first).is_multiple_of(2) {
            return Err(CommandError::text(
                "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
            ));
        }
        Ok(())
    }

    fn keys(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.keys
    }

    /// The command that reads one key after an id, for when it is ready.
    fn for_key(&self, name: &[u8], key: &[u8], id: &[u8]) -> Vec<Box<[u8]>> {
        let mut words: Vec<Box<[u8]>> = vec![name.into()];
        if let Some((group, consumer)) = self.group {
            words.extend([&b"GROUP"[..], group, consumer].map(Box::from));
        }
        if self.count != usize::MAX {
            words.push(Box::from(&b"COUNT"[..]));
            words.push(self.count.to_string().into_bytes().into());
        }
        if self.no_ack {
            words.push(Box::from(&b"NOACK"[..]));
        }
        words.extend([&b"BLOCK"[..], b"0", b"STREAMS", key, id].map(Box::from));
        words
    }
}

fn only_grouped(grouped: bool, option: &str) -> Result<(), CommandError> {
    if grouped {
        return Ok(());
    }
    let text = format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    );
    Err(text.into())
}

/// A timeout in milliseconds as a deadline; nothing: for ever.
fn deadline(context: &Context<'_, '_>, at: usize) -> Result<Option<i64>, CommandError> {
    let ms = context
        .args
        .get(at)
        .and_then(|word| parse_i64(word))
        .ok_or(CommandError::text(
            "ERR timeout is not an integer or out of range",
        ))?;
    match ms {
        0 => Ok(None),
        ..0 => Err(CommandError::NegativeTimeout),
        // Redis does not see the end of a time that it cannot count.
        _ => Ok(context.txn.now_ms().checked_add(ms)),
    }
}

/// Where the keys of XREAD and XREADGROUP stand: behind the word STREAMS that is no option's value, as many as there are
/// ids. There are no others.
fn find_keys(args: &[&[u8]], visit: &mut dyn FnMut(usize, &'static str)) -> bool {
    let is = |at: usize, option: &str| {
        args.get(at)
            .is_some_and(|word| word.eq_ignore_ascii_case(option.as_bytes()))
    };
    let mut at = 1;
    while at < args.len() {
        if is(at, "block") || is(at, "count") {
            at += 1;
        } else if is(at, "group") {
            at += 2;
        } else if is(at, "streams") {
            let rest = args.len() - at - 1;
            if rest.is_multiple_of(2) {
                (at + 1..at + 1 + rest / 2).for_each(|key| visit(key, "RO access"));
            }
            break;
        } else if !is(at, "noack") {
            break;
        }
        at += 1;
    }
    false
}

// ------------------------------------------------------------------------------------------------ without a group

fn stream_at<'a>(txn: &'a Txn<'_>, key: &[u8]) -> Option<&'a Stream> {
    match txn.peek(key).map(Entry::value) {
        Some(ValueRef::Stream(stream)) => Some(stream),
        _ => None,
    }
}

/// The id up to which there is something to read. A waiter is also told of an entry that is gone already, with an empty
/// answer: Redis asks for the last id then, and not for the last entry.
fn last_id(stream: &Stream, retry: bool) -> StreamId {
    if retry {
        return stream.state().last_id;
    }
    stream.last_entry().map_or(StreamId::MIN, |last| last.id)
}

/// Announces the answer: a map of keys in RESP3, pairs of them in RESP2.
fn begin(reply: &mut dyn Reply, keys: usize) {
    if reply.is_resp3() {
        reply.map(keys);
    } else {
        reply.array(keys);
    }
}

fn begin_key(reply: &mut dyn Reply, key: &[u8]) {
    if !reply.is_resp3() {
        reply.array(2);
    }
    reply.bulk(key);
}

/// Nothing to read: waits, if BLOCK asks for that. `ids` are what the waiter reads after.
fn wait(context: &mut Context<'_, '_>, words: &Words<'_>, ids: &[Vec<u8>]) -> CommandResult {
    let Some(deadline_ms) = words.deadline_ms else {
        context.reply.null_array();
        return Ok(Outcome::Done);
    };
    let args = context.args;
    let commands = words
        .keys()
        .zip(ids)
        .map(|(at, id)| words.for_key(args[0], args[at], id))
        .collect();
    let keys = words.keys().collect();
    context.block_with(Block {
        commands,
        when_gone: words.group.is_some(),
        ..Block::new(keys, deadline_ms, TimeoutReply::NullArray)
    })
}

fn xread(context: &mut Context<'_, '_>) -> CommandResult {
    let words = Words::parse(context, false)?;
    let args = context.args;
    let mut after = Vec::with_capacity(words.keys);
    for at in words.keys() {
        let stream = match context.txn.stream(args[at]) {
            // A waiter goes on waiting when its key becomes something else.
            Err(_) if context.mode.retry => None,
            stream => stream?,
        };
        let last_id = stream.map(|stream| stream.state().last_id);
        after.push(match args[at + words.keys] {
            b"$" => last_id.unwrap_or_default(),
            b"+" => {
                let last = stream.and_then(|stream| stream.last_entry()?.id.previous());
                last.or(last_id).unwrap_or_default()
            }
            b">" => {
                return Err(CommandError::text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
                ));
            }
            id => strict_id(id, 0)?,
        });
    }
    let retry = context.mode.retry;
    let Context { txn, reply, .. } = context;
    let found: Vec<(&[u8], &Stream, StreamId)> = words
        .keys()
        .zip(&after)
        .filter_map(|(at, after)| {
            let stream = stream_at(txn, args[at])?;
            let is_ready = last_id(stream, retry) > *after;
            is_ready.then_some((args[at], stream, after.next()?))
        })
        .collect();
    if found.is_empty() {
        let asked = words.keys().map(|at| args[at + words.keys]);
        let text = |(id, asked): (&StreamId, &[u8])| match asked {
            // What is the last entry shows when the wait is over.
            b"+" => b"+".to_vec(),
            _ => id.to_text().to_vec(),
        };
        let ids: Vec<Vec<u8>> = after.iter().zip(asked).map(text).collect();
        return wait(context, &words, &ids);
    }
    begin(&mut **reply, found.len());
    for (key, stream, start) in found {
        begin_key(&mut **reply, key);
        let entries = stream.range(start, StreamId::MAX).take(words.count);
        write_entries(&mut **reply, entries);
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ as a consumer

/// What a consumer reads of a key.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// What was never delivered to the group.
    New,
    /// What is pending for it after an id.
    History(StreamId),
}

fn xreadgroup(context: &mut Context<'_, '_>) -> CommandResult {
    let words = Words::parse(context, true)?;
    let (group, consumer) = words.group.unwrap_or_default();
    let args = context.args;
    let mut served: Vec<(&[u8], Wanted)> = Vec::new();
    for at in words.keys() {
        let wanted = wanted(context, args[at], group, args[at + words.keys])?;
        let is_same =
            |(key, wanted): &&(&[u8], Wanted)| *key == args[at] && matches!(wanted, Wanted::New);
        let before = served.iter().filter(is_same).count();
        let taken = before.saturating_mul(words.count);
        if matches!(wanted, Wanted::History(_)) || has_new(context, args[at], group, taken) {
            served.push((args[at], wanted));
        }
    }
    if served.is_empty() {
        return wait(context, &words, &vec![b">".to_vec(); words.keys]);
    }
    begin(context.reply, served.len());
    for (key, wanted) in served {
        begin_key(context.reply, key);
        let log = words.no_ack || context.mode.retry || matches!(wanted, Wanted::History(_));
        note_consumer(context.txn, key, group, consumer, log)?;
        match wanted {
            Wanted::New => deliver(context, key, &words)?,
            Wanted::History(after) => repeat(context, key, &words, after)?,
        }
    }
    context.txn.propagate_nothing();
    Ok(Outcome::Done)
}

/// Whether a group has new entries beyond those that the same command takes before.
fn has_new(context: &Context<'_, '_>, key: &[u8], group: &[u8], taken: usize) -> bool {
    let Some(stream) = stream_at(context.txn, key) else {
        return false;
    };
    let Some(group) = stream.group(group) else {
        return false;
    };
    let is_behind = last_id(stream, context.mode.retry) > group.last_delivered;
    let beyond = |start| stream.range(start, StreamId::MAX).nth(taken).is_some();
    is_behind && (taken == 0 || group.last_delivered.next().is_some_and(beyond))
}

/// What an id asks for, after key and group were looked at.
fn wanted(
    context: &mut Context<'_, '_>,
    key: &[u8],
    group: &[u8],
    id: &[u8],
) -> Result<Wanted, CommandError> {
    let retry = context.mode.retry;
    let found = match context.txn.stream(key) {
        Err(_) | Ok(None) if retry => {
            return Err(CommandError::text(
                "UNBLOCKED the stream key no longer exists",
            ));
        }
        found => found?.and_then(|stream| stream.group(group)),
    };
    if found.is_none() && retry {
        return Err(CommandError::text(
            "NOGROUP the consumer group this client was blocked on no longer exists",
        ));
    }
    if found.is_none() {
        let (key, group) = (shown(key), shown(group));
        let text = format!(
            "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
        );
        return Err(text.into());
    }
    match id {
        b">" => Ok(Wanted::New),
        b"$" => Err(CommandError::text(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
        )),
        id => match strict_id(id, 0)? {
            // Redis keeps the last id for `>`.
            StreamId::MAX => Ok(Wanted::New),
            id => Ok(Wanted::History(id)),
        },
    }
}

/// Makes the consumer if there is none, and notes that it was here. What is logged for what it gets makes it as well;
/// otherwise `log` asks for an effect of its own.
pub(super) fn note_consumer(
    txn: &mut Txn<'_>,
    key: &[u8],
    group: &[u8],
    name: &[u8],
    log: bool,
) -> Result<(), CommandError> {
    let now_ms = txn.now_ms();
    let Some(found) = txn
        .stream_mut(key)?
        .and_then(|stream| stream.group_mut(group))
    else {
        return Ok(());
    };
    if let Some(consumer) = found.consumer_mut(name) {
        consumer.seen_ms = now_ms;
        return Ok(());
    }
    found.add_consumer(name, now_ms);
    txn.changed_groups("xgroup-createconsumer", key);
    if log {
        txn.propagate(&[b"XGROUP", b"CREATECONSUMER", key, group, name]);
    }
    Ok(())
}

/// Delivers new entries: they are pending for the consumer from now on, unless NOACK says that they are not.
fn deliver(
    context: &mut Context<'_, '_>,
    key: &[u8],
    words: &Words<'_>,
) -> Result<(), CommandError> {
    let (name, consumer) = words.group.unwrap_or_default();
    let Context { txn, reply, .. } = context;
    let now_ms = txn.now_ms();
    let Some(stream) = txn.stream_mut(key)? else {
        return Ok(());
    };
    let after = stream.group(name).map(|group| group.last_delivered);
    let start = after.and_then(StreamId::next).unwrap_or(StreamId::MAX);
    let entries: Vec<_> = stream
        .range(start, StreamId::MAX)
        .take(words.count)
        .collect();
    let ids: Vec<StreamId> = entries.iter().map(|entry| entry.id).collect();
    write_entries(&mut **reply, entries.into_iter());
    for id in &ids {
        stream.advance_group(name, *id);
        if !words.no_ack
            && let Some(group) = stream.group_mut(name)
        {
            group.deliver(*id, consumer, now_ms, 1);
        }
    }
    // What nobody has to acknowledge leaves no trace at the consumer.
    if !words.no_ack
        && let Some(group) = stream.group_mut(name)
        && let Some(consumer) = group.consumer_mut(consumer)
    {
        consumer.active_ms = now_ms;
    }
    let entries_read = stream.group(name).and_then(|group| group.entries_read);
    txn.add_dirty(1);
    if !words.no_ack {
        for id in &ids {
            let delivery = (now_ms, 1);
            log_claim(txn, key, name, consumer, (*id, delivery, *id));
        }
    }
    if let Some(last) = ids.last() {
        log_position(txn, key, name, (*last, entries_read));
    }
    Ok(())
}

/// Answers once more what is pending for the consumer; entries that were deleted are null.
fn repeat(
    context: &mut Context<'_, '_>,
    key: &[u8],
    words: &Words<'_>,
    after: StreamId,
) -> Result<(), CommandError> {
    let (name, consumer) = words.group.unwrap_or_default();
    let Context { txn, reply, .. } = context;
    let now_ms = txn.now_ms();
    let Some(stream) = txn.stream_mut(key)? else {
        return Ok(());
    };
    let pending = stream
        .group(name)
        .and_then(|group| group.consumer(consumer));
    let start = after.next().unwrap_or(StreamId::MAX);
    let ids: Vec<StreamId> = pending
        .into_iter()
        .flat_map(|consumer| consumer.pending_from(start))
        .take(words.count)
        .collect();
    reply.array(ids.len());
    for id in ids {
        let Some(entry) = stream.get(id) else {
            reply.array(2);
            bulk_id(&mut **reply, id);
            reply.null_array();
            continue;
        };
        write_entry(&mut **reply, &entry);
        let group = stream.group_mut(name);
        if let Some(delivery) = group.and_then(|group| group.delivery_mut(id)) {
            delivery.delivered_ms = now_ms;
            delivery.count = delivery.count.saturating_add(1);
        }
    }
    txn.add_dirty(1);
    Ok(())
}

/// Logs that an entry is pending for a consumer: its id, when and how often it was delivered, and the group's last id.
pub(super) fn log_claim(
    txn: &mut Txn<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    (id, (delivered_ms, count), last): (StreamId, (i64, u64), StreamId),
) {
    let (mut time, mut times) = (itoa::Buffer::new(), itoa::Buffer::new());
    txn.propagate(&[
        b"XCLAIM",
        key,
        group,
        consumer,
        b"0",
        &id.to_text(),
        b"TIME",
        time.format(delivered_ms).as_bytes(),
        b"RETRYCOUNT",
        times
            .format(i64::try_from(count).unwrap_or(i64::MAX))
            .as_bytes(),
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        &last.to_text(),
    ]);
}

/// Logs how far a group has read: the last id, and how many entries that makes.
pub(super) fn log_position(
    txn: &mut Txn<'_>,
    key: &[u8],
    group: &[u8],
    (last, entries_read): (StreamId, Option<i64>),
) {
    let mut read = itoa::Buffer::new();
    txn.propagate(&[
        b"XGROUP",
        b"SETID",
        key,
        group,
        &last.to_text(),
        b"ENTRIESREAD",
        read.format(entries_read.unwrap_or(-1)).as_bytes(),
    ]);
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::{Harness, shown};
    use crate::commands::{Mode, Outcome};

    /// What would run for each key, and whether also for one that is gone.
    fn blocked(harness: &Harness) -> (Vec<String>, Option<i64>, bool) {
        let Some(Outcome::Block(block)) = &harness.outcome else {
            panic!("{:?} is no wish to wait", harness.outcome);
        };
        let command = |words: &Vec<Box<[u8]>>| {
            let words: Vec<_> = words
                .iter()
                .map(|word| String::from_utf8_lossy(word))
                .collect();
            words.join(" ")
        };
        let commands = block.commands.iter().map(command).collect();
        (commands, block.deadline_ms, block.when_gone)
    }

    /// What redis-server 7.0.15 answers.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("streams/reads.txt"));
    }

    #[test]
    fn a_waiter_reads_after_what_was_the_last_id_when_it_began() {
        let mut h = Harness::new();
        h.run("XADD s 5-1 a b");
        h.run("XREAD BLOCK 7 COUNT 3 STREAMS s t u $ $ 4-0");
        let commands = [
            "XREAD COUNT 3 BLOCK 0 STREAMS s 5-1",
            "XREAD COUNT 3 BLOCK 0 STREAMS t 0-0",
            "XREAD COUNT 3 BLOCK 0 STREAMS u 4-0",
        ];
        let commands = commands.map(str::to_owned).to_vec();
        assert_eq!(blocked(&h), (commands, Some(1_000_000_007), false));
        h.mode.nested = true;
        h.expect(&[("XREAD BLOCK 0 STREAMS s $", "nil")]);
        assert_eq!(h.outcome, Some(Outcome::Done));
    }

    #[test]
    fn a_consumer_that_waits_hears_when_its_group_is_gone() {
        let mut h = Harness::new();
        h.run("XGROUP CREATE s g $ MKSTREAM");
        let command = "XREADGROUP GROUP g c NOACK BLOCK 0 STREAMS s >";
        h.run(command);
        assert_eq!(blocked(&h), (vec![command.to_owned()], None, true));
        h.mode = Mode {
            retry: true,
            ..Mode::default()
        };
        h.run(command);
        assert!(matches!(h.outcome, Some(Outcome::Block(_))));
        for (change, answer) in [
            (
                "XGROUP DESTROY s g",
                "-NOGROUP the consumer group this client was blocked on no longer exists",
            ),
            ("SET s x", "-UNBLOCKED the stream key no longer exists"),
            ("DEL s", "-UNBLOCKED the stream key no longer exists"),
        ] {
            h.run(change);
            assert_eq!(shown(&h.run(command)), answer, "{change}");
        }
        h.run("RPUSH s x");
        h.run("XREAD BLOCK 0 STREAMS s 0-0");
        assert!(matches!(h.outcome, Some(Outcome::Block(_))));
    }

    #[test]
    fn words_of_a_group_may_look_like_options() {
        let mut h = Harness::new();
        h.run("XGROUP CREATE s streams $ MKSTREAM");
        h.run("XADD s 1-1 a b");
        let answer = "[[\"s\" [[\"1-1\" [\"a\" \"b\"]]]]]";
        h.expect(&[("XREADGROUP GROUP streams STREAMS STREAMS s >", answer)]);
    }
}
