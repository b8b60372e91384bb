//! One shard: its part of every database, and who waits for or watches its keys. Everything here is under its lock.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use hashbrown::{HashMap, HashSet};

use super::access::AccessClock;
use super::parts::{PART_BYTES, Part, Parted};
use super::waiter::{KeyRef, WaitKey, Waiter, WatchFlag};
use super::{Entry, Keyspace};
use crate::value::hash::HashLimits;
use crate::value::list::ListLimits;
use crate::value::set::SetLimits;
use crate::value::stream::StreamLimits;
use crate::value::table::{Segment, SegmentId, Stored, Table};
use crate::value::zset::ZSetLimits;

/// When a value leaves its compact form, and how long a string may be. Each shard has a copy, so that reading it
/// costs no lock.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `list-max-listpack-size`, `list-compress-depth`.
    pub list: ListLimits,
    /// `hash-max-listpack-entries`, `hash-max-listpack-value`.
    pub hash: HashLimits,
    /// `set-max-intset-entries`, `set-max-listpack-entries`, `set-max-listpack-value`.
    pub set: SetLimits,
    /// `zset-max-listpack-entries`, `zset-max-listpack-value`.
    pub sorted_set: ZSetLimits,
    /// `stream-node-max-bytes`, `stream-node-max-entries`.
    pub stream: StreamLimits,
    /// `hll-sparse-max-bytes`: how long a HyperLogLog may get in its sparse form.
    pub max_sparse_hyperloglog: usize,
    /// `proto-max-bulk-len`, in bytes: the longest string.
    pub max_string: usize,
    /// How entries note that they are used: `maxmemory-policy`, `lfu-log-factor`, `lfu-decay-time`.
    pub access: AccessClock,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            list: ListLimits {
                max_listpack_size: -2,
                compress_depth: 0,
                packed_threshold: 1 << 30,
            },
            hash: HashLimits {
                max_listpack_entries: 128,
                max_listpack_value: 64,
            },
            set: SetLimits {
                max_intset_entries: 512,
                max_listpack_entries: 128,
                max_listpack_value: 64,
            },
            sorted_set: ZSetLimits {
                max_listpack_entries: 128,
                max_listpack_value: 64,
            },
            stream: StreamLimits::default(),
            max_sparse_hyperloglog: 3000,
            max_string: 512 << 20,
            access: AccessClock::default(),
        }
    }
}

/// Receives the data as it was when a snapshot began, in no order: what is about to change, and the rest of each segment
/// of a table at once.
pub trait SnapshotSink: std::fmt::Debug + Send + Sync {
    /// Takes some entries. Called with the shard locked: it must not wait.
    fn save(&self, db: usize, entries: &mut dyn Iterator<Item = &Entry>);

    /// Takes the next part of a large value, as [`Self::save`] is called; whether it was the last one. All parts together are
    /// the value as it was when the snapshot began.
    fn save_part(&self, part: Part<'_>) -> bool;

    /// Whether the members of a sorted set are wanted from the last to the first.
    fn wants_descending(&self) -> bool {
        false
    }
}

/// A snapshot that is being taken of a shard.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) sink: Arc<dyn SnapshotSink>,
    /// Segments of this epoch are written out, or younger than the snapshot.
    pub(super) epoch: u32,
}

/// What INFO counts, a part for each shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShardStats {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys that expired.
    pub expired: u64,
    /// Fields of hashes that ran out.
    pub expired_fields: u64,
}

/// How many keys run out, and when on average.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Expiring {
    /// How many.
    pub keys: usize,
    /// The sum of their times in milliseconds: too much for 64 bits from some millions of keys on.
    sum_ms: i128,
}

impl Expiring {
    /// Counts a key, if it runs out.
    pub(super) fn add(&mut self, at: Option<i64>) {
        self.keys += usize::from(at.is_some());
        self.sum_ms += i128::from(at.unwrap_or(0));
    }

    /// Counts a key no longer.
    pub(super) fn remove(&mut self, at: Option<i64>) {
        self.keys -= usize::from(at.is_some());
        self.sum_ms -= i128::from(at.unwrap_or(0));
    }

    /// Milliseconds that are left on average; 0 where there are no such keys, or they are all due.
    #[must_use]
    pub fn average_ttl_ms(&self, now_ms: i64) -> u64 {
        let keys = i128::try_from(self.keys.max(1)).unwrap_or(i128::MAX);
        let left = self.sum_ms / keys - i128::from(now_ms);
        u64::try_from(left).unwrap_or(0)
    }
}

impl std::iter::Sum for Expiring {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            keys: sum.keys + part.keys,
            sum_ms: sum.sum_ms + part.sum_ms,
        })
    }
}

/// A shard's part of one database.
#[derive(Debug)]
pub struct Database {
    pub(super) table: Table<Entry>,
    /// Keys with an expiry.
    pub(super) expiring: Expiring,
    /// Hashes of which fields run out.
    pub(super) timed_hashes: usize,
}

impl Database {
    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One part of the keyspace.
#[derive(Debug)]
pub struct Shard {
    pub(super) databases: Vec<Database>,
    pub(super) waiters: HashMap<WaitKey, VecDeque<Arc<Waiter>>>,
    pub(super) watchers: HashMap<WaitKey, Vec<Watcher>>,
    /// Whether anybody wants to know of every key that changes.
    pub(super) tracked: bool,
    /// The thresholds in force.
    pub limits: Limits,
    /// Counters.
    pub stats: ShardStats,
    pub(super) snapshot: Option<Snapshot>,
    /// Epoch of the last snapshot.
    pub(super) epoch: u32,
    /// Databases and hashes of what has changed since the snapshot began, in segments that it has not seen. It has what
    /// was there before.
    changed: HashSet<(usize, u64)>,
    /// What is still to be taken of segments that count as written out.
    parted: Vec<Parted>,
    /// Removed entries that the snapshot is done with, to be dropped with nothing locked.
    done: Vec<Entry>,
    bits: u32,
}

impl Shard {
    pub(super) fn new(databases: usize, bits: u32) -> Self {
        Self {
            databases: (0..databases).map(|_| Database::new(bits)).collect(),
            waiters: HashMap::new(),
            watchers: HashMap::new(),
            tracked: false,
            limits: Limits::default(),
            stats: ShardStats::default(),
            snapshot: None,
            epoch: 0,
            changed: HashSet::new(),
            parted: Vec::new(),
            done: Vec::new(),
            bits,
        }
    }

    #[inline]
    pub(super) fn segment(&self, db: usize, hash: u64) -> Option<&Segment<Entry>> {
        self.databases[db].table.place(hash)
    }

    pub(super) fn empty_database(&self) -> Database {
        let mut database = Database::new(self.bits);
        database.table.set_birth_epoch(self.epoch);
        database
    }

    /// Before a change to what `hash` belongs to: it is written out as it is, if a snapshot has not seen it yet. Where only
    /// `elements` of its value change, or its expiry, or where it goes, a large one keeps what they were instead.
    #[inline]
    pub(super) fn prepare_change(&mut self, db: usize, hash: u64, elements: bool) {
        if self.snapshot.is_some() {
            self.save_before_change(db, hash, elements);
        }
    }

    #[cold]
    fn save_before_change(&mut self, db: usize, hash: u64, elements: bool) {
        if !self.parted.is_empty() {
            self.save_rest(|parted| parted.is_at(db, hash) && !(elements && parted.keeps));
        }
        let (Some(snapshot), table) = (&self.snapshot, &self.databases[db].table) else {
            return;
        };
        let unseen = table
            .segment_of(hash)
            .is_some_and(|id| table.epoch(id) != snapshot.epoch);
        if !unseen || !self.changed.insert((db, hash)) {
            return;
        }
        let entries = || {
            let entries = table.candidates(hash);
            entries.filter(|entry| hash_of(entry) == hash)
        };
        let large = match (entries().next(), entries().nth(1)) {
            (Some(only), None) if elements => Parted::of(db, only),
            _ => None,
        };
        let sink = Arc::clone(&snapshot.sink);
        match large.map(|large| self.begin_parts(large)) {
            Some(large) if large.keeps => self.parted.push(large),
            _ => {
                let entries = self.databases[db].table.candidates(hash);
                sink.save(db, &mut entries.filter(|entry| hash_of(entry) == hash));
            }
        }
    }

    /// Has a large value keep what it is now, if it can.
    fn begin_parts(&mut self, mut parted: Parted) -> Parted {
        let snapshot = self.snapshot.as_ref();
        let descending = snapshot.is_some_and(|snapshot| snapshot.sink.wants_descending());
        let entry = self.entry_of(&parted);
        parted.keeps = entry.is_some_and(|entry| entry.source(true).begin(descending));
        parted
    }

    fn entry_of(&mut self, parted: &Parted) -> Option<&mut Entry> {
        let table = &mut self.databases[parted.db].table;
        table.find_mut(parted.hash, |entry| entry.key() == &*parted.key)
    }

    /// Writes out the small values of a segment; of the others the rest is to be saved.
    fn save_segment(&mut self, db: usize, id: SegmentId) {
        let Some(Snapshot { sink, epoch }) = self.snapshot.clone() else {
            return;
        };
        let table = &mut self.databases[db].table;
        if table.epoch(id) != epoch {
            let (changed, mut large) = (&self.changed, Vec::new());
            let entries = table.segment_iter(id);
            let mut entries = entries
                .filter(|entry| changed.is_empty() || !changed.contains(&(db, hash_of(entry))))
                .filter(|entry| match Parted::of(db, entry) {
                    Some(parted) => {
                        large.push(parted);
                        false
                    }
                    None => true,
                });
            sink.save(db, &mut entries);
            table.set_epoch(id, epoch);
            for parted in large {
                let parted = self.begin_parts(parted);
                self.parted.push(parted);
            }
        }
    }

    /// Writes out one part of a large value; whether it was the last one.
    fn save_part(&mut self, parted: &mut Parted) -> bool {
        let Some(sink) = self.snapshot.as_ref().map(|it| Arc::clone(&it.sink)) else {
            return true;
        };
        if let Some(mut entry) = parted.removed.take() {
            let is_last = sink.save_part(parted.next(&mut entry));
            if is_last {
                self.done.push(entry);
            } else {
                parted.removed = Some(entry);
            }
            return is_last;
        }
        let entry = self
            .entry_of(parted)
            .expect("whoever removes a key hands it over, or has the rest of it saved first");
        sink.save_part(parted.next(entry))
    }

    /// Keeps an entry that was removed if a snapshot needs more of it; otherwise it comes back.
    pub(super) fn hand_over(&mut self, db: usize, hash: u64, entry: Entry) -> Option<Entry> {
        let mut parted = self.parted.iter_mut();
        match parted.find(|parted| parted.is_at(db, hash) && *parted.key == *entry.key()) {
            Some(parted) => {
                parted.removed = Some(entry);
                None
            }
            None => Some(entry),
        }
    }

    /// What is to be dropped with nothing locked.
    pub(super) fn take_done(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.done)
    }

    /// Writes out all that is left of some large values.
    fn save_rest(&mut self, which: impl Fn(&Parted) -> bool) {
        while let Some(at) = self.parted.iter().position(&which) {
            let mut parted = self.parted.swap_remove(at);
            while !self.save_part(&mut parted) {}
        }
    }

    /// Writes out the next part of a large value, or some that are no larger than a part together.
    fn save_parts(&mut self) {
        let mut saved = 0;
        while saved < PART_BYTES
            && let Some(mut parted) = self.parted.pop()
        {
            saved = saved.saturating_add(parted.size);
            if !self.save_part(&mut parted) {
                self.parted.push(parted);
            }
        }
    }

    /// Writes out what a snapshot has not seen of a database, before it is emptied or changes its number.
    pub(super) fn save_database(&mut self, db: usize) {
        if self.snapshot.is_some() {
            for id in self.databases[db].table.segment_ids() {
                self.save_segment(db, id);
            }
            self.save_rest(|parted| parted.db == db && parted.removed.is_none());
        }
    }

    /// Begins a snapshot: nothing has been written out yet.
    pub(super) fn begin_snapshot(&mut self, sink: Arc<dyn SnapshotSink>) {
        self.epoch = self.epoch.wrapping_add(1);
        let epoch = self.epoch;
        for database in &mut self.databases {
            database.table.set_birth_epoch(epoch);
        }
        self.end_snapshot();
        self.snapshot = Some(Snapshot { sink, epoch });
    }

    /// Whether the snapshot of this sink is being taken.
    pub(super) fn is_saving_to(&self, sink: &Arc<dyn SnapshotSink>) -> bool {
        let snapshot = self.snapshot.as_ref();
        snapshot.is_some_and(|snapshot| Arc::ptr_eq(&snapshot.sink, sink))
    }

    /// The snapshot has everything, or was given up.
    pub(super) fn end_snapshot(&mut self) {
        self.snapshot = None;
        self.changed = HashSet::new();
        for mut parted in std::mem::take(&mut self.parted) {
            if let Some(entry) = parted.removed.take() {
                self.done.push(entry);
            } else if let Some(entry) = self.entry_of(&parted) {
                entry.source(parted.keeps).end();
            }
        }
    }

    /// Writes out a part of what large values have left, or else the segment at a position of a database, which moves on to
    /// the next; false when nothing is left.
    pub(super) fn continue_snapshot(&mut self, db: usize, position: &mut Option<u64>) -> bool {
        if !self.parted.is_empty() {
            self.save_parts();
            return true;
        }
        let table = &self.databases[db].table;
        let Some((id, next)) = position.and_then(|at| table.segment_at(at)) else {
            return false;
        };
        self.save_segment(db, id);
        *position = (next != 0).then_some(next);
        true
    }

    /// Tells the watchers of a key that it has changed. That a key is gone is no news to those who saw it overdue.
    pub(super) fn note_watched_change(&mut self, key: &KeyRef<'_>) {
        let Some(watchers) = self.watchers.get_mut(key) else {
            return;
        };
        let gone = self.databases[key.0]
            .find(Keyspace::hash(key.1), key.1)
            .is_none();
        watchers.retain_mut(|watcher| {
            let stays = gone && std::mem::take(&mut watcher.overdue);
            if !stays {
                watcher.raise();
            }
            stays
        });
        if watchers.is_empty() {
            self.watchers.remove(key);
        }
    }

    /// The same where a whole database takes the place of another: `before` and `after` tell what the key was and
    /// will be. An overdue key is as good as none.
    pub(super) fn note_watched_replacement(
        &mut self,
        name: &WaitKey,
        before: Presence,
        after: Presence,
    ) {
        if before == Presence::Absent && after == Presence::Absent {
            return;
        }
        let Some(watchers) = self.watchers.get_mut(name) else {
            return;
        };
        watchers.retain_mut(|watcher| {
            let was_there = before != Presence::Absent && !watcher.overdue;
            let stays = !was_there && after != Presence::Present;
            if stays {
                watcher.overdue = after == Presence::Overdue;
            } else {
                watcher.raise();
            }
            stays
        });
        if watchers.is_empty() {
            self.watchers.remove(name);
        }
    }
}

/// Who watches a key.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) flag: Weak<WatchFlag>,
    /// The key is stored although its time has come, and the watcher has seen it so.
    pub(super) overdue: bool,
}

impl Watcher {
    fn raise(&self) {
        if let Some(flag) = self.flag.upgrade() {
            flag.raise();
        }
    }
}

/// Whether a key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// Stored, but its time has come.
    Overdue,
    Present,
}

impl Database {
    fn new(bits: u32) -> Self {
        Self {
            table: Table::with_skip(bits),
            expiring: Expiring::default(),
            timed_hashes: 0,
        }
    }

    /// Whether anything in it can run out.
    pub(super) const fn has_times(&self) -> bool {
        self.expiring.keys > 0 || self.timed_hashes > 0
    }

    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.table.find(hash, |entry| entry.key() == key)
    }

    /// Adds an entry; when it, or a field of it, runs out first.
    pub(super) fn insert(&mut self, hash: u64, mut entry: Entry) -> Option<i64> {
        let at = entry.expires_at_ms();
        let field_at = entry.note_field_times();
        self.table.insert_unique(hash, entry, hash_of);
        self.expiring.add(at);
        self.timed_hashes += usize::from(field_at.is_some());
        let first = [at, field_at].into_iter().flatten().min()?;
        self.table.lower_next_expiry(hash, first);
        Some(first)
    }

    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let entry = self
            .table
            .remove(hash, |entry| entry.key() == key, hash_of)?;
        self.expiring.remove(entry.expires_at_ms());
        self.timed_hashes -= usize::from(entry.has_field_times());
        Some(entry)
    }

    pub(super) fn set_expiry(&mut self, hash: u64, key: &[u8], at: Option<i64>) -> bool {
        let Some(entry) = self.table.find_mut(hash, |entry| entry.key() == key) else {
            return false;
        };
        let before = entry.expires_at_ms();
        entry.set_expires_at_ms(at);
        self.expiring.remove(before);
        self.expiring.add(at);
        if let Some(at) = at {
            self.table.lower_next_expiry(hash, at);
        }
        true
    }
}

impl Stored for Entry {
    fn prefetch(&self) {
        self.prefetch();
    }
}

pub(super) fn hash_of(entry: &Entry) -> u64 {
    Keyspace::hash(entry.key())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use parking_lot::Mutex;

    use super::*;
    use crate::keyspace::entry::ValueRef;
    use crate::keyspace::txn::{Journal, TxnOptions};
    use crate::keyspace::{Source, Txn};

    type Held = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

    /// What a snapshot was handed; nothing twice.
    #[derive(Debug, Default)]
    struct Seen(Mutex<Held>);

    fn held(db: usize, entry: &Entry) -> ((usize, Vec<u8>), Vec<u8>) {
        let ValueRef::String(text) = entry.value() else {
            panic!("there are strings only");
        };
        ((db, entry.key().to_vec()), text.to_vec())
    }

    impl SnapshotSink for Seen {
        fn save(&self, db: usize, entries: &mut dyn Iterator<Item = &Entry>) {
            for entry in entries {
                let (name, text) = held(db, entry);
                assert_eq!(self.0.lock().insert(name, text), None, "{entry:?} twice");
            }
        }

        /// Each large entry comes three times before it is taken, and may not have changed by then.
        fn save_part(&self, part: Part<'_>) -> bool {
            let Source::Whole(ValueRef::String(text)) = part.value else {
                panic!("there are strings only");
            };
            let (name, text) = ((part.db, part.key.to_vec()), text.to_vec());
            assert_eq!(part.is_first, part.pieces.is_empty());
            if let Some(before) = part.pieces.first() {
                assert_eq!(before, &text, "{name:?} has changed");
            }
            part.pieces.push(text.clone());
            if part.pieces.len() < 3 {
                return false;
            }
            let twice = self.0.lock().insert(name, text);
            assert_eq!(twice, None, "{:?} twice", part.key);
            true
        }
    }

    fn begin(keyspace: &Keyspace) -> Txn<'_> {
        let options = TxnOptions::default();
        keyspace.begin(keyspace.all_shards(), 0, options, Journal::default())
    }

    /// Changes something, in one of two databases.
    fn change(keyspace: &Keyspace, random: u64) {
        let mut txn = begin(keyspace);
        txn.select(random as usize % 2);
        let key = (random >> 8) % 6000;
        let key = key.to_string().into_bytes();
        match random >> 32 & 63 {
            0 if random >> 40 & 63 == 0 => txn.swap_dbs(0, 1),
            0 if random >> 40 & 63 == 1 => drop(txn.flush_db(1, false)),
            0..25 => txn.insert_string(&key, &random.to_le_bytes(), None),
            25..30 => txn.insert_string(&key, &random.to_le_bytes().repeat(200), None),
            30..40 => drop(txn.set_expiry(&key, Some(i64::MAX / 2))),
            _ => drop(txn.remove(&key)),
        }
    }

    #[test]
    fn a_snapshot_has_every_key_once_as_it_was() {
        for shards in [1, 4] {
            for seed in 1..6 {
                let keyspace = Keyspace::new(shards, 2, seed);
                (0..8000).for_each(|_| change(&keyspace, keyspace.random()));
                let seen = Arc::new(Seen::default());
                let sink: Arc<dyn SnapshotSink> = Arc::<Seen>::clone(&seen);
                let mut txn = begin(&keyspace);
                let mut before = Held::new();
                for db in 0..2 {
                    txn.select(db);
                    before.extend(txn.stored_entries().map(|entry| held(db, entry)));
                }
                txn.begin_snapshot(&sink);
                drop(txn);
                let several = || (0..200).for_each(|_| change(&keyspace, keyspace.random()));
                several();
                let walked = keyspace.walk_snapshot(&sink, || {
                    several();
                    Ok::<(), ()>(())
                });
                walked.expect("nothing is in its way");
                assert!(*seen.0.lock() == before, "{shards} shards, seed {seed}");
            }
        }
    }
}
