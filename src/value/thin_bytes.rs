//! A byte buffer behind one thin pointer: its length stands in the first four bytes of the buffer itself (little
//! endian, counting those four), its capacity follows from the length. The one piece of unsafe code under the compact
//! forms; it must not know what the bytes mean.
#![expect(
    unsafe_code,
    reason = "a thin heap buffer cannot be expressed with Box or Vec"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::{self, NonNull};
use std::slice;

use super::prefetch::prefetch_read;

/// Bytes taken by the length, at the start of every buffer.
pub(super) const PREFIX_LEN: usize = 4;

/// The longest buffer. Rounded up it stays below `isize::MAX` on 32-bit machines too.
pub(super) const MAX_LEN: usize = 0x7000_0000;

const ALIGN: usize = 4;

#[derive(Debug)]
pub(super) struct ThinBytes {
    /// Owned; points to an allocation of `capacity(len)` bytes of which the first `len` are initialised, where `len`
    /// is what the first four of them say, `PREFIX_LEN <= len <= MAX_LEN`.
    start: NonNull<u8>,
}

// SAFETY: the buffer is owned and reached through `&self` / `&mut self` only, like a Vec<u8>.
unsafe impl Send for ThinBytes {}
// SAFETY: as above; there is no interior mutability.
unsafe impl Sync for ThinBytes {}

/// The size of the allocation for `len` bytes: multiples of 16, from 256 on eight steps a doubling, so that growth is
/// amortised and general-purpose allocators would waste as much anyway.
pub(super) const fn capacity(len: usize) -> usize {
    let step = len.next_power_of_two() / 16;
    len.next_multiple_of(if step < 16 { 16 } else { step })
}

fn layout(len: usize) -> Layout {
    debug_assert!(
        (PREFIX_LEN..=MAX_LEN).contains(&len),
        "length {len} out of bounds"
    );
    Layout::from_size_align(capacity(len), ALIGN)
        .expect("MAX_LEN keeps every capacity below isize::MAX")
}

impl ThinBytes {
    /// A buffer of the prefix and `pieces` behind it.
    ///
    /// # Panics
    /// When the whole is longer than [`MAX_LEN`].
    pub(super) fn new(pieces: &[&[u8]]) -> Self {
        let len = pieces
            .iter()
            .fold(PREFIX_LEN, |sum, piece| sum.saturating_add(piece.len()));
        assert!(len <= MAX_LEN, "a buffer of {len} bytes is too long");
        let layout = layout(len);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        let mut offset = PREFIX_LEN;
        for piece in pieces {
            debug_assert!(offset + piece.len() <= len);
            // SAFETY: prefix and pieces together fill the `len` bytes of the new, and so separate, allocation.
            unsafe {
                ptr::copy_nonoverlapping(piece.as_ptr(), start.as_ptr().add(offset), piece.len())
            };
            offset += piece.len();
        }
        let mut buffer = Self { start };
        // SAFETY: the allocation is of `capacity(len)`, and the pieces initialised all of it behind the prefix.
        unsafe { buffer.write_len(len) };
        buffer
    }

    /// A buffer over bytes that belong to somebody else: it must neither be dropped nor changed.
    ///
    /// # Safety
    /// The bytes must outlive it, and whoever has it must leave it to `ManuallyDrop` and read only.
    ///
    /// # Panics
    /// When the bytes are not as many as their prefix says.
    pub(super) unsafe fn over(bytes: &[u8]) -> Self {
        let prefix = bytes.first_chunk::<PREFIX_LEN>();
        assert!(
            prefix.is_some_and(|prefix| u32::from_le_bytes(*prefix) as usize == bytes.len()),
            "{} bytes are not what their prefix says",
            bytes.len()
        );
        Self {
            start: NonNull::from(bytes).cast(),
        }
    }

    /// All bytes, those of the prefix included.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the first four bytes are always allocated and initialised; [u8; 4] has no alignment.
        let prefix = unsafe { self.start.cast::<[u8; PREFIX_LEN]>().read() };
        u32::from_le_bytes(prefix) as usize
    }

    /// # Safety
    /// The first `len` bytes must be initialised once this returns, and the allocation be one of `capacity(len)`.
    unsafe fn write_len(&mut self, len: usize) {
        let prefix = u32::try_from(len)
            .expect("MAX_LEN fits in 32 bits")
            .to_le_bytes();
        // SAFETY: every allocation holds at least PREFIX_LEN bytes.
        unsafe { self.start.cast::<[u8; PREFIX_LEN]>().write(prefix) };
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes are allocated and initialised, and borrowed for as long as `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len()) }
    }

    /// Starts to bring the first of the bytes near.
    #[inline]
    pub(super) fn prefetch(&self) {
        // SAFETY: every allocation begins with an initialised prefix, and lives as long as `self`.
        prefetch_read(unsafe { self.start.as_ref() });
    }

    /// What follows the prefix.
    #[inline]
    pub(super) fn content(&self) -> &[u8] {
        &self.as_bytes()[PREFIX_LEN..]
    }

    /// What follows the prefix, to be changed. The prefix itself is out of reach: it is what the safety of this type rests on.
    pub(super) fn content_mut(&mut self) -> &mut [u8] {
        let len = self.len() - PREFIX_LEN;
        // SAFETY: bytes PREFIX_LEN..len are allocated and initialised, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().add(PREFIX_LEN), len) }
    }

    /// Replaces the `removed` bytes from offset `at` on by `pieces`, one after the other. O(bytes behind `at`).
    ///
    /// # Panics
    /// When the range is not within the bytes behind the prefix, or the result would be longer than [`MAX_LEN`].
    pub(super) fn splice(&mut self, at: usize, removed: usize, pieces: &[&[u8]]) {
        let len = self.len();
        assert!(
            at >= PREFIX_LEN && at <= len && removed <= len - at,
            "splice {at}+{removed} of {len} bytes"
        );
        let added = pieces
            .iter()
            .fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        let new_len = (len - removed).saturating_add(added);
        assert!(
            new_len <= MAX_LEN,
            "a buffer of {new_len} bytes is too long"
        );
        if new_len > len {
            self.reallocate(len, new_len);
        }
        // SAFETY: source at+removed..len is initialised; the target at+added..new_len lies in the allocation, which
        // holds max(len, new_len) bytes here. They may overlap, so `copy`.
        unsafe {
            let start = self.start.as_ptr();
            ptr::copy(
                start.add(at + removed),
                start.add(at + added),
                len - at - removed,
            );
        }
        let mut offset = at;
        for piece in pieces {
            debug_assert!(offset + piece.len() <= new_len);
            // SAFETY: the pieces fill at..at+added, inside the allocation; a shared slice cannot overlap a buffer
            // that is borrowed exclusively.
            unsafe {
                ptr::copy_nonoverlapping(
                    piece.as_ptr(),
                    self.start.as_ptr().add(offset),
                    piece.len(),
                )
            };
            offset += piece.len();
        }
        if new_len < len {
            self.reallocate(len, new_len);
        }
        // SAFETY: 0..at was initialised, at..at+added is now, and the tail was moved behind it; the allocation was
        // brought to capacity(new_len) above.
        unsafe { self.write_len(new_len) };
    }

    /// Brings the allocation from the capacity for `len` to that for `new_len`; the caller writes the length.
    fn reallocate(&mut self, len: usize, new_len: usize) {
        let (old, new) = (layout(len), layout(new_len));
        if old.size() == new.size() {
            return;
        }
        // SAFETY: the allocation was made with `old`, by this allocator; the new size is not zero and, by `layout`,
        // below isize::MAX.
        let start = unsafe { realloc(self.start.as_ptr(), old, new.size()) };
        self.start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(new));
    }

    /// Bytes taken from the allocator.
    pub(super) fn heap_size(&self) -> usize {
        capacity(self.len())
    }
}

impl Drop for ThinBytes {
    fn drop(&mut self) {
        // SAFETY: the allocation was made with this layout and is not used again.
        unsafe { dealloc(self.start.as_ptr(), layout(self.len())) };
    }
}

impl Clone for ThinBytes {
    fn clone(&self) -> Self {
        let len = self.len();
        let layout = layout(len);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: both allocations hold `len` bytes, the source's are initialised (its prefix says `len`, so the
        // copy's does), and the new one is separate.
        unsafe { ptr::copy_nonoverlapping(self.start.as_ptr(), start.as_ptr(), len) };
        Self { start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn is_one_pointer_with_a_niche() {
        assert_eq!(size_of::<Option<ThinBytes>>(), size_of::<usize>());
    }

    #[test]
    fn capacities_cover_their_lengths_and_grow_with_them() {
        let mut before = 0;
        for len in PREFIX_LEN..20_000 {
            let capacity = capacity(len);
            assert!(capacity >= len && capacity >= before && capacity <= len + 16 + len / 7);
            before = capacity;
        }
        assert_eq!(capacity(MAX_LEN), MAX_LEN);
    }

    #[test]
    #[should_panic(expected = "splice")]
    fn refuses_to_touch_the_prefix() {
        ThinBytes::new(&[b"abc"]).splice(3, 1, &[]);
    }

    proptest! {
        #[test]
        fn splices_like_a_vec(
            steps in prop::collection::vec((any::<u16>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..300)), 0..60)
        ) {
            let mut buffer = ThinBytes::new(&[b"se", b"ed"]);
            let mut model = b"seed".to_vec();
            for (at, removed, bytes) in steps {
                let at = usize::from(at) % (model.len() + 1);
                let removed = usize::from(removed) % (model.len() - at + 1);
                let (left, right) = bytes.split_at(bytes.len() / 2);
                buffer.splice(at + PREFIX_LEN, removed, &[left, right]);
                model.splice(at..at + removed, bytes);
                prop_assert_eq!(&buffer.as_bytes()[PREFIX_LEN..], &model[..]);
                prop_assert_eq!(buffer.len(), model.len() + PREFIX_LEN);
                if let Some(first) = buffer.content_mut().first_mut() {
                    *first = first.wrapping_add(1);
                    model[0] = model[0].wrapping_add(1);
                }
                let copy = buffer.clone();
                prop_assert_eq!(copy.as_bytes(), buffer.as_bytes());
            }
        }
    }
}
