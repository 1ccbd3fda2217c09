//! Groups of products added to all rows of D.

use std::arch::x86_64::*;

use super::factors::{AT_ONCE, Factors};
use super::vectors::{exponents, floats, integers, power_of_two, slice, vector};
use crate::warp::matrix::floats::{ROWS, add};
use crate::warp::matrix::fragments::COLUMNS;
use crate::warp::matrix::sums::{NOTHING, Sums, Total};

/// The exponents between which f32 holds all that happens on the way: products stay below 2^127, those below 2^-126, which lose bits, are less than
/// half a unit, and units are normal.
const LOWEST: i32 = -100;
const HIGHEST: i32 = 125;

/// Adds the products of a group, from a depth on, to all rows of D.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn add_group<const G: usize>(sums: &Sums, factors: &Factors, first: usize, rows: &mut [__m256; ROWS]) {
    let b: &[[f32; COLUMNS]; G] = slice(&factors.b, first);
    let a = factors.a.as_chunks::<AT_ONCE>().0.iter().zip(factors.a_exponents.as_chunks::<AT_ONCE>().0);
    for (rows, (a, a_exponents)) in rows.as_chunks_mut::<AT_ONCE>().0.iter_mut().zip(a) {
        let a: [&[f32; G]; AT_ONCE] = [0, 1, 2, 3].map(|next| slice(&a[next], first));
        let mut pairs = [_mm256_set1_epi16(NOTHING as i16); AT_ONCE];
        for (pair, b) in factors.b_exponents.iter().enumerate().skip(first / 2).take(G / 2) {
            let b = integers(b);
            for next in 0..AT_ONCE {
                let product = _mm256_add_epi16(_mm256_set1_epi32(a_exponents[next][pair]), b);
                pairs[next] = _mm256_max_epi16(pairs[next], product);
            }
        }
        add_rows(sums, a, b, &pairs, factors.finite, rows);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_rows<const G: usize>(
    sums: &Sums,
    a: [&[f32; G]; AT_ONCE],
    b: &[[f32; COLUMNS]; G],
    pairs: &[__m256i; AT_ONCE],
    finite: bool,
    rows: &mut [__m256; AT_ONCE],
) {
    let lowest = _mm256_set1_epi32(if sums.total == Total::F16 { sums.lowest } else { NOTHING });
    let mut greatest = [lowest; AT_ONCE];
    let mut unfit = _mm256_setzero_si256();
    for next in 0..AT_ONCE {
        let even = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs[next]));
        let product = _mm256_max_epi32(even, _mm256_srai_epi32::<16>(pairs[next]));
        let accumulator = _mm256_max_epi32(lowest, exponents(rows[next], sums.accumulator));
        greatest[next] = _mm256_max_epi32(product, accumulator);
        let too_high = _mm256_cmpgt_epi32(greatest[next], _mm256_set1_epi32(HIGHEST));
        let low = _mm256_cmpgt_epi32(_mm256_set1_epi32(LOWEST), greatest[next]);
        let zeros = _mm256_cmpgt_epi32(_mm256_set1_epi32(NOTHING / 2), greatest[next]);
        unfit = _mm256_or_si256(unfit, _mm256_or_si256(too_high, _mm256_andnot_si256(zeros, low)));
    }
    if !finite || _mm256_testz_si256(unfit, unfit) == 0 {
        return by_definition(sums, a, b, rows);
    }

    let mut to_units = [_mm256_setzero_ps(); AT_ONCE];
    let mut units = [_mm256_setzero_si256(); AT_ONCE];
    for next in 0..AT_ONCE {
        let exponent = _mm256_max_epi32(greatest[next], _mm256_set1_epi32(LOWEST));
        to_units[next] = power_of_two(_mm256_sub_epi32(_mm256_set1_epi32(sums.fraction + 127), exponent));
        units[next] = _mm256_cvttps_epi32(_mm256_mul_ps(rows[next], to_units[next]));
    }
    // Each product is below 2^27 units: eight of them and the accumulator fit 32 bits; twice eight do unless nearly all are as large as can be.
    let mut overflow = _mm256_setzero_si256();
    for eight in (0..G).step_by(8) {
        let before = units;
        if eight > 0 {
            units = [_mm256_setzero_si256(); AT_ONCE];
        }
        for k in eight..G.min(eight + 8) {
            let b = vector(&b[k]);
            for next in 0..AT_ONCE {
                let product = _mm256_mul_ps(_mm256_set1_ps(a[next][k]), b);
                let cut = _mm256_cvttps_epi32(_mm256_mul_ps(product, to_units[next]));
                units[next] = _mm256_add_epi32(units[next], cut);
            }
        }
        if eight > 0 {
            for next in 0..AT_ONCE {
                let sum = _mm256_add_epi32(before[next], units[next]);
                let changed = [before[next], units[next]].map(|half| _mm256_xor_si256(half, sum));
                overflow = _mm256_or_si256(overflow, _mm256_and_si256(changed[0], changed[1]));
                units[next] = sum;
            }
        }
    }
    if _mm256_movemask_ps(_mm256_castsi256_ps(overflow)) != 0 {
        return by_definition(sums, a, b, rows);
    }
    for next in 0..AT_ONCE {
        let (sum, inexact) = shortened(units[next]);
        let one = _mm256_set1_epi32(254 << 23);
        let from_units = _mm256_castsi256_ps(_mm256_sub_epi32(one, _mm256_castps_si256(to_units[next])));
        rows[next] = match sums.total {
            Total::F32 => _mm256_mul_ps(sum, from_units),
            Total::F16 => {
                // The last bit says too that something was cut: with it, rounding once more is as rounding once.
                let sticky = _mm256_srli_epi32::<31>(inexact);
                let sum = _mm256_or_ps(sum, _mm256_castsi256_ps(sticky));
                let sum = _mm256_mul_ps(sum, from_units);
                _mm256_cvtph_ps(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(sum))
            }
        };
    }
}

/// The same one by one.
#[cold]
#[target_feature(enable = "avx2,fma,f16c")]
fn by_definition<const G: usize>(
    sums: &Sums,
    a: [&[f32; G]; AT_ONCE],
    b: &[[f32; COLUMNS]; G],
    rows: &mut [__m256; AT_ONCE],
) {
    for (row, a) in rows.iter_mut().zip(a) {
        let mut d = floats(*row);
        add(sums, a, b, &mut d);
        *row = vector(&d);
    }
}

/// Integers as f32, cut to 24 bits towards zero, and the sign bit of those of which something was cut. Conversion is to the nearest: what it
/// made larger is one step too high.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn shortened(integers: __m256i) -> (__m256, __m256i) {
    let magnitude = _mm256_abs_epi32(integers);
    let nearest = _mm256_cvtepi32_ps(magnitude);
    let larger = _mm256_sub_epi32(magnitude, _mm256_cvttps_epi32(nearest));
    let cut = _mm256_add_epi32(_mm256_castps_si256(nearest), _mm256_srai_epi32::<31>(larger));
    let less = _mm256_sub_epi32(_mm256_cvttps_epi32(_mm256_castsi256_ps(cut)), magnitude);
    let sign = _mm256_and_si256(integers, _mm256_set1_epi32(i32::MIN));
    (_mm256_castsi256_ps(_mm256_or_si256(cut, sign)), less)
}
