//! Ranges of sorted sets by rank, score or member: counted, read, stored, removed. It knows how the words of a range
//! are judged; a range ends up as neighbouring ranks, so counting takes O(log n).

use std::ops::Range;

use super::sorted_sets::{begin_entries, changed, store, write_entry};
use super::spec::{CommandSpec, Flags, key_range, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::ValueRef;
use crate::reply::Reply;
use crate::value::number::{parse_f64_bound, parse_i64};
use crate::value::zset::{LexBound, ScoreBound, SortedSet};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 min:double max:double",
        acl: "read sortedset fast",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "2.0.0",
        summary: "Count the members in a sorted set with scores within the given values",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        ..CommandSpec::new("zcount", 4, Flags::READONLY.and(Flags::FAST), zcount)
    },
    CommandSpec {
        arguments: "key:key#0 min:string max:string",
        acl: "read sortedset fast",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "2.8.9",
        summary: "Count the number of members in a sorted set between a given lexicographical range",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        ..CommandSpec::new("zlexcount", 4, Flags::READONLY.and(Flags::FAST), zlexcount)
    },
    CommandSpec {
        arguments: "key:key#0 start:string stop:string sortby:oneof?@6.2.0{byscore:pure-token=BYSCORE bylex:pure-token=BYLEX} rev:pure-token=REV?@6.2.0 offset_count:block=LIMIT?@6.2.0{offset:integer count:integer} withscores:pure-token=WITHSCORES?",
        acl: "read sortedset slow",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "1.2.0",
        summary: "Return a range of members in a sorted set",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        history: &[(
            "6.2.0",
            "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.",
        )],
        ..CommandSpec::new("zrange", -4, Flags::READONLY, zrange)
    },
    CommandSpec {
        arguments: "key:key#0 min:string max:string offset_count:block=LIMIT?{offset:integer count:integer}",
        acl: "read sortedset slow",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "2.8.9",
        summary: "Return a range of members in a sorted set, by lexicographical range",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
        ..CommandSpec::new("zrangebylex", -4, Flags::READONLY, zrangebylex)
    },
    CommandSpec {
        arguments: "key:key#0 min:double max:double withscores:pure-token=WITHSCORES?@2.0.0 offset_count:block=LIMIT?{offset:integer count:integer}",
        acl: "read sortedset slow",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "1.0.5",
        summary: "Return a range of members in a sorted set, by score",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        history: &[("2.0.0", "Added the `WITHSCORES` modifier.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
        ..CommandSpec::new("zrangebyscore", -4, Flags::READONLY, zrangebyscore)
    },
    CommandSpec {
        arguments: "dst:key#0 src:key#1 min:string max:string sortby:oneof?{byscore:pure-token=BYSCORE bylex:pure-token=BYLEX} rev:pure-token=REV? offset_count:block=LIMIT?{offset:integer count:integer}",
        acl: "write sortedset slow",
        keys: &[one_key("OW update"), key_range("RO access", 2, 0, 1)],
        group: "sorted-set",
        since: "6.2.0",
        summary: "Store a range of members from sorted set into another key",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
        ..CommandSpec::new(
            "zrangestore",
            -5,
            Flags::WRITE.and(Flags::DENYOOM),
            zrangestore,
        )
    },
    CommandSpec {
        arguments: "key:key#0 min:string max:string",
        acl: "write sortedset slow",
        keys: &[one_key("RW delete")],
        group: "sorted-set",
        since: "2.8.9",
        summary: "Remove all members in a sorted set between the given lexicographical range",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        ..CommandSpec::new("zremrangebylex", 4, Flags::WRITE, zremrangebylex)
    },
    CommandSpec {
        arguments: "key:key#0 start:integer stop:integer",
        acl: "write sortedset slow",
        keys: &[one_key("RW delete")],
        group: "sorted-set",
        since: "2.0.0",
        summary: "Remove all members in a sorted set within the given indexes",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        ..CommandSpec::new("zremrangebyrank", 4, Flags::WRITE, zremrangebyrank)
    },
    CommandSpec {
        arguments: "key:key#0 min:double max:double",
        acl: "write sortedset slow",
        keys: &[one_key("RW delete")],
        group: "sorted-set",
        since: "1.2.0",
        summary: "Remove all members in a sorted set within the given scores",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        ..CommandSpec::new("zremrangebyscore", 4, Flags::WRITE, zremrangebyscore)
    },
    CommandSpec {
        arguments: "key:key#0 start:integer stop:integer withscores:pure-token=WITHSCORES?",
        acl: "read sortedset slow",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "1.2.0",
        summary: "Return a range of members in a sorted set, by index, with scores ordered from high to low",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
        ..CommandSpec::new("zrevrange", -4, Flags::READONLY, zrevrange)
    },
    CommandSpec {
        arguments: "key:key#0 max:string min:string offset_count:block=LIMIT?{offset:integer count:integer}",
        acl: "read sortedset slow",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "2.8.9",
        summary: "Return a range of members in a sorted set, by lexicographical range, ordered from higher to lower strings.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
        ..CommandSpec::new("zrevrangebylex", -4, Flags::READONLY, zrevrangebylex)
    },
    CommandSpec {
        arguments: "key:key#0 max:double min:double withscores:pure-token=WITHSCORES? offset_count:block=LIMIT?{offset:integer count:integer}",
        acl: "read sortedset slow",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "2.2.0",
        summary: "Return a range of members in a sorted set, by score, with scores ordered from high to low",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
        history: &[("2.1.6", "`min` and `max` can be exclusive.")],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
        ..CommandSpec::new("zrevrangebyscore", -4, Flags::READONLY, zrevrangebyscore)
    },
];

/// What a range is given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// The ends of a range, the lower one first.
#[derive(Debug, Clone, Copy)]
enum Ends<'a> {
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

fn score_bound(word: &[u8]) -> Result<ScoreBound, CommandError> {
    let (exclusive, number) = match word {
        [b'(', number @ ..] => (true, number),
        number => (false, number),
    };
    parse_f64_bound(number)
        .map(|value| ScoreBound { value, exclusive })
        .ok_or(CommandError::text("ERR min or max is not a float"))
}

fn lex_bound(word: &[u8]) -> Result<LexBound<'_>, CommandError> {
    match word {
        b"-" => Ok(LexBound::Min),
        b"+" => Ok(LexBound::Max),
        [b'[', member @ ..] => Ok(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Ok(LexBound::Exclusive(member)),
        _ => Err(CommandError::text(
            "ERR min or max not valid string range item",
        )),
    }
}

impl<'a> Ends<'a> {
    fn parse(by: By, low: &'a [u8], high: &'a [u8]) -> Result<Self, CommandError> {
        let rank = |word| parse_i64(word).ok_or(CommandError::NotInteger);
        Ok(match by {
            By::Rank => Self::Rank(rank(low)?, rank(high)?),
            By::Score => Self::Score(score_bound(low)?, score_bound(high)?),
            By::Lex => Self::Lex(lex_bound(low)?, lex_bound(high)?),
        })
    }

    /// The ranks in the range, counted from the lowest score; `reverse` turns the meaning of ranks given, not of
    /// scores or members. O(log n).
    fn ranks(&self, set: &SortedSet, reverse: bool) -> Range<usize> {
        match *self {
            Self::Score(min, max) => set.score_range(min, max),
            Self::Lex(min, max) => set.lex_range(min, max),
            Self::Rank(start, stop) => {
                let len = set.len();
                let ranks = rank_range(start, stop, len);
                if reverse {
                    len - ranks.end..len - ranks.start
                } else {
                    ranks
                }
            }
        }
    }
}

/// The ranks from `start` to `stop`, which count from the end when negative, cut to what is there.
fn rank_range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let from_end = |rank: i64| {
        if rank < 0 {
            rank.saturating_add_unsigned(len as u64)
        } else {
            rank
        }
    };
    let end = from_end(stop).saturating_add(1).clamp(0, len as i64) as usize;
    let start = from_end(start).clamp(0, end as i64) as usize;
    start..end
}

// ------------------------------------------------------------------------------------------------ counting, removing

fn count(context: &mut Context<'_, '_>, by: By) -> CommandResult {
    let ends = Ends::parse(by, context.args[2], context.args[3])?;
    let set = context.txn.sorted_set(context.args[1])?;
    let count = set.map_or(0, |set| ends.ranks(set, false).len());
    context.reply.int(count as i64);
    Ok(Outcome::Done)
}

fn zcount(context: &mut Context<'_, '_>) -> CommandResult {
    count(context, By::Score)
}

fn zlexcount(context: &mut Context<'_, '_>) -> CommandResult {
    count(context, By::Lex)
}

fn remove(context: &mut Context<'_, '_>, by: By, event: &'static str) -> CommandResult {
    let key = context.args[1];
    let ends = Ends::parse(by, context.args[2], context.args[3])?;
    let removed = context.txn.sorted_set_mut(key)?.map_or(0, |set| {
        let ranks = ends.ranks(set, false);
        let len = ranks.len();
        if len > 0 {
            set.remove_range(ranks, |_, _| {});
        }
        len
    });
    if removed > 0 {
        changed(context.txn, event, key, removed);
        context.txn.remove_if_empty(key);
    }
    context.reply.int(removed as i64);
    Ok(Outcome::Done)
}

fn zremrangebyrank(context: &mut Context<'_, '_>) -> CommandResult {
    remove(context, By::Rank, "zremrangebyrank")
}

fn zremrangebyscore(context: &mut Context<'_, '_>) -> CommandResult {
    remove(context, By::Score, "zremrangebyscore")
}

fn zremrangebylex(context: &mut Context<'_, '_>) -> CommandResult {
    remove(context, By::Lex, "zremrangebylex")
}

// ------------------------------------------------------------------------------------------------ reading

/// What the ZRANGE family was asked for.
#[derive(Debug, Clone, Copy)]
struct Query<'a> {
    ends: Ends<'a>,
    reverse: bool,
    with_scores: bool,
    /// LIMIT: members to leave out at the beginning (negative: nothing is left), and to take (negative: all).
    limit: (i64, i64),
}

/// What the name of the command decides already.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// Position of the first end of the range.
    first: usize,
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

impl<'a> Query<'a> {
    fn parse(context: &Context<'a, '_>, form: Form) -> Result<Self, CommandError> {
        let args = context.args;
        let (mut by, mut reverse) = (form.by, form.reverse);
        let (mut with_scores, mut limit) = (false, (0, -1));
        let mut at = form.first + 2;
        while at < args.len() {
            if !form.stores && context.is(at, "withscores") {
                with_scores = true;
            } else if context.is(at, "limit") && at + 2 < args.len() {
                limit = (context.int(at + 1)?, context.int(at + 2)?);
                at += 2;
            } else if reverse.is_none() && context.is(at, "rev") {
                reverse = Some(true);
            } else if by.is_none() && context.is(at, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && context.is(at, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit.1 != -1 && by == By::Rank {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(CommandError::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (mut low, mut high) = (args[form.first], args[form.first + 1]);
        if reverse && by != By::Rank {
            (low, high) = (high, low);
        }
        Ok(Self {
            ends: Ends::parse(by, low, high)?,
            reverse,
            with_scores,
            // Ranks are their own limit, and `LIMIT 1 -1` beside them says nothing.
            limit: if by == By::Rank { (0, -1) } else { limit },
        })
    }

    /// The ranks to read, counted from the lowest score.
    fn ranks(&self, set: &SortedSet) -> Range<usize> {
        let Range { start, end } = self.ends.ranks(set, self.reverse);
        let Ok(offset) = usize::try_from(self.limit.0) else {
            return 0..0;
        };
        let left = (end - start).saturating_sub(offset);
        let taken = usize::try_from(self.limit.1).map_or(left, |count| count.min(left));
        if self.reverse {
            let end = end.saturating_sub(offset).max(start);
            end - taken..end
        } else {
            let start = start.saturating_add(offset).min(end);
            start..start + taken
        }
    }

    fn write(&self, reply: &mut dyn Reply, set: &SortedSet) {
        let entries = set.range(self.ranks(set));
        begin_entries(reply, entries.len(), self.with_scores);
        if self.reverse {
            entries
                .rev()
                .for_each(|entry| write_entry(reply, entry, self.with_scores));
        } else {
            entries.for_each(|entry| write_entry(reply, entry, self.with_scores));
        }
    }
}

fn read(context: &mut Context<'_, '_>, by: Option<By>, reverse: Option<bool>) -> CommandResult {
    let form = Form {
        first: 2,
        by,
        reverse,
        stores: false,
    };
    let query = Query::parse(context, form)?;
    match context.txn.sorted_set(context.args[1])? {
        Some(set) => query.write(context.reply, set),
        None => context.reply.array(0),
    }
    Ok(Outcome::Done)
}

fn zrange(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, None, None)
}

fn zrevrange(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, Some(By::Rank), Some(true))
}

fn zrangebyscore(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, Some(By::Score), Some(false))
}

fn zrevrangebyscore(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, Some(By::Score), Some(true))
}

fn zrangebylex(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, Some(By::Lex), Some(false))
}

fn zrevrangebylex(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, Some(By::Lex), Some(true))
}

fn zrangestore(context: &mut Context<'_, '_>) -> CommandResult {
    let (destination, source) = (context.args[1], context.args[2]);
    let form = Form {
        first: 3,
        by: None,
        reverse: None,
        stores: true,
    };
    let query = Query::parse(context, form)?;
    context.txn.sorted_set(source)?;
    let limits = context.txn.limits().sorted_set;
    let mut result = SortedSet::new();
    if let Some(ValueRef::SortedSet(set)) = context.txn.peek(source).map(|entry| entry.value()) {
        for (member, score) in set.range(query.ranks(set)) {
            member.with_bytes(|member| result.insert(member, score, &limits));
        }
    }
    let len = store(context.txn, destination, result, "zrangestore");
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Harness;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("sorted_sets/ranges.txt"));
    }

    /// Hundreds of members make the large form, which must answer as the small one does.
    #[test]
    fn both_forms_answer_alike() {
        let transcript = include_str!("sorted_sets/large_ranges.txt");
        Harness::new().check(transcript);
        let mut large = Harness::new();
        let mut txn = large.keyspace.begin(
            large.keyspace.all_shards(),
            0,
            crate::keyspace::txn::TxnOptions::default(),
            crate::keyspace::txn::Journal::default(),
        );
        let mut limits = txn.limits();
        limits.sorted_set.max_listpack_entries = 0;
        txn.set_limits(limits);
        drop(txn);
        large.check(transcript);
    }

    #[test]
    fn ranks_are_cut_to_what_is_there() {
        for (start, stop, range) in [
            (0, -1, 0..5),
            (1, 2, 1..3),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (3, 2, 3..3),
            (7, 9, 5..5),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(rank_range(start, stop, 5), range, "{start} {stop}");
        }
    }
}
