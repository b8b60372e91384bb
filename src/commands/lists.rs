//! Lists: pushing, popping, moving and reading elements. The commands that wait for elements are in
//! [`super::blocking_lists`]; what they share with these is here. It knows no waiter.

#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use super::elements::bulk_element;
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, key_range, one_key};
use super::strings::answer;
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Txn};
use crate::reply::Reply;
use crate::value::list::{List, ListLimits};
use crate::value::listpack::{Element, Needle};
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 index:integer",
        acl: "read list slow",
        keys: &[one_key("RO access")],
        group: "list",
        since: "1.0.0",
        summary: "Get an element from a list by its index",
        complexity: "O(N) where N is the number of elements to traverse to get to the element at index. This makes asking for the first or the last element of the list O(1).",
        ..CommandSpec::new("lindex", 3, Flags::READONLY, lindex)
    },
    CommandSpec {
        arguments: "key:key#0 where:oneof{before:pure-token=BEFORE after:pure-token=AFTER} pivot:string element:string",
        acl: "write list slow",
        keys: &[one_key("RW insert")],
        group: "list",
        since: "2.2.0",
        summary: "Insert an element before or after another element in a list",
        complexity: "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the right end (tail) is O(N).",
        ..CommandSpec::new("linsert", 5, Flags::WRITE.and(Flags::DENYOOM), linsert)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read list fast",
        keys: &[one_key("RO")],
        group: "list",
        since: "1.0.0",
        summary: "Get the length of a list",
        complexity: "O(1)",
        ..CommandSpec::new("llen", 2, Flags::READONLY.and(Flags::FAST), llen)
    },
    CommandSpec {
        arguments: "source:key#0 destination:key#1 wherefrom:oneof{left:pure-token=LEFT right:pure-token=RIGHT} whereto:oneof{left:pure-token=LEFT right:pure-token=RIGHT}",
        acl: "write list slow",
        keys: &[one_key("RW access delete"), key_range("RW insert", 2, 0, 1)],
        group: "list",
        since: "6.2.0",
        summary: "Pop an element from a list, push it to another list and return it",
        complexity: "O(1)",
        ..CommandSpec::new("lmove", 5, Flags::WRITE.and(Flags::DENYOOM), lmove)
    },
    CommandSpec {
        arguments: "numkeys:integer key:key#0* where:oneof{left:pure-token=LEFT right:pure-token=RIGHT} count:integer=COUNT?",
        acl: "write list slow",
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
        group: "list",
        since: "7.0.0",
        summary: "Pop elements from a list",
        complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        ..CommandSpec::new("lmpop", -4, Flags::WRITE.and(Flags::MOVABLEKEYS), lmpop)
    },
    CommandSpec {
        arguments: "key:key#0 count:integer?@6.2.0",
        acl: "write list fast",
        keys: &[one_key("RW access delete")],
        group: "list",
        since: "1.0.0",
        summary: "Remove and get the first elements in a list",
        complexity: "O(N) where N is the number of elements returned",
        history: &[("6.2.0", "Added the `count` argument.")],
        ..CommandSpec::new("lpop", -2, Flags::WRITE.and(Flags::FAST), lpop)
    },
    CommandSpec {
        arguments: "key:key#0 element:string rank:integer=RANK? num-matches:integer=COUNT? len:integer=MAXLEN?",
        acl: "read list slow",
        keys: &[one_key("RO access")],
        group: "list",
        since: "6.0.6",
        summary: "Return the index of matching elements on a list",
        complexity: "O(N) where N is the number of elements in the list, for the average case. When searching for elements near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant time.",
        ..CommandSpec::new("lpos", -3, Flags::READONLY, lpos)
    },
    CommandSpec {
        arguments: "key:key#0 element:string*",
        acl: "write list fast",
        keys: &[one_key("RW insert")],
        group: "list",
        since: "1.0.0",
        summary: "Prepend one or multiple elements to a list",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        history: &[("2.4.0", "Accepts multiple `element` arguments.")],
        ..CommandSpec::new(
            "lpush",
            -3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            lpush,
        )
    },
    CommandSpec {
        arguments: "key:key#0 element:string*",
        acl: "write list fast",
        keys: &[one_key("RW insert")],
        group: "list",
        since: "2.2.0",
        summary: "Prepend an element to a list, only if the list exists",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        history: &[("4.0.0", "Accepts multiple `element` arguments.")],
        ..CommandSpec::new(
            "lpushx",
            -3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            lpushx,
        )
    },
    CommandSpec {
        arguments: "key:key#0 start:integer stop:integer",
        acl: "read list slow",
        keys: &[one_key("RO access")],
        group: "list",
        since: "1.0.0",
        summary: "Get a range of elements from a list",
        complexity: "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the specified range.",
        ..CommandSpec::new("lrange", 4, Flags::READONLY, lrange)
    },
    CommandSpec {
        arguments: "key:key#0 count:integer element:string",
        acl: "write list slow",
        keys: &[one_key("RW delete")],
        group: "list",
        since: "1.0.0",
        summary: "Remove elements from a list",
        complexity: "O(N+M) where N is the length of the list and M is the number of elements removed.",
        ..CommandSpec::new("lrem", 4, Flags::WRITE, lrem)
    },
    CommandSpec {
        arguments: "key:key#0 index:integer element:string",
        acl: "write list slow",
        keys: &[one_key("RW update")],
        group: "list",
        since: "1.0.0",
        summary: "Set the value of an element in a list by its index",
        complexity: "O(N) where N is the length of the list. Setting either the first or the last element of the list is O(1).",
        ..CommandSpec::new("lset", 4, Flags::WRITE.and(Flags::DENYOOM), lset)
    },
    CommandSpec {
        arguments: "key:key#0 start:integer stop:integer",
        acl: "write list slow",
        keys: &[one_key("RW delete")],
        group: "list",
        since: "1.0.0",
        summary: "Trim a list to the specified range",
        complexity: "O(N) where N is the number of elements to be removed by the operation.",
        ..CommandSpec::new("ltrim", 4, Flags::WRITE, ltrim)
    },
    CommandSpec {
        arguments: "key:key#0 count:integer?@6.2.0",
        acl: "write list fast",
        keys: &[one_key("RW access delete")],
        group: "list",
        since: "1.0.0",
        summary: "Remove and get the last elements in a list",
        complexity: "O(N) where N is the number of elements returned",
        history: &[("6.2.0", "Added the `count` argument.")],
        ..CommandSpec::new("rpop", -2, Flags::WRITE.and(Flags::FAST), rpop)
    },
    CommandSpec {
        arguments: "source:key#0 destination:key#1",
        acl: "write list slow",
        keys: &[one_key("RW access delete"), key_range("RW insert", 2, 0, 1)],
        group: "list",
        since: "1.2.0",
        summary: "Remove the last element in a list, prepend it to another list and return it",
        complexity: "O(1)",
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        ..CommandSpec::new("rpoplpush", 3, Flags::WRITE.and(Flags::DENYOOM), rpoplpush)
    },
    CommandSpec {
        arguments: "key:key#0 element:string*",
        acl: "write list fast",
        keys: &[one_key("RW insert")],
        group: "list",
        since: "1.0.0",
        summary: "Append one or multiple elements to a list",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        history: &[("2.4.0", "Accepts multiple `element` arguments.")],
        ..CommandSpec::new(
            "rpush",
            -3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            rpush,
        )
    },
    CommandSpec {
        arguments: "key:key#0 element:string*",
        acl: "write list fast",
        keys: &[one_key("RW insert")],
        group: "list",
        since: "2.2.0",
        summary: "Append an element to a list, only if the list exists",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        history: &[("4.0.0", "Accepts multiple `element` arguments.")],
        ..CommandSpec::new(
            "rpushx",
            -3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            rpushx,
        )
    },
];

// ------------------------------------------------------------------------------------------------ shared parts

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Left,
    Right,
}

impl End {
    /// LEFT or RIGHT, in any case.
    pub(super) fn parse(word: &[u8]) -> Result<Self, CommandError> {
        if word.eq_ignore_ascii_case(b"left") {
            Ok(Self::Left)
        } else if word.eq_ignore_ascii_case(b"right") {
            Ok(Self::Right)
        } else {
            Err(CommandError::Syntax)
        }
    }

    const fn push_event(self) -> &'static str {
        match self {
            Self::Left => "lpush",
            Self::Right => "rpush",
        }
    }

    const fn pop_event(self) -> &'static str {
        match self {
            Self::Left => "lpop",
            Self::Right => "rpop",
        }
    }

    /// The command that takes elements off this end.
    pub(super) const fn pop_command(self) -> &'static [u8] {
        match self {
            Self::Left => b"LPOP",
            Self::Right => b"RPOP",
        }
    }

    /// The element at this end.
    pub(super) fn of(self, list: &List) -> Option<Element<'_>> {
        match self {
            Self::Left => list.front(),
            Self::Right => list.back(),
        }
    }

    fn push(self, list: &mut List, value: &[u8], limits: &ListLimits) {
        match self {
            Self::Left => list.push_front(value, limits),
            Self::Right => list.push_back(value, limits),
        }
    }

    /// Removes `count` elements, of which there must be as many.
    pub(super) fn remove(self, list: &mut List, count: usize) {
        let start = match self {
            Self::Left => 0,
            Self::Right => list.len() - count,
        };
        list.remove_range(start, count);
    }

    /// Takes up to `count` elements off a list and answers them as an array; how many there were.
    fn take(self, list: &mut List, count: usize, reply: &mut dyn Reply) -> usize {
        let taken = count.min(list.len());
        reply.array(taken);
        match self {
            Self::Left => {
                let elements = list.iter().take(taken);
                elements.for_each(|element| bulk_element(reply, element));
            }
            Self::Right => {
                let elements = list.iter_back_from(list.len() - 1).take(taken);
                elements.for_each(|element| bulk_element(reply, element));
            }
        }
        self.remove(list, taken);
        taken
    }
}

/// Notes that `count` elements were taken off `end`; a list that was `emptied` by it is removed.
pub(super) fn note_popped(txn: &mut Txn<'_>, key: &[u8], end: End, count: usize, emptied: bool) {
    txn.changed(EventClass::LIST, end.pop_event(), key);
    txn.add_dirty(count as u64 - 1);
    if emptied {
        txn.remove_if_empty(key);
    }
}

/// Moves an element from `source` to `destination`, which may be the same, and answers it; false, with nothing
/// answered, when there is no source.
pub(super) fn transfer(
    context: &mut Context<'_, '_>,
    (source, from): (&[u8], End),
    (destination, to): (&[u8], End),
) -> Result<bool, CommandError> {
    let Context { txn, reply, .. } = context;
    let limits = txn.limits().list;
    let Some(element) = txn.list_mut(source)?.and_then(|list| from.of(list)) else {
        return Ok(false);
    };
    // Both lists may be one, or may move when the other changes; short elements need no allocation.
    let value: SmallVec<[u8; 256]> = element.with_bytes(SmallVec::from_slice);
    to.push(txn.list_or_new(destination)?, &value, &limits);
    txn.changed(EventClass::LIST, to.push_event(), destination);
    let mut emptied = false;
    if let Some(list) = txn.list_mut(source)? {
        from.remove(list, 1);
        emptied = list.is_empty();
    }
    note_popped(txn, source, from, 1, emptied);
    reply.bulk(&value);
    Ok(true)
}

/// What LMPOP and BLMPOP are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MultiPop {
    /// Position of the first key.
    pub(super) first: usize,
    /// Position behind the last key.
    pub(super) behind: usize,
    end: End,
    count: usize,
}

impl MultiPop {
    /// Reads `numkeys key … LEFT|RIGHT [COUNT count]` from the word at `start` on.
    pub(super) fn parse(context: &Context<'_, '_>, start: usize) -> Result<Self, CommandError> {
        let args = context.args;
        let keys = at_least_one(args[start])
            .ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
        let behind = keys.saturating_add(start + 1);
        let end = End::parse(args.get(behind).ok_or(CommandError::Syntax)?)?;
        let count = match &args[behind + 1..] {
            [] => 1,
            [option, count, rest @ ..] if option.eq_ignore_ascii_case(b"count") => {
                let refusal = CommandError::text("ERR count should be greater than 0");
                let count = at_least_one(count).ok_or(refusal)?;
                if !rest.is_empty() {
                    return Err(CommandError::Syntax);
                }
                count
            }
            _ => return Err(CommandError::Syntax),
        };
        Ok(Self {
            first: start + 1,
            behind,
            end,
            count,
        })
    }
}

fn at_least_one(word: &[u8]) -> Option<usize> {
    let number = usize::try_from(parse_i64(word)?).ok()?;
    (number > 0).then_some(number)
}

/// Takes elements off the first list that is there, and answers its key and them; false, with nothing answered, when
/// there is none.
pub(super) fn pop_first(
    context: &mut Context<'_, '_>,
    wanted: &MultiPop,
) -> Result<bool, CommandError> {
    let retry = context.mode.retry;
    let Context {
        txn, args, reply, ..
    } = context;
    for key in &args[wanted.first..wanted.behind] {
        let list = match txn.list_mut(key) {
            Ok(None) => continue,
            Err(_) if retry => continue,
            found => found?,
        };
        let Some(list) = list else { continue };
        reply.array(2);
        reply.bulk(key);
        let taken = wanted.end.take(list, wanted.count, &mut **reply);
        let emptied = list.is_empty();
        note_popped(txn, key, wanted.end, taken, emptied);
        let mut digits = itoa::Buffer::new();
        let taken = digits.format(taken).as_bytes();
        txn.propagate(&[wanted.end.pop_command(), key, taken]);
        return Ok(true);
    }
    Ok(false)
}

/// The places of a range that may count from the tail, both included, cut to `len`; none when it is empty.
fn clamp_range(start: i64, stop: i64, len: usize) -> Option<(usize, usize)> {
    let len = len as i64;
    let from_head = |index: i64| if index < 0 { index + len } else { index };
    let start = from_head(start).max(0);
    let stop = from_head(stop).min(len - 1);
    (start <= stop).then_some((start as usize, stop as usize))
}

// ------------------------------------------------------------------------------------------------ pushing and popping

fn push(context: &mut Context<'_, '_>, end: End, only_existing: bool) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let (key, limits) = (args[1], txn.limits().list);
    let list = if only_existing {
        txn.list_mut(key)?
    } else {
        Some(txn.list_or_new(key)?)
    };
    let Some(list) = list else {
        reply.int(0);
        return Ok(Outcome::Done);
    };
    for value in &args[2..] {
        end.push(list, value, &limits);
    }
    let len = list.len();
    txn.changed(EventClass::LIST, end.push_event(), key);
    txn.add_dirty(args.len() as u64 - 3);
    reply.int(len as i64);
    Ok(Outcome::Done)
}

fn lpush(context: &mut Context<'_, '_>) -> CommandResult {
    push(context, End::Left, false)
}

fn rpush(context: &mut Context<'_, '_>) -> CommandResult {
    push(context, End::Right, false)
}

fn lpushx(context: &mut Context<'_, '_>) -> CommandResult {
    push(context, End::Left, true)
}

fn rpushx(context: &mut Context<'_, '_>) -> CommandResult {
    push(context, End::Right, true)
}

fn pop(context: &mut Context<'_, '_>, end: End) -> CommandResult {
    let Context {
        txn,
        args,
        reply,
        command,
        ..
    } = context;
    if args.len() > 3 {
        return Err(CommandError::WrongArity(command.full_name.clone()));
    }
    let count = match args.get(2) {
        None => None,
        Some(word) => {
            let count = parse_i64(word).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::MustBePositive)?)
        }
    };
    let key = args[1];
    let Some(list) = txn.list_mut(key)? else {
        match count {
            None => reply.null(),
            Some(_) => reply.null_array(),
        }
        return Ok(Outcome::Done);
    };
    let taken = match count {
        None => {
            answer(&mut **reply, end.of(list));
            end.remove(list, 1);
            1
        }
        Some(count) => end.take(list, count, &mut **reply),
    };
    if taken > 0 {
        let emptied = list.is_empty();
        note_popped(txn, key, end, taken, emptied);
    }
    Ok(Outcome::Done)
}

fn lpop(context: &mut Context<'_, '_>) -> CommandResult {
    pop(context, End::Left)
}

fn rpop(context: &mut Context<'_, '_>) -> CommandResult {
    pop(context, End::Right)
}

fn lmpop(context: &mut Context<'_, '_>) -> CommandResult {
    let wanted = MultiPop::parse(context, 1)?;
    if !pop_first(context, &wanted)? {
        context.reply.null_array();
    }
    Ok(Outcome::Done)
}

fn lmove(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let (from, to) = (End::parse(args[3])?, End::parse(args[4])?);
    if !transfer(context, (args[1], from), (args[2], to))? {
        context.reply.null();
    }
    Ok(Outcome::Done)
}

fn rpoplpush(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    if !transfer(context, (args[1], End::Right), (args[2], End::Left))? {
        context.reply.null();
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ reading

fn llen(context: &mut Context<'_, '_>) -> CommandResult {
    let len = context.txn.list(context.args[1])?.map_or(0, List::len);
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn lindex(context: &mut Context<'_, '_>) -> CommandResult {
    let Some(list) = context.txn.list(context.args[1])? else {
        context.reply.null();
        return Ok(Outcome::Done);
    };
    let index = parse_i64(context.args[2]).ok_or(CommandError::NotInteger)?;
    answer(context.reply, list.get(index));
    Ok(Outcome::Done)
}

fn lrange(context: &mut Context<'_, '_>) -> CommandResult {
    let (start, stop) = (context.int(2)?, context.int(3)?);
    let Context {
        txn, args, reply, ..
    } = context;
    let range = txn
        .list(args[1])?
        .and_then(|list| Some((list, clamp_range(start, stop, list.len())?)));
    let Some((list, (start, stop))) = range else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    let count = stop - start + 1;
    reply.array(count);
    list.iter_from(start)
        .take(count)
        .for_each(|element| bulk_element(&mut **reply, element));
    Ok(Outcome::Done)
}

/// The options of LPOS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Search {
    /// Begin at the tail.
    backwards: bool,
    /// Matches to pass over.
    skip: u64,
    /// Most matches to answer, as an array; `None`: one, as itself.
    count: Option<usize>,
    /// Most elements to compare.
    max_len: usize,
}

impl Search {
    fn parse(context: &Context<'_, '_>) -> Result<Self, CommandError> {
        let mut search = Self {
            backwards: false,
            skip: 0,
            count: None,
            max_len: usize::MAX,
        };
        // 0 stands for no limit.
        let limit = |word, refusal| match parse_i64(word).map(usize::try_from) {
            Some(Ok(0)) => Ok(usize::MAX),
            Some(Ok(limit)) => Ok(limit),
            _ => Err(CommandError::text(refusal)),
        };
        for option in context.args[3..].chunks(2) {
            let &[name, value] = option else {
                return Err(CommandError::Syntax);
            };
            if name.eq_ignore_ascii_case(b"rank") {
                let rank = parse_rank(value)?;
                search.backwards = rank < 0;
                // The smallest integer has no opposite; Redis 7.0 then skips nothing.
                search.skip = rank.checked_abs().map_or(0, |rank| rank.unsigned_abs() - 1);
            } else if name.eq_ignore_ascii_case(b"count") {
                search.count = Some(limit(value, "ERR COUNT can't be negative")?);
            } else if name.eq_ignore_ascii_case(b"maxlen") {
                search.max_len = limit(value, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(search)
    }

    /// How many elements lie before each match, in the direction of the search.
    fn distances<'a>(
        &self,
        elements: impl Iterator<Item = Element<'a>>,
        value: &[u8],
    ) -> SmallVec<[usize; 16]> {
        let needle = Needle::new(value);
        elements
            .take(self.max_len)
            .enumerate()
            .filter(|(_, element)| needle.matches(*element))
            .skip(usize::try_from(self.skip).unwrap_or(usize::MAX))
            .take(self.count.unwrap_or(1))
            .map(|(distance, _)| distance)
            .collect()
    }
}

fn parse_rank(word: &[u8]) -> Result<i64, CommandError> {
    match parse_i64(word) {
        None => Err(CommandError::NotInteger),
        Some(0) => Err(CommandError::text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
        )),
        Some(i64::MIN) => Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        Some(rank) => Ok(rank),
    }
}

fn lpos(context: &mut Context<'_, '_>) -> CommandResult {
    let search = Search::parse(context)?;
    let Context {
        txn, args, reply, ..
    } = context;
    let mut found = SmallVec::new();
    if let Some(list) = txn.list(args[1])? {
        let last = list.len() - 1;
        if search.backwards {
            found = search.distances(list.iter_back_from(last), args[2]);
            found
                .iter_mut()
                .for_each(|distance| *distance = last - *distance);
        } else {
            found = search.distances(list.iter(), args[2]);
        }
    }
    if search.count.is_some() {
        reply.array(found.len());
    } else if found.is_empty() {
        reply.null();
    }
    found.iter().for_each(|index| reply.int(*index as i64));
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ changing in place

fn lset(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let (key, limits) = (args[1], txn.limits().list);
    let list = txn.list_mut(key)?.ok_or(CommandError::NoSuchKey)?;
    let index = parse_i64(args[2]).ok_or(CommandError::NotInteger)?;
    if !list.set(index, args[3], &limits) {
        return Err(CommandError::IndexOutOfRange);
    }
    txn.changed(EventClass::LIST, "lset", key);
    reply.ok();
    Ok(Outcome::Done)
}

fn linsert(context: &mut Context<'_, '_>) -> CommandResult {
    let before = context.is(2, "before");
    if !before && !context.is(2, "after") {
        return Err(CommandError::Syntax);
    }
    let Context {
        txn, args, reply, ..
    } = context;
    let (key, pivot, value) = (args[1], args[3], args[4]);
    let limits = txn.limits().list;
    let Some(list) = txn.list_mut(key)? else {
        reply.int(0);
        return Ok(Outcome::Done);
    };
    let len = if before {
        list.insert_before(pivot, value, &limits)
    } else {
        list.insert_after(pivot, value, &limits)
    };
    if len.is_some() {
        txn.changed(EventClass::LIST, "linsert", key);
    }
    reply.int(len.map_or(-1, |len| len as i64));
    Ok(Outcome::Done)
}

fn lrem(context: &mut Context<'_, '_>) -> CommandResult {
    let count = context.int(2)?;
    let Context {
        txn, args, reply, ..
    } = context;
    let key = args[1];
    let (mut removed, mut emptied) = (0, false);
    if let Some(list) = txn.list_mut(key)? {
        removed = list.remove(count, args[3]);
        emptied = list.is_empty();
    }
    if removed > 0 {
        txn.changed(EventClass::LIST, "lrem", key);
        txn.add_dirty(removed as u64 - 1);
    }
    if emptied {
        txn.remove_if_empty(key);
    }
    reply.int(removed as i64);
    Ok(Outcome::Done)
}

fn ltrim(context: &mut Context<'_, '_>) -> CommandResult {
    let (start, stop) = (context.int(2)?, context.int(3)?);
    let Context {
        txn, args, reply, ..
    } = context;
    let key = args[1];
    if let Some(list) = txn.list_mut(key)? {
        let before = list.len();
        let (start, stop) = clamp_range(start, stop, before).unwrap_or((1, 0));
        list.trim(start, stop);
        let len = list.len();
        // Whoever watches the key is told even when nothing was cut off.
        txn.changed(EventClass::LIST, "ltrim", key);
        match before - len {
            0 => txn.propagate_nothing(),
            removed => txn.add_dirty(removed as u64 - 1),
        }
        if len == 0 {
            txn.remove_if_empty(key);
        }
    }
    reply.ok();
    Ok(Outcome::Done)
}
