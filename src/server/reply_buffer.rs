//! The buffer that a connection keeps for its replies: 1 KiB, more while its replies need it, at most 16 KiB. Longer ones
//! are written to a buffer of the worker's, which goes back with the reply. What is larger than the recent replies need is
//! let go of once a second; where no buffer is, nobody is woken for that.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::buffers::Buffers;
use crate::engine::Engine;
use crate::services::Services;
use crate::services::clients::ClientInfo;

/// What an idle connection keeps.
const SMALLEST: usize = 1024;
/// What one keeps at most.
const LARGEST: usize = 16 * 1024;
/// How often buffers are looked at that are larger than the smallest.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A connection's buffer, shared with who shrinks it.
#[derive(Debug)]
pub(super) struct ReplyBuffer {
    info: Arc<ClientInfo>,
    /// The buffer, while no reply is in it.
    bytes: RefCell<Vec<u8>>,
    is_parked: Cell<bool>,
    /// Of the buffer, wherever it is; 0 before the first reply.
    capacity: Cell<usize>,
    /// The longest that was sent at once since the last reset, as far as a buffer may grow.
    peak: Cell<usize>,
    /// Unix milliseconds.
    peak_reset_ms: Cell<i64>,
    is_swept: Cell<bool>,
}

impl ReplyBuffer {
    /// None yet.
    pub(super) fn new(info: Arc<ClientInfo>) -> Self {
        Self {
            peak_reset_ms: Cell::new(info.created_ms),
            info,
            bytes: RefCell::default(),
            is_parked: Cell::new(false),
            capacity: Cell::new(0),
            peak: Cell::new(0),
            is_swept: Cell::new(false),
        }
    }

    /// A buffer for so many bytes: its own where they fit, or one of the worker's.
    pub(super) fn take_for(
        &self,
        expected: usize,
        buffers: &Buffers,
        services: &Services,
    ) -> Vec<u8> {
        if expected > self.capacity.get().max(SMALLEST) {
            buffers.take()
        } else {
            self.take(buffers, services)
        }
    }

    /// A buffer for the next replies: its own, or one of the worker's where the last replies would have outgrown it.
    pub(super) fn take(&self, buffers: &Buffers, services: &Services) -> Vec<u8> {
        if self.peak.get() >= LARGEST {
            return buffers.take();
        }
        if self.is_parked.replace(false) {
            return self.bytes.take();
        }
        let is_sized = services.switches.reply_resizing.load(Ordering::Relaxed);
        let size = if is_sized { SMALLEST } else { LARGEST };
        if self.capacity.get() == 0 {
            self.tell_capacity(size);
        }
        Vec::with_capacity(size)
    }

    /// Takes a buffer back whose `used` bytes are sent.
    #[inline]
    pub(super) fn park(
        self: &Rc<Self>,
        mut buffer: Vec<u8>,
        used: usize,
        buffers: &Rc<Buffers>,
        engine: &Engine,
    ) {
        if used > self.peak.get() && !self.is_parked.get() {
            let peak = used.min(LARGEST);
            self.peak.set(peak);
            self.info.reply_buffer_peak.store(peak, Ordering::Relaxed);
        }
        buffer.clear();
        if buffer.capacity() == self.capacity.get() && !self.is_parked.get() {
            *self.bytes.borrow_mut() = buffer;
            self.is_parked.set(true);
        } else {
            self.settle(buffer, buffers, engine);
        }
    }

    /// Keeps a buffer that has grown; what is larger than it may be, or was lent, is the worker's.
    #[cold]
    fn settle(self: &Rc<Self>, buffer: Vec<u8>, buffers: &Rc<Buffers>, engine: &Engine) {
        if self.is_parked.get() {
            return buffers.give(buffer);
        }
        let own = if buffer.capacity() <= LARGEST {
            buffer
        } else {
            buffers.give(buffer);
            Vec::with_capacity(LARGEST)
        };
        if own.capacity() > self.capacity.get() {
            let stats = &engine.services().stats;
            stats.reply_buffer_expands.fetch_add(1, Ordering::Relaxed);
        }
        self.tell_capacity(own.capacity());
        *self.bytes.borrow_mut() = own;
        self.is_parked.set(true);
        if self.capacity.get() > SMALLEST && !self.is_swept.replace(true) {
            buffers.swept.add(Rc::downgrade(self), buffers, engine);
        }
    }

    fn tell_capacity(&self, capacity: usize) {
        self.capacity.set(capacity);
        self.info.reply_buffer.store(capacity, Ordering::Relaxed);
    }

    /// What a reply that is not sent yet, in a buffer of this capacity, takes besides the connection's own buffer.
    pub(super) fn beyond(&self, capacity: usize) -> usize {
        if self.is_parked.get() {
            capacity
        } else {
            capacity.saturating_sub(self.capacity.get())
        }
    }

    /// Shrinks it if the recent replies needed less than half of it; false when it need not be looked at any more.
    fn shrink(&self, services: &Services, now_ms: i64) -> bool {
        let switches = &services.switches;
        let (capacity, peak) = (self.capacity.get(), self.peak.get());
        let resizing = switches.reply_resizing.load(Ordering::Relaxed);
        if resizing && self.is_parked.get() && capacity > SMALLEST && capacity / 2 > peak {
            let own = Vec::with_capacity((peak + 1).max(SMALLEST));
            self.tell_capacity(own.capacity());
            *self.bytes.borrow_mut() = own;
            let shrinks = &services.stats.reply_buffer_shrinks;
            shrinks.fetch_add(1, Ordering::Relaxed);
        }
        let reset_ms = switches.reply_peak_reset_ms.load(Ordering::Relaxed);
        if reset_ms >= 0 && now_ms - self.peak_reset_ms.get() > reset_ms {
            self.peak_reset_ms.set(now_ms);
            self.peak.set(0);
            self.info.reply_buffer_peak.store(0, Ordering::Relaxed);
        }
        let goes_on = self.capacity.get() > SMALLEST;
        self.is_swept.set(goes_on);
        goes_on
    }
}

/// The buffers of one worker that may have to shrink.
#[derive(Debug, Default)]
pub(super) struct Swept {
    buffers: RefCell<Vec<Weak<ReplyBuffer>>>,
    is_running: Cell<bool>,
}

impl Swept {
    fn add(&self, buffer: Weak<ReplyBuffer>, buffers: &Rc<Buffers>, engine: &Engine) {
        self.buffers.borrow_mut().push(buffer);
        if !self.is_running.replace(true) {
            tokio::task::spawn_local(sweep(Rc::clone(buffers), engine.clone()));
        }
    }

    fn shrink(&self, services: &Services, now_ms: i64) -> bool {
        let mut buffers = self.buffers.borrow_mut();
        buffers.retain(|buffer| {
            let buffer = buffer.upgrade();
            buffer.is_some_and(|buffer| buffer.shrink(services, now_ms))
        });
        let goes_on = !buffers.is_empty();
        self.is_running.set(goes_on);
        goes_on
    }
}

/// Shrinks buffers until none is larger than it need be.
async fn sweep(buffers: Rc<Buffers>, engine: Engine) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let now_ms = engine.keyspace().now_ms();
        if !buffers.swept.shrink(engine.services(), now_ms) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct House {
        engine: Engine,
        buffers: Rc<Buffers>,
        own: Rc<ReplyBuffer>,
    }

    impl House {
        fn new() -> Self {
            Self {
                engine: Engine::in_memory(),
                buffers: Rc::default(),
                own: Rc::new(ReplyBuffer::new(Arc::new(ClientInfo::new(0)))),
            }
        }

        /// Sends a reply of so many bytes; the capacity of the buffer that it began in.
        fn send(&self, len: usize) -> usize {
            let mut buffer = self.own.take(&self.buffers, self.engine.services());
            let began = buffer.capacity();
            buffer.resize(len, b'x');
            self.own.park(buffer, len, &self.buffers, &self.engine);
            began
        }

        fn shrink(&self, now_ms: i64) -> bool {
            self.buffers.swept.shrink(self.engine.services(), now_ms)
        }

        fn told(&self) -> (usize, usize) {
            let info = &self.own.info;
            (
                info.reply_buffer.load(Ordering::Relaxed),
                info.reply_buffer_peak.load(Ordering::Relaxed),
            )
        }
    }

    /// Where tasks can be begun.
    fn with_house(check: impl FnOnce(&House)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("the system has a clock");
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async { check(&House::new()) });
    }

    #[test]
    fn short_replies_share_a_small_buffer() {
        with_house(|house| {
            assert_eq!(house.told(), (0, 0));
            assert_eq!((house.send(5), house.send(SMALLEST)), (SMALLEST, SMALLEST));
            assert_eq!(house.told(), (SMALLEST, SMALLEST));
            assert!(!house.shrink(i64::MAX), "there is nothing to look at");
        });
    }

    #[test]
    fn it_grows_with_what_is_sent_and_shrinks_when_that_is_long_ago() {
        with_house(|house| {
            house.send(5000);
            let (grown, peak) = house.told();
            assert!((5000..=LARGEST).contains(&grown));
            assert_eq!((peak, house.send(10)), (5000, grown));
            assert!(house.shrink(1), "its peak is recent");
            assert_eq!(house.told(), (grown, 5000));
            assert!(house.shrink(6000));
            assert_eq!(house.told(), (grown, 0));
            assert!(!house.shrink(7000));
            assert_eq!(house.told(), (SMALLEST, 0));
        });
    }

    #[test]
    fn what_is_too_long_goes_to_a_buffer_of_the_worker() {
        with_house(|house| {
            let (long, read) = (3 * LARGEST, super::super::buffers::READ_SIZE);
            assert_eq!(house.send(long), SMALLEST);
            assert_eq!(house.told(), (LARGEST, LARGEST));
            assert!(house.send(long) >= long, "the worker has kept it");
            assert!(house.send(10) >= read);
            assert_eq!(house.told(), (LARGEST, LARGEST));
            assert!(house.shrink(6000));
            assert_eq!(house.send(10), LARGEST, "its own, as it is short again");
            assert!(!house.shrink(7000));
            assert_eq!(house.told(), (SMALLEST, 10));
        });
    }

    #[test]
    fn resizing_can_be_switched_off() {
        with_house(|house| {
            let switches = &house.engine.services().switches;
            switches.reply_resizing.store(false, Ordering::Relaxed);
            assert_eq!(house.send(10), LARGEST);
            assert_eq!(house.told(), (LARGEST, 10));
        });
    }
}
