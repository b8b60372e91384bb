//! Taking and leaving the locks of shards, in ascending order.

use parking_lot::MutexGuard;

use super::hint::HashHint;
use super::journal::Journal;
use super::{Txn, TxnOptions};
use crate::keyspace::batch::Guards;
use crate::keyspace::waiter::KeyRef;
use crate::keyspace::{Keyspace, Shard, ShardSet};

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
    pub(in crate::keyspace) const fn begin_with<'k>(
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
            left_of_hash: None,
            journal,
        }
    }
}

/// No shard was looked up.
pub(super) const NOWHERE: (usize, usize) = (usize::MAX, 0);

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
    pub(super) fn slot(&self, hash: u64) -> usize {
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
    pub(in crate::keyspace) fn shard(&self, hash: u64) -> &Shard {
        &self.guards[self.slot(hash)]
    }

    #[inline]
    pub(super) fn shard_mut(&mut self, hash: u64) -> &mut Shard {
        let slot = self.slot(hash);
        &mut self.guards[slot]
    }

    /// The shard of a hash whose entry in the selected database is about to change.
    #[inline]
    pub(super) fn changing(&mut self, hash: u64) -> &mut Shard {
        let db = self.db;
        let shard = self.shard_mut(hash);
        shard.prepare_change(db, hash);
        shard
    }
}
