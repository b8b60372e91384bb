//! Asks the processor to fetch memory ahead of its use. It must not know what is there: nothing is read.
#![expect(unsafe_code, reason = "the prefetch instruction takes a raw address")]

/// Starts to bring the first cache line of `target` near; a no-op where stable Rust has no such instruction.
#[inline]
pub fn prefetch_read<T: ?Sized>(target: &T) {
    prefetch_behind(target, 0);
}

/// The same for the cache line so many bytes behind its beginning, whether that still belongs to it or not.
#[inline]
pub fn prefetch_behind<T: ?Sized>(target: &T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let place = std::ptr::from_ref(target).cast::<i8>().wrapping_add(bytes);
        // SAFETY: a prefetch is a hint that reads nothing the program can observe and faults on no address. SSE, which
        // has it, is part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (target, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_what_it_fetches_alone() {
        let bytes = vec![7_u8; 100];
        prefetch_read(bytes.as_slice());
        prefetch_read::<[u8]>(&[]);
        prefetch_behind(bytes.as_slice(), 1000);
        assert_eq!(bytes, [7; 100]);
    }
}
