//! CLIENT PAUSE: until when clients wait, and who is woken when that is lifted. Knows no command and no clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

/// How long clients are paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paused {
    /// Unix milliseconds.
    pub until_ms: i64,
    /// Whether only commands that may write wait.
    pub only_writes: bool,
}

/// The pause in force, if any.
#[derive(Debug, Default)]
pub struct Pause {
    /// Whether there is one, possibly over already: all that a command looks at while there is none.
    active: AtomicBool,
    paused: Mutex<Option<Paused>>,
    /// Sessions that wait for its end.
    waiting: Mutex<Vec<Waker>>,
}

impl Pause {
    /// Whether there is one, possibly over already.
    #[inline]
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// The pause that was last begun and not lifted; its time may be over.
    #[must_use]
    pub fn get(&self) -> Option<Paused> {
        if !self.is_active() {
            return None;
        }
        *self.paused.lock()
    }

    /// Begins a pause at `now_ms`. One that is in force never ends sooner, nor lets more through, because of a second.
    pub fn begin(&self, now_ms: i64, wanted: Paused) {
        let mut paused = self.paused.lock();
        *paused = Some(match *paused {
            Some(before) if before.until_ms > now_ms => Paused {
                until_ms: before.until_ms.max(wanted.until_ms),
                only_writes: before.only_writes && wanted.only_writes,
            },
            _ => wanted,
        });
        self.active.store(true, Ordering::Release);
    }

    /// Ends it and wakes who waits.
    pub fn lift(&self) {
        {
            let mut paused = self.paused.lock();
            *paused = None;
            self.active.store(false, Ordering::Release);
        }
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready when there is none; else `waker` is woken when it is lifted.
    pub fn poll_lifted(&self, waker: &Waker) -> Poll<()> {
        if self.get().is_none() {
            return Poll::Ready(());
        }
        self.waiting.lock().push(waker.clone());
        // It may have been lifted in between.
        if self.get().is_none() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(until_ms: i64, only_writes: bool) -> Paused {
        Paused {
            until_ms,
            only_writes,
        }
    }

    #[test]
    fn a_second_pause_only_adds() {
        let pause = Pause::default();
        assert_eq!(pause.get(), None);
        pause.begin(0, paused(1000, true));
        pause.begin(10, paused(500, true));
        assert_eq!(pause.get(), Some(paused(1000, true)));
        pause.begin(20, paused(600, false));
        assert_eq!(pause.get(), Some(paused(1000, false)));
        pause.begin(2000, paused(3000, true));
        assert_eq!(pause.get(), Some(paused(3000, true)));
    }

    #[test]
    fn who_waits_is_told_of_the_end() {
        let pause = Pause::default();
        assert!(pause.poll_lifted(Waker::noop()).is_ready());
        pause.begin(0, paused(1000, false));
        assert!(pause.poll_lifted(Waker::noop()).is_pending());
        pause.lift();
        assert!(pause.poll_lifted(Waker::noop()).is_ready());
    }
}
