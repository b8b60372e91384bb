//! One connection: reads, parses ahead, executes what has arrived, and answers the whole batch with one write.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use log::warn;
use smallvec::SmallVec;
use tokio::time::{Instant, sleep_until};

use super::batch::{Batch, Hashes};
use super::buffers::{Buffers, READ_SIZE};
use super::reply_buffer::ReplyBuffer;
use super::shutdown::{self, Origin};
use super::socket::Socket;
use crate::commands::Shutdown;
use crate::engine::{Blocked, Flow, Held, Session};
use crate::error::Error;
use crate::reply::{Reply, RespReply};
use crate::request::{Parsed, Parser};
use crate::services::clients::Mail;
#[cfg(feature = "lua")]
use crate::services::debugging::DebugConsole;
use crate::services::{ClientFlags, ReplyMode};

/// Output that is written before the rest of a batch is executed.
const FLUSH_SIZE: usize = 256 * 1024;
/// The same while the memory of clients is limited, so that none takes much that is not accounted.
const ACCOUNTED_FLUSH_SIZE: usize = 32 * 1024;
/// Unread output at which a client that has not given the password is cut off.
const MAX_OUTPUT_BEFORE_AUTH: usize = 16 * 1024;
/// How often the limits of a client are looked at that does not read what it is sent.
const LIMITS_INTERVAL: Duration = Duration::from_secs(1);
/// Messages of so many bytes in between are noticed at once.
const MAIL_NOTICED: usize = 64 * 1024;
/// Room behind a large argument: a read that fills its buffer leaves open whether there is more.
const SPARE_INPUT: usize = 64;
/// Words of a batch for which room is kept.
const KEPT_WORDS: usize = 1024;
/// How often it is looked whether a script that is debugged has to end.
#[cfg(feature = "lua")]
const DEBUG_TICK: Duration = Duration::from_millis(100);
/// How long a script that is debugged is given to end before others are told that it is busy, and how often that is looked at.
const DEBUGGED_PATIENCE: Duration = Duration::from_millis(300);
const DEBUGGED_LOOK: Duration = Duration::from_millis(1);
/// Requests that are buffered while a command waits, before reading rests.
const MAX_READ_AHEAD: usize = 1 << 20;

/// What ends a connection.
#[derive(Debug)]
pub(super) enum End {
    /// The client closed, or was told to; or the socket failed.
    Closed,
    /// The client asked the server to stop.
    Shutdown(Shutdown),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// A connection and its session.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    session: Session,
    parser: Parser,
    buffers: Rc<Buffers>,
    /// Where its replies are written, while none is.
    reply_buffer: Rc<ReplyBuffer>,
    /// Its worker is the only one.
    alone: bool,
    /// What has been read and not executed.
    input: Vec<u8>,
    /// Length that the input must have before it can be executed, as far as the client has told.
    wanted: usize,
    output: RespReply,
    /// Bytes of `output` that are written already.
    written: usize,
    /// Length of `output` at which it is looked after before the next command runs.
    flush_at: usize,
    /// Words of a command that is not short, relative to its start. Kept for its memory.
    ranges: Vec<Range<usize>>,
}

/// The words of a command that is not short: in the input, from here on, as the ranges tell; or by themselves.
enum Words {
    InInput(usize),
    Inline(Vec<Vec<u8>>),
}

#[derive(Debug)]
enum Event {
    Readable,
    Writable,
    Mail(Mail),
    Idle,
    /// Time to look at the limits.
    Tick,
}

impl Connection {
    pub(super) fn new(socket: Socket, session: Session, buffers: Rc<Buffers>, alone: bool) -> Self {
        #[cfg(feature = "lua")]
        let mut session = session;
        #[cfg(feature = "lua")]
        session.let_scripts_give_way();
        let mut parser = Parser::new();
        parser.set_authenticated(session.state.authenticated);
        let reply_buffer = ReplyBuffer::new(Arc::clone(&session.state.info));
        Self {
            socket,
            session,
            parser,
            buffers,
            reply_buffer: Rc::new(reply_buffer),
            alone,
            input: Vec::new(),
            wanted: 0,
            output: RespReply::new(false),
            written: 0,
            flush_at: FLUSH_SIZE,
            ranges: Vec::new(),
        }
    }

    /// Serves the client until it goes.
    pub(super) async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        match self.next_event().await? {
            Event::Writable => self.write_some()?,
            Event::Idle => return Err(End::Closed),
            Event::Tick => {}
            Event::Mail(Mail::Killed) => return Err(End::Closed),
            Event::Mail(Mail::Message(message)) => {
                self.take_mail(&message);
                self.write_some()?;
            }
            Event::Readable => {
                if self.read()? {
                    self.account_input()?;
                    self.process().await?;
                }
            }
        }
        self.keep_limits()
    }

    /// Ends the connection if its client leaves too much unread, or is evicted for the memory that it takes.
    fn keep_limits(&self) -> Result<(), End> {
        let (info, engine) = (&self.session.state.info, self.session.engine());
        let pending = self.output.len() - self.written;
        if pending > 0 {
            let unread = pending + info.mailbox.pending();
            let now_ms = engine.keyspace().now_ms();
            if info.mailbox.is_over_limit(unread, now_ms) {
                return Err(End::Closed);
            }
        }
        engine.services().account_client(info);
        if info.mailbox.is_killed() {
            return Err(End::Closed);
        }
        Ok(())
    }

    /// Unread bytes that the client may leave before it is cut off.
    fn hard_limit(&self) -> usize {
        let limit = &self.session.state.info.mailbox.hard_limit;
        match limit.load(Ordering::Relaxed) {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }

    /// Sees to it that there is a buffer for what is answered next.
    fn open_output(&mut self) {
        if self.output.buffer_mut().capacity() == 0 {
            let services = self.session.engine().services();
            *self.output.buffer_mut() = self.reply_buffer.take(&self.buffers, services);
        }
    }

    /// Bounds what the next commands may answer.
    fn bound_output(&mut self) {
        let limit = self.written.saturating_add(self.hard_limit());
        self.output.set_limit(limit);
        self.flush_at = limit.min(self.written + self.flush_size());
    }

    /// Output that is written before the rest of a batch is executed.
    fn flush_size(&self) -> usize {
        if self.session.engine().services().clients.has_memory_limit() {
            ACCOUNTED_FLUSH_SIZE
        } else {
            FLUSH_SIZE
        }
    }

    /// Appends a message and what else waits in the mailbox, as far as there is room: a client that is told much at once
    /// does not need a larger buffer for it.
    fn take_mail(&mut self, message: &[u8]) {
        let mailbox = &self.session.state.info.mailbox;
        if self.output.is_empty() {
            let expected = message.len() + mailbox.pending();
            let services = self.session.engine().services();
            let buffer = self
                .reply_buffer
                .take_for(expected, &self.buffers, services);
            *self.output.buffer_mut() = buffer;
        }
        self.output.raw(message);
        let room = self.output.buffer_mut().capacity();
        while let Some(message) = mailbox.pop_within(room - self.output.len()) {
            self.output.raw(&message);
        }
    }

    async fn next_event(&mut self) -> Result<Event, End> {
        let pending = self.output.len() > self.written;
        let timeout = if pending {
            Some((Instant::now() + LIMITS_INTERVAL, Event::Tick))
        } else {
            self.idle_deadline().map(|at| (at, Event::Idle))
        };
        let (socket, mailbox) = (&self.socket, &self.session.state.info.mailbox);
        let noticed = mailbox.pending() + MAIL_NOTICED;
        let ready = poll_fn(|cx| {
            // While output is stuck the mailbox fills: that is what the output limits measure.
            if pending {
                if mailbox.poll_killed(cx.waker()).is_ready() {
                    return Poll::Ready(Ok(Event::Mail(Mail::Killed)));
                }
                if mailbox.pending() > noticed {
                    return Poll::Ready(Ok(Event::Tick));
                }
            } else if let Poll::Ready(mail) = mailbox.poll(cx.waker()) {
                return Poll::Ready(Ok(Event::Mail(mail)));
            }
            if pending && let Poll::Ready(result) = socket.poll_writable(cx) {
                return Poll::Ready(result.map(|()| Event::Writable));
            }
            socket.poll_readable(cx).map_ok(|()| Event::Readable)
        });
        match timeout {
            None => Ok(ready.await?),
            Some((at, what)) => tokio::select! {
                biased;
                event = ready => Ok(event?),
                () = sleep_until(at) => Ok(what),
            },
        }
    }

    fn idle_deadline(&self) -> Option<Instant> {
        let services = self.session.engine().services();
        let seconds = services.client_timeout_s.load(Ordering::Relaxed);
        if seconds == 0 {
            return None;
        }
        let exempt = self.session.state.is_subscribed()
            || self.session.state.info.has_flag(ClientFlags::MONITOR)
            || self.session.state.info.has_flag(ClientFlags::REPLICA);
        (!exempt).then(|| Instant::now() + Duration::from_secs(seconds))
    }

    /// Reads once; false when nothing was there after all.
    fn read(&mut self) -> Result<bool, End> {
        if self.input.capacity() == 0 {
            self.input = self.buffers.take();
        }
        if self.input.capacity() - self.input.len() < READ_SIZE / 4 {
            // A large argument is read into a buffer of its size, which grows with what has come of it.
            let grown = READ_SIZE.max(self.input.len().min(16 << 20));
            if self.parser.large_argument().is_some() {
                let missing = self.wanted.saturating_sub(self.input.len());
                self.input.reserve_exact(missing.min(grown) + SPARE_INPUT);
            } else {
                self.input.reserve(grown);
            }
        }
        match self.socket.try_read(&mut self.input) {
            Ok(0) => Err(End::Closed),
            Ok(read) => {
                let services = self.session.engine().services();
                services
                    .stats
                    .input_bytes
                    .fetch_add(read as u64, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.input.is_empty() {
                    // What the read before has needed stays told.
                    self.buffers.give(std::mem::take(&mut self.input));
                } else {
                    self.tell_input(self.input.capacity());
                }
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets what was executed; an empty buffer goes back to the worker. What CLIENT LIST tells of the buffer is what
    /// this read needed, until the client has been idle for a while.
    fn give_input_back(&mut self, consumed: usize) {
        let capacity = self.input.capacity();
        if consumed == self.input.len() {
            self.buffers.give(std::mem::take(&mut self.input));
        } else {
            self.input.drain(..consumed);
        }
        self.tell_input(capacity);
    }

    /// What is read of a large argument is told without what came before it.
    fn tell_input(&self, capacity: usize) {
        let info = &self.session.state.info;
        let before = self.parser.large_argument().unwrap_or(0);
        let used = self.input.len().saturating_sub(before);
        info.query_buffer.store(used, Ordering::Relaxed);
        info.query_buffer_free
            .store(capacity - self.input.len(), Ordering::Relaxed);
    }

    /// A client may be evicted for what it has sent, before that is executed.
    fn account_input(&self) -> Result<(), End> {
        let services = self.session.engine().services();
        if self.input.len() < READ_SIZE || !services.clients.has_memory_limit() {
            return Ok(());
        }
        self.tell_input(self.input.capacity());
        self.keep_limits()
    }

    /// Before anybody is told that a script is busy which is debugged, it may end: who debugs it may have gone just now.
    async fn let_debugger_go(&self) {
        if !self.session.engine().is_debugging() {
            return;
        }
        let since = Instant::now();
        while self.session.engine().is_debugging() && since.elapsed() < DEBUGGED_PATIENCE {
            tokio::time::sleep(DEBUGGED_LOOK).await;
        }
    }

    /// Executes every whole command that has been read, and answers.
    async fn process(&mut self) -> Result<(), End> {
        self.let_debugger_go().await;
        self.open_output();
        self.bound_output();
        // CLIENT LIST tells how long the query is that it came with.
        let info = &self.session.state.info;
        info.query_buffer.store(self.input.len(), Ordering::Relaxed);
        info.is_served.store(true, Ordering::Relaxed);
        let mut consumed = 0;
        while consumed < self.input.len() {
            let before = consumed;
            self.open_output();
            if let Some(flow) = self.execute_batch(&mut consumed) {
                self.follow(flow).await?;
            } else if consumed == before && !self.execute_next(&mut consumed).await? {
                break;
            }
        }
        self.session.end_batch();
        self.ranges.clear();
        self.ranges.shrink_to(KEPT_WORDS);
        self.give_input_back(consumed);
        let info = &self.session.state.info;
        info.is_served.store(false, Ordering::Relaxed);
        if !self.session.has_left() {
            // The others that are ready go first: what they append is written with this, by one of them for all.
            tokio::task::yield_now().await;
            self.sync().await?;
        }
        self.write_some()
    }

    /// Executes the short commands that come next, up to a batch of them, and moves `consumed` behind them. Ends early
    /// behind a command that leaves something to do, or before one that has to be executed again.
    fn execute_batch(&mut self, consumed: &mut usize) -> Option<Flow> {
        let Self {
            session,
            parser,
            input,
            output,
            buffers,
            alone,
            ..
        } = self;
        let input = input.get(*consumed..).unwrap_or_default();
        let batch = Batch::parse(parser, input, buffers.take_batch());
        let engine = session.engine().clone();
        let mut hashes = Hashes::new();
        let mut held = batch.prefetch(&engine, session, *alone, &mut hashes);
        let (start, authenticated) = (*consumed, session.state.authenticated);
        let mut left = None;
        for (index, (args, end)) in batch.commands().enumerate() {
            if let (Some(hash), Some(key)) = (hashes.get(index), args.get(1)) {
                session.hint(key, *hash);
            }
            let flow = execute(session, output, args, &mut held);
            if matches!(flow, Flow::Paused(_)) {
                left = Some(flow);
                break;
            }
            *consumed = start + end;
            let settled = matches!(flow, Flow::Continue)
                && output.len() < self.flush_at
                // The rest was parsed under the limits that held before.
                && session.state.authenticated == authenticated;
            if !settled {
                left = Some(flow);
                break;
            }
            output.set_resp3(session.state.resp3);
        }
        held.release(session);
        buffers.give_batch(batch.into_buffers());
        left
    }

    /// Executes the next command, whatever it looks like; false when it has not arrived as a whole.
    async fn execute_next(&mut self, consumed: &mut usize) -> Result<bool, End> {
        self.ranges.clear();
        let start = *consumed;
        let input = self.input.get(start..).unwrap_or_default();
        let max_argument = &self.session.engine().services().max_argument;
        self.parser
            .set_max_bulk(max_argument.load(Ordering::Relaxed));
        match self.parser.parse(input, &mut self.ranges) {
            Ok(Parsed::Complete { consumed: more }) => {
                self.execute_words(&Words::InInput(start)).await?;
                *consumed += more;
            }
            Ok(Parsed::Incomplete { need_at_least }) => {
                self.wanted = need_at_least;
                return Ok(false);
            }
            Ok(Parsed::Empty { consumed: more }) => {
                self.session.pass_empty_request();
                *consumed += more;
            }
            Ok(Parsed::Inline {
                consumed: more,
                args,
            }) => {
                self.execute_words(&Words::Inline(args)).await?;
                *consumed += more;
            }
            Err(error) => {
                self.session.end_batch();
                let stats = &self.session.engine().services().stats;
                stats.count_error("ERR Protocol error");
                if self.session.state.reply_mode == ReplyMode::On {
                    self.output.raw(&error.line());
                }
                self.flush().await?;
                return Err(End::Closed);
            }
        }
        Ok(true)
    }

    /// Executes a command until nothing is left to do for it.
    async fn execute_words(&mut self, words: &Words) -> Result<(), End> {
        loop {
            let args: SmallVec<[&[u8]; 32]> = match words {
                Words::InInput(start) => {
                    let input = self.input.get(*start..).unwrap_or_default();
                    let word = |range: &Range<usize>| input.get(range.clone()).unwrap_or_default();
                    self.ranges.iter().map(word).collect()
                }
                Words::Inline(args) => args.iter().map(Vec::as_slice).collect(),
            };
            let held = &mut Held::nothing();
            let flow = execute(&mut self.session, &mut self.output, &args, held);
            drop(args);
            if self.follow(flow).await? {
                return Ok(());
            }
        }
    }

    /// HELLO and AUTH change how replies are written and requests are limited.
    fn follow_protocol(&mut self) {
        self.output.set_resp3(self.session.state.resp3);
        self.parser
            .set_authenticated(self.session.state.authenticated);
    }

    /// Does what a command left to do; false when it has to be executed again.
    async fn follow(&mut self, flow: Flow) -> Result<bool, End> {
        let flow = self.finish_script(flow).await?;
        self.follow_protocol();
        if !matches!(flow, Flow::Continue) {
            self.session.end_batch();
        }
        match flow {
            Flow::Continue => {
                let pending = self.output.len() - self.written;
                if pending > self.hard_limit() {
                    return Err(End::Closed);
                }
                if pending >= self.flush_size() {
                    self.flush_or_keep().await?;
                    self.keep_limits()?;
                    self.bound_output();
                }
            }
            Flow::Wait(blocked) => {
                self.flush_or_keep().await?;
                self.wait(blocked).await?;
            }
            Flow::Paused(until_ms) => {
                self.flush_or_keep().await?;
                self.pause(until_ms).await?;
                return Ok(false);
            }
            #[cfg(feature = "lua")]
            Flow::Script(_) => {}
            Flow::Follow(transfer) => self.synchronise(transfer).await?,
            Flow::Close => {
                self.flush().await?;
                return Err(End::Closed);
            }
            Flow::Shutdown(how) => {
                self.flush().await?;
                let engine = self.session.engine().clone();
                let ended = if shutdown::may_begin(&engine, how, Origin::Command).await {
                    engine.shut_down(how)
                } else {
                    Err(Error::Aborted)
                };
                match ended {
                    // Whoever ends the program need not write a snapshot again.
                    Ok(()) => {
                        let save = Some(false);
                        return Err(End::Shutdown(Shutdown { save, ..how }));
                    }
                    Err(problem) => {
                        warn!("Errors trying to shut down the server: {problem}");
                        let text = match how.restart_ms {
                            None => "ERR Errors trying to SHUTDOWN. Check logs.",
                            Some(_) => "ERR failed to restart the server. Check server logs.",
                        };
                        self.session.engine().services().stats.count_error(text);
                        self.output.error(text);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Goes on with a script between other work of this worker, until it ends. It ends even if its client has gone.
    #[cfg(feature = "lua")]
    async fn finish_script(&mut self, mut flow: Flow) -> Result<Flow, End> {
        if matches!(flow, Flow::Script(_)) {
            self.session.end_batch();
            self.flush_or_keep().await?;
        }
        while let Flow::Script(script) = flow {
            match self.console() {
                Some(console) => {
                    if self.converse(&console).await.is_err() {
                        console.close();
                    }
                }
                None => tokio::task::yield_now().await,
            }
            self.open_output();
            flow = self.session.resume_script(script, &mut self.output);
        }
        // A debugging session ends with its connection.
        Ok(if self.console().is_some() {
            Flow::Close
        } else {
            flow
        })
    }

    /// The debugging session that is on.
    #[cfg(feature = "lua")]
    fn console(&self) -> Option<Arc<DebugConsole>> {
        let console = self.session.state.debugger.as_ref();
        console.filter(|console| console.has_begun()).cloned()
    }

    /// Sends what the debugger says and, if it waits for that, hears what is answered. Returns now and then without anything:
    /// the script may have to end.
    #[cfg(feature = "lua")]
    async fn converse(&mut self, console: &DebugConsole) -> Result<(), End> {
        let (said, waits) = console.take_said();
        self.open_output();
        self.output.raw(&said);
        self.write_some()?;
        let pending = self.output.len() > self.written;
        if !waits {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let (socket, mailbox) = (&self.socket, &self.session.state.info.mailbox);
        let ready = poll_fn(|cx| {
            if mailbox.poll_killed(cx.waker()).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            if pending {
                socket.poll_writable(cx)
            } else {
                socket.poll_readable(cx)
            }
        });
        match tokio::time::timeout(DEBUG_TICK, ready).await {
            Ok(result) => result?,
            Err(_) => return Ok(()),
        }
        let mut heard = Vec::with_capacity(READ_SIZE);
        match self.socket.try_read(&mut heard) {
            Ok(0) => return Err(End::Closed),
            Ok(_) => console.answer(&heard),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    #[cfg(not(feature = "lua"))]
    async fn finish_script(&mut self, flow: Flow) -> Result<Flow, End> {
        Ok(flow)
    }

    /// Waits for a blocked command's outcome, its deadline, or the end of the connection.
    async fn wait(&mut self, blocked: Blocked) -> Result<(), End> {
        loop {
            let now_ms = self.session.engine().keyspace().now_ms();
            let left = blocked
                .deadline_ms
                .map(|at| Duration::from_millis(at.saturating_sub(now_ms).max(0).unsigned_abs()));
            let outcome = tokio::select! {
                biased;
                outcome = poll_fn(|cx| blocked.waiter.poll(cx.waker())) => Some(outcome),
                end = self.watch_socket() => {
                    self.session.abandon(&blocked);
                    return Err(end);
                }
                () = sleep_for(left) => None,
            };
            match outcome {
                Some(outcome) => {
                    self.open_output();
                    self.session.resume(&blocked, outcome, &mut self.output);
                    let info = &self.session.state.info;
                    if info.has_flag(ClientFlags::CLOSE_AFTER_REPLY) {
                        self.flush().await?;
                        return Err(End::Closed);
                    }
                    return Ok(());
                }
                None if self.session.time_out(&blocked, &mut self.output) => return Ok(()),
                None => {}
            }
        }
    }

    /// While a command waits: sends what comes from others, reads ahead, and returns when the client is gone.
    async fn watch_socket(&mut self) -> End {
        loop {
            let full = self.is_input_full();
            let pending = self.output.len() > self.written;
            let (socket, mailbox) = (&self.socket, &self.session.state.info.mailbox);
            let event = poll_fn(|cx| {
                if let Poll::Ready(mail) = mailbox.poll(cx.waker()) {
                    return Poll::Ready(Ok(Event::Mail(mail)));
                }
                if pending && let Poll::Ready(result) = socket.poll_writable(cx) {
                    return Poll::Ready(result.map(|()| Event::Writable));
                }
                if full {
                    Poll::Pending
                } else {
                    socket.poll_readable(cx).map_ok(|()| Event::Readable)
                }
            });
            let result = match event.await {
                Ok(Event::Readable) => self.read_ahead(),
                Ok(Event::Mail(Mail::Message(message))) => {
                    self.open_output();
                    self.output.raw(&message);
                    self.write_some()
                }
                Ok(Event::Writable) => self.write_some(),
                Ok(Event::Tick) => Ok(()),
                Ok(Event::Mail(Mail::Killed) | Event::Idle) => Err(End::Closed),
                Err(error) => Err(error.into()),
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn output_mut(&mut self) -> &mut RespReply {
        self.open_output();
        &mut self.output
    }

    /// Whether so much was read ahead that reading rests.
    pub(super) const fn is_input_full(&self) -> bool {
        self.input.len() > MAX_READ_AHEAD
    }

    pub(super) fn read_ahead(&mut self) -> Result<(), End> {
        self.input.reserve(4096);
        match self.socket.try_read(&mut self.input) {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// CLIENT PAUSE: waits until it is over or lifted.
    async fn pause(&mut self, until_ms: i64) -> Result<(), End> {
        let engine = self.session.engine().clone();
        let services = engine.services();
        let info = std::sync::Arc::clone(&self.session.state.info);
        info.set_flag(ClientFlags::BLOCKED, true);
        let left = until_ms
            .saturating_sub(engine.keyspace().now_ms())
            .max(0)
            .unsigned_abs();
        let lifted = poll_fn(|cx| services.pause.poll_lifted(cx.waker()));
        let end = tokio::select! {
            biased;
            // What waits for something else than the end of a pause only waits.
            () = lifted, if services.pause.is_active() => Ok(()),
            end = self.watch_socket() => Err(end),
            () = tokio::time::sleep(Duration::from_millis(left)) => Ok(()),
        };
        info.set_flag(ClientFlags::BLOCKED, false);
        end
    }

    /// Waits until the log holds what was done, then writes what the system takes at once.
    async fn flush_or_keep(&mut self) -> Result<(), End> {
        self.sync().await?;
        self.write_some()
    }

    /// Writes everything, waiting for the client to read.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        self.flush_or_keep().await?;
        while self.output.len() > self.written {
            let (socket, mailbox) = (&self.socket, &self.session.state.info.mailbox);
            let writable = poll_fn(|cx| match mailbox.poll_killed(cx.waker()) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                Poll::Pending => socket.poll_writable(cx),
            });
            writable.await?;
            self.write_some()?;
        }
        Ok(())
    }

    /// A reply leaves only when what it acknowledges is with the system, under `appendfsync always` on disk.
    async fn sync(&mut self) -> Result<(), End> {
        if self.session.may_leave() {
            return Ok(());
        }
        let session = &mut self.session;
        poll_fn(|cx| session.poll_leave(cx)).await;
        Ok(())
    }

    fn count_output(&self) {
        let stats = &self.session.engine().services().stats;
        let written = self.written as u64;
        stats.output_bytes.fetch_add(written, Ordering::Relaxed);
    }

    fn write_some(&mut self) -> Result<(), End> {
        let pending = self.output.buffer().get(self.written..).unwrap_or_default();
        if !pending.is_empty() {
            match self.socket.try_write(pending) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        let info = &self.session.state.info;
        if self.written == self.output.len() {
            self.count_output();
            let written = std::mem::take(&mut self.written);
            let buffer = self.output.take();
            // There may have been nothing to send.
            if buffer.capacity() > 0 {
                self.reply_buffer
                    .park(buffer, written, &self.buffers, self.session.engine());
            }
            info.output.store(0, Ordering::Relaxed);
            info.reply_overflow.store(0, Ordering::Relaxed);
        } else {
            let pending = self.output.len() - self.written;
            info.output.store(pending, Ordering::Relaxed);
            let capacity = self.output.buffer_mut().capacity();
            let beyond = self.reply_buffer.beyond(capacity);
            info.reply_overflow.store(beyond, Ordering::Relaxed);
            // What is written is let go of, once that pays.
            if self.written >= FLUSH_SIZE && self.written >= pending {
                self.count_output();
                self.output.buffer_mut().drain(..self.written);
                self.written = 0;
            }
            if pending > MAX_OUTPUT_BEFORE_AUTH && !self.session.state.authenticated {
                return Err(End::Closed);
            }
        }
        Ok(())
    }
}

/// Executes one command. What was published to a subscriber meanwhile goes out before its answer, as Redis has it: behind
/// the end of a subscription, a client would take it for the answer to its next command.
#[inline]
fn execute(
    session: &mut Session,
    output: &mut RespReply,
    args: &[&[u8]],
    held: &mut Held<'_>,
) -> Flow {
    if !session.state.is_subscribed() {
        return session.execute_in_batch(args, output, held);
    }
    let mark = output.len();
    let flow = session.execute_in_batch(args, output, held);
    if session.state.info.mailbox.pending() > 0 {
        let reply = output.buffer_mut().split_off(mark);
        while let Some(message) = session.state.info.mailbox.try_pop() {
            output.raw(&message);
        }
        output.raw(&reply);
    }
    flow
}

async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
