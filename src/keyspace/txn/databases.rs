//! Whole databases: sizes, cursors, flushing, expiry, snapshots.

use std::sync::Arc;

use super::Txn;
use crate::keyspace::shard::{Presence, hash_of};
use crate::keyspace::waiter::WaitKey;
use crate::keyspace::{Entry, Expiring, Keyspace, ShardStats, SnapshotSink, ValueRef};

/// These need the locks of every shard; they see the locked ones only.
impl Txn<'_> {
    /// Keys in a database, expired ones that are still stored included.
    #[must_use]
    pub fn db_len(&self, db: usize) -> usize {
        self.guards
            .iter()
            .map(|shard| shard.databases[db].table.len())
            .sum()
    }

    /// Slots of a database's tables, filled or not.
    #[must_use]
    pub fn bucket_count(&self, db: usize) -> usize {
        let tables = self.guards.iter().map(|shard| &shard.databases[db].table);
        tables.map(crate::value::table::Table::bucket_count).sum()
    }

    /// Keys with an expiry in a database.
    #[must_use]
    pub fn expiring_len(&self, db: usize) -> usize {
        self.expiring(db).keys
    }

    /// How many keys of a database run out, and when.
    #[must_use]
    pub fn expiring(&self, db: usize) -> Expiring {
        self.guards
            .iter()
            .map(|shard| shard.databases[db].expiring)
            .sum()
    }

    /// Hashes of which fields run out in a database.
    #[must_use]
    pub fn timed_hashes(&self, db: usize) -> usize {
        self.guards
            .iter()
            .map(|shard| shard.databases[db].timed_hashes)
            .sum()
    }

    /// Every entry of the selected database that has not expired.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.stored_entries().filter(|entry| !self.is_due(entry))
    }

    /// Every entry of the selected database, also those that are still stored though their time has come.
    pub fn stored_entries(&self) -> impl Iterator<Item = &Entry> {
        self.guards
            .iter()
            .flat_map(|shard| shard.databases[self.db].table.iter())
    }

    /// Visits about `count` entries from `cursor` on, expired ones included, and returns the next cursor; 0 begins and
    /// ends. What is there throughout an iteration is visited exactly once.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&Entry)) -> u64 {
        let Some(first) = self.guards.first() else {
            return 0;
        };
        let bits = first.databases[self.db].table.position_bits();
        let mut shard = usize::try_from(cursor >> bits).unwrap_or(usize::MAX);
        let mut position = cursor & ((1 << bits) - 1);
        let mut seen = 0;
        while shard < self.guards.len() {
            let table = &self.guards[shard].databases[self.db].table;
            position = table.scan(position, count - seen, hash_of, |entry| {
                seen += 1;
                visit(entry);
            });
            if position == 0 {
                shard += 1;
            }
            if seen >= count {
                break;
            }
        }
        if shard >= self.guards.len() {
            0
        } else {
            ((shard as u64) << bits) | position
        }
    }

    /// A random key of the selected database, all equally likely.
    #[must_use]
    pub fn random_entry(&self) -> Option<&Entry> {
        let total = self.db_len(self.db);
        if total == 0 {
            return None;
        }
        let mut pick = usize::try_from(self.random() % total as u64).ok()?;
        for shard in &self.guards {
            let table = &shard.databases[self.db].table;
            if pick < table.len() {
                return table.random(&mut || self.keyspace.random());
            }
            pick -= table.len();
        }
        None
    }

    /// Removes the key of the selected database if it has expired.
    pub fn remove_if_expired(&mut self, key: &[u8]) -> bool {
        self.expire_if_due(Keyspace::hash(key), key)
    }

    /// Empties a database; returns how many keys it had. Watchers of its keys are told. `lazily`: what was in it is dropped
    /// outside the locks.
    pub fn flush_db(&mut self, db: usize, lazily: bool) -> usize {
        self.note_watched_replacements(|watched| (watched == db).then_some(None));
        let mut removed = 0;
        for shard in &mut self.guards {
            shard.save_database(db);
            let empty = shard.empty_database();
            let old = std::mem::replace(&mut shard.databases[db], empty);
            removed += old.table.len();
            if lazily && !old.is_empty() {
                self.journal.emptied.push(old);
            }
            let waited = shard.waiters.keys().filter(|name| name.0 == db);
            self.journal.ready.extend(waited.cloned());
        }
        removed
    }

    /// Swaps two databases; watchers of keys that change thereby are told, waiters get their chance.
    pub fn swap_dbs(&mut self, a: usize, b: usize) {
        self.note_watched_replacements(|db| match db {
            _ if db == a => Some(Some(b)),
            _ if db == b => Some(Some(a)),
            _ => None,
        });
        for shard in &mut self.guards {
            let in_either = |name: &&WaitKey| name.0 == a || name.0 == b;
            shard.save_database(a);
            shard.save_database(b);
            shard.databases.swap(a, b);
            self.journal
                .ready
                .extend(shard.waiters.keys().filter(in_either).cloned());
        }
    }

    /// Tells watchers that databases are about to be replaced: `replaced_by` answers with nothing for a database that
    /// stays, or with the one that takes its place (nothing: an empty one).
    fn note_watched_replacements(&mut self, replaced_by: impl Fn(usize) -> Option<Option<usize>>) {
        let mut found = Vec::new();
        for shard in &self.guards {
            for name in shard.watchers.keys() {
                if let Some(other) = replaced_by(name.0) {
                    found.push((name.clone(), other));
                }
            }
        }
        for (name, other) in found {
            let hash = Keyspace::hash(&name.1);
            let before = self.presence(hash, name.0, &name.1);
            let after = other.map_or(Presence::Absent, |db| self.presence(hash, db, &name.1));
            self.shard_mut(hash)
                .note_watched_replacement(&name, before, after);
        }
    }

    /// Removes up to about `limit` expired keys and fields of every database in the locked shards; returns how many.
    pub fn expire_due(&mut self, limit: usize) -> usize {
        let before = self.db;
        let mut removed = 0;
        for db in 0..self.keyspace.databases() {
            self.db = db;
            for slot in 0..self.guards.len() {
                if removed < limit && self.guards[slot].databases[db].has_times() {
                    removed += self.expire_due_in(slot, limit - removed);
                }
            }
        }
        self.db = before;
        removed
    }

    fn expire_due_in(&mut self, slot: usize, limit: usize) -> usize {
        let (db, now_ms) = (self.db, self.now_ms);
        let positions: Vec<u64> = self.guards[slot].databases[db]
            .table
            .segments_due(now_ms)
            .collect();
        let mut due: Vec<Box<[u8]>> = Vec::new();
        let mut hashes: Vec<Box<[u8]>> = Vec::new();
        for position in positions {
            let table = &mut self.guards[slot].databases[db].table;
            let Some((id, _)) = table.segment_at(position) else {
                continue;
            };
            let mut next = i64::MAX;
            for entry in table.segment_iter(id) {
                let has_room = due.len() + hashes.len() < limit;
                match entry.expires_at_ms() {
                    Some(at) if at < now_ms && has_room => {
                        due.push(entry.key().into());
                        continue;
                    }
                    Some(at) => next = next.min(at),
                    None => {}
                }
                if entry.has_due_fields(now_ms) && has_room {
                    hashes.push(entry.key().into());
                } else if let ValueRef::Hash(hash) = entry.value() {
                    next = next.min(hash.next_time().unwrap_or(i64::MAX));
                }
            }
            table.set_next_expiry(id, next);
            if due.len() + hashes.len() >= limit {
                break;
            }
        }
        for key in &due {
            self.expire(Keyspace::hash(key), key);
        }
        let mut removed = due.len();
        for key in &hashes {
            // At least one of each, since the bound of its segment speaks of those only that are left.
            let room = limit.saturating_sub(removed).max(1);
            removed += self.expire_fields(Keyspace::hash(key), key, room);
        }
        removed
    }

    /// When the next key of the locked shards, or field of one, may run out, in Unix milliseconds; a lower bound.
    #[must_use]
    pub fn next_expiry_ms(&self) -> Option<i64> {
        let databases = self.guards.iter().flat_map(|shard| &shard.databases);
        databases
            .filter(|db| db.has_times())
            .map(|db| db.table.min_next_expiry())
            .min()
    }

    /// Begins a snapshot of the data as it is now. Every shard has to be locked.
    pub fn begin_snapshot(&mut self, sink: &Arc<dyn SnapshotSink>) {
        debug_assert!(self.holds_all());
        self.guards
            .iter_mut()
            .for_each(|shard| shard.begin_snapshot(Arc::clone(sink)));
    }

    /// Gives up the snapshot of the locked shards.
    pub fn end_snapshot(&mut self) {
        self.guards
            .iter_mut()
            .for_each(|shard| shard.end_snapshot());
    }

    /// Counters of all locked shards together.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        self.guards
            .iter()
            .fold(ShardStats::default(), |sum, shard| ShardStats {
                hits: sum.hits + shard.stats.hits,
                misses: sum.misses + shard.stats.misses,
                expired: sum.expired + shard.stats.expired,
                expired_fields: sum.expired_fields + shard.stats.expired_fields,
            })
    }

    /// Keys that somebody watches, in the shards that are locked.
    #[must_use]
    pub fn watched_keys(&self) -> usize {
        let shards = self.guards.iter();
        shards.map(|shard| shard.watchers.len()).sum()
    }

    /// Sets the counters of all locked shards to zero.
    pub fn reset_stats(&mut self) {
        self.guards
            .iter_mut()
            .for_each(|shard| shard.stats = ShardStats::default());
    }
}
