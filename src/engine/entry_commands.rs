//! A key as the commands that make it, whole or part by part: what a base of the log is made of. Knows no files and no
//! locks.

use std::ops::Range;

use super::stream_commands::encode_stream;
use crate::keyspace::txn::{begin_command, encode_command, encode_word};
use crate::keyspace::{Entry, ValueRef};
use crate::value::hash::Hash;
use crate::value::listpack::Element;
use crate::value::number::DoubleBuffer;
use crate::value::zset::SortedSet;

/// Elements that one command of the base holds at most, as in Redis.
const ELEMENTS_PER_COMMAND: usize = 64;

/// One key as commands that make it.
pub(super) fn encode_entry(out: &mut Vec<u8>, entry: &Entry) {
    let key = entry.key();
    match entry.value() {
        ValueRef::String(text) => {
            let mut digits = itoa::Buffer::new();
            let expiry = entry.expires_at_ms().map(|at| digits.format(at).as_bytes());
            text.with_bytes(|text| match expiry {
                Some(at) => encode_command(out, &[b"SET", key, text, b"PXAT", at]),
                None => encode_command(out, &[b"SET", key, text]),
            });
            return;
        }
        ValueRef::List(list) => {
            let mut batches = Batches::new(out, b"RPUSH", key, list.len());
            list.iter().for_each(|element| batches.add([element]));
        }
        ValueRef::Set(set) => {
            let mut batches = Batches::new(out, b"SADD", key, set.len());
            set.iter().for_each(|element| batches.add([element]));
        }
        ValueRef::Hash(hash) => {
            let mut batches = Batches::new(out, b"HSET", key, hash.len());
            hash.iter()
                .for_each(|(field, value)| batches.add([field, value]));
            encode_field_times(out, key, &hash);
        }
        ValueRef::Stream(stream) => encode_stream(out, key, stream),
        ValueRef::SortedSet(set) => add_ranks(out, key, set, 0..set.len()),
    }
    encode_expiry(out, entry);
}

/// The part of a key that begins at a cursor, 0 at first, as commands; the cursor of the next part, if there is one. Between
/// the parts the value must not change. What has no parts, such as strings and streams, is one. O(part).
pub(super) fn encode_part(out: &mut Vec<u8>, entry: &Entry, cursor: u64) -> Option<u64> {
    let (key, value) = (entry.key(), entry.value());
    let next = match &value {
        ValueRef::List(list) => {
            let (from, count) = (cursor as usize, value.elements_per_part(list.len()));
            let count = count.min(list.len() - from);
            let mut batches = Batches::new(out, b"RPUSH", key, count);
            let elements = list.iter_from(from).take(count);
            elements.for_each(|element| batches.add([element]));
            (from + count < list.len()).then_some((from + count) as u64)
        }
        ValueRef::SortedSet(set) => {
            let (from, count) = (cursor as usize, value.elements_per_part(set.len()));
            let count = count.min(set.len() - from);
            add_ranks(out, key, set, from..from + count);
            (from + count < set.len()).then_some((from + count) as u64)
        }
        ValueRef::Set(set) => {
            let (mut members, count) = (0, value.elements_per_part(set.len()));
            let next = set.scan(cursor, count, |_| members += 1);
            let mut batches = Batches::new(out, b"SADD", key, members);
            set.scan(cursor, count, |member| batches.add([member]));
            (next != 0).then_some(next)
        }
        ValueRef::Hash(hash) if hash.next_time().is_none() => {
            let (mut fields, count) = (0, value.elements_per_part(hash.len()));
            let next = hash.scan(cursor, count, |_, _| fields += 1);
            let mut batches = Batches::new(out, b"HSET", key, fields);
            hash.scan(cursor, count, |field, value| batches.add([field, value]));
            (next != 0).then_some(next)
        }
        _ => {
            encode_entry(out, entry);
            return None;
        }
    };
    if next.is_none() {
        encode_expiry(out, entry);
    }
    next
}

/// When a key expires, if it does.
fn encode_expiry(out: &mut Vec<u8>, entry: &Entry) {
    if let Some(at) = entry.expires_at_ms() {
        let mut digits = itoa::Buffer::new();
        encode_command(
            out,
            &[b"PEXPIREAT", entry.key(), digits.format(at).as_bytes()],
        );
    }
}

fn add_ranks(out: &mut Vec<u8>, key: &[u8], set: &SortedSet, ranks: Range<usize>) {
    let mut batches = Batches::new(out, b"ZADD", key, ranks.len());
    let mut digits = DoubleBuffer::new();
    for (member, score) in set.range(ranks) {
        batches.add([Element::Bytes(digits.format(score)), member]);
    }
}

/// When fields of a hash run out, a command for each time.
fn encode_field_times(out: &mut Vec<u8>, key: &[u8], hash: &Hash) {
    if hash.next_time().is_none() {
        return;
    }
    for (field, _, time) in hash.iter_with_times() {
        let Some(at) = time else { continue };
        let mut digits = itoa::Buffer::new();
        field.with_bytes(|field| {
            let at = digits.format(at).as_bytes();
            encode_command(out, &[b"HPEXPIREAT", key, at, b"FIELDS", b"1", field]);
        });
    }
}

/// The elements of one key, so many a command. How many there are is known before, so that nothing is kept.
struct Batches<'a> {
    out: &'a mut Vec<u8>,
    command: &'static [u8],
    key: &'a [u8],
    /// Elements that are still to come.
    left: usize,
    /// Those of them that go into the command that has begun.
    room: usize,
}

impl<'a> Batches<'a> {
    fn new(out: &'a mut Vec<u8>, command: &'static [u8], key: &'a [u8], elements: usize) -> Self {
        Self {
            out,
            command,
            key,
            left: elements,
            room: 0,
        }
    }

    fn add<const WORDS: usize>(&mut self, words: [Element<'_>; WORDS]) {
        if self.room == 0 {
            self.room = self.left.min(ELEMENTS_PER_COMMAND);
            begin_command(self.out, 2 + self.room * WORDS);
            encode_word(self.out, self.command);
            encode_word(self.out, self.key);
        }
        for word in words {
            word.with_bytes(|word| encode_word(self.out, word));
        }
        self.room -= 1;
        self.left -= 1;
    }
}
