//! The inverse cosine transform, bit for bit as libjpeg's `jpeg_idct_islow`: the algorithm of Loeffler, Ligtenberg and Moschytz (1989)
//! with 13 bits of its constants, and 2 bits of fraction between its two passes.
//!
//! Not here: blocks that become smaller (`reduced`).

use std::ops::{Add, Mul, Shl, Shr, Sub};

use super::scan::Block;
use super::tables::Quantisation;

const CONSTANT_BITS: i32 = 13;
const PASS_BITS: i32 = 2;
/// Bits taken off behind each pass.
const FIRST: i32 = CONSTANT_BITS - PASS_BITS;
const SECOND: i32 = CONSTANT_BITS + PASS_BITS + 3;

/// Writes the 8×8 samples of each block of a row into rows that lie `stride` apart, one block beside the other.
pub(super) fn inverse_row(blocks: &[Block], steps: &Quantisation, samples: &mut [u8], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(vectors) = pulp::x86::V3::try_new() {
        let steps = steps.map(i32::from);
        vectors.vectorize(
            #[inline(always)]
            || each(blocks, samples, |block, samples| avx2::inverse(vectors, block, &steps, samples, stride)),
        );
        return;
    }
    each(blocks, samples, |block, samples| inverse(block, steps, samples, stride));
}

#[inline(always)]
fn each(blocks: &[Block], samples: &mut [u8], mut inverse: impl FnMut(&Block, &mut [u8])) {
    for (column, block) in blocks.iter().enumerate() {
        inverse(block, &mut samples[8 * column..]);
    }
}

/// Of a block that is of one value everywhere.
#[inline(always)]
fn flat(dc: i32, samples: &mut [u8], stride: usize) {
    let sample = (Number(dc).add(Number(4)).shr(3).0.wrapping_add(128)).clamp(0, 255) as u8;
    samples.chunks_mut(stride).take(8).for_each(|row| row[..8].fill(sample));
}

fn inverse(block: &Block, steps: &Quantisation, samples: &mut [u8], stride: usize) {
    let stored = |at: usize| Number(i32::from(block[at]).wrapping_mul(steps[at].into()));
    if block[1..] == [0; 63] {
        return flat(stored(0).0, samples, stride);
    }
    let mut between = [[Number(0); 8]; 8];
    for column in 0..8 {
        let output = eight::<_, FIRST>(std::array::from_fn(|row| stored(8 * row + column)));
        for (between, value) in between.iter_mut().zip(output) {
            between[column] = value;
        }
    }
    for (row, input) in samples.chunks_mut(stride).zip(between) {
        let output = eight::<_, SECOND>(input);
        row[..8]
            .iter_mut()
            .zip(output)
            .for_each(|(sample, value)| *sample = (value.0.wrapping_add(128)).clamp(0, 255) as u8);
    }
}

/// What [`eight`] computes with: a number, or a vector of eight. Broken files have coefficients that pass an `i32`: all wraps.
trait Numbers:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Shl<i32, Output = Self> + Shr<i32, Output = Self>
{
    /// A constant, of the kind that `self` is.
    fn constant(self, value: i32) -> Self;
}

/// One number, which wraps.
#[derive(Clone, Copy)]
struct Number(i32);

impl Numbers for Number {
    fn constant(self, value: i32) -> Self {
        Self(value)
    }
}

impl Add for Number {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl Sub for Number {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl Mul for Number {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self(self.0.wrapping_mul(other.0))
    }
}

impl Shl<i32> for Number {
    type Output = Self;
    fn shl(self, bits: i32) -> Self {
        Self(self.0 << bits)
    }
}

impl Shr<i32> for Number {
    type Output = Self;
    fn shr(self, bits: i32) -> Self {
        Self(self.0 >> bits)
    }
}

/// One pass over eight values, `SHIFT` bits taken off, rounded.
#[inline(always)]
fn eight<N: Numbers, const SHIFT: i32>(input: [N; 8]) -> [N; 8] {
    /// A constant in 13 bits.
    const fn fixed(value: f64) -> i32 {
        (value * (1 << CONSTANT_BITS) as f64 + 0.5) as i32
    }
    const C0_298: i32 = fixed(0.298_631_336);
    const C0_390: i32 = fixed(0.390_180_644);
    const C0_541: i32 = fixed(0.541_196_100);
    const C0_765: i32 = fixed(0.765_366_865);
    const C0_899: i32 = fixed(0.899_976_223);
    const C1_175: i32 = fixed(1.175_875_602);
    const C1_501: i32 = fixed(1.501_321_110);
    const C1_847: i32 = fixed(1.847_759_065);
    const C1_961: i32 = fixed(1.961_570_560);
    const C2_053: i32 = fixed(2.053_119_869);
    const C2_562: i32 = fixed(2.562_915_447);
    const C3_072: i32 = fixed(3.072_711_026);

    // the even ones
    let [x0, x1, x2, x3, x4, x5, x6, x7] = input;
    let rotated = (x2 + x6) * x0.constant(C0_541);
    let (low, high) = (rotated - x6 * x0.constant(C1_847), rotated + x2 * x0.constant(C0_765));
    let half = x0.constant(1 << (SHIFT - 1));
    let (sum, difference) = (((x0 + x4) << CONSTANT_BITS) + half, ((x0 - x4) << CONSTANT_BITS) + half);
    let even = [sum + high, difference + low, difference - low, sum - high];

    // the odd ones
    let (z1, z2, z3, z4) = (x7 + x1, x5 + x3, x7 + x3, x5 + x1);
    let z5 = (z3 + z4) * x0.constant(C1_175);
    let (z1, z2) = (z1 * x0.constant(-C0_899), z2 * x0.constant(-C2_562));
    let (z3, z4) = (z5 - z3 * x0.constant(C1_961), z5 - z4 * x0.constant(C0_390));
    let odd = [
        x1 * x0.constant(C1_501) + z1 + z4,
        x3 * x0.constant(C3_072) + z2 + z3,
        x5 * x0.constant(C2_053) + z2 + z4,
        x7 * x0.constant(C0_298) + z1 + z3,
    ];

    let [e0, e1, e2, e3] = even;
    let [o0, o1, o2, o3] = odd;
    [e0 + o0, e1 + o1, e2 + o2, e3 + o3, e3 - o3, e2 - o2, e1 - o1, e0 - o0].map(
        #[inline(always)]
        |value| value >> SHIFT,
    )
}

/// The same, a row of a block at a time, for processors with AVX2.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::__m256i;
    use std::ops::{Add, Mul, Shl, Shr, Sub};

    use pulp::x86::V3;

    use super::{Block, FIRST, Numbers, SECOND, eight, flat};

    #[inline(always)]
    pub(super) fn inverse(v: V3, block: &Block, steps: &[i32; 64], samples: &mut [u8], stride: usize) {
        if block[1..] == [0; 63] {
            return flat(i32::from(block[0]).wrapping_mul(steps[0]), samples, stride);
        }
        let (block, steps) = (block.as_chunks::<8>().0, steps.as_chunks::<8>().0);
        let rows: [Row; 8] = std::array::from_fn(
            #[inline(always)]
            |row| {
                let coefficients = v.avx2._mm256_cvtepi16_epi32(bytemuck::cast(block[row]));
                Row(v, coefficients) * Row(v, bytemuck::cast(steps[row]))
            },
        );
        let rows = transposed(v, eight::<_, FIRST>(rows));
        let rows = transposed(v, eight::<_, SECOND>(rows));
        let centre = rows[0].constant(128);
        let mut lines = samples.chunks_mut(stride);
        for four in rows.as_chunks::<4>().0 {
            let [a, b, c, d] = four.map(
                #[inline(always)]
                |row| (row + centre).1,
            );
            let (ab, cd) = (v.avx2._mm256_packs_epi32(a, b), v.avx2._mm256_packs_epi32(c, d));
            // in each half of four rows each four bytes
            let bytes = v.avx2._mm256_packus_epi16(ab, cd);
            let order = bytemuck::cast([0, 4, 1, 5, 2, 6, 3, 7_i32]);
            let bytes: [[u8; 8]; 4] = bytemuck::cast(v.avx2._mm256_permutevar8x32_epi32(bytes, order));
            for row in bytes {
                if let Some(line) = lines.next() {
                    line[..8].copy_from_slice(&row);
                }
            }
        }
    }

    /// Rows become columns.
    #[inline(always)]
    fn transposed(v: V3, rows: [Row; 8]) -> [Row; 8] {
        let [a, b, c, d, e, f, g, h] = rows.map(
            #[inline(always)]
            |row| row.1,
        );
        #[inline(always)]
        fn pairs(v: V3, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
            (v.avx2._mm256_unpacklo_epi32(a, b), v.avx2._mm256_unpackhi_epi32(a, b))
        }
        #[inline(always)]
        fn fours(v: V3, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
            (v.avx2._mm256_unpacklo_epi64(a, b), v.avx2._mm256_unpackhi_epi64(a, b))
        }
        #[inline(always)]
        fn halves(v: V3, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
            (v.avx2._mm256_permute2x128_si256::<0x20>(a, b), v.avx2._mm256_permute2x128_si256::<0x31>(a, b))
        }
        let ((ab0, ab2), (cd0, cd2), (ef0, ef2), (gh0, gh2)) =
            (pairs(v, a, b), pairs(v, c, d), pairs(v, e, f), pairs(v, g, h));
        let ((p0, p1), (p2, p3)) = (fours(v, ab0, cd0), fours(v, ab2, cd2));
        let ((q0, q1), (q2, q3)) = (fours(v, ef0, gh0), fours(v, ef2, gh2));
        let ((r0, r4), (r1, r5), (r2, r6), (r3, r7)) =
            (halves(v, p0, q0), halves(v, p1, q1), halves(v, p2, q2), halves(v, p3, q3));
        [r0, r1, r2, r3, r4, r5, r6, r7].map(
            #[inline(always)]
            |row| Row(v, row),
        )
    }

    /// Eight numbers, which wrap.
    #[derive(Clone, Copy)]
    struct Row(V3, __m256i);

    impl Numbers for Row {
        #[inline(always)]
        fn constant(self, value: i32) -> Self {
            Self(self.0, self.0.avx._mm256_set1_epi32(value))
        }
    }

    impl Add for Row {
        type Output = Self;
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(self.0, self.0.avx2._mm256_add_epi32(self.1, other.1))
        }
    }

    impl Sub for Row {
        type Output = Self;
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            Self(self.0, self.0.avx2._mm256_sub_epi32(self.1, other.1))
        }
    }

    impl Mul for Row {
        type Output = Self;
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            Self(self.0, self.0.avx2._mm256_mullo_epi32(self.1, other.1))
        }
    }

    impl Shl<i32> for Row {
        type Output = Self;
        #[inline(always)]
        fn shl(self, bits: i32) -> Self {
            Self(self.0, self.0.avx2._mm256_sll_epi32(self.1, self.0.sse2._mm_cvtsi32_si128(bits)))
        }
    }

    impl Shr<i32> for Row {
        type Output = Self;
        #[inline(always)]
        fn shr(self, bits: i32) -> Self {
            Self(self.0, self.0.avx2._mm256_sra_epi32(self.1, self.0.sse2._mm_cvtsi32_si128(bits)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coefficients of photos, of broken files, and few of either.
    #[test]
    fn rows_of_blocks_are_those_of_block_by_block() {
        let random = &mut fastrand::Rng::with_seed(3);
        for (most, filled) in [(60, 64), (2_000, 20), (32_767, 64), (300, 3), (1_000, 1)] {
            let block = |random: &mut fastrand::Rng| -> Block {
                std::array::from_fn(|at| if at < filled { random.i16(-most..=most) } else { 0 })
            };
            let blocks: Vec<Block> = (0..50).map(|_| block(random)).collect();
            let steps: Quantisation = std::array::from_fn(|_| random.u16(1..=if most > 30_000 { 65_535 } else { 99 }));
            let (mut row, mut single) = (vec![0; 8 * 400], vec![0; 8 * 400]);
            inverse_row(&blocks, &steps, &mut row, 400);
            for (column, block) in blocks.iter().enumerate() {
                inverse(block, &steps, &mut single[8 * column..], 400);
            }
            assert_eq!(row, single, "{filled} coefficients up to {most}");
        }
    }
}
