//! What an engine has besides its data: connected clients, pub/sub channels, configuration, statistics. Commands that
//! administer see it; it knows no command, no reply form and no socket.

pub mod acl;
pub mod apply;
pub mod channels;
pub mod clients;
pub mod debugging;
pub mod ending;
pub mod events;
pub mod histogram;
pub mod hooks;
pub mod latency;
mod monitor;
pub mod pause;
pub mod primary;
mod renamed;
pub mod replicas;
pub mod running;
pub mod session;
pub mod slowlog;
pub mod stats;
pub mod subscriptions;
pub mod tracking;

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

pub use acl::Acl;
pub use channels::Channels;
pub use clients::{ClientFlags, ClientInfo, Clients, Mailbox, UnblockKind};
pub use ending::Ending;
pub use hooks::{Hooks, LogProgress, Rebind, Switches};
pub use latency::LatencyMonitor;
pub use pause::{Pause, Paused};
pub use primary::Primary;
pub use renamed::Renamed;
pub use replicas::Replicas;
pub use running::RunningScript;
pub use session::{Multi, QueuedCommand, ReplyMode, SessionState, Watched};
pub use slowlog::SlowLog;
pub use stats::Stats;
pub use tracking::Tracking;

use crate::config::Config;
use crate::script::Registry;
use crate::script::store::LuaStore;

/// Shared by every session of an engine.
#[derive(Debug)]
pub struct Services {
    /// The parameters in force.
    pub config: RwLock<Config>,
    /// `rename-command`, where there is any.
    pub renamed: Option<Renamed>,
    /// Who may do what.
    pub acl: Acl,
    /// Who is connected.
    pub clients: Clients,
    /// Who listens.
    pub channels: Channels,
    /// Who keeps which keys.
    pub tracking: Tracking,
    /// Who follows the stream of effects.
    pub replicas: Replicas,
    /// Whom this server follows.
    pub primary: Primary,
    /// What INFO counts.
    pub stats: Stats,
    /// `notify-keyspace-events` as bits, read by every command.
    pub event_mask: AtomicU32,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Shutdowns that wait.
    pub ending: Ending,
    /// SLOWLOG.
    pub slow_log: SlowLog,
    /// LATENCY.
    pub latency: LatencyMonitor,
    /// What DEBUG switches on and off.
    pub switches: Switches,
    /// What the engine does when a parameter changes.
    pub hooks: RwLock<Option<Box<dyn Hooks>>>,
    /// What listens for clients, where a server does.
    pub rebind: RwLock<Option<Box<dyn Rebind>>>,
    /// What EVAL and FCALL run.
    pub scripts: Registry,
    /// Scripts and functions in Lua.
    pub lua: LuaStore,
    /// The script that keeps others waiting.
    pub running_script: RunningScript,
    /// Changes since the last save.
    pub dirty: AtomicU64,
    /// `maxmemory` in bytes, read by every command that may need memory; 0: no limit.
    pub max_memory: AtomicU64,
    /// `timeout`: seconds after which an idle client is closed; 0: never. Read whenever a client waits.
    pub client_timeout_s: AtomicU64,
    /// `proto-max-bulk-len`: bytes of the longest argument that a client may send. Read before such a one is waited for.
    pub max_argument: AtomicUsize,
    /// `min-replicas-to-write`, read by every command that writes.
    pub min_replicas_to_write: AtomicU64,
}

impl Services {
    /// Whether fewer replicas follow closely than `min-replicas-to-write` wants.
    #[must_use]
    #[inline]
    pub fn lacks_replicas(&self, now_ms: i64) -> bool {
        let wanted = self.min_replicas_to_write.load(Ordering::Relaxed);
        wanted > 0 && !self.primary.is_followed() && self.counts_fewer_replicas(wanted, now_ms)
    }

    fn counts_fewer_replicas(&self, wanted: u64, now_ms: i64) -> bool {
        let max_lag_s = self.config.read().i64("min-replicas-max-lag");
        max_lag_s > 0 && (self.replicas.good(max_lag_s, now_ms) as u64) < wanted
    }

    /// Nobody connected, nothing counted; for a table of so many commands.
    #[must_use]
    pub fn new(config: Config, commands: usize, now_ms: i64) -> Self {
        Self {
            config: RwLock::new(config),
            renamed: None,
            acl: Acl::default(),
            clients: Clients::default(),
            channels: Channels::default(),
            tracking: Tracking::default(),
            replicas: Replicas::default(),
            primary: Primary::default(),
            stats: Stats::new(commands, now_ms),
            event_mask: AtomicU32::new(0),
            ending: Ending::default(),
            pause: Pause::default(),
            slow_log: SlowLog::default(),
            latency: LatencyMonitor::default(),
            switches: Switches::default(),
            hooks: RwLock::new(None),
            rebind: RwLock::new(None),
            scripts: Registry::default(),
            lua: LuaStore::default(),
            running_script: RunningScript::default(),
            dirty: AtomicU64::new(0),
            max_memory: AtomicU64::new(0),
            client_timeout_s: AtomicU64::new(0),
            max_argument: AtomicUsize::new(usize::MAX),
            min_replicas_to_write: AtomicU64::new(0),
        }
    }
}
