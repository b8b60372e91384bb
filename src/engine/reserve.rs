//! Room on the disk that is kept (`disk-reserve`): when less is free, what adds data is refused, so that deletes can be
//! logged and a rewrite of the log, which frees space, has room to work in.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use log::{info, warn};

use super::Inner;
use crate::commands::CommandError;

/// The log grows by this much at most between two looks at the disk, and by this much at least.
const LONGEST_STEP: u64 = 1 << 20;
const SHORTEST_STEP: u64 = 64 << 10;
/// How often the disk is looked at while it is full, in milliseconds.
const LOOK_EVERY_MS: i64 = 50;

/// How long after an attempt another rewrite is begun to make room, in milliseconds.
const REWRITE_EVERY_MS: i64 = 1000;

/// What is known of the disk.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    /// The position of the log at which to look again.
    next_look: AtomicU64,
    /// The disk was full at the last look.
    full: AtomicBool,
    looked_ms: AtomicI64,
    /// Bytes that were free then.
    free: AtomicU64,
    /// When a rewrite was begun last to make room, and the position of the log then.
    rewrite_ms: AtomicI64,
    rewrite_position: AtomicU64,
}

impl Reserve {
    /// The position of the log from which on the disk is to be looked at.
    #[inline]
    pub(super) fn next_look(&self) -> u64 {
        self.next_look.load(Ordering::Relaxed)
    }

    /// Has the next command that adds data look at the disk: the reserve has another size.
    pub(super) fn look_again(&self) {
        self.looked_ms.store(0, Ordering::Relaxed);
        self.next_look.store(0, Ordering::Relaxed);
    }
}

impl Inner {
    /// Whether a command may run that adds data. `position` is the log's.
    #[inline]
    pub(super) fn admit_growth(&self, position: u64) -> Result<(), CommandError> {
        if position < self.reserve.next_look() {
            return Ok(());
        }
        self.look_at_disk(position)
    }

    /// Has the log rewritten on a full disk, if that would free space: the new base has to be smaller than the log is, and
    /// to find room beside it. What it will be is not known; no more than what is in memory, as a rule.
    fn free_disk(&self, free: u64, position: u64) {
        let Some(log) = self.propagation.log() else {
            return;
        };
        let needed = self.services.stats.memory().0 as u64;
        if self.is_rewriting() || self.is_saving() || needed >= log.current_size().min(free) {
            return;
        }
        let (reserve, now_ms) = (&self.reserve, self.keyspace.now_ms());
        let since_ms = now_ms - reserve.rewrite_ms.load(Ordering::Relaxed);
        // Nothing was logged since: it would come to the same again.
        if since_ms.abs() < REWRITE_EVERY_MS
            || reserve.rewrite_position.swap(position, Ordering::Relaxed) == position
        {
            return;
        }
        reserve.rewrite_ms.store(now_ms, Ordering::Relaxed);
        info!("The append only file is rewritten, because that makes room on the disk");
        self.background.request_rewrite();
    }

    fn unwritten(&self) -> u64 {
        let log = self.propagation.log();
        log.map_or(0, |log| log.statistics().pending_bytes)
    }

    #[cold]
    fn look_at_disk(&self, position: u64) -> Result<(), CommandError> {
        let reserve = &self.reserve;
        let now_ms = self.keyspace.now_ms();
        let config = self.services.config.read();
        let (wanted, directory) = (config.u64("disk-reserve"), config.path("dir"));
        drop(config);
        let was_full = reserve.full.load(Ordering::Relaxed);
        let looked_ms = reserve.looked_ms.load(Ordering::Relaxed);
        if was_full && (now_ms - looked_ms).abs() < LOOK_EVERY_MS {
            let free = reserve.free.load(Ordering::Relaxed);
            return Err(refusal(&directory.display().to_string(), free, wanted));
        }
        reserve.looked_ms.store(now_ms, Ordering::Relaxed);
        let free = match self.storage.free_bytes(&directory) {
            _ if wanted == 0 => None,
            // What is appended and not yet written takes its part.
            Ok(free) => free.map(|free| free.saturating_sub(self.unwritten())),
            // Writing will say what is wrong with it.
            Err(_) => None,
        };
        // A little more than the reserve, so that it does not go back and forth.
        let needed = if was_full {
            wanted.saturating_add(wanted / 8)
        } else {
            wanted
        };
        let full = free.is_some_and(|free| free < needed);
        reserve.free.store(free.unwrap_or(0), Ordering::Relaxed);
        if reserve.full.swap(full, Ordering::Relaxed) != full {
            tell(full, &directory.display().to_string());
        }
        if full {
            reserve.next_look.store(0, Ordering::Relaxed);
            let free = free.unwrap_or(0);
            self.free_disk(free, position);
            return Err(refusal(&directory.display().to_string(), free, wanted));
        }
        let step = free.map_or(u64::MAX, |free| {
            ((free - wanted) / 4).clamp(SHORTEST_STEP, LONGEST_STEP)
        });
        reserve
            .next_look
            .store(position.saturating_add(step), Ordering::Relaxed);
        Ok(())
    }
}

fn tell(full: bool, directory: &str) {
    if full {
        warn!(
            "The disk of {directory} is nearly full: what adds data is refused until there is room"
        );
    } else {
        info!("The disk of {directory} has room again: everything is admitted");
    }
}

fn refusal(directory: &str, free: u64, wanted: u64) -> CommandError {
    format!(
        "MISCONF The disk of {directory} is nearly full: {free} bytes are free, and {wanted} are kept in reserve (disk-reserve). \
         What adds data is refused until there is room; reads, deletes and BGREWRITEAOF go on."
    )
    .into()
}
