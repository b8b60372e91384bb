//! Patterns of keys, and what they allow to do with a key.

use crate::value::glob::matches;

/// What is done with a key, or may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Its value is read.
    pub read: bool,
    /// Its value is changed.
    pub write: bool,
}

impl Access {
    /// Both.
    pub const FULL: Self = Self {
        read: true,
        write: true,
    };

    /// Whether everything that `wanted` asks for is allowed.
    #[must_use]
    pub const fn covers(self, wanted: Self) -> bool {
        (self.read || !wanted.read) && (self.write || !wanted.write)
    }
}

/// Keys that a user may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    /// A glob.
    pub pattern: Box<[u8]>,
    /// In which way.
    pub access: Access,
}

impl KeyPattern {
    /// Whether it allows this of a key.
    #[must_use]
    pub fn allows(&self, key: &[u8], wanted: Access) -> bool {
        self.access.covers(wanted) && matches(&self.pattern, key, false)
    }

    /// As rules spell it: `~a`, `%R~a`, `%W~a`.
    #[must_use]
    pub fn rule(&self) -> Vec<u8> {
        let prefix = match (self.access.read, self.access.write) {
            (true, false) => &b"%R~"[..],
            (false, true) => b"%W~",
            _ => b"~",
        };
        [prefix, &self.pattern].concat()
    }
}
