//! What commands ask of the engine that holds them: parameters of the log and the listener, and the switches of DEBUG.
//! Knows neither log nor listener.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64};

use crate::config::Config;
use crate::keyspace::Txn;

/// What the engine does when CONFIG SET changes a parameter that concerns more than the services. An error refuses the
/// change; its text follows `CONFIG SET failed (possibly related to argument '…') - `.
pub trait Hooks: fmt::Debug + Send + Sync {
    /// `appendfsync`: `always`, `everysec` or `no`.
    fn set_fsync_policy(&self, policy: &str) -> Result<(), String>;
    /// `appendonly`: begins a log with what is in memory, whose first base is written while everything goes on, or ends it.
    /// May be called with every shard locked. `nested`: inside EXEC, after which the log begins.
    fn set_append_only(&self, txn: &mut Txn<'_>, on: bool, nested: bool) -> Result<(), String>;
    /// DEBUG AOF-FLUSH-SLEEP: each write of the log waits so many microseconds before it begins.
    fn delay_log_writes(&self, _us: u64) {}
    /// `maxmemory` other than 0: refused where nobody knows how much memory is used.
    fn admit_memory_limit(&self) -> Result<(), String> {
        Ok(())
    }
    /// `dir`: refused where there is no such directory.
    fn admit_directory(&self, _directory: &std::path::Path) -> Result<(), String> {
        Ok(())
    }
    /// Whether the log takes writes, and the disk what they add; the error is the reply to a command that would write.
    fn admit_write(&self, adds_data: bool) -> Result<(), String>;
    /// Brings the figures of the log that INFO shows up to date.
    fn refresh(&self) {}
    /// How far the log is; `None` where there is none.
    fn log_progress(&self) -> Option<LogProgress> {
        None
    }
    /// `port`, `tls-port` or `bind`: listens there instead.
    fn rebind(&self, config: &Config) -> Result<(), String>;
    /// Any other parameter of TLS: new connections are secured as it says.
    fn secure(&self, config: &Config) -> Result<(), String>;
    /// Writes a line to the server's own log (DEBUG LOG).
    fn log(&self, line: &str);
    /// FLUSHALL is about to empty every database, and every shard is locked: a running save is given up.
    fn emptying(&self, txn: &mut Txn<'_>);
    /// It has: where there are save points an empty snapshot is written. True if that was done.
    fn emptied(&self, txn: &mut Txn<'_>) -> bool;
    /// Any other parameter has a new value; it stands in the configuration already.
    fn changed(&self, name: &str);
}

/// How far the log is, in positions that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogProgress {
    /// Everything before this was given to the log.
    pub appended: u64,
    /// Everything before this is on disk.
    pub synced: u64,
}

/// What listens for clients.
pub trait Rebind: fmt::Debug + Send + Sync {
    /// Listens where the configuration says; an error says why not, and everything stays.
    fn listen(&self, config: &Config) -> Result<(), String>;
    /// Secures new connections as the configuration says; an error says why not, and everything stays.
    fn secure(&self, config: &Config) -> Result<(), String>;
}

/// What DEBUG switches on and off.
#[derive(Debug)]
pub struct Switches {
    /// SET-ACTIVE-EXPIRE: whether expired keys are removed in the background.
    pub active_expire: AtomicBool,
    /// PAUSE-CRON: whether periodic work rests.
    pub cron_paused: AtomicBool,
    /// SET-DISABLE-DENY-SCRIPTS: whether scripts may call everything.
    pub scripts_unrestricted: AtomicBool,
    /// SET-SKIP-CHECKSUM-VALIDATION: whether RESTORE and snapshots are read without looking at their checksum.
    pub checksums_ignored: AtomicBool,
    /// SEGFAULT: what ends the program; where it has no such thing of its own, it is aborted.
    pub crash: OnceLock<fn()>,
    /// CRASH-AND-RECOVER and RESTART: what has the program start again in its process after so many milliseconds, and comes
    /// back only where that fails, with the reason. None where the process is not the server's own.
    pub restart: OnceLock<fn(u64) -> std::io::Error>,
    /// What shows the title of the process after a change of what it tells. None where the process is not the server's own.
    pub show_title: OnceLock<fn(&Config)>,
    /// Makes room for so many clients, as far as the system allows, and tells how many there may be then. None: nobody asks
    /// the system.
    pub room_for_clients: OnceLock<fn(u64) -> u64>,
    /// Who watches over the process, as INFO names them. None: nobody.
    pub supervisor: OnceLock<&'static str>,
    /// REPLYBUFFER PEAK-RESET-TIME in milliseconds; -1: never.
    pub reply_peak_reset_ms: AtomicI64,
    /// FAIL-SNAPSHOT: whether the snapshot that is being written, for a file or as the base of the log, is to fail.
    pub snapshot_fails: AtomicBool,
    /// REPLYBUFFER RESIZING: whether reply buffers shrink and grow.
    pub reply_resizing: AtomicBool,
}

/// How often the peak of a reply buffer is forgotten.
pub const REPLY_PEAK_RESET_MS: i64 = 5000;

impl Default for Switches {
    fn default() -> Self {
        Self {
            active_expire: AtomicBool::new(true),
            cron_paused: AtomicBool::new(false),
            scripts_unrestricted: AtomicBool::new(false),
            checksums_ignored: AtomicBool::new(false),
            reply_peak_reset_ms: AtomicI64::new(REPLY_PEAK_RESET_MS),
            snapshot_fails: AtomicBool::new(false),
            crash: OnceLock::new(),
            restart: OnceLock::new(),
            show_title: OnceLock::new(),
            room_for_clients: OnceLock::new(),
            supervisor: OnceLock::new(),
            reply_resizing: AtomicBool::new(true),
        }
    }
}
