//! The way from Lua's functions, which live as long as the interpreter, to what serves the script that runs now.
#![expect(
    unsafe_code,
    reason = "functions that live as long as the interpreter reach a borrowed host while a script runs"
)]

use std::ptr::NonNull;

use parking_lot::Mutex;

use crate::reply::Response;

/// What serves a script while it runs.
pub trait Host {
    /// Runs a command and returns its reply, an error too, in the shapes of RESP3 or of RESP2.
    fn call(&mut self, args: &[&[u8]], resp3: bool) -> Response;
    /// Whether its commands have taken so long that it wants its turn before the next.
    fn is_due(&self) -> bool {
        false
    }
    /// Whether the script's user may run a command; `None` if there is no such command.
    fn may_run(&mut self, args: &[&[u8]]) -> Option<bool>;
    /// Whether the effects of what follows go to the log.
    fn set_logging(&mut self, log: bool);
    /// Of the last call that failed: whether the command was refused and did not run. Asked by a debugger only.
    fn take_refused(&mut self) -> bool {
        false
    }
    /// Says what a debugger has to say; with `wait` returns what is answered. `None`: nobody is there.
    fn converse(&mut self, _said: &[u8], _wait: bool) -> Option<Vec<u8>> {
        None
    }
    /// A function of the API has failed with this text. Heard by a debugger only.
    fn note_error(&mut self, _text: &str) {}
    /// Called every so many instructions: lets others work when the script has run for long.
    ///
    /// # Errors
    ///
    /// Why the script must end now.
    fn tick(&mut self) -> Result<(), &'static str>;
}

/// A pointer that is followed by the thread that stored it, while it is stored.
struct Borrowed(NonNull<dyn Host>);

// SAFETY: the pointer travels nowhere: `Slot::lend` stores and removes it around a call on one thread, and the interpreter
// that holds the slot is used by the thread that runs the script only (its owner lends it out by value).
unsafe impl Send for Borrowed {}

/// Where the host of the running script is found.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Borrowed>>);

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// Puts back what was in the slot, whatever happens.
struct Restore<'a>(&'a Slot, Option<Borrowed>);

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = self.1.take();
    }
}

impl Slot {
    /// Lends a host to the functions of the interpreter while `run` runs.
    pub(super) fn lend<R>(&self, host: &mut dyn Host, run: impl FnOnce() -> R) -> R {
        let pointer = NonNull::from(host);
        // SAFETY: only the lifetime changes. `Restore` takes the pointer out before `host` is free again, also in a panic.
        let pointer = unsafe {
            std::mem::transmute::<NonNull<dyn Host + '_>, NonNull<dyn Host + 'static>>(pointer)
        };
        let before = self.0.lock().replace(Borrowed(pointer));
        let _restore = Restore(self, before);
        run()
    }

    /// Works with the host of the running script; `None` if no script runs, or its host is at work.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
        let borrowed = self.0.lock().take()?;
        let mut restore = Restore(self, Some(borrowed));
        let pointer = &mut restore.1.as_mut()?.0;
        // SAFETY: `lend` keeps the host borrowed while the pointer is stored, and the pointer is out of the slot until
        // `work` is done, so that no second reference can be made.
        Some(work(unsafe { pointer.as_mut() }))
    }
}
