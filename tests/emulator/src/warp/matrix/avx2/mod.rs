//! The sums of `floats` for factors of 16 bits with AVX2, F16C and FMA: bit for bit the same, many times as fast. Not here: tf32.
//!
//! A row of D is one vector, its columns as registers hold them: the even ones in the lower half, the odd ones in the upper. So are B's.

mod factors;
mod sums;
mod vectors;

use std::arch::x86_64::*;
use std::cell::RefCell;

use self::factors::Factors;
use self::vectors::{four, words};
use super::Operands;
use super::floats::{Factor, ROWS};
use super::sums::{Sums, Total};
use crate::exec::registers::{LANES, Mask, Registers};

/// Whether the processor has what `execute` is compiled for.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") && is_x86_feature_detected!("fma")
}

thread_local! {
    /// Where a product keeps its factors. To clear 2 KiB for each one would take an eighth of its time.
    static FACTORS: RefCell<Factors> = const { RefCell::new(Factors::ZERO) };
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn execute<T: Factor, const K: usize, const G: usize>(
    operands: &Operands,
    sums: &Sums,
    registers: &mut Registers,
    mask: Mask,
) {
    // Where the registers of a row are, and how many D has.
    let (step, count) = if sums.total == Total::F32 { (2, 4) } else { (1, 2) };
    let mut d = [[0; LANES]; 4];
    for (values, slot) in d.iter_mut().zip(&operands.c) {
        *values = registers.read(*slot);
    }
    let mut rows = [_mm256_setzero_ps(); ROWS];
    for (row, sum) in rows.iter_mut().enumerate() {
        *sum = accumulators(&d[row / 8 * step..][..step], row % 8 * 4);
    }
    FACTORS.with_borrow_mut(|factors| {
        factors.read::<T, K>(sums, operands, registers);
        for group in 0..K / G {
            sums::add_group::<G>(sums, factors, group * G, &mut rows);
        }
    });
    for (row, sum) in rows.iter().enumerate() {
        results(*sum, &mut d[row / 8 * step..][..step], row % 8 * 4);
    }
    for (values, slot) in d[..count].iter().zip(&operands.d) {
        registers.write(*slot, values, mask);
    }
}

/// A row of D from four lanes of its registers: of f32 one has the even columns and one the odd; of f16 each word has both.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn accumulators(registers: &[[u32; LANES]], lanes: usize) -> __m256 {
    match registers {
        [even, odd] => _mm256_castsi256_ps(_mm256_set_m128i(four(odd, lanes), four(even, lanes))),
        [both, ..] => {
            let natural = _mm256_cvtph_ps(four(both, lanes));
            _mm256_permutevar8x32_ps(natural, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7))
        }
        [] => _mm256_setzero_ps(),
    }
}

/// The same back.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn results(row: __m256, registers: &mut [[u32; LANES]], lanes: usize) {
    match registers {
        [even, odd] => {
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(row, row);
            let row = _mm256_blendv_ps(row, _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFF_FFFF)), nan);
            let row = _mm256_castps_si256(row);
            let halves = [_mm256_castsi256_si128(row), _mm256_extracti128_si256::<1>(row)];
            let [low, high] = halves.map(|half| words(half).map(i32::cast_unsigned));
            even[lanes..lanes + 4].copy_from_slice(&low);
            odd[lanes..lanes + 4].copy_from_slice(&high);
        }
        [both, ..] => {
            let natural = _mm256_permutevar8x32_ps(row, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(natural, natural));
            let nan = _mm_packs_epi32(_mm256_castsi256_si128(nan), _mm256_extracti128_si256::<1>(nan));
            let bits = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(natural);
            let bits = words(_mm_blendv_epi8(bits, _mm_set1_epi16(0x7FFF), nan));
            both[lanes..lanes + 4].copy_from_slice(&bits.map(i32::cast_unsigned));
        }
        [] => {}
    }
}
