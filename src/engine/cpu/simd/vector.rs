//! Operations on vectors that `pulp` does not have as the kernels need them. Not here: the kernels.

use std::any::TypeId;

use pulp::Simd;

/// `a · b + c`, fused where the instructions can.
///
/// Where they cannot, `pulp` would call a function per element to round once. Here it is rounded twice.
#[inline(always)]
pub(crate) fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if TypeId::of::<S>() == TypeId::of::<pulp::Scalar128b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_f32s(a, b, c)
    }
}

/// The vector at the start of a slice, padded with zeros where the slice is shorter.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values) {
        ([vector, ..], _) => *vector,
        ([], rest) => simd.partial_load_f32s(rest),
    }
}

/// Writes a vector to the start of a slice, or the part of it that the slice has room for.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, values: &mut [f32], vector: S::f32s) {
    match S::as_mut_simd_f32s(values) {
        ([first, ..], _) => *first = vector,
        ([], rest) => simd.partial_store_f32s(rest, vector),
    }
}

/// Prefetches the cache line at an address. The address may be invalid.
#[inline(always)]
pub(crate) fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[allow(unsafe_code, reason = "the intrinsic takes a pointer")]
        // SAFETY: a prefetch is a hint; it neither faults nor reads, whatever the address. SSE is part of x86-64.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
