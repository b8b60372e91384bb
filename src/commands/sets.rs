//! Sets: members, random members, and what several sets make together. It knows no form of a set.

#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use super::elements::bulk_element;
use super::scanning::{ScanOptions, Scanned, begin_step, empty_step, parse_cursor};
use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, key_range, one_key};
use super::strings::answer;
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Entry, EventClass, Txn, ValueRef};
use crate::reply::Reply;
use crate::value::listpack::Element;
use crate::value::number::parse_i64;
use crate::value::set::{self, Set, SetLimits};
use crate::value::view::View;

/// Members that one SREM of the log names at most.
const MEMBERS_PER_EFFECT: usize = 1024;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 member:string*",
        acl: "write set fast",
        keys: &[one_key("RW insert")],
        group: "set",
        since: "1.0.0",
        summary: "Add one or more members to a set",
        complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
        history: &[("2.4.0", "Accepts multiple `member` arguments.")],
        ..CommandSpec::new(
            "sadd",
            -3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            sadd,
        )
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read set fast",
        keys: &[one_key("RO")],
        group: "set",
        since: "1.0.0",
        summary: "Get the number of members in a set",
        complexity: "O(1)",
        ..CommandSpec::new("scard", 2, Flags::READONLY.and(Flags::FAST), scard)
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "read set slow",
        keys: &[key_range("RO access", 1, -1, 1)],
        group: "set",
        since: "1.0.0",
        summary: "Subtract multiple sets",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        tips: "nondeterministic_output_order",
        ..CommandSpec::new("sdiff", -2, Flags::READONLY, sdiff)
    },
    CommandSpec {
        arguments: "destination:key#0 key:key#1*",
        acl: "write set slow",
        keys: &[one_key("OW update"), key_range("RO access", 2, -1, 1)],
        group: "set",
        since: "1.0.0",
        summary: "Subtract multiple sets and store the resulting set in a key",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        ..CommandSpec::new(
            "sdiffstore",
            -3,
            Flags::WRITE.and(Flags::DENYOOM),
            sdiffstore,
        )
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "read set slow",
        keys: &[key_range("RO access", 1, -1, 1)],
        group: "set",
        since: "1.0.0",
        summary: "Intersect multiple sets",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        tips: "nondeterministic_output_order",
        ..CommandSpec::new("sinter", -2, Flags::READONLY, sinter)
    },
    CommandSpec {
        arguments: "numkeys:integer key:key#0* limit:integer=LIMIT?",
        acl: "read set slow",
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
        group: "set",
        since: "7.0.0",
        summary: "Intersect multiple sets and return the cardinality of the result",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        ..CommandSpec::new(
            "sintercard",
            -3,
            Flags::READONLY.and(Flags::MOVABLEKEYS),
            sintercard,
        )
    },
    CommandSpec {
        arguments: "destination:key#0 key:key#1*",
        acl: "write set slow",
        keys: &[one_key("RW update"), key_range("RO access", 2, -1, 1)],
        group: "set",
        since: "1.0.0",
        summary: "Intersect multiple sets and store the resulting set in a key",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        ..CommandSpec::new(
            "sinterstore",
            -3,
            Flags::WRITE.and(Flags::DENYOOM),
            sinterstore,
        )
    },
    CommandSpec {
        arguments: "key:key#0 member:string",
        acl: "read set fast",
        keys: &[one_key("RO")],
        group: "set",
        since: "1.0.0",
        summary: "Determine if a given value is a member of a set",
        complexity: "O(1)",
        ..CommandSpec::new("sismember", 3, Flags::READONLY.and(Flags::FAST), sismember)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read set slow",
        keys: &[one_key("RO access")],
        group: "set",
        since: "1.0.0",
        summary: "Get all the members in a set",
        complexity: "O(N) where N is the set cardinality.",
        tips: "nondeterministic_output_order",
        ..CommandSpec::new("smembers", 2, Flags::READONLY, smembers)
    },
    CommandSpec {
        arguments: "key:key#0 member:string*",
        acl: "read set fast",
        keys: &[one_key("RO access")],
        group: "set",
        since: "6.2.0",
        summary: "Returns the membership associated with the given elements for a set",
        complexity: "O(N) where N is the number of elements being checked for membership",
        ..CommandSpec::new(
            "smismember",
            -3,
            Flags::READONLY.and(Flags::FAST),
            smismember,
        )
    },
    CommandSpec {
        arguments: "source:key#0 destination:key#1 member:string",
        acl: "write set fast",
        keys: &[one_key("RW access delete"), key_range("RW insert", 2, 0, 1)],
        group: "set",
        since: "1.0.0",
        summary: "Move a member from one set to another",
        complexity: "O(1)",
        ..CommandSpec::new("smove", 4, Flags::WRITE.and(Flags::FAST), smove)
    },
    CommandSpec {
        arguments: "key:key#0 count:integer?@3.2.0",
        acl: "write set fast",
        keys: &[one_key("RW access delete")],
        group: "set",
        since: "1.0.0",
        summary: "Remove and return one or multiple random members from a set",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
        tips: "nondeterministic_output",
        history: &[("3.2.0", "Added the `count` argument.")],
        ..CommandSpec::new("spop", -2, Flags::WRITE.and(Flags::FAST), spop)
    },
    CommandSpec {
        arguments: "key:key#0 count:integer?@2.6.0",
        acl: "read set slow",
        keys: &[one_key("RO access")],
        group: "set",
        since: "1.0.0",
        summary: "Get one or multiple random members from a set",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
        tips: "nondeterministic_output",
        history: &[("2.6.0", "Added the optional `count` argument.")],
        ..CommandSpec::new("srandmember", -2, Flags::READONLY, srandmember)
    },
    CommandSpec {
        arguments: "key:key#0 member:string*",
        acl: "write set fast",
        keys: &[one_key("RW delete")],
        group: "set",
        since: "1.0.0",
        summary: "Remove one or more members from a set",
        complexity: "O(N) where N is the number of members to be removed.",
        history: &[("2.4.0", "Accepts multiple `member` arguments.")],
        ..CommandSpec::new("srem", -3, Flags::WRITE.and(Flags::FAST), srem)
    },
    CommandSpec {
        arguments: "key:key#0 cursor:integer pattern:pattern=MATCH? count:integer=COUNT?",
        acl: "read set slow",
        keys: &[one_key("RO access")],
        group: "set",
        since: "2.8.0",
        summary: "Incrementally iterate Set elements",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection..",
        tips: "nondeterministic_output",
        ..CommandSpec::new("sscan", -3, Flags::READONLY, sscan)
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "read set slow",
        keys: &[key_range("RO access", 1, -1, 1)],
        group: "set",
        since: "1.0.0",
        summary: "Add multiple sets",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        tips: "nondeterministic_output_order",
        ..CommandSpec::new("sunion", -2, Flags::READONLY, sunion)
    },
    CommandSpec {
        arguments: "destination:key#0 key:key#1*",
        acl: "write set slow",
        keys: &[one_key("OW update"), key_range("RO access", 2, -1, 1)],
        group: "set",
        since: "1.0.0",
        summary: "Add multiple sets and store the resulting set in a key",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        ..CommandSpec::new(
            "sunionstore",
            -3,
            Flags::WRITE.and(Flags::DENYOOM),
            sunionstore,
        )
    },
];

// ------------------------------------------------------------------------------------------------ members

fn sadd(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let (key, limits) = (args[1], txn.limits().set);
    let mut set = txn.set_or_new(key)?;
    let added = count(&args[2..], |member| set.insert(member, &limits));
    drop(set);
    if added > 0 {
        txn.changed(EventClass::SET, "sadd", key);
        txn.add_dirty(added - 1);
    }
    reply.int(added as i64);
    Ok(Outcome::Done)
}

fn srem(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let key = args[1];
    let (mut removed, mut emptied) = (0, false);
    if let Some(mut set) = txn.set_mut(key)? {
        let set = set.whole();
        removed = count(&args[2..], |member| set.remove(member));
        emptied = set.is_empty();
    }
    if removed > 0 {
        note_removed(txn, "srem", key, removed, emptied);
    }
    reply.int(removed as i64);
    Ok(Outcome::Done)
}

fn count(members: &[&[u8]], mut change: impl FnMut(&[u8]) -> bool) -> u64 {
    members.iter().map(|member| u64::from(change(member))).sum()
}

/// Notes that `count` members were removed; a set that was `emptied` by it goes too.
fn note_removed(txn: &mut Txn<'_>, event: &'static str, key: &[u8], count: u64, emptied: bool) {
    txn.changed(EventClass::SET, event, key);
    txn.add_dirty(count - 1);
    if emptied {
        txn.remove_if_empty(key);
    }
}

fn smove(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let (source, destination, member) = (args[1], args[2], args[3]);
    let limits = txn.limits().set;
    let found = txn.set_mut(source);
    let found = found.map(|set| set.map(|set| set.view().contains(member)));
    let Ok(Some(moved)) = found else {
        // Both are looked at before anything is said of one.
        drop(txn.set_mut(destination));
        found?;
        reply.int(0);
        return Ok(Outcome::Done);
    };
    drop(txn.set_mut(destination)?);
    if moved && source != destination {
        let emptied = txn.set_mut(source)?.is_some_and(|mut set| {
            set.whole().remove(member);
            set.view().is_empty()
        });
        note_removed(txn, "srem", source, 1, emptied);
        if txn.set_or_new(destination)?.insert(member, &limits) {
            txn.changed(EventClass::SET, "sadd", destination);
        }
    }
    reply.int(i64::from(moved));
    Ok(Outcome::Done)
}

fn scard(context: &mut Context<'_, '_>) -> CommandResult {
    let len = context.txn.set(context.args[1])?.map_or(0, |set| set.len());
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn sismember(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let found = txn.set(args[1])?.is_some_and(|set| set.contains(args[2]));
    reply.int(i64::from(found));
    Ok(Outcome::Done)
}

fn smismember(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let set = txn.set(args[1])?;
    reply.array(args.len() - 2);
    for member in &args[2..] {
        let found = set.as_ref().is_some_and(|set| set.contains(member));
        reply.int(i64::from(found));
    }
    Ok(Outcome::Done)
}

fn smembers(context: &mut Context<'_, '_>) -> CommandResult {
    let set = context.txn.set(context.args[1])?;
    answer_set(context.reply, set.as_deref());
    Ok(Outcome::Done)
}

fn answer_set(reply: &mut dyn Reply, set: Option<&Set>) {
    reply.set(set.map_or(0, Set::len));
    let members = set.into_iter().flat_map(Set::iter);
    members.for_each(|member| bulk_element(reply, member));
}

fn sscan(context: &mut Context<'_, '_>) -> CommandResult {
    let cursor = parse_cursor(context.args[2])?;
    let key = context.args[1];
    if context.txn.set(key)?.is_none() {
        empty_step(context.reply);
        return Ok(Outcome::Done);
    }
    let options = ScanOptions::parse(context, 3, Scanned::Members)?;
    let Some(ValueRef::Set(set)) = context.txn.peek(key).map(Entry::value) else {
        return Err(CommandError::WrongType);
    };
    let mut found = Vec::new();
    let next = set.scan(cursor, options.count, |member| {
        if member.with_bytes(|bytes| options.matches(bytes)) {
            // What is visited is lent for the visit only.
            found.push(member.to_vec());
        }
    });
    begin_step(context.reply, next, found.len());
    found.iter().for_each(|member| context.reply.bulk(member));
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ random members

fn spop(context: &mut Context<'_, '_>) -> CommandResult {
    match context.args {
        [_, _] => spop_one(context),
        [_, _, word] => {
            let count = parse_i64(word).and_then(|count| usize::try_from(count).ok());
            spop_count(context, count.ok_or(CommandError::MustBePositive)?)
        }
        _ => Err(CommandError::Syntax),
    }
}

fn spop_one(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let (key, keyspace) = (args[1], txn.keyspace());
    let popped = txn.set_mut(key)?.and_then(|mut set| {
        Some((
            set.whole().pop(&mut || keyspace.random())?,
            set.view().is_empty(),
        ))
    });
    let Some((member, emptied)) = popped else {
        reply.null();
        return Ok(Outcome::Done);
    };
    note_removed(txn, "spop", key, 1, emptied);
    txn.propagate(&[b"SREM", key, &member]);
    reply.bulk(&member);
    Ok(Outcome::Done)
}

fn spop_count(context: &mut Context<'_, '_>, count: usize) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let (key, keyspace) = (args[1], txn.keyspace());
    let Some(mut set) = txn.set_mut(key)?.filter(|_| count > 0) else {
        reply.set(0);
        return Ok(Outcome::Done);
    };
    let len = set.view().len();
    if count >= len {
        answer_set(&mut **reply, Some(&set.view()));
        let removed = len as u64;
        drop(set);
        note_removed(txn, "spop", key, removed, false);
        txn.remove(key);
        txn.notify(EventClass::GENERIC, "del", key);
        txn.propagate(&[b"DEL", key]);
        return Ok(Outcome::Done);
    }
    let popped: Vec<Vec<u8>> = (0..count)
        .map_while(|_| set.whole().pop(&mut || keyspace.random()))
        .collect();
    drop(set);
    note_removed(txn, "spop", key, popped.len() as u64, false);
    propagate_removals(txn, key, &popped);
    reply.set(popped.len());
    popped.iter().for_each(|member| reply.bulk(member));
    Ok(Outcome::Done)
}

fn propagate_removals(txn: &mut Txn<'_>, key: &[u8], members: &[Vec<u8>]) {
    for part in members.chunks(MEMBERS_PER_EFFECT) {
        let mut words: Vec<&[u8]> = vec![b"SREM", key];
        words.extend(part.iter().map(Vec::as_slice));
        txn.propagate(&words);
    }
}

fn srandmember(context: &mut Context<'_, '_>) -> CommandResult {
    let count = match context.args {
        [_, _] => None,
        [_, _, word] => Some(parse_count(word)?),
        _ => return Err(CommandError::Syntax),
    };
    let Context {
        txn, args, reply, ..
    } = context;
    let keyspace = txn.keyspace();
    let mut random = || keyspace.random();
    let set = txn.set(args[1])?;
    let Some(count) = count else {
        let member = set.as_ref().and_then(|set| set.random(&mut random));
        answer(&mut **reply, member);
        return Ok(Outcome::Done);
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    match set {
        None => reply.array(0),
        Some(set) if count < 0 => {
            reply.array(wanted);
            for _ in 0..wanted {
                if reply.is_full() {
                    break;
                }
                answer(&mut **reply, set.random(&mut random));
            }
        }
        Some(set) => {
            let sample = set.sample(wanted, &mut random);
            reply.array(sample.len());
            let members = sample.into_iter();
            members.for_each(|member| bulk_element(&mut **reply, member));
        }
    }
    Ok(Outcome::Done)
}

fn parse_count(word: &[u8]) -> Result<i64, CommandError> {
    match parse_i64(word).ok_or(CommandError::NotInteger)? {
        i64::MIN => Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        count => Ok(count),
    }
}

// ------------------------------------------------------------------------------------------------ several sets

/// A command on several sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

/// Sets to be combined, a missing one as `None`.
type Operands<'a> = SmallVec<[Option<View<'a, Set>>; 8]>;

/// The sets at these keys. Every key is looked at, so that one of another type is refused wherever it stands.
fn operands<'a>(txn: &'a mut Txn<'_>, keys: &[&[u8]]) -> Result<Operands<'a>, CommandError> {
    for key in keys {
        txn.set(key)?;
    }
    let txn = &*txn;
    let sets = keys.iter().map(|key| match txn.peek(key)?.value() {
        ValueRef::Set(set) => Some(set),
        _ => None,
    });
    Ok(sets.collect())
}

/// Visits the members that all sets have, by way of the smallest, until `visit` has had enough and answers false.
fn intersect<'a>(sets: &'a Operands<'_>, visit: impl FnMut(Element<'a>) -> bool) {
    let Some(mut sets) = sets
        .iter()
        .map(|set| set.as_deref())
        .collect::<Option<SmallVec<[&Set; 8]>>>()
    else {
        return;
    };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else {
        return;
    };
    set::intersect(smallest, others, visit);
}

/// Visits the members of the first set that no other has.
fn subtract<'a>(sets: &'a Operands<'_>, mut visit: impl FnMut(Element<'a>)) {
    let Some((Some(first), others)) = sets.split_first() else {
        return;
    };
    for member in first.iter() {
        let elsewhere =
            member.with_bytes(|bytes| others.iter().flatten().any(|set| set.contains(bytes)));
        if !elsewhere {
            visit(member);
        }
    }
}

/// What the operation makes of the sets, as a set of its own.
fn combine(operation: Operation, sets: &Operands<'_>, limits: &SetLimits) -> Set {
    let mut result = Set::new();
    let mut insert = |member: Element<'_>| member.with_bytes(|bytes| result.insert(bytes, limits));
    match operation {
        Operation::Intersection => intersect(sets, |member| {
            insert(member);
            true
        }),
        Operation::Difference => subtract(sets, |member| {
            insert(member);
        }),
        Operation::Union => {
            for member in sets.iter().flatten().flat_map(|set| set.iter()) {
                insert(member);
            }
        }
    }
    result
}

/// Answers what the operation makes of the sets; members are copied only where that takes a set to tell them apart.
fn read(context: &mut Context<'_, '_>, operation: Operation) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let limits = txn.limits().set;
    let sets = operands(txn, &args[1..])?;
    if let [only] = &sets[..] {
        answer_set(&mut **reply, only.as_deref());
        return Ok(Outcome::Done);
    }
    let mut members: Vec<Element<'_>> = Vec::new();
    match operation {
        Operation::Intersection => intersect(&sets, |member| {
            members.push(member);
            true
        }),
        Operation::Difference => subtract(&sets, |member| members.push(member)),
        Operation::Union => {
            let union = combine(operation, &sets, &limits);
            answer_set(&mut **reply, Some(&union));
            return Ok(Outcome::Done);
        }
    }
    reply.set(members.len());
    let members = members.into_iter();
    members.for_each(|member| bulk_element(&mut **reply, member));
    Ok(Outcome::Done)
}

fn store(
    context: &mut Context<'_, '_>,
    operation: Operation,
    event: &'static str,
) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let (destination, limits) = (args[1], txn.limits().set);
    let result = combine(operation, &operands(txn, &args[2..])?, &limits);
    let len = result.len();
    if len > 0 {
        txn.insert(destination, result.into(), None);
        txn.changed(EventClass::SET, event, destination);
    } else if txn.remove(destination) {
        txn.changed(EventClass::GENERIC, "del", destination);
    }
    reply.int(len as i64);
    Ok(Outcome::Done)
}

fn sinter(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, Operation::Intersection)
}

fn sunion(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, Operation::Union)
}

fn sdiff(context: &mut Context<'_, '_>) -> CommandResult {
    read(context, Operation::Difference)
}

fn sinterstore(context: &mut Context<'_, '_>) -> CommandResult {
    store(context, Operation::Intersection, "sinterstore")
}

fn sunionstore(context: &mut Context<'_, '_>) -> CommandResult {
    store(context, Operation::Union, "sunionstore")
}

fn sdiffstore(context: &mut Context<'_, '_>) -> CommandResult {
    store(context, Operation::Difference, "sdiffstore")
}

fn sintercard(context: &mut Context<'_, '_>) -> CommandResult {
    let Context {
        txn, args, reply, ..
    } = context;
    let keys = parse_i64(args[1]).and_then(|keys| usize::try_from(keys).ok());
    let keys = keys
        .filter(|keys| *keys > 0)
        .ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
    if keys > args.len() - 2 {
        let refusal = "ERR Number of keys can't be greater than number of args";
        return Err(CommandError::text(refusal));
    }
    let (keys, options) = args[2..].split_at(keys);
    let limit = parse_limit(options)?;
    let mut common = 0;
    intersect(&operands(txn, keys)?, |_| {
        common += 1;
        common != limit
    });
    reply.int(common);
    Ok(Outcome::Done)
}

/// The number behind LIMIT; 0: none.
fn parse_limit(options: &[&[u8]]) -> Result<i64, CommandError> {
    let mut limit = 0;
    for option in options.chunks(2) {
        let &[name, value] = option else {
            return Err(CommandError::Syntax);
        };
        if !name.eq_ignore_ascii_case(b"limit") {
            return Err(CommandError::Syntax);
        }
        limit = parse_i64(value)
            .filter(|limit| *limit >= 0)
            .ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
    }
    Ok(limit)
}
