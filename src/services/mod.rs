//! What an engine has besides its data: connected clients, pub/sub channels, configuration, statistics. Commands that
//! administer see it; it knows no command, no reply form and no socket.

pub mod channels;
pub mod clients;
pub mod session;
pub mod stats;

use std::sync::atomic::{AtomicU32, AtomicU64};

use parking_lot::{Mutex, RwLock};

pub use channels::Channels;
pub use clients::{ClientFlags, ClientInfo, Clients, Mailbox};
pub use session::{Multi, QueuedCommand, ReplyMode, SessionState, Watched};
pub use stats::Stats;

use crate::value::pending::Config;

/// Shared by every session of an engine.
#[derive(Debug)]
pub struct Services {
    /// The parameters in force.
    pub config: RwLock<Config>,
    /// Who is connected.
    pub clients: Clients,
    /// Who listens.
    pub channels: Channels,
    /// What INFO counts.
    pub stats: Stats,
    /// `notify-keyspace-events` as bits, read by every command.
    pub event_mask: AtomicU32,
    /// CLIENT PAUSE: until when, in Unix milliseconds, and whether only writes wait.
    pub pause: Mutex<Option<(i64, bool)>>,
    /// Changes since the last save.
    pub dirty: AtomicU64,
    /// The log, if the engine keeps one.
    pub log: RwLock<Option<crate::value::pending::Log>>,
}
