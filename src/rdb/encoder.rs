//! Values as an RDB of version 10 holds them, which Redis 7.0 and everything after it loads: lengths, strings, collections
//! in their compact forms where they have one, and whole entries. Hashes of which fields run out are those of version 12.
//! Appends to memory; knows no files and no databases.

use super::lzf::Compressor;
use super::object;
use super::reader::{EXPIRE_TIME_MS, FREQUENCY, IDLE};
use crate::keyspace::ValueRef;
use crate::value::hash::Hash;
use crate::value::list::{List, NodeRef};
use crate::value::listpack::Element;
use crate::value::number::parse_i64;
use crate::value::zset::SortedSet;

/// Shorter strings are not worth compressing.
const MIN_COMPRESSED_LEN: usize = 20;
/// The longest string that may be an integer of 32 bits.
const MAX_INTEGER_LEN: usize = 11;

/// When a key was used, as the eviction policy in force counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Seconds since it was used last.
    Idle(u64),
    /// How often it is used, logarithmically.
    Frequency(u8),
}

/// What goes into an RDB with a key, besides its value.
#[derive(Debug, Clone, Copy)]
pub struct KeyHeader<'a> {
    /// The key.
    pub key: &'a [u8],
    /// When it expires, in Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// When it was used, where the policy wants that kept.
    pub usage: Option<Usage>,
}

/// Encodes values; keeps the memory that compression needs from one string to the next.
#[derive(Debug, Default)]
pub struct Encoder {
    compressor: Option<Compressor>,
}

impl Encoder {
    /// With `compress` (`rdbcompression`) long strings are compressed.
    #[must_use]
    pub fn new(compress: bool) -> Self {
        Self {
            compressor: compress.then(Compressor::default),
        }
    }

    /// Appends a key with its expiry and value. O(size of the value).
    pub fn entry(&mut self, out: &mut Vec<u8>, header: &KeyHeader<'_>, value: ValueRef<'_>) {
        self.beginning(out, header, type_of(&value));
        self.value(out, value);
    }

    /// Appends what stands before a value.
    pub(super) fn beginning(&mut self, out: &mut Vec<u8>, header: &KeyHeader<'_>, kind: u8) {
        if let Some(at) = header.expires_at_ms {
            out.push(EXPIRE_TIME_MS);
            out.extend(at.to_le_bytes());
        }
        match header.usage {
            Some(Usage::Idle(seconds)) => {
                out.push(IDLE);
                length(out, seconds);
            }
            Some(Usage::Frequency(frequency)) => out.extend([FREQUENCY, frequency]),
            None => {}
        }
        out.push(kind);
        self.string(out, header.key);
    }

    /// Appends a value, without its type. O(size of the value).
    pub fn value(&mut self, out: &mut Vec<u8>, value: ValueRef<'_>) {
        match value {
            ValueRef::String(text) => self.element(out, text),
            ValueRef::List(list) => self.list(out, list),
            ValueRef::Set(set) => match set.as_intset() {
                Some(integers) => self.string(out, integers.as_bytes()),
                None => {
                    length(out, set.len() as u64);
                    set.iter().for_each(|member| self.element(out, member));
                }
            },
            ValueRef::Hash(hash) => self.hash(out, &hash),
            ValueRef::SortedSet(set) => self.sorted_set(out, set),
            ValueRef::Stream(stream) => self.stream(out, stream),
        }
    }

    fn hash(&mut self, out: &mut Vec<u8>, hash: &Hash) {
        if let Some(pack) = hash.as_listpack() {
            return self.string(out, pack.as_bytes());
        }
        let earliest = hash.next_time();
        if let Some(earliest) = earliest {
            out.extend(earliest.to_le_bytes());
            if let Some(pack) = hash.as_listpack_with_times() {
                return self.string(out, pack.as_bytes());
            }
        }
        length(out, hash.len() as u64);
        for (field, value, time) in hash.iter_with_times() {
            self.field(out, field, value, time, earliest);
        }
    }

    /// Appends a field and its value, in a hash of which the `earliest` field runs out then.
    pub(super) fn field(
        &mut self,
        out: &mut Vec<u8>,
        field: Element<'_>,
        value: Element<'_>,
        time: Option<i64>,
        earliest: Option<i64>,
    ) {
        if let Some(earliest) = earliest {
            let later = time.map_or(0, |time| time.abs_diff(earliest) + 1);
            length(out, later);
        }
        self.element(out, field);
        self.element(out, value);
    }

    fn list(&mut self, out: &mut Vec<u8>, list: &List) {
        length(out, list.nodes().count() as u64);
        list.nodes().for_each(|node| self.node(out, &node));
    }

    pub(super) fn node(&mut self, out: &mut Vec<u8>, node: &NodeRef<'_>) {
        match node {
            NodeRef::Plain(bytes) => {
                length(out, object::NODE_PLAIN);
                self.string(out, bytes);
            }
            NodeRef::Packed(pack) => {
                length(out, object::NODE_PACKED);
                self.string(out, pack.as_bytes());
            }
        }
    }

    fn sorted_set(&mut self, out: &mut Vec<u8>, set: &SortedSet) {
        if let Some(pack) = set.as_listpack() {
            return self.string(out, pack.as_bytes());
        }
        length(out, set.len() as u64);
        // From the last to the first, which a skip list takes up fastest.
        for (member, score) in set.iter().rev() {
            self.element(out, member);
            out.extend(score.to_le_bytes());
        }
    }

    pub(super) fn element(&mut self, out: &mut Vec<u8>, element: Element<'_>) {
        match element {
            Element::Int(integer) if append_integer(out, integer) => {}
            Element::Int(integer) => {
                append_plain(out, itoa::Buffer::new().format(integer).as_bytes());
            }
            Element::Bytes(bytes) => self.string(out, bytes),
        }
    }

    /// Appends a string in its shortest form: an integer, compressed, or as it is.
    pub(super) fn string(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        if bytes.len() <= MAX_INTEGER_LEN
            && parse_i64(bytes).is_some_and(|integer| append_integer(out, integer))
        {
            return;
        }
        let start = out.len();
        if bytes.len() > MIN_COMPRESSED_LEN
            && let Some(compressor) = &mut self.compressor
            && let Some(compressed) = compressor.compress(bytes)
        {
            out.push(0xc3);
            length(out, compressed.len() as u64);
            length(out, bytes.len() as u64);
            out.extend_from_slice(compressed);
            if out.len() - start < bytes.len() {
                return;
            }
            out.truncate(start);
        }
        append_plain(out, bytes);
    }
}

/// The number that stands for a value's type and form.
#[must_use]
pub(super) fn type_of(value: &ValueRef<'_>) -> u8 {
    match value {
        ValueRef::String(_) => object::STRING,
        ValueRef::List(_) => object::LIST_QUICKLIST_2,
        ValueRef::Set(set) if set.as_intset().is_some() => object::SET_INTSET,
        // A listpack of members is known from version 11 on only.
        ValueRef::Set(_) => object::SET,
        ValueRef::Hash(hash) if hash.as_listpack().is_some() => object::HASH_LISTPACK,
        ValueRef::Hash(hash) if hash.next_time().is_none() => object::HASH,
        ValueRef::Hash(hash) if hash.as_listpack_with_times().is_some() => {
            object::HASH_LISTPACK_TIMES
        }
        ValueRef::Hash(_) => object::HASH_TIMES,
        ValueRef::SortedSet(set) if set.as_listpack().is_some() => object::ZSET_LISTPACK,
        ValueRef::SortedSet(_) => object::ZSET_2,
        // When a consumer was active last is told from version 11 on only.
        ValueRef::Stream(_) => object::STREAM_2,
    }
}

/// Appends a length in its shortest form.
pub(super) fn length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..0x40 => out.push(length as u8),
        0x40..0x4000 => out.extend([0x40 | (length >> 8) as u8, length as u8]),
        0x4000..=0xffff_ffff => {
            out.push(0x80);
            out.extend((length as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend(length.to_be_bytes());
        }
    }
}

/// Appends a string that is an integer of at most 32 bits; false where it is wider.
fn append_integer(out: &mut Vec<u8>, integer: i64) -> bool {
    if let Ok(byte) = i8::try_from(integer) {
        out.extend([0xc0, byte as u8]);
    } else if let Ok(short) = i16::try_from(integer) {
        out.push(0xc1);
        out.extend(short.to_le_bytes());
    } else if let Ok(word) = i32::try_from(integer) {
        out.push(0xc2);
        out.extend(word.to_le_bytes());
    } else {
        return false;
    }
    true
}

fn append_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
