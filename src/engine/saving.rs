//! Snapshots on disk: SAVE, BGSAVE, the `save` points, and what the end of the server saves. A thread of its own writes
//! what was in memory when a save began; nobody waits for it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use log::{info, warn};
use parking_lot::{Condvar, Mutex};

use super::Inner;
use super::disk_file::Replacement;
use super::snapshot::Snapshot;
use crate::commands::{CommandError, Shutdown};
use crate::config::SavePoint;
use crate::error::Error;
use crate::keyspace::Txn;
use crate::keyspace::txn::Journal;

/// A save point tries again this long after a failure.
const RETRY_MS: i64 = 5000;
/// How often a save that is slowed down looks whether it still shall be.
const PACE_MS: u64 = 10;

/// The answer to writes while snapshots fail.
pub(super) const REFUSAL: CommandError = CommandError::text(
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.",
);

/// What the engine remembers about saving.
#[derive(Debug)]
pub(super) struct Saving {
    /// The running save is to be given up.
    given_up: AtomicBool,
    /// A save is to begin as soon as nothing else runs.
    scheduled: AtomicBool,
    /// The number of changes at which a save point comes into reach: looked at by every command that changes something.
    changes_awaited: AtomicU64,
    /// When the last save began, in Unix milliseconds.
    last_try_ms: Mutex<i64>,
    /// Whether a save failed and writes are refused for it (`stop-writes-on-bgsave-error`).
    refuses_writes: AtomicBool,
    /// Told at the end of each save.
    ended: Condvar,
}

impl Default for Saving {
    fn default() -> Self {
        Self {
            given_up: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            changes_awaited: AtomicU64::new(u64::MAX),
            last_try_ms: Mutex::new(0),
            refuses_writes: AtomicBool::new(false),
            ended: Condvar::new(),
        }
    }
}

impl Saving {
    /// Whether writes are refused because the last save failed.
    pub(super) fn refuses_writes(&self) -> bool {
        self.refuses_writes.load(Ordering::Relaxed)
    }

    /// Has nobody else ask for a look at the save points until that look has been taken.
    pub(super) fn note_awaited_changes(&self) {
        self.changes_awaited.store(u64::MAX, Ordering::SeqCst);
    }

    /// Whether so many changes bring a save point into reach.
    pub(super) fn is_due_after(&self, changes: u64) -> bool {
        changes >= self.changes_awaited.load(Ordering::Relaxed)
    }
}

/// How a save ended that nobody waits for.
enum End {
    Done,
    GivenUp,
    Failed(io::Error),
}

// ------------------------------------------------------------------------------------------------ saving

impl Inner {
    /// The file that snapshots go to.
    pub(super) fn rdb_path(&self) -> PathBuf {
        let config = self.services.config.read();
        config.path("dir").join(config.path("dbfilename"))
    }

    fn begin_file(&self, background: bool) -> io::Result<Replacement> {
        let kind = if background { "-background" } else { "" };
        self.begin_file_named(&format!("temp-{}{kind}.rdb", std::process::id()))
    }

    /// Removes what a save that does not come to its end has written.
    #[cfg(feature = "server")]
    pub(super) fn remove_temporary_snapshots(&self) {
        let directory = self.services.config.read().path("dir");
        for kind in ["", "-background"] {
            let name = format!("temp-{}{kind}.rdb", std::process::id());
            // It is not there unless a save runs.
            let _ = self.storage.remove(&directory.join(name));
        }
    }

    /// Begins a temporary file where snapshots are kept.
    pub(super) fn begin_file_named(&self, name: &str) -> io::Result<Replacement> {
        let directory = self.services.config.read().path("dir");
        self.storage.create_directory(&directory)?;
        Replacement::create(Arc::clone(&self.storage), directory.join(name))
    }

    /// Whether a snapshot is being written.
    pub(super) fn is_saving(&self) -> bool {
        self.services.stats.saving_since.load(Ordering::Acquire) != 0
    }

    /// SAVE: writes everything at once. Every shard is locked.
    pub(super) fn save_now(&self, txn: &mut Txn<'_>) -> Result<(), Error> {
        let stats = &self.services.stats;
        stats.saves.fetch_add(1, Ordering::Relaxed);
        self.forget_abandoned_save();
        let result = self.begin_file(false).and_then(|file| {
            let pace = |keys| {
                self.slow_down(keys);
            };
            let file = self.write_rdb(txn, false, file, pace)?;
            file.put_in_place(&self.rdb_path())
        });
        if let Err(error) = result {
            warn!(
                "Error writing the snapshot {}: {error}",
                self.rdb_path().display()
            );
            return Err(error.into());
        }
        info!("DB saved on disk");
        self.services.dirty.store(0, Ordering::Relaxed);
        self.note_saved();
        Ok(())
    }

    /// So many changes are saved; SAVE may have counted them already.
    fn forget_changes(&self, saved: u64) {
        let dirty = &self.services.dirty;
        let before = dirty.load(Ordering::Relaxed);
        dirty.fetch_sub(saved.min(before), Ordering::Relaxed);
    }

    fn note_saved(&self) {
        let stats = &self.services.stats;
        let now_s = self.keyspace.now_ms() / 1000;
        stats.last_save.store(now_s, Ordering::Relaxed);
        stats.last_save_failed.store(false, Ordering::Relaxed);
        self.judge_writes();
        self.background.request_save_check();
    }

    /// BGSAVE: begins a save that goes on on a thread of its own. Every shard is locked, and no other snapshot runs.
    pub(super) fn begin_save(self: &Arc<Self>, txn: &mut Txn<'_>) {
        let stats = &self.services.stats;
        stats.saves.fetch_add(1, Ordering::Relaxed);
        self.forget_abandoned_save();
        self.saving.scheduled.store(false, Ordering::Release);
        let now_ms = self.keyspace.now_ms();
        *self.saving.last_try_ms.lock() = now_ms;
        let dirty = self.services.dirty.load(Ordering::Relaxed);
        let snapshot = self.begin_snapshot(txn, false);
        self.note_saving_begun();
        info!("Background saving started");
        let inner = Arc::clone(self);
        let spawned = self.threads.start_aside("innkeep-save", move || {
            let result = inner.write_file(&snapshot);
            inner.end_save(result, dirty);
        });
        if let Err(error) = spawned {
            txn.end_snapshot();
            self.end_save(Err(error), dirty);
        }
    }

    fn write_file(&self, snapshot: &Snapshot) -> io::Result<()> {
        let file = self
            .begin_file(true)
            .inspect_err(|_| self.keyspace.end_snapshot(&snapshot.as_sink()))?;
        self.write_until_given_up(snapshot, file)?
            .put_in_place(&self.rdb_path())
    }

    /// Writes a snapshot at the configured pace; an error where it is given up meanwhile.
    pub(super) fn write_until_given_up<W: io::Write>(
        &self,
        snapshot: &Snapshot,
        out: W,
    ) -> io::Result<W> {
        let out = self.write_snapshot(snapshot, out, |keys| {
            if self.slow_down(keys) {
                Ok(())
            } else {
                Err(io::ErrorKind::Interrupted.into())
            }
        })?;
        // FLUSHALL ends a snapshot early, without an error.
        if self.is_save_given_up() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(out)
    }

    /// `rdb-key-save-delay`: takes so many microseconds for each key, as long as it is configured. False when the save
    /// is to be given up.
    pub(super) fn slow_down(&self, keys: u64) -> bool {
        self.slow_down_unless(keys, || self.is_save_given_up())
    }

    /// DEBUG FAIL-SNAPSHOT: whether the snapshot that is being written is to fail.
    pub(super) fn is_to_fail(&self) -> bool {
        let fails = &self.services.switches.snapshot_fails;
        fails.load(Ordering::Acquire)
    }

    /// What begins now is not what was to fail.
    pub(super) fn forget_failure(&self) {
        let fails = &self.services.switches.snapshot_fails;
        fails.store(false, Ordering::Release);
    }

    /// The same for what is given up otherwise.
    pub(super) fn slow_down_unless(&self, keys: u64, given_up: impl Fn() -> bool) -> bool {
        let mut paid_us = 0;
        loop {
            if given_up() || self.is_to_fail() {
                return false;
            }
            let delay = self.services.config.read().i64("rdb-key-save-delay");
            // A negative one is a number of keys for each microsecond.
            let owed_us = match delay.unsigned_abs() {
                keys_each if delay < 0 => keys / keys_each,
                each_us => keys.saturating_mul(each_us),
            };
            if paid_us >= owed_us {
                return true;
            }
            let step_us = (owed_us - paid_us).min(PACE_MS * 1000);
            std::thread::sleep(Duration::from_micros(step_us));
            paid_us += step_us;
        }
    }

    fn end_save(&self, result: io::Result<()>, dirty: u64) {
        let end = match result {
            Ok(()) => End::Done,
            Err(_) if self.is_save_given_up() => End::GivenUp,
            Err(error) => End::Failed(error),
        };
        let stats = &self.services.stats;
        // Whoever waits for the end finds out how it ended.
        match end {
            End::Done => {
                info!("DB saved on disk");
                info!("Background saving terminated with success");
                self.forget_changes(dirty);
                self.note_saved();
            }
            End::GivenUp => warn!("Background saving was given up"),
            End::Failed(error) => {
                let path = self.rdb_path();
                warn!("Background saving error: {}: {error}", path.display());
                stats.last_save_failed.store(true, Ordering::Relaxed);
                self.judge_writes();
            }
        }
        self.note_saving_ended();
        self.after_saving();
    }

    /// A snapshot begins to be written.
    pub(super) fn note_saving_begun(&self) {
        let now_s = self.keyspace.now_ms() / 1000;
        let since = &self.services.stats.saving_since;
        since.store(now_s.max(1), Ordering::Release);
    }

    /// No snapshot is being written any more.
    pub(super) fn note_saving_ended(&self) {
        let stats = &self.services.stats;
        let mut tried_ms = self.saving.last_try_ms.lock();
        let since_s = stats.saving_since.swap(0, Ordering::AcqRel);
        let now_ms = self.keyspace.now_ms();
        *tried_ms = now_ms;
        stats
            .last_save_seconds
            .store(now_ms / 1000 - since_s, Ordering::Relaxed);
        self.saving.ended.notify_all();
    }

    /// What has waited for the end of a snapshot may begin.
    pub(super) fn after_saving(&self) {
        let stats = &self.services.stats;
        self.background.request_save_check();
        if stats.log.rewrite_scheduled.load(Ordering::Acquire) {
            self.background.request_rewrite();
        }
    }

    /// Gives up the running save, if there is one, and waits for its end. Nothing may be locked that it needs: call it
    /// without locks.
    pub(super) fn give_up_save(&self) {
        let mut tried_ms = self.saving.last_try_ms.lock();
        while self.is_saving() {
            self.saving.given_up.store(true, Ordering::Release);
            self.saving.ended.wait(&mut tried_ms);
        }
    }

    /// The snapshot that the end of the server writes, if it is to write one.
    pub(super) fn save_at_the_end(&self, how: Shutdown) -> Result<(), Error> {
        self.give_up_save();
        // What has not been loaded yet must not take the place of what it is loaded from.
        if self.is_loading() {
            return Ok(());
        }
        let has_points = !self.services.config.read().save_points().is_empty();
        if !how.save.unwrap_or(has_points) {
            return Ok(());
        }
        info!("Saving the final RDB snapshot before exiting.");
        let mut txn = self.begin(self.keyspace.all_shards(), 0, Journal::default());
        let result = self.save_now(&mut txn);
        self.close(txn);
        match result {
            Err(_) if how.force => {
                warn!("Error trying to save the DB. Exit anyway.");
                Ok(())
            }
            Err(error) => {
                warn!("Error trying to save the DB, can't exit.");
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Tells the running save that nobody wants it any more. Every shard is locked: what changes is not handed over to it.
    pub(super) fn abandon_save(&self, txn: &mut Txn<'_>) {
        if self.is_saving() {
            self.saving.given_up.store(true, Ordering::Release);
            txn.end_snapshot();
        }
    }

    /// Whether nobody wants the running save any more.
    pub(super) fn is_save_given_up(&self) -> bool {
        self.saving.given_up.load(Ordering::Acquire) || self.threads.are_ending()
    }

    /// What follows is not the save that nobody wanted any more.
    pub(super) fn forget_abandoned_save(&self) {
        self.forget_failure();
        self.saving.given_up.store(false, Ordering::Release);
    }

    /// Has a save begin when nothing else runs.
    pub(super) fn schedule_save(&self) {
        self.saving.scheduled.store(true, Ordering::Release);
        self.background.request_save_check();
    }

    /// Judges anew whether writes are refused: after a save, and when a parameter changes that decides on it.
    pub(super) fn judge_writes(&self) {
        let config = self.services.config.read();
        let refused = self.services.stats.last_save_failed.load(Ordering::Relaxed)
            && config.bool("stop-writes-on-bgsave-error")
            && !config.save_points().is_empty();
        self.saving.refuses_writes.store(refused, Ordering::Relaxed);
    }
}

// ------------------------------------------------------------------------------------------------ save points

impl Inner {
    /// Begins a save if one is scheduled or a save point is reached; answers when to look again (Unix milliseconds).
    pub(super) fn save_if_due(self: &Arc<Self>) -> Option<i64> {
        // The end of what runs asks again.
        if self.is_saving() || self.is_rewriting() || self.is_loading() {
            return None;
        }
        let due = self.next_save_ms();
        let scheduled = self.saving.scheduled.load(Ordering::Acquire);
        if !scheduled && due.is_none_or(|at| at > self.keyspace.now_ms()) {
            return due;
        }
        let mut txn = self.begin(self.keyspace.all_shards(), 0, Journal::default());
        if !self.is_saving() && !self.is_rewriting() && !self.is_loading() {
            self.begin_save(&mut txn);
        }
        self.close(txn);
        None
    }

    /// When the next save point is reached if nothing more changes. Notes how many changes bring another into reach.
    fn next_save_ms(&self) -> Option<i64> {
        let stats = &self.services.stats;
        let points = self.services.config.read().save_points().to_vec();
        let awaited = |dirty: u64| {
            let ahead = points.iter().filter(|point| point_changes(point) > dirty);
            ahead.map(point_changes).min().unwrap_or(u64::MAX)
        };
        // What changes between the two looks is seen by one of them or by whoever changes it.
        let before = self.services.dirty.load(Ordering::Relaxed);
        self.saving
            .changes_awaited
            .store(awaited(before), Ordering::SeqCst);
        let dirty = self.services.dirty.load(Ordering::SeqCst);
        if dirty != before {
            self.saving
                .changes_awaited
                .store(awaited(dirty), Ordering::SeqCst);
        }
        let last_save_ms = stats.last_save.load(Ordering::Relaxed) * 1000;
        let reached = points
            .iter()
            .filter(|point| dirty > 0 && point_changes(point) <= dirty);
        let due = reached
            .map(|point| last_save_ms.saturating_add(point_ms(point)))
            .min()?;
        let failed = stats.last_save_failed.load(Ordering::Relaxed);
        let retry = *self.saving.last_try_ms.lock() + RETRY_MS;
        Some(if failed { due.max(retry) } else { due })
    }
}

fn point_changes(point: &SavePoint) -> u64 {
    u64::try_from(point.changes).unwrap_or(0)
}

/// Redis saves when more than the seconds of the point have passed since the last time.
fn point_ms(point: &SavePoint) -> i64 {
    point.seconds.saturating_add(1).saturating_mul(1000)
}
