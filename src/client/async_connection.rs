//! The connection for tasks: commands run where they are polled, and only what has to wait gives its thread away.

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};

use super::command::{HiddenWords, words};
use super::value::{Replies, closed, empty_command, to_value};
use crate::engine::Session;

/// A client in this process, for the `redis` crate's asynchronous interface; made by
/// [`Engine::async_connection`](crate::Engine::async_connection). It needs no runtime of its own and runs on any.
///
/// RESP2 shapes until `HELLO 3` asks for RESP3. A command runs when its future is first polled. Dropping the future of a
/// command that waits takes it off its keys; what another client had already handed to it is then lost, as it is when a
/// socket breaks. Where that matters, move with `BLMOVE` instead of popping.
///
/// A clone is a client of its own (transactions, watched keys and subscriptions are not shared), in the same database
/// and protocol: clones can wait at the same time.
#[derive(Debug)]
pub struct AsyncConnection {
    session: Session,
}

impl Clone for AsyncConnection {
    fn clone(&self) -> Self {
        Self::new(self.session.sibling())
    }
}

impl AsyncConnection {
    pub(super) const fn new(session: Session) -> Self {
        Self { session }
    }

    /// The session under it.
    #[must_use]
    pub const fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn check_open(&self) -> RedisResult<()> {
        if self.session.is_closed() {
            Err(closed())
        } else {
            Ok(())
        }
    }

    async fn run(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        self.check_open()?;
        let hidden = HiddenWords::of(cmd);
        let words = words(cmd, &hidden)?;
        let response = self.session.execute_async(&words).await;
        if cmd.is_no_response() {
            return Ok(Value::Nil);
        }
        Ok(to_value(response))
    }

    async fn run_all(
        &mut self,
        pipeline: &Pipeline,
        mut replies: Replies,
    ) -> RedisResult<Vec<Value>> {
        self.check_open()?;
        if pipeline.is_empty() && !pipeline.is_transaction() {
            return Err(empty_command());
        }
        if pipeline.is_transaction() {
            replies.add(self.session.execute_async(&[b"MULTI"]).await);
        }
        for cmd in pipeline.cmd_iter() {
            let hidden = HiddenWords::of(cmd);
            let words = words(cmd, &hidden)?;
            replies.add(self.session.execute_async(&words).await);
            self.check_open()?;
        }
        if pipeline.is_transaction() {
            replies.add(self.session.execute_async(&[b"EXEC"]).await);
        }
        replies.finish()
    }
}

impl ConnectionLike for AsyncConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.run(cmd))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.run_all(pipeline, Replies::new(offset, count)))
    }

    fn get_db(&self) -> i64 {
        self.session.database()
    }
}
