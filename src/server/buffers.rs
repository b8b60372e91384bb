//! Buffers that the connections of one worker share: a connection that is idle owns none.

use std::cell::RefCell;

/// Bytes that one read takes at most.
pub(super) const READ_SIZE: usize = 16 * 1024;
/// Buffers that have grown beyond this are not kept.
const KEEP_SIZE: usize = 256 * 1024;
/// Buffers that are kept.
const KEEP_COUNT: usize = 4;

/// Spare buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer with room for one read.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(READ_SIZE))
    }

    /// Gives a buffer back; its content is forgotten.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < KEEP_COUNT && (READ_SIZE..=KEEP_SIZE).contains(&buffer.capacity()) {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
