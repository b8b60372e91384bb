//! Plain loops over many bytes, compiled once more for the wider registers that most processors have. It must not know
//! what the bytes mean.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "code for a feature of the processor is called after asking for the feature"
    )
)]

/// Runs `work`, which must be inlined to gain by it (`#[inline(always)]`), compiled for AVX2 where that is there.
#[inline]
pub(super) fn run<A, R>(argument: A, work: impl Fn(A) -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { run_avx2(argument, work) };
    }
    work(argument)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn run_avx2<A, R>(argument: A, work: impl Fn(A) -> R) -> R {
    work(argument)
}
