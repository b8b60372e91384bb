//! A key as the commands that make it, whole or part by part: what a base of the log is made of. Knows no files and no
//! locks.

use super::stream_commands::encode_stream;
use crate::keyspace::txn::{begin_command, encode_command, encode_word};
use crate::keyspace::{Entry, Part, Source, ValueRef};
use crate::value::hash::Hash;
use crate::value::list::NodeRef;
use crate::value::listpack::Element;
use crate::value::number::DoubleBuffer;

/// Elements that one command of the base holds at most, as in Redis.
const ELEMENTS_PER_COMMAND: usize = 64;

/// One key as commands that make it.
pub(super) fn encode_entry(out: &mut Vec<u8>, entry: &Entry) {
    encode_value(out, entry.key(), entry.value(), entry.expires_at_ms());
}

fn encode_value(out: &mut Vec<u8>, key: &[u8], value: ValueRef<'_>, expires_at_ms: Option<i64>) {
    match value {
        ValueRef::String(text) => {
            let mut digits = itoa::Buffer::new();
            let expiry = expires_at_ms.map(|at| digits.format(at).as_bytes());
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
        ValueRef::SortedSet(set) => {
            let mut batches = Batches::new(out, b"ZADD", key, set.len());
            let mut digits = DoubleBuffer::new();
            for (member, score) in set.iter() {
                batches.add([Element::Bytes(digits.format(score)), member]);
            }
        }
    }
    encode_expiry(out, key, expires_at_ms);
}

/// The next part of a key as commands; whether there is another. O(part).
pub(super) fn encode_part(out: &mut Vec<u8>, part: Part<'_>) -> bool {
    let (key, count) = (part.key, part.elements);
    let goes_on = match part.value {
        Source::List(list) => {
            let mut gathered = Gathered::new(out, b"RPUSH", key);
            let goes_on = list.copy_node(|node| match node {
                NodeRef::Packed(pack) => pack.iter().for_each(|element| gathered.add([element])),
                NodeRef::Plain(bytes) => gathered.add([Element::Bytes(bytes)]),
            });
            gathered.end();
            goes_on.is_some()
        }
        Source::Set(set) => {
            let mut gathered = Gathered::new(out, b"SADD", key);
            let goes_on = set.copy_part(count, |member| gathered.add([member]));
            gathered.end();
            goes_on
        }
        Source::SortedSet(set) => {
            let (mut gathered, mut digits) =
                (Gathered::new(out, b"ZADD", key), DoubleBuffer::new());
            let goes_on = set.copy_part(count, |member, score| {
                gathered.add([Element::Bytes(digits.format(score)), member]);
            });
            gathered.end();
            goes_on
        }
        Source::Hash(hash) => {
            let (mut gathered, mut times) = (Gathered::new(out, b"HSET", key), Vec::new());
            let goes_on = hash.copy_part(count, |field, value, time| {
                gathered.add([field, value]);
                time.into_iter()
                    .for_each(|at| encode_field_time(&mut times, key, field, at));
            });
            gathered.end();
            out.append(&mut times);
            goes_on
        }
        Source::Whole(value) => {
            encode_value(out, key, value, part.expires_at_ms);
            return false;
        }
    };
    if !goes_on {
        encode_expiry(out, key, part.expires_at_ms);
    }
    goes_on
}

/// When a key expires, if it does.
fn encode_expiry(out: &mut Vec<u8>, key: &[u8], expires_at_ms: Option<i64>) {
    if let Some(at) = expires_at_ms {
        let mut digits = itoa::Buffer::new();
        encode_command(out, &[b"PEXPIREAT", key, digits.format(at).as_bytes()]);
    }
}

/// When fields of a hash run out, a command for each time.
fn encode_field_times(out: &mut Vec<u8>, key: &[u8], hash: &Hash) {
    if hash.next_time().is_none() {
        return;
    }
    for (field, _, time) in hash.iter_with_times() {
        if let Some(at) = time {
            encode_field_time(out, key, field, at);
        }
    }
}

fn encode_field_time(out: &mut Vec<u8>, key: &[u8], field: Element<'_>, at: i64) {
    let mut digits = itoa::Buffer::new();
    field.with_bytes(|field| {
        let at = digits.format(at).as_bytes();
        encode_command(out, &[b"HPEXPIREAT", key, at, b"FIELDS", b"1", field]);
    });
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

/// The elements of one part of a key, so many a command. How many there are is known at the end only.
struct Gathered<'a> {
    out: &'a mut Vec<u8>,
    command: &'static [u8],
    key: &'a [u8],
    /// Words of the next command.
    words: Vec<u8>,
    count: usize,
    elements: usize,
}

impl<'a> Gathered<'a> {
    fn new(out: &'a mut Vec<u8>, command: &'static [u8], key: &'a [u8]) -> Self {
        Self {
            out,
            command,
            key,
            words: Vec::new(),
            count: 0,
            elements: 0,
        }
    }

    fn add<const WORDS: usize>(&mut self, words: [Element<'_>; WORDS]) {
        for word in words {
            word.with_bytes(|word| encode_word(&mut self.words, word));
        }
        self.count += WORDS;
        self.elements += 1;
        if self.elements == ELEMENTS_PER_COMMAND {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.count > 0 {
            begin_command(self.out, 2 + self.count);
            encode_word(self.out, self.command);
            encode_word(self.out, self.key);
            self.out.append(&mut self.words);
            (self.count, self.elements) = (0, 0);
        }
    }
}
