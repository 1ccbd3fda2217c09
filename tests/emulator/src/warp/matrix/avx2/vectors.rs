//! Vectors into arrays and back, and what is computed alike of accumulators and factors.

use std::arch::x86_64::*;

use crate::exec::registers::LANES;
use crate::warp::matrix::sums::NOTHING;

/// `sums::exponent` of eight values.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exponents(values: __m256, least: i32) -> __m256i {
    let magnitude = _mm256_and_si256(_mm256_castps_si256(values), _mm256_set1_epi32(0x7FFF_FFFF));
    let own = _mm256_sub_epi32(_mm256_srli_epi32::<23>(magnitude), _mm256_set1_epi32(127));
    let zero = _mm256_cmpeq_epi32(magnitude, _mm256_setzero_si256());
    _mm256_blendv_epi8(_mm256_max_epi32(own, _mm256_set1_epi32(least)), _mm256_set1_epi32(NOTHING), zero)
}

/// 2 to powers that are given with the exponent's bias.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn power_of_two(biased: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
}

/// N elements from a place on.
#[inline(always)]
pub(super) fn slice<T, const N: usize>(all: &[T], first: usize) -> &[T; N] {
    &all[first..].as_chunks::<N>().0[0]
}

/// Four lanes of a register.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn four(register: &[u32; LANES], lanes: usize) -> __m128i {
    let [a, b, c, d] = slice(register, lanes).map(u32::cast_signed);
    _mm_setr_epi32(a, b, c, d)
}

/// Eight lanes of a register.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn eight(register: &[u32; LANES], lanes: usize) -> __m256i {
    _mm256_set_m128i(four(register, lanes + 4), four(register, lanes))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn vector(values: &[f32; 8]) -> __m256 {
    let [a, b, c, d, e, f, g, h] = *values;
    _mm256_setr_ps(a, b, c, d, e, f, g, h)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn integers(values: &[i32; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = *values;
    _mm256_setr_epi32(a, b, c, d, e, f, g, h)
}

#[inline(always)]
pub(super) fn floats(vector: __m256) -> [f32; 8] {
    // SAFETY: both are 32 bytes, of which all patterns are values.
    #[expect(unsafe_code, reason = "the vector's way out that is no store through a pointer")]
    unsafe {
        std::mem::transmute(vector)
    }
}

#[inline(always)]
pub(super) fn array(vector: __m256i) -> [i32; 8] {
    // SAFETY: both are 32 bytes, of which all patterns are values.
    #[expect(unsafe_code, reason = "the vector's way out that is no store through a pointer")]
    unsafe {
        std::mem::transmute(vector)
    }
}

#[inline(always)]
pub(super) fn words(vector: __m128i) -> [i32; 4] {
    // SAFETY: both are 16 bytes, of which all patterns are values.
    #[expect(unsafe_code, reason = "the vector's way out that is no store through a pointer")]
    unsafe {
        std::mem::transmute(vector)
    }
}
