//! The blocking connection: every command runs on the thread that calls.

use redis::{Cmd, ConnectionLike, RedisResult, Value};

use super::command::{HiddenWords, PackedCommands, words};
use super::value::{Replies, closed, empty_command, to_value};
use crate::engine::Session;

/// A client in this process, for the `redis` crate's blocking interface; made by
/// [`Engine::connection`](crate::Engine::connection).
///
/// RESP2 shapes until `HELLO 3` asks for RESP3. A blocking command waits on the calling thread. Messages of channels
/// that it subscribes to cannot be read here: see [`Engine::subscriber`](crate::Engine::subscriber).
#[derive(Debug)]
pub struct Connection {
    session: Session,
}

impl Connection {
    pub(super) const fn new(session: Session) -> Self {
        Self { session }
    }

    /// The session under it.
    #[must_use]
    pub const fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn check_open(&self) -> RedisResult<()> {
        if self.is_open() {
            Ok(())
        } else {
            Err(closed())
        }
    }
}

impl ConnectionLike for Connection {
    fn req_command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        self.check_open()?;
        let hidden = HiddenWords::of(cmd);
        let response = self.session.execute(&words(cmd, &hidden)?);
        if cmd.is_no_response() {
            return Ok(Value::Nil);
        }
        Ok(to_value(response))
    }

    fn req_packed_command(&mut self, cmd: &[u8]) -> RedisResult<Value> {
        self.check_open()?;
        PackedCommands::new(cmd)
            .next_with(|words| to_value(self.session.execute(words)))?
            .ok_or_else(empty_command)
    }

    fn req_packed_commands(
        &mut self,
        cmd: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.check_open()?;
        if cmd.is_empty() {
            return Err(empty_command());
        }
        let mut commands = PackedCommands::new(cmd);
        let mut replies = Replies::new(offset, count);
        while let Some(response) = commands.next_with(|words| self.session.execute(words))? {
            replies.add(response);
            self.check_open()?;
        }
        replies.finish()
    }

    fn get_db(&self) -> i64 {
        self.session.database()
    }

    fn check_connection(&mut self) -> bool {
        self.is_open()
    }

    fn is_open(&self) -> bool {
        !self.session.is_closed()
    }
}
