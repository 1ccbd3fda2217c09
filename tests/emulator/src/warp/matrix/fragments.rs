//! How the lanes of a warp hold matrices, from the PTX ISA's figures of `mma.m16n8kX` and `mma.m8n8kX`. With groupID g = lane / 4 and
//! threadID_in_group t = lane % 4, all of them are one rule: a register of 32 lanes is a tile of 8 rows of A (or 8 columns of B), lane after lane,
//! of 4 words each; A's registers go down both halves of its rows first, then along k; B's along k. Not here: arithmetic.

use crate::exec::registers::{LANES, Lane, Registers, Slot};

/// Columns of every product.
pub(super) const COLUMNS: usize = 8;

/// A type of elements of A or B, `PER` to a register of a lane.
pub(super) trait Packed {
    /// What a register of a lane is.
    type Word: Copy;
    /// What the elements are computed as.
    type Value: Copy + Default;
    /// Elements of a register.
    const PER: usize;
    /// One of them, the lowest bits first.
    fn unpack(word: Self::Word, part: usize) -> Self::Value;
}

/// The registers of a matrix, of which it has at most N.
#[inline(always)]
pub(super) fn read<T: Lane, const N: usize>(registers: &Registers, slots: &[Slot]) -> [[T; LANES]; N] {
    let mut values = [[T::default(); LANES]; N];
    for (values, slot) in values.iter_mut().zip(slots) {
        *values = registers.read(*slot);
    }
    values
}

/// A, `[rows][k]`.
#[inline(always)]
pub(super) fn rows<T: Packed, const M: usize, const K: usize>(registers: &[[T::Word; LANES]]) -> [[T::Value; K]; M] {
    let mut matrix = [[T::Value::default(); K]; M];
    for along in 0..K / 4 / T::PER {
        for row in 0..M {
            let words = &registers[along * (M / 8) + row / 8];
            for k in 0..4 * T::PER {
                matrix[row][along * 4 * T::PER + k] = T::unpack(words[row % 8 * 4 + k / T::PER], k % T::PER);
            }
        }
    }
    matrix
}

/// B, `[k][columns]`.
#[inline(always)]
pub(super) fn columns<T: Packed, const K: usize>(registers: &[[T::Word; LANES]]) -> [[T::Value; COLUMNS]; K] {
    let mut matrix = [[T::Value::default(); COLUMNS]; K];
    for k in 0..K {
        let words = &registers[k / 4 / T::PER];
        for column in 0..COLUMNS {
            matrix[k][column] = T::unpack(words[column * 4 + k / T::PER % 4], k % T::PER);
        }
    }
    matrix
}

/// C or D of 32 or 64 bits an element, `[rows][columns]`: a lane holds two neighbours of a row, in a register each.
#[inline(always)]
pub(super) fn accumulators<T: Copy + Default, const M: usize>(registers: &[[T; LANES]]) -> [[T; COLUMNS]; M] {
    let mut matrix = [[T::default(); COLUMNS]; M];
    for row in 0..M {
        for column in 0..COLUMNS {
            matrix[row][column] = registers[row / 8 * 2 + column % 2][row % 8 * 4 + column / 2];
        }
    }
    matrix
}

/// The register of this number of such a D.
#[inline(always)]
pub(super) fn result<T: Copy + Default, const M: usize>(matrix: &[[T; COLUMNS]; M], register: usize) -> [T; LANES] {
    let mut values = [T::default(); LANES];
    for (lane, value) in values.iter_mut().enumerate() {
        *value = matrix[register / 2 * 8 + lane / 4][lane % 4 * 2 + register % 2];
    }
    values
}
