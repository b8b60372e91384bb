//! A fingerprint of the data, for tests that ask whether two data sets are the same: SHA-1 over keys and elements, in
//! an order that does not depend on how they are stored.

use sha1_smol::Sha1;

use crate::keyspace::{Entry, Txn, ValueRef};
use crate::value::listpack::Element;
use crate::value::number::format_double;
use crate::value::stream::{Stream, StreamId};

const LEN: usize = 20;

/// A sum of digests in which order plays no part: each is mixed in by exclusive or.
#[derive(Default)]
struct Unordered([u8; LEN]);

impl Unordered {
    fn add(&mut self, digest: [u8; LEN]) {
        for (sum, byte) in self.0.iter_mut().zip(digest) {
            *sum ^= byte;
        }
    }
}

/// Parts of a text, each with its length, so that none runs into the next.
fn digest_of(parts: &[&[u8]]) -> [u8; LEN] {
    let mut digest = Sha1::new();
    for part in parts {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.digest().bytes()
}

fn with_bytes(element: Element<'_>, digest: &mut Unordered, then: impl Fn(&[u8]) -> [u8; LEN]) {
    digest.add(element.with_bytes(then));
}

/// The same for equal values, whatever their encoding.
fn digest_of_value(value: ValueRef<'_>) -> [u8; LEN] {
    let mut unordered = Unordered::default();
    match value {
        ValueRef::String(text) => return text.with_bytes(|text| digest_of(&[b"string", text])),
        ValueRef::List(list) => {
            let mut digest = digest_of(&[b"list"]);
            for item in list.iter() {
                digest = item.with_bytes(|item| digest_of(&[&digest, item]));
            }
            return digest;
        }
        ValueRef::Set(set) => {
            for member in set.iter() {
                with_bytes(member, &mut unordered, |member| {
                    digest_of(&[b"set", member])
                });
            }
        }
        ValueRef::SortedSet(set) => {
            for (member, score) in set.iter() {
                let mut text = Vec::new();
                format_double(score, &mut text);
                with_bytes(member, &mut unordered, |member| {
                    digest_of(&[b"zset", member, &text])
                });
            }
        }
        ValueRef::Stream(stream) => return digest_of_stream(stream),
        ValueRef::Hash(hash) => {
            for (field, value, time) in hash.iter_with_times() {
                let value = value.to_vec();
                let expires: &[u8] = if time.is_some() { b"expires" } else { b"" };
                with_bytes(field, &mut unordered, |field| {
                    digest_of(&[b"hash", field, &value, expires])
                });
            }
        }
    }
    digest_of(&[&unordered.0])
}

/// Entries with their fields in order, and the last id. Groups play no part, as in Redis.
fn digest_of_stream(stream: &Stream) -> [u8; LEN] {
    let last_id = stream.state().last_id.to_bytes();
    let mut digest = digest_of(&[b"stream", &last_id]);
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        digest = digest_of(&[&digest, &entry.id.to_bytes()]);
        for (name, value) in entry.fields() {
            let value = value.to_vec();
            digest = name.with_bytes(|name| digest_of(&[&digest, name, &value]));
        }
    }
    digest
}

fn digest_of_entry(db: usize, entry: &Entry) -> [u8; LEN] {
    let expires: &[u8] = if entry.expires_at_ms().is_some() {
        b"expires"
    } else {
        b""
    };
    let db = (db as u64).to_le_bytes();
    digest_of(&[&db, entry.key(), &digest_of_value(entry.value()), expires])
}

fn hexadecimal(digest: [u8; LEN]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fingerprint of every database; 40 zeros when there is nothing. Every shard has to be locked. O(N).
pub(super) fn digest_of_everything(txn: &mut Txn<'_>) -> String {
    let mut sum = Unordered::default();
    for db in 0..txn.keyspace().databases() {
        txn.in_db(db, |txn| {
            let now = txn.now_ms();
            let alive = |entry: &&Entry| entry.expires_at_ms().is_none_or(|at| at >= now);
            txn.entries()
                .filter(alive)
                .for_each(|entry| sum.add(digest_of_entry(db, entry)));
        });
    }
    hexadecimal(sum.0)
}

/// The fingerprint of one key's value, without its name and expiry; 40 zeros when there is none.
pub(super) fn digest_of_key(txn: &Txn<'_>, key: &[u8]) -> String {
    let digest = txn.peek(key).map(|entry| digest_of_value(entry.value()));
    hexadecimal(digest.unwrap_or_default())
}
