//! ACL LOG: what was refused lately. Refusals that resemble each other within a minute are one entry.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Refusals that are further apart are entries of their own.
const GROUPED_MS: i64 = 60_000;
/// Entries that are compared with a new refusal, newest first.
const COMPARED: usize = 10;
/// `acllog-max-len` by default.
const DEFAULT_LENGTH: usize = 128;

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The password.
    Auth,
    /// The command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
}

impl Reason {
    /// All of them, in the order in which INFO counts them, which is that of their numbers.
    pub const ALL: [Self; 4] = [Self::Auth, Self::Command, Self::Key, Self::Channel];

    /// As INFO names it.
    #[must_use]
    pub const fn counted_as(self) -> &'static str {
        match self {
            Self::Command => "cmd",
            other => other.name(),
        }
    }

    /// As ACL LOG names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
            Self::Auth => "auth",
        }
    }
}

/// Where something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A command of its own.
    TopLevel,
    /// In MULTI, or by EXEC.
    Multi,
    /// In a script.
    Script,
}

impl Stage {
    /// As ACL LOG names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
            Self::Script => "lua",
        }
    }
}

/// One refusal, or several alike.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// Grows with every entry; what it is compared by does not count it.
    pub id: u64,
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: Reason,
    /// Where.
    pub stage: Stage,
    /// The command, key or channel.
    pub object: Box<[u8]>,
    /// Whose it was.
    pub user: Box<[u8]>,
    /// The line of CLIENT LIST of the last one.
    pub client: String,
    /// Of the first one, in Unix milliseconds.
    pub created_ms: i64,
    /// Of the last one.
    pub updated_ms: i64,
}

impl LogEntry {
    fn resembles(&self, other: &Self) -> bool {
        self.reason == other.reason
            && self.stage == other.stage
            && self.object == other.object
            && self.user == other.user
            && (other.updated_ms - self.updated_ms).abs() <= GROUPED_MS
    }
}

/// The entries, newest first, at most `acllog-max-len`.
#[derive(Debug)]
pub struct AclLog {
    entries: Mutex<VecDeque<LogEntry>>,
    next_id: AtomicU64,
    max_len: AtomicUsize,
}

impl Default for AclLog {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            next_id: AtomicU64::new(0),
            max_len: AtomicUsize::new(DEFAULT_LENGTH),
        }
    }
}

impl AclLog {
    /// Adds a refusal; its `id` and `count` are given here.
    pub fn record(&self, mut entry: LogEntry) {
        let mut entries = self.entries.lock();
        let known = entries
            .iter()
            .take(COMPARED)
            .position(|other| other.resembles(&entry));
        if let Some(mut known) = known.and_then(|at| entries.remove(at)) {
            known.count += 1;
            known.client = entry.client;
            known.updated_ms = entry.updated_ms;
            entries.push_front(known);
        } else {
            entry.id = self.next_id.fetch_add(1, Ordering::Relaxed);
            entry.count = 1;
            entries.push_front(entry);
        }
        entries.truncate(self.max_len.load(Ordering::Relaxed));
    }

    /// The newest entries.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<LogEntry> {
        self.entries.lock().iter().take(count).cloned().collect()
    }

    /// ACL LOG RESET.
    pub fn clear(&self) {
        self.entries.lock().clear();
    }

    /// `acllog-max-len`.
    pub fn set_max_len(&self, max_len: usize) {
        self.max_len.store(max_len, Ordering::Relaxed);
        self.entries.lock().truncate(max_len);
    }
}
