//! Changing entries and values.

use super::{LARGE_VALUE, Txn, UNLINKED_VALUE, WrongType};
use crate::keyspace::lease::Lease;
use crate::keyspace::shard::hash_of;
use crate::keyspace::{Entry, EventClass, Keyspace, Value, ValueRef};
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::stream::Stream;
use crate::value::zset::SortedSet;

impl Txn<'_> {
    /// The key, for a command that changes it in place; expired keys are removed first.
    pub fn entry_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let hash = self.hint.of(key);
        let id = self.find_live(hash, key)?;
        let (db, now_ms, keyspace) = (self.db, self.now_ms, self.keyspace);
        let shard = self.changing_elements(hash);
        let clock = shard.limits.access;
        let entry = shard.databases[db].table.get_mut(id)?;
        entry.touch(clock.used(entry.access(), now_ms, || keyspace.random()));
        Some(entry)
    }

    /// The list at `key`, to be changed.
    pub fn list_mut(&mut self, key: &[u8]) -> Result<Option<&mut List>, WrongType> {
        self.entry_mut(key)
            .map(|entry| entry.list_mut().ok_or(WrongType))
            .transpose()
    }

    /// The hash at `key`, to be changed.
    pub fn hash_mut(&mut self, key: &[u8]) -> Result<Option<Lease<'_, Hash>>, WrongType> {
        self.remove_due_fields(key);
        self.entry_mut(key)
            .map(|entry| entry.hash_mut().ok_or(WrongType))
            .transpose()
    }

    /// The set at `key`, to be changed.
    pub fn set_mut(&mut self, key: &[u8]) -> Result<Option<Lease<'_, Set>>, WrongType> {
        self.entry_mut(key)
            .map(|entry| entry.set_mut().ok_or(WrongType))
            .transpose()
    }

    /// The sorted set at `key`, to be changed.
    pub fn sorted_set_mut(&mut self, key: &[u8]) -> Result<Option<&mut SortedSet>, WrongType> {
        self.entry_mut(key)
            .map(|entry| entry.sorted_set_mut().ok_or(WrongType))
            .transpose()
    }

    /// The stream at `key`, to be changed.
    pub fn stream_mut(&mut self, key: &[u8]) -> Result<Option<&mut Stream>, WrongType> {
        self.entry_mut(key)
            .map(|entry| entry.stream_mut().ok_or(WrongType))
            .transpose()
    }

    /// The list at `key`, made if there is none. The caller fills a new one before it returns.
    pub fn list_or_new(&mut self, key: &[u8]) -> Result<&mut List, WrongType> {
        self.existing_or(key, |key| Entry::new(key, List::new().into(), None))
            .list_mut()
            .ok_or(WrongType)
    }

    /// The hash at `key`, made if there is none. The caller fills a new one before it returns.
    pub fn hash_or_new(&mut self, key: &[u8]) -> Result<Lease<'_, Hash>, WrongType> {
        self.remove_due_fields(key);
        self.existing_or(key, Entry::empty_hash)
            .hash_mut()
            .ok_or(WrongType)
    }

    /// The set at `key`, made if there is none. The caller fills a new one before it returns.
    pub fn set_or_new(&mut self, key: &[u8]) -> Result<Lease<'_, Set>, WrongType> {
        self.existing_or(key, Entry::empty_set)
            .set_mut()
            .ok_or(WrongType)
    }

    /// The sorted set at `key`, made if there is none. The caller fills a new one before it returns.
    pub fn sorted_set_or_new(&mut self, key: &[u8]) -> Result<&mut SortedSet, WrongType> {
        self.existing_or(key, |key| Entry::new(key, SortedSet::new().into(), None))
            .sorted_set_mut()
            .ok_or(WrongType)
    }

    /// The stream at `key`, made if there is none.
    pub fn stream_or_new(&mut self, key: &[u8]) -> Result<&mut Stream, WrongType> {
        self.existing_or(key, |key| Entry::new(key, Stream::new().into(), None))
            .stream_mut()
            .ok_or(WrongType)
    }

    fn existing_or(&mut self, key: &[u8], make: impl FnOnce(&[u8]) -> Entry) -> &mut Entry {
        let hash = self.hint.of(key);
        let (db, now_ms, keyspace) = (self.db, self.now_ms, self.keyspace);
        let found = self.find_live(hash, key);
        if found.is_none() {
            self.notify(EventClass::NEW, "new", key);
        }
        let shard = self.changing_elements(hash);
        let clock = shard.limits.access;
        let table = &mut shard.databases[db].table;
        let Some(id) = found else {
            let entry = table.insert_unique(hash, make(key), hash_of);
            entry.touch(clock.born(now_ms));
            return entry;
        };
        let entry = table.get_mut(id).expect("an entry just found is there");
        entry.touch(clock.used(entry.access(), now_ms, || keyspace.random()));
        entry
    }

    /// Sets the key to a value of any type; an old value and its expiry are gone.
    pub fn insert(&mut self, key: &[u8], value: Value, expires_at_ms: Option<i64>) {
        self.insert_entry(key, Entry::new(key, value, expires_at_ms));
    }

    /// Puts the result of a command in the place of whatever the key holds, and tells of the change. As in Redis it wakes
    /// nobody that waits for the key where it held something else, but those for whom a stream goes.
    pub fn insert_result(
        &mut self,
        key: &[u8],
        result: Value,
        class: EventClass,
        event: &'static str,
    ) {
        let old = self.peek(key).map(Entry::value);
        let awaited = matches!(old, None | Some(ValueRef::Stream(_)));
        self.insert(key, result, None);
        if awaited {
            self.changed(class, event, key);
        } else {
            self.changed_unawaited(class, event, key);
        }
    }

    /// Sets the key to a string, integers recognised; an old value and its expiry are gone.
    pub fn insert_string(&mut self, key: &[u8], bytes: &[u8], expires_at_ms: Option<i64>) {
        let hash = self.hint.of(key);
        let (db, keyspace) = (self.db, self.keyspace);
        let (now_ms, keep) = (self.now_ms, self.options.keep_expired);
        let shard = self.changing_elements(hash);
        let clock = shard.limits.access;
        let database = &mut shard.databases[db];
        if let Some(entry) = database.table.find_mut(hash, |entry| entry.key() == key)
            && entry.expires_at_ms().is_some() == expires_at_ms.is_some()
            && (keep || entry.expires_at_ms().is_none_or(|at| at >= now_ms))
            && entry.overwrite_string(bytes)
        {
            entry.touch(clock.used(entry.access(), now_ms, || keyspace.random()));
            if expires_at_ms.is_some() {
                database.expiring.remove(entry.expires_at_ms());
                database.expiring.add(expires_at_ms);
                entry.set_expires_at_ms(expires_at_ms);
                self.lower_next_expiry(hash, expires_at_ms);
            }
            return;
        }
        self.insert_entry(key, Entry::new_string(key, bytes, expires_at_ms));
    }

    pub(super) fn lower_next_expiry(&mut self, hash: u64, at: Option<i64>) {
        let db = self.db;
        if let Some(at) = at {
            self.note_expiry(at);
            self.shard_mut(hash).databases[db]
                .table
                .lower_next_expiry(hash, at);
        }
    }

    fn note_expiry(&mut self, at: i64) {
        let earliest = self.journal.earliest_expiry_ms.get_or_insert(at);
        *earliest = at.min(*earliest);
    }

    fn insert_entry(&mut self, key: &[u8], mut entry: Entry) {
        let hash = self.hint.of(key);
        let (db, now_ms, keyspace) = (self.db, self.now_ms, self.keyspace);
        let at = entry.expires_at_ms();
        let shard = self.changing_elements(hash);
        let clock = shard.limits.access;
        entry.touch(clock.born(now_ms));
        let database = &mut shard.databases[db];
        if let Some(place) = database.table.find_mut(hash, |entry| entry.key() == key) {
            entry.touch(clock.used(place.access(), now_ms, || keyspace.random()));
            let old = std::mem::replace(place, entry);
            let field_at = place.note_field_times();
            database.expiring.remove(old.expires_at_ms());
            database.expiring.add(at);
            database.timed_hashes = database.timed_hashes + usize::from(field_at.is_some())
                - usize::from(old.has_field_times());
            self.lower_next_expiry(hash, at);
            self.lower_next_expiry(hash, field_at);
            if self.is_due(&old) {
                self.note_expired(hash, key);
                self.notify(EventClass::NEW, "new", key);
            }
            self.discard(hash, old);
        } else {
            if let Some(at) = database.insert(hash, entry) {
                self.note_expiry(at);
            }
            self.notify(EventClass::NEW, "new", key);
        }
    }

    /// Adds a key that is loaded, with its access clock where that was kept; false if it is there already. Nobody is told.
    pub fn insert_loaded(&mut self, key: &[u8], mut entry: Entry, access: Option<u32>) -> bool {
        let hash = self.hint.of(key);
        let (db, now_ms) = (self.db, self.now_ms);
        let shard = self.changing(hash);
        entry.touch(access.unwrap_or_else(|| shard.limits.access.born(now_ms)));
        let database = &mut shard.databases[db];
        if database.find(hash, key).is_some() {
            return false;
        }
        database.insert(hash, entry);
        true
    }

    /// Makes room for about so many keys of the selected database, if it is empty.
    pub fn expect_keys(&mut self, count: usize) {
        let (db, share) = (self.db, count / self.keyspace.shard_count());
        for shard in &mut self.guards {
            shard.databases[db].table.expect(share);
        }
    }

    /// Sets the access clock of a key, as it was brought along.
    pub fn set_access(&mut self, key: &[u8], clock: u32) {
        let (hash, db) = (Keyspace::hash(key), self.db);
        let table = &mut self.changing(hash).databases[db].table;
        if let Some(entry) = table.find_mut(hash, |entry| entry.key() == key) {
            entry.touch(clock);
        }
    }

    /// Removes the key; false if there was none (or it had expired).
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.hint.of(key);
        if self.expire_if_due(hash, key) {
            return false;
        }
        let db = self.db;
        match self.changing_elements(hash).databases[db].remove(hash, key) {
            Some(entry) => {
                self.discard(hash, entry);
                true
            }
            None => false,
        }
    }

    /// The same; a value of some size is dropped on the background thread.
    pub fn unlink(&mut self, key: &[u8]) -> bool {
        let Some(entry) = self.peek(key) else {
            return self.remove(key);
        };
        let size = entry.value().heap_size();
        if !(UNLINKED_VALUE..LARGE_VALUE).contains(&size) {
            return self.remove(key);
        }
        let taken = self.take(key);
        self.journal.discarded.extend(taken.map(|(value, _)| value));
        true
    }

    /// Removes the key and returns its value and expiry.
    pub fn take(&mut self, key: &[u8]) -> Option<(Value, Option<i64>)> {
        let hash = self.hint.of(key);
        if self.expire_if_due(hash, key) {
            return None;
        }
        let db = self.db;
        let entry = self.changing(hash).databases[db].remove(hash, key)?;
        let at = entry.expires_at_ms();
        Some((entry.into_value(), at))
    }

    /// Removes the key if its collection is empty, with the event `del`; true if it did.
    pub fn remove_if_empty(&mut self, key: &[u8]) -> bool {
        let empty = self.peek(key).is_some_and(|entry| match entry.value() {
            // A stream without entries has still its groups, and its last id.
            ValueRef::String(_) | ValueRef::Stream(_) => false,
            ValueRef::List(list) => list.is_empty(),
            ValueRef::Hash(hash) => hash.is_empty(),
            ValueRef::Set(set) => set.is_empty(),
            ValueRef::SortedSet(set) => set.is_empty(),
        });
        if empty {
            self.remove(key);
            self.notify(EventClass::GENERIC, "del", key);
        }
        empty
    }

    /// Sets or removes the key's expiry, in Unix milliseconds; false if there is no such key. A time that has passed
    /// is the caller's to handle (EXPIRE deletes the key).
    pub fn set_expiry(&mut self, key: &[u8], at: Option<i64>) -> bool {
        let hash = self.hint.of(key);
        if self.expire_if_due(hash, key) {
            return false;
        }
        let db = self.db;
        if let Some(at) = at {
            self.note_expiry(at);
        }
        self.changing_elements(hash).databases[db].set_expiry(hash, key, at)
    }

    /// Removes a key of the selected database to make room; returns how many bytes that frees, or nothing if the key is
    /// gone, or has lost its expiry and `volatile` keys alone may go. Logged as DEL, or as UNLINK if freed `lazily`. The
    /// value is left in the journal, to be dropped with nothing locked.
    pub fn evict(&mut self, key: &[u8], volatile: bool, lazily: bool) -> Option<usize> {
        let hash = Keyspace::hash(key);
        let db = self.db;
        let entry = self.shard(hash).databases[db].find(hash, key)?;
        if volatile && entry.expires_at_ms().is_none() {
            return None;
        }
        let entry = self.changing_elements(hash).databases[db].remove(hash, key)?;
        let freed = entry.memory();
        if !entry.is_string()
            && let Some(entry) = self.hand_over(hash, entry)
        {
            self.journal.discarded.push(entry.into_value());
        }
        let removal: &[u8] = if lazily { b"UNLINK" } else { b"DEL" };
        if self.options.propagate {
            self.journal.effects.push(db, &[removal, key]);
        }
        self.note_change(hash, key, false);
        self.notify(EventClass::EVICTED, "evicted", key);
        Some(freed)
    }

    /// Drops an entry that was removed from the selected database, a large one on the background thread. A snapshot that
    /// needs more of it has it first.
    pub(super) fn discard(&mut self, hash: u64, entry: Entry) {
        if entry.is_string() {
            return;
        }
        if let Some(entry) = self.hand_over(hash, entry)
            && entry.value().heap_size() >= LARGE_VALUE
        {
            self.journal.discarded.push(entry.into_value());
        }
    }

    fn hand_over(&mut self, hash: u64, entry: Entry) -> Option<Entry> {
        let db = self.db;
        let shard = self.shard_mut(hash);
        match shard.snapshot {
            Some(_) => shard.hand_over(db, hash, entry),
            None => Some(entry),
        }
    }

    /// Moves a value that may be slow to drop to the background thread.
    pub fn discard_value(&mut self, value: Value) {
        self.journal.discarded.push(value);
    }
}
