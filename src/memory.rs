//! How many bytes the program has allocated: a wrapper around its allocator that counts. Knows nothing of the engine.
#![expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait: each call is handed to the wrapped allocator as it came"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// Threads that have a counter to themselves; later ones share the last.
const COUNTERS: usize = 64;

/// A counter on cache lines of its own: its thread writes it at every allocation.
#[repr(align(128))]
struct Counter(AtomicIsize);

static COUNTS: [Counter; COUNTERS] = [const { Counter(AtomicIsize::new(0)) }; COUNTERS];
/// Threads that have ever allocated.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The most bytes there ever were, as far as allocations of `SEEN_SIZE` show.
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Allocations of at least this many bytes look at the peak: no data grows for long without one.
const SEEN_SIZE: usize = 4096;

thread_local! {
    /// The number of this thread's counter plus one; 0: it has none yet. Without a destructor and without lazy
    /// initialisation, so that it can be read whenever a thread allocates, even as it ends.
    static OWN: Cell<usize> = const { Cell::new(0) };
}

/// An allocator that counts what another one gives out. As the global allocator of a program it lets the engine tell
/// `used_memory` and hold `maxmemory`:
///
/// ```
/// use std::alloc::System;
///
/// #[global_allocator]
/// static ALLOCATOR: innkeep::Counting<System> = innkeep::Counting(System);
///
/// let before = innkeep::allocated_memory().expect("the allocator counts");
/// let rooms = vec![0_u8; 1 << 20];
/// assert!(innkeep::allocated_memory().expect("the allocator counts") >= before + rooms.len());
/// ```
///
/// What is counted are the size classes that allocators round up to ([`allocated_size`]). Each thread has a counter of
/// its own, so an allocation costs about a nanosecond more; from the 64th thread on they share one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counting<A>(pub A);

/// Bytes that the program has allocated and not freed; `None` when its allocator does not count. O(threads), at most 64.
#[must_use]
pub fn allocated_memory() -> Option<usize> {
    let threads = THREADS.load(Ordering::Relaxed).min(COUNTERS);
    // What one thread allocated and another freed may show up in either order.
    let sum: isize = COUNTS
        .iter()
        .take(threads)
        .map(|counter| counter.0.load(Ordering::Relaxed))
        .sum();
    (threads > 0).then_some(sum.max(0).unsigned_abs())
}

/// The most bytes that were allocated at a time; 0 when the allocator does not count.
pub(crate) fn peak_memory() -> usize {
    PEAK.load(Ordering::Relaxed)
}

#[cold]
fn note_peak() {
    let now = allocated_memory().unwrap_or(0);
    if now > PEAK.load(Ordering::Relaxed) {
        PEAK.fetch_max(now, Ordering::Relaxed);
    }
}

/// Small blocks are multiples of this: 16, or 8 where the C flags (`.cargo/config.toml`) say so to mimalloc.
pub(crate) const SMALL_STEP: usize = if has(option_env!("CFLAGS"), b"-DMI_MAX_ALIGN_SIZE=8") {
    8
} else {
    16
};
/// Blocks beyond this are whole pages.
const LARGEST_CLASS: usize = 512 << 10;
const PAGE: usize = 4096;

const fn has(flags: Option<&str>, flag: &[u8]) -> bool {
    let Some(flags) = flags else { return false };
    let mut rest = flags.as_bytes();
    while rest.len() >= flag.len() {
        let mut matching = 0;
        while matching < flag.len() && rest[matching] == flag[matching] {
            matching += 1;
        }
        if matching == flag.len() {
            return true;
        }
        (_, rest) = rest.split_at(1);
    }
    false
}

/// What an allocation takes: small ones a multiple of 8 (or 16), then four steps a doubling, then whole pages. At multiples
/// of 16 lie blocks whose size is one. More alignment costs what has to be skipped to reach it, unless the block is a power
/// of two.
#[must_use]
pub const fn allocated_size(layout: Layout) -> usize {
    const EASY: usize = 16;
    let size = match layout.size().checked_next_multiple_of(EASY) {
        Some(size) if layout.align() == EASY => size,
        _ => layout.size(),
    };
    let class = size_class(size);
    if layout.align() <= EASY || (class.is_power_of_two() && class >= layout.align()) {
        class
    } else {
        size_class(layout.size().saturating_add(layout.align() - 1))
    }
}

pub(crate) const fn size_class(size: usize) -> usize {
    let step = match size {
        0..=8 => return 8,
        9..=64 => SMALL_STEP,
        65..=LARGEST_CLASS => 1 << ((size - 1).ilog2() - 2),
        _ => PAGE,
    };
    match size.checked_next_multiple_of(step) {
        Some(class) => class,
        None => size,
    }
}

/// Adds to this thread's counter. A counter that one thread owns is written by it alone, so that no bus lock is needed;
/// the shared one is.
#[inline]
fn add(bytes: isize) {
    let own = OWN.get();
    let index = if own == 0 { claim() } else { own - 1 };
    let count = &COUNTS[index].0;
    if index + 1 < COUNTERS {
        count.store(count.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    } else {
        count.fetch_add(bytes, Ordering::Relaxed);
    }
    if bytes >= SEEN_SIZE.cast_signed() {
        note_peak();
    }
}

#[cold]
fn claim() -> usize {
    let index = THREADS.fetch_add(1, Ordering::Relaxed).min(COUNTERS - 1);
    OWN.set(index + 1);
    index
}

const fn signed(layout: Layout) -> isize {
    allocated_size(layout).cast_signed()
}

// SAFETY: every call reaches the wrapped allocator with the caller's own arguments, and its answer is returned as it is.
// What is added, the counting, neither allocates nor unwinds: statics, and a thread-local without a destructor.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the wrapped allocator wants.
        let start = unsafe { self.0.alloc(layout) };
        if !start.is_null() {
            add(signed(layout));
        }
        start
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let start = unsafe { self.0.alloc_zeroed(layout) };
        if !start.is_null() {
            add(signed(layout));
        }
        start
    }

    #[inline]
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as above; the block came from the wrapped allocator, as all of ours do.
        unsafe { self.0.dealloc(start, layout) };
        add(-signed(layout));
    }

    #[inline]
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { self.0.realloc(start, layout, new_size) };
        if !moved.is_null() {
            // SAFETY: a new size that overflows with this alignment is the caller's fault, as it is at any allocator.
            let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
            add(signed(new) - signed(layout));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocated(size: usize, align: usize) -> usize {
        allocated_size(Layout::from_size_align(size, align).expect("a small layout"))
    }

    #[test]
    fn classes_are_those_of_the_allocator() {
        for (size, class) in [
            (0, 8),
            (1, 8),
            (9, 16),
            (56, if SMALL_STEP == 8 { 56 } else { 64 }),
            (64, 64),
            (65, 80),
            (81, 96),
            (129, 160),
            (9232, 10240),
            (512 << 10, 512 << 10),
            ((512 << 10) + 1, (512 << 10) + PAGE),
        ] {
            assert_eq!(size_class(size), class, "{size}");
        }
        assert_eq!(size_class(usize::MAX), usize::MAX);
        assert_eq!((allocated(64, 64), allocated(80, 64)), (64, 160));
        assert_eq!((allocated(40, 16), allocated(40, 8)), (48, size_class(40)));
    }

    #[test]
    fn a_class_holds_its_size_and_wastes_a_quarter_at_most() {
        for size in 65..700_000 {
            let class = size_class(size);
            assert!(class >= size && class * 4 <= size * 5 + 4 && size_class(class) == class);
        }
    }

    #[test]
    fn flags_are_found_anywhere() {
        assert!(has(Some("-O2 -Dx"), b"-Dx") && has(Some("-Dx"), b"-Dx"));
        assert!(!has(Some("-D"), b"-Dx") && !has(None, b"-Dx"));
    }
}
