//! What a snapshot takes in parts: values so large that nobody shall wait for a whole segment of them, or for all of one.
//! Knows no locks and no form that a part is written in.

use super::shard::hash_of;
use super::{Entry, ValueRef};
use crate::value::listpack::Element;

/// Larger values leave their segment, in bytes.
const LARGE_VALUE: usize = 1 << 10;
/// About so many bytes are a part.
pub(super) const PART_BYTES: usize = 32 << 10;
/// Elements that a part has at most.
const PART_ELEMENTS: usize = 512;

/// How far a value has been taken.
#[derive(Debug, Default)]
pub struct Progress {
    /// Where the next part begins: 0 at first, then what the sink has left here.
    pub cursor: u64,
    /// The parts so far, where they must not be mixed with others.
    pub pieces: Vec<Vec<u8>>,
}

/// A key that is being taken in parts. It does not change before all of it is taken: whoever is about to change it takes the
/// rest first.
#[derive(Debug)]
pub(super) struct Parted {
    pub(super) db: usize,
    pub(super) hash: u64,
    pub(super) key: Box<[u8]>,
    /// Bytes of its value, about.
    pub(super) size: usize,
    pub(super) progress: Progress,
}

impl Parted {
    /// What is to be taken of an entry, if it is a large one.
    pub(super) fn of(db: usize, entry: &Entry) -> Option<Self> {
        let size = size_of_value(&entry.value());
        (size > LARGE_VALUE).then(|| Self {
            db,
            hash: hash_of(entry),
            key: entry.key().into(),
            size,
            progress: Progress::default(),
        })
    }
}

fn size_of_value(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::String(Element::Bytes(bytes)) => bytes.len(),
        other => other.heap_size(),
    }
}

impl ValueRef<'_> {
    /// How many of a collection's `len` elements make a part.
    #[must_use]
    pub fn elements_per_part(&self, len: usize) -> usize {
        let each = self.heap_size() / len.max(1);
        (PART_BYTES / each.max(1)).clamp(1, PART_ELEMENTS)
    }
}
