//! What a change tells: events, watchers, waiters, trackers, effects.

use super::{Entered, Txn};
use crate::keyspace::waiter::KeyRef;
use crate::keyspace::{Event, EventClass, Keyspace};

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

    pub(super) fn note_change(&mut self, hash: u64, key: &[u8], by_client: bool) {
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

    /// Notes for those who track keys that one database, or all, has been emptied. Who tracks keys is not told which.
    pub fn note_flush(&mut self) {
        if self.guards.first().is_some_and(|shard| shard.tracked) {
            let changed = self.journal.invalidated.len();
            self.journal.flushed.push(changed);
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
