//! The handle of a started log: appending, waiting, its threads and its figures. The work itself is `writer`'s.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{AofError, LogError};
use crate::manifest::{BaseForm, Layout, Manifest};
use crate::options::{FsyncPolicy, Options};
use crate::rewrite::RewriteSink;
use crate::shared::{LogState, Pending, Position, Shared, Switch, lock};
use crate::storage::Storage;
use crate::writer::{Core, SyncJob};

const SYNC_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// A pending buffer of this size is written without gathering more.
const GATHERED_BYTES: usize = 256 << 10;

/// A log that takes appends, from many threads. Dropping it writes out and syncs what it can; [`Log::close`] says whether
/// that went well.
pub struct Log {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads and a rewrite share with the handle.
pub(crate) struct Inner {
    pub(crate) shared: Shared,
    core: Mutex<Core>,
    options: Options,
    storage: Arc<dyn Storage>,
    temporary_base: PathBuf,
}

/// Figures for INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStatistics {
    /// `aof_base_size`: bytes of the base when the log was started or last rewritten.
    pub base_size: u64,
    /// `aof_current_size`: bytes of base and increments.
    pub current_size: u64,
    /// `aof_buffer_length`: bytes appended and not yet written.
    pub pending_bytes: u64,
    /// `aof_pending_bio_fsync`
    pub sync_in_flight: bool,
    /// `aof_delayed_fsync`: how often the writer had to wait for an fsync.
    pub delayed_syncs: u64,
    /// `aof_last_write_status`
    pub last_write_ok: bool,
    /// `aof_rewrite_in_progress`
    pub rewriting: bool,
}

/// What the writer thread has to know when it decides how long to sleep.
#[derive(Debug, Clone, Copy, Default)]
struct Outlook {
    unsynced: bool,
    syncing: bool,
    retry: bool,
}

impl Log {
    pub(crate) fn stepped(core: Core, shared: Shared, options: Options) -> Self {
        let (storage, temporary_base) = (
            Arc::clone(core.storage()),
            core.layout().temporary_base_path(),
        );
        let inner = Inner {
            shared,
            core: Mutex::new(core),
            options,
            storage,
            temporary_base,
        };
        Self {
            inner: Arc::new(inner),
            threads: Mutex::default(),
        }
    }

    pub(crate) fn with_threads(
        core: Core,
        shared: Shared,
        options: Options,
    ) -> Result<Self, AofError> {
        let log = Self::stepped(core, shared, options);
        let (sender, jobs) = mpsc::channel::<SyncJob>();
        lock(&log.inner.core).set_sync_thread(Some(sender));
        let directory = log.inner.options.directory.clone();
        let inner = Arc::clone(&log.inner);
        let syncer = Builder::new()
            .name("aof-fsync".into())
            .spawn(move || inner.run_syncs(&jobs));
        lock(&log.threads).push(syncer.map_err(AofError::io("start a thread for", &directory))?);
        let inner = Arc::clone(&log.inner);
        let writer = Builder::new()
            .name("aof-writer".into())
            .spawn(move || inner.run());
        match writer {
            Ok(writer) => lock(&log.threads).push(writer),
            Err(error) => {
                lock(&log.inner.core).set_sync_thread(None);
                return Err(AofError::io("start a thread for", &directory)(error));
            }
        }
        Ok(log)
    }

    /// Appends a payload: whole RESP commands, a MULTI together with its EXEC. Never blocks on the disk; O(length).
    ///
    /// Appends of one thread, and of threads that order themselves by a lock, are written in that order. After
    /// [`Log::close`] the payload is dropped.
    pub fn append(&self, payload: &[u8]) -> Position {
        self.inner
            .shared
            .append(|buffer| buffer.extend_from_slice(payload))
    }

    /// As [`Log::append`]; `fill` writes the payload behind what is in the buffer. It must only add, and be quick.
    pub fn append_with(&self, fill: impl FnOnce(&mut Vec<u8>)) -> Position {
        self.inner.shared.append(fill)
    }

    /// The position behind the last append.
    #[must_use]
    pub fn position(&self) -> Position {
        self.inner.shared.appended()
    }

    /// Everything before this is on disk.
    #[must_use]
    pub fn synced(&self) -> Position {
        self.inner.shared.synced()
    }

    /// Whether everything before `position` is on disk.
    #[must_use]
    pub fn is_synced(&self, position: Position) -> bool {
        self.inner.shared.synced() >= position
    }

    /// Ready once everything before `position` is on disk, or with an error while the log fails or when it is closed.
    /// An error says that it is not on disk yet, not that it never will be.
    pub fn poll_synced(
        &self,
        position: Position,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), LogError>> {
        let shared = &self.inner.shared;
        if let Some(verdict) = shared.verdict(position) {
            return Poll::Ready(verdict);
        }
        shared.register(position, context.waker());
        // It may have happened in between.
        shared.verdict(position).map_or(Poll::Pending, Poll::Ready)
    }

    /// Whether everything before `position` is written to the system.
    #[must_use]
    pub fn is_written(&self, position: Position) -> bool {
        self.inner.shared.written() >= position
    }

    /// Whether everything before `position` is written to the system, so that the end of the process does not lose it. Writes
    /// it here and now if that takes one short write and neither the disk nor the writer is busy.
    #[must_use]
    pub fn write_through(&self, position: Position) -> bool {
        let shared = &self.inner.shared;
        shared.written() >= position || (self.inner.write_if_free() && shared.written() >= position)
    }

    /// Ready once everything before `position` is written to the system, or with an error as [`Log::poll_synced`].
    pub fn poll_written(
        &self,
        position: Position,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), LogError>> {
        let shared = &self.inner.shared;
        if let Some(verdict) = shared.write_verdict(position) {
            return Poll::Ready(verdict);
        }
        shared.register_for_write(position, context.waker());
        shared.urge();
        // It may have happened in between.
        shared
            .write_verdict(position)
            .map_or(Poll::Pending, Poll::Ready)
    }

    /// Blocks as long as [`Log::poll_synced`] is pending. Under `EverySec` that is up to a second, under `No` for ever
    /// unless someone calls [`Log::flush_and_sync`].
    ///
    /// # Errors
    /// As [`Log::poll_synced`].
    pub fn wait_synced(&self, position: Position) -> Result<(), LogError> {
        self.inner
            .shared
            .wait_until(|| self.inner.shared.verdict(position))
    }

    /// Whether writes are taken; ask before each write command. Cheap unless the log fails.
    #[must_use]
    pub fn state(&self) -> LogState {
        self.inner.shared.state()
    }

    /// Whether its file was removed while it was written. It takes nothing more then, and another log has to begin
    /// ([`Log::begin`]).
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.inner.shared.is_lost()
    }

    /// Has somebody woken as soon as [`Self::is_lost`] holds.
    pub fn wake_when_lost(&self, waker: Waker) {
        self.inner.shared.wake_when_lost(waker);
    }

    /// Whether the state is [`LogState::Open`] and there is room: one look at the hot path.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.inner.shared.is_open() && self.has_room()
    }

    /// Whether fewer bytes are pending than [`Options::pending_limit`].
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.inner.shared.unwritten() < self.inner.options.pending_limit as u64
    }

    /// Blocks until there is room.
    ///
    /// # Errors
    /// While the log fails, or when it is closed.
    pub fn wait_for_room(&self) -> Result<(), LogError> {
        self.inner.shared.wait_until(|| match self.state() {
            _ if self.has_room() => Some(Ok(())),
            LogState::Open => None,
            LogState::Failing(error) => Some(Err(error)),
            LogState::Closed => Some(Err(LogError::closed())),
        })
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> FsyncPolicy {
        self.inner.shared.policy()
    }

    /// Changes the policy (`CONFIG SET appendfsync`).
    pub fn set_policy(&self, policy: FsyncPolicy) {
        self.inner.shared.set_policy(policy);
    }

    /// Writes and syncs everything appended so far, under any policy, before it returns.
    ///
    /// # Errors
    /// When the disk refuses; the log goes on trying by itself.
    pub fn flush_and_sync(&self) -> Result<(), LogError> {
        self.inner.with_core(|core, shared| {
            core.write(shared)?;
            core.sync(shared)
        })
    }

    /// Begins a rewrite: what was appended so far goes to the files of now, what follows to a new increment, which begins
    /// with database 0 selected. Does no I/O, so it may be called under locks. The caller then writes the state of this
    /// very moment to the sink.
    ///
    /// # Errors
    /// While another rewrite runs, or after close.
    pub fn switch(&self) -> Result<RewriteSink, AofError> {
        let shared = &self.inner.shared;
        if shared.is_closed() {
            return Err(LogError::closed().into());
        }
        if shared.rewriting.swap(true, Ordering::AcqRel) {
            return Err(AofError::RewriteInProgress);
        }
        let switch = Switch::new();
        let mut pending = lock(&shared.pending);
        let at = pending.buffer.len();
        pending.marks.push_back((at, Arc::clone(&switch)));
        pending.sleeping = false;
        drop(pending);
        shared.work.notify_all();
        Ok(self.sink_behind(switch))
    }

    /// A sink for the base that goes before what follows a switch.
    pub(crate) fn sink_behind(&self, switch: Arc<Switch>) -> RewriteSink {
        self.inner.shared.rewriting.store(true, Ordering::Release);
        let path = self.inner.temporary_base.clone();
        RewriteSink::behind(Arc::clone(&self.inner), switch, path)
    }

    /// `aof-disable-auto-gc`: whether files that a new base has replaced stay. Those that are there go when they need not.
    pub fn set_keep_history(&self, keep: bool) {
        let shared = &self.inner.shared;
        shared.keep_history.store(keep, Ordering::Relaxed);
        if !keep {
            self.inner.remove_history();
        }
    }

    /// Has each write wait before it begins: for tests of what waits for it.
    pub fn set_write_delay(&self, delay: Duration) {
        let us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let shared = &self.inner.shared;
        shared.write_delay_us.store(us, Ordering::Relaxed);
    }

    /// Figures for INFO.
    #[must_use]
    pub fn statistics(&self) -> LogStatistics {
        let shared = &self.inner.shared;
        LogStatistics {
            base_size: shared.base_size.load(Ordering::Relaxed),
            current_size: shared.current_size.load(Ordering::Relaxed),
            pending_bytes: shared.unwritten(),
            sync_in_flight: shared.sync_in_flight.load(Ordering::Relaxed),
            delayed_syncs: shared.delayed_syncs.load(Ordering::Relaxed),
            last_write_ok: !matches!(shared.state(), LogState::Failing(_)),
            rewriting: shared.rewriting.load(Ordering::Relaxed),
        }
    }

    /// Bytes of the base when the log was started or last rewritten.
    #[must_use]
    pub fn base_size(&self) -> u64 {
        self.inner.shared.base_size.load(Ordering::Relaxed)
    }

    /// Bytes of base and increments now.
    #[must_use]
    pub fn current_size(&self) -> u64 {
        self.inner.shared.current_size.load(Ordering::Relaxed)
    }

    /// Does the writer's work once: writes what is pending, then syncs. For logs without threads.
    ///
    /// # Errors
    /// When the disk refuses.
    #[doc(hidden)]
    pub fn step(&self) -> Result<(), LogError> {
        self.flush_and_sync()
    }

    /// Writes what is pending, without a sync. For logs without threads.
    ///
    /// # Errors
    /// When the disk refuses.
    #[doc(hidden)]
    pub fn write_step(&self) -> Result<(), LogError> {
        self.inner.with_core(Core::write)
    }

    /// Writes, syncs and marks the log as complete; ends the threads. Appends after this are dropped. Nothing stays of a log
    /// that has begun anew ([`Log::begin`]) and whose first base is not complete.
    ///
    /// # Errors
    /// When the disk refuses: what is not on disk then is lost with the process. Only the first call does the work.
    pub fn close(&self) -> Result<(), LogError> {
        if self.inner.shared.is_closed() {
            return Ok(());
        }
        lock(&self.inner.shared.pending).closing = true;
        self.inner.shared.work.notify_all();
        let mut threads = std::mem::take(&mut *lock(&self.threads));
        if let Some(writer) = threads.pop() {
            // A panic of the writer was reported by the runtime; the work is done here.
            let _ = writer.join();
        }
        let outcome = self.inner.with_core(Core::finish);
        lock(&self.inner.core).set_sync_thread(None);
        for thread in threads {
            let _ = thread.join();
        }
        self.inner.shared.close();
        for path in lock(&self.inner.core).unpublished_paths() {
            // What stays is named by no manifest and does no harm.
            let _ = self.inner.storage.remove(&path);
        }
        outcome
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let threaded = !lock(&self.threads).is_empty();
        if threaded {
            // Nobody is left to tell; those who care call close.
            let _ = self.close();
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("state", &self.state())
            .field("statistics", &self.statistics())
            .finish()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Works on the core from outside of the writer thread, which lets such callers go first.
    pub(crate) fn with_core<T>(
        &self,
        work: impl FnOnce(&mut Core, &Shared) -> Result<T, AofError>,
    ) -> Result<T, LogError> {
        self.shared.core_wanted.fetch_add(1, Ordering::AcqRel);
        let mut core = lock(&self.core);
        self.shared.core_wanted.fetch_sub(1, Ordering::AcqRel);
        let outcome = work(&mut core, &self.shared);
        self.tell(&outcome);
        drop(core);
        // What is left to do (a retry, a sync) is the thread's.
        self.shared.urge();
        outcome.map_err(|error| LogError::from(&error))
    }

    /// Writes what is pending if nobody else does, no fsync is under way, which may hold up the write, and it is short.
    fn write_if_free(&self) -> bool {
        let shared = &self.shared;
        let is_busy = shared.sync_in_flight.load(Ordering::Relaxed)
            || shared.core_wanted.load(Ordering::Relaxed) > 0
            || shared.write_delay_us.load(Ordering::Relaxed) > 0;
        if is_busy || !shared.is_open() {
            return false;
        }
        let mut core = match self.core.try_lock() {
            Ok(core) => core,
            Err(TryLockError::Poisoned(core)) => core.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let outcome = core.write_if_short(shared);
        if outcome.is_err() {
            self.tell(&outcome);
            drop(core);
            shared.urge();
        }
        outcome.unwrap_or(false)
    }

    /// Puts a finished base in place. Its failure is no failure of the log, which is written meanwhile.
    pub(crate) fn install(&self, len: u64, first: u64, form: BaseForm) -> Result<(), AofError> {
        let outcome = self.install_base(len, first, form);
        self.shared.urge();
        outcome
    }

    fn install_base(&self, len: u64, first: u64, form: BaseForm) -> Result<(), AofError> {
        let layout = lock(&self.core).layout().clone();
        let base = lock(&self.core).next_base(form, &self.shared)?;
        self.storage
            .rename(&self.temporary_base, &layout.path(&base.name))
            .map_err(AofError::io("rename", &self.temporary_base))?;
        let directory = &layout.append_directory;
        self.storage
            .sync_directory(directory)
            .map_err(AofError::io("fsync", directory))?;
        let manifest = lock(&self.core).lend_with_base(base, first, &self.shared)?;
        let stored = manifest.store(&*self.storage, &layout);
        lock(&self.core).take_base(manifest, stored, len, &self.shared)
    }

    /// Removes what a new base has replaced. What stays in the manifest does no harm.
    pub(crate) fn remove_history(&self) {
        let mut core = lock(&self.core);
        let layout = core.layout().clone();
        let lent = core.lend_without_history();
        drop(core);
        if let Some((manifest, history)) = lent {
            let stored = store_without_history(&*self.storage, &layout, &manifest, &history);
            lock(&self.core).take_without_history(manifest, stored.is_ok());
        }
        self.shared.urge();
    }

    pub(crate) fn keeps_history(&self) -> bool {
        self.shared.keep_history.load(Ordering::Relaxed)
    }

    pub(crate) const fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    fn tell<T>(&self, outcome: &Result<T, AofError>) {
        match outcome {
            Ok(_) => self.shared.recover(),
            Err(error) => self.shared.fail(LogError::from(error)),
        }
    }

    /// The thread that does fsyncs while the writer goes on.
    fn run_syncs(&self, jobs: &mpsc::Receiver<SyncJob>) {
        while let Ok(file) = jobs.recv() {
            let outcome = file.sync();
            lock(&self.shared.pending).sync_done = Some(outcome);
            self.shared.work.notify_all();
        }
    }

    /// The writer thread.
    fn run(&self) {
        let mut outlook = Outlook::default();
        let mut last_sync: Option<Instant> = None;
        while self.wait_for_work(outlook, last_sync) {
            self.delay_write();
            while self.shared.core_wanted.load(Ordering::Acquire) > 0 {
                std::thread::yield_now();
            }
            let mut core = lock(&self.core);
            lock(&self.shared.pending).written_outside = false;
            let outcome = core
                .write(&self.shared)
                .and_then(|()| self.sync_if_due(&mut core, &mut last_sync));
            self.tell(&outcome);
            outlook = Outlook {
                unsynced: core.has_unsynced(),
                syncing: core.is_syncing(),
                retry: outcome.is_err(),
            };
        }
    }

    fn delay_write(&self) {
        let us = self.shared.write_delay_us.load(Ordering::Relaxed);
        if us > 0 && self.shared.unwritten() > 0 {
            std::thread::sleep(Duration::from_micros(us));
        }
    }

    fn sync_if_due(
        &self,
        core: &mut Core,
        last_sync: &mut Option<Instant>,
    ) -> Result<(), AofError> {
        match self.shared.policy() {
            FsyncPolicy::Always => core.sync(&self.shared),
            FsyncPolicy::No => Ok(()),
            FsyncPolicy::EverySec => {
                let now = Instant::now();
                if core.has_unsynced() && last_sync.is_none_or(|last| now >= last + SYNC_INTERVAL) {
                    if core.is_syncing() {
                        return Ok(());
                    }
                    *last_sync = Some(now);
                    core.begin_sync(&self.shared)?;
                }
                Ok(())
            }
        }
    }

    /// Sleeps until there is work; false when the log is to be closed. Nothing to do means no timeout.
    fn wait_for_work(&self, outlook: Outlook, last_sync: Option<Instant>) -> bool {
        let mut pending = lock(&self.shared.pending);
        let begun = Instant::now();
        loop {
            if pending.closing {
                return false;
            }
            let timeout = self.timeout(&pending, outlook, last_sync, begun);
            match timeout {
                Some(Duration::ZERO) => break,
                Some(timeout) => {
                    pending.sleeping = !outlook.retry;
                    pending = wait(&self.shared, pending, timeout);
                }
                None => {
                    pending.sleeping = true;
                    pending = self
                        .shared
                        .work
                        .wait(pending)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        pending.sleeping = false;
        self.gather(pending)
    }

    fn timeout(
        &self,
        pending: &Pending,
        outlook: Outlook,
        last_sync: Option<Instant>,
        begun: Instant,
    ) -> Option<Duration> {
        if pending.sync_done.is_some() || pending.urgent && !outlook.retry {
            return Some(Duration::ZERO);
        }
        if outlook.retry {
            return Some((begun + RETRY_INTERVAL).saturating_duration_since(Instant::now()));
        }
        if !pending.buffer.is_empty() || !pending.marks.is_empty() {
            return Some(Duration::ZERO);
        }
        if outlook.syncing || self.shared.policy() == FsyncPolicy::No {
            return None;
        }
        if !outlook.unsynced {
            // The outlook is from before that.
            return pending.written_outside.then_some(Duration::ZERO);
        }
        let due = last_sync.map_or(begun, |last| last + SYNC_INTERVAL);
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Lets appends gather for a moment where nobody waits for the disk.
    fn gather(&self, pending: MutexGuard<'_, Pending>) -> bool {
        let gather = self.options.gather;
        if gather.is_zero()
            || self.shared.policy() == FsyncPolicy::Always
            || pending.buffer.len() >= GATHERED_BYTES
        {
            return true;
        }
        let waited = self
            .shared
            .work
            .wait_timeout_while(pending, gather, |pending| {
                !pending.urgent
                    && !pending.closing
                    && pending.sync_done.is_none()
                    && pending.marks.is_empty()
            });
        let (pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !pending.closing
    }
}

/// Removes the files of the history and then stores the manifest that is without it.
pub(crate) fn store_without_history(
    storage: &dyn Storage,
    layout: &Layout,
    manifest: &Manifest,
    history: &[PathBuf],
) -> Result<(), AofError> {
    for path in history {
        // What stays behind is named by no manifest and does no harm.
        let _ = storage.remove(path);
    }
    manifest.store(storage, layout)
}

fn wait<'a>(
    shared: &Shared,
    pending: MutexGuard<'a, Pending>,
    timeout: Duration,
) -> MutexGuard<'a, Pending> {
    shared
        .work
        .wait_timeout(pending, timeout)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}
