//! Unions, intersections and differences of sorted sets and of sets, whose members count with score 1. It knows how
//! their words are judged and how scores are combined.

use std::borrow::Cow;
use std::cmp::Ordering;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::sorted_sets::{begin_entries, store, write_entry};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Txn, ValueRef};
use crate::value::listpack::Element;
use crate::value::number::{parse_f64, parse_i64};
use crate::value::set::Set;
use crate::value::view::View;
use crate::value::zset::{SortedSet, ZSetLimits};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "numkeys:integer key:key#0* withscores:pure-token=WITHSCORES?",
        acl: "read sortedset slow",
        keys: &[KeySpec {
            flags: "RO access",
            notes: "",
            begin: Begin::Index(1),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "sorted-set",
        since: "6.2.0",
        summary: "Subtract multiple sorted sets",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        ..CommandSpec::new("zdiff", -3, Flags::READONLY.and(Flags::MOVABLEKEYS), zdiff)
    },
    CommandSpec {
        arguments: "destination:key#0 numkeys:integer key:key#1*",
        acl: "write sortedset slow",
        keys: &[
            one_key("OW update"),
            KeySpec {
                flags: "RO access",
                notes: "",
                begin: Begin::Index(2),
                find: Find::KeyNum {
                    count: 0,
                    first: 1,
                    step: 1,
                },
            },
        ],
        group: "sorted-set",
        since: "6.2.0",
        summary: "Subtract multiple sorted sets and store the resulting sorted set in a new key",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        ..CommandSpec::new(
            "zdiffstore",
            -4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
            zdiffstore,
        )
    },
    CommandSpec {
        arguments: "numkeys:integer key:key#0* weight:integer=WEIGHTS?* aggregate:oneof=AGGREGATE?{sum:pure-token=SUM min:pure-token=MIN max:pure-token=MAX} withscores:pure-token=WITHSCORES?",
        acl: "read sortedset slow",
        keys: &[KeySpec {
            flags: "RO access",
            notes: "",
            begin: Begin::Index(1),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "sorted-set",
        since: "6.2.0",
        summary: "Intersect multiple sorted sets",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        ..CommandSpec::new(
            "zinter",
            -3,
            Flags::READONLY.and(Flags::MOVABLEKEYS),
            zinter,
        )
    },
    CommandSpec {
        arguments: "numkeys:integer key:key#0* limit:integer=LIMIT?",
        acl: "read sortedset slow",
        keys: &[KeySpec {
            flags: "RO access",
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
        summary: "Intersect multiple sorted sets and return the cardinality of the result",
        complexity: "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
        ..CommandSpec::new(
            "zintercard",
            -3,
            Flags::READONLY.and(Flags::MOVABLEKEYS),
            zintercard,
        )
    },
    CommandSpec {
        arguments: "destination:key#0 numkeys:integer key:key#1* weight:integer=WEIGHTS?* aggregate:oneof=AGGREGATE?{sum:pure-token=SUM min:pure-token=MIN max:pure-token=MAX}",
        acl: "write sortedset slow",
        keys: &[
            one_key("OW update"),
            KeySpec {
                flags: "RO access",
                notes: "",
                begin: Begin::Index(2),
                find: Find::KeyNum {
                    count: 0,
                    first: 1,
                    step: 1,
                },
            },
        ],
        group: "sorted-set",
        since: "2.0.0",
        summary: "Intersect multiple sorted sets and store the resulting sorted set in a new key",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        ..CommandSpec::new(
            "zinterstore",
            -4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
            zinterstore,
        )
    },
    CommandSpec {
        arguments: "numkeys:integer key:key#0* weight:integer=WEIGHTS?* aggregate:oneof=AGGREGATE?{sum:pure-token=SUM min:pure-token=MIN max:pure-token=MAX} withscores:pure-token=WITHSCORES?",
        acl: "read sortedset slow",
        keys: &[KeySpec {
            flags: "RO access",
            notes: "",
            begin: Begin::Index(1),
            find: Find::KeyNum {
                count: 0,
                first: 1,
                step: 1,
            },
        }],
        group: "sorted-set",
        since: "6.2.0",
        summary: "Add multiple sorted sets",
        complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        ..CommandSpec::new(
            "zunion",
            -3,
            Flags::READONLY.and(Flags::MOVABLEKEYS),
            zunion,
        )
    },
    CommandSpec {
        arguments: "destination:key#0 numkeys:integer key:key#1* weight:integer=WEIGHTS?* aggregate:oneof=AGGREGATE?{sum:pure-token=SUM min:pure-token=MIN max:pure-token=MAX}",
        acl: "write sortedset slow",
        keys: &[
            one_key("OW update"),
            KeySpec {
                flags: "RO access",
                notes: "",
                begin: Begin::Index(2),
                find: Find::KeyNum {
                    count: 0,
                    first: 1,
                    step: 1,
                },
            },
        ],
        group: "sorted-set",
        since: "2.0.0",
        summary: "Add multiple sorted sets and store the resulting sorted set in a new key",
        complexity: "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        ..CommandSpec::new(
            "zunionstore",
            -4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
            zunionstore,
        )
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// AGGREGATE: how the scores of one member are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn combine(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Sum => zero_for_nan(one + other),
            Self::Min => {
                if other < one {
                    other
                } else {
                    one
                }
            }
            Self::Max => {
                if other > one {
                    other
                } else {
                    one
                }
            }
        }
    }
}

/// Infinities that cancel each other, or zero times infinity, count as 0.
fn zero_for_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What a key brings in.
#[derive(Debug, Clone)]
enum Members<'a> {
    None,
    Plain(View<'a, Set>),
    Scored(&'a SortedSet),
}

impl<'a> Members<'a> {
    fn of(txn: &'a Txn<'_>, key: &[u8]) -> Self {
        match txn.peek(key).map(|entry| entry.value()) {
            Some(ValueRef::Set(set)) => Self::Plain(set),
            Some(ValueRef::SortedSet(set)) => Self::Scored(set),
            _ => Self::None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Plain(set) => set.len(),
            Self::Scored(set) => set.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Plain(set) => set.contains(member).then_some(1.0),
            Self::Scored(set) => set.score(member),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (Element<'_>, f64)> {
        let (plain, scored) = match self {
            Self::None => (None, None),
            Self::Plain(set) => (Some(&**set), None),
            Self::Scored(set) => (None, Some(*set)),
        };
        let plain = plain.into_iter().flat_map(Set::iter);
        plain
            .map(|member| (member, 1.0))
            .chain(scored.into_iter().flat_map(SortedSet::iter))
    }
}

/// One key and its weight.
#[derive(Debug, Clone)]
struct Source<'a> {
    members: Members<'a>,
    weight: f64,
}

impl Source<'_> {
    fn weighted(&self, score: f64) -> f64 {
        zero_for_nan(self.weight * score)
    }
}

type Combined<'a> = Vec<(Cow<'a, [u8]>, f64)>;

fn bytes_of(member: Element<'_>) -> Cow<'_, [u8]> {
    match member {
        Element::Bytes(bytes) => Cow::Borrowed(bytes),
        Element::Int(_) => Cow::Owned(member.to_vec()),
    }
}

// ------------------------------------------------------------------------------------------------ combining

/// The members of the result in order. Scores are added up from the smallest set to the largest, as Redis does: the
/// order shows in the last digit.
fn combine<'a>(
    operation: Operation,
    sources: &'a mut [Source<'_>],
    aggregate: Aggregate,
) -> Combined<'a> {
    if operation != Operation::Difference {
        sources.sort_by_key(|source| source.members.len());
    }
    let mut combined = match operation {
        Operation::Union => union(sources, aggregate),
        Operation::Intersection => intersection(sources, aggregate),
        Operation::Difference => difference(sources),
    };
    combined.sort_unstable_by(|(member, score), (other, other_score)| {
        score
            .partial_cmp(other_score)
            .unwrap_or(Ordering::Equal)
            .then_with(|| member.cmp(other))
    });
    combined
}

fn union<'a>(sources: &'a [Source<'_>], aggregate: Aggregate) -> Combined<'a> {
    let largest = sources.iter().map(|source| source.members.len()).max();
    let mut scores: HashMap<Cow<'a, [u8]>, f64> = HashMap::with_capacity(largest.unwrap_or(0));
    for source in sources {
        for (member, score) in source.members.iter() {
            let score = source.weighted(score);
            scores
                .entry(bytes_of(member))
                .and_modify(|before| *before = aggregate.combine(*before, score))
                .or_insert(score);
        }
    }
    scores.into_iter().collect()
}

fn intersection<'a>(sources: &'a [Source<'_>], aggregate: Aggregate) -> Combined<'a> {
    let Some((smallest, others)) = sources.split_first() else {
        return Vec::new();
    };
    let entries = smallest.members.iter();
    let combined = entries.filter_map(|(member, score)| {
        let score = member.with_bytes(|bytes| {
            others
                .iter()
                .try_fold(smallest.weighted(score), |score, other| {
                    let own = other.members.score(bytes)?;
                    // Not the weighted score: what is no number makes the whole sum 0 here, as in Redis.
                    Some(aggregate.combine(score, other.weight * own))
                })
        });
        Some((bytes_of(member), score?))
    });
    combined.collect()
}

/// Looks every member of the first up in the others, or collects what the others hold, whichever is less work.
fn difference<'a>(sources: &'a [Source<'_>]) -> Combined<'a> {
    let Some((first, others)) = sources.split_first() else {
        return Vec::new();
    };
    let entries = first.members.iter();
    let total: usize = others.iter().map(|other| other.members.len()).sum();
    if total >= first.members.len().saturating_mul(others.len()) / 2 {
        let is_left = |member: &Element<'_>| {
            member.with_bytes(|bytes| {
                let mut scores = others.iter().map(|other| other.members.score(bytes));
                scores.all(|score| score.is_none())
            })
        };
        return entries
            .filter(|(member, _)| is_left(member))
            .map(|(member, score)| (bytes_of(member), score))
            .collect();
    }
    let mut excluded = HashSet::with_capacity(total);
    for other in others {
        excluded.extend(other.members.iter().map(|(member, _)| bytes_of(member)));
    }
    entries
        .map(|(member, score)| (bytes_of(member), score))
        .filter(|(member, _)| !excluded.contains(member))
        .collect()
}

// ------------------------------------------------------------------------------------------------ the words

/// The keys of such a command, from the word that says how many there are: checked to be there and of the right types.
/// Each is read once; answers the positions of the keys.
fn read_keys(
    context: &mut Context<'_, '_>,
    count_at: usize,
) -> Result<std::ops::Range<usize>, CommandError> {
    let count = context.int(count_at)?;
    if count < 1 {
        let name = context.command.spec.name;
        return Err(format!("ERR at least 1 input key is needed for '{name}' command").into());
    }
    let first = count_at + 1;
    let end = usize::try_from(count)
        .ok()
        .and_then(|count| first.checked_add(count));
    let end = end
        .filter(|end| *end <= context.args.len())
        .ok_or(CommandError::Syntax)?;
    for key in &context.args[first..end] {
        match context.txn.read(key).map(|entry| entry.value()) {
            None | Some(ValueRef::Set(_) | ValueRef::SortedSet(_)) => {}
            Some(_) => return Err(CommandError::WrongType),
        }
    }
    Ok(first..end)
}

#[derive(Debug)]
struct Options {
    /// One for each key, or none at all.
    weights: SmallVec<[f64; 4]>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    fn parse(
        context: &Context<'_, '_>,
        operation: Operation,
        keys: &std::ops::Range<usize>,
        stores: bool,
    ) -> Result<Self, CommandError> {
        let args = context.args;
        let combines = operation != Operation::Difference;
        let mut options = Self {
            weights: SmallVec::new(),
            aggregate: Aggregate::Sum,
            with_scores: false,
        };
        let mut at = keys.end;
        while at < args.len() {
            if combines && context.is(at, "weights") && args.len() - at > keys.len() {
                let weights = args[at + 1..=at + keys.len()].iter();
                options.weights = weights
                    .map(|word| {
                        parse_f64(word).ok_or(CommandError::text("ERR weight value is not a float"))
                    })
                    .collect::<Result<_, _>>()?;
                at += keys.len();
            } else if combines && context.is(at, "aggregate") && at + 1 < args.len() {
                at += 1;
                options.aggregate = match () {
                    () if context.is(at, "sum") => Aggregate::Sum,
                    () if context.is(at, "min") => Aggregate::Min,
                    () if context.is(at, "max") => Aggregate::Max,
                    () => return Err(CommandError::Syntax),
                };
            } else if !stores && context.is(at, "withscores") {
                options.with_scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    fn sources<'a>(&self, txn: &'a Txn<'_>, keys: &[&[u8]]) -> SmallVec<[Source<'a>; 4]> {
        let sources = keys.iter().enumerate().map(|(i, key)| Source {
            members: Members::of(txn, key),
            weight: self.weights.get(i).copied().unwrap_or(1.0),
        });
        sources.collect()
    }
}

// ------------------------------------------------------------------------------------------------ handlers

fn answer(context: &mut Context<'_, '_>, operation: Operation) -> CommandResult {
    let keys = read_keys(context, 1)?;
    let options = Options::parse(context, operation, &keys, false)?;
    let mut sources = options.sources(context.txn, &context.args[keys]);
    let combined = combine(operation, &mut sources, options.aggregate);
    begin_entries(context.reply, combined.len(), options.with_scores);
    for (member, score) in combined {
        let entry = (Element::Bytes(&member), score);
        write_entry(context.reply, entry, options.with_scores);
    }
    Ok(Outcome::Done)
}

fn zunion(context: &mut Context<'_, '_>) -> CommandResult {
    answer(context, Operation::Union)
}

fn zinter(context: &mut Context<'_, '_>) -> CommandResult {
    answer(context, Operation::Intersection)
}

fn zdiff(context: &mut Context<'_, '_>) -> CommandResult {
    answer(context, Operation::Difference)
}

fn sorted_set_of(combined: Combined<'_>, limits: &ZSetLimits) -> SortedSet {
    let small = combined.len() <= limits.max_listpack_entries
        && combined
            .iter()
            .all(|(member, _)| member.len() <= limits.max_listpack_value);
    // What ends up in the large form is built in it: the small one would be converted, and loses the sign of zero.
    let limits = ZSetLimits {
        max_listpack_entries: if small {
            limits.max_listpack_entries
        } else {
            0
        },
        ..*limits
    };
    let mut set = SortedSet::new();
    for (member, score) in combined {
        set.insert(&member, score, &limits);
    }
    set
}

fn store_result(
    context: &mut Context<'_, '_>,
    operation: Operation,
    event: &'static str,
) -> CommandResult {
    let keys = read_keys(context, 2)?;
    let options = Options::parse(context, operation, &keys, true)?;
    let limits = context.txn.limits().sorted_set;
    let mut sources = options.sources(context.txn, &context.args[keys]);
    let combined = combine(operation, &mut sources, options.aggregate);
    let result = sorted_set_of(combined, &limits);
    drop(sources);
    let len = store(context.txn, context.args[1], result, event);
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn zunionstore(context: &mut Context<'_, '_>) -> CommandResult {
    store_result(context, Operation::Union, "zunionstore")
}

fn zinterstore(context: &mut Context<'_, '_>) -> CommandResult {
    store_result(context, Operation::Intersection, "zinterstore")
}

fn zdiffstore(context: &mut Context<'_, '_>) -> CommandResult {
    store_result(context, Operation::Difference, "zdiffstore")
}

fn zintercard(context: &mut Context<'_, '_>) -> CommandResult {
    let keys = read_keys(context, 1)?;
    let mut limit = usize::MAX;
    for option in context.args[keys.end..].chunks(2) {
        let [name, value] = option else {
            return Err(CommandError::Syntax);
        };
        if !name.eq_ignore_ascii_case(b"limit") {
            return Err(CommandError::Syntax);
        }
        let count = parse_i64(value).and_then(|count| usize::try_from(count).ok());
        let count = count.ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
        limit = if count == 0 { usize::MAX } else { count };
    }
    let txn = &*context.txn;
    let keys = context.args[keys].iter();
    let mut members: SmallVec<[Members<'_>; 4]> = keys.map(|key| Members::of(txn, key)).collect();
    members.sort_by_key(Members::len);
    let count = members.split_first().map_or(0, |(smallest, others)| {
        let common = smallest.iter().filter(|(member, _)| {
            member.with_bytes(|bytes| others.iter().all(|other| other.score(bytes).is_some()))
        });
        common.take(limit).count()
    });
    context.reply.int(count as i64);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("sorted_sets/algebra.txt"));
    }

    #[test]
    fn a_difference_is_the_same_either_way() {
        let mut h = Harness::new();
        for member in 0..100 {
            h.run(&format!("ZADD first {member} {member}"));
            h.run(&format!("ZADD even {member} {}", member * 2));
        }
        h.run("ZADD one 0 7");
        h.check("ZDIFFSTORE d 2 first even => 50 ; zdiffstore d ; ZDIFFSTORE d 2 first even");
        h.check("ZDIFFSTORE d 2 first one => 99 ; zdiffstore d ; ZDIFFSTORE d 2 first one");
        h.check("ZSCORE d 7 => nil");
    }
}
