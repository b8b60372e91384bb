//! DEBUG DIGEST: a fingerprint of the data, for tests that ask whether two data sets are the same. The 40 digits are those
//! of Redis, whatever server holds the data: SHA-1 over keys and elements, by exclusive or where order plays no part.

use sha1_smol::Sha1;

use crate::keyspace::{Entry, Txn, ValueRef};
use crate::value::listpack::Element;
use crate::value::number::DoubleBuffer;
use crate::value::stream::{Stream, StreamId};

const LEN: usize = 20;
/// Stands in the digest of what has a time to run out at; the time itself does not count.
const EXPIRES: &[u8] = b"!!expire!!";
const FIELD_EXPIRES: &[u8] = b"!!hexpire!!";

fn sha1(bytes: &[u8]) -> [u8; LEN] {
    let mut digest = Sha1::new();
    digest.update(bytes);
    digest.digest().bytes()
}

/// A digest that things are added to; all zeros while there is nothing.
#[derive(Clone, Copy, Default)]
struct Digest([u8; LEN]);

impl Digest {
    /// Adds something that has no place in an order.
    fn add(&mut self, bytes: &[u8]) {
        for (sum, byte) in self.0.iter_mut().zip(sha1(bytes)) {
            *sum ^= byte;
        }
    }

    /// Adds what comes next in an order.
    fn append(&mut self, bytes: &[u8]) {
        self.add(bytes);
        self.0 = sha1(&self.0);
    }

    fn append_number(&mut self, number: u32) {
        self.append(&number.to_be_bytes());
    }

    fn append_element(&mut self, element: Element<'_>) {
        element.with_bytes(|bytes| self.append(bytes));
    }

    fn hexadecimal(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The numbers that types have in a digest.
fn number_of_type(value: &ValueRef<'_>) -> u32 {
    match value {
        ValueRef::String(_) => 0,
        ValueRef::List(_) => 1,
        ValueRef::Set(_) => 2,
        ValueRef::SortedSet(_) => 3,
        ValueRef::Hash(_) => 4,
        ValueRef::Stream(_) => 6,
    }
}

/// Adds a value with its type, whatever its encoding.
fn append_value(digest: &mut Digest, value: ValueRef<'_>) {
    digest.append_number(number_of_type(&value));
    match value {
        ValueRef::String(text) => digest.append_element(text),
        ValueRef::List(list) => list.iter().for_each(|item| digest.append_element(item)),
        ValueRef::Set(set) => {
            for member in set.iter() {
                member.with_bytes(|member| digest.add(member));
            }
        }
        ValueRef::SortedSet(set) => {
            let mut digits = DoubleBuffer::new();
            for (member, score) in set.iter() {
                let mut pair = Digest::default();
                pair.append_element(member);
                pair.append(digits.format(score));
                digest.add(&pair.0);
            }
        }
        ValueRef::Stream(stream) => append_stream(digest, stream),
        ValueRef::Hash(hash) => {
            for (field, value, time) in hash.iter_with_times() {
                let mut pair = Digest::default();
                pair.append_element(field);
                pair.append_element(value);
                if time.is_some() {
                    pair.add(FIELD_EXPIRES);
                }
                digest.add(&pair.0);
            }
        }
    }
}

/// Entries with their fields in order. Groups and the last id play no part.
fn append_stream(digest: &mut Digest, stream: &Stream) {
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        digest.append(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
        for (name, value) in entry.fields() {
            digest.append_element(name);
            digest.append_element(value);
        }
    }
}

/// A key with its value, for the digest of its database.
fn digest_of_entry(entry: &Entry) -> Digest {
    let mut digest = Digest::default();
    digest.append(entry.key());
    append_value(&mut digest, entry.value());
    if entry.expires_at_ms().is_some() {
        digest.add(EXPIRES);
    }
    digest
}

/// The fingerprint of every database; 40 zeros when there is nothing. Every shard has to be locked. O(N).
pub(crate) fn digest_of_everything(txn: &mut Txn<'_>) -> String {
    let mut sum = Digest::default();
    for db in 0..txn.keyspace().databases() {
        txn.in_db(db, |txn| {
            // What has run out counts no more, removed already or not.
            for (index, entry) in txn.entries().enumerate() {
                if index == 0 {
                    sum.append_number(u32::try_from(db).unwrap_or(u32::MAX));
                }
                sum.add(&digest_of_entry(entry).0);
            }
        });
    }
    sum.hexadecimal()
}

/// The fingerprint of one key's value, without its name; 40 zeros when there is none.
pub(super) fn digest_of_key(txn: &Txn<'_>, key: &[u8]) -> String {
    let mut digest = Digest::default();
    if let Some(entry) = txn.peek(key) {
        append_value(&mut digest, entry.value());
        if entry.expires_at_ms().is_some() {
            digest.add(EXPIRES);
        }
    }
    digest.hexadecimal()
}
