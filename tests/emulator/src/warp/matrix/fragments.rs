//! How the lanes of a warp hold matrices, from the PTX ISA's figures of `mma.m16n8kX` and `mma.m8n8kX`. With groupID g = lane / 4 and
//! threadID_in_group t = lane % 4, all of them are one rule: a register of 32 lanes is a tile of 8 rows of A (or 8 columns of B), lane after lane,
//! of 4 words each; A's registers go down both halves of its rows first, then along k; B's along k. Not here: arithmetic.

use crate::exec::registers::LANES;

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

/// A, `[rows][k]`, of its registers.
#[inline(always)]
pub(super) fn rows<T: Packed, const M: usize, const K: usize>(
    registers: impl Iterator<Item = [T::Word; LANES]>,
) -> [[T::Value; K]; M] {
    let mut matrix = [[T::Value::default(); K]; M];
    let halves = M / 8;
    for (register, words) in registers.enumerate() {
        let (down, along) = (register % halves * 8, register / halves * 4 * T::PER);
        for (row, words) in words.as_chunks::<4>().0.iter().enumerate() {
            for (k, element) in matrix[down + row][along..along + 4 * T::PER].iter_mut().enumerate() {
                *element = T::unpack(words[k / T::PER], k % T::PER);
            }
        }
    }
    matrix
}

/// B, `[k][columns]`, of its registers.
#[inline(always)]
pub(super) fn columns<T: Packed, const K: usize>(
    registers: impl Iterator<Item = [T::Word; LANES]>,
) -> [[T::Value; COLUMNS]; K] {
    let mut matrix = [[T::Value::default(); COLUMNS]; K];
    for (register, words) in registers.enumerate() {
        let along = register * 4 * T::PER;
        for (k, row) in matrix[along..along + 4 * T::PER].iter_mut().enumerate() {
            *row = std::array::from_fn(|column| T::unpack(words[column * 4 + k / T::PER], k % T::PER));
        }
    }
    matrix
}

/// C or D of 32 or 64 bits an element, `[rows][columns]`: a lane holds two neighbours of a row, in a register each.
#[inline(always)]
pub(super) fn accumulators<T: Copy + Default, const M: usize>(
    registers: impl Iterator<Item = [T; LANES]>,
) -> [[T; COLUMNS]; M] {
    let mut matrix = [[T::default(); COLUMNS]; M];
    for (register, values) in registers.enumerate() {
        for (lane, value) in values.into_iter().enumerate() {
            matrix[register / 2 * 8 + lane / 4][lane % 4 * 2 + register % 2] = value;
        }
    }
    matrix
}

/// The register of this number of such a D.
#[inline(always)]
pub(super) fn result<T: Copy, const M: usize>(matrix: &[[T; COLUMNS]; M], register: usize) -> [T; LANES] {
    std::array::from_fn(|lane| matrix[register / 2 * 8 + lane / 4][lane % 4 * 2 + register % 2])
}
