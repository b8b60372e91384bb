//! HyperLogLog: approximate numbers of different elements. It knows keys and words; the layout of the string is
//! [`crate::value::hyperloglog`]'s.

use super::spec::{Begin, CommandSpec, Find, Flags, KeySpec, key_range, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Entry, EventClass, Txn, Value, ValueRef};
use crate::value::hyperloglog::{self, Corrupted, Encoding, Registers};
use crate::value::listpack::Element;
use crate::value::lossless;

const NO_HYPERLOGLOG: CommandError =
    CommandError::text("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPTED: CommandError = CommandError::text("INVALIDOBJ Corrupted HLL object detected");

impl From<Corrupted> for CommandError {
    fn from(_: Corrupted) -> Self {
        CORRUPTED
    }
}

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 element:string?*",
        acl: "write hyperloglog fast",
        keys: &[one_key("RW insert")],
        group: "hyperloglog",
        since: "2.8.9",
        summary: "Adds the specified elements to the specified HyperLogLog.",
        complexity: "O(1) to add every element.",
        ..CommandSpec::new(
            "pfadd",
            -2,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
            pfadd,
        )
    },
    CommandSpec {
        arguments: "key:key#0*",
        acl: "read hyperloglog slow",
        keys: &[KeySpec {
            flags: "RW access",
            notes: "RW because it may change the internal representation of the key, and propagate to replicas",
            begin: Begin::Index(1),
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 0,
            },
        }],
        group: "hyperloglog",
        since: "2.8.9",
        summary: "Return the approximated cardinality of the set(s) observed by the HyperLogLog at key(s).",
        complexity: "O(1) with a very small average constant time when called with a single key. O(N) with N being the number of keys, and much bigger constant times, when called with multiple keys.",
        ..CommandSpec::new(
            "pfcount",
            -2,
            Flags::READONLY.and(Flags::MAY_REPLICATE),
            pfcount,
        )
    },
    CommandSpec {
        arguments: "subcommand:string key:key#0",
        acl: "write hyperloglog admin slow dangerous",
        keys: &[key_range("RW access", 2, 0, 1)],
        group: "hyperloglog",
        since: "2.8.9",
        summary: "Internal commands for debugging HyperLogLog values",
        complexity: "N/A",
        doc_flags: "syscmd",
        ..CommandSpec::new(
            "pfdebug",
            3,
            Flags::WRITE.and(Flags::DENYOOM).and(Flags::ADMIN),
            pfdebug,
        )
    },
    CommandSpec {
        arguments: "destkey:key#0 sourcekey:key#1*",
        acl: "write hyperloglog slow",
        keys: &[
            one_key("RW access insert"),
            key_range("RO access", 2, -1, 1),
        ],
        group: "hyperloglog",
        since: "2.8.9",
        summary: "Merge N different HyperLogLogs into a single one.",
        complexity: "O(N) to merge N HyperLogLogs, but with high constant times.",
        ..CommandSpec::new("pfmerge", -2, Flags::WRITE.and(Flags::DENYOOM), pfmerge)
    },
    CommandSpec {
        acl: "hyperloglog admin slow dangerous",
        group: "hyperloglog",
        since: "2.8.9",
        summary: "An internal command for testing HyperLogLog values",
        complexity: "N/A",
        doc_flags: "syscmd",
        ..CommandSpec::new("pfselftest", 1, Flags::ADMIN, pfselftest)
    },
];

/// The bytes of a key's HyperLogLog.
fn checked(entry: &Entry) -> Result<&[u8], CommandError> {
    match entry.value() {
        ValueRef::String(Element::Bytes(bytes)) if hyperloglog::encoding(bytes).is_some() => {
            Ok(bytes)
        }
        ValueRef::String(_) => Err(NO_HYPERLOGLOG),
        _ => Err(CommandError::WrongType),
    }
}

/// The same, to be changed; nothing where there is no key.
fn checked_mut<'a>(
    txn: &'a mut Txn<'_>,
    key: &[u8],
) -> Result<Option<&'a mut Vec<u8>>, CommandError> {
    let Some(entry) = txn.entry_mut(key) else {
        return Ok(None);
    };
    checked(entry)?;
    Ok(entry.bytes_mut())
}

/// The same, made if there is no key; true if it was.
fn checked_or_new<'a>(
    txn: &'a mut Txn<'_>,
    key: &[u8],
) -> Result<(&'a mut Vec<u8>, bool), CommandError> {
    let made = txn.entry_mut(key).is_none();
    if made {
        txn.insert(key, Value::Raw(hyperloglog::new()), None);
    }
    let bytes = checked_mut(txn, key)?.ok_or(CommandError::NoSuchKey)?;
    Ok((bytes, made))
}

/// What corrupted registers have left half done is logged as it is now: the command would not run to its end again.
fn log_value(txn: &mut Txn<'_>, key: &[u8]) {
    let bytes = txn.peek(key).map(|entry| match entry.value() {
        ValueRef::String(text) => text.to_vec(),
        _ => Vec::new(),
    });
    if let Some(bytes) = bytes {
        txn.propagate(&[b"SET", key, &bytes, b"KEEPTTL"]);
    }
}

fn pfadd(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[1];
    let max_bytes = context.txn.limits().max_sparse_hyperloglog;
    let (bytes, made) = checked_or_new(context.txn, key)?;
    let mut changes = u64::from(made);
    let mut outcome = Ok(());
    for element in &context.args[2..] {
        match hyperloglog::add(bytes, element, max_bytes) {
            Ok(raised) => changes += u64::from(raised),
            Err(corrupted) => {
                outcome = Err(corrupted);
                break;
            }
        }
    }
    if let Err(corrupted) = outcome {
        if changes > 0 {
            hyperloglog::forget_count(bytes);
            log_value(context.txn, key);
        }
        return Err(corrupted.into());
    }
    if changes > 0 {
        hyperloglog::forget_count(bytes);
        context.txn.changed(EventClass::STRING, "pfadd", key);
        context.txn.add_dirty(changes - 1);
    }
    context.reply.int(i64::from(changes > 0));
    Ok(Outcome::Done)
}

/// The registers of all these keys together, and whether one of them is dense.
fn merged(txn: &mut Txn<'_>, keys: &[&[u8]]) -> Result<(Registers, bool), CommandError> {
    let (mut registers, mut any_dense) = (None::<Registers>, false);
    for key in keys {
        let Some(entry) = txn.read(key) else {
            continue;
        };
        let bytes = checked(entry)?;
        any_dense |= hyperloglog::encoding(bytes) == Some(Encoding::Dense);
        match &mut registers {
            Some(registers) => registers.merge(bytes)?,
            None => registers = Some(Registers::of(bytes)?),
        }
    }
    Ok((registers.unwrap_or_default(), any_dense))
}

fn pfcount(context: &mut Context<'_, '_>) -> CommandResult {
    let keys = &context.args[1..];
    let count = match keys {
        [key] => count_one(context.txn, key)?,
        keys => merged(context.txn, keys)?.0.count(),
    };
    context.reply.int(count as i64);
    Ok(Outcome::Done)
}

/// The count of one key, which is kept in its string: that is a change, although the command only asks.
fn count_one(txn: &mut Txn<'_>, key: &[u8]) -> Result<u64, CommandError> {
    let Some(entry) = txn.read(key) else {
        return Ok(0);
    };
    let bytes = checked(entry)?;
    if let Some(count) = hyperloglog::kept_count(bytes) {
        return Ok(count);
    }
    let count = hyperloglog::count(bytes)?;
    if let Some(bytes) = checked_mut(txn, key)? {
        hyperloglog::keep_count(bytes, count);
        txn.changed_without_event(key);
    }
    Ok(count)
}

fn pfmerge(context: &mut Context<'_, '_>) -> CommandResult {
    let (key, sources) = (context.args[1], &context.args[1..]);
    let max_bytes = context.txn.limits().max_sparse_hyperloglog;
    let (registers, any_dense) = merged(context.txn, sources)?;
    let (bytes, _) = checked_or_new(context.txn, key)?;
    if any_dense {
        hyperloglog::make_dense(bytes)?;
    }
    registers.write_to(bytes, max_bytes)?;
    hyperloglog::forget_count(bytes);
    context.txn.changed(EventClass::STRING, "pfadd", key);
    context.reply.ok();
    Ok(Outcome::Done)
}

fn pfdebug(context: &mut Context<'_, '_>) -> CommandResult {
    let key = context.args[2];
    let no_key = CommandError::text("ERR The specified key does not exist");
    let bytes = checked_mut(context.txn, key)?.ok_or(no_key)?;
    let encoding = hyperloglog::encoding(bytes).ok_or(NO_HYPERLOGLOG)?;
    match context.args[1].to_ascii_lowercase().as_slice() {
        b"getreg" => {
            let converted = hyperloglog::make_dense(bytes)?;
            let registers = Registers::of(bytes)?;
            context.txn.add_dirty(u64::from(converted));
            context.reply.array(hyperloglog::REGISTERS);
            let registers = registers.iter();
            registers.for_each(|register| context.reply.int(i64::from(register)));
        }
        b"decode" if encoding == Encoding::Sparse => {
            let text = hyperloglog::describe(bytes);
            context.reply.bulk(text.as_bytes());
        }
        b"decode" => return Err(CommandError::text("ERR HLL encoding is not sparse")),
        b"encoding" => context.reply.simple(encoding.name()),
        b"todense" => {
            let converted = hyperloglog::make_dense(bytes)?;
            context.txn.add_dirty(u64::from(converted));
            context.reply.int(i64::from(converted));
        }
        _ => {
            let name = lossless::text(context.args[1]);
            return Err(format!("ERR Unknown PFDEBUG subcommand '{name}'").into());
        }
    }
    Ok(Outcome::Done)
}

fn pfselftest(context: &mut Context<'_, '_>) -> CommandResult {
    hyperloglog::self_test()?;
    context.reply.ok();
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("hyperloglog/transcript.txt"));
    }

    #[test]
    fn what_corrupted_registers_interrupt_is_logged() {
        let mut h = Harness::new();
        // The first register has a run; the others have none.
        let bytes = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x00";
        h.run_words(&[b"SET", b"k", bytes]);
        let corrupted = Response::Error("INVALIDOBJ Corrupted HLL object detected".to_owned());
        assert_eq!(h.run("PFADD k a"), corrupted);
        assert_eq!(h.effects(), Vec::<String>::new());
        let short = [&b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80"[..], b"\x7f\xf0"].concat();
        h.run_words(&[b"SET", b"k", &short]);
        let elements: Vec<String> = (0..20_000).map(|element| element.to_string()).collect();
        let words = [&b"PFADD"[..], b"k"].into_iter();
        let words: Vec<&[u8]> = words.chain(elements.iter().map(String::as_bytes)).collect();
        assert_eq!(h.run_words(&words), corrupted);
        let effects = h.effects();
        assert!(matches!(effects.as_slice(), [effect] if effect.starts_with("SET k HYLL")));
        assert_eq!(h.run("PFCOUNT k"), corrupted);
        assert_eq!(h.run("PFMERGE d k"), corrupted);
        assert_eq!(h.run("PFDEBUG TODENSE k"), corrupted);
        assert_eq!(h.run("EXISTS d"), Response::Int(0));
    }

    #[test]
    fn a_limit_decides_when_the_sparse_form_ends() {
        let mut h = Harness::new();
        for element in 0..2000 {
            h.run(&format!("PFADD k {element}"));
        }
        h.expect(&[("PFDEBUG ENCODING k", "+dense"), ("STRLEN k", "12304")]);
        h.expect(&[("PFSELFTEST", "+OK")]);
    }
}
