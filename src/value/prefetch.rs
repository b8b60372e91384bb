//! Asks the processor to fetch memory ahead of its use. It must not know what is there: nothing is read.
#![expect(unsafe_code, reason = "the prefetch instruction takes a raw address")]

/// Starts to bring the first cache line of `target` near; a no-op where stable Rust has no such instruction.
#[inline]
pub fn prefetch_read<T: ?Sized>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint that reads nothing the program can observe and faults on no address; this one
        // comes from a reference anyway. SSE, which has it, is part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(target).cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_what_it_fetches_alone() {
        let bytes = vec![7_u8; 100];
        prefetch_read(bytes.as_slice());
        prefetch_read::<[u8]>(&[]);
        assert_eq!(bytes, [7; 100]);
    }
}
