//! What appenders, waiters and the writer share: the pending buffer, the positions, the state. Does no I/O.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::error::LogError;
use crate::options::{FsyncPolicy, Options};

/// Bytes appended since the log was started, or since an earlier one was: a place in the log that lasts beyond a change of files.
pub type Position = u64;

const OPEN: u8 = 0;
const FAILING: u8 = 1;
const CLOSED: u8 = 2;
/// Its file was removed: nothing that is written is kept, and this log never recovers.
const LOST: u8 = 3;

/// Whether writes are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// All is well.
    Open,
    /// The disk refuses; what is pending waits, and the writer tries again by itself.
    Failing(LogError),
    /// [`crate::Log::close`] was called.
    Closed,
}

/// A point at which the log goes on in a new file.
#[derive(Debug)]
pub(crate) struct Switch {
    /// The sequence number of the increment that begins there, once the writer got there.
    outcome: Mutex<Option<Result<u64, LogError>>>,
}

impl Switch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            outcome: Mutex::new(None),
        })
    }

    /// One that has happened: an increment with this number is being written already.
    pub(crate) fn settled(sequence: u64) -> Arc<Self> {
        Arc::new(Self {
            outcome: Mutex::new(Some(Ok(sequence))),
        })
    }

    pub(crate) fn settle(&self, outcome: Result<u64, LogError>) {
        *lock(&self.outcome) = Some(outcome);
    }

    pub(crate) fn outcome(&self) -> Option<Result<u64, LogError>> {
        lock(&self.outcome).clone()
    }
}

/// Appended and not yet taken by the writer.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) buffer: Vec<u8>,
    pub(crate) appended: Position,
    /// Where in the buffer the log switches files.
    pub(crate) marks: VecDeque<(usize, Arc<Switch>)>,
    /// The writer thread waits for work.
    pub(crate) sleeping: bool,
    /// The writer thread should not let appends gather.
    pub(crate) urgent: bool,
    pub(crate) closing: bool,
    /// Someone else than the writer thread has written since it last looked: an fsync will be due.
    pub(crate) written_outside: bool,
    /// How the fsync that was under way ended.
    pub(crate) sync_done: Option<std::io::Result<()>>,
    /// Buffers to use again.
    pub(crate) spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pending: Mutex<Pending>,
    /// The writer thread, or whoever waits for an fsync to end, waits here.
    pub(crate) work: Condvar,
    /// Callers wait here for the disk or for room.
    progress: Condvar,
    appended: AtomicU64,
    written: AtomicU64,
    synced: AtomicU64,
    policy: AtomicU8,
    status: AtomicU8,
    error: Mutex<Option<LogError>>,
    /// Who begins another log when this one is lost.
    lost_waker: Mutex<Option<Waker>>,
    /// Tasks that wait until it is synced.
    sync_wakers: Wakers,
    /// Tasks that wait until it is written.
    write_wakers: Wakers,
    pub(crate) base_size: AtomicU64,
    pub(crate) current_size: AtomicU64,
    pub(crate) delayed_syncs: AtomicU64,
    pub(crate) sync_in_flight: AtomicBool,
    pub(crate) rewriting: AtomicBool,
    /// `aof-disable-auto-gc`
    pub(crate) keep_history: AtomicBool,
    /// How long each write waits before it begins, in microseconds: for tests of what waits for it.
    pub(crate) write_delay_us: AtomicU64,
    /// Callers that want the writer's core; the writer thread lets them go first.
    pub(crate) core_wanted: AtomicU32,
}

/// Tasks and the positions that they wait for.
#[derive(Debug, Default)]
struct Wakers(Mutex<Vec<(Position, Waker)>>);

impl Wakers {
    fn register(&self, position: Position, waker: &Waker) {
        lock(&self.0).push((position, waker.clone()));
    }

    fn wake_up_to(&self, position: Position) {
        let mut waiting = lock(&self.0);
        let due: Vec<_> = waiting
            .extract_if(.., |(wanted, _)| *wanted <= position)
            .collect();
        drop(waiting);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(options: &Options) -> Self {
        let first = options.first_position;
        Self {
            pending: Mutex::new(Pending {
                appended: first,
                ..Pending::default()
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
            appended: AtomicU64::new(first),
            written: AtomicU64::new(first),
            synced: AtomicU64::new(first),
            policy: AtomicU8::new(options.policy as u8),
            status: AtomicU8::new(OPEN),
            error: Mutex::new(None),
            lost_waker: Mutex::new(None),
            sync_wakers: Wakers::default(),
            write_wakers: Wakers::default(),
            base_size: AtomicU64::new(0),
            current_size: AtomicU64::new(0),
            delayed_syncs: AtomicU64::new(0),
            sync_in_flight: AtomicBool::new(false),
            rewriting: AtomicBool::new(false),
            keep_history: AtomicBool::new(options.keep_history),
            write_delay_us: AtomicU64::new(0),
            core_wanted: AtomicU32::new(0),
        }
    }

    pub(crate) fn policy(&self) -> FsyncPolicy {
        match self.policy.load(Ordering::Relaxed) {
            0 => FsyncPolicy::Always,
            1 => FsyncPolicy::EverySec,
            _ => FsyncPolicy::No,
        }
    }

    pub(crate) fn set_policy(&self, policy: FsyncPolicy) {
        self.policy.store(policy as u8, Ordering::Relaxed);
        self.urge();
    }

    /// Runs `fill` on the pending buffer and wakes the writer if it sleeps.
    pub(crate) fn append(&self, fill: impl FnOnce(&mut Vec<u8>)) -> Position {
        let mut pending = lock(&self.pending);
        let before = pending.buffer.len();
        fill(&mut pending.buffer);
        let after = pending.buffer.len();
        assert!(after >= before, "an append only adds");
        if self.is_closed() {
            pending.buffer.truncate(before);
            return pending.appended;
        }
        pending.appended += (after - before) as u64;
        let position = pending.appended;
        self.appended.store(position, Ordering::Relaxed);
        let wake = std::mem::take(&mut pending.sleeping);
        drop(pending);
        if wake {
            self.work.notify_all();
        }
        position
    }

    /// Makes the writer thread look at its work now.
    pub(crate) fn urge(&self) {
        let mut pending = lock(&self.pending);
        pending.urgent = true;
        pending.sleeping = false;
        drop(pending);
        self.work.notify_all();
    }

    pub(crate) fn synced(&self) -> Position {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn appended(&self) -> Position {
        self.appended.load(Ordering::Relaxed)
    }

    /// Bytes appended and not yet written.
    pub(crate) fn unwritten(&self) -> u64 {
        // Two loads of two counters: the second may have run ahead.
        self.appended()
            .saturating_sub(self.written.load(Ordering::Relaxed))
    }

    pub(crate) fn written(&self) -> Position {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn set_written(&self, position: Position) {
        self.written.store(position, Ordering::Release);
        self.notify_progress();
        self.write_wakers.wake_up_to(position);
    }

    pub(crate) fn set_synced(&self, position: Position) {
        assert!(position >= self.synced(), "what is on disk stays there");
        self.synced.store(position, Ordering::Release);
        self.notify_progress();
        self.sync_wakers.wake_up_to(position);
    }

    fn notify_progress(&self) {
        // Under the lock, so that nobody who is about to wait misses it.
        let _pending = lock(&self.pending);
        self.progress.notify_all();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.status.load(Ordering::Acquire) == OPEN
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.status.load(Ordering::Acquire) == CLOSED
    }

    pub(crate) fn state(&self) -> LogState {
        match self.status.load(Ordering::Acquire) {
            OPEN => LogState::Open,
            CLOSED => LogState::Closed,
            _ => LogState::Failing(self.error()),
        }
    }

    fn error(&self) -> LogError {
        lock(&self.error).clone().unwrap_or_else(LogError::closed)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.status.load(Ordering::Acquire) == LOST
    }

    pub(crate) fn wake_when_lost(&self, waker: Waker) {
        *lock(&self.lost_waker) = Some(waker);
    }

    pub(crate) fn lose(&self, error: LogError) {
        if self.is_lost() {
            return;
        }
        *lock(&self.error) = Some(error);
        self.change_status(LOST);
        if let Some(waker) = &*lock(&self.lost_waker) {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn fail(&self, error: LogError) {
        if self.is_lost() {
            return;
        }
        *lock(&self.error) = Some(error);
        self.change_status(FAILING);
    }

    pub(crate) fn recover(&self) {
        if self.status.load(Ordering::Acquire) == FAILING {
            self.change_status(OPEN);
            *lock(&self.error) = None;
        }
    }

    pub(crate) fn close(&self) {
        self.change_status(CLOSED);
    }

    fn change_status(&self, status: u8) {
        if self.is_closed() {
            return;
        }
        self.status.store(status, Ordering::Release);
        self.notify_progress();
        self.sync_wakers.wake_up_to(Position::MAX);
        self.write_wakers.wake_up_to(Position::MAX);
    }

    /// What a waiter for the fsync of `position` is told now; `None`: it must go on waiting.
    pub(crate) fn verdict(&self, position: Position) -> Option<Result<(), LogError>> {
        self.verdict_at(self.synced() >= position)
    }

    /// The same for the write of `position`.
    pub(crate) fn write_verdict(&self, position: Position) -> Option<Result<(), LogError>> {
        self.verdict_at(self.written() >= position)
    }

    fn verdict_at(&self, is_there: bool) -> Option<Result<(), LogError>> {
        if is_there {
            return Some(Ok(()));
        }
        match self.state() {
            LogState::Open => None,
            LogState::Failing(error) => Some(Err(error)),
            LogState::Closed => Some(Err(LogError::closed())),
        }
    }

    pub(crate) fn register(&self, position: Position, waker: &Waker) {
        self.sync_wakers.register(position, waker);
    }

    pub(crate) fn register_for_write(&self, position: Position, waker: &Waker) {
        self.write_wakers.register(position, waker);
    }

    /// Blocks until `done` answers.
    pub(crate) fn wait_until<T>(&self, mut done: impl FnMut() -> Option<T>) -> T {
        let mut pending = lock(&self.pending);
        loop {
            if let Some(answer) = done() {
                return answer;
            }
            pending = self
                .progress
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
