//! Buffers that the connections of one worker share: an idle connection owns none but the small one for its replies.

use std::cell::RefCell;

use super::reply_buffer::Swept;

/// Bytes that one read takes at most.
pub(super) const READ_SIZE: usize = 16 * 1024;
/// Buffers that have grown beyond this are not kept.
const KEEP_SIZE: usize = 256 * 1024;
/// Buffers that are kept.
const KEEP_COUNT: usize = 4;

/// Spare buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    bytes: RefCell<Vec<Vec<u8>>>,
    /// For one batch of commands at a time.
    batch: RefCell<BatchBuffers>,
    /// Reply buffers of its connections that may have to shrink.
    pub(super) swept: Swept,
}

/// The memory of a batch.
#[derive(Debug, Default)]
pub(super) struct BatchBuffers {
    /// Words of commands; empty.
    pub(super) words: Vec<&'static [u8]>,
    /// Ends of commands; empty.
    pub(super) ends: Vec<(usize, usize)>,
}

impl Buffers {
    /// An empty buffer with room for one read.
    pub(super) fn take(&self) -> Vec<u8> {
        self.bytes
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(READ_SIZE))
    }

    /// Gives a buffer back; its content is forgotten.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.bytes.borrow_mut();
        if spare.len() < KEEP_COUNT && (READ_SIZE..=KEEP_SIZE).contains(&buffer.capacity()) {
            buffer.clear();
            spare.push(buffer);
        }
    }

    /// The memory for a batch.
    pub(super) fn take_batch(&self) -> BatchBuffers {
        self.batch.take()
    }

    /// Gives it back.
    pub(super) fn give_batch(&self, batch: BatchBuffers) {
        self.batch.replace(batch);
    }
}
