//! The id of an entry of a stream: a time in milliseconds and a number within it. Knows no clock.

use std::fmt;

use smallvec::SmallVec;

/// The longest text that may be an id.
const MAX_TEXT: usize = 127;

/// An id. Ids are ordered by time, then by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Unix milliseconds.
    pub ms: u64,
    /// The number within the millisecond.
    pub seq: u64,
}

/// An id as a client writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdText {
    /// `ms-seq`.
    Full(StreamId),
    /// `ms`.
    Time(u64),
    /// `ms-*`.
    AutoSequence(u64),
}

impl StreamId {
    /// `0-0`, which no entry has.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last id.
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };
    /// Bytes of an id as Redis stores it.
    pub const LEN: usize = 16;

    /// An id of its parts.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    const fn number(self) -> u128 {
        ((self.ms as u128) << 64) | self.seq as u128
    }

    const fn of_number(number: u128) -> Self {
        Self {
            ms: (number >> 64) as u64,
            seq: number as u64,
        }
    }

    /// The id behind this one; none behind the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.number().checked_add(1).map(Self::of_number)
    }

    /// The id before this one; none before the first.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        self.number().checked_sub(1).map(Self::of_number)
    }

    /// The id as text, without an allocation.
    #[must_use]
    pub fn to_text(self) -> SmallVec<[u8; 48]> {
        let mut digits = itoa::Buffer::new();
        let mut text = SmallVec::from_slice(digits.format(self.ms).as_bytes());
        text.push(b'-');
        text.extend_from_slice(digits.format(self.seq).as_bytes());
        text
    }

    /// Big-endian, so that bytes are ordered as ids are.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.number().to_be_bytes()
    }

    /// An id from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self::of_number(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl IdText {
    /// Reads an id; none where the text is no id. Redis ends it at a NUL byte.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let Some(dash) = text.iter().position(|byte| *byte == b'-') else {
            return parse_part(text).map(Self::Time);
        };
        let ms = parse_part(text.get(..dash)?)?;
        match text.get(dash + 1..)? {
            b"*" => Some(Self::AutoSequence(ms)),
            seq => Some(Self::Full(StreamId::new(ms, parse_part(seq)?))),
        }
    }

    /// The id, where `seq` stands for a number that is not there; none for `ms-*`.
    #[must_use]
    pub const fn or_sequence(self, seq: u64) -> Option<StreamId> {
        match self {
            Self::Full(id) => Some(id),
            Self::Time(ms) => Some(StreamId::new(ms, seq)),
            Self::AutoSequence(_) => None,
        }
    }
}

/// One half of an id: a canonical number, or whatever else C's `strtoull` takes as a whole, sign and blanks included.
fn parse_part(text: &[u8]) -> Option<u64> {
    let canonical = text == b"0" || text.first().is_some_and(|byte| matches!(byte, b'1'..=b'9'));
    if canonical {
        return parse_digits(text);
    }
    // A canonical negative number is refused; one in another form wraps around.
    if matches!(text, [b'-', b'1'..=b'9', ..]) && text.len() <= 20 {
        let magnitude = parse_digits(text.get(1..)?)?;
        if magnitude <= 1 << 63 {
            return None;
        }
    }
    let blanks = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | 9..=13))
        .count();
    match text.get(blanks..)? {
        [b'-', digits @ ..] => parse_digits(digits).map(u64::wrapping_neg),
        [b'+', digits @ ..] | digits => parse_digits(digits),
    }
}

fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_judged_as_redis_judges_them() {
        let full = |ms, seq| Some(IdText::Full(StreamId::new(ms, seq)));
        for (text, id) in [
            ("5", Some(IdText::Time(5))),
            ("005", Some(IdText::Time(5))),
            (" 5", Some(IdText::Time(5))),
            ("+5", Some(IdText::Time(5))),
            ("5\0x", Some(IdText::Time(5))),
            ("5-*", Some(IdText::AutoSequence(5))),
            ("5-1", full(5, 1)),
            ("0-0", full(0, 0)),
            ("5-+1", full(5, 1)),
            ("5--01", full(5, u64::MAX)),
            (
                "18446744073709551615-18446744073709551615",
                full(u64::MAX, u64::MAX),
            ),
            ("18446744073709551616-1", None),
            ("5--1", None),
            ("", None),
            ("-", None),
            ("-5", None),
            ("5-", None),
            ("5-1 ", None),
            ("abc", None),
            ("5-1-1", None),
            ("*", None),
        ] {
            assert_eq!(IdText::parse(text.as_bytes()), id, "{text}");
        }
        assert_eq!(IdText::parse(&[b'1'; 128]), None);
    }

    #[test]
    fn neighbours_cross_milliseconds() {
        let id = StreamId::new(5, u64::MAX);
        assert_eq!(id.next(), Some(StreamId::new(6, 0)));
        assert_eq!(StreamId::new(6, 0).previous(), Some(id));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
        assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
        assert_eq!(id.to_string(), "5-18446744073709551615");
    }
}
