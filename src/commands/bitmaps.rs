//! Bitmaps: the bits of a string, counted from the most significant one of its first byte.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::spec::{CommandSpec, Flags, key_range, one_key};
use super::strings::make_room;
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::{Entry, EventClass, Txn, Value, ValueRef};
use crate::value::bitmap::{self, Operation};
use crate::value::listpack::Element;
use crate::value::number::parse_i64;

const NO_OFFSET: CommandError =
    CommandError::text("ERR bit offset is not an integer or out of range");
const NO_BIT: CommandError = CommandError::text("ERR bit is not an integer or out of range");

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        arguments: "key:key#0 index:block?{start:integer end:integer index_unit:oneof?@7.0.0{byte:pure-token=BYTE bit:pure-token=BIT}}",
        acl: "read bitmap slow",
        keys: &[one_key("RO access")],
        group: "bitmap",
        since: "2.6.0",
        summary: "Count set bits in a string",
        complexity: "O(N)",
        history: &[("7.0.0", "Added the `BYTE|BIT` option.")],
        ..CommandSpec::new("bitcount", -2, Flags::READONLY, bitcount)
    },
    CommandSpec {
        arguments: "operation:string destkey:key#0 key:key#1*",
        acl: "write bitmap slow",
        keys: &[
            key_range("OW update", 2, 0, 1),
            key_range("RO access", 3, -1, 1),
        ],
        group: "bitmap",
        since: "2.6.0",
        summary: "Perform bitwise operations between strings",
        complexity: "O(N)",
        ..CommandSpec::new("bitop", -4, Flags::WRITE.and(Flags::DENYOOM), bitop)
    },
    CommandSpec {
        arguments: "key:key#0 bit:integer index:block?{start:integer end_index:block?{end:integer index_unit:oneof?@7.0.0{byte:pure-token=BYTE bit:pure-token=BIT}}}",
        acl: "read bitmap slow",
        keys: &[one_key("RO access")],
        group: "bitmap",
        since: "2.8.7",
        summary: "Find first bit set or clear in a string",
        complexity: "O(N)",
        history: &[("7.0.0", "Added the `BYTE|BIT` option.")],
        ..CommandSpec::new("bitpos", -3, Flags::READONLY, bitpos)
    },
    CommandSpec {
        arguments: "key:key#0 offset:integer",
        acl: "read bitmap fast",
        keys: &[one_key("RO access")],
        group: "bitmap",
        since: "2.2.0",
        summary: "Returns the bit value at offset in the string value stored at key",
        complexity: "O(1)",
        ..CommandSpec::new("getbit", 3, Flags::READONLY.and(Flags::FAST), getbit)
    },
    CommandSpec {
        arguments: "key:key#0 offset:integer value:integer",
        acl: "write bitmap slow",
        keys: &[one_key("RW access update")],
        group: "bitmap",
        since: "2.2.0",
        summary: "Sets or clears the bit at offset in the string value stored at key",
        complexity: "O(1)",
        ..CommandSpec::new("setbit", 4, Flags::WRITE.and(Flags::DENYOOM), setbit)
    },
];

/// The offset of a bit: within the longest string that is allowed. `#n` is the n-th place of integers of `width` bits,
/// where there is one.
pub(super) fn bit_offset(
    context: &Context<'_, '_>,
    position: usize,
    width: Option<u32>,
) -> Result<usize, CommandError> {
    let (digits, width) = match (context.args[position], width) {
        ([b'#', digits @ ..], Some(width)) => (digits, i64::from(width)),
        (digits, _) => (digits, 1),
    };
    let offset = parse_i64(digits)
        .map(|offset| offset.wrapping_mul(width))
        .and_then(|offset| usize::try_from(offset).ok())
        .ok_or(NO_OFFSET)?;
    if offset / 8 >= context.txn.limits().max_string {
        return Err(NO_OFFSET);
    }
    Ok(offset)
}

/// The bytes of the string at `key`, made or lengthened with zeros to at least `len`, and whether that was needed.
pub(super) fn grown<'a>(
    txn: &'a mut Txn<'_>,
    key: &[u8],
    len: usize,
) -> Result<(&'a mut Vec<u8>, bool), CommandError> {
    match txn.entry_mut(key) {
        Some(entry) if !entry.is_string() => return Err(CommandError::WrongType),
        Some(_) => {}
        None => txn.insert_string(key, b"", None),
    }
    let entry = txn.entry_mut(key).ok_or(CommandError::NoSuchKey)?;
    let bytes = entry.bytes_mut().ok_or(CommandError::WrongType)?;
    let has_grown = bytes.len() < len;
    if has_grown {
        make_room(bytes, len);
        bytes.resize(len, 0);
    }
    Ok((bytes, has_grown))
}

const fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

fn getbit(context: &mut Context<'_, '_>) -> CommandResult {
    let offset = bit_offset(context, 2, None)?;
    let mut digits = itoa::Buffer::new();
    let text = context.txn.string(context.args[1])?;
    let byte = text.and_then(|text| text.to_bytes(&mut digits).get(offset / 8).copied());
    context
        .reply
        .int(i64::from(byte.unwrap_or(0) & mask(offset) != 0));
    Ok(Outcome::Done)
}

fn setbit(context: &mut Context<'_, '_>) -> CommandResult {
    let offset = bit_offset(context, 2, None)?;
    let on = match context.args[3] {
        b"0" => false,
        b"1" => true,
        _ => return Err(NO_BIT),
    };
    let key = context.args[1];
    let (bytes, has_grown) = grown(context.txn, key, offset / 8 + 1)?;
    let byte = &mut bytes[offset / 8];
    let before = *byte & mask(offset) != 0;
    *byte = if on {
        *byte | mask(offset)
    } else {
        *byte & !mask(offset)
    };
    if has_grown || before != on {
        context.txn.changed(EventClass::STRING, "setbit", key);
    }
    context.reply.int(i64::from(before));
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ counting, searching

/// The unit of a range, which is the fourth word behind the first bound at `position`, if it is there.
fn counts_bits(args: &[&[u8]], position: usize) -> Result<bool, CommandError> {
    match args.get(position) {
        None => Ok(false),
        Some(word) if word.eq_ignore_ascii_case(b"byte") => Ok(false),
        Some(word) if word.eq_ignore_ascii_case(b"bit") => Ok(true),
        Some(_) => Err(CommandError::Syntax),
    }
}

/// The bits from `start` to `end`, both included and counted in `unit` bits, from the end of a string of `len` bytes
/// where they are negative, and moved into it. Nothing where the bounds cross.
fn bits_between(start: i64, end: i64, unit: usize, len: usize) -> Range<usize> {
    let units = len * 8 / unit;
    let from_end = |bound: i64| {
        let back = usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX);
        if bound < 0 {
            units.saturating_sub(back)
        } else {
            back
        }
    };
    let (first, last) = (from_end(start), from_end(end).min(units.saturating_sub(1)));
    if first > last || units == 0 {
        return 0..0;
    }
    first * unit..(last + 1) * unit
}

fn bitcount(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    // Redis looks at the key first: what follows is not judged where there is none.
    let Some(text) = context.txn.string(args[1])? else {
        context.reply.int(0);
        return Ok(Outcome::Done);
    };
    let mut digits = itoa::Buffer::new();
    let bytes = text.to_bytes(&mut digits);
    let bound = |position: usize| parse_i64(args[position]).ok_or(CommandError::NotInteger);
    let range = match args.len() {
        2 => 0..bytes.len() * 8,
        4 | 5 => {
            let (start, end) = (bound(2)?, bound(3)?);
            if start < 0 && end < 0 && start > end {
                // Before the unit is judged, and before both are moved to the first byte.
                context.reply.int(0);
                return Ok(Outcome::Done);
            }
            let unit = if counts_bits(args, 4)? { 1 } else { 8 };
            bits_between(start, end, unit, bytes.len())
        }
        _ => return Err(CommandError::Syntax),
    };
    let count = bitmap::count_ones_in(bytes, range);
    context.reply.int(count as i64);
    Ok(Outcome::Done)
}

fn bitpos(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let set = match context.int(2)? {
        0 => false,
        1 => true,
        _ => {
            return Err(CommandError::text("ERR The bit argument must be 1 or 0."));
        }
    };
    let Some(text) = context.txn.string(args[1])? else {
        context.reply.int(if set { -1 } else { 0 });
        return Ok(Outcome::Done);
    };
    let mut digits = itoa::Buffer::new();
    let bytes = text.to_bytes(&mut digits);
    let bound = |position: usize| parse_i64(args[position]).ok_or(CommandError::NotInteger);
    let range = match args.len() {
        3 => 0..bytes.len() * 8,
        4..=6 => {
            let start = bound(3)?;
            let unit = if counts_bits(args, 5)? { 1 } else { 8 };
            let end = if args.len() > 4 { bound(4)? } else { -1 };
            bits_between(start, end, unit, bytes.len())
        }
        _ => return Err(CommandError::Syntax),
    };
    // Without an end, zeros are taken to follow the string.
    let beyond = (!set && args.len() <= 4 && !range.is_empty()).then_some(bytes.len() * 8);
    let found = bitmap::find_in(bytes, range, set).or(beyond);
    context.reply.int(found.map_or(-1, |at| at as i64));
    Ok(Outcome::Done)
}

// ------------------------------------------------------------------------------------------------ combining

fn bitop(context: &mut Context<'_, '_>) -> CommandResult {
    let args = context.args;
    let operation = match () {
        () if context.is(1, "and") => Some(Operation::And),
        () if context.is(1, "or") => Some(Operation::Or),
        () if context.is(1, "xor") => Some(Operation::Xor),
        () if context.is(1, "diff") => Some(Operation::OnlyFirst),
        () if context.is(1, "diff1") => Some(Operation::OnlyOthers),
        () if context.is(1, "andor") => Some(Operation::FirstAndOthers),
        () if context.is(1, "one") => Some(Operation::One),
        () if context.is(1, "not") => None,
        () => return Err(CommandError::Syntax),
    };
    let (target, keys) = (args[2], &args[3..]);
    if operation.is_none() && keys.len() != 1 {
        return Err(CommandError::text(
            "ERR BITOP NOT must be called with a single source key.",
        ));
    }
    let against_others = match operation {
        Some(Operation::OnlyFirst) => Some("DIFF"),
        Some(Operation::OnlyOthers) => Some("DIFF1"),
        Some(Operation::FirstAndOthers) => Some("ANDOR"),
        _ => None,
    };
    if let Some(name) = against_others.filter(|_| keys.len() < 2) {
        let text = format!("ERR BITOP {name} must be called with at least two source keys.");
        return Err(text.into());
    }
    let result = combined(context.txn, operation, keys)?;
    let len = result.len();
    if len > 0 {
        context.txn.insert(target, Value::Raw(result), None);
        context.txn.changed(EventClass::STRING, "set", target);
    } else if context.txn.remove(target) {
        context.txn.changed(EventClass::GENERIC, "del", target);
    }
    context.reply.int(len as i64);
    Ok(Outcome::Done)
}

/// What the strings at these keys make together; without an operation, the first one inverted.
fn combined(
    txn: &mut Txn<'_>,
    operation: Option<Operation>,
    keys: &[&[u8]],
) -> Result<Vec<u8>, CommandError> {
    for key in keys {
        txn.string(key)?;
    }
    let source = |key: &&[u8]| match txn.peek(key).map(Entry::value) {
        Some(ValueRef::String(Element::Bytes(bytes))) => Cow::Borrowed(bytes),
        Some(ValueRef::String(integer)) => Cow::Owned(integer.to_vec()),
        _ => Cow::Borrowed(&b""[..]),
    };
    let sources: SmallVec<[Cow<'_, [u8]>; 8]> = keys.iter().map(source).collect();
    let sources: SmallVec<[&[u8]; 8]> = sources.iter().map(|source| &**source).collect();
    Ok(match operation {
        Some(operation) => bitmap::combine(operation, &sources),
        None => bitmap::invert(sources.first().copied().unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    /// What redis-server 7.0.15 answers, publishes and logs.
    #[test]
    fn answers_as_redis_does() {
        Harness::new().check(include_str!("bitmaps/transcript.txt"));
    }

    #[test]
    fn bits_are_counted_from_the_most_significant_one() {
        let mut h = Harness::new();
        assert_eq!(h.run("SETBIT k 1 1"), Response::Int(0));
        assert_eq!(h.run("GET k"), Response::Bulk(b"@".to_vec()));
        assert_eq!(h.run("SETBIT k 1 1"), Response::Int(1));
        assert_eq!(h.run("SETBIT k 17 1"), Response::Int(0));
        assert_eq!(h.run("STRLEN k"), Response::Int(3));
        assert_eq!(h.run("GETBIT k 17"), Response::Int(1));
        assert_eq!(h.run("GETBIT k 1000"), Response::Int(0));
        assert_eq!(h.events(), Vec::<String>::new());
    }

    #[test]
    fn what_is_refused() {
        let mut h = Harness::new();
        let error = |text: &str| Response::Error(text.to_owned());
        let offset = error("ERR bit offset is not an integer or out of range");
        for words in [
            "SETBIT k -1 1",
            "SETBIT k x 1",
            "SETBIT k 4294967296 1",
            "GETBIT k -1",
        ] {
            assert_eq!(h.run(words), offset, "{words}");
        }
        assert_eq!(
            h.run("SETBIT k 0 2"),
            error("ERR bit is not an integer or out of range")
        );
        h.run("RPUSH list x");
        assert!(
            matches!(h.run("SETBIT list 0 1"), Response::Error(text) if text.starts_with("WRONGTYPE"))
        );
        assert_eq!(h.run("EXISTS k"), Response::Int(0));
    }
}
