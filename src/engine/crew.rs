//! Threads that load together. Each has shards of its own, so that what concerns one key stays in order, and nobody waits
//! for another's locks. Knows batches, and not what is in them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::{Condvar, Mutex};

use super::Inner;
use crate::error::Error;
use crate::keyspace::txn::Journal;
use crate::keyspace::{Keyspace, ShardSet, Txn};

/// Batches that may wait for a thread, so that memory stays bounded.
const QUEUED: usize = 4;
/// More threads than these wait for the one that reads.
const MOST_WORKERS: usize = 8;

/// What the threads tell the one that feeds them.
#[derive(Debug, Default)]
struct State {
    /// Batches that were handed out and are not done.
    outstanding: Mutex<usize>,
    /// Told when there are none.
    idle: Condvar,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
}

/// One batch less to do, whatever becomes of it.
struct Done<'a>(&'a State);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let mut outstanding = self.0.outstanding.lock();
        *outstanding -= 1;
        if *outstanding == 0 {
            self.0.idle.notify_all();
        }
    }
}

/// The threads, as the one sees them that feeds them.
pub(super) struct Crew<'a, B> {
    state: &'a State,
    queues: Vec<SyncSender<B>>,
    shards: usize,
}

impl<B> Crew<'_, B> {
    /// How many threads there are.
    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// Whose the shard is.
    pub(super) fn worker_of(&self, shard: usize) -> usize {
        worker_of(shard, self.shards, self.queues.len())
    }

    /// Hands a batch to a thread; waits while it has too many.
    pub(super) fn send(&self, worker: usize, batch: B) {
        *self.state.outstanding.lock() += 1;
        let sent = self
            .queues
            .get(worker)
            .is_some_and(|queue| queue.send(batch).is_ok());
        if !sent {
            drop(Done(self.state));
        }
    }

    /// Waits until all is done that was handed out.
    pub(super) fn drain(&self) {
        let mut outstanding = self.state.outstanding.lock();
        while *outstanding > 0 {
            self.state.idle.wait(&mut outstanding);
        }
    }

    /// Whether a thread has met an error: nothing more is done then.
    pub(super) fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::Relaxed)
    }
}

/// Neighbouring shards have the same owner.
fn worker_of(shard: usize, shards: usize, workers: usize) -> usize {
    shard * workers / shards
}

/// How many threads load on this machine.
pub(super) fn workers(keyspace: &Keyspace) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors
        .clamp(1, MOST_WORKERS)
        .min(keyspace.shard_count())
}

/// Runs `feed` beside threads that apply what it hands out, each batch in a transaction over the shards of its thread.
/// Nothing may be locked.
///
/// # Errors
///
/// The first error of a thread, or that of `feed`.
pub(super) fn with_crew<B: Send, R>(
    inner: &Inner,
    apply: impl Fn(&mut Txn<'_>, B) -> Result<(), Error> + Sync,
    feed: impl FnOnce(&Crew<'_, B>) -> Result<R, Error>,
) -> Result<R, Error> {
    let state = State::default();
    let (workers, shards) = (workers(&inner.keyspace), inner.keyspace.shard_count());
    let result = std::thread::scope(|scope| {
        let mut queues = Vec::new();
        for worker in 0..workers {
            let (queue, batches) = sync_channel(QUEUED);
            let owned = (0..shards)
                .filter(|shard| worker_of(*shard, shards, workers) == worker)
                .fold(0, |set: ShardSet, shard| set | 1 << shard);
            let (state, apply) = (&state, &apply);
            std::thread::Builder::new()
                .name(format!("innkeep-loader-{worker}"))
                .spawn_scoped(scope, move || work(inner, owned, &batches, apply, state))?;
            queues.push(queue);
        }
        let crew = Crew {
            state: &state,
            queues,
            shards,
        };
        let result = feed(&crew);
        crew.drain();
        result
    });
    match state.failure.lock().take() {
        Some(error) => Err(error),
        None => result,
    }
}

fn work<B>(
    inner: &Inner,
    owned: ShardSet,
    batches: &Receiver<B>,
    apply: &impl Fn(&mut Txn<'_>, B) -> Result<(), Error>,
    state: &State,
) {
    let mut journal = Box::<Journal>::default();
    while let Ok(batch) = batches.recv() {
        let _done = Done(state);
        if state.failed.load(Ordering::Relaxed) {
            continue;
        }
        let mut txn = inner
            .keyspace
            .begin(owned, 0, inner.options(), std::mem::take(&mut journal));
        let result = apply(&mut txn, batch);
        journal = inner.close(txn);
        if let Err(error) = result {
            state.failure.lock().get_or_insert(error);
            state.failed.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn every_shard_has_one_owner_and_owners_have_alike_many() {
        for shards in [1, 4, 64] {
            for workers in 1..=shards.min(MOST_WORKERS) {
                let owners: Vec<usize> = (0..shards)
                    .map(|shard| worker_of(shard, shards, workers))
                    .collect();
                assert!(owners.is_sorted());
                assert_eq!(owners.last(), Some(&(workers - 1)));
            }
        }
    }

    #[test]
    fn an_error_of_a_thread_ends_the_load() {
        let engine = Engine::in_memory();
        let applied = Mutex::new(0);
        let result = with_crew(
            &engine.0,
            |_, batch: usize| {
                *applied.lock() += 1;
                if batch == 3 {
                    return Err(Error::NoLog);
                }
                Ok(())
            },
            |crew| {
                for batch in 0..1000 {
                    crew.send(batch % crew.len(), batch);
                    crew.drain();
                }
                Ok(())
            },
        );
        assert!(matches!(result, Err(Error::NoLog)));
        assert_eq!(*applied.lock(), 4);
    }
}
