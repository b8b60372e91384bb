//! Deleting entries of streams with an eye on who still has them pending: XDELEX and XACKDEL. It knows what of the groups
//! is kept; not how entries are stored.

use super::spec::{CommandSpec, Flags, one_key};
use super::streams::strict_id;
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::EventClass;
use crate::value::number::parse_i64;
use crate::value::stream::{References, Stream, StreamId};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 group:string condition:oneof?{keepref:pure-token=KEEPREF delref:pure-token=DELREF acked:pure-token=ACKED} ids:block=IDS{numids:integer id:string*}",
        acl: "write stream fast",
        keys: &[one_key("RW update delete")],
        group: "stream",
        since: "8.2.0",
        summary: "Acknowledges and deletes one or multiple messages for a stream consumer group.",
        complexity: "O(1) for each message ID processed.",
        ..CommandSpec::new("xackdel", -6, Flags::WRITE.and(Flags::FAST), xackdel)
    },
    CommandSpec {
        arguments: "key:key#0 condition:oneof?{keepref:pure-token=KEEPREF delref:pure-token=DELREF acked:pure-token=ACKED} ids:block=IDS{numids:integer id:string*}",
        acl: "write stream fast",
        keys: &[one_key("RW delete")],
        group: "stream",
        since: "8.2.0",
        summary: "Deletes one or multiple entries from the stream.",
        complexity: "O(1) for each single item to delete in the stream, regardless of the stream size.",
        ..CommandSpec::new("xdelex", -5, Flags::WRITE.and(Flags::FAST), xdelex)
    },
];

/// What the answer says of an id.
const MISSING: i64 = -1;
const DELETED: i64 = 1;
const REFERENCED: i64 = 2;

/// The option that a word is, if it is one.
pub(super) fn references_at(context: &Context<'_, '_>, at: usize) -> Option<References> {
    match () {
        () if context.is(at, "keepref") => Some(References::Kept),
        () if context.is(at, "delref") => Some(References::Deleted),
        () if context.is(at, "acked") => Some(References::Awaited),
        () => None,
    }
}

/// The option and the words of the ids, from the word at `position` on.
fn parse<'a>(
    context: &Context<'a, '_>,
    mut position: usize,
) -> Result<(References, &'a [&'a [u8]]), CommandError> {
    let (mut references, mut ids) = (None, None);
    while position < context.args.len() {
        if let Some(option) = references_at(context, position) {
            if references.replace(option).is_some() {
                return Err(CommandError::Syntax);
            }
            position += 1;
        } else if context.is(position, "ids") {
            let listed = ids_at(context, position + 1)?;
            position += 2 + listed.len();
            ids = Some(listed);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let ids = ids.ok_or(CommandError::Syntax)?;
    Ok((references.unwrap_or(References::Kept), ids))
}

fn ids_at<'a>(context: &Context<'a, '_>, position: usize) -> Result<&'a [&'a [u8]], CommandError> {
    let [count, ids @ ..] = context.args.get(position..).unwrap_or_default() else {
        return Err(CommandError::Syntax);
    };
    let count = parse_i64(count)
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or(CommandError::text(
            "ERR Number of IDs must be a positive integer",
        ))?;
    ids.get(..count).ok_or(CommandError::text(
        "ERR The `numids` parameter must match the number of arguments",
    ))
}

fn read_ids(words: &[&[u8]]) -> Result<Vec<StreamId>, CommandError> {
    words.iter().map(|word| strict_id(word, 0)).collect()
}

/// What has been done.
#[derive(Debug, Default)]
struct Done {
    deleted: u64,
    /// Deliveries that are pending no more.
    acknowledged: u64,
}

impl Done {
    /// Deletes an entry as its references allow; the answer.
    fn delete(&mut self, stream: &mut Stream, id: StreamId, references: References) -> i64 {
        match references {
            References::Kept => {}
            References::Deleted => self.acknowledged += stream.acknowledge_in_all_groups(id),
            References::Awaited if stream.is_awaited(id) => return REFERENCED,
            References::Awaited => {}
        }
        if !stream.delete(id) {
            return MISSING;
        }
        self.deleted += 1;
        DELETED
    }

    fn tell(&self, context: &mut Context<'_, '_>) {
        let (txn, key) = (&mut *context.txn, context.args[1]);
        let mut changes = self.deleted + self.acknowledged;
        if self.deleted > 0 {
            txn.changed_unawaited(EventClass::STREAM, "xdel", key);
            changes -= 1;
        }
        txn.add_dirty(changes);
    }
}

fn xdelex(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    context.txn.stream(key)?;
    let (references, words) = parse(context, 2)?;
    let Some(stream) = context.txn.stream_mut(key)? else {
        answer_missing(context, words.len());
        return Ok(Outcome::Done);
    };
    let ids = read_ids(words)?;
    let mut done = Done::default();
    context.reply.array(ids.len());
    for id in ids {
        context.reply.int(done.delete(stream, id, references));
    }
    done.tell(context);
    Ok(Outcome::Done)
}

fn xackdel(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, name) = (context.args[1], context.args[2]);
    context.txn.stream(key)?;
    let (references, words) = parse(context, 3)?;
    let stream = context.txn.stream_mut(key)?;
    let Some(stream) = stream.filter(|stream| stream.group(name).is_some()) else {
        answer_missing(context, words.len());
        return Ok(Outcome::Done);
    };
    let ids = read_ids(words)?;
    let mut done = Done::default();
    context.reply.array(ids.len());
    for id in ids {
        let group = stream.group_mut(name);
        let answer = if group.is_some_and(|group| group.acknowledge(id)) {
            done.acknowledged += 1;
            // What was pending counts as deleted, though it may have been before.
            match done.delete(stream, id, references) {
                REFERENCED => REFERENCED,
                _ => DELETED,
            }
        } else {
            MISSING
        };
        context.reply.int(answer);
    }
    done.tell(context);
    Ok(Outcome::Done)
}

fn answer_missing(context: &mut Context<'_, '_>, count: usize) {
    context.reply.array(count);
    (0..count).for_each(|_| context.reply.int(MISSING));
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;

    /// What redis-server 8.2.3 answers; it logs nothing where only what was pending of deleted entries goes, we do.
    #[test]
    fn answers_as_redis_does() {
        let mut h = Harness::new();
        for case in include_str!("stream_deletes/transcript.txt").lines() {
            let (command, answer) = case.split_once(" => ").expect("a line is a case");
            h.expect(&[(command, answer)]);
        }
    }

    #[test]
    fn what_changes_is_told_and_logged() {
        let mut h = Harness::new();
        for line in [
            "XADD s 1-0 a 1",
            "XADD s 2-0 a 1",
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g c STREAMS s >",
        ] {
            h.run(line);
        }
        h.run("XDELEX s ACKED IDS 1 1-0");
        assert!(h.events().is_empty() && h.effects().is_empty());
        h.run("XDELEX s IDS 2 1-0 9-9");
        assert_eq!(
            (h.events(), h.journal.dirty),
            (vec!["xdel s".to_owned()], 1)
        );
        assert_eq!(h.effects(), ["XDELEX s IDS 2 1-0 9-9"]);
        h.run("XDELEX s DELREF IDS 1 1-0");
        assert_eq!(h.effects(), ["XDELEX s DELREF IDS 1 1-0"]);
        h.run("XACKDEL s g IDS 1 2-0");
        assert_eq!(h.events(), ["xdel s"]);
        assert_eq!(h.effects(), ["XACKDEL s g IDS 1 2-0"]);
        h.expect(&[("XLEN s", "0"), ("EXISTS s", "1")]);
    }
}
