//! Numbers in strings: INCR and its kin.

use super::spec::{CommandSpec, Flags, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Entry, EventClass, Value, ValueRef};
use crate::value::listpack::Element;
use crate::value::long_double::LongDouble;
use crate::value::number::parse_i64;

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0",
        acl: "write string fast",
        keys: &[one_key("RW access update")],
        group: "string",
        since: "1.0.0",
        summary: "Decrement the integer value of a key by one",
        complexity: "O(1)",
        ..CommandSpec::new(
            "decr",
            2,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            decr,
        )
    },
    CommandSpec {
        arguments: "key:key#0 decrement:integer",
        acl: "write string fast",
        keys: &[one_key("RW access update")],
        group: "string",
        since: "1.0.0",
        summary: "Decrement the integer value of a key by the given number",
        complexity: "O(1)",
        ..CommandSpec::new(
            "decrby",
            3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            decrby,
        )
    },
    CommandSpec {
        arguments: "key:key#0",
        acl: "write string fast",
        keys: &[one_key("RW access update")],
        group: "string",
        since: "1.0.0",
        summary: "Increment the integer value of a key by one",
        complexity: "O(1)",
        ..CommandSpec::new(
            "incr",
            2,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            incr,
        )
    },
    CommandSpec {
        arguments: "key:key#0 increment:integer",
        acl: "write string fast",
        keys: &[one_key("RW access update")],
        group: "string",
        since: "1.0.0",
        summary: "Increment the integer value of a key by the given amount",
        complexity: "O(1)",
        ..CommandSpec::new(
            "incrby",
            3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            incrby,
        )
    },
    CommandSpec {
        arguments: "key:key#0 increment:double",
        acl: "write string fast",
        keys: &[one_key("RW access update")],
        group: "string",
        since: "2.6.0",
        summary: "Increment the float value of a key by the given amount",
        complexity: "O(1)",
        ..CommandSpec::new(
            "incrbyfloat",
            3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            incrbyfloat,
        )
    },
];

fn add(context: &mut Context<'_, '_>, increment: i64) -> CommandResult {
    let key = context.args[1];
    let sum = match context.txn.entry_mut(key) {
        None => None,
        Some(entry) => Some(add_to(entry, increment)?),
    };
    let sum = match sum {
        Some((sum, in_place)) => {
            if !in_place {
                let at = context.txn.peek(key).and_then(Entry::expires_at_ms);
                context.txn.insert(key, Value::Int(sum), at);
            }
            sum
        }
        None => {
            context.txn.insert(key, Value::Int(increment), None);
            increment
        }
    };
    context.txn.changed(EventClass::STRING, "incrby", key);
    context.reply.int(sum);
    Ok(Outcome::Done)
}

/// The sum, and whether the entry already holds it: a number that is kept as text has to be replaced.
fn add_to(entry: &mut Entry, increment: i64) -> Result<(i64, bool), CommandError> {
    if let Some(value) = entry.int_mut() {
        *value = value.checked_add(increment).ok_or(CommandError::Overflow)?;
        return Ok((*value, true));
    }
    let ValueRef::String(text) = entry.value() else {
        return Err(CommandError::WrongType);
    };
    let value = text.with_bytes(parse_i64).ok_or(CommandError::NotInteger)?;
    let sum = value.checked_add(increment).ok_or(CommandError::Overflow)?;
    Ok((sum, false))
}

fn incr(context: &mut Context<'_, '_>) -> CommandResult {
    add(context, 1)
}

fn decr(context: &mut Context<'_, '_>) -> CommandResult {
    add(context, -1)
}

fn incrby(context: &mut Context<'_, '_>) -> CommandResult {
    add(context, context.int(2)?)
}

fn decrby(context: &mut Context<'_, '_>) -> CommandResult {
    let increment = context
        .int(2)?
        .checked_neg()
        .ok_or(CommandError::text("ERR decrement would overflow"))?;
    add(context, increment)
}

fn incrbyfloat(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    let (value, at) = match context.txn.entry_mut(key) {
        None => (LongDouble::from(0), None),
        Some(entry) => match entry.value() {
            ValueRef::String(Element::Int(integer)) => {
                (LongDouble::from(integer), entry.expires_at_ms())
            }
            ValueRef::String(Element::Bytes(bytes)) => {
                let value = LongDouble::parse(bytes).ok_or(CommandError::NotFloat)?;
                (value, entry.expires_at_ms())
            }
            _ => return Err(CommandError::WrongType),
        },
    };
    let increment = LongDouble::parse(context.args[2]).ok_or(CommandError::NotFloat)?;
    let sum = value + increment;
    if sum.is_nan() || sum.is_infinite() {
        return Err(CommandError::NanOrInfinity);
    }
    let text = sum.format_human().into_bytes();
    context.reply.bulk(&text);
    // The sum is logged, not the addition: whoever replays it may round differently.
    context.txn.propagate(&[b"SET", key, &text, b"KEEPTTL"]);
    context.txn.insert(key, Value::Bytes(text), at);
    context.txn.changed(EventClass::STRING, "incrbyfloat", key);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    fn bulk(text: &str) -> Response {
        Response::Bulk(text.into())
    }

    fn error(text: &str) -> Response {
        Response::Error(text.to_owned())
    }

    #[test]
    fn counters_begin_at_zero_and_keep_their_time() {
        let mut h = Harness::new();
        assert_eq!(h.run("INCR c"), Response::Int(1));
        assert_eq!(h.events(), ["new c", "incrby c"]);
        assert_eq!(h.effects(), ["INCR c"]);
        h.run("EXPIRE c 100");
        assert_eq!(h.run("INCRBY c 41"), Response::Int(42));
        assert_eq!(h.run("DECR c"), Response::Int(41));
        assert_eq!(h.run("DECRBY c -9"), Response::Int(50));
        assert_eq!(h.run("TTL c"), Response::Int(100));
        h.run("APPEND c 0");
        assert_eq!(h.run("OBJECT ENCODING c"), bulk("raw"));
        assert_eq!(h.run("INCR c"), Response::Int(501));
        assert_eq!(h.run("TTL c"), Response::Int(100));
        assert_eq!(h.run("OBJECT ENCODING c"), bulk("int"));
    }

    #[test]
    fn counters_refuse_what_is_no_integer_and_what_leaves_the_range() {
        let mut h = Harness::new();
        h.run("SET max 9223372036854775807");
        h.run("SET min -9223372036854775808");
        h.run("SET text 1.5");
        for (line, answer) in [
            ("INCR max", "ERR increment or decrement would overflow"),
            ("DECR min", "ERR increment or decrement would overflow"),
            (
                "INCRBY max max",
                "ERR value is not an integer or out of range",
            ),
            (
                "INCRBY max 01",
                "ERR value is not an integer or out of range",
            ),
            (
                "INCRBY max +1",
                "ERR value is not an integer or out of range",
            ),
            ("INCR text", "ERR value is not an integer or out of range"),
            (
                "DECRBY min -9223372036854775808",
                "ERR decrement would overflow",
            ),
        ] {
            assert_eq!(h.run(line), error(answer), "{line}");
            assert!(h.effects().is_empty() && h.events().is_empty());
        }
        assert_eq!(h.run("DECR max"), Response::Int(i64::MAX - 1));
    }

    #[test]
    fn floats_are_logged_as_their_sums() {
        let mut h = Harness::new();
        assert_eq!(h.run("INCRBYFLOAT f 10.50"), bulk("10.5"));
        assert_eq!(h.effects(), ["SET f 10.5 KEEPTTL"]);
        assert_eq!(h.events(), ["new f", "incrbyfloat f"]);
        h.run("EXPIRE f 9");
        assert_eq!(h.run("INCRBYFLOAT f 0.1"), bulk("10.6"));
        assert_eq!(h.run("TTL f"), Response::Int(9));
        h.run("SET f 5.0e3");
        assert_eq!(h.run("INCRBYFLOAT f 2.0e2"), bulk("5200"));
        assert_eq!(h.run("OBJECT ENCODING f"), bulk("embstr"));
        assert_eq!(h.run("INCR f"), Response::Int(5201));
        assert_eq!(h.run("INCRBYFLOAT nokey -0"), bulk("0"));
        h.run("SET n -9223372036854775808");
        assert_eq!(h.run("INCRBYFLOAT n 0.5"), bulk("-9223372036854775807.5"));
    }

    #[test]
    fn floats_refuse_infinity_and_text() {
        let mut h = Harness::new();
        h.run("MSET f 1 text abc");
        for (line, answer) in [
            (
                "INCRBYFLOAT f inf",
                "ERR increment would produce NaN or Infinity",
            ),
            ("INCRBYFLOAT f nan", "ERR value is not a valid float"),
            ("INCRBYFLOAT f abc", "ERR value is not a valid float"),
            ("INCRBYFLOAT text 1", "ERR value is not a valid float"),
        ] {
            assert_eq!(h.run(line), error(answer), "{line}");
            assert!(h.effects().is_empty());
        }
    }
}
