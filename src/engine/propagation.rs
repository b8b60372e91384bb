//! Effects to the log. The order in the log is the order of execution for commands that conflict, because effects are
//! appended while the shards are locked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use innkeep_aof::{AofError, FsyncPolicy, Log, LogState, RewriteSink};
use parking_lot::{Mutex, RwLock};

use crate::commands::CommandError;
use crate::keyspace::txn::{Audience, Effects};

/// The way of effects: a log, or nothing.
#[derive(Debug, Default)]
pub struct Propagation {
    log: RwLock<Option<Arc<Log>>>,
    /// Whether there is a log: looked at by every command.
    wanted: AtomicBool,
    /// Whether replies wait for the disk.
    always: AtomicBool,
    /// Whether the log tells the time (`aof-timestamp-enabled`).
    timestamps: AtomicBool,
    /// Position of the last log when it was stopped: positions of the next go on from there.
    last_position: AtomicU64,
    /// Whether the log takes the place of one that was removed, and counts for nothing until its first base is complete.
    replacing: AtomicBool,
    /// Held while effects are appended.
    reader: Mutex<Reader>,
}

/// What the log's reader knows.
#[derive(Debug, Default)]
struct Reader {
    /// The database that it is in.
    selected: Option<usize>,
    /// The last time that it was told, in Unix seconds.
    told_s: i64,
}

/// A line that tells the time to whoever reads the log; Redis and we pass over it.
pub(super) fn encode_time(out: &mut Vec<u8>, time_s: i64) {
    out.extend_from_slice(b"#TS:");
    out.extend_from_slice(itoa::Buffer::new().format(time_s).as_bytes());
    out.extend_from_slice(b"\r\n");
}

impl Propagation {
    /// Whether anybody wants effects.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// The log, if there is one.
    pub(crate) fn log(&self) -> Option<Arc<Log>> {
        self.log.read().clone()
    }

    /// Begins to log. What is in memory now is in the log already, or nothing is.
    pub(crate) fn start(&self, log: Log) {
        *self.reader.lock() = Reader::default();
        self.set_policy(log.policy(), Some(&log));
        *self.log.write() = Some(Arc::new(log));
        self.wanted.store(true, Ordering::Release);
    }

    /// Stops logging and returns the log to be closed.
    pub(crate) fn stop(&self) -> Option<Arc<Log>> {
        self.wanted.store(false, Ordering::Release);
        self.always.store(false, Ordering::Release);
        self.replacing.store(false, Ordering::Release);
        self.take_log()
    }

    /// The first base of the log could not be written: returns the log to be closed. Where it was to replace one that was
    /// removed, nothing is written or acknowledged until another one does.
    pub(crate) fn give_up_first_base(&self) -> Option<Arc<Log>> {
        if self.is_replacing() {
            self.take_log()
        } else {
            self.stop()
        }
    }

    fn take_log(&self) -> Option<Arc<Log>> {
        let log = self.log.write().take()?;
        self.note_position(&log);
        Some(log)
    }

    /// The log was removed, and another one is to take its place. What is appended to that is on disk as soon as its first
    /// base is.
    pub(crate) fn begin_replacing(&self) {
        self.replacing.store(true, Ordering::Release);
    }

    /// The log has its first base.
    pub(crate) fn end_replacing(&self) {
        self.replacing.store(false, Ordering::Release);
    }

    /// Whether a log that was removed has been replaced by nothing yet that would survive.
    pub(crate) fn is_replacing(&self) -> bool {
        self.replacing.load(Ordering::Acquire)
    }

    /// The log goes on counting where this one is now, which is replaced by another.
    pub(crate) fn note_position(&self, log: &Log) {
        self.last_position.store(log.position(), Ordering::Release);
    }

    /// Where the positions of the next log begin.
    pub(crate) fn last_position(&self) -> u64 {
        self.last_position.load(Ordering::Acquire)
    }

    /// `aof-timestamp-enabled`.
    pub(crate) fn set_timestamps(&self, on: bool) {
        self.timestamps.store(on, Ordering::Relaxed);
    }

    /// `appendfsync`.
    pub(crate) fn set_policy(&self, policy: FsyncPolicy, log: Option<&Log>) {
        if let Some(log) = log {
            log.set_policy(policy);
        }
        self.always
            .store(policy == FsyncPolicy::Always, Ordering::Release);
    }

    /// Begins a rewrite: what is appended from now on goes to a new file.
    pub(crate) fn switch(&self) -> Result<Option<RewriteSink>, AofError> {
        let mut reader = self.reader.lock();
        let sink = self.log().map(|log| log.switch()).transpose()?;
        *reader = Reader::default();
        Ok(sink)
    }

    /// Appends effects and returns the position that covers them. Together: as one transaction of the log.
    pub(crate) fn append(&self, effects: &Effects, together: bool, now_ms: i64) -> u64 {
        let log = self.log.read();
        let Some(log) = log.as_ref() else {
            // What is done now stands in the base of the next log, which goes on from here.
            return if self.is_replacing() {
                self.last_position().max(1)
            } else {
                0
            };
        };
        let mut reader = self.reader.lock();
        log.append_with(|out| {
            if self.timestamps.load(Ordering::Relaxed) && reader.told_s < now_ms / 1000 {
                reader.told_s = now_ms / 1000;
                encode_time(out, reader.told_s);
            }
            effects.encode_for(Audience::Log, together, &mut reader.selected, out);
        })
    }

    /// Whether what was appended up to here may be acknowledged.
    pub(crate) fn is_durable(&self, position: u64) -> bool {
        !self.always.load(Ordering::Relaxed) || self.holds(position, Log::is_synced)
    }

    /// Whether a reply that acknowledges what was appended up to here may leave the process: what it acknowledges has then
    /// left it too, to the disk under `always`, else at least to the system, to which it may be written here.
    #[cfg(feature = "server")]
    pub(crate) fn may_leave(&self, position: u64) -> bool {
        self.holds(position, self.there_to_leave(Log::write_through))
    }

    /// The same, without an attempt to bring it about.
    #[cfg(feature = "server")]
    pub(crate) fn has_left(&self, position: u64) -> bool {
        self.holds(position, self.there_to_leave(Log::is_written))
    }

    /// What has to be true of the log before a reply leaves: on the disk under `always`, else what `written` asks.
    #[cfg(feature = "server")]
    fn there_to_leave(&self, written: fn(&Log, u64) -> bool) -> fn(&Log, u64) -> bool {
        if self.always.load(Ordering::Relaxed) {
            Log::is_synced
        } else {
            written
        }
    }

    /// Whether this is true of the log up to here, or there is nothing in it to wait for.
    fn holds(&self, position: u64, there: fn(&Log, u64) -> bool) -> bool {
        let in_log = |log: &Arc<Log>| there(log, in_log(log, position));
        position == 0 || (!self.holds_back() && self.log.read().as_ref().is_none_or(in_log))
    }

    /// Whether nothing that was appended may be acknowledged, because the disk has no whole log.
    fn holds_back(&self) -> bool {
        self.always.load(Ordering::Relaxed) && self.is_replacing()
    }

    /// Ready with true when [`Self::may_leave`] holds; with false while a disk fails on which the reply has to wait.
    #[cfg(feature = "server")]
    pub(crate) fn poll_leave(&self, position: u64, cx: &mut Context<'_>) -> Poll<bool> {
        if self.always.load(Ordering::Relaxed) {
            return self.poll_durable(position, cx);
        }
        match self.log.read().as_ref() {
            // Where the log fails, what it holds is in memory and at risk as under Redis.
            Some(log) => log.poll_written(in_log(log, position), cx).map(|_| true),
            None => Poll::Ready(true),
        }
    }

    /// Ready with true when [`Self::is_durable`] holds; with false while the log fails: ask again a little later.
    pub(crate) fn poll_durable(&self, position: u64, cx: &mut Context<'_>) -> Poll<bool> {
        if self.is_durable(position) {
            return Poll::Ready(true);
        }
        match self.log.read().as_ref() {
            _ if self.holds_back() => Poll::Ready(false),
            Some(log) => log
                .poll_synced(in_log(log, position), cx)
                .map(|synced| synced.is_ok()),
            None => Poll::Ready(true),
        }
    }

    /// Whether the log can take another write and has not come to this position, or there is none.
    #[inline]
    pub(crate) fn takes_writes(&self, before: u64) -> bool {
        let takes = |log: &Arc<Log>| log.is_writable() && log.position() < before;
        let none_takes = || !self.is_replacing();
        !self.is_wanted() || self.log.read().as_ref().map_or_else(none_takes, takes)
    }

    /// Whether the log can take another write, with what to answer where it cannot; its position, if there is a log.
    pub(crate) fn admit_write(&self) -> Result<Option<u64>, CommandError> {
        if !self.is_wanted() {
            return Ok(None);
        }
        let log = self.log.read();
        match log.as_ref() {
            None if self.is_replacing() => Err(REMOVED),
            None => Ok(None),
            Some(log) if log.is_writable() => Ok(Some(log.position())),
            Some(log) => Err(refusal(log)),
        }
    }
}

const REMOVED: CommandError = CommandError::text(
    "MISCONF Errors writing to the AOF file: the file was removed, and another one could not be begun yet",
);

/// A position in this log. One beyond its end is of a log that was ended before this one began, and synced then.
pub(super) fn in_log(log: &Log, position: u64) -> u64 {
    position.min(log.position())
}

fn refusal(log: &Log) -> CommandError {
    match log.state() {
        LogState::Failing(error) => {
            format!("MISCONF Errors writing to the AOF file: {error}").into()
        }
        LogState::Closed => {
            CommandError::text("MISCONF The append only file is closed: the server is stopping")
        }
        LogState::Open => CommandError::text(
            "MISCONF The disk is too slow for the append only file: too much waits to be written. Try again later",
        ),
    }
}
