//! The background thread: removes expired keys when their time has come, and drops large values outside the locks. It
//! sleeps until something is due: an engine with nothing to do wakes nobody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Inner;
use super::slack::{self, Slack};
use crate::keyspace::txn::Journal;
use crate::keyspace::{Database, Value};
use crate::memory::allocated_memory;

/// Expired keys removed under one shard's lock at a time.
const EXPIRE_BATCH: usize = 64;
/// Shortest pause between two rounds, so that keys which expire one after the other share a round.
const SHORTEST_PAUSE_MS: i64 = 20;
/// Pause while expired keys are left alone (loading, CLIENT PAUSE, DEBUG SET-ACTIVE-EXPIRE 0).
const IDLE_PAUSE_MS: i64 = 100;

/// What is to be dropped, and what tells how much was.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    values: Vec<Value>,
    databases: Vec<Database>,
    /// Bytes that were in use before much was dropped elsewhere; 0: nothing was.
    used_before: usize,
}

impl Garbage {
    /// What a transaction has left.
    pub(super) fn of(journal: &mut Journal) -> Self {
        let used_before = std::mem::take(&mut journal.used_before);
        let now = || allocated_memory().unwrap_or(0);
        let was_much = used_before > 0 && used_before.saturating_sub(now()) >= slack::LEAST;
        Self {
            values: std::mem::take(&mut journal.discarded),
            databases: std::mem::take(&mut journal.emptied),
            used_before: if was_much { used_before } else { 0 },
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.values.is_empty() && self.databases.is_empty() && self.used_before == 0
    }

    /// How many objects it has, as INFO counts them.
    pub(super) fn len(&self) -> u64 {
        let keys: usize = self.databases.iter().map(Database::len).sum();
        (self.values.len() + keys) as u64
    }

    fn add(&mut self, more: Self) {
        self.values.extend(more.values);
        self.databases.extend(more.databases);
        self.used_before = self.used_before.max(more.used_before);
    }
}

#[derive(Debug, Default)]
struct State {
    garbage: Garbage,
    /// The log is to be rewritten.
    rewrite: bool,
    /// When it is to be tried again, in Unix milliseconds.
    next_rewrite_ms: Option<i64>,
    /// Save points and scheduled saves are to be looked at.
    save_check: bool,
    /// When the next save point is reached, in Unix milliseconds.
    next_save_ms: Option<i64>,
    /// When replicas are to be looked after, in Unix milliseconds.
    next_beat_ms: Option<i64>,
    /// Keys are to be evicted.
    evict: bool,
    /// Tasks that wait for a time (Unix milliseconds); the second number tells equal times apart.
    timers: BTreeMap<(i64, u64), Waker>,
    last_timer: u64,
    stop: bool,
}

impl State {
    fn has_rewrite(&self, now_ms: i64) -> bool {
        self.rewrite || self.next_rewrite_ms.is_some_and(|at| at <= now_ms)
    }

    fn take_rewrite(&mut self, now_ms: i64) -> bool {
        let due = self.has_rewrite(now_ms);
        if due {
            (self.rewrite, self.next_rewrite_ms) = (false, None);
        }
        due
    }

    fn has_save_check(&self, now_ms: i64) -> bool {
        self.save_check || self.next_save_ms.is_some_and(|at| at <= now_ms)
    }

    fn has_beat(&self, now_ms: i64) -> bool {
        self.next_beat_ms.is_some_and(|at| at <= now_ms)
    }

    fn take_beat(&mut self, now_ms: i64) -> bool {
        let due = self.has_beat(now_ms);
        if due {
            self.next_beat_ms = None;
        }
        due
    }

    fn take_save_check(&mut self, now_ms: i64) -> bool {
        let due = self.has_save_check(now_ms);
        if due {
            (self.save_check, self.next_save_ms) = (false, None);
        }
        due
    }
}

/// A task's wish to be woken; dropped, it is forgotten.
#[derive(Debug)]
pub(crate) struct Timer {
    shared: Arc<Shared>,
    key: (i64, u64),
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.state.lock().timers.remove(&self.key);
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// When the next round is due, in Unix milliseconds; changed under the lock, read without it.
    next_round_ms: AtomicI64,
}

impl Shared {
    fn request_rewrite(&self) {
        self.state.lock().rewrite = true;
        self.wake.notify_one();
    }

    fn request_beat(&self, at_ms: i64) {
        let mut state = self.state.lock();
        state.next_beat_ms = Some(state.next_beat_ms.map_or(at_ms, |at| at.min(at_ms)));
        drop(state);
        self.wake.notify_one();
    }
}

/// Woken by the log on a thread of its own, where nothing may be done that takes long.
struct BeatWaker(Arc<Shared>);

impl Wake for BeatWaker {
    fn wake(self: Arc<Self>) {
        self.0.request_beat(0);
    }
}

/// Woken by a log that is lost, on its thread.
struct RewriteWaker(Arc<Shared>);

impl Wake for RewriteWaker {
    fn wake(self: Arc<Self>) {
        self.0.request_rewrite();
    }
}

/// The thread's mailbox.
#[derive(Debug)]
pub struct Background(Arc<Shared>);

impl Default for Background {
    fn default() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            next_round_ms: AtomicI64::new(i64::MAX),
        }))
    }
}

impl Background {
    /// Starts the thread.
    pub(super) fn start(&self, inner: &Arc<Inner>) -> std::io::Result<()> {
        let (engine, shared) = (Arc::downgrade(inner), Arc::clone(&self.0));
        inner
            .threads
            .start("innkeep-background", move || run(&engine, &shared))
    }

    /// Ends the thread, soon.
    pub(super) fn stop(&self) {
        self.0.state.lock().stop = true;
        self.0.wake.notify_one();
    }

    /// Drops garbage on the thread.
    pub(super) fn drop_garbage(&self, garbage: Garbage) {
        self.0.state.lock().garbage.add(garbage);
        self.0.wake.notify_one();
    }

    /// Has the log rewritten, soon.
    pub(crate) fn request_rewrite(&self) {
        self.0.request_rewrite();
    }

    /// What has the log rewritten when it is woken.
    pub(crate) fn rewrite_waker(&self) -> Waker {
        Waker::from(Arc::new(RewriteWaker(Arc::clone(&self.0))))
    }

    /// Has the log rewritten at a time, or earlier.
    pub(crate) fn request_rewrite_at(&self, at_ms: i64) {
        let mut state = self.0.state.lock();
        state.next_rewrite_ms = Some(state.next_rewrite_ms.map_or(at_ms, |at| at.min(at_ms)));
        drop(state);
        self.0.wake.notify_one();
    }

    /// Has the save points looked at, soon.
    pub(crate) fn request_save_check(&self) {
        self.0.state.lock().save_check = true;
        self.0.wake.notify_one();
    }

    /// Has replicas looked after at a time, or earlier.
    pub(crate) fn request_beat(&self, at_ms: i64) {
        self.0.request_beat(at_ms);
    }

    /// What asks for a beat when it is woken.
    pub(crate) fn beat_waker(&self) -> Waker {
        Waker::from(Arc::new(BeatWaker(Arc::clone(&self.0))))
    }

    /// Has keys evicted, as `maxmemory` wants.
    pub(crate) fn request_eviction(&self) {
        self.0.state.lock().evict = true;
        self.0.wake.notify_one();
    }

    /// Wakes a task at a time.
    pub(crate) fn wake_at(&self, at_ms: i64, waker: Waker) -> Timer {
        let mut state = self.0.state.lock();
        state.last_timer += 1;
        let key = (at_ms, state.last_timer);
        state.timers.insert(key, waker);
        drop(state);
        self.0.wake.notify_one();
        Timer {
            shared: Arc::clone(&self.0),
            key,
        }
    }

    /// Tells that a key expires at this time.
    pub(crate) fn expiry_set(&self, at_ms: i64) {
        if at_ms < self.0.next_round_ms.load(Ordering::Relaxed) {
            let state = self.0.state.lock();
            self.0.next_round_ms.fetch_min(at_ms, Ordering::Relaxed);
            drop(state);
            self.0.wake.notify_one();
        }
    }
}

fn run(engine: &Weak<Inner>, shared: &Shared) {
    let mut slack = Slack::default();
    let used = || allocated_memory().unwrap_or(0);
    while let Some(garbage) = wait(engine, shared) {
        slack.note(used().max(garbage.used_before));
        let freed = garbage.len();
        drop(garbage);
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let stats = &engine.services.stats;
        stats.lazy_freed.fetch_add(freed, Ordering::Relaxed);
        stats.lazy_free_pending.fetch_sub(freed, Ordering::Release);
        let (rewrite, evict) = {
            let mut state = shared.state.lock();
            (
                state.take_rewrite(engine.keyspace.now_ms()),
                std::mem::take(&mut state.evict),
            )
        };
        if evict && engine.evict_round() {
            shared.state.lock().evict = true;
        }
        if rewrite {
            engine.rewrite_now();
        }
        let now_ms = engine.keyspace.now_ms();
        if shared.state.lock().take_save_check(now_ms) {
            let next = engine.save_if_due();
            shared.state.lock().next_save_ms = next;
        }
        let beats = shared.state.lock().take_beat(now_ms);
        if beats && let Some(next) = engine.beat() {
            engine.background.request_beat(next);
        }
        if shared.next_round_ms.load(Ordering::Relaxed) < now_ms {
            shared.next_round_ms.store(i64::MAX, Ordering::Relaxed);
            if let Some(next) = engine.expire_round() {
                let next = next.max(now_ms + SHORTEST_PAUSE_MS);
                shared.next_round_ms.fetch_min(next, Ordering::Relaxed);
            }
        }
        if slack.pays(used()) {
            engine.services.stats.purge();
        }
    }
}

/// Waits for garbage or for the next round; `None` when the engine is gone.
fn wait(engine: &Weak<Inner>, shared: &Shared) -> Option<Garbage> {
    let mut state = shared.state.lock();
    loop {
        // The last to hold the engine may be this one, and what it drops takes the lock.
        let now_ms = MutexGuard::unlocked(&mut state, || {
            engine.upgrade().map(|engine| engine.keyspace.now_ms())
        })?;
        wake_due(&mut state, now_ms);
        // Both may have let the lock go, so this is seen last before the wait.
        if state.stop {
            return None;
        }
        let next = shared.next_round_ms.load(Ordering::Relaxed);
        if !state.garbage.is_empty()
            || state.has_rewrite(now_ms)
            || state.evict
            || next < now_ms
            || state.has_save_check(now_ms)
            || state.has_beat(now_ms)
        {
            return Some(std::mem::take(&mut state.garbage));
        }
        let next = state
            .timers
            .first_key_value()
            .map_or(next, |((at, _), _)| next.min(*at - 1));
        let next = state.next_save_ms.map_or(next, |at| next.min(at - 1));
        let next = state.next_beat_ms.map_or(next, |at| next.min(at - 1));
        let next = state.next_rewrite_ms.map_or(next, |at| next.min(at - 1));
        if next == i64::MAX {
            shared.wake.wait(&mut state);
        } else {
            let pause = Duration::from_millis((next - now_ms + 1).unsigned_abs());
            shared.wake.wait_for(&mut state, pause);
        }
    }
}

/// Wakes whose time has come, with the lock released: a waker may do anything.
fn wake_due(state: &mut MutexGuard<'_, State>, now_ms: i64) {
    let mut due = Vec::new();
    while let Some(entry) = state.timers.first_entry()
        && entry.key().0 <= now_ms
    {
        due.push(entry.remove());
    }
    if !due.is_empty() {
        MutexGuard::unlocked(state, || due.into_iter().for_each(Waker::wake));
    }
}

impl Inner {
    /// Removes keys whose time has come, shard by shard, and returns when the next may be due.
    pub(crate) fn expire_round(&self) -> Option<i64> {
        if self.services.primary.is_followed() {
            return self.expire_own_keys();
        }
        if self.is_loading()
            || self.is_paused()
            || !self.services.switches.active_expire.load(Ordering::Relaxed)
        {
            return Some(self.keyspace.now_ms() + IDLE_PAUSE_MS);
        }
        let latency = &self.services.latency;
        latency.begin("expire-cycle", self.keyspace.now_ms());
        let lazily = self.services.config.read().bool("lazyfree-lazy-expire");
        let next = (0..self.keyspace.shard_count())
            .filter_map(|shard| self.expire_shard(shard, lazily))
            .min();
        latency.end(self.keyspace.now_ms());
        next
    }

    /// Large values are dropped here, with nothing locked and as a part of the cycle, unless `lazyfree-lazy-expire` leaves
    /// them for later.
    fn expire_shard(&self, shard: usize, lazily: bool) -> Option<i64> {
        loop {
            let mut txn = self.begin(
                1 << shard,
                0,
                Journal {
                    apart: true,
                    ..Journal::default()
                },
            );
            let now_ms = txn.now_ms();
            txn.go_back_to_script();
            let due = txn.next_expiry_ms().is_some_and(|at| at < txn.now_ms());
            let removed = if due { txn.expire_due(EXPIRE_BATCH) } else { 0 };
            // What waits for the end of a script comes soon enough in the next millisecond.
            let next = txn.next_expiry_ms().map(|next| {
                if txn.now_ms() < now_ms {
                    next.max(now_ms + 1)
                } else {
                    next
                }
            });
            self.finish(&mut txn, 0);
            if lazily {
                self.close(txn);
            } else {
                drop(txn.into_journal());
            }
            if removed < EXPIRE_BATCH {
                return next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    /// However the last owner and the thread's own look at the engine fall together, the thread ends.
    #[test]
    fn the_thread_ends_with_its_engine() {
        for _ in 0..200 {
            let engine = Engine::in_memory();
            let shared = Arc::clone(&engine.0.background.0);
            let timer = engine.0.background.wake_at(0, Waker::noop().clone());
            drop(engine);
            drop(timer);
            assert_eq!(Arc::strong_count(&shared), 1);
        }
    }
}
