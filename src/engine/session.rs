//! A session: one client's way through the engine, over a socket or in this process. It decides whether a command may
//! run; `execute` runs it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::background::Timer;
#[cfg(feature = "lua")]
use super::fiber::SuspendedScript;
use super::held::Held;
use super::monitor::is_shown_first;
use super::replication::SnapshotTransfer;
use super::tally::{Tally, is_short};
use super::{Engine, Inner};
use crate::commands::scripting::{busy_error, script_declares_writes, script_may_write};
use crate::commands::{
    Command, CommandError, Flags, Mode, PRIMARY_DOWN, READ_ONLY, TimeoutReply, acl, lookup,
    protection, pubsub, replication, tracking, unknown_command,
};
use crate::keyspace::Waiter;
use crate::keyspace::txn::{HashHint, Journal};
use crate::reply::{Reply, Response, ResponseReply, SinkReply};
use crate::services::replicas::Acknowledged;
use crate::services::{
    ClientFlags, ClientInfo, Multi, QueuedCommand, ReplyMode, SessionState, UnblockKind,
};

/// How often a failing log is asked whether it has recovered.
const DURABLE_RETRY_MS: i64 = 50;

/// How often a command that has to wait for a long script is tried again.
const HELD_RETRY_MS: i64 = 20;

/// One client of an engine, with its selected database, its open transaction and its subscriptions; made by
/// [`Engine::session`].
#[derive(Debug)]
pub struct Session {
    pub(super) engine: Engine,
    /// What it remembers.
    pub state: SessionState,
    pub(super) journal: Option<Box<Journal>>,
    /// Collects the answers for a caller in this process.
    pub(super) replies: Option<Box<ResponseReply>>,
    /// Log position that covers everything this session has done.
    pub(super) logged: u64,
    pub(super) tally: Tally,
    /// The hash of one word of the next command, where its owner knew it already.
    hint: HashHint,
    /// Asks a failing log again.
    retry: Option<Timer>,
    /// Its owner goes on with scripts that give way ([`Flow::Script`]).
    #[cfg(feature = "lua")]
    pub(super) scripts_give_way: bool,
}

/// What the owner of a session has to do after a command.
#[derive(Debug)]
pub enum Flow {
    /// Go on; the reply, if there is one, is written.
    Continue,
    /// Wait for the outcome, then call [`Session::resume`]; nothing is written yet.
    Wait(Blocked),
    /// Try the same command again at this time (Unix milliseconds), or earlier: clients are paused.
    Paused(i64),
    /// A script takes long: go on with it after other work. Nothing is written yet.
    #[cfg(feature = "lua")]
    Script(SuspendedScript),
    /// The client is a replica: send it the snapshot when it is there, then what comes through its mailbox.
    Follow(SnapshotTransfer),
    /// Send what is written and close.
    Close,
    /// Send what is written, then stop the server.
    Shutdown(crate::commands::Shutdown),
}

/// A command that waits for its keys.
#[derive(Debug)]
pub struct Blocked {
    /// Its place in the queues of its keys.
    pub waiter: Arc<Waiter>,
    /// Unix milliseconds; `None`: for ever.
    pub deadline_ms: Option<i64>,
    on_timeout: TimeoutReply,
    command: &'static Command,
    /// What it took until it began to wait, in microseconds.
    took_us: u64,
}

const UNBLOCKED: CommandError = CommandError::text("UNBLOCKED client unblocked via CLIENT UNBLOCK");

const ROLE_CHANGED: CommandError = CommandError::text(
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
);

pub(super) const LOADING: CommandError =
    CommandError::text("LOADING Redis is loading the dataset in memory");

impl Blocked {
    pub(super) const fn new(
        waiter: Arc<Waiter>,
        command: &'static Command,
        (deadline_ms, on_timeout): (Option<i64>, TimeoutReply),
    ) -> Self {
        Self {
            waiter,
            command,
            deadline_ms,
            on_timeout,
            took_us: 0,
        }
    }
}

/// What a waiter is handed: the reply, and the log position that covers its effect.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) response: Response,
    pub(super) logged: u64,
}

impl Session {
    pub(super) fn new(engine: Engine, info: ClientInfo) -> Self {
        let info = Arc::new(info);
        let authenticated = !engine.0.services.acl.needs_password();
        engine.0.services.apply_output_limits(&info);
        engine.0.services.clients.add(Arc::clone(&info));
        let state = SessionState::new(info, authenticated);
        Self {
            engine,
            state,
            journal: None,
            replies: None,
            logged: 0,
            tally: Tally::default(),
            hint: HashHint::NONE,
            retry: None,
            #[cfg(feature = "lua")]
            scripts_give_way: false,
        }
    }

    /// Says that the owner goes on with scripts that give way, by [`Self::resume_script`].
    #[cfg(feature = "lua")]
    pub fn let_scripts_give_way(&mut self) {
        self.scripts_give_way = true;
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.engine.0
    }

    /// The engine it works on.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The position in the log that covers everything this session has done: under `appendfsync always` a reply may
    /// leave when it is on disk.
    #[must_use]
    pub const fn logged(&self) -> u64 {
        self.logged
    }

    /// Whether replies may leave: under `appendfsync always`, whether all that this session did is on disk.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.inner().propagation.is_durable(self.logged)
    }

    /// Ready when [`Self::is_durable`] holds. While the disk refuses, what was done stays unacknowledged.
    pub fn poll_durable(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        let polled = self.inner().propagation.poll_durable(self.logged, cx);
        self.or_again(polled, cx)
    }

    /// Whether replies may leave the process: whether all that this session did has left it too, to the disk under
    /// `appendfsync always`, else at least to the system.
    #[must_use]
    #[cfg(feature = "server")]
    pub fn may_leave(&self) -> bool {
        self.inner().propagation.may_leave(self.logged)
    }

    /// The same, without an attempt to bring it about.
    #[must_use]
    #[cfg(feature = "server")]
    pub fn has_left(&self) -> bool {
        self.inner().propagation.has_left(self.logged)
    }

    /// Ready when [`Self::may_leave`] holds, or, except under `always`, when the disk refuses.
    #[cfg(feature = "server")]
    pub fn poll_leave(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        let polled = self.inner().propagation.poll_leave(self.logged, cx);
        self.or_again(polled, cx)
    }

    fn or_again(
        &mut self,
        polled: std::task::Poll<bool>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<()> {
        use std::task::Poll;
        let inner = &self.engine.0;
        match polled {
            Poll::Ready(true) => Poll::Ready(()),
            Poll::Ready(false) => {
                let again_ms = inner.keyspace.now_ms() + DURABLE_RETRY_MS;
                self.retry = Some(inner.background.wake_at(again_ms, cx.waker().clone()));
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Tells the hash of a word of the command that is executed next.
    #[inline]
    #[cfg(feature = "server")]
    pub(crate) fn hint(&mut self, word: &[u8], hash: u64) {
        self.hint = HashHint::new(word, hash);
    }

    /// Runs one command; `args` begin with its name. Exactly one value goes to `reply`, unless the flow or CLIENT REPLY
    /// says otherwise, or the command is a subscription (one value a channel).
    pub fn execute_into(&mut self, args: &[&[u8]], reply: &mut dyn Reply) -> Flow {
        let flow = self.execute_in_batch(args, reply, &mut Held::nothing());
        self.tally.rest_soon(&self.engine.0);
        flow
    }

    /// The same for one of several commands: for the short ones among them time stands still until [`Self::end_batch`].
    #[inline]
    pub(crate) fn execute_in_batch(
        &mut self,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        held: &mut Held<'_>,
    ) -> Flow {
        if self.state.reply_mode == ReplyMode::On {
            return self.execute_answered(args, reply, held);
        }
        held.release(self);
        self.execute_unanswered(args, reply)
    }

    /// After CLIENT REPLY OFF or SKIP.
    fn execute_unanswered(&mut self, args: &[&[u8]], reply: &mut dyn Reply) -> Flow {
        let held = &mut Held::nothing();
        match self.state.reply_mode {
            ReplyMode::On => self.execute_answered(args, reply, held),
            ReplyMode::Off if self.is_heard(args) => self.execute_answered(args, reply, held),
            ReplyMode::Off => {
                let flow = silent(self.execute_answered(args, &mut SinkReply::new(), held));
                // CLIENT REPLY ON or RESET has switched them on again.
                if self.state.reply_mode == ReplyMode::On {
                    reply.simple(if is_reset(args) { "RESET" } else { "OK" });
                }
                flow
            }
            ReplyMode::SkipNext => {
                self.state.reply_mode = ReplyMode::Skip;
                self.execute_unanswered(args, reply)
            }
            ReplyMode::Skip => {
                let flow = if self.is_heard(args) {
                    self.execute_answered(args, reply, held)
                } else {
                    silent(self.execute_answered(args, &mut SinkReply::new(), held))
                };
                match self.state.reply_mode {
                    ReplyMode::Skip => self.state.reply_mode = ReplyMode::On,
                    // Whoever asks for replies is answered.
                    ReplyMode::On if is_client_reply(args) => reply.ok(),
                    _ => {}
                }
                flow
            }
        }
    }

    /// Whether a command is answered by messages, which go out also when replies do not. What is wrong with it is none.
    fn is_heard(&self, args: &[&[u8]]) -> bool {
        is_subscription(args) && self.state.multi.is_none()
    }

    /// A request without words is what CLIENT REPLY SKIP skips, too.
    #[cfg(feature = "server")]
    pub(crate) fn pass_empty_request(&mut self) {
        if self.state.reply_mode == ReplyMode::SkipNext {
            self.state.reply_mode = ReplyMode::On;
        }
    }

    #[inline]
    fn execute_answered(
        &mut self,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        held: &mut Held<'_>,
    ) -> Flow {
        if self.inner().services.renamed.is_some() {
            return self.execute_renamed(args, reply, held);
        }
        self.execute_named(args, reply, held)
    }

    /// Where `rename-command` gave commands other names.
    fn execute_renamed(
        &mut self,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        held: &mut Held<'_>,
    ) -> Flow {
        let name = args.first().copied().unwrap_or_default();
        let renamed = self.inner().services.renamed.as_ref();
        match renamed.and_then(|renamed| renamed.get(name)) {
            None => self.execute_named(args, reply, held),
            Some(None) => self.reject(None, args, &unknown_command(args), reply),
            Some(Some(own)) => {
                let rest = args.iter().skip(1).copied();
                let words: Vec<&[u8]> = std::iter::once(own.as_bytes()).chain(rest).collect();
                self.execute_named(&words, reply, held)
            }
        }
    }

    #[inline]
    fn execute_named(
        &mut self,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        held: &mut Held<'_>,
    ) -> Flow {
        // It holds for this command only, whatever becomes of it.
        let hint = std::mem::replace(&mut self.hint, HashHint::NONE);
        let command = match lookup(args) {
            Ok(command) => command,
            Err(_) if is_http(args) => return Flow::Close,
            Err(error) => return self.reject(None, args, &error, reply),
        };
        let short = is_short(&self.engine.0, command, args);
        let started_us = self.tally.begin(&self.engine.0, short);
        let now_ms = started_us / 1000;
        self.state
            .info
            .last_active_ms
            .store(now_ms, Ordering::Relaxed);
        if let Err(error) = check_arity(command, args) {
            held.release(self);
            return self.reject(Some(command), args, &error, reply);
        }
        self.state
            .info
            .last_command
            .store(command.index + 1, Ordering::Relaxed);
        self.state.out_of_memory = false;
        let flow = if short && command.runs_held {
            self.run_held(held, (command, hint), args, reply)
        } else {
            None
        };
        let mut flow = match flow {
            Some(flow) => flow,
            None => {
                held.release(self);
                let flags = command.spec.flags;
                let calm = !flags.has(Flags::PROTECTED) && self.is_calm(flags.may_write());
                if !calm && let Some(flow) = self.hold_up(command, args, reply, now_ms) {
                    return flow;
                }
                self.run_admitted(command, args, reply, (started_us, hint), calm && short)
            }
        };
        #[cfg(feature = "lua")]
        if matches!(flow, Flow::Script(_)) {
            return flow;
        }
        self.tally.count(command.index);
        if self.state.tracking.is_some() {
            self.state.forget_caching(&command.full_name);
        }
        if short {
            return flow;
        }
        if let Flow::Wait(blocked) = &mut flow {
            // The call is over when its wait is.
            let ended_us = self.tally.look(&self.engine.0);
            blocked.took_us = (ended_us - started_us).max(0).unsigned_abs();
            return flow;
        }
        self.note_call(command, args, started_us);
        flow
    }

    /// Whether nothing is in force that stands in the way of any ordinary command, or of one that does not change
    /// anything.
    #[inline]
    pub(super) fn is_calm(&self, changing: bool) -> bool {
        let state = &self.state;
        state.authenticated
            && !state.is_primary
            && state.multi.is_none()
            && state.user.is_unrestricted()
            && !state.is_subscribed()
            && self.inner().is_calm(changing)
    }

    /// Refuses, delays or queues a command that may not run now.
    fn hold_up(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        now_ms: i64,
    ) -> Option<Flow> {
        if self.state.is_primary {
            if let Some(until_ms) = self.stream_waits_until(now_ms) {
                return Some(Flow::Paused(until_ms));
            }
        } else {
            let admitted = self.admit(command, args, now_ms);
            if self.state.tracking.is_some() {
                self.tell_evicted(reply);
            }
            if let Err(error) = admitted {
                return Some(self.reject(Some(command), args, &error, reply));
            }
            if let Some(until) = self.waits_until(command, args, now_ms) {
                return Some(Flow::Paused(until));
            }
        }
        let queues = self.state.multi.is_some() && !is_immediate(command);
        if queues {
            self.queue(command, args);
            reply.simple("QUEUED");
            return Some(Flow::Continue);
        }
        None
    }

    /// Runs a command that may run now, under locks of its own. `lone`: it is short, and nothing else is to be done for it.
    #[inline]
    fn run_admitted(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        (started_us, hint): (i64, HashHint),
        lone: bool,
    ) -> Flow {
        if lone && let Some(flow) = self.run_alone((command, hint), args, reply, started_us) {
            return flow;
        }
        self.run_shown(command, args, reply, (started_us, hint))
    }

    /// Runs a command under locks of its own, and shows it to those who run MONITOR.
    fn run_shown(
        &mut self,
        command: &'static Command,
        args: &[&[u8]],
        reply: &mut dyn Reply,
        (started_us, hint): (i64, HashHint),
    ) -> Flow {
        let now_ms = started_us / 1000;
        let shown_first = is_shown_first(command);
        if shown_first {
            self.inner()
                .feed_monitors(&self.state, command, args, now_ms);
        }
        let flow = self.run(command, args, reply, started_us, hint);
        #[cfg(feature = "lua")]
        if matches!(flow, Flow::Script(_)) {
            return flow;
        }
        if !shown_first {
            self.inner()
                .feed_monitors(&self.state, command, args, now_ms);
        }
        flow
    }

    /// Times the call; its end is the beginning of the batch's next command.
    pub(super) fn note_call(&mut self, command: &'static Command, args: &[&[u8]], started_us: i64) {
        let inner = &self.engine.0;
        let ended_us = self.tally.look(inner);
        let usec = (ended_us - started_us).max(0).unsigned_abs();
        inner.note_slow_call(&self.state, command, args, started_us, usec);
    }

    /// Tells that no further command of this batch follows: the clock is read anew, the counters are brought up to
    /// date.
    pub(crate) fn end_batch(&mut self) {
        self.tally.rest(&self.engine.0);
    }

    /// Refuses a command before it ran; inside MULTI that spoils the transaction.
    fn reject(
        &mut self,
        command: Option<&'static Command>,
        args: &[&[u8]],
        error: &CommandError,
        reply: &mut dyn Reply,
    ) -> Flow {
        let text = error.to_string();
        let engine = self.engine.clone();
        if let Some(command) = command {
            engine.0.services.stats.by_command[command.index]
                .rejected
                .fetch_add(1, Ordering::Relaxed);
        }
        if let Some(exec) = command.filter(|command| command.spec.name == "exec") {
            self.discard_transaction();
            // Who runs MONITOR has seen MULTI and learns that the transaction is over.
            let now_ms = engine.0.keyspace.now_ms();
            engine.0.feed_monitors(&self.state, exec, args, now_ms);
            let text = text.strip_prefix("ERR ").unwrap_or(&text);
            let text = format!("EXECABORT Transaction discarded because of: {text}");
            engine.0.fail_text(&text, reply);
            return Flow::Continue;
        }
        if let Some(multi) = &mut self.state.multi {
            multi.aborted = true;
        }
        engine.0.fail_text(&text, reply);
        Flow::Continue
    }

    /// What was evicted to make room for a command is told before the command is answered.
    fn tell_evicted(&self, reply: &mut dyn Reply) {
        let limited = self.inner().services.max_memory.load(Ordering::Relaxed) > 0;
        if !limited || self.state.reply_mode != ReplyMode::On {
            return;
        }
        while let Some(message) = self.state.info.mailbox.try_pop() {
            reply.encoded(&message);
        }
    }

    /// Whether the session may run this command now.
    fn admit(
        &mut self,
        command: &Command,
        args: &[&[u8]],
        now_ms: i64,
    ) -> Result<(), CommandError> {
        let (flags, services) = (command.spec.flags, &self.inner().services);
        if !self.state.authenticated && !flags.has(Flags::NO_AUTH) && services.acl.needs_password()
        {
            return Err(CommandError::text("NOAUTH Authentication required."));
        }
        if self.state.multi.is_some() && flags.has(Flags::NO_MULTI) {
            return Err(CommandError::text(
                "ERR Command not allowed inside a transaction",
            ));
        }
        if !self.state.user.is_unrestricted() {
            acl::admit(&self.state, services, command, args, now_ms)?;
        }
        if flags.has(Flags::PROTECTED) {
            protection::admit(services, &self.state.info, &command.full_name)?;
        }
        if self.inner().keyspace.is_held_for_long() && !works_while_busy(command, args) {
            // A script of the log that is loaded again holds everything, and loading comes first.
            let loading = self.inner().is_loading() && !flags.has(Flags::LOADING);
            return Err(if loading {
                LOADING
            } else {
                busy_error(services)
            });
        }
        self.admit_change(command, args)?;
        if !self.state.resp3 && self.state.is_subscribed() && !works_subscribed(&command.full_name)
        {
            let name = &command.full_name;
            let text = format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
                 this context"
            );
            return Err(text.into());
        }
        if self.inner().services.primary.is_too_stale() && self.needs_link(command) {
            return Err(PRIMARY_DOWN);
        }
        if self.inner().is_loading() && !flags.has(Flags::LOADING) {
            return Err(LOADING);
        }
        Ok(())
    }

    /// Whether a command is for data that is not old; EXEC is judged by what is queued.
    fn needs_link(&self, command: &Command) -> bool {
        let queued = self.queued_for(command);
        !command.spec.flags.has(Flags::STALE) || queued.is_some_and(|multi| multi.needs_link)
    }

    /// What EXEC is judged by; nothing for every other command.
    fn queued_for(&self, command: &Command) -> Option<&Multi> {
        let open = self.state.multi.as_ref();
        open.filter(|_| command.spec.name == "exec")
    }

    /// Whether memory, replicas and log allow for what a command may change; EXEC is judged by what is queued.
    fn admit_change(&mut self, command: &Command, args: &[&[u8]]) -> Result<(), CommandError> {
        let flags = command.spec.flags;
        let queued = self.queued_for(command);
        let adds_data = flags.has(Flags::DENYOOM) || queued.is_some_and(|multi| multi.uses_memory);
        let may_write = flags.may_write() || queued.is_some_and(|multi| multi.may_write);
        let is_open = self.state.multi.is_some();
        let uses_memory = adds_data || (is_open && !is_immediate(command));
        self.state.out_of_memory = self.inner().is_out_of_memory();
        if uses_memory && self.state.out_of_memory {
            return Err(CommandError::text(
                "OOM command not allowed when used memory > 'maxmemory'.",
            ));
        }
        // A script is judged by what it declares, or command by command.
        if flags.has(Flags::RUNS_SCRIPT) {
            let services = &self.inner().services;
            let declares = services.primary.forbids_writes()
                && script_declares_writes(services, command.spec, args);
            return if declares { Err(READ_ONLY) } else { Ok(()) };
        }
        if !may_write {
            return Ok(());
        }
        if self
            .inner()
            .services
            .lacks_replicas(self.inner().keyspace.now_ms())
        {
            return Err(CommandError::text(
                "NOREPLICAS Not enough good replicas to write.",
            ));
        }
        self.inner().admit_write(adds_data)?;
        if self.inner().services.primary.forbids_writes() {
            return Err(READ_ONLY);
        }
        Ok(())
    }

    /// Until when the stream of the server that we follow has to wait, before another look: nothing of it is refused.
    fn stream_waits_until(&self, now_ms: i64) -> Option<i64> {
        let inner = self.inner();
        if inner.keyspace.is_held_for_long() {
            return Some(now_ms + HELD_RETRY_MS);
        }
        let refused = inner.propagation.admit_write().is_err();
        refused.then_some(now_ms + DURABLE_RETRY_MS)
    }

    /// Whether a command may change the data; of a script, what it says of itself.
    fn may_write(&self, command: &Command, args: &[&[u8]]) -> bool {
        let flags = command.spec.flags;
        let services = &self.inner().services;
        flags.may_write()
            && (!flags.has(Flags::RUNS_SCRIPT) || script_may_write(services, command.spec, args))
    }

    /// Until when an admitted command has to wait before it is tried again, if it has to.
    fn waits_until(&self, command: &Command, args: &[&[u8]], now_ms: i64) -> Option<i64> {
        // Watching needs the locks of its keys.
        let held = || command.spec.name == "watch" && self.inner().keyspace.is_held_for_long();
        let paused = self.paused_until(command, args, now_ms);
        paused.or_else(|| held().then_some(now_ms + HELD_RETRY_MS))
    }

    fn paused_until(&self, command: &Command, args: &[&[u8]], now_ms: i64) -> Option<i64> {
        let paused = self.inner().services.pause.get()?;
        if now_ms >= paused.until_ms || command.full_name.starts_with("client|") {
            return None;
        }
        let queued = self.state.multi.as_ref();
        let changes = self.may_write(command, args)
            || command.spec.flags.has(Flags::MAY_REPLICATE)
            || command.spec.name == "exec" && queued.is_some_and(|multi| multi.may_write);
        (!paused.only_writes || changes).then_some(paused.until_ms)
    }

    fn queue(&mut self, command: &Command, args: &[&[u8]]) {
        let may_write = self.may_write(command, args);
        let info = &self.state.info;
        if let Some(multi) = &mut self.state.multi {
            multi.queue.push(QueuedCommand {
                args: args.iter().map(|arg| Box::from(*arg)).collect(),
            });
            multi.may_write |= may_write;
            multi.runs_scripts |= command.spec.flags.has(Flags::RUNS_SCRIPT);
            multi.uses_memory |= command.spec.flags.has(Flags::DENYOOM);
            multi.needs_link |= !command.spec.flags.has(Flags::STALE);
            info.multi
                .store(multi.queue.len() as i64, Ordering::Relaxed);
            let bytes: usize = args
                .iter()
                .map(|arg| arg.len() + size_of::<Box<[u8]>>())
                .sum();
            info.multi_memory.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Ends MULTI and WATCH. Locks the shards of watched keys, so nothing may be locked.
    pub(super) fn discard_transaction(&mut self) -> Option<Multi> {
        self.engine.0.unwatch(&self.state);
        self.state.end_transaction()
    }

    /// Ends a wait whose deadline is over and writes its answer. False when it was answered in the meantime: the
    /// outcome can be polled.
    pub fn time_out(&mut self, blocked: &Blocked, reply: &mut dyn Reply) -> bool {
        if !self.inner().withdraw(&blocked.waiter) {
            return false;
        }
        self.wake();
        self.note_waited(blocked);
        match blocked.on_timeout {
            TimeoutReply::Null => reply.null(),
            TimeoutReply::NullArray => reply.null_array(),
            TimeoutReply::Acknowledged(wanted) => {
                replication::answer(&self.inner().services, &wanted, reply);
            }
        }
        true
    }

    /// Writes the outcome of a wait.
    pub fn resume(
        &mut self,
        blocked: &Blocked,
        outcome: Box<dyn Any + Send>,
        reply: &mut dyn Reply,
    ) {
        self.wake();
        self.note_waited(blocked);
        let outcome = match outcome.downcast::<Acknowledged>() {
            Ok(acknowledged) => {
                if let TimeoutReply::Acknowledged(wanted) = blocked.on_timeout {
                    replication::tell(&self.inner().services, &wanted, *acknowledged, reply);
                }
                return;
            }
            Err(outcome) => outcome,
        };
        let outcome = match outcome.downcast::<CommandError>() {
            Ok(error) => return self.inner().fail(blocked.command, &error, reply),
            Err(outcome) => outcome,
        };
        match outcome.downcast::<Delivered>() {
            Ok(delivered) => {
                self.logged = self.logged.max(delivered.logged);
                delivered.response.write_to(reply);
            }
            Err(outcome) => {
                // CLIENT UNBLOCK has left it on its keys.
                self.inner().withdraw(&blocked.waiter);
                match (outcome.downcast::<UnblockKind>(), blocked.on_timeout) {
                    (Ok(kind), _) if *kind == UnblockKind::Error => {
                        self.inner().fail(blocked.command, &UNBLOCKED, reply);
                    }
                    (Ok(kind), _) if *kind == UnblockKind::RoleChanged => {
                        self.inner().fail(blocked.command, &ROLE_CHANGED, reply);
                    }
                    // Redis counts the call as a failed one even if it answers as a time-out does.
                    (_, TimeoutReply::Null) => {
                        self.inner().count_failure(blocked.command);
                        reply.null();
                    }
                    (_, TimeoutReply::NullArray) => {
                        self.inner().count_failure(blocked.command);
                        reply.null_array();
                    }
                    (_, TimeoutReply::Acknowledged(wanted)) => {
                        replication::answer(&self.inner().services, &wanted, reply);
                    }
                }
            }
        }
    }

    /// Gives up a wait without an answer, because the client is gone.
    pub fn abandon(&mut self, blocked: &Blocked) {
        self.inner().withdraw(&blocked.waiter);
        self.wake();
    }

    fn wake(&self) {
        self.state.info.set_flag(ClientFlags::BLOCKED, false);
        *self.state.info.blocked.lock() = None;
    }

    /// A wait is over with an answer, and so is the call; the time that it waited does not count.
    fn note_waited(&self, blocked: &Blocked) {
        let args: Vec<&[u8]> = blocked.waiter.args.iter().map(|word| &**word).collect();
        let inner = self.inner();
        let (now_us, took_us) = (inner.keyspace.now_us(), blocked.took_us);
        inner.note_slow_call(&self.state, blocked.command, &args, now_us, took_us);
    }

    pub(super) const fn top_level() -> Mode {
        Mode {
            nested: false,
            retry: false,
            script: false,
            loading: false,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_batch();
        self.discard_transaction();
        let services = &self.engine.0.services;
        pubsub::unsubscribe_all(&mut self.state, services);
        if self.state.tracking.is_some() {
            let mut txn = self.engine.0.begin(0, 0, Journal::default());
            tracking::disable(&mut txn, &mut self.state, services);
        }
        if self.state.info.has_flag(ClientFlags::MONITOR) {
            services.clients.monitors.fetch_sub(1, Ordering::Relaxed);
        }
        if self.state.info.has_flag(ClientFlags::REPLICA) {
            let now_ms = self.engine.0.keyspace.now_ms();
            services.replicas.detach(self.state.info.id, now_ms);
        }
        services.clients.leave(&self.state.info);
    }
}

/// The words that HTTP requests begin lines with. A browser that somebody's page has led here is cut off at once, so
/// that what it sends as a body is never taken for commands.
fn is_http(args: &[&[u8]]) -> bool {
    args.first().is_some_and(|word| {
        word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
    })
}

/// Commands that are answered while a script keeps the others waiting.
fn works_while_busy(command: &Command, args: &[&[u8]]) -> bool {
    let unsaved = || args.iter().any(|word| word.eq_ignore_ascii_case(b"nosave"));
    command.spec.flags.has(Flags::ALLOW_BUSY) && (command.spec.name != "shutdown" || unsaved())
}

/// What is answered later goes nowhere either.
fn silent(flow: Flow) -> Flow {
    #[cfg(feature = "lua")]
    if let Flow::Script(mut script) = flow {
        script.silent = true;
        return Flow::Script(script);
    }
    flow
}

fn check_arity(command: &Command, args: &[&[u8]]) -> Result<(), CommandError> {
    if command.spec.accepts(args.len()) {
        Ok(())
    } else {
        Err(CommandError::WrongArity(command.full_name.clone()))
    }
}

/// Commands that MULTI does not queue. By the full name: SLOWLOG RESET is not RESET.
fn is_immediate(command: &Command) -> bool {
    matches!(
        command.full_name.as_str(),
        "exec" | "discard" | "multi" | "watch" | "quit" | "reset"
    )
}

/// Commands that a subscribed RESP2 client may send.
fn works_subscribed(name: &str) -> bool {
    SUBSCRIPTIONS.contains(&name)
        || UNSUBSCRIPTIONS.contains(&name)
        || matches!(name, "ping" | "quit" | "reset")
}

const SUBSCRIPTIONS: [&str; 3] = ["subscribe", "ssubscribe", "psubscribe"];
const UNSUBSCRIPTIONS: [&str; 3] = ["unsubscribe", "sunsubscribe", "punsubscribe"];

fn is_client_reply(args: &[&[u8]]) -> bool {
    matches!(args, [name, sub, _] if name.eq_ignore_ascii_case(b"client") && sub.eq_ignore_ascii_case(b"reply"))
}

fn is_reset(args: &[&[u8]]) -> bool {
    args.first()
        .is_some_and(|name| name.eq_ignore_ascii_case(b"reset"))
}

/// Whether a command subscribes, or ends subscriptions, of which none need be named.
fn is_subscription(args: &[&[u8]]) -> bool {
    let Some((name, channels)) = args.split_first() else {
        return false;
    };
    let is_in = |names: &[&str]| {
        names
            .iter()
            .any(|word| name.eq_ignore_ascii_case(word.as_bytes()))
    };
    is_in(&UNSUBSCRIPTIONS) || is_in(&SUBSCRIPTIONS) && !channels.is_empty()
}
