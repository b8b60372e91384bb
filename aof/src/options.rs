//! Where a log lives and how it behaves. Only settings; no behaviour.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When the log is forced to disk (`appendfsync`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FsyncPolicy {
    /// Before a reply leaves; one fsync covers everyone who waits.
    Always = 0,
    /// Once a second, on a thread of its own.
    EverySec = 1,
    /// When the system likes. Only bounded: what was written and may be lost stays below [`Options::unsynced_limit`].
    No = 2,
}

/// Settings of a log. `Options::new(directory)` has Redis's defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// `dir`
    pub directory: PathBuf,
    /// `appenddirname`
    pub append_directory: String,
    /// `appendfilename`
    pub file_name: String,
    /// `aof-load-truncated`: an unfinished end of a file *of Redis's own* is cut off instead of refused.
    pub load_truncated: bool,
    /// `aof-disable-auto-gc`: files that a new base has replaced stay; [`crate::Log::set_keep_history`] changes it later.
    pub keep_history: bool,
    /// Cut off even what was known to be safe: `check --fix`. The cut bytes are kept beside.
    pub repair: bool,
    /// Where the positions of the log begin, so that they go on behind those of an earlier one.
    pub first_position: u64,
    /// `appendfsync`; [`crate::Log::set_policy`] changes it later.
    pub policy: FsyncPolicy,
    /// Pending bytes (appended, not yet written) above which [`crate::Log::has_room`] is false.
    pub pending_limit: usize,
    /// Bytes written and not yet on disk, above which the writer waits for the disk. They are kept in memory, because a
    /// failed fsync loses them and they have to be written again.
    pub unsynced_limit: usize,
    /// How long the writer lets appends gather before a write, unless the policy is `Always`.
    pub gather: Duration,
    /// Seconds since 1970, for the name of the file that keeps cut bytes.
    pub unix_time: u64,
}

impl Options {
    /// Redis's defaults for a log in `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            append_directory: "appendonlydir".to_string(),
            file_name: "appendonly.aof".to_string(),
            load_truncated: true,
            keep_history: false,
            repair: false,
            first_position: 0,
            policy: FsyncPolicy::EverySec,
            pending_limit: 64 << 20,
            unsynced_limit: 64 << 20,
            gather: Duration::from_millis(1),
            unix_time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
        }
    }

    /// The name to [`claim`](crate::Storage::claim) before the log is opened: two that write the same one destroy it. Logs
    /// of other names may live in the same directory.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        let directory = self.directory.join(&self.append_directory);
        directory.join(format!("{}.lock", self.file_name))
    }
}
