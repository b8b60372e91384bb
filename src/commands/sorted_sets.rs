//! Sorted sets by member: adding, incrementing, removing, scores, ranks, iteration. Ranges, pops and set algebra have
//! files of their own.

use smallvec::SmallVec;

use super::elements::{Draw, bulk_element};
use super::scanning::{self, ScanOptions, Scanned};
use super::spec::{CommandSpec, Flags, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Txn, Value, ValueRef};
use crate::reply::Reply;
use crate::value::listpack::Element;
use crate::value::number::{DoubleBuffer, parse_f64};
use crate::value::zset::{Inserted, SortedSet, ZSetLimits, compact_score};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 condition:oneof?@3.0.2{nx:pure-token=NX xx:pure-token=XX} comparison:oneof?@6.2.0{gt:pure-token=GT lt:pure-token=LT} change:pure-token=CH?@3.0.2 increment:pure-token=INCR?@3.0.2 score_member:block*{score:double member:string}",
        acl: "write sortedset fast",
        keys: &[one_key("RW update")],
        group: "sorted-set",
        since: "1.2.0",
        summary: "Add one or more members to a sorted set, or update its score if it already exists",
        complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        history: &[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ],
        ..CommandSpec::new(
            "zadd",
            -4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            zadd,
        )
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read sortedset fast",
        keys: &[one_key("RO")],
        group: "sorted-set",
        since: "1.2.0",
        summary: "Get the number of members in a sorted set",
        complexity: "O(1)",
        ..CommandSpec::new("zcard", 2, Flags::READONLY.and(Flags::FAST), zcard)
    },
    CommandSpec {
        arguments: "key:key#0 increment:integer member:string",
        acl: "write sortedset fast",
        keys: &[one_key("RW access update")],
        group: "sorted-set",
        since: "1.2.0",
        summary: "Increment the score of a member in a sorted set",
        complexity: "O(log(N)) where N is the number of elements in the sorted set.",
        ..CommandSpec::new(
            "zincrby",
            4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            zincrby,
        )
    },
    CommandSpec {
        arguments: "key:key#0 member:string*",
        acl: "read sortedset fast",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "6.2.0",
        summary: "Get the score associated with the given members in a sorted set",
        complexity: "O(N) where N is the number of members being requested.",
        ..CommandSpec::new("zmscore", -3, Flags::READONLY.and(Flags::FAST), zmscore)
    },
    CommandSpec {
        arguments: "key:key#0 options:block?{count:integer withscores:pure-token=WITHSCORES?}",
        acl: "read sortedset slow",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "6.2.0",
        summary: "Get one or multiple random elements from a sorted set",
        complexity: "O(N) where N is the number of elements returned",
        tips: "nondeterministic_output",
        ..CommandSpec::new("zrandmember", -2, Flags::READONLY, zrandmember)
    },
    CommandSpec {
        arguments: "key:key#0 member:string withscore:pure-token=WITHSCORE?@7.2.0",
        acl: "read sortedset fast",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "2.0.0",
        summary: "Determine the index of a member in a sorted set",
        complexity: "O(log(N))",
        history: &[("7.2.0", "Added the optional `WITHSCORE` argument.")],
        ..CommandSpec::new("zrank", -3, Flags::READONLY.and(Flags::FAST), zrank)
    },
    CommandSpec {
        arguments: "key:key#0 member:string*",
        acl: "write sortedset fast",
        keys: &[one_key("RW delete")],
        group: "sorted-set",
        since: "1.2.0",
        summary: "Remove one or more members from a sorted set",
        complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
        history: &[("2.4.0", "Accepts multiple elements.")],
        ..CommandSpec::new("zrem", -3, Flags::WRITE.and(Flags::FAST), zrem)
    },
    CommandSpec {
        arguments: "key:key#0 member:string withscore:pure-token=WITHSCORE?@7.2.0",
        acl: "read sortedset fast",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "2.0.0",
        summary: "Determine the index of a member in a sorted set, with scores ordered from high to low",
        complexity: "O(log(N))",
        history: &[("7.2.0", "Added the optional `WITHSCORE` argument.")],
        ..CommandSpec::new("zrevrank", -3, Flags::READONLY.and(Flags::FAST), zrevrank)
    },
    CommandSpec {
        arguments: "key:key#0 cursor:integer pattern:pattern=MATCH? count:integer=COUNT?",
        acl: "read sortedset slow",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "2.8.0",
        summary: "Incrementally iterate sorted sets elements and associated scores",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection..",
        tips: "nondeterministic_output",
        ..CommandSpec::new("zscan", -3, Flags::READONLY, zscan)
    },
    CommandSpec {
        arguments: "key:key#0 member:string",
        acl: "read sortedset fast",
        keys: &[one_key("RO access")],
        group: "sorted-set",
        since: "1.2.0",
        summary: "Get the score associated with the given member in a sorted set",
        complexity: "O(1)",
        ..CommandSpec::new("zscore", 3, Flags::READONLY.and(Flags::FAST), zscore)
    },
];

/// A change of a sorted set, counted by members.
pub(super) fn changed(txn: &mut Txn<'_>, event: &'static str, key: &[u8], members: usize) {
    txn.changed(EventClass::SORTED_SET, event, key);
    txn.add_dirty(members.saturating_sub(1) as u64);
}

/// Puts a result in the place of whatever the key holds, or removes the key when the result is empty; how many members
/// there are now.
pub(super) fn store(
    txn: &mut Txn<'_>,
    key: &[u8],
    result: SortedSet,
    event: &'static str,
) -> usize {
    let len = result.len();
    if len > 0 {
        txn.insert_result(key, Value::SortedSet(result), EventClass::SORTED_SET, event);
    } else if txn.remove(key) {
        txn.changed(EventClass::GENERIC, "del", key);
    }
    len
}

/// Answers a member, with its score where it is wanted: nested in RESP3, flat in RESP2.
pub(super) fn write_entry(
    reply: &mut dyn Reply,
    (member, score): (Element<'_>, f64),
    with_scores: bool,
) {
    if with_scores && reply.is_resp3() {
        reply.array(2);
    }
    bulk_element(reply, member);
    if with_scores {
        reply.double(score);
    }
}

/// Announces `len` members for [`write_entry`].
pub(super) fn begin_entries(reply: &mut dyn Reply, len: usize, with_scores: bool) {
    let flat_scores = with_scores && !reply.is_resp3();
    reply.array(if flat_scores { len * 2 } else { len });
}

// ------------------------------------------------------------------------------------------------ adding

/// The options of ZADD.
#[derive(Debug, Clone, Copy, Default)]
struct AddOptions {
    /// `NX`: only new members.
    only_new: bool,
    /// `XX`: only members that are there.
    only_existing: bool,
    /// `GT`: only higher scores.
    greater: bool,
    /// `LT`: only lower scores.
    less: bool,
    /// `CH`: count changed scores too.
    count_changed: bool,
    /// `INCR`: the score is an increment.
    increment: bool,
}

impl AddOptions {
    /// The options and the position of the first score.
    fn parse(context: &Context<'_, '_>) -> (Self, usize) {
        let (mut options, mut at) = (Self::default(), 2);
        while let Some(word) = context.args.get(at) {
            let option = match word.len() {
                2 if word.eq_ignore_ascii_case(b"nx") => &mut options.only_new,
                2 if word.eq_ignore_ascii_case(b"xx") => &mut options.only_existing,
                2 if word.eq_ignore_ascii_case(b"gt") => &mut options.greater,
                2 if word.eq_ignore_ascii_case(b"lt") => &mut options.less,
                2 if word.eq_ignore_ascii_case(b"ch") => &mut options.count_changed,
                4 if word.eq_ignore_ascii_case(b"incr") => &mut options.increment,
                _ => break,
            };
            *option = true;
            at += 1;
        }
        (options, at)
    }

    fn check(&self, pairs: usize) -> Result<(), CommandError> {
        if self.only_new && self.only_existing {
            return Err(CommandError::text(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if (self.greater && (self.only_new || self.less)) || (self.less && self.only_new) {
            return Err(CommandError::text(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.increment && pairs > 1 {
            return Err(CommandError::text(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }

    /// Whether a member that is there already may change at all.
    const fn looks_first(&self) -> bool {
        self.only_new || self.only_existing || self.greater || self.less || self.increment
    }

    /// Adds or changes one member: what happened and its score now; `None` when the options forbade it.
    fn apply(
        &self,
        set: &mut SortedSet,
        member: &[u8],
        score: f64,
        limits: &ZSetLimits,
    ) -> Result<Option<(Inserted, f64)>, CommandError> {
        if !self.looks_first() {
            return Ok(Some((set.insert(member, score, limits), score)));
        }
        let score = match set.score(member) {
            None if self.only_existing => return Ok(None),
            None => score,
            Some(_) if self.only_new => return Ok(None),
            Some(before) => {
                let after = if self.increment {
                    before + score
                } else {
                    score
                };
                if after.is_nan() {
                    return Err(CommandError::text(
                        "ERR resulting score is not a number (NaN)",
                    ));
                }
                if (self.greater && after <= before) || (self.less && after >= before) {
                    return Ok(None);
                }
                after
            }
        };
        Ok(Some((set.insert(member, score, limits), score)))
    }
}

/// The set that members are added to; none where it would have to be made and only existing members count.
fn target<'a>(
    context: &'a mut Context<'_, '_>,
    options: AddOptions,
) -> Result<Option<&'a mut SortedSet>, CommandError> {
    let key = context.args[1];
    Ok(if options.only_existing {
        context.txn.sorted_set_mut(key)?
    } else {
        Some(context.txn.sorted_set_or_new(key)?)
    })
}

pub(super) fn zadd(context: &mut Context<'_, '_>) -> CommandResult {
    let (options, first) = AddOptions::parse(context);
    let pairs = context.args.get(first..).unwrap_or_default();
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    options.check(pairs.len() / 2)?;
    let mut scores = SmallVec::<[f64; 16]>::new();
    for pair in pairs.chunks_exact(2) {
        scores.push(parse_f64(pair[0]).ok_or(CommandError::NotFloat)?);
    }
    if options.increment {
        return increment(context, options, pairs[1], scores[0]);
    }
    let limits = context.txn.limits().sorted_set;
    let (mut added, mut updated) = (0, 0);
    if let Some(set) = target(context, options)? {
        for (pair, &score) in pairs.chunks_exact(2).zip(&scores) {
            match options.apply(set, pair[1], score, &limits)? {
                Some((Inserted::Added, _)) => added += 1,
                Some((Inserted::Updated, _)) => updated += 1,
                Some((Inserted::Same, _)) | None => {}
            }
        }
    }
    if added + updated > 0 {
        changed(context.txn, "zadd", context.args[1], added + updated);
    }
    let counted = added + if options.count_changed { updated } else { 0 };
    context.reply.int(counted as i64);
    Ok(Outcome::Done)
}

fn increment(
    context: &mut Context<'_, '_>,
    options: AddOptions,
    member: &[u8],
    by: f64,
) -> CommandResult {
    let limits = context.txn.limits().sorted_set;
    let applied = match target(context, options)? {
        Some(set) => options.apply(set, member, by, &limits)?,
        None => None,
    };
    let Some((inserted, score)) = applied else {
        context.reply.null();
        return Ok(Outcome::Done);
    };
    if inserted != Inserted::Same {
        changed(context.txn, "zincr", context.args[1], 1);
    }
    context.reply.double(score);
    Ok(Outcome::Done)
}

fn zincrby(context: &mut Context<'_, '_>) -> CommandResult {
    let by = context.float(2)?;
    let options = AddOptions {
        increment: true,
        ..AddOptions::default()
    };
    increment(context, options, context.args[3], by)
}

fn zrem(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, members) = (context.args[1], &context.args[2..]);
    let removed = context.txn.sorted_set_mut(key)?.map_or(0, |set| {
        let present = members.iter().filter(|member| set.remove(member).is_some());
        present.count()
    });
    if removed > 0 {
        changed(context.txn, "zrem", key, removed);
        context.txn.remove_if_empty(key);
    }
    context.reply.int(removed as i64);
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ scores and ranks

fn zcard(context: &mut Context<'_, '_>) -> CommandResult {
    let set = context.txn.sorted_set(context.args[1])?;
    let len = set.map_or(0, SortedSet::len);
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn answer_score(reply: &mut dyn Reply, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn zscore(context: &mut Context<'_, '_>) -> CommandResult {
    let set = context.txn.sorted_set(context.args[1])?;
    let score = set.and_then(|set| set.score(context.args[2]));
    answer_score(context.reply, score);
    Ok(Outcome::Done)
}

fn zmscore(context: &mut Context<'_, '_>) -> CommandResult {
    let set = context.txn.sorted_set(context.args[1])?;
    let members = &context.args[2..];
    context.reply.array(members.len());
    for member in members {
        answer_score(context.reply, set.and_then(|set| set.score(member)));
    }
    Ok(Outcome::Done)
}

fn rank(context: &mut Context<'_, '_>, reverse: bool) -> CommandResult {
    let with_score = match context.args.len() {
        3 => false,
        4 if context.is(3, "withscore") => true,
        4 => return Err(CommandError::Syntax),
        _ => return Err(CommandError::WrongArity(context.command.full_name.clone())),
    };
    let set = context.txn.sorted_set(context.args[1])?;
    let found = set.and_then(|set| set.rank(context.args[2], reverse));
    match found {
        None if with_score => context.reply.null_array(),
        None => context.reply.null(),
        Some((rank, score)) => {
            if with_score {
                context.reply.array(2);
            }
            context.reply.int(rank as i64);
            if with_score {
                context.reply.double(score);
            }
        }
    }
    Ok(Outcome::Done)
}

fn zrank(context: &mut Context<'_, '_>) -> CommandResult {
    rank(context, false)
}

fn zrevrank(context: &mut Context<'_, '_>) -> CommandResult {
    rank(context, true)
}

// ------------------------------------------------------------------------------------------------ some members

fn zrandmember(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    let draw = match context.args.len() {
        2 => None,
        _ => Some(Draw::parse(context, "withscores")?),
    };
    context.txn.sorted_set(key)?;
    // Looked at a second time, because the random source is the transaction's too.
    let txn = &*context.txn;
    let set = match txn.peek(key).map(|entry| entry.value()) {
        Some(ValueRef::SortedSet(set)) => Some(set),
        _ => None,
    };
    let mut random = || txn.random();
    match (set, draw) {
        (None, None) => context.reply.null(),
        (None, Some(_)) => context.reply.array(0),
        (Some(set), None) => {
            let (member, _) = set.random(&mut random).expect("a stored set has members");
            bulk_element(context.reply, member);
        }
        (Some(set), Some(draw)) => draw_members(context.reply, set, draw, &mut random),
    }
    Ok(Outcome::Done)
}

fn draw_members(
    reply: &mut dyn Reply,
    set: &SortedSet,
    draw: Draw,
    random: &mut impl FnMut() -> u64,
) {
    if !draw.repeated {
        let entries = set.sample(draw.count, random);
        begin_entries(reply, entries.len(), draw.with_second);
        for entry in entries {
            write_entry(reply, entry, draw.with_second);
        }
        return;
    }
    begin_entries(reply, draw.count, draw.with_second);
    for _ in 0..draw.count {
        if reply.is_full() {
            break;
        }
        let entry = set.random(random).expect("a stored set has members");
        write_entry(reply, entry, draw.with_second);
    }
}

fn zscan(context: &mut Context<'_, '_>) -> CommandResult {
    let cursor = scanning::parse_cursor(context.args[2])?;
    let options = ScanOptions::parse(context, 3, Scanned::Members);
    let Some(set) = context.txn.sorted_set(context.args[1])? else {
        scanning::empty_step(context.reply);
        return Ok(Outcome::Done);
    };
    let options = options?;
    let small = set.as_listpack().is_some();
    let mut found = Vec::new();
    let next = set.scan(cursor, options.count, |member, score| {
        if member.with_bytes(|member| options.matches(member)) {
            found.push((member.to_vec(), score));
        }
    });
    scanning::begin_step(context.reply, next, found.len() * 2);
    for (member, score) in found {
        context.reply.bulk(&member);
        // A string in RESP3 too, unlike every other score, and as the small form stores it.
        match compact_score(score).filter(|_| small) {
            Some(integer) => context.reply.bulk_int(integer),
            None => context.reply.bulk(DoubleBuffer::new().format(score)),
        }
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("sorted_sets/members.txt"));
    }

    #[test]
    fn ranks_come_with_scores_since_redis_7_2() {
        Harness::new().check(include_str!("sorted_sets/ranks.txt"));
    }

    #[test]
    fn a_large_set_is_scanned_and_drawn_from_completely() {
        let mut h = Harness::new();
        for member in 0..500 {
            h.run(&format!("ZADD z {member} m{member}"));
        }
        let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
        loop {
            let Response::Array(step) = h.run(&format!("ZSCAN z {cursor} COUNT 20")) else {
                panic!("a step is an array");
            };
            let [Response::Bulk(next), Response::Array(pairs)] = &step[..] else {
                panic!("a step has two parts");
            };
            for pair in pairs.chunks(2) {
                let [Response::Bulk(member), Response::Bulk(score)] = pair else {
                    panic!("members come with scores");
                };
                assert_eq!(member[1..], score[..]);
                assert!(seen.insert(member.clone()), "a member came twice");
            }
            cursor = String::from_utf8_lossy(next).into_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), 500);
        for (line, len) in [
            ("ZRANDMEMBER z 600", 500),
            ("ZRANDMEMBER z 20", 20),
            ("ZRANDMEMBER z -600 WITHSCORES", 1200),
        ] {
            let Response::Array(items) = h.run(line) else {
                panic!("{line} answers an array");
            };
            assert_eq!(items.len(), len, "{line}");
        }
    }

    #[test]
    fn changes_are_counted_by_member() {
        let mut h = Harness::new();
        h.run("ZADD z 1 a 2 b 3 c");
        assert_eq!(h.journal.dirty, 3);
        h.run("ZADD z CH 1 a 5 b");
        assert_eq!(h.journal.dirty, 1);
        h.run("ZREM z a b nope");
        assert_eq!(h.journal.dirty, 2);
    }
}
