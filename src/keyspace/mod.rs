//! Keys to values: entries, shards and the transactions that lock them, expiry, events, waiters and watchers.
//! It knows no command, no reply, no log and no socket.

pub mod access;
pub mod batch;
pub mod entry;
pub mod events;
pub mod eviction;
mod gate;
pub mod lease;
pub mod parts;
pub mod shard;
pub mod txn;
pub mod waiter;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};

pub use access::AccessClock;
pub use batch::{Lookup, MOST_LOOKUPS};
pub use entry::{Entry, Value, ValueRef};
pub use events::{Event, EventClass};
pub use eviction::{Candidate, Choice, EvictionPolicy};
pub use lease::Lease;
pub use parts::{Part, Source};
pub use shard::{Database, Expiring, Limits, Shard, ShardStats, SnapshotSink};
pub use txn::{Txn, WrongType};
pub use waiter::{WaitKey, Waiter, WatchFlag};

use crate::value::hasher::hash_bytes;

/// Most shards there can be: a set of shards is one machine word.
pub const MAX_SHARDS: usize = 64;

/// A set of shards, one bit each.
pub type ShardSet = u64;

/// All databases, split by the hash of the key into shards.
#[derive(Debug)]
pub struct Keyspace {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    /// Whoever has it may wait for a shard while it has others; see [`Txn`].
    gate: CachePadded<Mutex<()>>,
    /// Top bits of a hash that choose the shard.
    shard_bits: u32,
    databases: usize,
    next_random: AtomicU64,
    /// Stands in for the clock when tests stop time; negative: the real clock.
    fixed_now_ms: AtomicI64,
    /// Whoever holds the locks says that it will take long.
    held_for_long: AtomicBool,
    /// At which time a script runs that may come to any key, in Unix milliseconds; far away where none does.
    script_now_ms: AtomicI64,
}

/// How long a thread waits for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until it is free.
    Endless,
    /// Until it is free, or whoever has it says that it will take long.
    UnlessHeldForLong,
}

/// How often a thread that waits for a lock looks whether it should go on waiting.
const LOCK_PATIENCE: Duration = Duration::from_millis(10);

impl Keyspace {
    /// An empty keyspace. `shards` is rounded up to a power of two of at most [`MAX_SHARDS`]; `seed` starts the
    /// random source.
    #[must_use]
    pub fn new(shards: usize, databases: usize, seed: u64) -> Self {
        let count = shards.clamp(1, MAX_SHARDS).next_power_of_two();
        let shard_bits = count.trailing_zeros();
        let shards = (0..count)
            .map(|_| CachePadded::new(Mutex::new(Shard::new(databases, shard_bits))))
            .collect();
        Self {
            shards,
            gate: CachePadded::new(Mutex::new(())),
            shard_bits,
            databases,
            next_random: AtomicU64::new(seed),
            fixed_now_ms: AtomicI64::new(-1),
            held_for_long: AtomicBool::new(false),
            script_now_ms: AtomicI64::new(i64::MAX),
        }
    }

    /// Says whether the locks are held by something that may take long, so that nobody waits for them.
    pub fn set_held_for_long(&self, held: bool) {
        self.held_for_long.store(held, Ordering::Release);
    }

    /// Whether the locks are held by something that may take long.
    #[must_use]
    pub fn is_held_for_long(&self) -> bool {
        self.held_for_long.load(Ordering::Acquire)
    }

    /// The time for a script that runs and may come to any key: what runs out later is there for it. Far away where none runs.
    pub(crate) fn script_now_ms(&self) -> i64 {
        self.script_now_ms.load(Ordering::Acquire)
    }

    /// Number of databases.
    #[must_use]
    pub const fn databases(&self) -> usize {
        self.databases
    }

    /// Number of shards.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// The keyed hash of a key.
    #[must_use]
    pub fn hash(key: &[u8]) -> u64 {
        hash_bytes(key)
    }

    /// The shard of a hash.
    #[must_use]
    pub const fn shard_of(&self, hash: u64) -> usize {
        if self.shard_bits == 0 {
            0
        } else {
            (hash >> (64 - self.shard_bits)) as usize
        }
    }

    /// The shards of all these keys.
    #[must_use]
    pub fn shard_set<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> ShardSet {
        keys.into_iter()
            .fold(0, |set, key| set | 1 << self.shard_of(Self::hash(key)))
    }

    /// Every shard.
    #[must_use]
    pub fn all_shards(&self) -> ShardSet {
        if self.shards.len() == MAX_SHARDS {
            ShardSet::MAX
        } else {
            (1 << self.shards.len()) - 1
        }
    }

    /// Walks what the snapshot of this sink has not seen yet, one segment, or a part of a large value, under its lock at a
    /// time; returns when the sink has got everything, or the snapshot was given up. `pace` is called between them, with
    /// nothing locked; an error ends the walk.
    pub fn walk_snapshot<E>(
        &self,
        sink: &Arc<dyn SnapshotSink>,
        mut pace: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let walk = self.walk_shards(sink, &mut pace);
        self.end_snapshot(sink);
        walk
    }

    /// Gives up the snapshot of this sink; without effect when it is over. Locks one shard after the other.
    pub fn end_snapshot(&self, sink: &Arc<dyn SnapshotSink>) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            if shard.is_saving_to(sink) {
                shard.end_snapshot();
            }
            let done = shard.take_done();
            drop(shard);
            drop(done);
        }
    }

    fn walk_shards<E>(
        &self,
        sink: &Arc<dyn SnapshotSink>,
        pace: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        for shard in &self.shards {
            for db in 0..self.databases {
                let (mut position, mut goes_on) = (Some(0), true);
                while goes_on {
                    let mut locked = shard.lock();
                    // Another may have begun since this one was given up.
                    goes_on =
                        locked.is_saving_to(sink) && locked.continue_snapshot(db, &mut position);
                    let done = locked.take_done();
                    // Whoever waits for the shard comes before the next segment.
                    MutexGuard::unlock_fair(locked);
                    drop(done);
                    pace()?;
                }
            }
        }
        Ok(())
    }

    /// Locks shards from the first on, until one is locked already.
    pub(crate) fn free_shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map_while(|shard| shard.try_lock())
    }

    /// Locks a shard; tells whether somebody else had it. `None` if whoever has it says that it will take long.
    #[inline]
    pub(crate) fn lock_shard(
        &self,
        index: usize,
        patience: Patience,
    ) -> Option<(MutexGuard<'_, Shard>, bool)> {
        self.lock(&self.shards[index], patience)
    }

    #[inline]
    fn lock<'k, T>(
        &self,
        mutex: &'k Mutex<T>,
        patience: Patience,
    ) -> Option<(MutexGuard<'k, T>, bool)> {
        if let Some(guard) = mutex.try_lock() {
            return Some((guard, false));
        }
        if patience == Patience::Endless {
            return Some((mutex.lock(), true));
        }
        while !self.is_held_for_long() {
            if let Some(guard) = mutex.try_lock_for(LOCK_PATIENCE) {
                return Some((guard, true));
            }
        }
        None
    }

    /// Locks a shard if nobody else has it.
    #[inline]
    pub(crate) fn try_shard(&self, index: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards[index].try_lock()
    }

    /// Unix time in milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    /// Unix time in microseconds.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        let fixed = self.fixed_now_ms.load(Ordering::Relaxed);
        if fixed >= 0 {
            return fixed * 1000;
        }
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        since.as_secs() as i64 * 1_000_000 + i64::from(since.subsec_micros())
    }

    /// Stops the clock at a time, or lets it run again with `None`. For tests.
    pub fn set_now_ms(&self, now: Option<i64>) {
        self.fixed_now_ms
            .store(now.unwrap_or(-1), Ordering::Relaxed);
    }

    /// The next number of the random source: splitmix64 over a shared counter, so that a seed replays a run.
    pub fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .next_random
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
