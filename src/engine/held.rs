//! The locks of a batch of short commands, taken together before the first of them runs and given back behind the last:
//! a command then finds its shard locked. Whatever is not short, or may want further locks, has them given back first.

use super::execute::perform;
use super::session::{Flow, Session};
use super::{Engine, Inner};
use crate::commands::Command;
#[cfg(feature = "server")]
use crate::keyspace::Lookup;
use crate::keyspace::txn::HashHint;
use crate::keyspace::{ShardSet, Txn};
use crate::reply::Reply;

/// The shards that a batch looks into, as far as nobody else had them; or none.
#[derive(Debug)]
pub(crate) struct Held<'e> {
    txn: Option<Txn<'e>>,
    set: ShardSet,
}

impl Held<'_> {
    /// No locks: each command takes its own.
    pub(crate) const fn nothing() -> Self {
        Self { txn: None, set: 0 }
    }

    /// Gives the locks back, if there are any.
    #[inline]
    pub(crate) fn release(&mut self, session: &mut Session) {
        if let Some(txn) = self.txn.take() {
            session.take_back(txn);
        }
    }
}

impl Engine {
    /// Brings what the commands of a batch look for towards the processor, and has its shards stay locked where nothing
    /// out of the ordinary is in force. That, the time and who wants effects are looked at here for all of them: they have
    /// all arrived before, and nobody sees between two of them a key that they work on.
    #[cfg(feature = "server")]
    pub(crate) fn hold(&self, session: &mut Session, lookups: &[Lookup<'_>]) -> Held<'_> {
        let (keyspace, db) = (&self.0.keyspace, session.state.db);
        if !session.is_calm(true) {
            keyspace.prefetch(db, lookups);
            return Held::nothing();
        }
        let now_ms = session.tally.begin(&self.0, true) / 1000;
        let journal = session.journal.take().unwrap_or_default();
        let mut txn = keyspace.begin_batch(now_ms, db, lookups, self.0.options(), journal);
        self.0.look_again(&mut txn);
        if self.0.services.primary.is_followed() {
            // Since a moment ago.
            session.take_back(txn);
            return Held::nothing();
        }
        Held {
            set: txn.held(),
            txn: Some(txn),
        }
    }
}

impl Session {
    /// Runs a short command under the locks of its batch; `None` if they do not do for it.
    #[inline]
    pub(super) fn run_held(
        &mut self,
        held: &mut Held<'_>,
        (command, hint): (&'static Command, HashHint),
        args: &[&[u8]],
        reply: &mut dyn Reply,
    ) -> Option<Flow> {
        let txn = held.txn.as_mut()?;
        let key = match command.single_key {
            Some(at) => Some((*args.get(at)?, hint)),
            None => None,
        };
        if !txn.turn_to(key) {
            return None;
        }
        let kept = (&mut self.state, &mut self.logged);
        let flow = perform(&self.engine.0, kept, txn, command, args, reply);
        // What was locked on the way belongs to no other command, and nobody waits for what is large to be dropped.
        if txn.held() != held.set || txn.journal.leaves_garbage() {
            held.release(self);
        }
        Some(flow)
    }

    /// Runs a short command that nothing stands in the way of under the lock of its only key; `None`, and nothing was done, if
    /// it has none, or somebody has that lock or waits for a key behind it.
    #[inline]
    pub(super) fn run_alone(
        &mut self,
        (command, hint): (&'static Command, HashHint),
        args: &[&[u8]],
        reply: &mut dyn Reply,
        started_us: i64,
    ) -> Option<Flow> {
        let key = *args.get(command.single_key.filter(|_| command.runs_held)?)?;
        let inner = &self.engine.0;
        let journal = self.journal.take().unwrap_or_default();
        let (now_ms, db, options) = (started_us / 1000, self.state.db, inner.options());
        let mut txn = inner.keyspace.begin_unlocked(now_ms, db, options, journal);
        if !txn.lock_if_free(key, hint) {
            self.journal = Some(txn.into_journal());
            return None;
        }
        inner.look_again(&mut txn);
        if inner.services.primary.is_followed() {
            self.journal = Some(txn.into_journal());
            return None;
        }
        let kept = (&mut self.state, &mut self.logged);
        let flow = perform(inner, kept, &mut txn, command, args, reply);
        let waited = txn.has_waited();
        self.journal = Some(inner.close(txn));
        if waited {
            self.tally.look(inner);
        }
        Some(flow)
    }

    fn take_back(&mut self, txn: Txn<'_>) {
        let inner: &Inner = &self.engine.0;
        if txn.has_waited() {
            self.tally.look(inner);
        }
        self.journal = Some(inner.close(txn));
    }
}
