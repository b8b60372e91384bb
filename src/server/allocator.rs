//! The binary's allocator: mimalloc, called so that a block takes the size class that `crate::memory` counts.
#![expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait, and mimalloc is a C library"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use libmimalloc_sys::{
    mi_collect, mi_free, mi_malloc, mi_malloc_aligned, mi_stats_print_out, mi_usable_size,
    mi_zalloc, mi_zalloc_aligned,
};

use crate::memory::allocated_size;
use crate::services::stats::Allocator;

/// What commands ask of mimalloc.
pub(super) const ALLOCATOR: Allocator = Allocator {
    name: "mimalloc",
    purge,
    statistics,
};

/// Longer statistics are cut.
const STATISTICS_SIZE: usize = 64 << 10;

fn purge() {
    // SAFETY: it may be called on any thread at any time.
    unsafe { mi_collect(true) };
}

fn statistics() -> String {
    let mut text: Vec<u8> = Vec::with_capacity(STATISTICS_SIZE);
    // SAFETY: the text outlives the call, which alone uses the pointer, on this thread.
    unsafe { mi_stats_print_out(Some(append), ptr::from_mut(&mut text).cast()) };
    String::from_utf8_lossy(&text).into_owned()
}

/// Takes a piece of the statistics, as far as there is room without allocating.
///
/// SAFETY: `message` is a C string, and `text` the pointer that [`statistics`] has handed over.
unsafe extern "C" fn append(message: *const c_char, text: *mut c_void) {
    // SAFETY: as said above.
    let (message, text) = unsafe { (CStr::from_ptr(message), &mut *text.cast::<Vec<u8>>()) };
    let room = text.capacity() - text.len();
    text.extend(message.to_bytes().iter().take(room));
}

/// mimalloc. What needs no more alignment than every block has comes by its plain entrance: the one for aligned blocks
/// asks for more than their size wherever that is no power of two.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mimalloc;

/// The alignment of every block, however mimalloc was built.
const NATURAL: usize = 8;
/// What Lua's blocks, which are many and small, are asked to have.
const DOUBLE: usize = 16;

/// A block at a multiple of 16: where its size is one too, all blocks of a page are, as a rule.
///
/// SAFETY: the size makes a layout with this alignment.
unsafe fn alloc_double(size: usize) -> *mut c_void {
    // SAFETY: any size may be asked for, and what does not serve is given back at once.
    unsafe {
        let block = mi_malloc(size.next_multiple_of(DOUBLE));
        if block.addr().is_multiple_of(DOUBLE) {
            return block;
        }
        mi_free(block);
        mi_malloc_aligned(size, DOUBLE)
    }
}

// SAFETY: `mi_malloc` and `mi_zalloc` give blocks of at least the size asked for, at multiples of 8, the
// other two aligned as they are told, and `alloc_double` sees to it itself; all of them give null when there is no memory, belong to whoever asked until `mi_free`,
// and do not unwind.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and any power of two as alignment may be asked for.
        unsafe {
            if layout.align() <= NATURAL {
                mi_malloc(layout.size()).cast()
            } else if layout.align() == DOUBLE {
                alloc_double(layout.size()).cast()
            } else {
                mi_malloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if layout.align() <= NATURAL {
                mi_zalloc(layout.size()).cast()
            } else {
                mi_zalloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, start: *mut u8, _: Layout) {
        // SAFETY: the caller gives back what it got from here.
        unsafe { mi_free(start.cast()) };
    }

    /// Moves to another size class, downwards too: mimalloc itself keeps blocks that are half used. Within a class the
    /// block stays, if mimalloc agrees that it is large enough.
    #[inline]
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size makes a layout; the new block is separate from the old one, and
        // both hold the bytes that are copied.
        unsafe {
            let new = Layout::from_size_align_unchecked(new_size, layout.align());
            let fits = new_size <= layout.size() || new_size <= mi_usable_size(start.cast());
            if fits && allocated_size(new) == allocated_size(layout) {
                return start;
            }
            let moved = self.alloc(new);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(start, moved, layout.size().min(new_size));
                self.dealloc(start, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_good_size;

    use super::*;
    use crate::memory::size_class;

    /// What is counted is what mimalloc takes.
    #[test]
    fn size_classes_are_those_of_mimalloc() {
        for size in (1..20_000).chain((20_000..2_000_000).step_by(997)) {
            // SAFETY: a pure function of the size.
            let class = unsafe { mi_good_size(size) };
            assert_eq!(size_class(size), class, "{size} bytes");
        }
    }

    /// Grows and shrinks a block through many sizes: it keeps its content and its alignment.
    #[test]
    fn blocks_keep_their_content_and_alignment() {
        for align in [1, 8, 16, 64, 4096] {
            let mut layout = Layout::from_size_align(1, align).expect("a small layout");
            // SAFETY: each block is used within its size, handed on, and freed once.
            unsafe {
                let mut block = Mimalloc.alloc(layout);
                block.write(7);
                for size in (1..3000).chain((1..3000).rev().step_by(7)) {
                    block = Mimalloc.realloc(block, layout, size);
                    layout = Layout::from_size_align(size, align).expect("a small layout");
                    assert_eq!((block.read(), block.addr() % align), (7, 0));
                    assert!(mi_usable_size(block.cast()) >= size);
                    block.add(size - 1).write(7);
                }
                Mimalloc.dealloc(block, layout);
                let zeroed = Mimalloc.alloc_zeroed(layout);
                assert_eq!(zeroed.read(), 0);
                Mimalloc.dealloc(zeroed, layout);
            }
        }
    }
}
