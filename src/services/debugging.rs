//! What a Lua debugger, which stands still inside of a command, and the connection of who debugs say to each other. Knows
//! neither Lua nor sockets.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// SCRIPT DEBUG of one client: the next EVAL is its one session.
#[derive(Debug)]
pub struct DebugConsole {
    /// SYNC: the script works on the data itself, not on a copy.
    pub in_place: bool,
    /// The session is on.
    begun: AtomicBool,
    /// The debugger has said that it is over.
    ended: AtomicBool,
    talk: Mutex<Talk>,
}

#[derive(Debug, Default)]
struct Talk {
    said: Vec<u8>,
    heard: Vec<u8>,
    /// The debugger cannot go on before it has heard something.
    is_waiting: bool,
    /// Who debugs is gone.
    is_closed: bool,
}

impl DebugConsole {
    /// A session that may begin.
    #[must_use]
    pub fn new(in_place: bool) -> Self {
        Self {
            in_place,
            begun: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            talk: Mutex::default(),
        }
    }

    /// The session begins.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// The debugger has said that the session is over.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The debugger says something; with `wait` it is going to listen.
    pub fn say(&self, bytes: &[u8], wait: bool) {
        let mut talk = self.talk.lock();
        talk.said.extend_from_slice(bytes);
        talk.is_waiting = wait;
    }

    /// What the debugger has said, to be sent, and whether it waits for an answer.
    #[must_use]
    pub fn take_said(&self) -> (Vec<u8>, bool) {
        let mut talk = self.talk.lock();
        (std::mem::take(&mut talk.said), talk.is_waiting)
    }

    /// Who debugs has said something.
    pub fn answer(&self, bytes: &[u8]) {
        let mut talk = self.talk.lock();
        talk.heard.extend_from_slice(bytes);
        talk.is_waiting = false;
    }

    /// What was answered; empty if nothing yet, `None` if nobody is there.
    #[must_use]
    pub fn take_heard(&self) -> Option<Vec<u8>> {
        let mut talk = self.talk.lock();
        (!talk.is_closed).then(|| std::mem::take(&mut talk.heard))
    }

    /// Nobody is there any more.
    pub fn close(&self) {
        self.talk.lock().is_closed = true;
    }
}
