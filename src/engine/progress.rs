//! How far a load is, and how others get their turn meanwhile: INFO, PING and whatever else is answered while data is
//! loading. Knows bytes and locks, and not what is loaded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Inner;
use crate::keyspace::Txn;

/// The pace of one load.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    inner: &'a Inner,
    /// Bytes of the files before the present one.
    before: u64,
    /// Bytes of all files that were loaded when others had their last turn.
    last_turn: u64,
    interval: u64,
    /// `key-load-delay`, in microseconds.
    delay_us: u64,
    lets_others_in: bool,
}

impl<'a> Progress<'a> {
    /// At the start of the server others get a turn now and then; at every other time nobody sees half of the data.
    pub(super) fn new(inner: &'a Inner, lets_others_in: bool) -> Self {
        let mut progress = Self {
            inner,
            before: 0,
            last_turn: 0,
            interval: 0,
            delay_us: 0,
            lets_others_in,
        };
        progress.read_settings();
        progress
    }

    fn read_settings(&mut self) {
        let config = self.inner.services.config.read();
        self.interval = config.u64("loading-process-events-interval-bytes");
        self.delay_us = u64::try_from(config.i64("key-load-delay")).unwrap_or(0);
    }

    /// What follows is counted from the beginning of another file; so many bytes were in those before.
    pub(super) fn begin_file(&mut self, bytes_before: u64) {
        self.before = bytes_before;
    }

    /// Whether others get turns.
    pub(super) fn lets_others_in(&self) -> bool {
        self.lets_others_in
    }

    /// A key or command has been loaded, which ended at about this offset of the file.
    pub(super) fn advance(&mut self, txn: &mut Txn<'_>, offset: u64) {
        if self.lets_others_in && self.note(offset) {
            txn.give_turn();
        }
    }

    /// The same where nothing is locked; true where others should get a turn.
    pub(super) fn note(&mut self, offset: u64) -> bool {
        if self.delay_us > 0 {
            std::thread::sleep(Duration::from_micros(self.delay_us));
            self.read_settings();
        }
        let loaded = self.before + offset;
        if loaded.saturating_sub(self.last_turn) < self.interval {
            return false;
        }
        self.last_turn = loaded;
        let load = &self.inner.services.stats.load;
        load.loaded_bytes.store(loaded, Ordering::Relaxed);
        self.read_settings();
        true
    }
}

impl Inner {
    /// From now on what needs the data is refused, until [`Self::end_loading`].
    pub(super) fn begin_loading(self: &Arc<Self>) {
        let stats = &self.services.stats;
        let now_s = self.keyspace.now_ms() / 1000;
        stats.load.since_s.store(now_s, Ordering::Relaxed);
        stats.loading.store(true, Ordering::Release);
    }

    /// Everything is there.
    pub(super) fn end_loading(&self) {
        self.services.stats.loading.store(false, Ordering::Release);
        // Keys that have expired meanwhile, and save points, were left alone.
        self.background.expiry_set(0);
        self.background.request_save_check();
    }

    /// Notes how much there is to load.
    pub(super) fn expect_bytes(&self, bytes: u64) {
        let load = &self.services.stats.load;
        load.total_bytes.store(bytes, Ordering::Relaxed);
    }
}
