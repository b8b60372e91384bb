//! SORT: the elements of a list, set or sorted set in an order of the client's, by themselves or by other keys, and
//! what other keys say about each. It knows how keys are named by patterns, and nothing of how collections are stored.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, one_key};
use super::{CommandError, CommandResult, Context, Outcome, acl};
use crate::keyspace::{Entry, EventClass, Txn, ValueRef};
use crate::value::list::List;
use crate::value::listpack::Element;
use crate::value::number::{parse_f64_weight, parse_i64, until_nul};

const NOT_A_WEIGHT: CommandError =
    CommandError::text("ERR One or more scores can't be converted into double");

const PATTERN_KEYS: KeySpec = KeySpec {
    flags: "RO access",
    notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort",
    begin: Begin::Unknown,
    find: Find::Unknown,
};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 pattern:pattern#1=BY? offset_count:block=LIMIT?{offset:integer count:integer} pattern:pattern#1=GET?*+ order:oneof?{asc:pure-token=ASC desc:pure-token=DESC} sorting:pure-token=ALPHA? destination:key#2=STORE?",
        acl: "write set sortedset list slow dangerous",
        keys: &[
            one_key("RO access"),
            PATTERN_KEYS,
            KeySpec {
                flags: "OW update",
                notes: "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array",
                begin: Begin::Unknown,
                find: Find::Unknown,
            },
        ],
        find_keys: Some(find_keys),
        since: "1.0.0",
        summary: "Sort the elements in a list, set or sorted set",
        complexity: "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).",
        ..CommandSpec::new(
            "sort",
            -2,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
            sort,
        )
    },
    CommandSpec {
        arguments: "key:key#0 pattern:pattern#1=BY? offset_count:block=LIMIT?{offset:integer count:integer} pattern:pattern#1=GET?*+ order:oneof?{asc:pure-token=ASC desc:pure-token=DESC} sorting:pure-token=ALPHA?",
        acl: "read set sortedset list slow dangerous",
        keys: &[one_key("RO access"), PATTERN_KEYS],
        find_keys: Some(find_keys),
        since: "7.0.0",
        summary: "Sort the elements in a list, set or sorted set. Read-only variant of SORT.",
        complexity: "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).",
        ..CommandSpec::new(
            "sort_ro",
            -2,
            Flags::READONLY.and(Flags::MOVABLEKEYS),
            sort_ro,
        )
    },
];

// ------------------------------------------------------------------------------------------------ the words

/// How many words belong to the option at `at`, itself included; nothing where the line breaks off before them.
fn option_len(args: &[&[u8]], at: usize) -> Option<usize> {
    let is = |option: &[u8]| args[at].eq_ignore_ascii_case(option);
    let len = match () {
        () if is(b"limit") => 3,
        () if is(b"by") || is(b"get") => 2,
        () => 1,
    };
    (at + len <= args.len()).then_some(len)
}

/// The key that is sorted, and the last one that STORE names. Patterns with a `*` reach keys that the data names.
fn find_keys(args: &[&[u8]], visit: &mut dyn FnMut(usize, &'static str)) -> bool {
    let (mut stored, mut by_pattern) = (None, false);
    let mut at = 2;
    while at < args.len() {
        let len = option_len(args, at).unwrap_or(1);
        if len == 2 {
            by_pattern |= until_nul(args[at + 1]).contains(&b'*');
        } else if args[at].eq_ignore_ascii_case(b"store") && at + 1 < args.len() {
            stored = Some(at + 1);
        }
        at += len;
    }
    visit(1, "RO access");
    if let Some(at) = stored {
        visit(at, "OW update");
    }
    by_pattern
}

const BY_DENIED: CommandError =
    CommandError::text("ERR BY option of SORT denied due to insufficient ACL permissions.");
const GET_DENIED: CommandError =
    CommandError::text("ERR GET option of SORT denied due to insufficient ACL permissions.");

/// What the words of a SORT say. Keys that only the data names are followed where the user may read every key.
#[derive(Debug, Default)]
struct Options<'a> {
    by: Option<&'a [u8]>,
    /// LIMIT: how many to pass over, and how many to take (all where negative).
    limit: Option<(i64, i64)>,
    get: Vec<&'a [u8]>,
    descending: bool,
    alphabetic: bool,
    unsorted: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: &[&'a [u8]], may_store: bool, may_follow: bool) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 2;
        while at < args.len() {
            let len = option_len(args, at).ok_or(CommandError::Syntax)?;
            let is = |option: &[u8]| args[at].eq_ignore_ascii_case(option);
            match args[at..at + len] {
                [_, start, count] => {
                    let number = |word| parse_i64(word).ok_or(CommandError::NotInteger);
                    options.limit = Some((number(start)?, number(count)?));
                }
                [_, _] if is(b"get") && !may_follow => return Err(GET_DENIED),
                [_, pattern] if until_nul(pattern).contains(&b'*') && !may_follow => {
                    return Err(BY_DENIED);
                }
                [_, pattern] if is(b"get") => options.get.push(pattern),
                [_, pattern] => {
                    options.by = Some(pattern);
                    // A pattern that names no element stays in force, whatever another BY says after it.
                    options.unsorted |= !until_nul(pattern).contains(&b'*');
                }
                [_] if is(b"asc") => options.descending = false,
                [_] if is(b"desc") => options.descending = true,
                [_] if is(b"alpha") => options.alphabetic = true,
                [_] if is(b"store") && may_store && at + 1 < args.len() => {
                    options.store = Some(args[at + 1]);
                    at += 1;
                }
                _ => return Err(CommandError::Syntax),
            }
            at += len;
        }
        Ok(options)
    }

    /// Which of `len` elements are wanted.
    fn window(&self, len: usize) -> std::ops::Range<usize> {
        let (start, count) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(start).unwrap_or(0).min(len);
        let count = usize::try_from(count).unwrap_or(len);
        start..start.saturating_add(count).min(len)
    }
}

// ------------------------------------------------------------------------------------------------ the elements

/// What the key holds: the wanted elements in their own order where nothing is to be sorted, otherwise all.
#[derive(Debug, Default)]
struct Source {
    elements: Vec<Text>,
    /// Whether LIMIT is applied already.
    cut: bool,
    /// Whether the elements have no order of their own.
    is_set: bool,
}

impl Source {
    fn read(context: &mut Context<'_, '_>, options: &Options<'_>) -> Result<Self, CommandError> {
        let key = context.args[1];
        if let Some(ValueRef::SortedSet(set)) = context.txn.read(key).map(Entry::value)
            && set.as_listpack().is_some()
            && let Some(set) = context.txn.sorted_set_mut(key)?
        {
            // OBJECT ENCODING tells that Redis leaves the compact form here.
            set.leave_listpack();
        }
        let value = context.txn.peek(key).map(Entry::value);
        let (len, elements): (usize, Box<dyn Iterator<Item = Element<'_>> + '_>) = match value {
            None => return Ok(Self::default()),
            Some(ValueRef::Set(set)) => {
                return Ok(Self {
                    elements: set.iter().map(|element| text_of(element)).collect(),
                    cut: false,
                    is_set: true,
                });
            }
            Some(ValueRef::List(list)) if options.unsorted && options.descending => {
                let last = list.len().saturating_sub(1);
                (list.len(), Box::new(list.iter_back_from(last)))
            }
            Some(ValueRef::List(list)) => (list.len(), Box::new(list.iter())),
            Some(ValueRef::SortedSet(set)) => {
                let entries = set.iter();
                let members: Box<dyn Iterator<Item = Element<'_>>> =
                    if options.unsorted && options.descending {
                        Box::new(entries.rev().map(|(member, _)| member))
                    } else {
                        Box::new(entries.map(|(member, _)| member))
                    };
                (set.len(), members)
            }
            Some(ValueRef::String(_) | ValueRef::Hash(_) | ValueRef::Stream(_)) => {
                return Err(CommandError::WrongType);
            }
        };
        let wanted = if options.unsorted {
            options.window(len)
        } else {
            0..len
        };
        // The iterators do not tell how many they have left.
        let mut texts = Vec::with_capacity(wanted.len());
        let elements = elements.skip(wanted.start).take(wanted.len());
        texts.extend(elements.map(|element| text_of(element)));
        Ok(Self {
            elements: texts,
            cut: options.unsorted,
            is_set: false,
        })
    }
}

/// What is sorted or looked up; most of it is short.
type Text = SmallVec<[u8; 24]>;

fn text_of(element: Element<'_>) -> Text {
    element.with_bytes(Text::from_slice)
}

/// What a pattern says about an element: the string, or the field of a hash, at the key with the element in place of
/// the first `*`. The pattern `#` is the element itself.
fn look_up(txn: &mut Txn<'_>, pattern: &[u8], element: &[u8]) -> Option<Text> {
    if pattern == b"#" {
        return Some(Text::from_slice(element));
    }
    let star = until_nul(pattern).iter().position(|byte| *byte == b'*')?;
    let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = until_nul(rest).windows(2).position(|two| two == b"->");
    let field = arrow
        .map(|at| &rest[at + 2..])
        .filter(|field| !until_nul(field).is_empty());
    let suffix = match (arrow, field) {
        (Some(at), Some(_)) => &rest[..at],
        _ => rest,
    };
    let key = [prefix, element, suffix].concat();
    if field.is_some() {
        txn.remove_due_fields(&key);
    }
    match (txn.read(&key)?.value(), field) {
        (ValueRef::String(text), None) => Some(text_of(text)),
        (ValueRef::Hash(hash), Some(field)) => hash.get(field).map(text_of),
        _ => None,
    }
}

// ------------------------------------------------------------------------------------------------ sorting

/// What a text is compared by.
#[derive(Debug)]
enum Weight {
    /// Itself.
    Element,
    /// Another text, or nothing, which comes first.
    Text(Option<Text>),
}

/// An element and its weight.
#[derive(Debug)]
struct Weighed {
    element: Text,
    weight: Weight,
}

/// How texts are compared: an answer follows the C locale, in which a text ends at a zero byte; what is stored is
/// compared byte by byte.
#[derive(Debug, Clone, Copy)]
struct Order {
    stored: bool,
    of_set: bool,
}

impl Order {
    fn texts(self, one: &[u8], other: &[u8]) -> Ordering {
        if self.stored {
            one.cmp(other)
        } else {
            until_nul(one).cmp(until_nul(other))
        }
    }

    fn compare(self, one: &Weighed, other: &Weighed) -> Ordering {
        let order = match (&one.weight, &other.weight) {
            (Weight::Text(Some(text)), Weight::Text(Some(second))) => self.texts(text, second),
            (Weight::Text(text), Weight::Text(second)) => text.is_some().cmp(&second.is_some()),
            _ => self.texts(&one.element, &other.element),
        };
        // The order of a set depends on its form, and what is logged must store the same when it is read again.
        order.then_with(|| {
            if self.of_set {
                one.element.cmp(&other.element)
            } else {
                Ordering::Equal
            }
        })
    }
}

/// An order, or the opposite one.
fn directed(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

/// Sorts by texts: the elements themselves, or what the pattern finds for each.
fn sort_texts(
    txn: &mut Txn<'_>,
    elements: Vec<Text>,
    options: &Options<'_>,
    order: Order,
) -> Vec<Text> {
    let weigh = |element: Text| {
        let weight = match options.by {
            Some(pattern) => Weight::Text(look_up(txn, pattern, &element)),
            None => Weight::Element,
        };
        Weighed { element, weight }
    };
    let mut weighed: Vec<_> = elements.into_iter().map(weigh).collect();
    weighed.sort_by(|one, other| directed(order.compare(one, other), options.descending));
    weighed.into_iter().map(|weighed| weighed.element).collect()
}

/// An integer that is to others what the number is to other numbers, of which none is a NaN: integers are compared sooner.
fn rank_of(number: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    // Zero has one rank, whatever its sign.
    let bits = (number + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// Sorts by numbers, equal ones by their elements. The keys of all are read, even where one turns out to be no number.
fn sort_numbers(
    txn: &mut Txn<'_>,
    mut elements: Vec<Text>,
    options: &Options<'_>,
) -> Result<Vec<Text>, CommandError> {
    let mut valid = true;
    let mut numbers = Vec::with_capacity(elements.len());
    for (at, element) in elements.iter().enumerate() {
        let found = options.by.map(|pattern| look_up(txn, pattern, element));
        let number = match found {
            Some(None) => Some(0.0),
            found => parse_f64_weight(found.flatten().as_deref().unwrap_or(element)),
        };
        valid &= number.is_some();
        let rank = rank_of(number.unwrap_or_default());
        numbers.push((if options.descending { !rank } else { rank }, at));
    }
    if !valid {
        return Err(NOT_A_WEIGHT);
    }
    numbers.sort_unstable_by(|(one, at), (other, other_at)| {
        one.cmp(other).then_with(|| {
            let order = elements[*at].cmp(&elements[*other_at]);
            directed(order, options.descending)
        })
    });
    let in_order = numbers.iter();
    Ok(in_order
        .map(|(_, at)| std::mem::take(&mut elements[*at]))
        .collect())
}

/// The wanted elements in order.
fn sorted(
    context: &mut Context<'_, '_>,
    options: &mut Options<'_>,
) -> Result<Vec<Text>, CommandError> {
    let Source {
        mut elements,
        cut,
        is_set,
    } = Source::read(context, options)?;
    if options.unsorted && is_set && (options.store.is_some() || context.mode.script) {
        // The order of a set would differ from one server to the next.
        options.by = None;
        (options.unsorted, options.alphabetic) = (false, true);
    }
    if !options.unsorted {
        let order = Order {
            stored: options.store.is_some(),
            of_set: is_set && options.store.is_some(),
        };
        elements = if options.alphabetic {
            sort_texts(context.txn, elements, options, order)
        } else {
            sort_numbers(context.txn, elements, options)?
        };
    }
    if !cut {
        let window = options.window(elements.len());
        elements.truncate(window.end);
        elements.drain(..window.start);
    }
    Ok(elements)
}

// ------------------------------------------------------------------------------------------------ handlers

fn answer(context: &mut Context<'_, '_>, elements: &[Text], options: &Options<'_>) {
    let each = options.get.len().max(1);
    context.reply.array(elements.len() * each);
    for element in elements {
        if options.get.is_empty() {
            context.reply.bulk(element);
        }
        for pattern in &options.get {
            match look_up(context.txn, pattern, element) {
                Some(text) => context.reply.bulk(&text),
                None => context.reply.null(),
            }
        }
    }
}

fn store(txn: &mut Txn<'_>, key: &[u8], elements: &[Text], get: &[&[u8]]) -> usize {
    let limits = txn.limits().list;
    let mut list = List::new();
    for element in elements {
        if get.is_empty() {
            list.push_back(element, &limits);
        }
        for pattern in get {
            let text = look_up(txn, pattern, element).unwrap_or_default();
            list.push_back(&text, &limits);
        }
    }
    let len = list.len();
    if len > 0 {
        txn.insert_result(key, list.into(), EventClass::LIST, "sortstore");
        txn.add_dirty(len as u64 - 1);
    } else if txn.remove(key) {
        txn.changed(EventClass::GENERIC, "del", key);
    }
    len
}

fn sort(context: &mut Context<'_, '_>) -> CommandResult {
    let mut options = Options::parse(context.args, true, acl::may_read_every_key(context))?;
    let elements = sorted(context, &mut options)?;
    match options.store {
        None => answer(context, &elements, &options),
        Some(key) => {
            let len = store(context.txn, key, &elements, &options.get);
            context.reply.int(len as i64);
        }
    }
    Ok(Outcome::Done)
}

fn sort_ro(context: &mut Context<'_, '_>) -> CommandResult {
    let mut options = Options::parse(context.args, false, acl::may_read_every_key(context))?;
    let elements = sorted(context, &mut options)?;
    answer(context, &elements, &options);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::rank_of;
    use crate::commands::testing::Harness;

    proptest! {
        #[test]
        fn ranks_are_in_the_order_of_their_numbers(one: f64, other: f64) {
            prop_assume!(!one.is_nan() && !other.is_nan());
            prop_assert_eq!(Some(rank_of(one).cmp(&rank_of(other))), one.partial_cmp(&other));
        }
    }

    #[test]
    fn both_zeros_have_one_rank_and_infinity_is_the_last() {
        assert_eq!(rank_of(0.0), rank_of(-0.0));
        assert!(rank_of(f64::INFINITY) > rank_of(f64::MAX));
        assert!(rank_of(f64::NEG_INFINITY) < rank_of(f64::MIN));
        assert!(rank_of(-1.0) < rank_of(-0.5) && rank_of(-f64::MIN_POSITIVE) < rank_of(0.0));
    }

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("sort/transcript.txt"));
    }

    #[test]
    fn the_keys_that_the_words_name() {
        Harness::new().expect(&[
            ("COMMAND GETKEYS SORT k", "[\"k\"]"),
            (
                "COMMAND GETKEYS SORT k BY store GET # STORE d",
                "[\"k\" \"d\"]",
            ),
            (
                "COMMAND GETKEYS SORT k STORE a DESC STORE b",
                "[\"k\" \"b\"]",
            ),
            ("COMMAND GETKEYS SORT k LIMIT 0 STORE d", "[\"k\"]"),
            ("COMMAND GETKEYS SORT_RO k BY w* GET x", "[\"k\"]"),
        ]);
    }

    /// Only patterns that make names of elements reach beyond the named keys.
    #[test]
    fn which_lines_need_every_shard() {
        let needs_all = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let command = crate::commands::lookup(&words).expect("a known name");
            command.needs_all_shards(&words)
        };
        for line in ["SORT k", "SORT k BY nosort GET #", "SORT k STORE a*"] {
            assert!(!needs_all(line), "{line}");
        }
        for line in ["SORT k BY w*", "SORT_RO k GET w*->f", "SORT k GET # GET *"] {
            assert!(needs_all(line), "{line}");
        }
    }

    #[test]
    fn members_of_sets_are_stored_in_an_order_of_their_own() {
        let mut h = Harness::new();
        h.run("SADD s 30 4 200 x");
        h.run("SORT s BY none* ALPHA STORE d");
        h.expect(&[("LRANGE d 0 -1", "[\"200\" \"30\" \"4\" \"x\"]")]);
    }
}
