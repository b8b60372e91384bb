//! Bitmaps: the bits of a string, counted from the most significant one of its first byte.

use super::spec::{CommandSpec, Flags, one_key};
use super::{CommandError, CommandResult, Context, Outcome};
use crate::keyspace::EventClass;
use crate::value::number::parse_i64;

const NO_OFFSET: CommandError =
    CommandError::text("ERR bit offset is not an integer or out of range");
const NO_BIT: CommandError = CommandError::text("ERR bit is not an integer or out of range");

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[
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

/// The offset of a bit: within the longest string that is allowed.
fn bit_offset(context: &Context<'_, '_>) -> Result<usize, CommandError> {
    let offset = parse_i64(context.args[2])
        .and_then(|offset| usize::try_from(offset).ok())
        .ok_or(NO_OFFSET)?;
    if offset / 8 >= context.txn.limits().max_string {
        return Err(NO_OFFSET);
    }
    Ok(offset)
}

const fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

fn getbit(context: &mut Context<'_, '_>) -> CommandResult {
    let offset = bit_offset(context)?;
    let mut digits = itoa::Buffer::new();
    let text = context.txn.string(context.args[1])?;
    let byte = text.and_then(|text| text.to_bytes(&mut digits).get(offset / 8).copied());
    context
        .reply
        .int(i64::from(byte.unwrap_or(0) & mask(offset) != 0));
    Ok(Outcome::Done)
}

fn setbit(context: &mut Context<'_, '_>) -> CommandResult {
    let offset = bit_offset(context)?;
    let on = match context.args[3] {
        b"0" => false,
        b"1" => true,
        _ => return Err(NO_BIT),
    };
    let key = context.args[1];
    match context.txn.entry_mut(key) {
        Some(entry) if !entry.is_string() => return Err(CommandError::WrongType),
        Some(_) => {}
        None => context.txn.insert_string(key, b"", None),
    }
    let entry = context.txn.entry_mut(key).ok_or(CommandError::NoSuchKey)?;
    let bytes = entry.bytes_mut().ok_or(CommandError::WrongType)?;
    if bytes.len() <= offset / 8 {
        bytes.resize(offset / 8 + 1, 0);
    }
    let byte = &mut bytes[offset / 8];
    let before = *byte & mask(offset) != 0;
    *byte = if on {
        *byte | mask(offset)
    } else {
        *byte & !mask(offset)
    };
    context.txn.changed(EventClass::STRING, "setbit", key);
    context.reply.int(i64::from(before));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

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
