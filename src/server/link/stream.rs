//! The stream: the commands of the primary are executed as they come, by a session of their own that nothing is refused to,
//! and passed on to whoever follows this server. Now and then the primary is told how far this one is.

use std::convert::Infallible;
use std::future::poll_fn;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use log::warn;
use smallvec::SmallVec;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Link;
use super::wire::{Problem, Wire};
use crate::engine::{Flow, Session};
use crate::reply::{Response, ResponseReply};
use crate::request::{Parsed, Parser};
use crate::services::ClientInfo;
use crate::services::clients::Mail;

/// How often the primary hears how far this server is.
const ACKNOWLEDGE_EVERY: Duration = Duration::from_secs(1);

/// A link that stands.
pub(super) struct Stream<'l, 'e> {
    link: &'l Link<'e>,
    wire: Wire,
    session: Session,
    parser: Parser,
    ranges: Vec<Range<usize>>,
    /// MULTI and what was queued behind it, which is passed on with EXEC.
    transaction: BytesMut,
    /// Bytes that may wait for the rest of a command, or of a transaction.
    limit: usize,
    heard: Instant,
}

enum Event {
    Read,
    Tick,
    Killed,
    Mail,
}

impl<'l, 'e> Stream<'l, 'e> {
    /// The stream goes on in database `db`.
    pub(super) fn begin(link: &'l Link<'e>, wire: Wire, db: usize) -> Result<Self, Problem> {
        let engine = link.engine;
        let info = ClientInfo {
            id: engine.services().clients.next_id(),
            addr: wire.stream.peer_addr()?.to_string(),
            laddr: wire.stream.local_addr()?.to_string(),
            fd: wire.stream.as_raw_fd(),
            ..ClientInfo::new(engine.keyspace().now_ms())
        };
        let config = engine.services().config.read();
        let limit = config.usize("client-query-buffer-limit");
        let mut parser = Parser::new();
        parser.set_max_bulk(limit);
        drop(config);
        let session = engine.primary_session(info, db);
        link.primary().attach(link.wish, session.state.info.clone());
        Ok(Self {
            link,
            wire,
            session,
            parser,
            ranges: Vec::new(),
            transaction: BytesMut::new(),
            limit,
            heard: Instant::now(),
        })
    }

    /// Executes what comes until the link ends.
    pub(super) async fn run(&mut self) -> Result<Infallible, Problem> {
        let ended = self.follow().await;
        // What cannot be understood cannot be gone on with either.
        let is_rubbish = matches!(ended, Err(Problem::Rubbish(_)));
        let db = (!is_rubbish).then_some(self.session.state.db);
        self.link.primary().set_resumable(db);
        ended
    }

    async fn follow(&mut self) -> Result<Infallible, Problem> {
        self.acknowledge().await?;
        let mut ticks = interval(ACKNOWLEDGE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.execute_all().await?;
            self.session.end_batch();
            let mailbox = &self.session.state.info.mailbox;
            let event = tokio::select! {
                mail = poll_fn(|cx| mailbox.poll(cx.waker())) => match mail {
                    Mail::Killed => Event::Killed,
                    Mail::Message(_) => Event::Mail,
                },
                read = self.wire.read() => {
                    read?;
                    Event::Read
                }
                _ = ticks.tick() => Event::Tick,
            };
            match event {
                Event::Killed => return Err(Problem::Closed),
                // Nobody listens to what a command of the stream may have subscribed to.
                Event::Mail => {}
                Event::Read => self.note_heard(),
                Event::Tick if self.heard.elapsed() > self.wire.timeout() => {
                    return Err(Problem::Silence);
                }
                Event::Tick => self.acknowledge().await?,
            }
        }
    }

    fn note_heard(&mut self) {
        self.heard = Instant::now();
        let now_ms = self.link.engine.keyspace().now_ms();
        self.link.primary().heard(self.link.wish, now_ms);
    }

    /// Tells how far this server is.
    async fn acknowledge(&mut self) -> Result<(), Problem> {
        let replicas = &self.link.engine.services().replicas;
        let offset = replicas.figures().offset.to_string();
        let words: [&[u8]; 3] = [b"REPLCONF", b"ACK", offset.as_bytes()];
        self.wire.send(&words).await
    }

    /// Executes every whole command that is there.
    async fn execute_all(&mut self) -> Result<(), Problem> {
        loop {
            self.ranges.clear();
            match self.parser.parse(&self.wire.input, &mut self.ranges) {
                Ok(Parsed::Complete { consumed }) => {
                    let command = self.wire.input.split_to(consumed).freeze();
                    self.execute(command).await?;
                }
                Ok(Parsed::Empty { consumed }) => {
                    let bytes = self.wire.input.split_to(consumed).freeze();
                    self.pass_on(bytes);
                }
                Ok(Parsed::Incomplete { .. }) => {
                    if self.wire.input.len() + self.transaction.len() > self.limit {
                        return Err(Problem::Rubbish("a command has no end".into()));
                    }
                    return Ok(());
                }
                Ok(Parsed::Inline { .. }) => {
                    return Err(Problem::Rubbish("an inline command".into()));
                }
                Err(error) => return Err(Problem::Rubbish(error.to_string())),
            }
        }
    }

    /// Passes on what was not a command that ran.
    fn pass_on(&self, bytes: Bytes) {
        let engine = self.link.engine;
        let now_ms = engine.keyspace().now_ms();
        engine.services().replicas.relay(bytes, now_ms);
    }

    /// What is passed on when a command has run: what belongs to a transaction is held back until its end.
    fn hold_back(&mut self, command: &Bytes, name: &[u8]) -> Option<Bytes> {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        let queued = self.session.state.multi.is_some();
        let ends = is("exec") || is("discard");
        if (queued && !ends) || (!queued && is("multi")) {
            self.transaction.extend_from_slice(command);
            return None;
        }
        if self.transaction.is_empty() {
            return Some(command.clone());
        }
        self.transaction.extend_from_slice(command);
        Some(std::mem::take(&mut self.transaction).freeze())
    }

    async fn execute(&mut self, command: Bytes) -> Result<(), Problem> {
        let word = |range: &Range<usize>| command.get(range.clone()).unwrap_or_default();
        let args: SmallVec<[&[u8]; 16]> = self.ranges.iter().map(word).collect();
        let name = args.first().copied().unwrap_or_default();
        self.session.state.relayed = self.hold_back(&command, name);
        let mut reply = ResponseReply::new(false);
        loop {
            if self.session.state.info.mailbox.is_killed() {
                return Err(Problem::Closed);
            }
            match self.session.execute_into(&args, &mut reply) {
                Flow::Continue => break,
                Flow::Paused(until_ms) => {
                    let wait_ms = until_ms - self.link.engine.keyspace().now_ms();
                    let wait_ms = u64::try_from(wait_ms).unwrap_or(0).max(1);
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                }
                Flow::Wait(blocked) => {
                    self.session.abandon(&blocked);
                    break;
                }
                _ => {
                    let name = name.escape_ascii();
                    return Err(Problem::Rubbish(format!("the command '{name}'")));
                }
            }
        }
        if let Some(bytes) = self.session.state.relayed.take() {
            self.pass_on(bytes);
        }
        tell_error(reply.take(), name);
        let asks = |word: &&[u8]| word.eq_ignore_ascii_case(b"getack");
        if name.eq_ignore_ascii_case(b"replconf") && args.get(1).is_some_and(asks) {
            self.acknowledge().await?;
        }
        Ok(())
    }
}

/// What the primary could do, and this server cannot.
fn tell_error(reply: Option<Response>, name: &[u8]) {
    let errors = match reply {
        Some(Response::Array(replies)) => replies,
        Some(reply) => vec![reply],
        None => return,
    };
    for error in errors {
        if let Response::Error(text) = error {
            warn!(
                "== CRITICAL == This replica is sending an error to its master: '{text}' after processing the command '{}'",
                name.escape_ascii()
            );
        }
    }
}
