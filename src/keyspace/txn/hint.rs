//! A hash that is computed once for a word that is looked up several times.

use crate::keyspace::Keyspace;

/// The hash of a word that was hashed already. It knows the word by its place in memory, so it may be asked only while
/// that word is borrowed: then no other word can have the same place and length.
#[derive(Debug, Clone, Copy)]
pub struct HashHint {
    place: usize,
    len: usize,
    hash: u64,
}

impl HashHint {
    /// The hash of no word.
    pub const NONE: Self = Self {
        place: 0,
        len: 0,
        hash: 0,
    };

    /// `word` hashes to `hash`.
    #[must_use]
    #[inline]
    pub fn new(word: &[u8], hash: u64) -> Self {
        debug_assert_eq!(Keyspace::hash(word), hash);
        Self {
            place: word.as_ptr().addr(),
            len: word.len(),
            hash,
        }
    }

    /// The hash of any word.
    #[must_use]
    #[inline]
    pub fn of(&self, word: &[u8]) -> u64 {
        if word.as_ptr().addr() == self.place && word.len() == self.len {
            debug_assert_eq!(Keyspace::hash(word), self.hash);
            self.hash
        } else {
            Keyspace::hash(word)
        }
    }
}
