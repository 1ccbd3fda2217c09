//! The sums of `floats` with AVX2, F16C and FMA: bit for bit those of its portable twin, five times as fast.
//!
//! A row of D is one vector, its columns as registers hold them: the even ones in the lower half, the odd ones in the upper. B's are put in that
//! order when it is transposed.

use std::arch::x86_64::*;

use super::Operands;
use super::floats::{Factor, ROWS, add};
use super::fragments::COLUMNS;
use super::sums::{Element, NOTHING, Sums, Total};
use crate::exec::registers::{LANES, Mask, Registers};

/// The exponents between which f32 holds all that happens on the way: products stay below 2^127, those below 2^-126, which lose bits, are less than
/// half a unit, and units are normal.
const LOWEST: i32 = -100;
const HIGHEST: i32 = 125;

/// Whether the processor has what `execute` is compiled for.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") && is_x86_feature_detected!("fma")
}

/// Rows of D that are computed at once, to read B once for them.
const AT_ONCE: usize = 4;

/// Factors, K deep, and the exponents of two neighbours along k as the halves of a word: 16 bits are enough for them, and half as many
/// instructions find the greatest.
struct Factors<const K: usize> {
    a: [[f32; K]; ROWS],
    a_exponents: [[i32; 8]; ROWS],
    b: [[f32; COLUMNS]; K],
    b_exponents: [[i32; COLUMNS]; 8],
    finite: bool,
}

impl<const K: usize> Default for Factors<K> {
    fn default() -> Self {
        Self {
            a: [[0.0; K]; ROWS],
            a_exponents: [[0; 8]; ROWS],
            b: [[0.0; COLUMNS]; K],
            b_exponents: [[0; COLUMNS]; 8],
            finite: true,
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn execute<T: Factor, const K: usize, const G: usize>(
    operands: &Operands,
    sums: &Sums,
    registers: &mut Registers,
    mask: Mask,
) {
    let mut factors = Factors::<K>::default();
    prepare::<T, K>(&mut factors, sums, operands, registers);
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
    for group in 0..K / G {
        add_group::<K, G>(sums, &factors, group * G, &mut rows);
    }
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

/// Adds the products of a group, from a depth on, to all rows of D.
#[target_feature(enable = "avx2,fma,f16c")]
fn add_group<const K: usize, const G: usize>(
    sums: &Sums,
    factors: &Factors<K>,
    first: usize,
    rows: &mut [__m256; ROWS],
) {
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

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn prepare<T: Factor, const K: usize>(
    factors: &mut Factors<K>,
    sums: &Sums,
    operands: &Operands,
    registers: &Registers,
) {
    let mut greatest = _mm256_setzero_si256();
    // A tf32 tile has four along k, so that eight are in two of them: A's are two registers apart.
    let apart = if T::ELEMENT == Element::Tf32 { (2, 1) } else { (0, 0) };
    for eight in 0..K / 8 {
        for half in 0..2 {
            let first = eight * 2 + half;
            let tiles: [[u32; LANES]; 2] =
                [registers.read(operands.a[first]), registers.read(operands.a[first + apart.0])];
            for row in 0..8 {
                let value = eight_of::<T>(&tiles, row * 4);
                greatest = _mm256_max_epi32(greatest, magnitude(value));
                let to = half * 8 + row;
                factors.a[to].as_chunks_mut().0[eight] = floats(value);
                let exponents = exponents(value, sums.factor);
                // As 16 bits: the first half of what each half of the vector gives.
                let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packs_epi32(exponents, exponents));
                factors.a_exponents[to].as_chunks_mut().0[eight] = words(_mm256_castsi256_si128(packed));
            }
        }
        let tiles: [[u32; LANES]; 2] = [registers.read(operands.b[eight]), registers.read(operands.b[eight + apart.1])];
        let mut columns = [_mm256_setzero_ps(); COLUMNS];
        for (value, column) in columns.iter_mut().zip([0, 2, 4, 6, 1, 3, 5, 7]) {
            *value = eight_of::<T>(&tiles, column * 4);
        }
        let rows = transposed(columns);
        for (pair, [even, odd]) in rows.as_chunks().0.iter().enumerate() {
            greatest = _mm256_max_epi32(greatest, _mm256_max_epi32(magnitude(*even), magnitude(*odd)));
            factors.b[eight * 8 + pair * 2] = floats(*even);
            factors.b[eight * 8 + pair * 2 + 1] = floats(*odd);
            let (even, odd) = (exponents(*even, sums.factor), exponents(*odd, sums.factor));
            let both = _mm256_blend_epi16::<0xAA>(even, _mm256_slli_epi32::<16>(odd));
            factors.b_exponents[eight * 4 + pair] = array(both);
        }
    }
    let infinite = _mm256_cmpgt_epi32(greatest, _mm256_set1_epi32(0x7F7F_FFFF));
    factors.finite = _mm256_testz_si256(infinite, infinite) == 1;
}

/// Eight neighbours along k of a row of A or a column of B, which four lanes hold: in one register, or half of them in another.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn eight_of<T: Factor>(registers: &[[u32; LANES]; 2], lanes: usize) -> __m256 {
    let words = four(&registers[0], lanes);
    match T::ELEMENT {
        Element::F16 => _mm256_cvtph_ps(words),
        Element::Bf16 => _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(words))),
        Element::Tf32 => {
            let words = _mm256_set_m128i(four(&registers[1], lanes), words);
            _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(!0x1FFF)))
        }
    }
}

/// Without the sign.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn magnitude(values: __m256) -> __m256i {
    _mm256_and_si256(_mm256_castps_si256(values), _mm256_set1_epi32(0x7FFF_FFFF))
}

/// `sums::exponent` of eight values.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn exponents(values: __m256, least: i32) -> __m256i {
    let magnitude = magnitude(values);
    let own = _mm256_sub_epi32(_mm256_srli_epi32::<23>(magnitude), _mm256_set1_epi32(127));
    let zero = _mm256_cmpeq_epi32(magnitude, _mm256_setzero_si256());
    _mm256_blendv_epi8(_mm256_max_epi32(own, _mm256_set1_epi32(least)), _mm256_set1_epi32(NOTHING), zero)
}

/// 2 to powers that are given with the exponent's bias.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn power_of_two(biased: __m256i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
}

/// Rows for columns, in three rounds that exchange halves of 1, 2 and 4 elements.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn transposed(m: [__m256; 8]) -> [__m256; 8] {
    let pair = |a: usize, b: usize| (_mm256_unpacklo_ps(m[a], m[b]), _mm256_unpackhi_ps(m[a], m[b]));
    let ((a0, a1), (b0, b1), (c0, c1), (d0, d1)) = (pair(0, 1), pair(2, 3), pair(4, 5), pair(6, 7));
    let quad = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xEE>(a, b));
    let ((e0, e1), (e2, e3)) = (quad(a0, b0), quad(a1, b1));
    let ((f0, f1), (f2, f3)) = (quad(c0, d0), quad(c1, d1));
    let (low, high) = ([e0, e1, e2, e3], [f0, f1, f2, f3]);
    let lower = |i: usize| _mm256_permute2f128_ps::<0x20>(low[i], high[i]);
    let upper = |i: usize| _mm256_permute2f128_ps::<0x31>(low[i], high[i]);
    [lower(0), lower(1), lower(2), lower(3), upper(0), upper(1), upper(2), upper(3)]
}

/// N elements from a place on.
#[inline(always)]
fn slice<T, const N: usize>(all: &[T], first: usize) -> &[T; N] {
    &all[first..].as_chunks::<N>().0[0]
}

/// Four lanes of a register.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn four(register: &[u32; LANES], lanes: usize) -> __m128i {
    let words: &[u32; 4] = slice(register, lanes);
    let words = words.map(u32::cast_signed);
    _mm_setr_epi32(words[0], words[1], words[2], words[3])
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn vector(values: &[f32; 8]) -> __m256 {
    let [a, b, c, d, e, f, g, h] = *values;
    _mm256_setr_ps(a, b, c, d, e, f, g, h)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn integers(values: &[i32; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = *values;
    _mm256_setr_epi32(a, b, c, d, e, f, g, h)
}

#[inline(always)]
fn floats(vector: __m256) -> [f32; 8] {
    // SAFETY: both are 32 bytes, of which all patterns are values.
    #[expect(unsafe_code, reason = "the vector's way out that is no store through a pointer")]
    unsafe {
        std::mem::transmute(vector)
    }
}

#[inline(always)]
fn array(vector: __m256i) -> [i32; 8] {
    // SAFETY: both are 32 bytes, of which all patterns are values.
    #[expect(unsafe_code, reason = "the vector's way out that is no store through a pointer")]
    unsafe {
        std::mem::transmute(vector)
    }
}

#[inline(always)]
fn words(vector: __m128i) -> [i32; 4] {
    // SAFETY: both are 16 bytes, of which all patterns are values.
    #[expect(unsafe_code, reason = "the vector's way out that is no store through a pointer")]
    unsafe {
        std::mem::transmute(vector)
    }
}
