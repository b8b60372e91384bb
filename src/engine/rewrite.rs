//! Rewriting the log without fork: the log goes on in a new file, and a thread writes what was in memory at that moment
//! into a new base. A writer that changes a segment which is not written yet hands it over first.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use innkeep_aof::{AofError, RewriteSink};
use log::{info, warn};
use parking_lot::Mutex;

use super::Inner;
use super::entry_commands::{encode_entry, encode_part};
use super::propagation::encode_time;
use super::snapshot::Snapshot;
use crate::error::Error;
use crate::keyspace::txn::{Journal, encode_command};
use crate::keyspace::{Entry, Part, SnapshotSink, Txn};

/// Encoded segments on their way to the base.
#[derive(Debug, Default)]
pub(super) struct Chunks(pub(super) Mutex<VecDeque<Vec<u8>>>);

impl SnapshotSink for Chunks {
    fn save(&self, db: usize, entries: &mut dyn Iterator<Item = &Entry>) {
        let mut chunk = Vec::new();
        for entry in entries {
            if chunk.is_empty() {
                encode_select(&mut chunk, db);
            }
            encode_entry(&mut chunk, entry);
        }
        if !chunk.is_empty() {
            self.0.lock().push_back(chunk);
        }
    }

    fn save_part(&self, part: Part<'_>) -> bool {
        let mut chunk = Vec::new();
        encode_select(&mut chunk, part.db);
        let goes_on = encode_part(&mut chunk, part);
        self.0.lock().push_back(chunk);
        !goes_on
    }
}

fn encode_select(out: &mut Vec<u8>, db: usize) {
    let mut digits = itoa::Buffer::new();
    encode_command(out, &[b"SELECT", digits.format(db).as_bytes()]);
}

/// What the engine remembers about rewriting.
#[derive(Debug, Default)]
pub(super) struct Rewriting {
    /// The one that runs, unless it was given up.
    running: Mutex<Option<Arc<Rewrite>>>,
    /// How often in a row it has failed.
    failures: AtomicU32,
    /// After several failures: when it is tried again by itself, in Unix milliseconds.
    rests_until_ms: AtomicI64,
}

/// A rewrite that runs.
#[derive(Debug)]
struct Rewrite {
    purpose: Purpose,
    given_up: AtomicBool,
}

/// What a base is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The log becomes shorter.
    Shorter,
    /// It is the first base of a log, which counts only with it.
    First,
    /// BGREWRITEAOF without a log.
    Alone,
}

/// Failures in a row after which a rewrite rests.
const FAILURES_BEFORE_REST: u32 = 3;
const LONGEST_REST_MINUTES: i64 = 60;
const RETRY_MS: i64 = 100;

impl Inner {
    /// BGREWRITEAOF. Every shard is locked; the work goes on on a thread of its own.
    pub(super) fn begin_rewrite(self: &Arc<Self>, txn: &mut Txn<'_>) -> Result<(), Error> {
        txn.lock_all();
        let Some(sink) = self.propagation.switch()? else {
            return Err(Error::NoLog);
        };
        self.run_rewrite(txn, sink, Purpose::Shorter);
        Ok(())
    }

    /// Has a thread write the base that the data of this moment makes. Every shard is locked, and no snapshot runs.
    pub(super) fn run_rewrite(
        self: &Arc<Self>,
        txn: &mut Txn<'_>,
        sink: RewriteSink,
        purpose: Purpose,
    ) {
        let base = self.begin_base(txn);
        let rewrite = Arc::new(Rewrite {
            purpose,
            given_up: AtomicBool::new(false),
        });
        *self.rewriting.running.lock() = Some(Arc::clone(&rewrite));
        let log_stats = &self.services.stats.log;
        log_stats.rewrites_begun.fetch_add(1, Ordering::Relaxed);
        log_stats
            .rewriting_since
            .store((self.keyspace.now_ms() / 1000).max(1), Ordering::Release);
        // Only now: it is scheduled or runs, as long as it is not done.
        log_stats.rewrite_scheduled.store(false, Ordering::Release);
        let (inner, work) = (Arc::clone(self), Arc::clone(&rewrite));
        let spawned = self.threads.start_aside("innkeep-rewrite", move || {
            let result = inner.write_base(&work, sink, &base);
            inner.end_rewrite(&work, result);
        });
        if let Err(error) = spawned {
            txn.end_snapshot();
            self.end_rewrite(
                &rewrite,
                Err(AofError::Io {
                    action: "start a thread for",
                    path: "the rewrite".into(),
                    source: error,
                }),
            );
        }
    }

    /// Nobody wants the rewrite that runs any more, if one does. Every shard is locked: what changes is not handed over to it.
    pub(super) fn give_up_rewrite(&self, txn: &mut Txn<'_>) {
        let Some(rewrite) = self.rewriting.running.lock().take() else {
            return;
        };
        info!("Killing the running AOF rewrite, which is no child process but a thread");
        rewrite.given_up.store(true, Ordering::Release);
        txn.end_snapshot();
        self.note_rewrite_ended();
        self.background.request_save_check();
    }

    /// Whether the log that runs still lacks its first base, and counts for nothing.
    pub(super) fn is_writing_first_base(&self) -> bool {
        let running = self.rewriting.running.lock();
        running
            .as_ref()
            .is_some_and(|rewrite| rewrite.purpose == Purpose::First)
    }

    fn begin_base(&self, txn: &mut Txn<'_>) -> Base {
        self.forget_abandoned_save();
        if self.services.config.read().bool("aof-use-rdb-preamble") {
            return Base::Rdb(self.begin_snapshot(txn, true));
        }
        let chunks = Arc::new(Chunks::default());
        chunks.0.lock().push_back(self.encode_beginning());
        let as_sink: Arc<dyn SnapshotSink> = Arc::<Chunks>::clone(&chunks);
        txn.begin_snapshot(&as_sink);
        Base::Commands(chunks)
    }

    /// What a base of commands begins with: the time where the log tells it, and commands that load the libraries of
    /// functions.
    fn encode_beginning(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.services.config.read().bool("aof-timestamp-enabled") {
            encode_time(&mut out, self.keyspace.now_ms() / 1000);
        }
        for code in self.library_codes() {
            encode_command(&mut out, &[b"FUNCTION", b"LOAD", &code]);
        }
        out
    }

    fn write_base(
        &self,
        rewrite: &Rewrite,
        mut sink: RewriteSink,
        base: &Base,
    ) -> Result<(), AofError> {
        info!("Background append only file rewriting started");
        let chunks = match base {
            Base::Commands(chunks) => chunks,
            Base::Rdb(snapshot) => {
                let out = RdbBase(sink.with_rdb());
                let written = self.write_snapshot(snapshot, out, |keys| {
                    self.slow_down_unless(keys, || !self.is_wanted(rewrite) || self.is_ending());
                    self.go_on_with(rewrite)
                });
                let out = written.map_err(log_error)?;
                self.go_on_with(rewrite).map_err(log_error)?;
                return out.0.finish();
            }
        };
        // Unlocked before it is written: whoever hands over a key must not wait for the disk.
        let next = || chunks.0.lock().pop_front();
        let drain = |sink: &mut RewriteSink| {
            self.go_on_with(rewrite).map_err(log_error)?;
            while let Some(chunk) = next() {
                sink.write(&chunk)?;
            }
            Ok::<(), AofError>(())
        };
        let as_sink: Arc<dyn SnapshotSink> = Arc::<Chunks>::clone(chunks);
        self.keyspace.walk_snapshot(&as_sink, || drain(&mut sink))?;
        drain(&mut sink)?;
        sink.finish()
    }

    fn is_wanted(&self, rewrite: &Rewrite) -> bool {
        !rewrite.given_up.load(Ordering::Acquire)
    }

    fn is_ending(&self) -> bool {
        self.threads.are_ending()
    }

    /// An error once a rewrite is to be given up. The end of the engine waits for the first base of a log, which without it
    /// would hold nothing.
    fn go_on_with(&self, rewrite: &Rewrite) -> io::Result<()> {
        if !self.is_wanted(rewrite) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.is_to_fail() {
            return Err(io::Error::other("it was told to fail"));
        }
        match rewrite.purpose {
            Purpose::First => Ok(()),
            Purpose::Shorter | Purpose::Alone => self.threads.go_on(),
        }
    }

    fn end_rewrite(&self, rewrite: &Arc<Rewrite>, result: Result<(), AofError>) {
        let mut running = self.rewriting.running.lock();
        if !running.as_ref().is_some_and(|it| Arc::ptr_eq(it, rewrite)) {
            // Given up, and whoever did that has told it.
            return;
        }
        *running = None;
        drop(running);
        let log_stats = &self.services.stats.log;
        match result {
            Ok(()) => {
                self.rewriting.failures.store(0, Ordering::Relaxed);
                if rewrite.purpose == Purpose::First {
                    self.propagation.end_replacing();
                }
                log_stats.rewrites.fetch_add(1, Ordering::Relaxed);
                log_stats
                    .last_rewrite_failed
                    .store(false, Ordering::Relaxed);
                info!("Background AOF rewrite finished successfully");
            }
            Err(error) => {
                let purpose = rewrite.purpose;
                log_stats.rewrite_failures.fetch_add(1, Ordering::Relaxed);
                log_stats.last_rewrite_failed.store(true, Ordering::Relaxed);
                warn!("Background AOF rewrite failed: {error}");
                self.note_rewrite_failed();
                match self.propagation.log() {
                    _ if purpose == Purpose::First => self.give_up_first_base(),
                    // The manifest names the file that the log goes on in before the end is told.
                    Some(log) => drop(log.flush_and_sync()),
                    None => {}
                }
            }
        }
        self.note_rewrite_ended();
        self.plan_rewrite();
        self.background.request_save_check();
        if self.propagation.log().is_none() && rewrite.purpose == Purpose::First {
            self.retry_rewrite();
        } else if log_stats.rewrite_scheduled.load(Ordering::Acquire) {
            self.background.request_rewrite();
        }
    }

    fn note_rewrite_ended(&self) {
        let log_stats = &self.services.stats.log;
        let since = log_stats.rewriting_since.swap(0, Ordering::AcqRel);
        log_stats
            .last_rewrite_seconds
            .store(self.keyspace.now_ms() / 1000 - since, Ordering::Relaxed);
    }

    /// Lets rewrites rest after several failures, longer each time.
    pub(super) fn note_rewrite_failed(&self) {
        let failures = self.rewriting.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(beyond) = failures.checked_sub(FAILURES_BEFORE_REST) else {
            return;
        };
        let minutes = 1_i64.checked_shl(beyond).unwrap_or(LONGEST_REST_MINUTES);
        let minutes = minutes.clamp(1, LONGEST_REST_MINUTES);
        warn!(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {minutes} minutes"
        );
        let until_ms = self.keyspace.now_ms() + minutes * 60_000;
        self.rewriting
            .rests_until_ms
            .store(until_ms, Ordering::Relaxed);
    }

    /// Somebody asks for a rewrite: how often it has failed does not matter.
    pub(super) fn forget_rewrite_failures(&self) {
        self.rewriting.failures.store(0, Ordering::Relaxed);
        self.rewriting.rests_until_ms.store(0, Ordering::Relaxed);
    }

    /// Tries again after a failure, soon or when the rest is over.
    pub(super) fn retry_rewrite(&self) {
        let scheduled = &self.services.stats.log.rewrite_scheduled;
        scheduled.store(true, Ordering::Release);
        let rests_until_ms = self.rewriting.rests_until_ms.load(Ordering::Relaxed);
        let at_ms = rests_until_ms.max(self.keyspace.now_ms() + RETRY_MS);
        self.background.request_rewrite_at(at_ms);
    }

    /// Whether a rewrite runs.
    pub(super) fn is_rewriting(&self) -> bool {
        self.services
            .stats
            .log
            .rewriting_since
            .load(Ordering::Acquire)
            != 0
    }

    /// Sets the position of the log at which it will have grown by `auto-aof-rewrite-percentage` beyond what it has now.
    pub(super) fn plan_rewrite(&self) {
        let Some(log) = self.propagation.log() else {
            return;
        };
        let config = self.services.config.read();
        let percentage = config.u64("auto-aof-rewrite-percentage");
        let smallest = config.u64("auto-aof-rewrite-min-size");
        drop(config);
        let size = log.current_size();
        let wanted = size
            .saturating_add(size.saturating_mul(percentage) / 100)
            .max(smallest);
        let at = if percentage == 0 {
            u64::MAX
        } else {
            log.position().saturating_add(wanted.saturating_sub(size))
        };
        self.rewrite_at.store(at, Ordering::Relaxed);
    }

    /// Has the log rewritten, or begun, after the EXEC that asks for it.
    pub(super) fn schedule_rewrite(&self) {
        info!("AOF background was scheduled");
        let scheduled = &self.services.stats.log.rewrite_scheduled;
        scheduled.store(true, Ordering::Release);
        self.background.request_rewrite();
    }

    /// Rewrites because the log has grown, or because it was asked for inside EXEC: then there may be no log yet.
    pub(super) fn rewrite_now(self: &Arc<Self>) {
        // What is scheduled meanwhile is begun at the end of the one that runs.
        if self.is_rewriting() || self.is_saving() {
            return;
        }
        let rests_until_ms = self.rewriting.rests_until_ms.load(Ordering::Relaxed);
        if self.keyspace.now_ms() < rests_until_ms {
            self.background.request_rewrite_at(rests_until_ms);
            return;
        }
        let scheduled = &self.services.stats.log.rewrite_scheduled;
        let scheduled = scheduled.load(Ordering::Acquire);
        let mut txn = self.begin(self.keyspace.all_shards(), 0, Journal::default());
        if self.is_loading() {
            self.close(txn);
            return self.retry_rewrite();
        }
        let wanted = self.services.config.read().bool("appendonly");
        let result = match self.propagation.log() {
            Some(log) if log.is_lost() => self.replace_lost_log(&log, &mut txn),
            Some(_) => self.begin_rewrite(&mut txn),
            None if scheduled && wanted => self.begin_log(&mut txn),
            None if scheduled => self.begin_base_alone(&mut txn),
            None => Ok(()),
        };
        let log_stats = &self.services.stats.log;
        log_stats.rewrite_scheduled.store(false, Ordering::Release);
        if let Err(error) = result {
            warn!("The log could not be rewritten: {error}");
            self.note_rewrite_failed();
            let log = self.propagation.log();
            if wanted && log.is_none_or(|log| log.is_lost()) {
                self.retry_rewrite();
            }
        }
        self.close(txn);
    }
}

/// A base that is being written, in one form or the other.
enum Base {
    Commands(Arc<Chunks>),
    Rdb(Snapshot),
}

/// A base as something that an RDB is written to.
struct RdbBase(RewriteSink);

impl Write for RdbBase {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the log said, which went through an RDB's writer.
fn log_error(error: io::Error) -> AofError {
    error.downcast().unwrap_or_else(|source| AofError::Io {
        action: "write",
        path: "the base".into(),
        source,
    })
}

impl Inner {
    /// Writes everything that the transaction sees into a base, at once.
    pub(super) fn write_whole_base(
        &self,
        txn: &mut Txn<'_>,
        sink: RewriteSink,
    ) -> Result<(), AofError> {
        if self.services.config.read().bool("aof-use-rdb-preamble") {
            let out = RdbBase(sink.with_rdb());
            let written = self.write_rdb(txn, true, out, |_| {});
            return written.map_err(log_error)?.0.finish();
        }
        let mut sink = sink;
        sink.write(&self.encode_beginning())?;
        write_all(txn, &mut sink)?;
        sink.finish()
    }
}

fn write_all(txn: &mut Txn<'_>, sink: &mut RewriteSink) -> Result<(), AofError> {
    let before = txn.db();
    for db in 0..txn.keyspace().databases() {
        txn.select(db);
        let mut chunk = Vec::new();
        for entry in txn.entries() {
            if chunk.is_empty() {
                encode_select(&mut chunk, db);
            }
            encode_entry(&mut chunk, entry);
            if chunk.len() > 1 << 20 {
                sink.write(&chunk)?;
                chunk.clear();
                encode_select(&mut chunk, db);
            }
        }
        sink.write(&chunk)?;
    }
    txn.select(before);
    Ok(())
}
