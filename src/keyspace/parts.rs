//! What a snapshot takes in parts: values so large that nobody shall wait for a whole segment of them, or for all of one.
//! Knows no locks and no form that a part is written in.

use super::shard::hash_of;
use super::{Entry, ValueRef};
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::listpack::Element;
use crate::value::set::Set;
use crate::value::zset::SortedSet;

/// Larger values leave their segment, in bytes.
const LARGE_VALUE: usize = 1 << 10;
/// About so many bytes are a part.
pub(super) const PART_BYTES: usize = 32 << 10;
/// Elements that a part has at most.
const PART_ELEMENTS: usize = 512;

/// A value that is taken in parts.
#[derive(Debug)]
pub enum Source<'a> {
    /// What a list was when its copy was begun.
    List(&'a mut List),
    /// What a hash was.
    Hash(&'a mut Hash),
    /// What a set was.
    Set(&'a mut Set),
    /// What a sorted set was.
    SortedSet(&'a mut SortedSet),
    /// Anything else is one part.
    Whole(ValueRef<'a>),
}

impl Source<'_> {
    /// Has the value keep what it is now until all parts are taken; whether it can do that.
    pub(super) fn begin(&mut self, descending: bool) -> bool {
        match self {
            Self::List(list) => list.begin_copy(),
            Self::Hash(hash) => hash.begin_copy(),
            Self::Set(set) => set.begin_copy(),
            Self::SortedSet(set) => set.begin_copy(descending),
            Self::Whole(_) => false,
        }
    }

    /// Nobody wants the parts that are left.
    pub(super) fn end(&mut self) {
        match self {
            Self::List(list) => list.end_copy(),
            Self::Hash(hash) => hash.end_copy(),
            Self::Set(set) => set.end_copy(),
            Self::SortedSet(set) => set.end_copy(),
            Self::Whole(_) => {}
        }
    }
}

/// The next part of a key's value, which is to be taken.
#[derive(Debug)]
pub struct Part<'a> {
    /// The database.
    pub db: usize,
    /// The key.
    pub key: &'a [u8],
    /// When it expires, in Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// Its access clock.
    pub access: u32,
    /// What is left of its value.
    pub value: Source<'a>,
    /// How many elements are a part, about.
    pub elements: usize,
    /// No part was taken before.
    pub is_first: bool,
    /// The parts so far, where they must not be mixed with others.
    pub pieces: &'a mut Vec<Vec<u8>>,
}

/// A key that is being taken in parts.
#[derive(Debug)]
pub(super) struct Parted {
    pub(super) db: usize,
    pub(super) hash: u64,
    pub(super) key: Box<[u8]>,
    /// Bytes of its value, about.
    pub(super) size: usize,
    /// When it expired as the snapshot began, in Unix milliseconds.
    expires_at_ms: Option<i64>,
    /// The value keeps what it was, so that elements may change before all of it is taken. Otherwise the rest is taken first.
    pub(super) keeps: bool,
    /// The entry, once it was removed. It stays until all of it is taken.
    pub(super) removed: Option<Entry>,
    elements: usize,
    begun: bool,
    pieces: Vec<Vec<u8>>,
}

impl Parted {
    /// What is to be taken of an entry, if it is a large one.
    pub(super) fn of(db: usize, entry: &Entry) -> Option<Self> {
        let (value, size) = (entry.value(), size_of_value(&entry.value()));
        let len = match &value {
            ValueRef::Hash(hash) => hash.len(),
            ValueRef::Set(set) => set.len(),
            ValueRef::SortedSet(set) => set.len(),
            ValueRef::String(_) | ValueRef::List(_) | ValueRef::Stream(_) => 1,
        };
        (size > LARGE_VALUE).then(|| Self {
            db,
            hash: hash_of(entry),
            key: entry.key().into(),
            size,
            expires_at_ms: entry.expires_at_ms(),
            keeps: false,
            removed: None,
            elements: (PART_BYTES / (size / len.max(1)).max(1)).clamp(1, PART_ELEMENTS),
            begun: false,
            pieces: Vec::new(),
        })
    }

    /// Whether it is about what the database holds at this place.
    pub(super) fn is_at(&self, db: usize, hash: u64) -> bool {
        (self.db, self.hash) == (db, hash) && self.removed.is_none()
    }

    /// The next part, of the entry that it is about.
    pub(super) fn next<'a>(&'a mut self, entry: &'a mut Entry) -> Part<'a> {
        Part {
            db: self.db,
            key: &self.key,
            expires_at_ms: self.expires_at_ms,
            access: entry.access(),
            value: entry.source(self.keeps),
            elements: self.elements,
            is_first: !std::mem::replace(&mut self.begun, true),
            pieces: &mut self.pieces,
        }
    }
}

fn size_of_value(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::String(Element::Bytes(bytes)) => bytes.len(),
        other => other.heap_size(),
    }
}
