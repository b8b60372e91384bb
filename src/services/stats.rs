//! What INFO counts for the whole engine.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};

use super::acl::Reason;
use super::histogram::Histogram;
use crate::memory::{allocated_memory, peak_memory};

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
    /// Durations, from the first call on that is timed.
    pub durations: OnceLock<Box<Histogram>>,
}

impl CommandStats {
    /// Counts a call. `track` is `latency-tracking`.
    pub fn record(&self, duration: Duration, failed: bool, track: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.usec.fetch_add(us, Ordering::Relaxed);
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        if track {
            self.record_durations(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), 1);
        }
    }

    /// Keeps the duration of calls that are counted elsewhere.
    pub fn record_durations(&self, ns: u64, calls: u64) {
        self.durations
            .get_or_init(Box::default)
            .record_many(ns, calls);
    }

    fn reset(&self) {
        for counter in [&self.calls, &self.usec, &self.rejected, &self.failed] {
            counter.store(0, Ordering::Relaxed);
        }
        if let Some(durations) = self.durations.get() {
            durations.clear();
        }
    }
}

/// Tells how many bytes are in use.
pub struct MemorySource(pub Box<dyn Fn() -> usize + Send + Sync>);

/// What the program's allocator can do besides.
#[derive(Debug, Clone, Copy)]
pub struct Allocator {
    /// As INFO names it.
    pub name: &'static str,
    /// Gives back to the system what it keeps of memory that this thread has taken.
    pub purge: fn(),
    /// Its own statistics, as text.
    pub statistics: fn() -> String,
}

/// Has each of the threads that serve clients purge what the allocator keeps for it.
pub struct PurgesWorkers(pub Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for PurgesWorkers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PurgesWorkers").finish()
    }
}

impl std::fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MemorySource").finish()
    }
}

/// Counters of the engine. Relaxed: they order nothing.
#[derive(Debug)]
pub struct Stats {
    /// When the engine began.
    pub started: Instant,
    /// Unix milliseconds of the same.
    pub started_ms: i64,
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
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
    /// Reads from sockets.
    pub reads: AtomicU64,
    /// Writes to sockets.
    pub writes: AtomicU64,
    /// Error replies.
    pub errors: AtomicU64,
    /// Error replies by their first word.
    pub errors_by_code: DashMap<String, u64>,
    /// One for each command of the table, by its index.
    pub by_command: Box<[CommandStats]>,
    /// `latency-tracking`: whether durations are kept for each command.
    pub latency_tracking: AtomicBool,
    /// Keys evicted.
    pub evicted_keys: AtomicU64,
    /// Clients evicted.
    pub evicted_clients: AtomicU64,
    /// Values that wait to be dropped in the background.
    pub lazy_free_pending: AtomicU64,
    /// Values that were dropped in the background.
    pub lazy_freed: AtomicU64,
    /// Times that a client's reply buffer was made smaller.
    pub reply_buffer_shrinks: AtomicU64,
    /// Times that one was made larger.
    pub reply_buffer_expands: AtomicU64,
    /// Unix seconds of the last save, or of the start.
    pub last_save: AtomicI64,
    /// Whether the last BGSAVE failed.
    pub last_save_failed: AtomicBool,
    /// Seconds that the last BGSAVE took; -1: there was none.
    pub last_save_seconds: AtomicI64,
    /// Replicas that got a snapshot.
    pub full_syncs: AtomicU64,
    /// Replicas that went on where they were.
    pub partial_syncs: AtomicU64,
    /// Replicas that wanted to go on and could not.
    pub refused_partial_syncs: AtomicU64,
    /// A snapshot is being written, since these Unix seconds; 0: none is.
    pub saving_since: AtomicI64,
    /// Connections to other servers that MIGRATE keeps.
    pub cached_peers: AtomicUsize,
    /// Snapshots begun.
    pub saves: AtomicU64,
    /// Keys that the running snapshot or base has written, and all that it will write; 0 while none runs.
    pub saved_keys: AtomicU64,
    pub keys_to_save: AtomicU64,
    /// Whether the data is being loaded.
    pub loading: AtomicBool,
    /// How far that is.
    pub load: LoadStats,
    /// What the start brought, and what is at risk, in one line.
    pub start_report: Mutex<String>,
    /// Keys that the last load skipped, because they had expired.
    pub loaded_expired: AtomicU64,
    /// Keys that the last load brought.
    pub loaded_keys: AtomicU64,
    /// State of the log.
    pub log: LogStats,
    /// How often rights were missing, by reason.
    pub denied: [AtomicU64; Reason::ALL.len()],
    /// Since when (Unix microseconds) more memory is used than `maxmemory` allows, though keys may be evicted; 0: it is
    /// not.
    pub exceeded_since_us: AtomicI64,
    /// Microseconds for which that was so, before.
    pub exceeded_us: AtomicU64,
    /// Highest memory use that was seen, in bytes.
    pub peak_memory: AtomicUsize,
    /// Memory used at the end of the start, in bytes.
    pub startup_memory: AtomicUsize,
    /// What tells the bytes in use, if it is not the allocator.
    pub memory_source: OnceLock<MemorySource>,
    /// The allocator, if somebody knows it.
    pub allocator: OnceLock<Allocator>,
    /// The threads that serve clients, where a server does.
    pub workers: RwLock<Option<PurgesWorkers>>,
    rate: Mutex<Rate>,
}

/// Codes of errors that are counted each by itself.
const MAX_ERROR_CODES: usize = 128;

/// How far loading is, as `loading_…` of INFO tells it.
#[derive(Debug, Default)]
pub struct LoadStats {
    /// Unix seconds of its beginning.
    pub since_s: AtomicI64,
    /// Bytes of all files that are loaded.
    pub total_bytes: AtomicU64,
    /// Bytes of them that are in memory by now.
    pub loaded_bytes: AtomicU64,
}

/// State of the log, as `aof_…` of INFO tells it.
#[derive(Debug)]
pub struct LogStats {
    /// Whether there is one.
    pub enabled: AtomicBool,
    /// A rewrite runs since these Unix seconds; 0: none does.
    pub rewriting_since: AtomicI64,
    /// A rewrite will run as soon as possible.
    pub rewrite_scheduled: AtomicBool,
    /// Seconds of the last rewrite; -1: there was none.
    pub last_rewrite_seconds: AtomicI64,
    /// Whether the last rewrite failed.
    pub last_rewrite_failed: AtomicBool,
    /// Rewrites that were begun; Redis forks for each.
    pub rewrites_begun: AtomicU64,
    /// Rewrites that were done.
    pub rewrites: AtomicU64,
    /// Rewrites that failed, since the last that did not.
    pub rewrite_failures: AtomicU64,
    /// Whether the last write failed.
    pub write_failed: AtomicBool,
    /// Bytes of base and increments.
    pub size: AtomicU64,
    /// Bytes after the last rewrite, or at the start.
    pub base_size: AtomicU64,
    /// Bytes not yet written.
    pub buffered: AtomicU64,
    /// Fsyncs asked for and not yet done.
    pub pending_fsyncs: AtomicU64,
    /// Writes that had to wait for an fsync.
    pub delayed_fsyncs: AtomicU64,
}

impl Default for LogStats {
    fn default() -> Self {
        Self {
            enabled: AtomicBool::new(false),
            rewriting_since: AtomicI64::new(0),
            rewrite_scheduled: AtomicBool::new(false),
            last_rewrite_seconds: AtomicI64::new(-1),
            last_rewrite_failed: AtomicBool::new(false),
            rewrites_begun: AtomicU64::new(0),
            rewrites: AtomicU64::new(0),
            rewrite_failures: AtomicU64::new(0),
            write_failed: AtomicBool::new(false),
            size: AtomicU64::new(0),
            base_size: AtomicU64::new(0),
            buffered: AtomicU64::new(0),
            pending_fsyncs: AtomicU64::new(0),
            delayed_fsyncs: AtomicU64::new(0),
        }
    }
}

/// Commands, bytes in and bytes out per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PerSecond {
    /// Commands.
    pub commands: f64,
    /// Bytes read.
    pub input: f64,
    /// Bytes written.
    pub output: f64,
}

#[derive(Debug)]
struct Rate {
    at: Instant,
    totals: [u64; 3],
    last: PerSecond,
}

impl Rate {
    fn new() -> Self {
        Self {
            at: Instant::now(),
            totals: [0; 3],
            last: PerSecond::default(),
        }
    }
}

/// Bytes of the process that are in memory; 0 where the system does not tell.
#[must_use]
pub fn resident_memory() -> usize {
    const PAGE: usize = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages
        .as_deref()
        .and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0).saturating_mul(PAGE)
}

/// A rate is taken over at least this long.
const RATE_INTERVAL: Duration = Duration::from_millis(100);

/// 40 random hexadecimal digits.
#[must_use]
pub fn random_id() -> String {
    let source = RandomState::new();
    let mut id: String = (0..3)
        .map(|part: u64| format!("{:016x}", source.hash_one(part)))
        .collect();
    id.truncate(40);
    id
}

impl Stats {
    /// All zero, for a table of so many commands.
    #[must_use]
    pub fn new(commands: usize, now_ms: i64) -> Self {
        Self {
            started: Instant::now(),
            started_ms: now_ms,
            run_id: random_id(),
            denied: Default::default(),
            connections: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            input_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            errors_by_code: DashMap::new(),
            by_command: (0..commands).map(|_| CommandStats::default()).collect(),
            latency_tracking: AtomicBool::new(true),
            evicted_keys: AtomicU64::new(0),
            evicted_clients: AtomicU64::new(0),
            lazy_free_pending: AtomicU64::new(0),
            lazy_freed: AtomicU64::new(0),
            reply_buffer_shrinks: AtomicU64::new(0),
            reply_buffer_expands: AtomicU64::new(0),
            last_save: AtomicI64::new(now_ms / 1000),
            last_save_failed: AtomicBool::new(false),
            last_save_seconds: AtomicI64::new(-1),
            full_syncs: AtomicU64::new(0),
            partial_syncs: AtomicU64::new(0),
            refused_partial_syncs: AtomicU64::new(0),
            saving_since: AtomicI64::new(0),
            cached_peers: AtomicUsize::new(0),
            saves: AtomicU64::new(0),
            saved_keys: AtomicU64::new(0),
            keys_to_save: AtomicU64::new(0),
            loading: AtomicBool::new(false),
            load: LoadStats::default(),
            start_report: Mutex::default(),
            loaded_expired: AtomicU64::new(0),
            loaded_keys: AtomicU64::new(0),
            log: LogStats::default(),
            exceeded_since_us: AtomicI64::new(0),
            exceeded_us: AtomicU64::new(0),
            peak_memory: AtomicUsize::new(0),
            startup_memory: AtomicUsize::new(0),
            memory_source: OnceLock::new(),
            allocator: OnceLock::new(),
            workers: RwLock::default(),
            rate: Mutex::new(Rate::new()),
        }
    }

    /// Counts an error reply by its code.
    pub fn count_error(&self, text: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        // A text without a space has no code.
        let code = text.split_once(' ').map_or("ERR", |(code, _)| code);
        // Scripts make codes as they like.
        if self.errors_by_code.len() >= MAX_ERROR_CODES && !self.errors_by_code.contains_key(code) {
            return;
        }
        *self.errors_by_code.entry(code.to_owned()).or_insert(0) += 1;
    }

    /// Sets to zero what CONFIG RESETSTAT resets.
    pub fn reset(&self) {
        let counters = [
            &self.connections,
            &self.rejected_connections,
            &self.commands,
            &self.input_bytes,
            &self.output_bytes,
            &self.reads,
            &self.writes,
            &self.errors,
            &self.evicted_keys,
            &self.evicted_clients,
            &self.exceeded_us,
            &self.lazy_freed,
            &self.reply_buffer_shrinks,
            &self.reply_buffer_expands,
            &self.full_syncs,
            &self.partial_syncs,
            &self.refused_partial_syncs,
            &self.log.delayed_fsyncs,
        ];
        for counter in counters {
            counter.store(0, Ordering::Relaxed);
        }
        for denied in &self.denied {
            denied.store(0, Ordering::Relaxed);
        }
        self.errors_by_code.clear();
        self.by_command.iter().for_each(CommandStats::reset);
        *self.rate.lock() = Rate::new();
    }

    /// The allocator's name; what nobody names is the system's.
    #[must_use]
    pub fn allocator_name(&self) -> &'static str {
        self.allocator
            .get()
            .map_or("libc", |allocator| allocator.name)
    }

    /// Gives back to the system what the allocator keeps of freed memory: for this thread now, for those that serve clients
    /// as soon as they come to it.
    pub fn purge(&self) {
        let Some(allocator) = self.allocator.get() else {
            return;
        };
        (allocator.purge)();
        if let Some(workers) = self.workers.read().as_ref() {
            (workers.0)();
        }
    }

    /// Bytes in use: those that the allocator has given out. `None` in a program whose allocator does not count.
    #[must_use]
    pub fn known_memory(&self) -> Option<usize> {
        match self.memory_source.get() {
            Some(source) => Some(source.0()),
            None => allocated_memory(),
        }
    }

    /// Whether anybody knows how many bytes are in use.
    #[must_use]
    pub fn knows_memory(&self) -> bool {
        self.memory_source.get().is_some() || allocated_memory().is_some()
    }

    /// Bytes in use, and the most there ever were. Where they are not known it is the resident memory of the process.
    #[must_use]
    pub fn memory(&self) -> (usize, usize) {
        let used = self.known_memory().unwrap_or_else(resident_memory);
        let seen = used.max(peak_memory());
        let peak = self.peak_memory.fetch_max(seen, Ordering::Relaxed);
        (used, peak.max(seen))
    }

    /// What happened per second since the last look, or at the last look if that was a moment ago.
    #[must_use]
    pub fn per_second(&self) -> PerSecond {
        let totals = [&self.commands, &self.input_bytes, &self.output_bytes]
            .map(|counter| counter.load(Ordering::Relaxed));
        let mut rate = self.rate.lock();
        let elapsed = rate.at.elapsed();
        if elapsed >= RATE_INTERVAL {
            let before = rate.totals;
            let per_second = |i: usize| {
                let grown: u64 = totals[i].saturating_sub(before[i]);
                grown as f64 / elapsed.as_secs_f64()
            };
            rate.last = PerSecond {
                commands: per_second(0),
                input: per_second(1),
                output: per_second(2),
            };
            rate.at = Instant::now();
            rate.totals = totals;
        }
        rate.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_forty_digits_and_differ() {
        let (a, b) = (random_id(), random_id());
        assert_eq!(a.len(), 40);
        assert!(a.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(a, b);
    }
}
