//! The gate: whoever has it may wait for a shard while it has others, and nobody else may.

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::{Keyspace, Patience};

/// The gate, passed. Dropped behind the shards that were locked with it.
pub(super) struct Gate<'k> {
    keyspace: &'k Keyspace,
    guard: Option<MutexGuard<'k, ()>>,
}

impl Keyspace {
    /// Waits for the gate; tells whether somebody else had it. `None` if whoever has it says that it will take long.
    pub(super) fn enter_gate(&self, patience: Patience) -> Option<(Gate<'_>, bool)> {
        let (guard, waited) = self.lock(&self.gate, patience)?;
        let gate = Gate {
            keyspace: self,
            guard: Some(guard),
        };
        Some((gate, waited))
    }
}

impl Gate<'_> {
    /// Whoever has it may come to any key, for which it is this time, in Unix milliseconds, from now on.
    pub(super) fn stop_time_at(&self, now_ms: i64) {
        let stopped = &self.keyspace.script_now_ms;
        stopped.store(now_ms, Ordering::Release);
    }

    /// Hands it to whoever waits for it.
    pub(super) fn leave_fairly(mut self) {
        self.end_time();
        if let Some(guard) = self.guard.take() {
            MutexGuard::unlock_fair(guard);
        }
    }

    fn end_time(&self) {
        let stopped = &self.keyspace.script_now_ms;
        stopped.store(i64::MAX, Ordering::Release);
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        if self.guard.is_some() {
            self.end_time();
        }
    }
}
