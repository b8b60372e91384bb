//! The script that has run for longer than `busy-reply-threshold`, as other clients see it: what it is, and whether it has
//! to end. It knows nothing of how scripts run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

/// A script that others are told of.
#[derive(Debug, Clone)]
pub struct Running {
    /// SHA1 or name of the function.
    pub name: String,
    /// The command that runs it.
    pub command: Vec<Box<[u8]>>,
    /// Unix milliseconds.
    pub started_ms: i64,
    /// FCALL, not EVAL.
    pub is_function: bool,
    /// It has changed something: ending it would leave half of its work.
    pub wrote: bool,
    /// Somebody steps through it.
    pub is_debugged: bool,
}

/// Why a script cannot be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKilled {
    /// There is none.
    Idle,
    /// It has written.
    Wrote,
    /// The other command ends it.
    OtherKind,
}

/// At most one script, since each has the gate of the keyspace.
#[derive(Debug, Default)]
pub struct RunningScript {
    running: Mutex<Option<Running>>,
    must_end: AtomicBool,
    /// What it did is not to be logged, because the server ends without saving.
    unsaved: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl RunningScript {
    /// Tells of a script.
    pub fn begin(&self, running: Running) {
        self.must_end.store(false, Ordering::Release);
        *self.running.lock() = Some(running);
    }

    /// It is over: wakes who waits for that.
    pub fn end(&self) {
        *self.running.lock() = None;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The script that runs.
    #[must_use]
    pub fn get(&self) -> Option<Running> {
        self.running.lock().clone()
    }

    /// Whether somebody steps through it.
    #[must_use]
    pub fn is_debugged(&self) -> bool {
        let running = self.running.lock();
        running.as_ref().is_some_and(|running| running.is_debugged)
    }

    /// The script has changed something.
    pub fn note_write(&self) {
        if let Some(running) = &mut *self.running.lock() {
            running.wrote = true;
        }
    }

    /// SCRIPT KILL, or FUNCTION KILL with `is_function`.
    ///
    /// # Errors
    ///
    /// Why it goes on.
    pub fn kill(&self, is_function: bool) -> Result<(), NotKilled> {
        match &*self.running.lock() {
            None => Err(NotKilled::Idle),
            Some(running) if running.wrote => Err(NotKilled::Wrote),
            Some(running) if running.is_function != is_function => Err(NotKilled::OtherKind),
            Some(_) => {
                self.must_end.store(true, Ordering::Release);
                Ok(())
            }
        }
    }

    /// Ends it whatever it has done, because nobody can wait for it any longer.
    pub fn force_end(&self) {
        self.must_end.store(true, Ordering::Release);
    }

    /// Whether it has to end.
    #[must_use]
    pub fn must_end(&self) -> bool {
        self.must_end.load(Ordering::Acquire)
    }

    /// SHUTDOWN NOSAVE: what the script has done so far must not reach the log.
    pub fn forget_effects(&self) {
        self.unsaved.store(true, Ordering::Release);
    }

    /// Whether [`Self::forget_effects`] was called.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        self.unsaved.load(Ordering::Acquire)
    }

    /// Wakes a task when the script is over; at once if there is none.
    pub fn wake_at_end(&self, waker: &Waker) {
        self.waiting.lock().push(waker.clone());
        if self.running.lock().is_none() {
            waker.wake_by_ref();
        }
    }
}
