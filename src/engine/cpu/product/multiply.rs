//! The matrix product: rows by a packed weight into a tile. Here most of the engine's time is spent.
//!
//! A kernel multiplies a few rows by one panel and keeps the sums in registers: 6×2 vectors where there are 16 of them, 12×2
//! where there are 32. Each element is summed in the order of the depth, block by block, whatever rows share its kernel: that
//! makes a batch of n equal n singles bit for bit. Not here: what becomes of the sums (`epilogue`).

use std::ops::Range;

use pulp::Simd;

use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::product::epilogue::Epilogue;
use crate::engine::cpu::product::packed::{PANEL_VECTORS, Panels};
use crate::engine::cpu::product::rows::Rows;
use crate::engine::cpu::simd::vector::{multiply_add, prefetch};

/// Multiplies the tile's rows by a block of a weight, and writes or, after the first block, adds the product to the tile.
/// After the last block each panel's columns are finished while they are in the cache. `rows` and `residual` start with the
/// tile's first row, `rows` with the block's depths, `residual` with all columns of the weight.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    rows: Rows<'_>,
    (weight, block): (Panels<'_>, usize),
    tile: &mut Tile<'_>,
    epilogue: Option<&Epilogue>,
    residual: Option<Rows<'_>>,
) {
    let layout = weight.layout;
    let epilogue = epilogue.filter(|_| block + 1 == layout.blocks());
    let depth = layout.depths(block).len();
    let panels = layout.panels_of(tile.columns());
    let runs = Groups::of(tile.height(), kernel_rows::<S>());
    let steps = (runs[0].count + runs[1].count) * (depth / STEP).max(1);
    for panel in panels.clone() {
        let (values, columns) = (weight.panel(block, panel), layout.panel_columns(panel));
        // the panel that comes next is asked for a little with each step
        let next = if panel + 1 < panels.end { weight.panel(block, panel + 1) } else { values };
        let mut ahead = Ahead { next: next.as_ptr(), step: next.len().div_ceil(steps.max(1)) };
        let inside = columns.start - tile.columns().start..columns.end - tile.columns().start;
        for groups in runs.iter().filter(|groups| groups.count > 0) {
            let operands = Operands { rows, depth, panel: values };
            let place = Place { groups: *groups, columns: inside.clone(), first: block == 0 };
            if columns.len() > S::F32_LANES {
                panel_kernel::<S, PANEL_VECTORS>(simd, operands, &mut ahead, tile, place);
            } else {
                panel_kernel::<S, 1>(simd, operands, &mut ahead, tile, place);
            }
        }
        if let Some(epilogue) = epilogue {
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

/// Rows in groups of as many, one kernel each.
#[derive(Clone, Copy)]
struct Groups {
    /// The first group's first row.
    first: usize,
    count: usize,
    /// Rows of a group.
    rows: usize,
}

impl Groups {
    /// Cuts rows into groups that are nearly equal: a last one of a single row would cost as much as one of four.
    fn of(rows: usize, most: usize) -> [Self; 2] {
        let count = rows.div_ceil(most).max(1);
        let (small, larger) = (rows / count, rows % count);
        [
            Self { first: 0, count: larger, rows: small + 1 },
            Self { first: larger * (small + 1), count: count - larger, rows: small },
        ]
    }
}

/// Depths that a kernel takes at a time, so that the rows' addresses are reckoned once for all of them.
const STEP: usize = 4;

/// What kernels read.
#[derive(Clone, Copy)]
struct Operands<'a> {
    /// From the tile's first on.
    rows: Rows<'a>,
    depth: usize,
    panel: &'a [f32],
}

/// What is asked for ahead of its use, to be in the L2 cache by then.
struct Ahead {
    next: *const f32,
    /// Elements that each step asks for.
    step: usize,
}

/// Where kernels write, within a tile, and whether theirs are the first sums there.
struct Place {
    groups: Groups,
    columns: Range<usize>,
    first: bool,
}

/// Multiplies groups of rows by a panel of at most `V` vectors.
#[inline(always)]
fn panel_kernel<S: Simd, const V: usize>(
    simd: S,
    operands: Operands<'_>,
    ahead: &mut Ahead,
    tile: &mut Tile<'_>,
    place: Place,
) {
    if place.columns.len() < V * S::F32_LANES {
        ragged::<S, V>(simd, operands, ahead, tile, place);
    } else {
        whole_kernel::<S, V>(simd, operands, ahead, tile, place);
    }
}

/// Multiplies groups of rows by a panel of whole vectors.
#[inline(always)]
fn whole_kernel<S: Simd, const V: usize>(
    simd: S,
    operands: Operands<'_>,
    ahead: &mut Ahead,
    tile: &mut Tile<'_>,
    place: Place,
) {
    macro_rules! kernels {
        ($($count:literal)*) => {
            match place.groups.rows {
                0 => (),
                $($count => simd.vectorize(Kernel::<'_, '_, $count, V> { operands, ahead, tile, place }),)*
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

/// The last panel of a width that is no multiple of a vector's: group by group into a tile of its own, then as much as there is.
#[inline(never)]
fn ragged<S: Simd, const V: usize>(
    simd: S,
    operands: Operands<'_>,
    ahead: &mut Ahead,
    tile: &mut Tile<'_>,
    Place { groups, columns, first }: Place,
) {
    let width = V * S::F32_LANES;
    for group in 0..groups.count {
        let top = groups.first + group * groups.rows;
        let mut whole = [0.0; MOST_ROWS * PANEL_VECTORS * MOST_LANES];
        let mut spare = Tile::over(&mut whole, 0..groups.rows, 0..width, width);
        let operands = Operands { rows: operands.rows.from(top), ..operands };
        let alone = Groups { first: 0, count: 1, rows: groups.rows };
        let place = Place { groups: alone, columns: 0..width, first: true };
        whole_kernel::<S, V>(simd, operands, ahead, &mut spare, place);
        for row in 0..groups.rows {
            let out = &mut tile.row(top + row)[columns.clone()];
            for (out, sum) in out.iter_mut().zip(spare.row(row)) {
                *out = if first { *sum } else { *out + *sum };
            }
        }
    }
}

/// Groups of `R` rows by a panel of `V` vectors.
struct Kernel<'a, 'b, const R: usize, const V: usize> {
    operands: Operands<'a>,
    ahead: &'a mut Ahead,
    tile: &'a mut Tile<'b>,
    place: Place,
}

impl<const R: usize, const V: usize> pulp::WithSimd for Kernel<'_, '_, R, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { operands: Operands { rows, depth, panel }, ahead, tile, place } = self;
        let (panel, _) = S::as_simd_f32s(panel);
        let (panel, _) = panel.as_chunks::<V>();
        let (steps, last) = panel[..depth].as_chunks::<STEP>();
        for group in 0..place.groups.count {
            let top = place.groups.first + group * R;
            let rows: [&[f32]; R] = std::array::from_fn(|row| &rows.row(top + row)[..depth]);
            let mut sums = [[simd.splat_f32s(0.0); V]; R];
            let of_steps: [&[[f32; STEP]]; R] = std::array::from_fn(|row| &rows[row].as_chunks().0[..steps.len()]);
            for (step, weights) in steps.iter().enumerate() {
                prefetch(ahead.next.wrapping_add(step * ahead.step));
                let xs: [&[f32; STEP]; R] = std::array::from_fn(|row| &of_steps[row][step]);
                for k in 0..STEP {
                    sums = accumulate(simd, sums, weights[k], std::array::from_fn(|row| xs[row][k]));
                }
            }
            ahead.next = ahead.next.wrapping_add(steps.len() * ahead.step);
            for (k, weights) in last.iter().enumerate() {
                let k = depth - last.len() + k;
                sums = accumulate(simd, sums, *weights, std::array::from_fn(|row| rows[row][k]));
            }
            // by index, never by iterator: sums that are addressed would be kept in memory
            let out = tile.rows::<R>(top, place.columns.clone());
            for row in 0..R {
                let (vectors, _) = S::as_mut_simd_f32s(out[row]);
                let (vectors, _) = vectors.as_chunks_mut::<V>();
                let vectors = &mut vectors[0];
                for vector in 0..V {
                    vectors[vector] =
                        if place.first { sums[row][vector] } else { simd.add_f32s(vectors[vector], sums[row][vector]) };
                }
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
                let [larger, smaller] = Groups::of(rows, most);
                assert_eq!((larger.first, smaller.first), (0, larger.count * larger.rows));
                assert_eq!(smaller.first + smaller.count * smaller.rows, rows);
                assert!(smaller.rows + 1 == larger.rows && smaller.count > 0 && smaller.rows > 0);
                assert!(larger.rows <= most || larger.count == 0 && smaller.rows <= most);
            }
        }
    }
}
