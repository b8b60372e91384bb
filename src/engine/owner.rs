//! Who owns an engine, and its end. What the engine does on threads of its own holds no [`Engine`](super::Engine), only
//! what is inside; so the last owner knows that it is the last, and waits for them. Whoever opens the directory next finds
//! a log that is closed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder, JoinHandle};

use parking_lot::Mutex;

use super::Inner;

/// How nice a thread is that gives way: a tenth of the time of one that does not, where both want the same core.
#[cfg(target_os = "linux")]
const ASIDE_NICENESS: i32 = 10;

/// The threads of an engine.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// The last owner is gone: what takes long is to be given up.
    ending: AtomicBool,
    started: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Starts a thread, which must not hold an owner.
    pub(super) fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = Builder::new().name(name.into()).spawn(work)?;
        let mut started = self.started.lock();
        started.retain(|thread| !thread.is_finished());
        started.push(thread);
        Ok(())
    }

    /// Starts a thread for work that takes long and can wait: it gives way to the threads that answer clients.
    pub(super) fn start_aside(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        self.start(name, move || {
            give_way();
            work();
        })
    }

    /// Whether the engine has no owner any more.
    pub(super) fn are_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// An error once the engine has no owner any more.
    pub(super) fn go_on(&self) -> io::Result<()> {
        if self.are_ending() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    /// Waits for all of them. One of them may be who asks, by a task that it woke and that was the last owner: then nobody
    /// waits.
    fn end(&self) {
        self.ending.store(true, Ordering::Release);
        let started = std::mem::take(&mut *self.started.lock());
        let asking = thread::current().id();
        if started.iter().all(|thread| thread.thread().id() != asking) {
            for thread in started {
                // What a panic has to say has been said.
                let _ended = thread.join();
            }
        }
    }
}

/// Lowers the priority of this thread where a thread has one of its own. A system that refuses leaves it as it is.
fn give_way() {
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::setpriority_process(None, ASIDE_NICENESS);
}

/// Shared by all clones and sessions of an engine.
#[derive(Debug)]
pub(super) struct Owner(pub(super) Arc<Inner>);

impl Owner {
    /// Waits for what the engine does on threads of its own.
    pub(super) fn end(&self) {
        self.0.background.stop();
        self.0.threads.end();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end();
    }
}
