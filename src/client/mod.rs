//! The `redis` crate's traits over a session of this process: no socket, no packing, no parsing of replies. Knows the
//! engine's sessions and the `redis` crate, and nothing of the commands.

mod async_connection;
mod command;
mod connection;
mod subscriber;
mod value;

pub use async_connection::AsyncConnection;
pub use connection::Connection;
pub use subscriber::{Messages, Subscriber};

use crate::engine::Engine;

/// The ways into an engine for the `redis` crate (feature `redis`).
impl Engine {
    /// A new client in this process, as a [`redis::ConnectionLike`]: typed commands, pipelines, transactions, scripts.
    /// Blocking commands wait on the caller's thread.
    ///
    /// ```
    /// use redis::TypedCommands;
    ///
    /// # fn main() -> redis::RedisResult<()> {
    /// let engine = innkeep::Engine::in_memory();
    /// let mut connection = engine.connection();
    /// connection.set("guest:7", "Ada")?;
    /// assert_eq!(connection.get("guest:7")?.as_deref(), Some("Ada"));
    ///
    /// let (first, second): (i64, i64) = redis::pipe()
    ///     .atomic()
    ///     .incr("visits", 1)
    ///     .incr("visits", 10)
    ///     .query(&mut connection)?;
    /// assert_eq!((first, second), (1, 11));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::new(self.session())
    }

    /// A new client in this process, as a [`redis::aio::ConnectionLike`], on any runtime. Blocking commands let their
    /// task wait, and leave nothing behind when it is dropped.
    ///
    /// ```
    /// use redis::AsyncTypedCommands;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> redis::RedisResult<()> {
    /// let engine = innkeep::Engine::in_memory();
    /// let mut connection = engine.async_connection();
    /// connection.set("room:12", "free").await?;
    /// let taken = connection.getset("room:12", "taken").await?;
    /// assert_eq!(taken.as_deref(), Some("free"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn async_connection(&self) -> AsyncConnection {
        AsyncConnection::new(self.session())
    }

    /// A new client in this process that listens: a [`futures_util::Stream`] of messages for tasks, an iterator for
    /// threads.
    ///
    /// ```
    /// use redis::TypedCommands;
    ///
    /// # fn main() -> redis::RedisResult<()> {
    /// let engine = innkeep::Engine::in_memory();
    /// let mut subscriber = engine.subscriber();
    /// subscriber.subscribe("dashboard")?;
    /// engine.connection().publish("dashboard", "room 12 is free")?;
    ///
    /// let message = subscriber.next_message().expect("a message waits");
    /// assert_eq!(message.get_channel_name(), "dashboard");
    /// assert_eq!(message.get_payload::<String>()?, "room 12 is free");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn subscriber(&self) -> Subscriber {
        Subscriber::new(self.session())
    }
}
