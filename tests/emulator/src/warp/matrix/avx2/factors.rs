//! The factors of a product, as `sums` reads them.

use std::arch::x86_64::*;

use super::vectors::{array, eight, floats, four, words};
use crate::exec::registers::{LANES, Registers};
use crate::warp::matrix::Operands;
use crate::warp::matrix::floats::{Factor, ROWS};
use crate::warp::matrix::fragments::COLUMNS;
use crate::warp::matrix::sums::{Element, NOTHING, Sums};

/// Rows of D that are computed at once, to read B once for them.
pub(super) const AT_ONCE: usize = 4;

/// The deepest product.
pub(super) const DEPTH: usize = 16;

/// Factors, and the exponents of two neighbours along k as the halves of a word: 16 bits are enough for them, and half as many instructions find
/// the greatest.
pub(super) struct Factors {
    pub(super) a: [[f32; DEPTH]; ROWS],
    pub(super) a_exponents: [[i32; DEPTH / 2]; ROWS],
    pub(super) b: [[f32; COLUMNS]; DEPTH],
    pub(super) b_exponents: [[i32; COLUMNS]; DEPTH / 2],
    /// Whether all are.
    pub(super) finite: bool,
}

impl Factors {
    pub(super) const ZERO: Self = Self {
        a: [[0.0; DEPTH]; ROWS],
        a_exponents: [[0; DEPTH / 2]; ROWS],
        b: [[0.0; COLUMNS]; DEPTH],
        b_exponents: [[0; COLUMNS]; DEPTH / 2],
        finite: true,
    };

    /// Takes on those of a product that is K deep; of what lies deeper nothing is said.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn read<T: Factor, const K: usize>(&mut self, sums: &Sums, operands: &Operands, registers: &Registers) {
        let mut greatest = _mm256_setzero_si256();
        for tile in 0..K / 8 {
            for half in 0..2 {
                let lanes: [u32; LANES] = registers.read(operands.a[tile * 2 + half]);
                for row in 0..8 {
                    let to = half * 8 + row;
                    self.a[to].as_chunks_mut().0[tile] = floats(widened::<T>(four(&lanes, row * 4)));
                    if row % 2 == 0 {
                        let rows = eight(&lanes, row * 4);
                        greatest = _mm256_max_epi16(greatest, magnitudes(rows));
                        let exponents = exponents::<T>(rows, sums.factor);
                        let next = [_mm256_castsi256_si128(exponents), _mm256_extracti128_si256::<1>(exponents)];
                        self.a_exponents[to].as_chunks_mut().0[tile] = words(next[0]);
                        self.a_exponents[to + 1].as_chunks_mut().0[tile] = words(next[1]);
                    }
                }
            }
            let lanes: [u32; LANES] = registers.read(operands.b[tile]);
            for (pair, columns) in transposed(&lanes).into_iter().enumerate() {
                greatest = _mm256_max_epi16(greatest, magnitudes(columns));
                self.b_exponents[tile * 4 + pair] = array(exponents::<T>(columns, sums.factor));
                let both = apart(columns);
                self.b[tile * 8 + pair * 2] = floats(widened::<T>(_mm256_castsi256_si128(both)));
                self.b[tile * 8 + pair * 2 + 1] = floats(widened::<T>(_mm256_extracti128_si256::<1>(both)));
            }
        }
        let infinity = if T::ELEMENT == Element::F16 { 0x7C00 } else { 0x7F80 };
        let infinite = _mm256_cmpgt_epi16(greatest, _mm256_set1_epi16(infinity - 1));
        self.finite = _mm256_testz_si256(infinite, infinite) == 1;
    }
}

/// Eight factors as f32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widened<T: Factor>(halves: __m128i) -> __m256 {
    match T::ELEMENT {
        Element::F16 => _mm256_cvtph_ps(halves),
        _ => _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves))),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn magnitudes(halves: __m256i) -> __m256i {
    _mm256_and_si256(halves, _mm256_set1_epi16(0x7FFF))
}

/// `sums::exponent` of sixteen factors.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn exponents<T: Factor>(halves: __m256i, least: i32) -> __m256i {
    let magnitude = magnitudes(halves);
    let biased = match T::ELEMENT {
        Element::F16 => _mm256_srli_epi16::<10>(magnitude),
        _ => _mm256_srli_epi16::<7>(magnitude),
    };
    // The least normal one's is 1.
    let biased = _mm256_max_epi16(biased, _mm256_set1_epi16(1));
    let own = _mm256_add_epi16(biased, _mm256_set1_epi16(least as i16 - 1));
    let zero = _mm256_cmpeq_epi16(magnitude, _mm256_setzero_si256());
    _mm256_blendv_epi8(own, _mm256_set1_epi16(NOTHING as i16), zero)
}

/// Of a tile of B, whose columns have four words each, those of all columns at once: the even columns in the lower half, the odd in the upper.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn transposed(lanes: &[u32; LANES]) -> [__m256i; 4] {
    let [a, b, c, d] = [eight(lanes, 0), eight(lanes, 8), eight(lanes, 16), eight(lanes, 24)];
    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (ef, gh) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ef, gh),
        _mm256_unpackhi_epi64(ef, gh),
    ]
}

/// The low halves of all words, then the high ones.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn apart(words: __m256i) -> __m256i {
    let order = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    let within = _mm256_shuffle_epi8(words, _mm256_set_m128i(order, order));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(within)
}
