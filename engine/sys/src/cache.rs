//! Telling the processor what will be read soon.

/// Has the cache line where `wanted` begins brought near. It costs one instruction and waits for nothing; lines that are asked
/// for one after the other are under way together.
#[inline(always)]
pub fn expect<T>(wanted: &T) {
    #[cfg(target_arch = "x86_64")]
    // JUSTIFICATION: there is no safe interface to it.
    // SAFETY: it takes any address and changes nothing but what the caches hold.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(wanted).cast());
    }
    // Elsewhere the line is read when it is needed.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = wanted;
}
