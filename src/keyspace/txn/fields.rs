//! Fields of hashes that run out.

use super::Txn;
use crate::keyspace::{Entry, EventClass, ValueRef};
use crate::value::hash::Hash;

/// Fields that one command of the log removes at most.
const FIELDS_PER_EFFECT: usize = 64;

impl Txn<'_> {
    /// Removes the fields of a hash whose time has come. What reads or changes a hash begins with it; where no hash has
    /// times it costs a look at a number.
    #[inline]
    pub fn remove_due_fields(&mut self, key: &[u8]) {
        let hash = self.hint.of(key);
        if self.shard(hash).databases[self.db].timed_hashes > 0 {
            self.remove_due_fields_of(hash, key);
        }
    }

    fn remove_due_fields_of(&mut self, hash: u64, key: &[u8]) {
        if self.has_due_fields(key) {
            self.expire_fields(hash, key, usize::MAX);
        }
    }

    pub(super) fn has_due_fields(&self, key: &[u8]) -> bool {
        let due = |entry: &Entry| !self.is_due(entry) && entry.has_due_fields(self.now_ms);
        !self.options.keep_expired && self.stored(key).is_some_and(due)
    }

    /// What is left of a hash, if anything, where nothing may be removed: a copy. O(fields).
    pub(super) fn hash_without_due_fields(&mut self, key: &[u8]) -> Option<&Hash> {
        let ValueRef::Hash(hash) = self.read(key)?.value() else {
            return None;
        };
        let mut left = Hash::clone(&hash);
        left.remove_due(self.now_ms, usize::MAX);
        let left = (!left.is_empty()).then(|| Box::new(left));
        self.left_of_hash = left;
        self.left_of_hash.as_deref()
    }

    /// Removes up to `limit` due fields, and the hash with the last of its fields; returns how many.
    pub(super) fn expire_fields(&mut self, hash: u64, key: &[u8], limit: usize) -> usize {
        if self.options.frozen {
            return 0;
        }
        let (db, now_ms) = (self.db, self.now_ms);
        let database = &mut self.changing_elements(hash).databases[db];
        let entry = database.table.find_mut(hash, |entry| entry.key() == key);
        let Some(mut fields) = entry.and_then(Entry::hash_mut) else {
            return 0;
        };
        let removed = fields.whole().remove_due(now_ms, limit);
        let emptied = fields.view().is_empty();
        drop(fields);
        if removed.is_empty() {
            return 0;
        }
        self.note_field_times(key);
        if emptied && let Some(entry) = self.changing(hash).databases[db].remove(hash, key) {
            self.discard(hash, entry);
        }
        self.shard_mut(hash).stats.expired_fields += removed.len() as u64;
        if self.options.propagate {
            for fields in removed.chunks(FIELDS_PER_EFFECT) {
                let mut words: Vec<&[u8]> = vec![b"HDEL", key];
                words.extend(fields.iter().map(|field| &**field));
                self.journal.effects.push(db, &words);
            }
        }
        self.note_change(hash, key, false);
        self.notify(EventClass::HASH, "hexpired", key);
        if emptied {
            self.notify(EventClass::GENERIC, "del", key);
        }
        removed.len()
    }

    /// To be called after a change to the times of a hash's fields.
    pub fn note_field_times(&mut self, key: &[u8]) {
        let (hash, db) = (self.hint.of(key), self.db);
        let database = &mut self.shard_mut(hash).databases[db];
        let Some(entry) = database.table.find_mut(hash, |entry| entry.key() == key) else {
            return;
        };
        let before = entry.has_field_times();
        let next = entry.note_field_times();
        database.timed_hashes =
            database.timed_hashes + usize::from(next.is_some()) - usize::from(before);
        self.lower_next_expiry(hash, next);
    }
}
