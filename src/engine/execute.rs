//! One command's way: lock the shards of its keys, run its handler, log its effects, serve who waited, unlock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::background::Garbage;
#[cfg(feature = "lua")]
use super::fiber::is_debugged;
use super::session::{Blocked, Delivered, Flow, LOADING, Session};
use super::{Engine, Inner};
use crate::commands::scripting::{busy_error, runs_native_script, script_declares_writes};
use crate::commands::{
    Block, Command, CommandError, Context, Flags, Mode, Outcome, READ_ONLY, acl, call,
    call_counted, lookup,
};
use crate::keyspace::txn::{HashHint, Journal, TxnOptions};
use crate::keyspace::{Keyspace, ShardSet, Txn, WaitKey, Waiter};
use crate::reply::{Reply, Response, ResponseReply, SinkReply};
use crate::services::tracking::Change;
use crate::services::{ClientFlags, Multi, ReplyMode, Services, SessionState, Watched};

/// Keys of one command that are fetched ahead, at most.
const MOST_FETCHED: usize = 64;

/// Hashes of the keys of a command that has several, up to so many.
type Hashes = SmallVec<[u64; 16]>;

/// A command that was admitted.
pub(super) struct Call<'a> {
    pub(super) command: &'static Command,
    pub(super) args: &'a [&'a [u8]],
    /// Unix microseconds.
    pub(super) started_us: i64,
    /// Of one of its words, or of none.
    pub(super) hint: HashHint,
    /// Lets other work of this thread run while a script holds the locks.
    pub(super) give_way: Option<&'a dyn Fn()>,
}

impl Session {
    /// Runs a command that was admitted, at `started_us` (Unix microseconds). The hint is of one of its words, or of
    /// none.
    pub(super) fn run(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        started_us: i64,
        hint: HashHint,
    ) -> Flow {
        #[cfg(feature = "lua")]
        if self.scripts_give_way && (self.runs_lua(command, args) || reloads_log(command, args)) {
            return self.run_in_fiber(command, args, reply, started_us);
        }
        self.run_here(command, args, reply, started_us, hint)
    }

    pub(super) fn run_here(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        started_us: i64,
        hint: HashHint,
    ) -> Flow {
        let call = Call {
            command,
            args,
            started_us,
            hint,
            give_way: None,
        };
        let kept = (&mut self.journal, &mut self.logged);
        let (flow, waited) = execute(&self.engine, &mut self.state, kept, call, reply);
        if waited {
            self.tally.look(&self.engine.0);
        }
        flow
    }

    #[cfg(feature = "lua")]
    fn runs_lua(&self, command: &Command, args: &[&[u8]]) -> bool {
        let spec = command.spec;
        let queued = || {
            let multi = self.state.multi.as_ref();
            spec.name == "exec" && multi.is_some_and(|multi| multi.runs_scripts)
        };
        let debugged = || self.state.debugger.is_some() && is_debugged(command);
        self.inner().runs_lua(command, args) || queued() || debugged()
    }
}

/// Whether it is DEBUG LOADAOF: the log may hold scripts, which give way as others do.
#[cfg(feature = "lua")]
fn reloads_log(command: &Command, args: &[&[u8]]) -> bool {
    let is_load = |word: &&[u8]| word.eq_ignore_ascii_case(b"loadaof");
    command.spec.name == "debug" && args.get(1).is_some_and(is_load)
}

/// Runs a command for a session: locks what it needs, runs its handler, logs, serves who waits. Tells also whether a
/// lock was somebody else's for a while.
#[inline]
pub(super) fn execute(
    engine: &Engine,
    state: &mut SessionState,
    (journal, logged): (&mut Option<Box<Journal>>, &mut u64),
    to_run: Call<'_>,
    reply: &mut dyn Reply,
) -> (Flow, bool) {
    let inner = &engine.0;
    let Call { command, args, .. } = to_run;
    let mut hashes = Hashes::new();
    // Only a script in Lua may give way.
    let runs_script = command.spec.flags.has(Flags::RUNS_SCRIPT);
    let in_lua = runs_script && (to_run.give_way.is_some() || inner.runs_lua(command, args));
    let (set, hint) = if runs_script {
        let declared = inner.shards_of_keys(command, args, &mut hashes);
        (declared, HashHint::NONE)
    } else {
        inner.shards_and_hint(command, args, to_run.hint, &mut hashes)
    };
    let journal_box = journal.take().unwrap_or_default();
    let options = inner.options_for(command, state.is_primary);
    let now_ms = to_run.started_us / 1000;
    let mut txn = inner
        .keyspace
        .begin_unlocked(now_ms, state.db, options, journal_box);
    let locked = if in_lua {
        txn.lock_for_script_unless_held(set)
    } else {
        txn.relock_unless_held(set)
    };
    if !locked {
        inner.fail(command, &busy_error(&inner.services), reply);
        *journal = Some(inner.close(txn));
        return (Flow::Continue, true);
    }
    txn.hint(hint);
    txn.fetch(&hashes);
    if let Some(give_way) = to_run.give_way {
        txn.set_give_way(give_way);
    }
    // What serving waiters needs is locked before the command runs, so that nothing comes between, unless it can be locked
    // then.
    let locked = !command.spec.flags.may_write()
        || txn.has_gate()
        || txn.holds_all()
        || !inner.waiters_reach(&txn, command, args)
        || txn.relock_unless_held(inner.keyspace.all_shards());
    let flow = if locked {
        inner.look_again(&mut txn);
        match inner.admit_again(state, command, args) {
            Ok(()) => {
                let flow = perform(inner, (state, logged), &mut txn, command, args, reply);
                inner.note_own_keys(&txn, state, command, args);
                flow
            }
            Err(error) => {
                inner.fail(command, &error, reply);
                Flow::Continue
            }
        }
    } else {
        inner.fail(command, &busy_error(&inner.services), reply);
        Flow::Continue
    };
    let waited = txn.has_waited();
    *journal = Some(inner.close(txn));
    (flow, waited)
}

/// Runs a command whose words were counted and whose shards are locked: its handler, its effects, and who waits for them.
#[inline]
pub(super) fn perform(
    inner: &Arc<Inner>,
    (state, logged): (&mut SessionState, &mut u64),
    txn: &mut Txn<'_>,
    command: &'static Command,
    args: &[&[u8]],
    reply: &mut dyn Reply,
) -> Flow {
    txn.journal.apart = command.spec.flags.has(Flags::READONLY);
    let (session, services) = (&mut *state, &inner.services);
    let mode = Session::top_level();
    let result = call_counted(&mut Context {
        txn: &mut *txn,
        args,
        reply: &mut *reply,
        session,
        services,
        command,
        mode,
    });
    let flow = match result {
        Ok(Outcome::Done) => Flow::Continue,
        Ok(outcome) => inner.settle(state, txn, command, args, outcome, reply),
        Err(error) => {
            inner.fail(command, &error, reply);
            Flow::Continue
        }
    };
    if !txn.journal.is_settled() {
        if inner.services.running_script.is_unsaved() {
            txn.journal.effects.clear();
        }
        *logged = inner.finish(txn, state.info.id).max(*logged);
    }
    if let Some(bytes) = state.relayed.take() {
        inner.services.replicas.relay(bytes, txn.now_ms());
    }
    flow
}

const ABORTED: CommandError =
    CommandError::text("EXECABORT Transaction discarded because of previous errors.");

impl Inner {
    /// Does what a handler asked for beyond its reply.
    fn settle(
        self: &Arc<Self>,
        state: &mut SessionState,
        txn: &mut Txn<'_>,
        command: &'static Command,
        args: &[&[u8]],
        outcome: Outcome,
        reply: &mut dyn Reply,
    ) -> Flow {
        match outcome {
            Outcome::Close => return Flow::Close,
            Outcome::Sleep(ms) => {
                // Whoever needs data waits meanwhile, as everybody does where one thread does everything.
                txn.lock_all();
                std::thread::sleep(std::time::Duration::from_millis(ms));
                reply.ok();
            }
            Outcome::Shutdown(how) => return Flow::Shutdown(how),
            Outcome::Block(block) => {
                return Flow::Wait(self.wait(state, txn, command, args, block));
            }
            Outcome::Exec => {
                self.exec(state, txn, command, reply);
                if state.info.has_flag(ClientFlags::CLOSE_AFTER_REPLY) {
                    return Flow::Close;
                }
            }
            Outcome::Follow(from) => return self.follow(state, txn, command, &from, reply),
            Outcome::AwaitReplicas(wanted, deadline_ms) => {
                let waiter = (command, args, deadline_ms);
                return Flow::Wait(self.await_replicas(state, txn, waiter, wanted));
            }
            Outcome::BackUp(path) => {
                return self.back_up(state, txn, (command, args), path, reply);
            }
            Outcome::Monitor => self.add_monitor(state),
            other => self.administer(txn, command, &other, false, reply),
        }
        Flow::Continue
    }

    fn add_monitor(&self, state: &SessionState) {
        if !state.info.has_flag(ClientFlags::MONITOR) {
            state.info.set_flag(ClientFlags::MONITOR, true);
            self.services
                .clients
                .monitors
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Leaves a waiter on the keys of a command that has to wait.
    fn wait(
        &self,
        state: &SessionState,
        txn: &mut Txn<'_>,
        command: &'static Command,
        args: &[&[u8]],
        block: Block,
    ) -> Blocked {
        let db = state.db;
        let keys = block
            .keys
            .iter()
            .filter_map(|at| args.get(*at))
            .map(|key| (db, Box::from(*key)))
            .collect();
        let shards = self.shards_of(command, args);
        let waiter = Waiter::new(state.info.id, args, db, state.resp3, shards, keys);
        let waiter = Arc::new(waiter.running(block.commands, block.when_gone));
        txn.add_waiter(&waiter);
        state.info.set_flag(ClientFlags::BLOCKED, true);
        *state.info.blocked.lock() = Some(Arc::clone(&waiter));
        Blocked::new(waiter, command, (block.deadline_ms, block.on_timeout))
    }

    /// EXEC: the queued commands in one transaction over all their keys.
    fn exec(
        self: &Arc<Self>,
        state: &mut SessionState,
        txn: &mut Txn<'_>,
        exec: &Command,
        reply: &mut dyn Reply,
    ) {
        let Some(multi) = state.multi.take() else {
            return;
        };
        let words: Vec<Vec<&[u8]>> = multi
            .queue
            .iter()
            .map(|queued| queued.args.iter().map(|arg| &**arg).collect())
            .collect();
        let commands: Vec<_> = words
            .iter()
            .filter_map(|args| Some((lookup(args).ok()?, args)))
            .collect();
        let watched = self
            .keyspace
            .shard_set(state.watched.iter().map(|watched| &*watched.key));
        let set = commands.iter().fold(watched, |set, (command, args)| {
            set | self.shards_of_nested(command, args)
        });
        let begun = if multi.runs_scripts {
            txn.lock_for_script_unless_held(set)
        } else {
            txn.relock_unless_held(set)
        };
        let locked = begun
            && (!commands
                .iter()
                .any(|(command, args)| self.waiters_reach(txn, command, args))
                || txn.relock_unless_held(self.keyspace.all_shards()));
        if !locked {
            state.end_transaction();
            let busy = busy_error(&self.services);
            let text = format!("EXECABORT Transaction discarded because of: {busy}");
            return self.fail_text(&text, reply);
        }
        self.look_again(txn);
        let failed = !multi.aborted && watch_failed(state, txn);
        for watched in std::mem::take(&mut state.watched) {
            txn.unwatch(&(watched.db, watched.key), &state.watch_flag);
        }
        state.forget_watched();
        if let Some(end) = self.end_early(state, &multi, failed, &commands) {
            state.end_transaction();
            return match end {
                Some(error) => self.fail(exec, &error, reply),
                None => reply.null_array(),
            };
        }
        reply.array(commands.len());
        let mut unheard = SinkReply::new();
        for (command, args) in commands {
            // CLIENT REPLY OFF among them holds from there on.
            let reply: &mut dyn Reply = if state.reply_mode == ReplyMode::Off {
                &mut unheard
            } else {
                &mut *reply
            };
            self.exec_one(state, txn, command, args, reply);
        }
        // Only now: CLIENT INFO and CLIENT LIST tell of the transaction while its commands run.
        state.end_transaction();
    }

    /// Whether a transaction ends before it begins: with an error, or with nothing because a watched key has changed.
    fn end_early(
        &self,
        state: &SessionState,
        multi: &Multi,
        watch_failed: bool,
        commands: &[(&'static Command, &Vec<&[u8]>)],
    ) -> Option<Option<CommandError>> {
        if multi.aborted {
            return Some(Some(ABORTED));
        }
        if watch_failed {
            return Some(None);
        }
        let mut commands = commands.iter();
        let may = commands.try_for_each(|(command, args)| self.admit_again(state, command, args));
        let error = may.err()?;
        let text = format!("EXECABORT Transaction discarded because of: {error}");
        Some(Some(text.into()))
    }

    fn exec_one(
        self: &Arc<Self>,
        state: &mut SessionState,
        txn: &mut Txn<'_>,
        command: &'static Command,
        args: &[&[u8]],
        reply: &mut dyn Reply,
    ) {
        let started_us = self.keyspace.now_us();
        let now_ms = txn.now_ms();
        if let Err(error) = acl::admit_queued(state, &self.services, command, args, now_ms) {
            return self.fail(command, &error, reply);
        }
        txn.select(state.db);
        let mode = Mode {
            nested: true,
            ..Session::top_level()
        };
        let (session, services) = (&mut *state, &self.services);
        match call(&mut Context {
            txn,
            args,
            reply: &mut *reply,
            session,
            services,
            command,
            mode,
        }) {
            Ok(
                Outcome::Done
                | Outcome::Close
                | Outcome::Block(_)
                | Outcome::Exec
                | Outcome::Follow(_)
                | Outcome::AwaitReplicas(..)
                | Outcome::BackUp(_),
            ) => {}
            Ok(Outcome::Monitor) => self.add_monitor(state),
            Ok(Outcome::Sleep(ms)) => {
                // Nothing else runs inside of a transaction, and so everybody waits.
                std::thread::sleep(std::time::Duration::from_millis(ms));
                reply.ok();
            }
            Ok(Outcome::Shutdown(_)) => {
                let error = CommandError::text("ERR Command not allowed inside a transaction");
                self.fail(command, &error, reply);
            }
            Ok(outcome) => self.administer(txn, command, &outcome, true, reply),
            Err(error) => self.fail(command, &error, reply),
        }
        self.note_own_keys(txn, state, command, args);
        self.feed_monitors(state, command, args, now_ms);
        let usec = (self.keyspace.now_us() - started_us).max(0).unsigned_abs();
        self.note_slow_call(state, command, args, started_us, usec);
        self.count_calls(command.index, 1, usec);
    }
}

/// What to run when a key is ready: the waiter's words for it, or its command with that key in place of all it waits for.
fn words_for<'a>(
    waiter: &'a Waiter,
    name: &'a WaitKey,
    command: &Command,
    words: &[&'a [u8]],
) -> Vec<&'a [u8]> {
    if let Some(own) = waiter.command_for(name) {
        return own.iter().map(|word| &**word).collect();
    }
    let mut args = words.to_vec();
    command.key_positions(words, |at| {
        let waits_for = |key: &[u8]| waiter.keys.iter().any(|waited| *waited.1 == *key);
        if let Some(word) = args.get_mut(at)
            && waits_for(word)
        {
            *word = &name.1;
        }
    });
    args
}

fn watch_failed(state: &SessionState, txn: &Txn<'_>) -> bool {
    let due = |watched: &Watched| {
        let name = (watched.db, watched.key.clone());
        txn.has_fallen_due(&name, &state.watch_flag)
    };
    state.watch_flag.is_raised() || state.watched.iter().any(due)
}

// ------------------------------------------------------------------------------------------------ the engine's part

impl Inner {
    pub(super) fn options(&self) -> TxnOptions {
        let events = self.services.wanted_events();
        TxnOptions {
            propagate: self.wants_effects(),
            events,
            keep_expired: self.is_loading(),
            frozen: false,
        }
    }

    /// While clients are paused a read changes nothing, not even by finding that a key has expired.
    fn options_for(&self, command: &Command, is_primary: bool) -> TxnOptions {
        let primary = &self.services.primary;
        if primary.is_followed() {
            // What has expired is gone for clients, but it is removed when the primary says so.
            let reads = command.spec.flags.has(Flags::READONLY);
            return TxnOptions {
                keep_expired: is_primary || self.is_loading(),
                frozen: reads || primary.forbids_writes(),
                ..self.options()
            };
        }
        TxnOptions {
            frozen: command.spec.flags.has(Flags::READONLY) && self.is_paused(),
            ..self.options()
        }
    }

    /// On a writable replica: keys of clients run out by themselves.
    #[inline]
    fn note_own_keys(
        &self,
        txn: &Txn<'_>,
        state: &SessionState,
        command: &Command,
        args: &[&[u8]],
    ) {
        let writes = command.spec.flags.may_write() && !state.is_primary;
        if writes && self.services.primary.is_followed() {
            self.remember_own_keys(txn, command, args);
        }
    }

    /// Whether a command may still run that was admitted before it had its locks: this server may have become a replica
    /// since, or one of another server, or be loading what that has sent.
    #[inline]
    fn admit_again(
        &self,
        state: &SessionState,
        command: &Command,
        args: &[&[u8]],
    ) -> Result<(), CommandError> {
        if !state.is_primary && !self.services.primary.is_followed() {
            return Ok(());
        }
        self.admit_as_replica(state, command, args)
    }

    #[cold]
    fn admit_as_replica(
        &self,
        state: &SessionState,
        command: &Command,
        args: &[&[u8]],
    ) -> Result<(), CommandError> {
        if state.is_primary {
            let killed = state.info.mailbox.is_killed();
            return if killed { Err(READ_ONLY) } else { Ok(()) };
        }
        let flags = command.spec.flags;
        if self.is_loading() && !flags.has(Flags::LOADING) {
            return Err(LOADING);
        }
        let writes = match flags.has(Flags::RUNS_SCRIPT) {
            true => script_declares_writes(&self.services, command.spec, args),
            false => flags.may_write(),
        };
        if writes && self.services.primary.forbids_writes() {
            return Err(READ_ONLY);
        }
        Ok(())
    }

    pub(super) fn is_paused(&self) -> bool {
        let paused = self.services.pause.get();
        paused.is_some_and(|paused| paused.until_ms > self.keyspace.now_ms())
    }

    /// Whether there is a log or a replica.
    pub(super) fn wants_effects(&self) -> bool {
        self.propagation.is_wanted() || self.services.replicas.is_fed()
    }

    /// Before a transaction had its locks a log or a replica may have come; while it has them, none comes.
    #[inline]
    pub(super) fn look_again(&self, txn: &mut Txn<'_>) {
        txn.set_propagating(self.wants_effects());
    }

    pub(super) fn begin(&self, set: ShardSet, db: usize, journal: Journal) -> Txn<'_> {
        let mut txn = self.keyspace.begin(set, db, self.options(), journal);
        self.look_again(&mut txn);
        txn
    }

    /// The same, unless whoever holds one of the locks says that it will take long.
    pub(super) fn begin_unless_held(&self, set: ShardSet, db: usize) -> Option<Txn<'_>> {
        let (now_ms, options, journal) = (self.keyspace.now_ms(), self.options(), Box::default());
        let keyspace = &self.keyspace;
        let mut txn = keyspace.begin_unless_held(now_ms, set, db, options, journal)?;
        self.look_again(&mut txn);
        Some(txn)
    }

    /// The shards that a command needs: those of its keys, or all.
    fn shards_of(&self, command: &Command, args: &[&[u8]]) -> ShardSet {
        self.shards_and_hint(command, args, HashHint::NONE, &mut Hashes::new())
            .0
    }

    /// The same, with the hash of its key if it has one only, and the hashes of its keys if there are several.
    #[inline]
    fn shards_and_hint(
        &self,
        command: &Command,
        args: &[&[u8]],
        hint: HashHint,
        hashes: &mut Hashes,
    ) -> (ShardSet, HashHint) {
        if let Some(key) = command.single_key.and_then(|at| args.get(at)) {
            let hash = hint.of(key);
            return (1 << self.keyspace.shard_of(hash), HashHint::new(key, hash));
        }
        (self.shards_of_all(command, args, hashes), HashHint::NONE)
    }

    fn shards_of_all(&self, command: &Command, args: &[&[u8]], hashes: &mut Hashes) -> ShardSet {
        if command.needs_all_shards(args) || self.runs_lua(command, args) {
            return self.keyspace.all_shards();
        }
        self.shards_of_keys(command, args, hashes)
    }

    fn shards_of_keys(&self, command: &Command, args: &[&[u8]], hashes: &mut Hashes) -> ShardSet {
        let mut set = 0;
        command.key_positions(args, |position| {
            if let Some(key) = args.get(position) {
                let hash = Keyspace::hash(key);
                set |= 1 << self.keyspace.shard_of(hash);
                if hashes.len() < MOST_FETCHED {
                    hashes.push(hash);
                }
            }
        });
        set
    }

    /// Scripts in Lua may touch keys that they do not declare.
    pub(super) fn runs_lua(&self, command: &Command, args: &[&[u8]]) -> bool {
        let spec = command.spec;
        spec.flags.has(Flags::RUNS_SCRIPT) && !runs_native_script(&self.services, spec, args)
    }

    /// The same inside EXEC, where a command without keys may not take its locks later.
    fn shards_of_nested(&self, command: &Command, args: &[&[u8]]) -> ShardSet {
        if command.spec.keys.is_empty() && !command.spec.flags.has(Flags::FAST) {
            return self.keyspace.all_shards();
        }
        self.shards_of(command, args)
    }

    /// Whether serving the waiters on a command's keys needs shards that are not locked.
    fn waiters_reach(&self, txn: &Txn<'_>, command: &Command, args: &[&[u8]]) -> bool {
        if !command.spec.flags.may_write() || !txn.has_waiters() {
            return false;
        }
        let mut keys: Vec<&[u8]> = Vec::new();
        command.key_positions(args, |position| keys.extend(args.get(position)));
        txn.shards_of_waiters(keys) != 0
    }

    /// Logs effects, publishes events, serves waiters, until nothing is left. Returns the log position. `client` is who
    /// did it, 0 for nobody.
    pub(super) fn finish(&self, txn: &mut Txn<'_>, client: u64) -> u64 {
        let mut position = self.flush(txn);
        if !txn.journal.ready.is_empty() {
            // A transaction or a script may have taken long: what ran out meanwhile is not handed out.
            txn.catch_up();
            position = self.serve_all(txn).max(position);
        }
        if txn.journal.concerns_trackers() {
            self.invalidate(txn, client);
        }
        position
    }

    fn serve_all(&self, txn: &mut Txn<'_>) -> u64 {
        let mut position = 0;
        let mut ready: VecDeque<WaitKey> = std::mem::take(&mut txn.journal.ready).into();
        while let Some(name) = ready.pop_front() {
            position = self.serve(txn, &name).max(position);
            ready.extend(std::mem::take(&mut txn.journal.ready));
        }
        // Keys that were found expired.
        self.flush(txn).max(position)
    }

    /// Tells those who keep keys what has changed: last, since who was served is to have the answer first.
    fn invalidate(&self, txn: &mut Txn<'_>, client: u64) {
        let now_ms = txn.now_ms();
        let Services {
            tracking, clients, ..
        } = &self.services;
        let keys = std::mem::take(&mut txn.journal.invalidated);
        let flushes = std::mem::take(&mut txn.journal.flushed);
        let settled = std::mem::take(&mut txn.journal.settled);
        let changes: Vec<_> = keys
            .iter()
            .map(|(key, by_client)| Change {
                key,
                by_client: *by_client,
            })
            .collect();
        tracking.invalidate(&changes, &flushes, settled, client, clients, now_ms);
    }

    fn flush(&self, txn: &mut Txn<'_>) -> u64 {
        let now_ms = txn.now_ms();
        let journal = &mut txn.journal;
        if journal.dirty > 0 {
            let dirty = &self.services.dirty;
            let before = dirty.fetch_add(journal.dirty, Ordering::Relaxed);
            if self.saving.is_due_after(before + journal.dirty) {
                self.saving.note_awaited_changes();
                self.background.request_save_check();
            }
            journal.dirty = 0;
        }
        if let Some(at) = journal.earliest_expiry_ms.take() {
            self.background.expiry_set(at);
        }
        let mut position = 0;
        if !journal.effects.commands.is_empty() {
            if !journal.effects.is_empty_for_log() {
                position = self
                    .propagation
                    .append(&journal.effects, !journal.apart, now_ms);
            }
            if self.services.replicas.is_fed() {
                let replicas = &self.services.replicas;
                replicas.feed(&journal.effects, !journal.apart, now_ms);
            }
            journal.effects.clear();
            if position >= self.rewrite_at.load(Ordering::Relaxed) {
                self.rewrite_at.store(u64::MAX, Ordering::Relaxed);
                self.background.request_rewrite();
            }
        }
        for event in journal.events.drain(..) {
            self.services.publish_event(&event, now_ms);
        }
        position
    }

    /// Runs the commands of those who wait for a key, oldest first: of all while it is there, otherwise of those who
    /// want to hear of that.
    fn serve(&self, txn: &mut Txn<'_>, name: &WaitKey) -> u64 {
        let mut position = 0;
        txn.in_db(name.0, |txn| txn.remove_if_expired(&name.1));
        for waiter in txn.waiters(name) {
            if !waiter.when_gone && txn.in_db(name.0, |txn| txn.peek(&name.1).is_none()) {
                continue;
            }
            // Also to take it off its keys, which may be in other shards.
            if waiter.shards & !txn.held() != 0 {
                txn.lock_all();
            }
            if waiter.is_claimed() {
                txn.remove_waiter(&waiter);
                continue;
            }
            position = self.serve_one(txn, &waiter, name).max(position);
        }
        position
    }

    /// Runs a waiter's command for one of its keys, and for that one only: Redis serves key by key, in the order in which
    /// they became ready.
    fn serve_one(&self, txn: &mut Txn<'_>, waiter: &Arc<Waiter>, name: &WaitKey) -> u64 {
        let Some(info) = self.services.clients.get(waiter.client) else {
            return 0;
        };
        let words: Vec<&[u8]> = waiter.args.iter().map(|arg| &**arg).collect();
        let Ok(command) = lookup(&words) else {
            return 0;
        };
        let args = words_for(waiter, name, command, &words);
        // Before it runs: CLIENT UNBLOCK takes no locks, and what a command has popped must have a receiver.
        if !waiter.claim() {
            txn.remove_waiter(waiter);
            return 0;
        }
        let mut state = SessionState::new(info, true);
        (state.db, state.resp3) = (waiter.db, waiter.resp3);
        let mut reply = ResponseReply::new(waiter.resp3);
        let mode = Mode {
            retry: true,
            ..Session::top_level()
        };
        let result = txn.in_db(waiter.db, |txn| {
            let (session, services) = (&mut state, &self.services);
            call(&mut Context {
                txn,
                args: &args,
                reply: &mut reply,
                session,
                services,
                command,
                mode,
            })
        });
        match result {
            Ok(Outcome::Done) => {}
            Err(error) => self.fail(command, &error, &mut reply),
            Ok(_) => {
                waiter.release();
                return 0;
            }
        }
        txn.remove_waiter(waiter);
        let logged = self.flush(txn);
        let response = reply.take().unwrap_or(Response::Null);
        waiter.deliver(Box::new(Delivered { response, logged }));
        logged
    }

    /// Takes a waiter off its keys; false if somebody has answered it.
    pub(super) fn withdraw(&self, waiter: &Arc<Waiter>) -> bool {
        // Whoever holds the locks for long forgets at its end who is gone.
        if let Some(mut txn) = self.begin_unless_held(waiter.shards, waiter.db) {
            txn.remove_waiter(waiter);
        }
        waiter.claim()
    }

    /// Unlocks, then drops what was large. Returns the journal for its memory.
    #[inline]
    pub(super) fn close(&self, txn: Txn<'_>) -> Box<Journal> {
        let mut journal = txn.into_journal();
        if journal.leaves_garbage() {
            self.throw_away(Garbage::of(&mut journal));
        }
        journal
    }

    #[cold]
    fn throw_away(&self, garbage: Garbage) {
        if !garbage.is_empty() {
            let pending = &self.services.stats.lazy_free_pending;
            pending.fetch_add(garbage.len(), Ordering::Relaxed);
            self.background.drop_garbage(garbage);
        }
    }

    /// Counts a call that has failed.
    pub(super) fn count_failure(&self, command: &Command) {
        let stats = &self.services.stats.by_command[command.index];
        stats.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers an error and counts it.
    pub(super) fn fail(&self, command: &Command, error: &CommandError, reply: &mut dyn Reply) {
        self.services.stats.by_command[command.index]
            .failed
            .fetch_add(1, Ordering::Relaxed);
        match error {
            CommandError::Counted(text) => reply.error(text),
            error => self.fail_text(&error.to_string(), reply),
        }
    }

    pub(super) fn fail_text(&self, text: &str, reply: &mut dyn Reply) {
        self.services.stats.count_error(text);
        reply.error(text);
    }

    pub(super) fn unwatch(&self, state: &SessionState) {
        if state.watched.is_empty() {
            return;
        }
        let set = self
            .keyspace
            .shard_set(state.watched.iter().map(|watched| &*watched.key));
        let Some(mut txn) = self.begin_unless_held(set, 0) else {
            return;
        };
        for watched in &state.watched {
            txn.unwatch(&(watched.db, watched.key.clone()), &state.watch_flag);
        }
    }
}
