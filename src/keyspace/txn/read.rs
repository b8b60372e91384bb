//! Reading: lookups that see what is due as gone.

use super::{Txn, WrongType};
use crate::keyspace::{Entry, EventClass, Keyspace, ValueRef};
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::listpack::Element;
use crate::value::set::Set;
use crate::value::stream::Stream;
use crate::value::table::EntryId;
use crate::value::view::View;
use crate::value::zset::SortedSet;

impl Txn<'_> {
    /// Whether the time of an entry has come, so that whoever looks for its key finds none.
    #[must_use]
    pub fn is_due(&self, entry: &Entry) -> bool {
        !self.options.keep_expired && entry.expires_at_ms().is_some_and(|at| at < self.now_ms)
    }

    /// Removes the key if its time has come; true if so.
    pub(super) fn expire_if_due(&mut self, hash: u64, key: &[u8]) -> bool {
        let due = self.shard(hash).databases[self.db]
            .find(hash, key)
            .is_some_and(|entry| self.is_due(entry));
        if due {
            self.expire(hash, key);
        }
        due
    }

    /// Where the key is; it is removed instead if its time has come.
    pub(super) fn find_live(&mut self, hash: u64, key: &[u8]) -> Option<EntryId> {
        let table = &self.shard(hash).databases[self.db].table;
        let id = table.find_id(hash, |entry| entry.key() == key)?;
        if table.get(id).is_some_and(|entry| self.is_due(entry)) {
            self.expire(hash, key);
            return None;
        }
        Some(id)
    }

    pub(super) fn expire(&mut self, hash: u64, key: &[u8]) {
        if self.options.frozen {
            return;
        }
        let db = self.db;
        if let Some(entry) = self.changing_elements(hash).databases[db].remove(hash, key) {
            self.discard(hash, entry);
        }
        self.note_expired(hash, key);
    }

    pub(super) fn note_expired(&mut self, hash: u64, key: &[u8]) {
        self.shard_mut(hash).stats.expired += 1;
        if self.options.propagate {
            self.journal.effects.push(self.db, &[b"DEL", key]);
        }
        self.note_change(hash, key, false);
        self.notify(EventClass::EXPIRED, "expired", key);
    }

    /// The key, with no side effect at all; what has expired is not seen. Several can be held at a time.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<&Entry> {
        self.stored(key).filter(|entry| !self.is_due(entry))
    }

    /// The key as it is stored, also when its time has come.
    #[must_use]
    pub fn stored(&self, key: &[u8]) -> Option<&Entry> {
        let hash = self.hint.of(key);
        self.shard(hash).databases[self.db].find(hash, key)
    }

    /// The key, for a command that reads it: removes it if it has expired, counts hit or miss, touches it.
    pub fn read(&mut self, key: &[u8]) -> Option<&Entry> {
        self.read_entry(key, true)
    }

    /// Like [`Self::read`], without touching the key's access clock.
    pub fn read_untouched(&mut self, key: &[u8]) -> Option<&Entry> {
        self.read_entry(key, false)
    }

    /// Like [`Self::read_untouched`], without an event for a key that is missing.
    pub fn inspect(&mut self, key: &[u8]) -> Option<&Entry> {
        self.remove_if_expired(key);
        let found = self.peek(key).is_some();
        let slot = self.slot(Keyspace::hash(key));
        let stats = &mut self.guards[slot].stats;
        if found {
            stats.hits += 1;
        } else {
            stats.misses += 1;
        }
        self.peek(key)
    }

    fn read_entry(&mut self, key: &[u8], touch: bool) -> Option<&Entry> {
        let hash = self.hint.of(key);
        let (db, now_ms, keep) = (self.db, self.now_ms, self.options.keep_expired);
        let slot = self.slot(hash);
        let found = self.guards[slot].databases[db]
            .table
            .find_id(hash, |entry| entry.key() == key);
        let at = found.and_then(|id| {
            let table = &self.guards[slot].databases[db].table;
            table.get(id).and_then(Entry::expires_at_ms)
        });
        let due = !keep && at.is_some_and(|at| at < now_ms);
        // A script may come to it for which it is not.
        if due && at < Some(self.keyspace.script_now_ms()) {
            self.expire(hash, key);
        }
        let Some(id) = found.filter(|_| !due) else {
            self.guards[slot].stats.misses += 1;
            self.notify(EventClass::KEY_MISS, "keymiss", key);
            return None;
        };
        let keyspace = self.keyspace;
        let shard = &mut *self.guards[slot];
        shard.stats.hits += 1;
        let clock = shard.limits.access;
        let entry = shard.databases[db].table.get_mut(id)?;
        if touch {
            entry.touch(clock.used(entry.access(), now_ms, || keyspace.random()));
        }
        Some(entry)
    }

    /// The string at `key`.
    pub fn string(&mut self, key: &[u8]) -> Result<Option<Element<'_>>, WrongType> {
        match self.read(key).map(Entry::value) {
            None => Ok(None),
            Some(ValueRef::String(text)) => Ok(Some(text)),
            Some(_) => Err(WrongType),
        }
    }

    /// The list at `key`.
    pub fn list(&mut self, key: &[u8]) -> Result<Option<&List>, WrongType> {
        match self.read(key).map(Entry::value) {
            None => Ok(None),
            Some(ValueRef::List(list)) => Ok(Some(list)),
            Some(_) => Err(WrongType),
        }
    }

    /// The hash at `key`.
    pub fn hash(&mut self, key: &[u8]) -> Result<Option<View<'_, Hash>>, WrongType> {
        if self.options.frozen && self.has_due_fields(key) {
            return Ok(self.hash_without_due_fields(key).map(View::Whole));
        }
        self.remove_due_fields(key);
        match self.read(key).map(Entry::value) {
            None => Ok(None),
            Some(ValueRef::Hash(hash)) => Ok(Some(hash)),
            Some(_) => Err(WrongType),
        }
    }

    /// The set at `key`.
    pub fn set(&mut self, key: &[u8]) -> Result<Option<View<'_, Set>>, WrongType> {
        match self.read(key).map(Entry::value) {
            None => Ok(None),
            Some(ValueRef::Set(set)) => Ok(Some(set)),
            Some(_) => Err(WrongType),
        }
    }

    /// The sorted set at `key`.
    pub fn sorted_set(&mut self, key: &[u8]) -> Result<Option<&SortedSet>, WrongType> {
        match self.read(key).map(Entry::value) {
            None => Ok(None),
            Some(ValueRef::SortedSet(set)) => Ok(Some(set)),
            Some(_) => Err(WrongType),
        }
    }

    /// The stream at `key`.
    pub fn stream(&mut self, key: &[u8]) -> Result<Option<&Stream>, WrongType> {
        match self.read(key).map(Entry::value) {
            None => Ok(None),
            Some(ValueRef::Stream(stream)) => Ok(Some(stream)),
            Some(_) => Err(WrongType),
        }
    }
}
