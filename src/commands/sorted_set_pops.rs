//! Removing the members with the lowest or the highest scores, and waiting for some. It knows whose turn it is no better
//! than the engine tells it: a handler that waits is run again when a key changes.

use super::elements::bulk_element;
use super::sorted_sets::{begin_entries, changed, write_entry};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, key_range, one_key};
use super::{CommandError, CommandResult, Context, Outcome, TimeoutReply};
use crate::keyspace::ValueRef;
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "timeout:double numkeys:integer key:key#0* where:oneof{min:pure-token=MIN max:pure-token=MAX} count:integer=COUNT?",
        acl: "write sortedset slow blocking",
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
        group: "sorted-set",
        since: "7.0.0",
        summary: "Remove and return members with scores in a sorted set or block until one is available",
        complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        ..CommandSpec::new(
            "bzmpop",
            -5,
            Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
            bzmpop,
        )
    },
    CommandSpec {
        arguments: "key:key#0* timeout:double",
        acl: "write sortedset fast blocking",
        keys: &[key_range("RW access delete", 1, -2, 1)],
        group: "sorted-set",
        since: "5.0.0",
        summary: "Remove and return the member with the highest score from one or more sorted sets, or block until one is available",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        history: &[(
            "6.0.0",
            "`timeout` is interpreted as a double instead of an integer.",
        )],
        ..CommandSpec::new(
            "bzpopmax",
            -3,
            Flags::WRITE
                .and(Flags::NOSCRIPT)
                .and(Flags::BLOCKING)
                .and(Flags::FAST),
            bzpopmax,
        )
    },
    CommandSpec {
        arguments: "key:key#0* timeout:double",
        acl: "write sortedset fast blocking",
        keys: &[key_range("RW access delete", 1, -2, 1)],
        group: "sorted-set",
        since: "5.0.0",
        summary: "Remove and return the member with the lowest score from one or more sorted sets, or block until one is available",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        history: &[(
            "6.0.0",
            "`timeout` is interpreted as a double instead of an integer.",
        )],
        ..CommandSpec::new(
            "bzpopmin",
            -3,
            Flags::WRITE
                .and(Flags::NOSCRIPT)
                .and(Flags::BLOCKING)
                .and(Flags::FAST),
            bzpopmin,
        )
    },
    CommandSpec {
        arguments: "numkeys:integer key:key#0* where:oneof{min:pure-token=MIN max:pure-token=MAX} count:integer=COUNT?",
        acl: "write sortedset slow",
        keys: &[KeySpec {
            flags: "RW access delete",
            notes: "",
            begin: Begin::Index(1),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "sorted-set",
        since: "7.0.0",
        summary: "Remove and return members with scores in a sorted set",
        complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        ..CommandSpec::new("zmpop", -4, Flags::WRITE.and(Flags::MOVABLEKEYS), zmpop)
    },
    CommandSpec {
        arguments: "key:key#0 count:integer?",
        acl: "write sortedset fast",
        keys: &[one_key("RW access delete")],
        group: "sorted-set",
        since: "5.0.0",
        summary: "Remove and return members with the highest scores in a sorted set",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        ..CommandSpec::new("zpopmax", -2, Flags::WRITE.and(Flags::FAST), zpopmax)
    },
    CommandSpec {
        arguments: "key:key#0 count:integer?",
        acl: "write sortedset fast",
        keys: &[one_key("RW access delete")],
        group: "sorted-set",
        since: "5.0.0",
        summary: "Remove and return members with the lowest scores in a sorted set",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        ..CommandSpec::new("zpopmin", -2, Flags::WRITE.and(Flags::FAST), zpopmin)
    },
];

/// Which end members are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    const fn event(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }

    /// The command that is logged for a pop.
    const fn effect(self) -> &'static [u8] {
        match self {
            Self::Min => b"ZPOPMIN",
            Self::Max => b"ZPOPMAX",
        }
    }
}

/// The shape of the answer of a pop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Member, score.
    Pair,
    /// Members with scores as ZRANGE answers them.
    Entries,
    /// Key, member, score.
    KeyAndPair,
    /// Key, and an array of pairs.
    KeyAndPairs,
}

/// Removes up to `count` members from one end of the sorted set at `key`, answers them, and returns how many; nothing
/// is answered where there is no member. The key is known to hold a sorted set, or nothing.
fn pop(
    context: &mut Context<'_, '_>,
    key: &[u8],
    end: End,
    count: usize,
    shape: Shape,
) -> Result<usize, CommandError> {
    let Some(set) = context.txn.sorted_set_mut(key)? else {
        return Ok(0);
    };
    let (len, reply) = (set.len(), &mut *context.reply);
    let count = count.min(len);
    if count == 0 {
        return Ok(0);
    }
    let ranks = match end {
        End::Min => 0..count,
        End::Max => len - count..len,
    };
    match shape {
        Shape::Pair => reply.array(2),
        Shape::Entries => begin_entries(reply, count, true),
        Shape::KeyAndPair => {
            reply.array(3);
            reply.bulk(key);
        }
        Shape::KeyAndPairs => {
            reply.array(2);
            reply.bulk(key);
            reply.array(count);
        }
    }
    let entries = set.range(ranks.clone());
    let (min, max) = match end {
        End::Min => (Some(entries), None),
        End::Max => (None, Some(entries.rev())),
    };
    for (member, score) in min.into_iter().flatten().chain(max.into_iter().flatten()) {
        match shape {
            Shape::Entries => {
                write_entry(reply, (member, score), true);
                continue;
            }
            Shape::KeyAndPairs => reply.array(2),
            Shape::Pair | Shape::KeyAndPair => {}
        }
        bulk_element(reply, member);
        reply.double(score);
    }
    set.remove_range(ranks, |_, _| {});
    changed(context.txn, end.event(), key, count);
    context.txn.remove_if_empty(key);
    Ok(count)
}

fn pop_one_key(context: &mut Context<'_, '_>, end: End) -> CommandResult {
    let (count, shape) = match context.args.len() {
        2 => (1, Shape::Pair),
        3 => (positive(context.args[2])?, Shape::Entries),
        _ => return Err(CommandError::Syntax),
    };
    if pop(context, context.args[1], end, count, shape)? == 0 {
        context.reply.array(0);
    }
    Ok(Outcome::Done)
}

fn positive(word: &[u8]) -> Result<usize, CommandError> {
    parse_i64(word)
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(CommandError::MustBePositive)
}

fn zpopmin(context: &mut Context<'_, '_>) -> CommandResult {
    pop_one_key(context, End::Min)
}

fn zpopmax(context: &mut Context<'_, '_>) -> CommandResult {
    pop_one_key(context, End::Max)
}

// ------------------------------------------------------------------------------------------------ several keys

/// Pops from the first key that has members; false if none has. A key of another type is an error, except for a waiter
/// that is tried again: it goes on waiting.
fn pop_first(
    context: &mut Context<'_, '_>,
    keys: std::ops::Range<usize>,
    end: End,
    count: usize,
    shape: Shape,
) -> Result<bool, CommandError> {
    for at in keys {
        let key = context.args[at];
        context.txn.remove_if_expired(key);
        match context.txn.peek(key).map(|entry| entry.value()) {
            None => continue,
            Some(ValueRef::SortedSet(_)) => {}
            Some(_) if context.mode.retry => continue,
            // Which looks at it like any other command.
            Some(_) => context.txn.sorted_set_mut(key).map(drop)?,
        }
        let popped = pop(context, key, end, count, shape)?;
        if popped == 0 {
            continue;
        }
        if shape == Shape::KeyAndPair {
            context.txn.propagate(&[end.effect(), key]);
        } else {
            let mut digits = itoa::Buffer::new();
            let popped = digits.format(popped).as_bytes();
            context.txn.propagate(&[end.effect(), key, popped]);
        }
        return Ok(true);
    }
    Ok(false)
}

/// The words `numkeys key … MIN|MAX [COUNT count]`.
#[derive(Debug)]
struct MultiPop {
    keys: std::ops::Range<usize>,
    end: End,
    count: usize,
}

impl MultiPop {
    /// Reads them from the position of the number of keys on.
    fn parse(context: &Context<'_, '_>, count_at: usize) -> Result<Self, CommandError> {
        let above_zero = |word: &[u8], refusal| {
            parse_i64(word)
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count > 0)
                .ok_or(CommandError::text(refusal))
        };
        let args = context.args;
        let number = above_zero(args[count_at], "ERR numkeys should be greater than 0")?;
        let first = count_at + 1;
        let end_at = first
            .checked_add(number)
            .filter(|at| *at < args.len())
            .ok_or(CommandError::Syntax)?;
        let end = match () {
            () if context.is(end_at, "min") => End::Min,
            () if context.is(end_at, "max") => End::Max,
            () => return Err(CommandError::Syntax),
        };
        let count = match &args[end_at + 1..] {
            [] => 1,
            [option, count, rest @ ..] if option.eq_ignore_ascii_case(b"count") => {
                let count = above_zero(count, "ERR count should be greater than 0")?;
                if !rest.is_empty() {
                    return Err(CommandError::Syntax);
                }
                count
            }
            _ => return Err(CommandError::Syntax),
        };
        Ok(Self {
            keys: first..end_at,
            end,
            count,
        })
    }

    fn run(&self, context: &mut Context<'_, '_>) -> Result<bool, CommandError> {
        let keys = self.keys.clone();
        pop_first(context, keys, self.end, self.count, Shape::KeyAndPairs)
    }
}

fn zmpop(context: &mut Context<'_, '_>) -> CommandResult {
    let words = MultiPop::parse(context, 1)?;
    if !words.run(context)? {
        context.reply.null_array();
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ waiting

fn wait_and_pop(context: &mut Context<'_, '_>, end: End) -> CommandResult {
    let last = context.args.len() - 1;
    let deadline = context.deadline(last)?;
    if pop_first(context, 1..last, end, 1, Shape::KeyAndPair)? {
        return Ok(Outcome::Done);
    }
    context.block((1..last).collect(), deadline, TimeoutReply::NullArray)
}

fn bzpopmin(context: &mut Context<'_, '_>) -> CommandResult {
    wait_and_pop(context, End::Min)
}

fn bzpopmax(context: &mut Context<'_, '_>) -> CommandResult {
    wait_and_pop(context, End::Max)
}

fn bzmpop(context: &mut Context<'_, '_>) -> CommandResult {
    let words = MultiPop::parse(context, 2)?;
    let deadline = context.deadline(1)?;
    if words.run(context)? {
        return Ok(Outcome::Done);
    }
    context.block(words.keys.collect(), deadline, TimeoutReply::NullArray)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::commands::{Block, Outcome, TimeoutReply};
    use crate::reply::Response;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("sorted_sets/pops.txt"));
    }

    #[test]
    fn waits_for_all_of_its_keys_when_they_are_empty() {
        let mut h = Harness::new();
        assert_eq!(h.run("BZPOPMIN a b 0.5"), Response::Null);
        let block = Block::new(vec![1, 2], Some(1_000_000_500), TimeoutReply::NullArray);
        assert_eq!(h.outcome, Some(Outcome::Block(block)));
        h.run("BZMPOP 0 2 a b MAX COUNT 3");
        let block = Block::new(vec![3, 4], None, TimeoutReply::NullArray);
        assert_eq!(h.outcome, Some(Outcome::Block(block)));
        assert!(h.effects().is_empty() && h.journal.dirty == 0);
    }

    #[test]
    fn timeouts_are_judged_as_redis_judges_them() {
        let mut h = Harness::new();
        for forever in ["0", "-0.0001", "1e-400"] {
            h.run(&format!("BZPOPMIN a {forever}"));
            assert!(
                matches!(&h.outcome, Some(Outcome::Block(block)) if block.deadline_ms.is_none()),
                "{forever}"
            );
            h.outcome = None;
        }
        // Redis 7.0 takes those that are too long for negative ones; later versions say this.
        h.check("BZPOPMIN a 1e30 => -ERR timeout is out of range");
        h.check("BZPOPMIN a 1e400 => -ERR timeout is out of range");
        h.check("BZPOPMIN a -inf => -ERR timeout is negative");
        h.check("BZPOPMIN a 1e5000 => -ERR timeout is not a float or out of range");
    }

    #[test]
    fn changes_are_counted_by_member() {
        let mut h = Harness::new();
        h.run("ZADD z 1 a 2 b 3 c");
        h.run("ZPOPMAX z 2");
        assert_eq!(h.journal.dirty, 2);
    }
}
