//! A transaction: the locked shards of a command's keys, and all that a handler may do with them. They are locked before the
//! command runs and held until its effects are in the log (conservative two-phase locking). A script in Lua locks further
//! ones as it comes to their keys, and gives none back before its end.

mod change;
mod databases;
mod fields;
mod hint;
mod journal;
mod locks;
mod notes;
mod read;
mod waiting;

use crate::keyspace::batch::Guards;
use crate::keyspace::gate::Gate;
use crate::keyspace::{EventClass, Keyspace, Limits, ShardSet};
use crate::value::hash::Hash;

pub use hint::HashHint;
pub use journal::{Audience, Effects, Journal, begin_command, encode_command, encode_word};

/// The key holds another type than the command works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongType;

/// Values of at least this many bytes are dropped on the background thread.
const LARGE_VALUE: usize = 64 << 10;
/// UNLINK leaves values to it from so many bytes on.
const UNLINKED_VALUE: usize = 4 << 10;

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

/// Locked shards, one clock reading, and what has been done so far.
pub struct Txn<'k> {
    keyspace: &'k Keyspace,
    hint: HashHint,
    guards: Guards<'k>,
    /// What allows it to wait for a shard while it has others.
    gate: Option<Gate<'k>>,
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
    /// A copy of the hash that is read, without what is due, where nothing may be removed.
    left_of_hash: Option<Box<Hash>>,
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

impl<'k> Txn<'k> {
    /// Says how other work of this thread gets its turn while the locks stay held.
    pub fn set_give_way(&mut self, give_way: &'k dyn Fn()) {
        self.give_way = Some(give_way);
    }

    /// Whether there is a way to let other work of this thread run.
    #[must_use]
    pub const fn can_give_way(&self) -> bool {
        self.give_way.is_some()
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

    /// Unix time in milliseconds; it stands still until [`Self::catch_up`].
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Goes on at the time of now. It never goes back.
    pub fn catch_up(&mut self) {
        self.now_ms = self.now_ms.max(self.keyspace.now_ms());
    }

    /// Goes on at the time of the script that runs, if one does: what runs out since is still there when it comes to it.
    pub fn go_back_to_script(&mut self) {
        self.now_ms = self.now_ms.min(self.keyspace.script_now_ms());
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
