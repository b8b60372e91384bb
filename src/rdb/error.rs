//! Why an RDB cannot be read: what was found, where, and at which key.

use std::{fmt, io};

/// Why an RDB cannot be read.
#[derive(Debug)]
pub struct RdbError {
    /// Offset in bytes of what could not be read.
    pub offset: u64,
    /// The key whose value it belongs to, with its database.
    pub key: Option<(usize, Vec<u8>)>,
    /// What was found there.
    pub problem: Problem,
}

/// What was found instead of an RDB.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// Reading failed.
    Io(io::Error),
    /// The bytes end before the RDB does.
    Truncated,
    /// The bytes do not begin as an RDB does.
    Magic([u8; 5]),
    /// No version that can be read.
    Version([u8; 4]),
    /// Neither an opcode nor a type that is known.
    Opcode(u8),
    /// Something that is sound but cannot be loaded.
    Unsupported(String),
    /// Something that no server writes.
    Malformed(String),
    /// The contents are not those that were written.
    Checksum {
        /// What the end of the file says.
        stored: u64,
        /// What the bytes before it give.
        computed: u64,
    },
}

impl Problem {
    pub(super) fn malformed(what: impl fmt::Display) -> Self {
        Self::Malformed(what.to_string())
    }

    pub(super) fn unsupported(what: impl fmt::Display) -> Self {
        Self::Unsupported(format!("{what} are not supported yet"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Truncated => f.write_str("the RDB ends too early"),
            Self::Magic(found) => write!(f, "no RDB: it begins with '{}'", found.escape_ascii()),
            Self::Version(found) => write!(
                f,
                "RDB version '{}' cannot be read (1 to 12 can)",
                found.escape_ascii()
            ),
            Self::Opcode(code) => write!(f, "unknown opcode or type {code}"),
            Self::Unsupported(what) | Self::Malformed(what) => f.write_str(what),
            Self::Checksum { stored, computed } => write!(
                f,
                "wrong checksum: the RDB says {stored:016x}, its bytes give {computed:016x}"
            ),
        }
    }
}

impl RdbError {
    /// A key that the RDB holds although it is there already.
    #[must_use]
    pub fn twice(db: usize, key: &[u8]) -> Self {
        let shown = key.escape_ascii();
        Self {
            offset: 0,
            key: None,
            problem: Problem::malformed(format_args!(
                "RDB has duplicated key '{shown}' in DB {db}"
            )),
        }
    }
}

impl fmt::Display for RdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}", self.offset)?;
        if let Some((db, key)) = &self.key {
            write!(f, ", key '{}' of database {db}", key.escape_ascii())?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for RdbError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io(error) => Some(error),
            _ => None,
        }
    }
}
