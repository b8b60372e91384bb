//! What INFO counts for the whole engine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;

/// Counters of one command.
#[derive(Debug, Default)]
pub struct CommandStats {
    /// Calls that ran.
    pub calls: AtomicU64,
    /// Microseconds spent in them.
    pub usec: AtomicU64,
    /// Calls refused before they ran.
    pub rejected: AtomicU64,
    /// Calls that answered an error.
    pub failed: AtomicU64,
}

/// Counters of the engine. Relaxed: they order nothing.
#[derive(Debug)]
pub struct Stats {
    /// When the engine began.
    pub started: Instant,
    /// Unix milliseconds of the same.
    pub started_ms: i64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused at `maxclients`.
    pub rejected_connections: AtomicU64,
    /// Commands run.
    pub commands: AtomicU64,
    /// Bytes read from sockets.
    pub input_bytes: AtomicU64,
    /// Bytes written to sockets.
    pub output_bytes: AtomicU64,
    /// Error replies.
    pub errors: AtomicU64,
    /// Error replies by their first word.
    pub errors_by_code: DashMap<String, u64>,
    /// One for each command of the table, by its index.
    pub by_command: Box<[CommandStats]>,
}

impl Stats {
    /// All zero, for a table of so many commands.
    #[must_use]
    pub fn new(commands: usize, now_ms: i64) -> Self {
        Self {
            started: Instant::now(),
            started_ms: now_ms,
            connections: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            input_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            errors_by_code: DashMap::new(),
            by_command: (0..commands).map(|_| CommandStats::default()).collect(),
        }
    }

    /// Counts an error reply by its code.
    pub fn count_error(&self, text: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let code = text.split(' ').next().unwrap_or("ERR");
        *self.errors_by_code.entry(code.to_owned()).or_insert(0) += 1;
    }
}
