//! A transaction: the locked shards of a command's keys, and all that a handler may do with them. Locks are taken in
//! ascending order before the command runs and held until its effects are in the log (conservative two-phase locking).

use std::sync::Arc;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::batch::Guards;
use super::shard::{Presence, Watcher, hash_of};
use super::waiter::{KeyRef, WaitKey, Waiter, WatchFlag};
use super::{
    Entry, Event, EventClass, Keyspace, Limits, Shard, ShardSet, ShardStats, SnapshotSink, Value,
    ValueRef,
};
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::listpack::Element;
use crate::value::set::Set;
use crate::value::stream::Stream;
use crate::value::table::EntryId;
use crate::value::zset::SortedSet;

/// The key holds another type than the command works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongType;

/// Values of at least this many bytes are dropped on the background thread.
const LARGE_VALUE: usize = 64 << 10;
/// UNLINK leaves values to it from so many bytes on.
const UNLINKED_VALUE: usize = 4 << 10;

/// Bytes of effects for which a session keeps room.
const KEPT_EFFECTS: usize = 64 << 10;

/// What a command changed, as commands that the loader can run: RESP, one after the other.
#[derive(Debug, Default)]
pub struct Effects {
    /// Encoded commands.
    pub bytes: Vec<u8>,
    /// Database and end offset in `bytes` of each command.
    pub commands: SmallVec<[(usize, usize); 2]>,
    /// Which of the commands, by number, are for replicas and not for the log.
    pub for_replicas: Vec<usize>,
}

/// Who effects are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The log on disk.
    Log,
    /// Replicas, who also hear what is published.
    Replicas,
}

impl Effects {
    /// Adds a command.
    pub fn push(&mut self, db: usize, args: &[&[u8]]) {
        encode_command(&mut self.bytes, args);
        self.commands.push((db, self.bytes.len()));
    }

    /// Forgets all of it, keeping the memory, unless it was unusually large.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_EFFECTS);
        self.commands.clear();
        self.for_replicas.clear();
    }

    /// Whether there is nothing for the log.
    #[must_use]
    pub fn is_empty_for_log(&self) -> bool {
        self.commands.len() == self.for_replicas.len()
    }

    /// Appends them as a reader takes them that is in the database `selected`, which is brought up to date. Together:
    /// several are one transaction.
    pub fn encode_for(
        &self,
        audience: Audience,
        together: bool,
        selected: &mut Option<usize>,
        out: &mut Vec<u8>,
    ) {
        let hears =
            |index: &usize| audience == Audience::Replicas || !self.for_replicas.contains(index);
        let transaction = together && (0..self.commands.len()).filter(hears).count() > 1;
        let (mut start, mut begun) = (0, false);
        for (index, (db, end)) in self.commands.iter().enumerate() {
            let bytes = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            if !hears(&index) {
                continue;
            }
            if *selected != Some(*db) {
                let mut digits = itoa::Buffer::new();
                encode_command(out, &[b"SELECT", digits.format(*db).as_bytes()]);
                *selected = Some(*db);
            }
            if transaction && !begun {
                encode_command(out, &[b"MULTI"]);
                begun = true;
            }
            out.extend_from_slice(bytes);
        }
        if transaction {
            encode_command(out, &[b"EXEC"]);
        }
    }
}

/// Appends a command as a RESP array of bulk strings.
pub fn encode_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    let mut digits = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(digits.format(args.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.push(b'$');
        out.extend_from_slice(digits.format(arg.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// What a transaction collects for the engine while its commands run.
#[derive(Debug, Default)]
pub struct Journal {
    /// Effects for the log.
    pub effects: Effects,
    /// Keyspace events of the wanted classes.
    pub events: Vec<Event>,
    /// Keys with waiters that changed, in the order in which they did.
    pub ready: Vec<WaitKey>,
    /// Whether the effects stand each for itself, as the removal of keys that a read found expired; otherwise they are
    /// one transaction of the log.
    pub apart: bool,
    /// Changes since the transaction began.
    pub dirty: u64,
    /// The earliest expiry that was set, in Unix milliseconds.
    pub earliest_expiry_ms: Option<i64>,
    /// Keys that changed while somebody tracks them, and whether the client did it.
    pub invalidated: Vec<(Box<[u8]>, bool)>,
    /// How many of them are settled: reads that came after have been noted.
    pub settled: usize,
    /// Databases were emptied while somebody tracks keys: all of them (true) or one.
    pub flushed: Option<bool>,
    /// Large values to be dropped outside the locks.
    pub discarded: Vec<Value>,
}

impl Journal {
    /// Whether there is nothing for the engine to do, but perhaps to drop values.
    #[must_use]
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.dirty == 0
            && self.effects.commands.is_empty()
            && self.events.is_empty()
            && self.ready.is_empty()
            && self.earliest_expiry_ms.is_none()
            && !self.concerns_trackers()
    }

    /// Whether anything is to be told to those who track keys.
    #[must_use]
    #[inline]
    pub fn concerns_trackers(&self) -> bool {
        !self.invalidated.is_empty() || self.flushed.is_some()
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.effects.clear();
        self.events.clear();
        self.ready.clear();
        self.discarded.clear();
        self.invalidated.clear();
        (self.settled, self.flushed) = (0, None);
        (self.apart, self.dirty, self.earliest_expiry_ms) = (false, 0, None);
    }
}

/// How a transaction behaves, from the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct TxnOptions {
    /// Whether effects are wanted (there is a log or a replica).
    pub propagate: bool,
    /// Classes of events that somebody may listen to.
    pub events: EventClass,
    /// Whether expired keys are left alone, as while the log is loaded.
    pub keep_expired: bool,
    /// Whether expired keys stay stored, though nobody sees them: while clients are paused.
    pub frozen: bool,
}

/// The hash of a word that was hashed already. It knows the word by its place in memory, so it may be asked only while
/// that word is borrowed: then no other word can have the same place and length.
#[derive(Debug, Clone, Copy)]
pub struct HashHint {
    place: usize,
    len: usize,
    hash: u64,
}

impl HashHint {
    /// The hash of no word.
    pub const NONE: Self = Self {
        place: 0,
        len: 0,
        hash: 0,
    };

    /// `word` hashes to `hash`.
    #[must_use]
    #[inline]
    pub fn new(word: &[u8], hash: u64) -> Self {
        debug_assert_eq!(Keyspace::hash(word), hash);
        Self {
            place: word.as_ptr().addr(),
            len: word.len(),
            hash,
        }
    }

    /// The hash of any word.
    #[must_use]
    #[inline]
    pub fn of(&self, word: &[u8]) -> u64 {
        if word.as_ptr().addr() == self.place && word.len() == self.len {
            debug_assert_eq!(Keyspace::hash(word), self.hash);
            self.hash
        } else {
            Keyspace::hash(word)
        }
    }
}

/// Locked shards, one clock reading, and what has been done so far.
pub struct Txn<'k> {
    keyspace: &'k Keyspace,
    hint: HashHint,
    guards: Guards<'k>,
    held: ShardSet,
    /// The shard that was last looked up, by its number and by its place among the guards.
    last: (usize, usize),
    db: usize,
    now_ms: i64,
    options: TxnOptions,
    rewritten: bool,
    /// Whether a lock was somebody else's for a while, so that its time is not what it was.
    waited: bool,
    /// Lets other work of this thread run while the locks stay held.
    give_way: Option<&'k dyn Fn()>,
    /// Collected for the engine.
    pub journal: Box<Journal>,
}

impl std::fmt::Debug for Txn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Txn")
            .field("held", &self.held)
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}

/// How things stood when a command began.
#[derive(Debug)]
pub(crate) struct Entered {
    /// Whether the command around it, a script's or EXEC's, has said what is logged.
    outer: bool,
    dirty: u64,
    db: usize,
}

// ------------------------------------------------------------------------------------------------ locks

impl Keyspace {
    /// Locks the shards of `set` and begins a transaction in database `db`. The journal is an empty one; taking it from
    /// outside saves its memory from one transaction to the next.
    #[must_use]
    pub fn begin(
        &self,
        set: ShardSet,
        db: usize,
        options: TxnOptions,
        journal: impl Into<Box<Journal>>,
    ) -> Txn<'_> {
        self.begin_at(self.now_ms(), set, db, options, journal.into())
    }

    /// The same at a time that has been read already, in Unix milliseconds.
    #[must_use]
    pub fn begin_at(
        &self,
        now_ms: i64,
        set: ShardSet,
        db: usize,
        options: TxnOptions,
        journal: Box<Journal>,
    ) -> Txn<'_> {
        let mut txn = self.begin_unlocked(now_ms, db, options, journal);
        txn.acquire(set);
        txn
    }

    /// A transaction that is yet to lock its shards.
    #[must_use]
    #[inline]
    pub fn begin_unlocked(
        &self,
        now_ms: i64,
        db: usize,
        options: TxnOptions,
        journal: Box<Journal>,
    ) -> Txn<'_> {
        let mut txn = self.begin_with(Guards::new(), 0, db, options, journal);
        txn.now_ms = now_ms;
        txn
    }

    /// A transaction over shards that are locked already, at a time that is yet to be told.
    #[inline]
    pub(super) const fn begin_with<'k>(
        &'k self,
        guards: Guards<'k>,
        held: ShardSet,
        db: usize,
        options: TxnOptions,
        journal: Box<Journal>,
    ) -> Txn<'k> {
        Txn {
            keyspace: self,
            hint: HashHint::NONE,
            guards,
            held,
            last: NOWHERE,
            db,
            now_ms: 0,
            options,
            rewritten: false,
            waited: false,
            give_way: None,
            journal,
        }
    }
}

/// No shard was looked up.
const NOWHERE: (usize, usize) = (usize::MAX, 0);

impl Keyspace {
    /// The same, unless whoever holds one of the locks says that it will take long.
    #[must_use]
    pub fn begin_unless_held(
        &self,
        now_ms: i64,
        set: ShardSet,
        db: usize,
        options: TxnOptions,
        journal: Box<Journal>,
    ) -> Option<Txn<'_>> {
        let mut txn = self.begin_unlocked(now_ms, db, options, journal);
        txn.relock_unless_held(set).then_some(txn)
    }
}

impl<'k> Txn<'k> {
    /// Tells the hash of a word that outlives the transaction.
    #[inline]
    pub fn hint(&mut self, hint: HashHint) {
        self.hint = hint;
    }

    /// Releases what is locked and locks `set` instead; false, and nothing is locked, if whoever holds one of the locks
    /// says that it will take long.
    #[inline]
    pub fn relock_unless_held(&mut self, set: ShardSet) -> bool {
        if self.held == set {
            return true;
        }
        self.unlock();
        let mut rest = set;
        if set == self.keyspace.all_shards() {
            let len = self.keyspace.shard_count();
            self.guards.reserve(len);
            self.guards.extend(self.keyspace.free_shards());
            // What is locked already is the lowest, as if it had been locked one by one.
            rest &= ShardSet::MAX
                .checked_shl(self.guards.len() as u32)
                .unwrap_or(0);
        }
        while rest != 0 {
            let index = rest.trailing_zeros() as usize;
            let Some((guard, waited)) = self.keyspace.lock_shard_unless_held(index) else {
                self.unlock();
                self.waited = true;
                return false;
            };
            self.waited |= waited;
            self.guards.push(guard);
            rest &= rest - 1;
        }
        self.held = set;
        true
    }

    fn unlock(&mut self) {
        self.guards.clear();
        (self.held, self.last) = (0, NOWHERE);
    }

    /// Turns to the next command of a batch. False, and it has to be run otherwise, if the shard of its only key is not
    /// locked, or if somebody waits there: serving may need others.
    #[inline]
    pub(crate) fn turn_to(&mut self, key: Option<(&[u8], HashHint)>) -> bool {
        self.hint = HashHint::NONE;
        let Some((key, hint)) = key else { return true };
        let hash = hint.of(key);
        if self.held & (1 << self.keyspace.shard_of(hash)) == 0 {
            return false;
        }
        self.hint = HashHint::new(key, hash);
        let slot = self.slot(hash);
        self.last = (self.keyspace.shard_of(hash), slot);
        self.guards[slot].waiters.is_empty()
    }

    /// What holds for a command is looked up anew for the next one of a batch.
    #[inline]
    pub(crate) fn renew(&mut self, now_ms: i64, db: usize, options: TxnOptions) {
        (self.now_ms, self.db, self.options) = (now_ms, db, options);
    }

    #[inline]
    fn acquire(&mut self, set: ShardSet) {
        debug_assert!(
            self.guards.is_empty(),
            "locks are taken once, in ascending order"
        );
        let mut rest = set;
        while rest != 0 {
            let (guard, waited) = self.keyspace.lock_shard(rest.trailing_zeros() as usize);
            self.guards.push(guard);
            self.waited |= waited;
            rest &= rest - 1;
        }
        self.held = set;
    }

    /// Releases the locks; what was collected is returned, for its memory and for what must be dropped now.
    #[must_use]
    pub fn into_journal(self) -> Box<Journal> {
        self.journal
    }

    /// Whether it had to wait for a lock.
    #[must_use]
    pub const fn has_waited(&self) -> bool {
        self.waited
    }

    /// Whether every shard is locked.
    #[must_use]
    pub fn holds_all(&self) -> bool {
        self.held == self.keyspace.all_shards()
    }

    /// Locks every shard. Where only some are locked they are released first, so this is for the start of a command:
    /// nothing read before may be relied on.
    pub fn lock_all(&mut self) {
        self.relock(self.keyspace.all_shards());
    }

    /// Releases what is locked and locks `set` instead.
    pub fn relock(&mut self, set: ShardSet) {
        if self.held != set {
            self.unlock();
            self.acquire(set);
        }
    }

    /// Lets whoever waits for one of the locked shards have it, and locks the same again. Nothing read before may be
    /// relied on.
    pub fn give_turn(&mut self) {
        let set = self.held;
        self.guards.drain(..).for_each(MutexGuard::unlock_fair);
        self.acquire(set);
    }

    /// The shards that are locked.
    #[must_use]
    pub const fn held(&self) -> ShardSet {
        self.held
    }

    /// The shards that serving the waiters of these keys needs, beyond those that are locked.
    #[must_use]
    pub fn shards_of_waiters<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> ShardSet {
        let mut set = 0;
        for key in keys {
            let shard = self.shard(Keyspace::hash(key));
            if shard.waiters.is_empty() {
                continue;
            }
            let queue = shard.waiters.get(&KeyRef(self.db, key));
            set |= queue
                .into_iter()
                .flatten()
                .fold(0, |set, waiter| set | waiter.shards);
        }
        set & !self.held
    }

    /// Whether anybody waits for a key in the locked shards.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.guards.iter().any(|shard| !shard.waiters.is_empty())
    }

    #[inline]
    fn slot(&self, hash: u64) -> usize {
        let index = self.keyspace.shard_of(hash);
        if index == self.last.0 {
            return self.last.1;
        }
        self.slot_of(index)
    }

    fn slot_of(&self, index: usize) -> usize {
        assert!(
            self.held & (1 << index) != 0,
            "a handler touched a key that its command did not declare"
        );
        if self.guards.len() == 1 {
            0
        } else {
            (self.held & ((1 << index) - 1)).count_ones() as usize
        }
    }

    #[inline]
    pub(super) fn shard(&self, hash: u64) -> &Shard {
        &self.guards[self.slot(hash)]
    }

    #[inline]
    fn shard_mut(&mut self, hash: u64) -> &mut Shard {
        let slot = self.slot(hash);
        &mut self.guards[slot]
    }

    /// The shard of a hash whose entry in the selected database is about to change.
    #[inline]
    fn changing(&mut self, hash: u64) -> &mut Shard {
        let db = self.db;
        let shard = self.shard_mut(hash);
        shard.prepare_change(db, hash);
        shard
    }
}

// ------------------------------------------------------------------------------------------------ surroundings

impl<'k> Txn<'k> {
    /// Says how other work of this thread gets its turn while the locks stay held.
    pub fn set_give_way(&mut self, give_way: &'k dyn Fn()) {
        self.give_way = Some(give_way);
    }

    /// Lets other work of this thread run, if there is a way; the locks stay held.
    pub fn give_way(&self) {
        if let Some(give_way) = self.give_way {
            give_way();
        }
    }

    /// The keyspace that is being worked on.
    #[must_use]
    pub const fn keyspace(&self) -> &'k Keyspace {
        self.keyspace
    }
}

impl Txn<'_> {
    /// The selected database.
    #[must_use]
    pub const fn db(&self) -> usize {
        self.db
    }

    /// Selects a database for what follows.
    pub fn select(&mut self, db: usize) {
        debug_assert!(db < self.keyspace.databases());
        self.db = db;
    }

    /// Runs `work` in another database.
    pub fn in_db<T>(&mut self, db: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.db, db);
        let result = work(self);
        self.db = before;
        result
    }

    /// Unix time in milliseconds; it stands still for the whole transaction.
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The next number of the engine's random source.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.keyspace.random()
    }

    /// The thresholds in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.guards
            .first()
            .map_or_else(Limits::default, |shard| shard.limits)
    }

    /// Changes the thresholds of every locked shard.
    pub fn set_limits(&mut self, limits: Limits) {
        self.guards
            .iter_mut()
            .for_each(|shard| shard.limits = limits);
    }

    /// Whether expired keys are left alone from now on.
    pub fn keep_expired(&mut self, keep: bool) {
        self.options.keep_expired = keep;
    }

    /// Whether effects are wanted from now on.
    pub fn set_propagating(&mut self, propagate: bool) {
        self.options.propagate = propagate;
    }

    /// The options it runs with.
    #[must_use]
    pub const fn options(&self) -> TxnOptions {
        self.options
    }
}

// ------------------------------------------------------------------------------------------------ reading

impl Txn<'_> {
    fn is_due(&self, entry: &Entry) -> bool {
        !self.options.keep_expired && entry.expires_at_ms().is_some_and(|at| at < self.now_ms)
    }

    /// Removes the key if its time has come; true if so.
    fn expire_if_due(&mut self, hash: u64, key: &[u8]) -> bool {
        let due = self.shard(hash).databases[self.db]
            .find(hash, key)
            .is_some_and(|entry| self.is_due(entry));
        if due {
            self.expire(hash, key);
        }
        due
    }

    /// Where the key is; it is removed instead if its time has come.
    fn find_live(&mut self, hash: u64, key: &[u8]) -> Option<EntryId> {
        let table = &self.shard(hash).databases[self.db].table;
        let id = table.find_id(hash, |entry| entry.key() == key)?;
        if table.get(id).is_some_and(|entry| self.is_due(entry)) {
            self.expire(hash, key);
            return None;
        }
        Some(id)
    }

    fn expire(&mut self, hash: u64, key: &[u8]) {
        if self.options.frozen {
            return;
        }
        let db = self.db;
        if let Some(entry) = self.changing(hash).databases[db].remove(hash, key) {
            self.discard(entry);
        }
        self.note_expired(hash, key);
    }

    fn note_expired(&mut self, hash: u64, key: &[u8]) {
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
        let due = found.is_some_and(|id| {
            let at = self.guards[slot].databases[db]
                .table
                .get(id)
                .and_then(Entry::expires_at_ms);
            !keep && at.is_some_and(|at| at < now_ms)
        });
        if due {
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
    pub fn hash(&mut self, key: &[u8]) -> Result<Option<&Hash>, WrongType> {
        self.remove_due_fields(key);
        match self.read(key).map(Entry::value) {
            None => Ok(None),
            Some(ValueRef::Hash(hash)) => Ok(Some(hash)),
            Some(_) => Err(WrongType),
        }
    }

    /// The set at `key`.
    pub fn set(&mut self, key: &[u8]) -> Result<Option<&Set>, WrongType> {
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

// ------------------------------------------------------------------------------------------------ fields that run out

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
        let due = self.shard(hash).databases[self.db]
            .find(hash, key)
            .is_some_and(|entry| !self.is_due(entry) && entry.has_due_fields(self.now_ms));
        if due && !self.options.keep_expired {
            self.expire_fields(hash, key, usize::MAX);
        }
    }

    /// Removes up to `limit` due fields, and the hash with the last of its fields; returns how many.
    fn expire_fields(&mut self, hash: u64, key: &[u8], limit: usize) -> usize {
        if self.options.frozen {
            return 0;
        }
        let (db, now_ms) = (self.db, self.now_ms);
        let database = &mut self.changing(hash).databases[db];
        let entry = database.table.find_mut(hash, |entry| entry.key() == key);
        let Some(fields) = entry.and_then(Entry::hash_mut) else {
            return 0;
        };
        let removed = fields.remove_due(now_ms, limit);
        let emptied = fields.is_empty();
        if removed.is_empty() {
            return 0;
        }
        self.note_field_times(key);
        if emptied && let Some(entry) = self.shard_mut(hash).databases[db].remove(hash, key) {
            self.discard(entry);
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

// ------------------------------------------------------------------------------------------------ changing

impl Txn<'_> {
    /// The key, for a command that changes it in place; expired keys are removed first.
    pub fn entry_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let hash = self.hint.of(key);
        let id = self.find_live(hash, key)?;
        let (db, now_ms, keyspace) = (self.db, self.now_ms, self.keyspace);
        let shard = self.changing(hash);
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
    pub fn hash_mut(&mut self, key: &[u8]) -> Result<Option<&mut Hash>, WrongType> {
        self.remove_due_fields(key);
        self.entry_mut(key)
            .map(|entry| entry.hash_mut().ok_or(WrongType))
            .transpose()
    }

    /// The set at `key`, to be changed.
    pub fn set_mut(&mut self, key: &[u8]) -> Result<Option<&mut Set>, WrongType> {
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
        self.existing_or(key, || List::new().into())
            .list_mut()
            .ok_or(WrongType)
    }

    /// The hash at `key`, made if there is none. The caller fills a new one before it returns.
    pub fn hash_or_new(&mut self, key: &[u8]) -> Result<&mut Hash, WrongType> {
        self.remove_due_fields(key);
        self.existing_or(key, || Hash::new().into())
            .hash_mut()
            .ok_or(WrongType)
    }

    /// The set at `key`, made if there is none. The caller fills a new one before it returns.
    pub fn set_or_new(&mut self, key: &[u8]) -> Result<&mut Set, WrongType> {
        self.existing_or(key, || Set::new().into())
            .set_mut()
            .ok_or(WrongType)
    }

    /// The sorted set at `key`, made if there is none. The caller fills a new one before it returns.
    pub fn sorted_set_or_new(&mut self, key: &[u8]) -> Result<&mut SortedSet, WrongType> {
        self.existing_or(key, || SortedSet::new().into())
            .sorted_set_mut()
            .ok_or(WrongType)
    }

    /// The stream at `key`, made if there is none.
    pub fn stream_or_new(&mut self, key: &[u8]) -> Result<&mut Stream, WrongType> {
        self.existing_or(key, || Stream::new().into())
            .stream_mut()
            .ok_or(WrongType)
    }

    fn existing_or(&mut self, key: &[u8], make: impl FnOnce() -> Value) -> &mut Entry {
        let hash = self.hint.of(key);
        let (db, now_ms, keyspace) = (self.db, self.now_ms, self.keyspace);
        let found = self.find_live(hash, key);
        if found.is_none() {
            self.notify(EventClass::NEW, "new", key);
        }
        let shard = self.changing(hash);
        let clock = shard.limits.access;
        let table = &mut shard.databases[db].table;
        let Some(id) = found else {
            let entry = table.insert_unique(hash, Entry::new(key, make(), None), hash_of);
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

    /// Sets the key to a string, integers recognised; an old value and its expiry are gone.
    pub fn insert_string(&mut self, key: &[u8], bytes: &[u8], expires_at_ms: Option<i64>) {
        let hash = self.hint.of(key);
        let (db, keyspace) = (self.db, self.keyspace);
        let (now_ms, keep) = (self.now_ms, self.options.keep_expired);
        let shard = self.changing(hash);
        let clock = shard.limits.access;
        if let Some(entry) = shard.databases[db]
            .table
            .find_mut(hash, |entry| entry.key() == key)
            && entry.expires_at_ms().is_some() == expires_at_ms.is_some()
            && (keep || entry.expires_at_ms().is_none_or(|at| at >= now_ms))
            && entry.overwrite_string(bytes)
        {
            entry.touch(clock.used(entry.access(), now_ms, || keyspace.random()));
            if expires_at_ms.is_some() {
                entry.set_expires_at_ms(expires_at_ms);
                self.lower_next_expiry(hash, expires_at_ms);
            }
            return;
        }
        self.insert_entry(key, Entry::new_string(key, bytes, expires_at_ms));
    }

    fn lower_next_expiry(&mut self, hash: u64, at: Option<i64>) {
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
        let shard = self.changing(hash);
        let clock = shard.limits.access;
        entry.touch(clock.born(now_ms));
        let database = &mut shard.databases[db];
        if let Some(place) = database.table.find_mut(hash, |entry| entry.key() == key) {
            entry.touch(clock.used(place.access(), now_ms, || keyspace.random()));
            let old = std::mem::replace(place, entry);
            let field_at = place.note_field_times();
            database.expiring = database.expiring + usize::from(at.is_some())
                - usize::from(old.expires_at_ms().is_some());
            database.timed_hashes = database.timed_hashes + usize::from(field_at.is_some())
                - usize::from(old.has_field_times());
            self.lower_next_expiry(hash, at);
            self.lower_next_expiry(hash, field_at);
            if self.is_due(&old) {
                self.note_expired(hash, key);
                self.notify(EventClass::NEW, "new", key);
            }
            self.discard(old);
        } else {
            if let Some(at) = database.insert(hash, entry) {
                self.note_expiry(at);
            }
            self.notify(EventClass::NEW, "new", key);
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
        match self.changing(hash).databases[db].remove(hash, key) {
            Some(entry) => {
                self.discard(entry);
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
        self.changing(hash).databases[db].set_expiry(hash, key, at)
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
        let entry = self.changing(hash).databases[db].remove(hash, key)?;
        let freed = entry.memory();
        if !entry.is_string() {
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

    fn discard(&mut self, entry: Entry) {
        if !entry.is_string() && entry.value().heap_size() >= LARGE_VALUE {
            self.journal.discarded.push(entry.into_value());
        }
    }

    /// Moves a value that may be slow to drop to the background thread.
    pub fn discard_value(&mut self, value: Value) {
        self.journal.discarded.push(value);
    }
}

// ------------------------------------------------------------------------------------------------ bookkeeping

impl Txn<'_> {
    /// A command changed `key`: counts it, tells watchers and waiters, and notes the event. Every change to a key goes
    /// through here once for each event that Redis names.
    pub fn changed(&mut self, class: EventClass, event: &'static str, key: &[u8]) {
        self.journal.dirty += 1;
        self.note_change(self.hint.of(key), key, true);
        self.notify(class, event, key);
    }

    /// The same for a change that Redis has no event for.
    pub fn changed_without_event(&mut self, key: &[u8]) {
        self.journal.dirty += 1;
        self.note_change(Keyspace::hash(key), key, true);
    }

    /// Counts further changes: Redis counts elements, `rdb_changes_since_last_save` shows them.
    pub fn add_dirty(&mut self, more: u64) {
        self.journal.dirty += more;
    }

    /// The same for what nobody can have waited for.
    pub fn changed_unawaited(&mut self, class: EventClass, event: &'static str, key: &[u8]) {
        self.journal.dirty += 1;
        self.note_to_observers(self.hint.of(key), key, true);
        self.notify(class, event, key);
    }

    /// The same for what only groups of consumers know: it wakes nobody, and watchers do not see it.
    pub fn changed_groups(&mut self, event: &'static str, key: &[u8]) {
        self.journal.dirty += 1;
        self.notify(EventClass::STREAM, event, key);
    }

    /// Has the waiters of a key run again, although it is the same to all others.
    pub fn wake_waiters(&mut self, key: &[u8]) {
        let db = self.db;
        let name = (db, Box::from(key));
        if self
            .shard(Keyspace::hash(key))
            .waiters
            .contains_key(&KeyRef(db, key))
            && !self.journal.ready.contains(&name)
        {
            self.journal.ready.push(name);
        }
    }

    fn note_change(&mut self, hash: u64, key: &[u8], by_client: bool) {
        let shard = self.shard_mut(hash);
        if shard.watchers.is_empty() && shard.waiters.is_empty() && !shard.tracked {
            return;
        }
        self.note_to_observers(hash, key, by_client);
        self.wake_waiters(key);
    }

    /// Tells those who watch or track a key.
    fn note_to_observers(&mut self, hash: u64, key: &[u8], by_client: bool) {
        let db = self.db;
        let shard = self.shard_mut(hash);
        shard.note_watched_change(&KeyRef(db, key));
        if shard.tracked {
            self.journal.invalidated.push((key.into(), by_client));
        }
    }

    /// Whether the locked shards tell of every key that changes: [`Journal::invalidated`].
    pub fn set_tracked(&mut self, tracked: bool) {
        self.guards
            .iter_mut()
            .for_each(|shard| shard.tracked = tracked);
    }

    /// Notes for those who track keys that one database, or all, has been emptied.
    pub fn note_flush(&mut self, all: bool) {
        if self.guards.first().is_some_and(|shard| shard.tracked) {
            let before = self.journal.flushed.unwrap_or(false);
            self.journal.flushed = Some(before || all);
        }
    }

    /// Notes an event without a change.
    pub fn notify(&mut self, class: EventClass, name: &'static str, key: &[u8]) {
        if self.options.events.intersects(class) {
            self.journal.events.push(Event {
                class,
                name,
                key: Box::from(key),
                db: self.db,
            });
        }
    }

    /// Logs this command instead of the one that the client sent; each call adds one.
    pub fn propagate(&mut self, args: &[&[u8]]) {
        self.rewritten = true;
        if self.options.propagate {
            self.journal.effects.push(self.db, args);
        }
    }

    /// Tells replicas of this command, and not the log.
    pub fn propagate_to_replicas(&mut self, args: &[&[u8]]) {
        if self.options.propagate {
            let effects = &mut self.journal.effects;
            effects.for_replicas.push(effects.commands.len());
            effects.push(self.db, args);
        }
    }

    /// Logs nothing for the command that runs, although it may have counted changes.
    pub fn propagate_nothing(&mut self) {
        self.rewritten = true;
    }

    /// A command's handler is about to run within the transaction; [`Self::leave`] takes what this answers.
    #[inline]
    pub(crate) fn enter(&mut self) -> Entered {
        Entered {
            outer: std::mem::replace(&mut self.rewritten, false),
            dirty: self.journal.dirty,
            db: self.db,
        }
    }

    /// A handler has run: logs the command itself, if it changed something and did not say otherwise.
    #[inline]
    pub(crate) fn leave(&mut self, entered: &Entered, args: &[&[u8]]) {
        if self.journal.dirty != entered.dirty && !self.rewritten && self.options.propagate {
            self.journal.effects.push(entered.db, args);
        }
        self.rewritten = entered.outer;
    }
}

// ------------------------------------------------------------------------------------------------ waiting and watching

impl Txn<'_> {
    /// Leaves a waiter on each of its keys.
    pub fn add_waiter(&mut self, waiter: &Arc<Waiter>) {
        for name in &waiter.keys {
            let queue = self
                .shard_mut(Keyspace::hash(&name.1))
                .waiters
                .entry(name.clone())
                .or_default();
            if !queue.iter().any(|other| Arc::ptr_eq(other, waiter)) {
                queue.push_back(Arc::clone(waiter));
            }
        }
    }

    /// Takes a waiter off all its keys.
    pub fn remove_waiter(&mut self, waiter: &Arc<Waiter>) {
        for name in &waiter.keys {
            let shard = self.shard_mut(Keyspace::hash(&name.1));
            if let Some(queue) = shard.waiters.get_mut(name) {
                queue.retain(|other| !Arc::ptr_eq(other, waiter));
                if queue.is_empty() {
                    shard.waiters.remove(name);
                }
            }
        }
    }

    /// Who waits for a key, oldest first.
    #[must_use]
    pub fn waiters(&self, name: &WaitKey) -> Vec<Arc<Waiter>> {
        let shard = self.shard(Keyspace::hash(&name.1));
        shard
            .waiters
            .get(name)
            .map(|queue| queue.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Watches a key of the selected database: the flag is raised when it changes. That a key which is overdue already
    /// goes away is no change.
    pub fn watch(&mut self, key: &[u8], flag: &Arc<WatchFlag>) {
        let name = (self.db, Box::from(key));
        let hash = self.hint.of(key);
        let watcher = Watcher {
            flag: Arc::downgrade(flag),
            overdue: self.presence(hash, self.db, key) == Presence::Overdue,
        };
        self.shard_mut(hash)
            .watchers
            .entry(name)
            .or_default()
            .push(watcher);
    }

    fn presence(&self, hash: u64, db: usize, key: &[u8]) -> Presence {
        match self.shard(hash).databases[db].find(hash, key) {
            None => Presence::Absent,
            Some(entry) if self.is_due(entry) => Presence::Overdue,
            Some(_) => Presence::Present,
        }
    }

    /// Whether the time of a watched key has come since it was watched, though it is still stored.
    #[must_use]
    pub fn has_fallen_due(&self, name: &WaitKey, flag: &Arc<WatchFlag>) -> bool {
        let hash = Keyspace::hash(&name.1);
        let known = || {
            let watchers = self.shard(hash).watchers.get(name);
            let own = |watcher: &&Watcher| std::ptr::eq(watcher.flag.as_ptr(), Arc::as_ptr(flag));
            watchers
                .and_then(|watchers| watchers.iter().find(own))
                .is_some_and(|watcher| watcher.overdue)
        };
        self.presence(hash, name.0, &name.1) == Presence::Overdue && !known()
    }

    /// Forgets watchers and waiters that went while the locks were held for long. Every shard has to be locked.
    pub fn forget_the_gone(&mut self) {
        for shard in &mut self.guards {
            shard.watchers.retain(|_, watchers| {
                watchers.retain(|watcher| watcher.flag.strong_count() > 0);
                !watchers.is_empty()
            });
            shard.waiters.retain(|_, waiters| {
                waiters.retain(|waiter| !waiter.is_claimed());
                !waiters.is_empty()
            });
        }
    }

    /// Stops watching a key.
    pub fn unwatch(&mut self, name: &WaitKey, flag: &Arc<WatchFlag>) {
        let shard = self.shard_mut(Keyspace::hash(&name.1));
        if let Some(flags) = shard.watchers.get_mut(name) {
            flags.retain(|other| {
                other.flag.strong_count() > 0
                    && !std::ptr::eq(other.flag.as_ptr(), Arc::as_ptr(flag))
            });
            if flags.is_empty() {
                shard.watchers.remove(name);
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------ whole databases

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

    /// Empties a database; returns how many keys it had. Watchers of its keys are told.
    pub fn flush_db(&mut self, db: usize) -> usize {
        self.note_watched_replacements(|watched| (watched == db).then_some(None));
        let mut removed = 0;
        for shard in &mut self.guards {
            shard.save_database(db);
            let empty = shard.empty_database();
            let old = std::mem::replace(&mut shard.databases[db], empty);
            removed += old.table.len();
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

    /// Sets the counters of all locked shards to zero.
    pub fn reset_stats(&mut self) {
        self.guards
            .iter_mut()
            .for_each(|shard| shard.stats = ShardStats::default());
    }
}
