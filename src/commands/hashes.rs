//! Hashes: fields with values. It knows how fields are set, counted, incremented and listed; not how they are stored.

use super::elements::{Draw, bulk_element};
use super::scanning::{self, ScanOptions, Scanned};
use super::spec::{CommandSpec, Flags, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{EventClass, Txn, ValueRef};
use crate::reply::Reply;
use crate::value::hash::{FieldTime, Hash};
use crate::value::listpack::Element;
use crate::value::long_double::LongDouble;
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 field:string*",
        acl: "write hash fast",
        keys: &[one_key("RW delete")],
        group: "hash",
        since: "2.0.0",
        summary: "Delete one or more hash fields",
        complexity: "O(N) where N is the number of fields to be removed.",
        history: &[("2.4.0", "Accepts multiple `field` arguments.")],
        ..CommandSpec::new("hdel", -3, Flags::WRITE.and(Flags::FAST), hdel)
    },
    CommandSpec {
        arguments: "key:key#0 field:string",
        acl: "read hash fast",
        keys: &[one_key("RO")],
        group: "hash",
        since: "2.0.0",
        summary: "Determine if a hash field exists",
        complexity: "O(1)",
        ..CommandSpec::new("hexists", 3, Flags::READONLY.and(Flags::FAST), hexists)
    },
    CommandSpec {
        arguments: "key:key#0 field:string",
        acl: "read hash fast",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "2.0.0",
        summary: "Get the value of a hash field",
        complexity: "O(1)",
        ..CommandSpec::new("hget", 3, Flags::READONLY.and(Flags::FAST), hget)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read hash slow",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "2.0.0",
        summary: "Get all the fields and values in a hash",
        complexity: "O(N) where N is the size of the hash.",
        tips: "nondeterministic_output_order",
        ..CommandSpec::new("hgetall", 2, Flags::READONLY, hgetall)
    },
    CommandSpec {
        arguments: "key:key#0 field:string increment:integer",
        acl: "write hash fast",
        keys: &[one_key("RW access update")],
        group: "hash",
        since: "2.0.0",
        summary: "Increment the integer value of a hash field by the given number",
        complexity: "O(1)",
        ..CommandSpec::new(
            "hincrby",
            4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            hincrby,
        )
    },
    CommandSpec {
        arguments: "key:key#0 field:string increment:double",
        acl: "write hash fast",
        keys: &[one_key("RW access update")],
        group: "hash",
        since: "2.6.0",
        summary: "Increment the float value of a hash field by the given amount",
        complexity: "O(1)",
        ..CommandSpec::new(
            "hincrbyfloat",
            4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            hincrbyfloat,
        )
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read hash slow",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "2.0.0",
        summary: "Get all the fields in a hash",
        complexity: "O(N) where N is the size of the hash.",
        tips: "nondeterministic_output_order",
        ..CommandSpec::new("hkeys", 2, Flags::READONLY, hkeys)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read hash fast",
        keys: &[one_key("RO")],
        group: "hash",
        since: "2.0.0",
        summary: "Get the number of fields in a hash",
        complexity: "O(1)",
        ..CommandSpec::new("hlen", 2, Flags::READONLY.and(Flags::FAST), hlen)
    },
    CommandSpec {
        arguments: "key:key#0 field:string*",
        acl: "read hash fast",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "2.0.0",
        summary: "Get the values of all the given hash fields",
        complexity: "O(N) where N is the number of fields being requested.",
        ..CommandSpec::new("hmget", -3, Flags::READONLY.and(Flags::FAST), hmget)
    },
    CommandSpec {
        arguments: "key:key#0 field_value:block*{field:string value:string}",
        acl: "write hash fast",
        keys: &[one_key("RW update")],
        group: "hash",
        since: "2.0.0",
        summary: "Set multiple hash fields to multiple values",
        complexity: "O(N) where N is the number of fields being set.",
        deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
        ..CommandSpec::new(
            "hmset",
            -4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            hmset,
        )
    },
    CommandSpec {
        arguments: "key:key#0 options:block?{count:integer withvalues:pure-token=WITHVALUES?}",
        acl: "read hash slow",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "6.2.0",
        summary: "Get one or multiple random fields from a hash",
        complexity: "O(N) where N is the number of fields returned",
        tips: "nondeterministic_output",
        ..CommandSpec::new("hrandfield", -2, Flags::READONLY, hrandfield)
    },
    CommandSpec {
        arguments: "key:key#0 cursor:integer pattern:pattern=MATCH? count:integer=COUNT? novalues:pure-token=NOVALUES?",
        acl: "read hash slow",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "2.8.0",
        summary: "Incrementally iterate hash fields and associated values",
        complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection..",
        tips: "nondeterministic_output",
        ..CommandSpec::new("hscan", -3, Flags::READONLY, hscan)
    },
    CommandSpec {
        arguments: "key:key#0 field_value:block*{field:string value:string}",
        acl: "write hash fast",
        keys: &[one_key("RW update")],
        group: "hash",
        since: "2.0.0",
        summary: "Set the string value of a hash field",
        complexity: "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called with multiple field/value pairs.",
        history: &[("4.0.0", "Accepts multiple `field` and `value` arguments.")],
        ..CommandSpec::new(
            "hset",
            -4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            hset,
        )
    },
    CommandSpec {
        arguments: "key:key#0 field:string value:string",
        acl: "write hash fast",
        keys: &[one_key("RW insert")],
        group: "hash",
        since: "2.0.0",
        summary: "Set the value of a hash field, only if the field does not exist",
        complexity: "O(1)",
        ..CommandSpec::new(
            "hsetnx",
            4,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            hsetnx,
        )
    },
    CommandSpec {
        arguments: "key:key#0 field:string",
        acl: "read hash fast",
        keys: &[one_key("RO")],
        group: "hash",
        since: "3.2.0",
        summary: "Get the length of the value of a hash field",
        complexity: "O(1)",
        ..CommandSpec::new("hstrlen", 3, Flags::READONLY.and(Flags::FAST), hstrlen)
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "read hash slow",
        keys: &[one_key("RO access")],
        group: "hash",
        since: "2.0.0",
        summary: "Get all the values in a hash",
        complexity: "O(N) where N is the size of the hash.",
        tips: "nondeterministic_output_order",
        ..CommandSpec::new("hvals", 2, Flags::READONLY, hvals)
    },
];

const VALUE_NOT_INTEGER: CommandError = CommandError::text("ERR hash value is not an integer");
const VALUE_NOT_FLOAT: CommandError = CommandError::text("ERR hash value is not a float");

/// What has to follow a change to `fields` fields. Where times are `timed`, they are looked at again.
fn changed(txn: &mut Txn<'_>, event: &'static str, key: &[u8], (fields, timed): (usize, bool)) {
    if timed {
        txn.note_field_times(key);
    }
    txn.changed(EventClass::HASH, event, key);
    txn.add_dirty(fields.saturating_sub(1) as u64);
}

// ------------------------------------------------------------------------------------------------ writing

/// Sets the pairs of HSET and HMSET; how many fields are new.
fn set_pairs(context: &mut Context<'_, '_>) -> Result<usize, CommandError> {
    let args = context.args;
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(context.command.full_name.clone()));
    }
    let limits = context.txn.limits().hash;
    let mut hash = context.txn.hash_or_new(args[1])?;
    let mut created = 0;
    for pair in args[2..].chunks_exact(2) {
        created += usize::from(hash.set(pair[0], pair[1], &limits));
    }
    let timed = hash.view().knows_times();
    drop(hash);
    changed(context.txn, "hset", args[1], ((args.len() - 2) / 2, timed));
    Ok(created)
}

fn hset(context: &mut Context<'_, '_>) -> CommandResult {
    let created = set_pairs(context)?;
    context.reply.int(created as i64);
    Ok(Outcome::Done)
}

fn hmset(context: &mut Context<'_, '_>) -> CommandResult {
    set_pairs(context)?;
    context.reply.ok();
    Ok(Outcome::Done)
}

fn hsetnx(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let limits = context.txn.limits().hash;
    let mut hash = context.txn.hash_or_new(args[1])?;
    let missing = !hash.view().contains(args[2]);
    if missing {
        hash.set(args[2], args[3], &limits);
        drop(hash);
        changed(context.txn, "hset", args[1], (1, false));
    }
    context.reply.int(i64::from(missing));
    Ok(Outcome::Done)
}

fn hdel(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, fields) = (context.args[1], &context.args[2..]);
    let (removed, timed) = context.txn.hash_mut(key)?.map_or((0, false), |mut hash| {
        let hash = hash.whole();
        let removed = fields.iter().filter(|field| hash.remove(field)).count();
        (removed, hash.knows_times())
    });
    if removed > 0 {
        changed(context.txn, "hdel", key, (removed, timed));
        context.txn.remove_if_empty(key);
    }
    context.reply.int(removed as i64);
    Ok(Outcome::Done)
}

fn hincrby(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let increment = context.int(3)?;
    let limits = context.txn.limits().hash;
    // A hash that is made here lacks the field, so none of the refusals below leaves it empty.
    let mut hash = context.txn.hash_or_new(args[1])?;
    let before = match hash.view().get(args[2]) {
        None => 0,
        Some(Element::Int(integer)) => integer,
        Some(Element::Bytes(text)) => parse_i64(text).ok_or(VALUE_NOT_INTEGER)?,
    };
    let after = before
        .checked_add(increment)
        .ok_or(CommandError::Overflow)?;
    let mut digits = itoa::Buffer::new();
    let text = digits.format(after).as_bytes();
    hash.set_with_time(args[2], text, FieldTime::Kept, &limits);
    drop(hash);
    changed(context.txn, "hincrby", args[1], (1, false));
    context.reply.int(after);
    Ok(Outcome::Done)
}

fn hincrbyfloat(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let increment = LongDouble::parse(args[3]).ok_or(CommandError::NotFloat)?;
    if increment.is_infinite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    let limits = context.txn.limits().hash;
    // As for HINCRBY: a new hash is never refused.
    let mut hash = context.txn.hash_or_new(args[1])?;
    let before = match hash.view().get(args[2]) {
        None => LongDouble::from(0),
        Some(Element::Int(integer)) => LongDouble::from(integer),
        Some(Element::Bytes(text)) => LongDouble::parse(text).ok_or(VALUE_NOT_FLOAT)?,
    };
    let after = before + increment;
    if after.is_nan() || after.is_infinite() {
        return Err(CommandError::NanOrInfinity);
    }
    let text = after.format_human();
    let timed = hash.view().time(args[2]).flatten().is_some();
    hash.set_with_time(args[2], text.as_bytes(), FieldTime::Kept, &limits);
    drop(hash);
    changed(context.txn, "hincrbyfloat", args[1], (1, false));
    // The result is logged: another machine's floating-point unit need not agree.
    let (key, pair) = (args[1], [args[2], text.as_bytes()]);
    if timed {
        let words = [
            b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", pair[0], pair[1],
        ];
        context.txn.propagate(&words);
    } else {
        context.txn.propagate(&[b"HSET", key, pair[0], pair[1]]);
    }
    context.reply.bulk(text.as_bytes());
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ one field

/// Answers with a value, or with null where there is none.
pub(super) fn answer(reply: &mut dyn Reply, value: Option<Element<'_>>) {
    match value {
        Some(value) => bulk_element(reply, value),
        None => reply.null(),
    }
}

fn hget(context: &mut Context<'_, '_>) -> CommandResult {
    let hash = context.txn.hash(context.args[1])?;
    let value = hash.as_ref().and_then(|hash| hash.get(context.args[2]));
    answer(context.reply, value);
    Ok(Outcome::Done)
}

fn hmget(context: &mut Context<'_, '_>) -> CommandResult {
    let hash = context.txn.hash(context.args[1])?;
    let fields = &context.args[2..];
    context.reply.array(fields.len());
    for field in fields {
        let value = hash.as_ref().and_then(|hash| hash.get(field));
        answer(context.reply, value);
    }
    Ok(Outcome::Done)
}

fn hexists(context: &mut Context<'_, '_>) -> CommandResult {
    let hash = context.txn.hash(context.args[1])?;
    let found = hash.is_some_and(|hash| hash.contains(context.args[2]));
    context.reply.int(i64::from(found));
    Ok(Outcome::Done)
}

fn hstrlen(context: &mut Context<'_, '_>) -> CommandResult {
    let hash = context.txn.hash(context.args[1])?;
    let value = hash.as_ref().and_then(|hash| hash.get(context.args[2]));
    let len = value.map_or(0, |value| value.len());
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

fn hlen(context: &mut Context<'_, '_>) -> CommandResult {
    let len = context
        .txn
        .hash(context.args[1])?
        .map_or(0, |hash| hash.len());
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ all fields

fn hgetall(context: &mut Context<'_, '_>) -> CommandResult {
    let hash = context.txn.hash(context.args[1])?;
    let reply = &mut *context.reply;
    reply.map(hash.as_deref().map_or(0, Hash::len));
    for (field, value) in hash.as_deref().into_iter().flat_map(Hash::iter) {
        bulk_element(reply, field);
        bulk_element(reply, value);
    }
    Ok(Outcome::Done)
}

fn hkeys(context: &mut Context<'_, '_>) -> CommandResult {
    let hash = context.txn.hash(context.args[1])?;
    context.reply.array(hash.as_deref().map_or(0, Hash::len));
    for (field, _) in hash.as_deref().into_iter().flat_map(Hash::iter) {
        bulk_element(context.reply, field);
    }
    Ok(Outcome::Done)
}

fn hvals(context: &mut Context<'_, '_>) -> CommandResult {
    let hash = context.txn.hash(context.args[1])?;
    context.reply.array(hash.as_deref().map_or(0, Hash::len));
    for (_, value) in hash.as_deref().into_iter().flat_map(Hash::iter) {
        bulk_element(context.reply, value);
    }
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ some fields

fn hrandfield(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    let draw = match context.args.len() {
        2 => None,
        _ => Some(Draw::parse(context, "withvalues")?),
    };
    context.txn.hash(key)?;
    // Looked at a second time, because the random source is the transaction's too.
    let txn = &*context.txn;
    let hash = match txn.peek(key).map(|entry| entry.value()) {
        Some(ValueRef::Hash(hash)) => Some(hash),
        _ => None,
    };
    let mut random = || txn.random();
    match (&hash, draw) {
        (None, None) => context.reply.null(),
        (None, Some(_)) => context.reply.array(0),
        (Some(hash), None) => {
            let field = hash.random(&mut random).map(|(field, _)| field);
            answer(context.reply, field);
        }
        (Some(hash), Some(draw)) => draw_fields(context.reply, hash, draw, &mut random),
    }
    Ok(Outcome::Done)
}

fn draw_fields(reply: &mut dyn Reply, hash: &Hash, draw: Draw, random: &mut impl FnMut() -> u64) {
    let write = |reply: &mut dyn Reply, (field, value): (Element<'_>, Element<'_>)| {
        draw.begin_pair(reply);
        bulk_element(reply, field);
        if draw.with_second {
            bulk_element(reply, value);
        }
    };
    if !draw.repeated {
        let pairs = hash.sample(draw.count, random);
        draw.begin(reply, pairs.len());
        pairs.into_iter().for_each(|pair| write(reply, pair));
        return;
    }
    draw.begin(reply, draw.count);
    for _ in 0..draw.count {
        if reply.is_full() {
            break;
        }
        let pair = hash.random(random).expect("a stored hash has fields");
        write(reply, pair);
    }
}

fn hscan(context: &mut Context<'_, '_>) -> CommandResult {
    let cursor = scanning::parse_cursor(context.args[2])?;
    let options = ScanOptions::parse(context, 3, Scanned::Hash);
    let Some(hash) = context.txn.hash(context.args[1])? else {
        scanning::empty_step(context.reply);
        return Ok(Outcome::Done);
    };
    let options = options?;
    let mut found = Vec::new();
    let next = hash.scan(cursor, options.count, |field, value| {
        if field.with_bytes(|field| options.matches(field)) {
            let value = (!options.no_values).then(|| value.to_vec());
            found.push((field.to_vec(), value));
        }
    });
    let words = if options.no_values { 1 } else { 2 };
    scanning::begin_step(context.reply, next, found.len() * words);
    for (field, value) in found {
        context.reply.bulk(&field);
        if let Some(value) = value {
            context.reply.bulk(&value);
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
        Harness::new().check(include_str!("hashes/transcript.txt"));
    }

    #[test]
    fn a_large_hash_is_scanned_and_drawn_from_completely() {
        let mut h = Harness::new();
        for field in 0..500 {
            h.run(&format!("HSET h f{field} {field}"));
        }
        let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
        loop {
            let Response::Array(step) = h.run(&format!("HSCAN h {cursor} MATCH f* COUNT 20"))
            else {
                panic!("a step is an array");
            };
            let [Response::Bulk(next), Response::Array(pairs)] = &step[..] else {
                panic!("a step has two parts");
            };
            for pair in pairs.chunks(2) {
                let [Response::Bulk(field), Response::Bulk(value)] = pair else {
                    panic!("fields come with values");
                };
                assert_eq!(field[1..], value[..]);
                assert!(seen.insert(field.clone()), "a field came twice");
            }
            cursor = String::from_utf8_lossy(next).into_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), 500);
        for (line, len) in [
            ("HRANDFIELD h 500", 500),
            ("HRANDFIELD h 600", 500),
            ("HRANDFIELD h 20", 20),
            ("HRANDFIELD h -600 WITHVALUES", 1200),
        ] {
            let Response::Array(items) = h.run(line) else {
                panic!("{line} answers an array");
            };
            assert_eq!(items.len(), len, "{line}");
        }
    }

    #[test]
    fn changes_are_counted_by_field() {
        let mut h = Harness::new();
        h.run("HSET h a 1 b 2 c 3");
        assert_eq!(h.journal.dirty, 3);
        h.run("HDEL h a b nope");
        assert_eq!(h.journal.dirty, 2);
        h.run("HDEL h nope");
        assert_eq!((h.journal.dirty, h.effects().len()), (0, 0));
    }
}
