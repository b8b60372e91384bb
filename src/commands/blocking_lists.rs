//! Lists: the commands that wait for an element. They try what their plain sisters in [`super::lists`] do, and wait
//! when there is nothing to take. They know no waiter: the engine runs them again when a key is ready.

use super::lists::{End, MultiPop, note_popped, pop_first, transfer};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, key_range, one_key};
use super::strings::answer;
use super::{CommandError, CommandResult, Context, Outcome, TimeoutReply};
use crate::keyspace::{ValueRef, WrongType};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "source:key#0 destination:key#1 wherefrom:oneof{left:pure-token=LEFT right:pure-token=RIGHT} whereto:oneof{left:pure-token=LEFT right:pure-token=RIGHT} timeout:double",
        acl: "write list slow blocking",
        keys: &[one_key("RW access delete"), key_range("RW insert", 2, 0, 1)],
        group: "list",
        since: "6.2.0",
        summary: "Pop an element from a list, push it to another list and return it; or block until one is available",
        complexity: "O(1)",
        ..CommandSpec::new(
            "blmove",
            6,
            Flags::WRITE
                .and(Flags::DENYOOM)
                .and(Flags::NOSCRIPT)
                .and(Flags::BLOCKING),
            blmove,
        )
    },
    CommandSpec {
        arguments: "timeout:double numkeys:integer key:key#0* where:oneof{left:pure-token=LEFT right:pure-token=RIGHT} count:integer=COUNT?",
        acl: "write list slow blocking",
        keys: &[KeySpec {
            flags: "RW access delete",
            notes: "",
            begin: Begin::Index(2),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "list",
        since: "7.0.0",
        summary: "Pop elements from a list, or block until one is available",
        complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        ..CommandSpec::new(
            "blmpop",
            -5,
            Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
            blmpop,
        )
    },
    CommandSpec {
        arguments: "key:key#0* timeout:double",
        acl: "write list slow blocking",
        keys: &[key_range("RW access delete", 1, -2, 1)],
        group: "list",
        since: "2.0.0",
        summary: "Remove and get the first element in a list, or block until one is available",
        complexity: "O(N) where N is the number of provided keys.",
        history: &[(
            "6.0.0",
            "`timeout` is interpreted as a double instead of an integer.",
        )],
        ..CommandSpec::new(
            "blpop",
            -3,
            Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING),
            blpop,
        )
    },
    CommandSpec {
        arguments: "key:key#0* timeout:double",
        acl: "write list slow blocking",
        keys: &[key_range("RW access delete", 1, -2, 1)],
        group: "list",
        since: "2.0.0",
        summary: "Remove and get the last element in a list, or block until one is available",
        complexity: "O(N) where N is the number of provided keys.",
        history: &[(
            "6.0.0",
            "`timeout` is interpreted as a double instead of an integer.",
        )],
        ..CommandSpec::new(
            "brpop",
            -3,
            Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING),
            brpop,
        )
    },
    CommandSpec {
        arguments: "source:key#0 destination:key#1 timeout:double",
        acl: "write list slow blocking",
        keys: &[one_key("RW access delete"), key_range("RW insert", 2, 0, 1)],
        group: "list",
        since: "2.2.0",
        summary: "Pop an element from a list, push it to another list and return it; or block until one is available",
        complexity: "O(1)",
        history: &[(
            "6.0.0",
            "`timeout` is interpreted as a double instead of an integer.",
        )],
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        ..CommandSpec::new(
            "brpoplpush",
            4,
            Flags::WRITE
                .and(Flags::DENYOOM)
                .and(Flags::NOSCRIPT)
                .and(Flags::BLOCKING),
            brpoplpush,
        )
    },
];

fn pop(context: &mut Context<'_, '_>, end: End) -> CommandResult {
    let last = context.args.len() - 1;
    let deadline = context.deadline(last)?;
    if pop_one(context, end)? {
        return Ok(Outcome::Done);
    }
    context.block((1..last).collect(), deadline, TimeoutReply::NullArray)
}

/// Takes an element off the first list that is there, and answers its key and it; false, with nothing answered, when
/// there is none.
fn pop_one(context: &mut Context<'_, '_>, end: End) -> Result<bool, CommandError> {
    let retry = context.mode.retry;
    let Context {
        txn, args, reply, ..
    } = context;
    for key in &args[1..args.len() - 1] {
        let list = match txn.list_mut(key) {
            Err(WrongType) if retry => None,
            found => found?,
        };
        let Some(list) = list else { continue };
        reply.array(2);
        reply.bulk(key);
        answer(&mut **reply, end.of(list));
        end.remove(list, 1);
        let emptied = list.is_empty();
        note_popped(txn, key, end, 1, emptied);
        txn.propagate(&[end.pop_command(), key]);
        return Ok(true);
    }
    Ok(false)
}

fn blpop(context: &mut Context<'_, '_>) -> CommandResult {
    pop(context, End::Left)
}

fn brpop(context: &mut Context<'_, '_>) -> CommandResult {
    pop(context, End::Right)
}

fn blmpop(context: &mut Context<'_, '_>) -> CommandResult {
    let wanted = MultiPop::parse(context, 2)?;
    let deadline = context.deadline(1)?;
    if pop_first(context, &wanted)? {
        return Ok(Outcome::Done);
    }
    let keys = (wanted.first..wanted.behind).collect();
    context.block(keys, deadline, TimeoutReply::NullArray)
}

/// Moves an element of the list at word 1 to the one at word 2; false, with nothing answered, when there is none.
fn try_transfer(context: &mut Context<'_, '_>, from: End, to: End) -> Result<bool, CommandError> {
    let args = context.args;
    let result = transfer(context, (args[1], from), (args[2], to));
    if context.mode.retry && result == Err(CommandError::WrongType) {
        let source = context.txn.peek(args[1]);
        // Another type at the source is not what is waited for; at the destination it is an error.
        if !source.is_some_and(|entry| matches!(entry.value(), ValueRef::List(_))) {
            return Ok(false);
        }
    }
    result
}

/// Answers null where waiting is not allowed; a wait that comes to nothing ends with a null array, though.
fn wait_for_source(context: &mut Context<'_, '_>, deadline_ms: Option<i64>) -> CommandResult {
    if context.mode.nested {
        context.reply.null();
        return Ok(Outcome::Done);
    }
    context.block(vec![1], deadline_ms, TimeoutReply::NullArray)
}

fn blmove(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let (from, to) = (End::parse(args[3])?, End::parse(args[4])?);
    let deadline = context.deadline(5)?;
    if !try_transfer(context, from, to)? {
        return wait_for_source(context, deadline);
    }
    context
        .txn
        .propagate(&[b"LMOVE", args[1], args[2], args[3], args[4]]);
    Ok(Outcome::Done)
}

fn brpoplpush(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let deadline = context.deadline(3)?;
    if !try_transfer(context, End::Right, End::Left)? {
        return wait_for_source(context, deadline);
    }
    context.txn.propagate(&[b"RPOPLPUSH", args[1], args[2]]);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::commands::{Block, Mode, Outcome, TimeoutReply};

    const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    const NOW: i64 = 1_000_000_000;

    fn block(
        keys: &[usize],
        deadline_ms: Option<i64>,
        on_timeout: TimeoutReply,
    ) -> Option<Outcome> {
        Some(Outcome::Block(Block::new(
            keys.to_vec(),
            deadline_ms,
            on_timeout,
        )))
    }

    #[test]
    fn what_is_there_is_taken_at_once_and_logged_without_waiting() {
        let mut h = Harness::new();
        for (line, answer, effect) in [
            ("BLPOP none l 0", "[\"l\" \"a\"]", "LPOP l"),
            ("BRPOP l none 0", "[\"l\" \"f\"]", "RPOP l"),
            (
                "BLMPOP 0 2 none l LEFT COUNT 2",
                "[\"l\" [\"b\" \"c\"]]",
                "LPOP l 2",
            ),
            ("BLMOVE l to right left 0", "\"e\"", "LMOVE l to right left"),
            ("BRPOPLPUSH l to 0", "\"d\"", "RPOPLPUSH l to"),
        ] {
            if line.starts_with("BLPOP") {
                h.expect(&[("RPUSH l a b c d e f", "6")]);
            }
            h.expect(&[(line, answer)]);
            assert_eq!(h.effects(), [effect], "{line}");
        }
        assert_eq!(h.events(), ["lpush to", "rpop l", "del l"]);
    }

    #[test]
    fn what_is_not_there_is_waited_for() {
        let mut h = Harness::new();
        for (line, outcome) in [
            (
                "BLPOP a b 1.5",
                block(&[1, 2], Some(NOW + 1500), TimeoutReply::NullArray),
            ),
            ("BRPOP a 0", block(&[1], None, TimeoutReply::NullArray)),
            (
                "BLMPOP 0 2 a b LEFT",
                block(&[3, 4], None, TimeoutReply::NullArray),
            ),
            (
                "BLMOVE a b LEFT LEFT 0.001",
                block(&[1], Some(NOW + 1), TimeoutReply::NullArray),
            ),
            (
                "BRPOPLPUSH a b 0",
                block(&[1], None, TimeoutReply::NullArray),
            ),
        ] {
            h.run(line);
            assert_eq!(h.outcome, outcome, "{line}");
            assert!(h.effects().is_empty());
        }
        h.mode.nested = true;
        for line in ["BLPOP a 0", "BLMPOP 0 1 a LEFT", "BLMOVE a b LEFT LEFT 0"] {
            h.expect(&[(line, "nil")]);
            assert_eq!(h.outcome, Some(Outcome::Done));
        }
    }

    #[test]
    fn refusals_come_in_their_order() {
        let mut h = Harness::new();
        let not_float = "-ERR timeout is not a float or out of range";
        h.expect(&[
            ("SET s x", "+OK"),
            ("RPUSH l a", "1"),
            ("BLPOP s foo", not_float),
            ("BLPOP s -1", "-ERR timeout is negative"),
            ("BLPOP none s 1", WRONG_TYPE),
            (
                "BLMPOP foo 0 l LEFT",
                "-ERR numkeys should be greater than 0",
            ),
            ("BLMPOP foo 1 l FOO", "-ERR syntax error"),
            ("BLMPOP foo 1 l LEFT", not_float),
            ("BLMOVE l to FOO LEFT x", "-ERR syntax error"),
            ("BLMOVE s to LEFT LEFT x", not_float),
            ("BLMOVE s to LEFT LEFT 1", WRONG_TYPE),
            ("BRPOPLPUSH l s 1", WRONG_TYPE),
        ]);
    }

    #[test]
    fn a_waiter_goes_on_waiting_when_another_type_appears() {
        let mut h = Harness::new();
        h.expect(&[("SET s x", "+OK"), ("RPUSH l a", "1")]);
        h.mode = Mode {
            retry: true,
            ..Mode::default()
        };
        for line in ["BLPOP s 0", "BLMPOP 0 1 s LEFT", "BLMOVE s to LEFT LEFT 0"] {
            h.run(line);
            assert!(matches!(h.outcome, Some(Outcome::Block(_))), "{line}");
        }
        h.expect(&[
            ("BLMOVE l s LEFT LEFT 0", WRONG_TYPE),
            ("BLPOP s l 0", "[\"l\" \"a\"]"),
        ]);
    }
}
