//! Who waits for keys and who watches them.

use std::sync::Arc;

use super::Txn;
use crate::keyspace::Keyspace;
use crate::keyspace::shard::{Presence, Watcher};
use crate::keyspace::waiter::{WaitKey, Waiter, WatchFlag};

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

    pub(super) fn presence(&self, hash: u64, db: usize, key: &[u8]) -> Presence {
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
