//! A member of a sorted set: its bytes and its score in one allocation behind one thin pointer, shared by the set's
//! dictionary and its tree. It must not know either of them.
#![expect(
    unsafe_code,
    reason = "std has no thin shared pointer to bytes with a header"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// What stands before the bytes.
struct Header {
    owners: AtomicU32,
    len: u32,
    /// The bits of the score. It changes through shared references, under whatever lock guards the sorted set.
    score: AtomicU64,
}

/// The longest member: with the header it stays below `isize::MAX` on 32-bit machines too.
const MAX_LEN: usize = 0x7000_0000;

/// One of the owners of a member.
pub(super) struct Member {
    /// Points to an allocation of `layout(len)`: an initialised header and `len` initialised bytes behind it. The
    /// allocation lives as long as `owners` counts a `Member` that points to it.
    header: NonNull<Header>,
}

// SAFETY: the bytes and the length never change, the count and the score are atomic; the last owner frees, in whatever
// thread it is, as with Arc<[u8]>.
unsafe impl Send for Member {}
// SAFETY: as above.
unsafe impl Sync for Member {}

fn layout(len: usize) -> Layout {
    debug_assert!(len <= MAX_LEN);
    Layout::from_size_align(size_of::<Header>() + len, align_of::<Header>())
        .expect("MAX_LEN keeps every size below isize::MAX")
}

impl Member {
    /// A member with one owner.
    ///
    /// # Panics
    /// When `bytes` are longer than 1.75 GiB (a request's arguments are at most 512 MiB).
    pub(super) fn new(bytes: &[u8], score: f64) -> Self {
        assert!(
            bytes.len() <= MAX_LEN,
            "a member of {} bytes is too long",
            bytes.len()
        );
        let layout = layout(bytes.len());
        // SAFETY: the layout's size is not zero, for the header is not.
        let start = unsafe { alloc(layout) };
        let header =
            NonNull::new(start.cast::<Header>()).unwrap_or_else(|| handle_alloc_error(layout));
        let value = Header {
            owners: AtomicU32::new(1),
            len: bytes.len() as u32,
            score: AtomicU64::new(score.to_bits()),
        };
        // SAFETY: the allocation is new, aligned for a header, and holds one and `bytes.len()` bytes behind it.
        unsafe {
            header.write(value);
            header
                .add(1)
                .cast::<u8>()
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
        Self { header }
    }

    fn header(&self) -> &Header {
        // SAFETY: it is initialised and lives at least as long as this owner.
        unsafe { self.header.as_ref() }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        let len = self.header().len as usize;
        // SAFETY: `len` bytes behind the header are initialised, never change, and live as long as this owner.
        unsafe { slice::from_raw_parts(self.header.add(1).cast::<u8>().as_ptr(), len) }
    }

    #[inline]
    pub(super) fn score(&self) -> f64 {
        f64::from_bits(self.header().score.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn set_score(&self, score: f64) {
        self.header()
            .score
            .store(score.to_bits(), Ordering::Relaxed);
    }

    /// Bytes that a member of `len` bytes takes from an allocator that deals in multiples of 16.
    pub(super) fn heap_size(len: usize) -> usize {
        (size_of::<Header>() + len).next_multiple_of(16)
    }
}

impl Clone for Member {
    fn clone(&self) -> Self {
        let before = self.header().owners.fetch_add(1, Ordering::Relaxed);
        // A sorted set has two owners for each member; the count cannot come near to wrapping.
        assert!(before < u32::MAX / 2, "too many owners of a member");
        Self {
            header: self.header,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.header().owners.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // What the other owners did happens before the memory is freed.
        fence(Ordering::Acquire);
        let layout = layout(self.header().len as usize);
        // SAFETY: this was the last owner, and the allocation was made with this layout. A header needs no drop.
        unsafe { dealloc(self.header.as_ptr().cast::<u8>(), layout) };
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bytes().escape_ascii(), self.score())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_pointer_and_a_header_of_16_bytes() {
        assert_eq!(size_of::<Option<Member>>(), size_of::<usize>());
        assert_eq!((size_of::<Header>(), Member::heap_size(16)), (16, 32));
    }

    #[test]
    fn owners_share_bytes_and_score() {
        for bytes in [&b""[..], b"a", b"sixteen bytes ..", &[7; 5_000]] {
            let member = Member::new(bytes, 1.5);
            let other = member.clone();
            member.set_score(f64::NEG_INFINITY);
            drop(member);
            assert_eq!((other.bytes(), other.score()), (bytes, f64::NEG_INFINITY));
        }
    }

    #[test]
    fn the_last_owner_frees_in_any_thread() {
        let member = Member::new(b"shared", 0.0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let own = member.clone();
                scope.spawn(move || {
                    (0..1_000).for_each(|_| assert_eq!(own.clone().bytes(), b"shared"))
                });
            }
        });
        assert_eq!(member.header().owners.load(Ordering::Relaxed), 1);
    }
}
