//! Who waits for a key (blocking commands) and who watches one (WATCH). Both stand in the key's shard, under its lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use super::ShardSet;

/// A key that someone waits for: database and name.
pub type WaitKey = (usize, Box<[u8]>);

/// A borrowed [`WaitKey`], to look one up without a copy.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct KeyRef<'a>(pub usize, pub &'a [u8]);

impl hashbrown::Equivalent<WaitKey> for KeyRef<'_> {
    fn equivalent(&self, key: &WaitKey) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

/// One blocked command. Whoever makes one of its keys ready runs the command again for it.
#[derive(Debug)]
pub struct Waiter {
    /// The session that waits.
    pub client: u64,
    /// The command's words.
    pub args: Vec<Box<[u8]>>,
    /// Its database.
    pub db: usize,
    /// Whether its replies are RESP3.
    pub resp3: bool,
    /// The shards of all keys that running it touches.
    pub shards: ShardSet,
    /// The keys it waits for.
    pub keys: Vec<WaitKey>,
    /// The words to run for each of the keys, where they are not the command's own.
    pub commands: Vec<Vec<Box<[u8]>>>,
    /// Whether it is also to be run when a key is gone.
    pub when_gone: bool,
    claimed: AtomicBool,
    delivery: Mutex<Delivery>,
}

#[derive(Default)]
struct Delivery {
    outcome: Option<Box<dyn std::any::Any + Send>>,
    waker: Option<Waker>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("ready", &self.outcome.is_some())
            .finish_non_exhaustive()
    }
}

impl Waiter {
    /// A waiter that nobody has claimed.
    #[must_use]
    pub fn new(
        client: u64,
        args: &[&[u8]],
        db: usize,
        resp3: bool,
        shards: ShardSet,
        keys: Vec<WaitKey>,
    ) -> Self {
        Self {
            client,
            args: args.iter().map(|a| Box::from(*a)).collect(),
            db,
            resp3,
            shards,
            keys,
            commands: Vec::new(),
            when_gone: false,
            claimed: AtomicBool::new(false),
            delivery: Mutex::default(),
        }
    }

    /// The same with words of their own to run for each key, and whether also when the key is gone.
    #[must_use]
    pub fn running(self, commands: Vec<Vec<Box<[u8]>>>, when_gone: bool) -> Self {
        Self {
            commands,
            when_gone,
            ..self
        }
    }

    /// The words to run when a key is ready, if they are not the command's own.
    #[must_use]
    pub fn command_for(&self, name: &WaitKey) -> Option<&[Box<[u8]>]> {
        let at = self.keys.iter().position(|key| key == name)?;
        self.commands.get(at).map(Vec::as_slice)
    }

    /// Claims the right to answer it; true for exactly one caller.
    #[must_use]
    pub fn claim(&self) -> bool {
        self.claimed
            .compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Gives the right back, because there was nothing to answer with. Only for the one who claimed it.
    pub fn release(&self) {
        self.claimed.store(false, Ordering::Release);
    }

    /// Whether somebody claimed it.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire)
    }

    /// Hands over the outcome and wakes the session. Only for the one who claimed it.
    pub fn deliver(&self, outcome: Box<dyn std::any::Any + Send>) {
        debug_assert!(self.is_claimed());
        let waker = {
            let mut delivery = self.delivery.lock();
            delivery.outcome = Some(outcome);
            delivery.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The outcome, or a promise to wake the session when it is there.
    pub fn poll(&self, waker: &Waker) -> Poll<Box<dyn std::any::Any + Send>> {
        let mut delivery = self.delivery.lock();
        match delivery.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                delivery.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }
}

/// Set when a watched key changes; EXEC looks at it.
#[derive(Debug, Default)]
pub struct WatchFlag(AtomicBool);

impl WatchFlag {
    /// A watched key changed.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether a watched key has changed.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
