//! The classes of keyspace events, and the letters that stand for them in `notify-keyspace-events`. Knows no keys.

/// A set of event classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyspaceEvents(u32);

impl KeyspaceEvents {
    /// Publish on `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Self = Self(1 << 0);
    /// Publish on `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Self = Self(1 << 1);
    pub const GENERIC: Self = Self(1 << 2);
    pub const STRING: Self = Self(1 << 3);
    pub const LIST: Self = Self(1 << 4);
    pub const SET: Self = Self(1 << 5);
    pub const HASH: Self = Self(1 << 6);
    pub const ZSET: Self = Self(1 << 7);
    pub const EXPIRED: Self = Self(1 << 8);
    pub const EVICTED: Self = Self(1 << 9);
    pub const STREAM: Self = Self(1 << 10);
    pub const MODULE: Self = Self(1 << 11);
    /// A read of a key that does not exist. Not part of [`Self::ALL`].
    pub const MISSED: Self = Self(1 << 12);
    /// A key that was created. Not part of [`Self::ALL`].
    pub const NEW: Self = Self(1 << 13);
    /// What the letter `A` stands for.
    pub const ALL: Self = Self(0xffc);
    pub const NONE: Self = Self(0);

    /// Whether any of the classes in `other` is in the set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of the classes in `other` are in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of bits that [`Self::bits`] gave. Unknown bits are dropped.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0x3fff)
    }

    /// Reads the letters; `None` where one is unknown.
    #[must_use]
    pub fn parse(letters: &[u8]) -> Option<Self> {
        letters.iter().try_fold(Self::NONE, |set, letter| {
            if *letter == b'A' {
                return Some(set.union(Self::ALL));
            }
            let (_, class) = LETTERS
                .iter()
                .find(|(known, _)| *known == char::from(*letter))?;
            Some(set.union(*class))
        })
    }

    /// The letters, in the order that Redis prints them.
    #[must_use]
    pub fn letters(self) -> String {
        let all = self.contains(Self::ALL);
        let mut letters = String::new();
        if all {
            letters.push('A');
        }
        for (letter, class) in LETTERS {
            // `A` swallows `n` in print, though not in effect.
            let swallowed = all && (Self::ALL.contains(*class) || *class == Self::NEW);
            if !swallowed && self.contains(*class) {
                letters.push(*letter);
            }
        }
        letters
    }
}

const LETTERS: &[(char, KeyspaceEvents)] = &[
    ('g', KeyspaceEvents::GENERIC),
    ('$', KeyspaceEvents::STRING),
    ('l', KeyspaceEvents::LIST),
    ('s', KeyspaceEvents::SET),
    ('h', KeyspaceEvents::HASH),
    ('z', KeyspaceEvents::ZSET),
    ('x', KeyspaceEvents::EXPIRED),
    ('e', KeyspaceEvents::EVICTED),
    ('t', KeyspaceEvents::STREAM),
    ('d', KeyspaceEvents::MODULE),
    ('n', KeyspaceEvents::NEW),
    ('K', KeyspaceEvents::KEYSPACE),
    ('E', KeyspaceEvents::KEYEVENT),
    ('m', KeyspaceEvents::MISSED),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_print_in_the_order_of_redis() {
        for (given, printed) in [
            ("KEA", "AKE"),
            ("g$lshzxet", "g$lshzxet"),
            ("g$lshzxetd", "A"),
            ("KEg$lshzxetdmn", "AKEm"),
            ("mn", "nm"),
            ("tdx", "xtd"),
            ("KEn", "nKE"),
            ("", ""),
        ] {
            let set = KeyspaceEvents::parse(given.as_bytes());
            assert_eq!(set.map(KeyspaceEvents::letters).as_deref(), Some(printed));
        }
        assert_eq!(KeyspaceEvents::parse(b"a"), None);
        assert_eq!(KeyspaceEvents::parse(b" "), None);
    }
}
