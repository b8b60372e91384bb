//! Subscriptions of this process: what was published comes out of the session's mailbox, as a stream or an iterator.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::Stream;
use redis::{Msg, RedisResult, ToRedisArgs};

use super::value::{closed, to_value};
use crate::engine::Session;
use crate::engine::in_process::park_until;
use crate::services::clients::Mail;

/// A client in this process that listens to channels; made by [`Engine::subscriber`](crate::Engine::subscriber).
///
/// For tasks it is a [`Stream`] of messages; threads call [`next_message`](Self::next_message) or iterate. It goes on
/// for ever: it ends when the client is killed (`CLIENT KILL`), or cut off because more than
/// `client-output-buffer-limit pubsub` waits to be read. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscriber {
    session: Session,
}

impl Subscriber {
    pub(super) fn new(mut session: Session) -> Self {
        // Messages of shard channels are told from others in RESP3 only.
        session.state.set_protocol(true);
        Self { session }
    }

    /// Listens to channels, one or several. Every message published after this returned will be received.
    ///
    /// # Errors
    ///
    /// The subscriber was cut off or killed, or the engine refused.
    pub fn subscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.run("SUBSCRIBE", channels)
    }

    /// Listens to every channel that matches one of the patterns.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn psubscribe(&mut self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        self.run("PSUBSCRIBE", patterns)
    }

    /// Listens to shard channels.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn ssubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.run("SSUBSCRIBE", channels)
    }

    /// Leaves channels; all of them when none is named (`&[] as &[&str]`). Messages that wait already stay.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn unsubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.run("UNSUBSCRIBE", channels)
    }

    /// Leaves patterns; all of them when none is named.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn punsubscribe(&mut self, patterns: impl ToRedisArgs) -> RedisResult<()> {
        self.run("PUNSUBSCRIBE", patterns)
    }

    /// Leaves shard channels; all of them when none is named.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn sunsubscribe(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.run("SUNSUBSCRIBE", channels)
    }

    fn run(&mut self, command: &str, names: impl ToRedisArgs) -> RedisResult<()> {
        if self.session.is_closed() {
            return Err(closed());
        }
        let names = names.to_redis_args();
        let mut words: Vec<&[u8]> = vec![command.as_bytes()];
        words.extend(names.iter().map(Vec::as_slice));
        to_value(self.session.execute(&words)).extract_error()?;
        Ok(())
    }

    /// Waits on this thread for the next message; `None` when the subscriber was cut off or killed.
    pub fn next_message(&mut self) -> Option<Msg> {
        park_until(|| None, |waker| self.poll_message(waker)).flatten()
    }

    /// The same, and no longer than `timeout`; `None` also when nothing came.
    pub fn next_message_within(&mut self, timeout: Duration) -> Option<Msg> {
        let until = Instant::now() + timeout;
        let left = || Some(until.saturating_duration_since(Instant::now()));
        park_until(left, |waker| self.poll_message(waker)).flatten()
    }

    /// Messages as they come, waiting on this thread.
    #[must_use]
    pub const fn messages(&mut self) -> Messages<'_> {
        Messages { subscriber: self }
    }

    fn poll_message(&self, waker: &Waker) -> Poll<Option<Msg>> {
        loop {
            let encoded = match self.session.state.info.mailbox.poll(waker) {
                Poll::Ready(Mail::Message(encoded)) => encoded,
                Poll::Ready(Mail::Killed) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            let message = redis::parse_redis_value(&encoded).ok();
            if let Some(message) = message.and_then(Msg::from_owned_value) {
                return Poll::Ready(Some(message));
            }
        }
    }
}

impl Stream for Subscriber {
    type Item = Msg;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Msg>> {
        self.poll_message(cx.waker())
    }
}

/// Messages as they come; made by [`Subscriber::messages`].
#[derive(Debug)]
pub struct Messages<'a> {
    subscriber: &'a mut Subscriber,
}

impl Iterator for Messages<'_> {
    type Item = Msg;

    fn next(&mut self) -> Option<Msg> {
        self.subscriber.next_message()
    }
}
