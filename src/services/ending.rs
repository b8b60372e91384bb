//! Shutdowns that still wait, for replicas or for periodic work to go on, and SHUTDOWN ABORT, which calls them off. Knows no
//! signal and no socket.

use std::sync::Arc;

use parking_lot::Mutex;

/// The shutdowns that wait.
#[derive(Debug, Default)]
pub struct Ending(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    /// How often they were called off.
    aborted: u64,
}

/// A shutdown that waits, until this is dropped.
#[derive(Debug)]
pub struct WaitingShutdown {
    state: Arc<Mutex<State>>,
    aborted_before: u64,
}

impl Ending {
    /// A shutdown begins to wait.
    #[must_use]
    pub fn begin(&self) -> WaitingShutdown {
        let mut state = self.0.lock();
        state.waiting += 1;
        WaitingShutdown {
            state: Arc::clone(&self.0),
            aborted_before: state.aborted,
        }
    }

    /// Calls off every shutdown that waits. False where none does.
    pub fn abort(&self) -> bool {
        let mut state = self.0.lock();
        let some = state.waiting > 0;
        state.aborted += u64::from(some);
        some
    }
}

impl WaitingShutdown {
    /// Whether it was called off.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.state.lock().aborted != self.aborted_before
    }
}

impl Drop for WaitingShutdown {
    fn drop(&mut self) {
        self.state.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_waits_is_called_off() {
        let ending = Ending::default();
        assert!(!ending.abort());
        let waiting = ending.begin();
        assert!(!waiting.is_aborted());
        assert!(ending.abort());
        assert!(waiting.is_aborted() && !ending.begin().is_aborted());
        drop(waiting);
        assert!(!ending.abort());
    }
}
