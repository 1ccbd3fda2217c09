//! The matrix product: rows by a packed weight into a tile. Here most of the engine's time is spent.
//!
//! A kernel multiplies a few rows by one panel and keeps the sums in registers: 6×2 vectors where there are 16 of them, 12×2
//! where there are 32. Each element is summed in the order of the depth, block by block, whatever rows share its kernel: that
//! makes a batch of n equal n singles bit for bit. Not here: what becomes of the sums (`epilogue`).

use std::ops::Range;

use pulp::Simd;

use super::epilogue::Epilogue;
use super::matrix::{Matrix, PANEL_VECTORS};
use super::tile::Tile;
use super::vector::{multiply_add, prefetch};

/// Rows of a matrix in memory, each so many elements after the one before.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows that start at multiples of `stride`.
    pub(super) fn new(values: &'a [f32], stride: usize) -> Self {
        Self { values, stride }
    }

    /// A row and what follows it.
    #[inline(always)]
    pub(super) fn row(self, row: usize) -> &'a [f32] {
        &self.values[row * self.stride..]
    }

    /// The same rows without their first columns.
    pub(super) fn skip(self, columns: usize) -> Self {
        Self { values: &self.values[columns..], stride: self.stride }
    }

    /// The rows from one on.
    pub(super) fn from(self, row: usize) -> Self {
        Self { values: self.row(row), stride: self.stride }
    }
}

/// Multiplies the tile's rows by a block of a weight, and writes or, after the first block, adds the product to the tile.
/// After the last block each panel's columns are finished while they are in the cache. `rows` and `residual` start with the
/// tile's first row, `rows` with the block's depths, `residual` with all columns of the weight.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    rows: Rows<'_>,
    (weight, block): (&Matrix, usize),
    tile: &mut Tile<'_>,
    epilogue: &Epilogue,
    residual: Option<Rows<'_>>,
) {
    let last = block + 1 == weight.blocks();
    let depth = weight.depths(block).len();
    let panels = weight.panels_of(tile.columns.clone());
    let groups = Groups::new(tile.rows.len(), kernel_rows::<S>());
    for panel in panels.clone() {
        let (values, columns) = (weight.values(block, panel), weight.panel_columns(panel));
        // the panel that comes next is asked for a little with each group of rows
        let next = if panel + 1 < panels.end { weight.values(block, panel + 1) } else { values };
        let share = next.len() / groups.count;
        let ahead_step = share / (depth / STEP).max(1);
        let wide = columns.len() > S::F32_LANES;
        for (group, (row, count)) in groups.each().enumerate() {
            let ahead = next.as_ptr().wrapping_add(group * share);
            let operands = Operands { rows: rows.from(row), depth, panel: values, ahead, ahead_step };
            let place = Place { row, columns: columns.start - tile.columns.start..columns.end - tile.columns.start };
            if wide {
                rows_kernel::<S, PANEL_VECTORS>(simd, count, operands, tile, place, block == 0);
            } else {
                rows_kernel::<S, 1>(simd, count, operands, tile, place, block == 0);
            }
        }
        if last {
            epilogue.apply(simd, tile, columns, residual);
        }
    }
}

/// Rows of the largest kernel.
const MOST_ROWS: usize = 12;
/// Numbers of the longest vector.
const MOST_LANES: usize = 16;

/// Rows that a kernel takes at most.
const fn kernel_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { MOST_ROWS } else { 6 }
}

/// Rows in groups that are nearly equal: a last one of a single row would cost as much as one of four.
#[derive(Clone, Copy)]
struct Groups {
    count: usize,
    rows: usize,
}

impl Groups {
    fn new(rows: usize, most: usize) -> Self {
        Self { count: rows.div_ceil(most).max(1), rows }
    }

    /// First row and number of rows of each.
    #[inline(always)]
    fn each(self) -> impl Iterator<Item = (usize, usize)> {
        let (small, larger) = (self.rows / self.count, self.rows % self.count);
        (0..self.count).map(move |group| (group * small + group.min(larger), small + usize::from(group < larger)))
    }
}

/// Depths that a kernel takes at a time, so that the rows' addresses are reckoned once for all of them.
const STEP: usize = 4;

/// What a kernel reads.
#[derive(Clone, Copy)]
struct Operands<'a> {
    rows: Rows<'a>,
    depth: usize,
    panel: &'a [f32],
    /// Of the next panel, which is to be in the L2 cache when it is needed: where this kernel's share begins, ...
    ahead: *const f32,
    /// ... and how much of it each step asks for.
    ahead_step: usize,
}

/// Where a kernel writes, within a tile.
struct Place {
    row: usize,
    columns: Range<usize>,
}

/// The kernel for a number of rows.
#[inline(always)]
fn rows_kernel<S: Simd, const V: usize>(
    simd: S,
    rows: usize,
    operands: Operands<'_>,
    tile: &mut Tile<'_>,
    place: Place,
    first: bool,
) {
    if place.columns.len() < V * S::F32_LANES {
        ragged::<S, V>(simd, rows, operands, tile, place, first);
    } else {
        whole_kernel::<S, V>(simd, rows, operands, tile, place, first);
    }
}

/// The kernel for a number of rows and a panel of whole vectors.
#[inline(always)]
fn whole_kernel<S: Simd, const V: usize>(
    simd: S,
    rows: usize,
    operands: Operands<'_>,
    tile: &mut Tile<'_>,
    place: Place,
    first: bool,
) {
    macro_rules! kernels {
        ($($count:literal)*) => {
            match rows {
                $($count => simd.vectorize(Kernel::<'_, '_, $count, V> { operands, tile, place, first }),)*
                _ => unreachable!("groups of at most 12 rows"),
            }
        };
    }
    if kernel_rows::<S>() == MOST_ROWS {
        kernels!(1 2 3 4 5 6 7 8 9 10 11 12);
    } else {
        kernels!(1 2 3 4 5 6);
    }
}

/// The last panel of a width that is no multiple of a vector's: into a tile of its own, then as much as there is.
#[inline(never)]
fn ragged<S: Simd, const V: usize>(
    simd: S,
    rows: usize,
    operands: Operands<'_>,
    tile: &mut Tile<'_>,
    place: Place,
    first: bool,
) {
    let width = V * S::F32_LANES;
    let mut whole = [0.0; MOST_ROWS * PANEL_VECTORS * MOST_LANES];
    let mut spare = Tile::over(&mut whole, 0..rows, 0..width, width);
    whole_kernel::<S, V>(simd, rows, operands, &mut spare, Place { row: 0, columns: 0..width }, true);
    for row in 0..rows {
        let out = &mut tile.row(place.row + row)[place.columns.clone()];
        for (out, sum) in out.iter_mut().zip(spare.row(row)) {
            *out = if first { *sum } else { *out + *sum };
        }
    }
}

/// `R` rows by a panel of `V` vectors.
struct Kernel<'a, 'b, const R: usize, const V: usize> {
    operands: Operands<'a>,
    tile: &'a mut Tile<'b>,
    place: Place,
    first: bool,
}

impl<const R: usize, const V: usize> pulp::WithSimd for Kernel<'_, '_, R, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { operands: Operands { rows, depth, panel, ahead, ahead_step }, tile, place, first } = self;
        let rows: [&[f32]; R] = std::array::from_fn(|row| &rows.row(row)[..depth]);
        let (panel, _) = S::as_simd_f32s(panel);
        let (panel, _) = panel.as_chunks::<V>();
        let (steps, last) = panel[..depth].as_chunks::<STEP>();
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let of_steps: [&[[f32; STEP]]; R] = std::array::from_fn(|row| &rows[row].as_chunks().0[..steps.len()]);
        for (step, weights) in steps.iter().enumerate() {
            prefetch(ahead.wrapping_add(step * ahead_step));
            let xs: [&[f32; STEP]; R] = std::array::from_fn(|row| &of_steps[row][step]);
            for k in 0..STEP {
                sums = accumulate(simd, sums, weights[k], std::array::from_fn(|row| xs[row][k]));
            }
        }
        for (k, weights) in last.iter().enumerate() {
            let k = depth - last.len() + k;
            sums = accumulate(simd, sums, *weights, std::array::from_fn(|row| rows[row][k]));
        }
        // by index, never by iterator: sums that are addressed would be kept in memory
        let out = tile.rows::<R>(place.row, place.columns);
        for row in 0..R {
            let (vectors, _) = S::as_mut_simd_f32s(out[row]);
            let (vectors, _) = vectors.as_chunks_mut::<V>();
            let vectors = &mut vectors[0];
            for vector in 0..V {
                vectors[vector] =
                    if first { sums[row][vector] } else { simd.add_f32s(vectors[vector], sums[row][vector]) };
            }
        }
    }
}

/// Adds the products of one depth.
#[inline(always)]
fn accumulate<S: Simd, const R: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; R],
    weights: [S::f32s; V],
    xs: [f32; R],
) -> [[S::f32s; V]; R] {
    for row in 0..R {
        let x = simd.splat_f32s(xs[row]);
        for vector in 0..V {
            sums[row][vector] = multiply_add(simd, x, weights[vector], sums[row][vector]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_nearly_equal_and_cover_all_rows() {
        for most in [6, 12] {
            for rows in 1..200 {
                let groups: Vec<_> = Groups::new(rows, most).each().collect();
                let mut next = 0;
                for (first, count) in &groups {
                    assert_eq!(*first, next);
                    next += count;
                }
                assert_eq!(next, rows);
                let sizes = groups.iter().map(|group| group.1);
                assert!(sizes.clone().max() <= Some(most) && sizes.clone().max() <= sizes.min().map(|min| min + 1));
            }
        }
    }
}
