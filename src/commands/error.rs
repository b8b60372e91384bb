//! What a command can refuse, in Redis's exact words. Clients match on these texts.

use std::borrow::Cow;
use std::fmt;

use crate::keyspace::WrongType;
use crate::value::lossless;

/// The error reply of a command, without the leading dash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// The key holds another type.
    WrongType,
    /// The arguments do not parse.
    Syntax,
    /// An argument is no 64-bit integer.
    NotInteger,
    /// An argument is no floating-point number.
    NotFloat,
    /// An index lies beyond the value.
    IndexOutOfRange,
    /// The key must exist and does not.
    NoSuchKey,
    /// An increment leaves the 64-bit range.
    Overflow,
    /// An increment gives infinity or no number.
    NanOrInfinity,
    /// A timeout below zero.
    NegativeTimeout,
    /// A timeout that is no number.
    TimeoutNotFloat,
    /// A timeout too far away.
    TimeoutOutOfRange,
    /// A value that must be positive and is not: `value is out of range, must be positive`.
    MustBePositive,
    /// A string longer than `proto-max-bulk-len`.
    StringTooLong,
    /// The wrong number of arguments for the named command (`get`, `client|kill`).
    WrongArity(String),
    /// The invalid expire time of the named command.
    InvalidExpire(String),
    /// Any other text, code included: `ERR …`.
    Text(Cow<'static, str>),
    /// The same from a script, whose command that failed has counted it already.
    Counted(String),
}

impl CommandError {
    /// An `ERR` with a fixed text that carries its code.
    #[must_use]
    pub const fn text(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// What writes are answered on a replica.
pub const READ_ONLY: CommandError =
    CommandError::text("READONLY You can't write against a read only replica.");

/// What everything is answered that needs the data, on a replica that shall not serve old data.
pub const PRIMARY_DOWN: CommandError = CommandError::text(
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
);

/// A client's word as it stands in an error's text: not past a NUL byte, where a C string ends.
#[must_use]
pub fn shown(word: &[u8]) -> Cow<'_, str> {
    lossless::text(word.split(|byte| *byte == 0).next().unwrap_or_default())
}

impl From<WrongType> for CommandError {
    fn from(_: WrongType) -> Self {
        Self::WrongType
    }
}

impl From<String> for CommandError {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::Syntax => "ERR syntax error",
            Self::NotInteger => "ERR value is not an integer or out of range",
            Self::NotFloat => "ERR value is not a valid float",
            Self::IndexOutOfRange => "ERR index out of range",
            Self::NoSuchKey => "ERR no such key",
            Self::Overflow => "ERR increment or decrement would overflow",
            Self::NanOrInfinity => "ERR increment would produce NaN or Infinity",
            Self::NegativeTimeout => "ERR timeout is negative",
            Self::TimeoutNotFloat => "ERR timeout is not a float or out of range",
            Self::TimeoutOutOfRange => "ERR timeout is out of range",
            Self::MustBePositive => "ERR value is out of range, must be positive",
            Self::StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Self::WrongArity(name) => {
                return write!(f, "ERR wrong number of arguments for '{name}' command");
            }
            Self::InvalidExpire(name) => {
                return write!(f, "ERR invalid expire time in '{name}' command");
            }
            Self::Text(text) => text,
            Self::Counted(text) => text,
        })
    }
}
