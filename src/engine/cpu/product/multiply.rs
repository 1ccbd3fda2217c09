//! The matrix product: rows by a packed weight into a tile. Most of the engine's time is spent here.
//!
//! A kernel multiplies a few rows by one panel and keeps the sums in registers: 6×2 vectors of 16 registers, 10×2 of 32. Each element
//! is summed in the order of the depth, block by block, whatever rows share its kernel. That is why a batch of n equals n singles bit
//! for bit. Not here: what it multiplies (`factors`, `int8`), what becomes of the products (`epilogue`).

use std::hint::black_box;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::product::epilogue::{Epilogue, InTile};
use crate::engine::cpu::product::factors::{Factors, Floats, MAX_ROWS};
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::packed::{PANEL_VECTORS, PackedMatrix};
use crate::engine::cpu::product::rows::Rows;
use crate::engine::cpu::product::tiled::{self, Groups, PanelOf};
use crate::engine::cpu::simd::amx::SIDE;
use crate::engine::cpu::simd::vector::prefetch;

/// Multiplies the tile's rows by one block of a weight's depth. The first block writes the tile, the others add to it.
///
/// After the last block the epilogue runs on each panel's columns, while they are in the cache. `rows` and `residual` start with the
/// tile's first row. The columns of `rows` are the block's depths, as the weight's numbers; those of `residual` are all columns of the weight.
/// `then` is the panel that will be multiplied next, if that is known; it is prefetched.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    rows: Rows<'_>,
    weight: (PackedMatrix<'_>, usize),
    tile: &mut Tile<'_>,
    epilogue: Option<&Epilogue>,
    residual: Option<Rows<'_>>,
    then: &[f32],
) {
    let numbers = weight.0.numbers;
    let product = Product { rows, weight, tile, epilogue, residual, then };
    match numbers {
        Numbers::F32 | Numbers::Rounded => product.run(simd, Floats),
        Numbers::Pairs(pairs) => product.run(simd, pairs),
        Numbers::Bytes(bytes) => bytes.multiply(simd, product),
    }
}

/// What [`multiply`] is given.
pub(super) struct Product<'a, 'b> {
    rows: Rows<'a>,
    /// With the block of its depth.
    weight: (PackedMatrix<'a>, usize),
    tile: &'a mut Tile<'b>,
    epilogue: Option<&'a Epilogue>,
    residual: Option<Rows<'a>>,
    then: &'a [f32],
}

impl Product<'_, '_> {
    /// Multiplies. It is one function for all callers, which would each have kernels and epilogue anew.
    #[inline(always)]
    pub(super) fn run<S: Simd, F: Factors>(self, simd: S, factors: F) {
        factors.vectorize(simd, Of { factors, product: self });
    }
}

/// A product of certain factors.
struct Of<'a, 'b, F> {
    factors: F,
    product: Product<'a, 'b>,
}

impl<F: Factors> WithSimd for Of<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { factors, product: Product { rows, weight: (weight, block), tile, epilogue, residual, then } } = self;
        let layout = weight.layout;
        let epilogue = epilogue.filter(|_| block + 1 == layout.blocks());
        let floats = layout.floats(layout.depths(block).len());
        let panels = layout.panels_of(tile.column_range());
        let row_groups = RowGroups::of(tile.height(), F::most_rows::<S>());
        let amx = factors.amx();
        let tiles = Groups::of(tile.height());
        let steps = match amx {
            Some(_) => tiles.kernels() * ((floats - layout.head) / SIDE),
            None => (row_groups[0].count + row_groups[1].count) * (floats / STEP).max(1),
        };
        let mut memory = amx.map(|(amx, operands)| (tiled::Memory::new(amx, tiles), operands));
        for panel in panels.clone() {
            let (values, columns) = (weight.panel(block, panel), layout.panel_columns(panel));
            // each step prefetches a little of the next panel
            let next = if panel + 1 < panels.end { weight.panel(block, panel + 1) } else { then };
            let mut ahead = Prefetch { next: next.as_ptr(), step: next.len().div_ceil(steps.max(1)) };
            let of_tile = columns.start - tile.column_range().start..columns.end - tile.column_range().start;
            if let Some((memory, operands)) = &mut memory {
                let epilogue = epilogue.map(|epilogue| (epilogue, residual));
                let is_first = block == 0;
                let of = PanelOf { rows, groups: tiles, values, layout, columns, tile, is_first, epilogue };
                tiled::panel(simd, (factors, *operands), memory, of, &mut ahead);
                continue;
            }
            for groups in row_groups.iter().filter(|groups| groups.count > 0) {
                let operands = Operands { rows, floats, panel: values };
                let target = Target { groups: *groups, columns: of_tile.clone(), first: block == 0 };
                if columns.len() > S::F32_LANES {
                    panel_kernel::<S, F, PANEL_VECTORS>(simd, factors, operands, &mut ahead, tile, target);
                } else {
                    panel_kernel::<S, F, 1>(simd, factors, operands, &mut ahead, tile, target);
                }
            }
            if let Some(epilogue) = epilogue {
                // the second row of a head
                let steps = (F::HEAD > 0).then(|| &values[layout.panel_width(panel)..][..columns.len()]);
                epilogue.apply(simd, tile, (0..tile.height(), columns), residual, steps, InTile);
            }
        }
    }
}

/// Floats of the longest vector.
const MAX_LANES: usize = 16;
/// Floats of a cache line.
const LINE: usize = 16;

/// RowGroups of rows of the same size. A kernel computes one group.
#[derive(Clone, Copy)]
struct RowGroups {
    /// The first group's first row.
    first: usize,
    count: usize,
    /// Rows of a group.
    rows: usize,
}

impl RowGroups {
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

/// Floats of depth that a kernel takes at a time, so that the addresses of its rows are computed once for all of them.
const STEP: usize = 4;

/// What a kernel reads.
#[derive(Clone, Copy)]
struct Operands<'a> {
    /// From the tile's first row on.
    rows: Rows<'a>,
    /// Floats of a row, with its head.
    floats: usize,
    panel: &'a [f32],
}

/// What is prefetched into the first cache. Into the second alone, products from memory were a sixth slower on a Zen 4.
pub(super) struct Prefetch {
    pub(super) next: *const f32,
    /// Elements per step.
    step: usize,
}

impl Prefetch {
    /// Whole cache lines of a step.
    pub(super) fn lines(&self) -> usize {
        self.step.div_ceil(LINE)
    }
}

/// Where kernels write in a tile.
struct Target {
    groups: RowGroups,
    /// Counted from the tile's left.
    columns: Range<usize>,
    /// Whether the products are written; otherwise they are added.
    first: bool,
}

/// Multiplies groups of rows by a panel of at most `V` vectors.
#[inline(always)]
fn panel_kernel<S: Simd, F: Factors, const V: usize>(
    simd: S,
    factors: F,
    operands: Operands<'_>,
    ahead: &mut Prefetch,
    tile: &mut Tile<'_>,
    target: Target,
) {
    if target.columns.len() < V * S::F32_LANES {
        partial_kernel::<S, F, V>(simd, factors, operands, ahead, tile, target);
    } else {
        whole_kernel::<S, F, V>(simd, factors, operands, ahead, tile, target);
    }
}

/// Multiplies groups of rows by a panel of whole vectors.
#[inline(always)]
fn whole_kernel<S: Simd, F: Factors, const V: usize>(
    simd: S,
    factors: F,
    operands: Operands<'_>,
    ahead: &mut Prefetch,
    tile: &mut Tile<'_>,
    target: Target,
) {
    macro_rules! kernels {
        ($($count:literal)*) => {
            match target.groups.rows {
                0 => (),
                $($count => factors.vectorize(simd, Kernel::<'_, '_, F, $count, V> { factors, operands, ahead, tile, target }),)*
                _ => unreachable!("groups of at most 10 rows"),
            }
        };
    }
    // kernels that are never run are not compiled
    match F::most_rows::<S>() {
        ..=4 => kernels!(1 2 3 4),
        5..=6 => kernels!(1 2 3 4 5 6),
        _ => kernels!(1 2 3 4 5 6 7 8 9 10),
    }
}

/// Multiplies groups of rows by a last panel that ends inside a vector: into a tile of whole vectors, of which the columns are copied.
#[inline(never)]
fn partial_kernel<S: Simd, F: Factors, const V: usize>(
    simd: S,
    factors: F,
    operands: Operands<'_>,
    ahead: &mut Prefetch,
    tile: &mut Tile<'_>,
    Target { groups, columns, first }: Target,
) {
    let width = V * S::F32_LANES;
    for group in 0..groups.count {
        let top = groups.first + group * groups.rows;
        let mut values = [0.0; MAX_ROWS * PANEL_VECTORS * MAX_LANES];
        let mut whole_tile = Tile::over(&mut values, 0..groups.rows, 0..width, width);
        let operands = Operands { rows: operands.rows.from(top), ..operands };
        let group = RowGroups { first: 0, count: 1, rows: groups.rows };
        let target = Target { groups: group, columns: 0..width, first: true };
        whole_kernel::<S, F, V>(simd, factors, operands, ahead, &mut whole_tile, target);
        for row in 0..groups.rows {
            let out = &mut tile.row(top + row)[columns.clone()];
            for (out, product) in out.iter_mut().zip(whole_tile.row(row)) {
                *out = if first { *product } else { *out + *product };
            }
        }
    }
}

/// Groups of `R` rows by a panel of `V` vectors.
struct Kernel<'a, 'b, F, const R: usize, const V: usize> {
    factors: F,
    operands: Operands<'a>,
    ahead: &'a mut Prefetch,
    tile: &'a mut Tile<'b>,
    target: Target,
}

impl<F: Factors, const R: usize, const V: usize> WithSimd for Kernel<'_, '_, F, R, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { factors, operands: Operands { rows, floats, panel }, ahead, tile, target } = self;
        let (panel, _) = S::as_simd_f32s(panel);
        let (panel, _) = panel.as_chunks::<V>();
        let of_columns = if F::HEAD > 0 { panel[0] } else { [simd.splat_f32s(0.0); V] };
        let (steps, last) = panel[F::HEAD..floats].as_chunks::<STEP>();
        for group in 0..target.groups.count {
            let top = target.groups.first + group * R;
            // A loop, not closures: those were not inlined, and the rows went through memory, for which each group waited. But a compiler that sees how
            // far apart rows lie loads the factors of several depths ahead and keeps them on the stack.
            let mut of_rows: [&[f32]; R] = [&[]; R];
            let mut of_steps: [&[[f32; STEP]]; R] = [&[]; R];
            for row in 0..R {
                of_rows[row] = &black_box(rows.row(top + row))[..floats];
                of_steps[row] = &of_rows[row][F::HEAD..].as_chunks().0[..steps.len()];
            }
            let rows = of_rows;
            let mut sums = [[simd.splat_f32s(0.0); V]; R];
            for (step, weights) in steps.iter().enumerate() {
                let next = ahead.next.wrapping_add(step * ahead.step);
                for line in 0..F::LINES {
                    prefetch(next.wrapping_add(line * LINE));
                }
                let xs: [&[f32; STEP]; R] = std::array::from_fn(|row| &of_steps[row][step]);
                for k in 0..STEP {
                    sums = accumulate(simd, factors, sums, weights[k], std::array::from_fn(|row| xs[row][k]));
                }
            }
            ahead.next = ahead.next.wrapping_add(steps.len() * ahead.step);
            for (k, weights) in last.iter().enumerate() {
                let k = floats - last.len() + k;
                sums = accumulate(simd, factors, sums, *weights, std::array::from_fn(|row| rows[row][k]));
            }
            // By index, not by iterator: sums whose address is taken would be kept in memory. In two loops: one of both is too long to be unrolled, and
            // would take them from memory.
            for row in 0..R {
                for vector in 0..V {
                    sums[row][vector] = factors.product(simd, sums[row][vector], rows[row], of_columns[vector]);
                }
            }
            let out = tile.rows::<R>(top, target.columns.clone());
            for row in 0..R {
                let (vectors, _) = S::as_mut_simd_f32s(out[row]);
                let (vectors, _) = vectors.as_chunks_mut::<V>();
                let vectors = &mut vectors[0];
                for vector in 0..V {
                    let product = sums[row][vector];
                    vectors[vector] = if target.first { product } else { simd.add_f32s(vectors[vector], product) };
                }
            }
        }
    }
}

/// Adds the products of one float of depth.
#[inline(always)]
fn accumulate<S: Simd, F: Factors, const R: usize, const V: usize>(
    simd: S,
    factors: F,
    mut sums: [[S::f32s; V]; R],
    weights: [S::f32s; V],
    xs: [f32; R],
) -> [[S::f32s; V]; R] {
    for row in 0..R {
        let x = simd.splat_f32s(xs[row]);
        for vector in 0..V {
            sums[row][vector] = factors.multiply_add(simd, x, weights[vector], sums[row][vector]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_nearly_equal_and_cover_all_rows() {
        for most in [6, MAX_ROWS] {
            for rows in 1..200 {
                let [larger, smaller] = RowGroups::of(rows, most);
                assert_eq!((larger.first, smaller.first), (0, larger.count * larger.rows));
                assert_eq!(smaller.first + smaller.count * smaller.rows, rows);
                assert!(smaller.rows + 1 == larger.rows && smaller.count > 0 && smaller.rows > 0);
                assert!(larger.rows <= most || larger.count == 0 && smaller.rows <= most);
            }
        }
    }
}
