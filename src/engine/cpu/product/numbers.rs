//! What numbers a product multiplies: floats, or bf16, in pairs where the machine multiplies pairs and widened to floats elsewhere, or bytes. What comes of a
//! product are floats in each. Not here: the rounding (`simd/bf16`, `int8`), the product (`multiply`).

use pulp::{Simd, WithSimd};

use crate::engine::Precision;
use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::int8::{self, Bytes};
use crate::engine::cpu::simd::amx::SIDE;
use crate::engine::cpu::simd::bf16::{Pairs, pair, rounded};
use crate::engine::cpu::simd::instructions::Instructions;
use crate::engine::cpu::simd::vector::{load, store};
use crate::program;

/// The numbers of both operands of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers {
    F32,
    /// bf16 widened to floats: the digits of bf16 at the speed of floats.
    Rounded,
    /// bf16, two in the place of a float.
    Pairs(Pairs),
    /// Bytes with steps, four in the place of a float, behind a head.
    Bytes(Bytes),
}

impl Numbers {
    /// Those of a precision that the engine has.
    pub(crate) fn of(instructions: Instructions, precision: Precision) -> Self {
        match precision {
            Precision::F32 => return Self::F32,
            Precision::Int8 => return Self::Bytes(Bytes::of(instructions)),
            Precision::F16 | Precision::Bf16 => (),
        }
        Pairs::of(instructions).map_or(Self::Rounded, Self::Pairs)
    }

    /// Those of both products of an attention: pairs for bf16 and int8 alike, where the machine has them, for bytes would need a step of each head's rows. Floats elsewhere.
    pub(crate) fn of_attention(self, instructions: Instructions) -> Self {
        match self {
            Self::F32 | Self::Rounded => Self::F32,
            Self::Pairs(_) => self,
            Self::Bytes(_) => Pairs::of(instructions).map_or(Self::F32, Self::Pairs),
        }
    }

    /// Those of a layer of this depth. Of a short row neither the head of bytes nor what pads them for AMX would fit in its own place.
    pub(crate) fn of_layer(self, depth: usize) -> Self {
        match self {
            Self::Bytes(_) if depth < program::int8::MIN_DEPTH => Self::F32,
            Self::Bytes(bytes) if depth < 2 * SIDE => Self::Bytes(bytes.without_amx()),
            Self::Pairs(pairs) if depth < 2 * SIDE => Self::Pairs(pairs.without_amx()),
            _ => self,
        }
    }

    /// The floats of each block of a row are a multiple of this, where AMX multiplies.
    pub(crate) fn multiple(self) -> usize {
        let amx = match self {
            Self::F32 | Self::Rounded => None,
            Self::Pairs(pairs) => pairs.amx(),
            Self::Bytes(bytes) => bytes.amx(),
        };
        amx.map_or(1, |_| SIDE)
    }

    /// Floats before the numbers of each block of a row.
    pub(crate) fn head(self) -> usize {
        if let Self::Bytes(bytes) = self { bytes.head() } else { 0 }
    }

    /// Numbers in the place of a float.
    pub(crate) fn per_float(self) -> usize {
        match self {
            Self::F32 | Self::Rounded => 1,
            Self::Pairs(_) => 2,
            Self::Bytes(_) => int8::PER_FLOAT,
        }
    }

    /// Writes numbers as a product reads them, of any kind but bytes, which need a step.
    pub(crate) fn put<'a>(self, numbers: &[f32], into: impl Iterator<Item = &'a mut f32>) {
        match self {
            Self::F32 | Self::Bytes(_) => into.zip(numbers).for_each(|(to, from)| *to = *from),
            Self::Rounded => into.zip(numbers).for_each(|(to, from)| *to = rounded(*from)),
            Self::Pairs(_) => into.zip(numbers.chunks(2)).for_each(|(to, from)| {
                *to = pair(from[0], from.get(1).copied().unwrap_or(0.0));
            }),
        }
    }

    /// Makes each row of a tile what a product reads, in its own place. Pairs fill the first half of a row, bytes a quarter and their heads.
    #[inline(always)]
    pub(crate) fn round<S: Simd>(self, simd: S, tile: &mut Tile<'_>) {
        match self {
            Self::F32 => (),
            Self::Rounded => simd.vectorize(RoundRows { tile }),
            Self::Pairs(pairs) => pairs.vectorize(PairRows { pairs, tile }),
            Self::Bytes(bytes) => bytes.quantize(simd, tile),
        }
    }

    /// The same for all rows of a matrix, as a step of its own.
    pub(crate) fn round_all(self, context: Context<'_>, columns: usize, matrix: &mut [f32]) {
        if matches!(self, Self::F32) {
            return;
        }
        let rows = matrix.len() / columns;
        let tile_rows = rows.div_ceil(context.threads.count()).max(1);
        Grid { rows, columns, tile_rows, tile_columns: columns }.each(context.threads, matrix, |mut tile, _| {
            context.instructions.run(Round { numbers: self, tile: &mut tile });
        });
    }
}

/// Makes rows what a product reads.
struct Round<'a, 'b> {
    numbers: Numbers,
    tile: &'a mut Tile<'b>,
}

impl WithSimd for Round<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.numbers.round(simd, self.tile);
    }
}

struct RoundRows<'a, 'b> {
    tile: &'a mut Tile<'b>,
}

impl WithSimd for RoundRows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for row in 0..self.tile.height() {
            for x in self.tile.row(row) {
                *x = rounded(*x);
            }
        }
    }
}

struct PairRows<'a, 'b> {
    pairs: Pairs,
    tile: &'a mut Tile<'b>,
}

impl WithSimd for PairRows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in 0..self.tile.height() {
            let row = self.tile.row(row);
            let vectors = row.len() / (2 * S::F32_LANES);
            // each pair is written where numbers stood that were read before
            for vector in 0..vectors {
                let first = load(simd, &row[2 * vector * S::F32_LANES..]);
                let second = load(simd, &row[(2 * vector + 1) * S::F32_LANES..]);
                store(simd, &mut row[vector * S::F32_LANES..], self.pairs.narrow::<S>(first, second));
            }
            let floats = row.len().div_ceil(2);
            for index in vectors * S::F32_LANES..floats {
                let second = row.get(2 * index + 1).copied().unwrap_or(0.0);
                row[index] = pair(row[2 * index], second);
            }
            if self.pairs.amx().is_some() {
                // what pads a row is multiplied too, and must not be NaN
                row[floats..floats.next_multiple_of(SIDE)].fill(0.0);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::cpu::parallel::clock::Clock;
    use crate::engine::cpu::parallel::threads::Threads;

    #[test]
    fn rows_in_their_own_place_are_what_a_weight_is_packed_to() {
        for instructions in Instructions::available() {
            let threads = Threads::new(2, 0).unwrap();
            let context = Context { instructions, threads: &threads, clock: Clock(None) };
            for columns in [1, 2, 3, 31, 32, 33, 64, 95, 97] {
                let numbers = Numbers::of(instructions, Precision::Bf16).of_layer(columns);
                let mut random = fastrand::Rng::with_seed(columns as u64);
                let mut matrix: Vec<f32> = (0..3 * columns).map(|_| random.f32() - 0.5).collect();
                let mut expected = matrix.clone();
                for (row, from) in expected.chunks_exact_mut(columns).zip(matrix.chunks_exact(columns)) {
                    numbers.put(from, row.iter_mut());
                }
                numbers.round_all(context, columns, &mut matrix);
                let kept = columns.div_ceil(numbers.per_float());
                for (found, expected) in matrix.chunks_exact(columns).zip(expected.chunks_exact(columns)) {
                    let bits = |row: &[f32]| row[..kept].iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
                    assert_eq!(bits(found), bits(expected), "{instructions}, {columns} columns");
                }
            }
        }
    }
}
