//! Sessions for callers in this process: one call, one answer. A blocking command waits on the caller's thread, or lets
//! its task wait; no runtime is needed for either.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use super::session::{Blocked, Flow, Session};
use crate::reply::{Reply, Response, ResponseReply};

/// What a waiter is handed.
type Outcome = Box<dyn Any + Send>;

/// What a session answers after QUIT or CLIENT KILL.
const CLOSED: &str = "ERR this session was closed by QUIT or CLIENT KILL";
const SHUTDOWN_REFUSED: &str =
    "ERR SHUTDOWN is for servers: an engine in a process ends when its last owner drops it";

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Parks the thread until `poll` is ready or the time is over.
pub(crate) fn park_until<T>(
    mut time_left: impl FnMut() -> Option<Duration>,
    mut poll: impl FnMut(&Waker) -> Poll<T>,
) -> Option<T> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(value) = poll(&waker) {
            return Some(value);
        }
        match time_left() {
            None => std::thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}

impl Session {
    /// Runs one command and returns its answer, an error reply included ([`Response::Error`]). A blocking command waits
    /// on this thread; under `appendfsync always` the answer comes when the effect is on disk.
    ///
    /// ```
    /// use innkeep::{Engine, Response};
    ///
    /// let mut session = Engine::in_memory().session();
    /// assert_eq!(session.execute(&[b"SET", b"room:12", b"free"]), Response::Simple("OK".into()));
    /// assert_eq!(session.execute(&[b"GET", b"room:12"]), Response::Bulk(b"free".to_vec()));
    /// ```
    pub fn execute(&mut self, args: &[&[u8]]) -> Response {
        if self.is_closed() {
            return Response::Error(CLOSED.to_owned());
        }
        let mut replies = self.replies();
        let reply = &mut *replies;
        loop {
            match self.execute_into(args, reply) {
                Flow::Paused(until_ms) => self.park_while_paused(until_ms),
                Flow::Wait(blocked) => {
                    self.park_while_blocked(&blocked, reply);
                    break;
                }
                Flow::Shutdown(_) => {
                    reply.error(SHUTDOWN_REFUSED);
                    break;
                }
                Flow::Close | Flow::Follow(_) => {
                    self.state.info.kill();
                    break;
                }
                // Scripts of such a session run to their end on their thread.
                #[cfg(feature = "lua")]
                Flow::Script(_) => break,
                Flow::Continue => break,
            }
        }
        if !self.is_durable() {
            park_until(
                || None,
                |waker| self.poll_durable(&mut Context::from_waker(waker)),
            );
        }
        self.answer(replies)
    }

    /// The same for tasks: waiting lets other tasks run, on any runtime.
    /// Dropped while it waits, it leaves nothing behind.
    pub async fn execute_async(&mut self, args: &[&[u8]]) -> Response {
        if self.is_closed() {
            return Response::Error(CLOSED.to_owned());
        }
        let mut replies = self.replies();
        let reply = &mut *replies;
        loop {
            match self.execute_into(args, reply) {
                Flow::Paused(until_ms) => {
                    self.wait_until(Some(until_ms), |session, waker| session.poll_lifted(waker))
                        .await
                }
                Flow::Wait(blocked) => {
                    self.wait_for_outcome(blocked, reply).await;
                    break;
                }
                Flow::Shutdown(_) => {
                    reply.error(SHUTDOWN_REFUSED);
                    break;
                }
                Flow::Close | Flow::Follow(_) => {
                    self.state.info.kill();
                    break;
                }
                // Scripts of such a session run to their end on their thread.
                #[cfg(feature = "lua")]
                Flow::Script(_) => break,
                Flow::Continue => break,
            }
        }
        poll_fn(|cx| self.poll_durable(cx)).await;
        self.answer(replies)
    }

    /// Whether QUIT or CLIENT KILL ended it; every further command is refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.info.mailbox.is_killed()
    }

    /// The selected database.
    #[must_use]
    pub const fn database(&self) -> i64 {
        self.state.db as i64
    }

    /// Another client of the same engine, in the same database and protocol.
    #[must_use]
    pub fn sibling(&self) -> Self {
        let mut sibling = self.engine.session();
        sibling.state.db = self.state.db;
        sibling
            .state
            .info
            .db
            .store(self.state.db, Ordering::Relaxed);
        sibling.state.set_protocol(self.state.resp3);
        sibling
    }

    /// What collects the answer: that of the last call again.
    #[inline]
    fn replies(&mut self) -> Box<ResponseReply> {
        let kept = self.replies.take();
        let mut replies = kept.unwrap_or_else(|| Box::new(ResponseReply::legible(false)));
        replies.set_resp3(self.state.resp3);
        replies
    }

    /// The one answer; what SUBSCRIBE answers for each of several channels becomes an array.
    #[inline]
    fn answer(&mut self, mut replies: Box<ResponseReply>) -> Response {
        let first = replies.take().unwrap_or(Response::Null);
        let answer = if replies.is_empty() {
            first
        } else {
            let rest = std::iter::from_fn(|| replies.take());
            Response::Array(std::iter::once(first).chain(rest).collect())
        };
        if !replies.is_unfinished() {
            self.replies = Some(replies);
        }
        answer
    }

    fn now_ms(&self) -> i64 {
        self.inner().keyspace.now_ms()
    }

    fn poll_lifted(&self, waker: &Waker) -> Poll<()> {
        self.inner().services.pause.poll_lifted(waker)
    }

    fn park_while_paused(&self, until_ms: i64) {
        let left = || Some(milliseconds(until_ms.saturating_sub(self.now_ms())));
        park_until(left, |waker| self.poll_lifted(waker));
    }

    /// What a wait ended with; `None` when the session was killed.
    fn poll_outcome(&self, blocked: &Blocked, waker: &Waker) -> Poll<Option<Outcome>> {
        match blocked.waiter.poll(waker) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => self.state.info.mailbox.poll_killed(waker).map(|()| None),
        }
    }

    fn refuse_closed(&mut self, blocked: &Blocked, reply: &mut dyn Reply) {
        self.abandon(blocked);
        reply.error(CLOSED);
    }

    fn park_while_blocked(&mut self, blocked: &Blocked, reply: &mut dyn Reply) {
        loop {
            let left = || {
                Some(milliseconds(
                    blocked.deadline_ms?.saturating_sub(self.now_ms()),
                ))
            };
            match park_until(left, |waker| self.poll_outcome(blocked, waker)).flatten() {
                Some(outcome) => return self.resume(blocked, outcome, reply),
                None if self.is_closed() => return self.refuse_closed(blocked, reply),
                None if self.time_out(blocked, reply) => return,
                None => {}
            }
        }
    }

    async fn wait_for_outcome(&mut self, blocked: Blocked, reply: &mut ResponseReply) {
        let mut guard = Abandon {
            session: self,
            blocked: Some(blocked),
        };
        loop {
            let Some(blocked) = &guard.blocked else {
                return;
            };
            let mut outcome = None;
            guard
                .session
                .wait_until(blocked.deadline_ms, |session, waker| {
                    let polled = session.poll_outcome(blocked, waker);
                    polled.map(|ready| outcome = ready)
                })
                .await;
            let Some(blocked) = guard.blocked.take() else {
                return;
            };
            match outcome {
                Some(outcome) => return guard.session.resume(&blocked, outcome, reply),
                None if guard.session.is_closed() => {
                    return guard.session.refuse_closed(&blocked, reply);
                }
                None if guard.session.time_out(&blocked, reply) => return,
                None => guard.blocked = Some(blocked),
            }
        }
    }

    /// Waits until `poll` is ready or the time has come; the background thread keeps the time.
    async fn wait_until(
        &self,
        until_ms: Option<i64>,
        mut poll: impl FnMut(&Self, &Waker) -> Poll<()>,
    ) {
        let mut timer = None;
        poll_fn(|cx| {
            if poll(self, cx.waker()).is_ready() {
                return Poll::Ready(());
            }
            if until_ms.is_some_and(|until| until <= self.now_ms()) {
                return Poll::Ready(());
            }
            if let Some(until) = until_ms {
                timer = Some(self.inner().background.wake_at(until, cx.waker().clone()));
            }
            Poll::Pending
        })
        .await;
    }
}

/// Takes a waiter off its keys when the task that waits is dropped.
struct Abandon<'a> {
    session: &'a mut Session,
    blocked: Option<Blocked>,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if let Some(blocked) = self.blocked.take() {
            self.session.abandon(&blocked);
        }
    }
}

fn milliseconds(left: i64) -> Duration {
    Duration::from_millis(left.max(0).unsigned_abs())
}
