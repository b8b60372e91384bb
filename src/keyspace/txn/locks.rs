//! Taking and leaving the locks of shards. No two transactions can wait for each other: one waits for a shard only while it
//! has none, or while it has the gate, of which there is one. Whoever wants several shards without the gate tries for the
//! second and further ones, and gives up what it has where one is taken. Every shard together are taken with the gate, and so
//! are those of a script in Lua, which comes to its keys one after the other.

use parking_lot::MutexGuard;

use super::hint::HashHint;
use super::journal::Journal;
use super::{Txn, TxnOptions};
use crate::keyspace::batch::Guards;
use crate::keyspace::waiter::KeyRef;
use crate::keyspace::{Keyspace, Patience, Shard, ShardSet};

/// How often a transaction gives up the shards that it has because others are taken, before it takes the gate.
const MOST_TRIES: usize = 16;

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
        txn.acquire(set, Patience::Endless);
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
        self.begin_with((Guards::new(), 0), now_ms, db, options, journal)
    }

    /// A transaction over shards that are locked already.
    #[inline]
    pub(in crate::keyspace) fn begin_with<'k>(
        &'k self,
        (guards, held): (Guards<'k>, ShardSet),
        now_ms: i64,
        db: usize,
        options: TxnOptions,
        journal: Box<Journal>,
    ) -> Txn<'k> {
        Txn {
            keyspace: self,
            hint: HashHint::NONE,
            guards,
            gate: None,
            held,
            last: NOWHERE,
            db,
            now_ms,
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

    /// Has `set` locked instead of what is locked; false, and nothing is locked, if whoever holds one of the locks says that
    /// it will take long.
    #[inline]
    pub fn relock_unless_held(&mut self, set: ShardSet) -> bool {
        let patience = Patience::UnlessHeldForLong;
        self.held == set
            || if self.held == 0 && self.gate.is_none() {
                self.acquire(set, patience)
            } else {
                self.replace(set, patience)
            }
    }

    /// The same for a script in Lua: takes the gate, so that no other one runs and [`Self::reach`] may lock further shards.
    pub fn lock_for_script_unless_held(&mut self, set: ShardSet) -> bool {
        self.unlock();
        let patience = Patience::UnlessHeldForLong;
        let locked = self.enter_gate(patience) && {
            self.stop_time();
            self.wait_for_each(set, patience)
        };
        self.give_up_unless(locked)
    }

    /// For a script time stands still from its beginning on, also in the shards that it has not come to.
    fn stop_time(&mut self) {
        if self.waited {
            self.catch_up();
        }
        if let Some(gate) = &self.gate {
            gate.stop_time_at(self.now_ms);
        }
    }

    fn replace(&mut self, set: ShardSet, patience: Patience) -> bool {
        if self.gate.is_some() && set & self.held == self.held {
            return self.wait_for_each(set, Patience::Endless);
        }
        self.unlock();
        self.acquire(set, patience)
    }

    fn unlock(&mut self) {
        self.unlock_shards();
        self.gate = None;
    }

    fn unlock_shards(&mut self) {
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

    /// Locks the shard of the only key of what follows; false, and nothing is locked, if somebody has it, or waits for a key
    /// in it. Nothing may be locked before.
    #[inline]
    pub(crate) fn lock_if_free(&mut self, key: &[u8], hint: HashHint) -> bool {
        debug_assert!(self.guards.is_empty());
        let hash = hint.of(key);
        let index = self.keyspace.shard_of(hash);
        let shard = self.keyspace.try_shard(index);
        let Some(shard) = shard.filter(|shard| shard.waiters.is_empty()) else {
            return false;
        };
        self.guards.push(shard);
        (self.held, self.last) = (1 << index, (index, 0));
        self.hint = HashHint::new(key, hash);
        true
    }

    /// Locks what is wanted; false, and nothing is locked, if that would take long.
    #[inline]
    fn acquire(&mut self, set: ShardSet, patience: Patience) -> bool {
        debug_assert!(self.guards.is_empty() && self.gate.is_none());
        let locked = if set.is_power_of_two() {
            self.wait_for(set.trailing_zeros() as usize, patience)
        } else if set == self.keyspace.all_shards() {
            self.enter_gate(patience) && self.wait_for_each(set, patience)
        } else {
            set == 0 || self.acquire_several(set, patience)
        };
        self.give_up_unless(locked)
    }

    #[inline]
    fn give_up_unless(&mut self, locked: bool) -> bool {
        if !locked {
            self.unlock();
            self.waited = true;
        }
        locked
    }

    fn acquire_several(&mut self, set: ShardSet, patience: Patience) -> bool {
        let mut first = set.trailing_zeros() as usize;
        for _ in 0..MOST_TRIES {
            if !self.wait_for(first, patience) {
                return false;
            }
            match self.try_for_each(set) {
                None => return true,
                Some(taken) => first = taken,
            }
            self.unlock_shards();
            self.waited = true;
        }
        // Others come in between all the time: with the gate it can wait for one after the other.
        self.enter_gate(patience) && self.wait_for_each(set, patience)
    }

    fn enter_gate(&mut self, patience: Patience) -> bool {
        assert!(
            self.guards.is_empty(),
            "nobody waits for the gate with shards"
        );
        let Some((gate, waited)) = self.keyspace.enter_gate(patience) else {
            return false;
        };
        self.waited |= waited;
        self.gate = Some(gate);
        true
    }

    /// Waits for those of the shards that are not locked.
    fn wait_for_each(&mut self, set: ShardSet, patience: Patience) -> bool {
        if self.guards.is_empty() && set == self.keyspace.all_shards() {
            let count = self.keyspace.shard_count();
            self.guards.reserve(count);
            self.guards.extend(self.keyspace.free_shards());
            let rest = ShardSet::MAX.checked_shl(self.guards.len() as u32);
            self.held = set & !rest.unwrap_or(0);
        }
        let mut rest = set & !self.held;
        while rest != 0 {
            if !self.wait_for(rest.trailing_zeros() as usize, patience) {
                return false;
            }
            rest &= rest - 1;
        }
        true
    }

    /// Waits for a shard that is not locked.
    #[inline]
    fn wait_for(&mut self, index: usize, patience: Patience) -> bool {
        assert!(
            self.guards.is_empty() || self.gate.is_some(),
            "nobody waits for a shard with others, unless with the gate"
        );
        let Some((guard, waited)) = self.keyspace.lock_shard(index, patience) else {
            return false;
        };
        self.waited |= waited;
        self.add(index, guard);
        true
    }

    /// Locks those of the shards that are not locked, without waiting; tells which one was taken, if one was.
    fn try_for_each(&mut self, set: ShardSet) -> Option<usize> {
        let mut rest = set & !self.held;
        while rest != 0 {
            let index = rest.trailing_zeros() as usize;
            let Some(guard) = self.keyspace.try_shard(index) else {
                return Some(index);
            };
            self.add(index, guard);
            rest &= rest - 1;
        }
        None
    }

    #[inline]
    fn add(&mut self, index: usize, guard: MutexGuard<'k, Shard>) {
        if self.guards.is_empty() {
            self.guards.push(guard);
        } else {
            self.guards.insert(self.place_of(index), guard);
        }
        self.held |= 1 << index;
        self.last = NOWHERE;
    }

    /// Releases the locks; what was collected is returned, for its memory and for what must be dropped now.
    #[must_use]
    #[inline]
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

    /// Locks every shard, with the gate. Where only some are locked, and not for a script in Lua, they are released first, so
    /// this is for the start of a command: nothing read before may be relied on.
    pub fn lock_all(&mut self) {
        if self.gate.is_none() || !self.holds_all() {
            let all = self.keyspace.all_shards();
            if self.gate.is_none() {
                self.unlock();
                self.enter_gate(Patience::Endless);
            }
            self.wait_for_each(all, Patience::Endless);
        }
    }

    /// Has `set` locked instead of what is locked. What a script in Lua has stays locked, as far as `set` has it too.
    pub fn relock(&mut self, set: ShardSet) {
        if self.held != set {
            self.replace(set, Patience::Endless);
        }
    }

    /// Has `set` locked too, without giving back anything; false if that may not be done: only whoever has the gate may wait
    /// for further shards.
    #[inline]
    pub fn reach(&mut self, set: ShardSet) -> bool {
        set & !self.held == 0 || self.gate.is_some() && self.wait_for_each(set, Patience::Endless)
    }

    /// Whether it has the gate: no other script in Lua runs, nobody else has every shard, and further shards can be locked.
    #[must_use]
    #[inline]
    pub const fn has_gate(&self) -> bool {
        self.gate.is_some()
    }

    /// Lets whoever waits for one of the locked shards have it, and locks the same again. Nothing read before may be
    /// relied on.
    pub fn give_turn(&mut self) {
        let set = self.held;
        self.guards.drain(..).for_each(MutexGuard::unlock_fair);
        if let Some(gate) = self.gate.take() {
            gate.leave_fairly();
        }
        self.unlock();
        self.acquire(set, Patience::Endless);
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
            self.place_of(index)
        }
    }

    /// The place of a shard among those that are locked, or the one that it would have.
    #[inline]
    const fn place_of(&self, index: usize) -> usize {
        (self.held & ((1 << index) - 1)).count_ones() as usize
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
        shard.prepare_change(db, hash, false);
        shard
    }

    /// The same where nothing is to change but elements of the value or its expiry, or where the entry goes, and is discarded.
    #[inline]
    pub(super) fn changing_elements(&mut self, hash: u64) -> &mut Shard {
        let db = self.db;
        let shard = self.shard_mut(hash);
        shard.prepare_change(db, hash, true);
        shard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(keyspace: &Keyspace, set: ShardSet) -> Txn<'_> {
        keyspace.begin(set, 0, TxnOptions::default(), Journal::default())
    }

    #[test]
    fn with_the_gate_shards_are_added_in_any_order() {
        let keyspace = Keyspace::new(64, 1, 5);
        let keys: Vec<String> = (0..300).map(|number| format!("key:{number}")).collect();
        let mut txn = begin(&keyspace, 0);
        assert!(!txn.reach(1), "only with the gate");
        assert!(txn.lock_for_script_unless_held(1 << 40));
        for key in &keys {
            assert!(txn.reach(keyspace.shard_set([key.as_bytes()])));
            txn.insert_string(key.as_bytes(), key.as_bytes(), None);
            assert!(txn.held() & 1 << 40 != 0);
        }
        txn.lock_all();
        assert!(txn.holds_all() && txn.has_gate());
        assert_eq!(txn.db_len(0), keys.len());
        for key in &keys {
            assert!(txn.peek(key.as_bytes()).is_some());
        }
        txn.relock(2);
        assert!(txn.held() == 2 && !txn.has_gate());
    }

    #[test]
    fn what_runs_out_under_a_script_is_there_when_it_comes_to_it() {
        let keyspace = Keyspace::new(64, 1, 5);
        let key = b"key";
        let set = keyspace.shard_set([&key[..]]);
        keyspace.set_now_ms(Some(1000));
        begin(&keyspace, set).insert_string(key, b"value", Some(1500));
        let mut script = begin(&keyspace, 0);
        assert!(script.lock_for_script_unless_held(0));
        keyspace.set_now_ms(Some(2000));
        assert!(begin(&keyspace, set).read(key).is_none());
        let mut cleaning = begin(&keyspace, set);
        cleaning.go_back_to_script();
        assert_eq!(cleaning.expire_due(10), 0);
        drop(cleaning);
        assert!(script.reach(set) && script.read(key).is_some());
        drop(script);
        let mut after = begin(&keyspace, set);
        assert!(after.read(key).is_none() && after.stored(key).is_none());
    }

    /// Were a shard kept while another is waited for, this would not end.
    #[test]
    fn who_waits_for_a_shard_has_no_other() {
        let keyspace = Keyspace::new(4, 1, 5);
        for wanted in [0b1011, 0b0111] {
            let last = begin(&keyspace, 0b1000 & wanted);
            let middle = begin(&keyspace, 0b0010);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| begin(&keyspace, wanted).held());
                let others = wanted & !0b1010;
                for _ in 0..2000 {
                    let other = begin(&keyspace, others & others.wrapping_neg());
                    assert!(!waiting.is_finished());
                    drop(other);
                    std::thread::yield_now();
                }
                drop((last, middle));
                assert_eq!(waiting.join().expect("no panic"), wanted);
            });
        }
    }
}
