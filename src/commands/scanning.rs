//! What SCAN, HSCAN, SSCAN and ZSCAN share: their cursor, their options, and how an iteration step is answered.
//! It knows no collection.

use super::{CommandError, Context};
use crate::reply::Reply;
use crate::value::glob;
use crate::value::number::parse_i64;

const INVALID_CURSOR: CommandError = CommandError::text("ERR invalid cursor");

/// Entries that a step visits when COUNT does not say otherwise.
pub const DEFAULT_COUNT: usize = 10;

/// The options of a step. They are parsed after the key was looked up: a missing key answers [`empty_step`] whatever
/// they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions<'a> {
    /// MATCH, unless everything matches.
    pub pattern: Option<&'a [u8]>,
    /// COUNT: about how many entries to visit; at least 1.
    pub count: usize,
    /// TYPE, as the client wrote it.
    pub type_name: Option<&'a [u8]>,
    /// NOVALUES: fields of a hash only.
    pub no_values: bool,
}

/// What is scanned, which decides upon options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanned {
    /// The keys of a database: with TYPE.
    Keys,
    /// A hash: with NOVALUES.
    Hash,
    /// A set or a sorted set.
    Members,
}

impl Default for ScanOptions<'_> {
    fn default() -> Self {
        Self {
            pattern: None,
            count: DEFAULT_COUNT,
            type_name: None,
            no_values: false,
        }
    }
}

impl<'a> ScanOptions<'a> {
    /// Reads the options from the word at `first` on; one that does not belong to what is scanned is a syntax error.
    pub fn parse(
        context: &Context<'a, '_>,
        first: usize,
        scanned: Scanned,
    ) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut rest = context.args.get(first..).unwrap_or_default();
        while let [name, after @ ..] = rest {
            if scanned == Scanned::Hash && name.eq_ignore_ascii_case(b"novalues") {
                options.no_values = true;
                rest = after;
                continue;
            }
            let [value, after @ ..] = after else {
                return Err(CommandError::Syntax);
            };
            rest = after;
            if name.eq_ignore_ascii_case(b"count") {
                let count = parse_i64(value).ok_or(CommandError::NotInteger)?;
                options.count = usize::try_from(count)
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or(CommandError::Syntax)?;
            } else if name.eq_ignore_ascii_case(b"match") {
                options.pattern = (*value != b"*").then_some(value);
            } else if scanned == Scanned::Keys && name.eq_ignore_ascii_case(b"type") {
                options.type_name = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// Whether MATCH lets this element through.
    #[must_use]
    pub fn matches(&self, element: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, element, false))
    }
}

/// The cursor of a step: an unsigned 64-bit number, which may have a sign as C's `strtoul` takes it.
pub fn parse_cursor(word: &[u8]) -> Result<u64, CommandError> {
    // A C string ends at a NUL byte.
    let text = word.split(|byte| *byte == 0).next().unwrap_or_default();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        [] => return Ok(0),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return Err(INVALID_CURSOR);
    }
    let value = digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    let value = value.ok_or(INVALID_CURSOR)?;
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// Begins the answer of a step: the next cursor, and `len` elements, which follow.
pub fn begin_step(reply: &mut dyn Reply, cursor: u64, len: usize) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(cursor).as_bytes());
    reply.array(len);
}

/// The answer for a key that does not exist.
pub fn empty_step(reply: &mut dyn Reply) {
    begin_step(reply, 0, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_judged_as_redis_judges_them() {
        for (word, cursor) in [
            ("0", 0),
            ("", 0),
            ("17", 17),
            ("+3", 3),
            ("-1", u64::MAX),
            ("007", 7),
            ("7\0x", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_cursor(word.as_bytes()), Ok(cursor), "{word}");
        }
        for word in ["foo", " 1", "1x", "1 ", "-", "+-1", "18446744073709551616"] {
            assert_eq!(parse_cursor(word.as_bytes()), Err(INVALID_CURSOR), "{word}");
        }
    }
}
