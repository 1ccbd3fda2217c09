//! The inverse cosine transform to fewer samples than a block has: the cosines of lower frequencies, at as many places as are wanted.
//!
//! Not here: how far an image is reduced (`transform`), whole blocks (`cosine`).

use super::scan::Block;
use super::tables::Quantisation;

/// A transform of a block to so many columns and rows, 1 to 8 each.
#[derive(Clone, Debug)]
pub(super) struct Reduced {
    columns: usize,
    rows: usize,
    /// Of a column of coefficients: by place, then by frequency.
    down: [[f32; 8]; 8],
    /// Of a row of them: by frequency, then by place.
    along: [[f32; 8]; 8],
}

impl Reduced {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        let down = std::array::from_fn(|place| std::array::from_fn(|frequency| cosine(place, frequency, rows)));
        let along = std::array::from_fn(|frequency| std::array::from_fn(|place| cosine(place, frequency, columns)));
        Self { columns, rows, down, along }
    }

    /// Writes the samples of each block of a row into rows that lie `stride` apart, one block beside the other.
    pub(super) fn inverse_row(&self, blocks: &[Block], steps: &Quantisation, samples: &mut [u8], stride: usize) {
        let steps = steps.map(f32::from);
        #[cfg(target_arch = "x86_64")]
        if let Some(vectors) = pulp::x86::V3::try_new() {
            vectors.vectorize(
                #[inline(always)]
                || match (self.columns, self.rows) {
                    // the sizes of 4:4:4 and 4:2:0, by loops whose ends are known
                    (2, 2) => self.each(avx2::Eight(vectors), blocks, &steps, (samples, stride), (2, 2)),
                    (3, 3) => self.each(avx2::Eight(vectors), blocks, &steps, (samples, stride), (3, 3)),
                    (4, 4) => self.each(avx2::Eight(vectors), blocks, &steps, (samples, stride), (4, 4)),
                    (6, 6) => self.each(avx2::Eight(vectors), blocks, &steps, (samples, stride), (6, 6)),
                    size => self.each(avx2::Eight(vectors), blocks, &steps, (samples, stride), size),
                },
            );
            return;
        }
        self.each(Plain, blocks, &steps, (samples, stride), (self.columns, self.rows));
    }

    #[inline(always)]
    fn each<V: Vectors>(
        &self,
        vectors: V,
        blocks: &[Block],
        steps: &[f32; 64],
        (samples, stride): (&mut [u8], usize),
        (columns, rows): (usize, usize),
    ) {
        let steps = steps.as_chunks::<8>().0;
        let along = self.along.map(
            #[inline(always)]
            |row| vectors.load(&row),
        );
        for (number, block) in blocks.iter().enumerate() {
            let block = block.as_chunks::<8>().0;
            let mut coefficients = [vectors.load(&[0.0; 8]); 8];
            for (row, (block, steps)) in coefficients.iter_mut().zip(block.iter().zip(steps)).take(rows) {
                *row = vectors.stored(block, steps);
            }
            for (place, cosines) in self.down.iter().enumerate().take(rows) {
                let mut column = vectors.load(&[0.0; 8]);
                for (coefficients, cosine) in coefficients.iter().zip(cosines).take(rows) {
                    column = vectors.add_times(column, *coefficients, *cosine);
                }
                let mut row = vectors.load(&[128.5; 8]);
                for (cosines, number) in along.iter().zip(vectors.numbers(column)).take(columns) {
                    row = vectors.add_times(row, *cosines, number);
                }
                let row = vectors.bytes(row);
                samples[place * stride + number * columns..][..columns].copy_from_slice(&row[..columns]);
            }
        }
    }
}

/// Vectors of eight numbers.
trait Vectors: Copy {
    type Eight: Copy;
    fn load(self, numbers: &[f32; 8]) -> Self::Eight;
    fn numbers(self, of: Self::Eight) -> [f32; 8];
    /// Coefficients times their steps.
    fn stored(self, coefficients: &[i16; 8], steps: &[f32; 8]) -> Self::Eight;
    /// A sum with a vector times a number.
    fn add_times(self, sum: Self::Eight, vector: Self::Eight, number: f32) -> Self::Eight;
    /// Cut off to whole numbers, within those of a byte.
    fn bytes(self, of: Self::Eight) -> [u8; 8];
}

/// By whatever the compiler makes of it.
#[derive(Clone, Copy)]
struct Plain;

impl Vectors for Plain {
    type Eight = [f32; 8];

    fn load(self, numbers: &[f32; 8]) -> [f32; 8] {
        *numbers
    }

    fn numbers(self, of: [f32; 8]) -> [f32; 8] {
        of
    }

    fn stored(self, coefficients: &[i16; 8], steps: &[f32; 8]) -> [f32; 8] {
        std::array::from_fn(|lane| f32::from(coefficients[lane]) * steps[lane])
    }

    fn add_times(self, sum: [f32; 8], vector: [f32; 8], number: f32) -> [f32; 8] {
        std::array::from_fn(|lane| sum[lane] + vector[lane] * number)
    }

    fn bytes(self, of: [f32; 8]) -> [u8; 8] {
        of.map(|value| value as u8) // which cuts off and saturates
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::__m256;

    use bytemuck::cast;
    use pulp::x86::V3;

    use super::Vectors;

    #[derive(Clone, Copy)]
    pub(super) struct Eight(pub(super) V3);

    impl Vectors for Eight {
        type Eight = __m256;

        #[inline(always)]
        fn load(self, numbers: &[f32; 8]) -> __m256 {
            cast(*numbers)
        }

        #[inline(always)]
        fn numbers(self, of: __m256) -> [f32; 8] {
            cast(of)
        }

        #[inline(always)]
        fn stored(self, coefficients: &[i16; 8], steps: &[f32; 8]) -> __m256 {
            let whole = self.0.avx2._mm256_cvtepi16_epi32(cast(*coefficients));
            self.0.avx._mm256_mul_ps(self.0.avx._mm256_cvtepi32_ps(whole), cast(*steps))
        }

        #[inline(always)]
        fn add_times(self, sum: __m256, vector: __m256, number: f32) -> __m256 {
            self.0.fma._mm256_fmadd_ps(vector, self.0.avx._mm256_set1_ps(number), sum)
        }

        #[inline(always)]
        fn bytes(self, of: __m256) -> [u8; 8] {
            let whole = self.0.avx._mm256_cvttps_epi32(of);
            let words = self.0.avx2._mm256_packs_epi32(whole, whole);
            let bytes: [u32; 8] = cast(self.0.avx2._mm256_packus_epi16(words, words));
            cast([bytes[0], bytes[4]])
        }
    }
}

/// The cosine of a frequency at a place of `places`, in which a DC of 8 is 1 as in a whole block; 0 beyond them.
fn cosine(place: usize, frequency: usize, places: usize) -> f32 {
    if place >= places || frequency >= places {
        return 0.0;
    }
    let scale = if frequency == 0 { 0.5_f64.sqrt() } else { 1.0 };
    let angle = std::f64::consts::PI * ((2 * place + 1) * frequency) as f64 / (2 * places) as f64;
    (0.5 * scale * angle.cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::super::cosine::inverse_row;
    use super::*;

    /// To within the rounding of integers.
    #[test]
    fn a_block_that_keeps_its_size_is_the_whole_one() {
        let random = &mut fastrand::Rng::with_seed(5);
        let blocks: Vec<Block> = (0..20).map(|_| std::array::from_fn(|_| random.i16(-20..=20))).collect();
        let steps: Quantisation = std::array::from_fn(|_| random.u16(1..=20));
        let (mut whole, mut reduced) = (vec![0; 8 * 160], vec![0; 8 * 160]);
        inverse_row(&blocks, &steps, &mut whole, 160);
        Reduced::new(8, 8).inverse_row(&blocks, &steps, &mut reduced, 160);
        assert!(whole.iter().zip(&reduced).all(|(whole, reduced)| whole.abs_diff(*reduced) <= 1));
    }

    #[test]
    fn one_sample_is_the_mean_of_its_block() {
        let mut block = [0; 64];
        (block[0], block[1], block[8]) = (37, 9, -4);
        for (columns, rows) in [(1, 1), (2, 1), (3, 6), (8, 4)] {
            let mut samples = vec![0; 64];
            Reduced::new(columns, rows).inverse_row(&[block], &[3; 64], &mut samples, 8);
            let sum: f64 = samples.chunks(8).take(rows).flat_map(|row| &row[..columns]).copied().map(f64::from).sum();
            let mean = sum / (columns * rows) as f64;
            assert!((mean - (128.0 + 37.0 * 3.0 / 8.0)).abs() <= 0.5, "{columns}×{rows}: {mean}");
        }
    }
}
