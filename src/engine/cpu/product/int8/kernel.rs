//! The product of rows and a weight of bytes. The sums of a block of depth stay in registers. Written are floats, in steps of their column: the epilogue multiplies them.
//!
//! The same loop as that of floats (`product/multiply`), with four depths in the place of one. Not here: what becomes of the products (`epilogue`).

use std::ops::Range;

use pulp::Simd;

use super::HEAD;
use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::product::epilogue::Epilogue;
use crate::engine::cpu::product::multiply::{Prefetch, RowGroups, STEP};
use crate::engine::cpu::product::packed::{PANEL_VECTORS, PackedMatrix};
use crate::engine::cpu::product::rows::Rows;
use crate::engine::cpu::simd::int8::Quads;
use crate::engine::cpu::simd::vector::{multiply_add, prefetch};

/// The most rows of a kernel. With ten the compiler keeps factors on the stack.
const MAX_ROWS: usize = 9;
/// Floats of a cache line.
const LINE: usize = 16;
/// Floats of the longest vector.
const MAX_LANES: usize = 16;

/// Multiplies the tile's rows by one block of a weight's depth. The first block writes the tile, the others add to it, after the last the epilogue runs.
///
/// As of floats: `rows` and the residual start with the tile's first row. The columns of `rows` are a head and the block's bytes.
pub(super) struct Product<'a, 'b, Q> {
    pub(super) quads: Q,
    pub(super) rows: Rows<'a>,
    pub(super) weight: (PackedMatrix<'a>, usize),
    pub(super) tile: &'a mut Tile<'b>,
    /// With the residual.
    pub(super) after: (Option<&'a Epilogue>, Option<Rows<'a>>),
    /// The panel that is multiplied next, where that is known.
    pub(super) then: &'a [f32],
}

impl<Q: Quads> pulp::WithSimd for Product<'_, '_, Q> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { quads, rows, weight, tile, after, then } = self;
        multiply(simd, quads, rows, weight, tile, after, then);
    }
}

#[inline(always)]
fn multiply<S: Simd, Q: Quads>(
    simd: S,
    quads: Q,
    rows: Rows<'_>,
    (weight, block): (PackedMatrix<'_>, usize),
    tile: &mut Tile<'_>,
    (epilogue, residual): (Option<&Epilogue>, Option<Rows<'_>>),
    then: &[f32],
) {
    let layout = weight.layout;
    let epilogue = epilogue.filter(|_| block + 1 == layout.blocks());
    let floats = layout.floats(layout.depths(block).len());
    let panels = layout.panels_of(tile.column_range());
    let row_groups = RowGroups::of(tile.height(), Q::ROWS);
    let steps = (row_groups[0].count + row_groups[1].count) * (floats / STEP).max(1);
    for panel in panels.clone() {
        let (values, columns) = (weight.panel(block, panel), layout.panel_columns(panel));
        let next = if panel + 1 < panels.end { weight.panel(block, panel + 1) } else { then };
        let mut ahead = Prefetch { next: next.as_ptr(), step: next.len().div_ceil(steps.max(1)) };
        let of_tile = columns.start - tile.column_range().start..columns.end - tile.column_range().start;
        for groups in row_groups.iter().filter(|groups| groups.count > 0) {
            let operands = Operands { rows, floats, panel: values };
            let target = Target { groups: *groups, columns: of_tile.clone(), first: block == 0 };
            if columns.len() > S::F32_LANES {
                panel_kernel::<S, Q, PANEL_VECTORS>(simd, quads, operands, &mut ahead, tile, target);
            } else {
                panel_kernel::<S, Q, 1>(simd, quads, operands, &mut ahead, tile, target);
            }
        }
        if let Some(epilogue) = epilogue {
            let steps = &values[layout.panel_width(panel)..][..columns.len()];
            epilogue.apply(simd, tile, columns, residual, Some(steps));
        }
    }
}

/// What a kernel reads.
#[derive(Clone, Copy)]
struct Operands<'a> {
    /// From the tile's first row on.
    rows: Rows<'a>,
    /// Floats of a row, with its head.
    floats: usize,
    panel: &'a [f32],
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
fn panel_kernel<S: Simd, Q: Quads, const V: usize>(
    simd: S,
    quads: Q,
    operands: Operands<'_>,
    ahead: &mut Prefetch,
    tile: &mut Tile<'_>,
    target: Target,
) {
    if target.columns.len() < V * S::F32_LANES {
        partial_kernel::<S, Q, V>(simd, quads, operands, ahead, tile, target);
    } else {
        whole_kernel::<S, Q, V>(simd, quads, operands, ahead, tile, target);
    }
}

/// Multiplies groups of rows by a panel of whole vectors.
#[inline(always)]
fn whole_kernel<S: Simd, Q: Quads, const V: usize>(
    simd: S,
    quads: Q,
    operands: Operands<'_>,
    ahead: &mut Prefetch,
    tile: &mut Tile<'_>,
    target: Target,
) {
    macro_rules! kernels {
        ($($count:literal)*) => {
            match target.groups.rows {
                0 => (),
                $($count => quads.vectorize(simd, Kernel::<'_, '_, Q, $count, V> { quads, operands, ahead, tile, target }),)*
                _ => unreachable!("groups of at most 9 rows"),
            }
        };
    }
    match Q::ROWS {
        MAX_ROWS => kernels!(1 2 3 4 5 6 7 8 9),
        5 => kernels!(1 2 3 4 5),
        _ => kernels!(1 2 3 4),
    }
}

/// Multiplies groups of rows by a last panel that ends inside a vector: into a tile of whole vectors, of which the columns are copied.
#[inline(never)]
fn partial_kernel<S: Simd, Q: Quads, const V: usize>(
    simd: S,
    quads: Q,
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
        whole_kernel::<S, Q, V>(simd, quads, operands, ahead, &mut whole_tile, target);
        for row in 0..groups.rows {
            let out = &mut tile.row(top + row)[columns.clone()];
            for (out, product) in out.iter_mut().zip(whole_tile.row(row)) {
                *out = if first { *product } else { *out + *product };
            }
        }
    }
}

/// Groups of `R` rows by a panel of `V` vectors.
struct Kernel<'a, 'b, Q, const R: usize, const V: usize> {
    quads: Q,
    operands: Operands<'a>,
    ahead: &'a mut Prefetch,
    tile: &'a mut Tile<'b>,
    target: Target,
}

impl<Q: Quads, const R: usize, const V: usize> pulp::WithSimd for Kernel<'_, '_, Q, R, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { quads, operands: Operands { rows, floats, panel }, ahead, tile, target } = self;
        let (panel, _) = S::as_simd_f32s(panel);
        let (panel, _) = panel.as_chunks::<V>();
        let column_sums = panel[0];
        let depth = floats - HEAD;
        let (steps, last) = panel[HEAD..floats].as_chunks::<STEP>();
        for group in 0..target.groups.count {
            let top = target.groups.first + group * R;
            let rows: [&[f32]; R] = std::array::from_fn(|row| &rows.row(top + row)[..floats]);
            let mut sums = [[simd.splat_f32s(0.0); V]; R];
            let of_steps: [&[[f32; STEP]]; R] =
                std::array::from_fn(|row| &rows[row][HEAD..].as_chunks().0[..steps.len()]);
            for (step, weights) in steps.iter().enumerate() {
                let next = ahead.next.wrapping_add(step * ahead.step);
                prefetch(next);
                prefetch(next.wrapping_add(LINE)); // few rows have few steps
                let xs: [&[f32; STEP]; R] = std::array::from_fn(|row| &of_steps[row][step]);
                for k in 0..STEP {
                    sums = accumulate(simd, quads, sums, weights[k], std::array::from_fn(|row| xs[row][k]));
                }
            }
            ahead.next = ahead.next.wrapping_add(steps.len() * ahead.step);
            for (k, weights) in last.iter().enumerate() {
                let k = HEAD + depth - last.len() + k;
                sums = accumulate(simd, quads, sums, *weights, std::array::from_fn(|row| rows[row][k]));
            }
            // by index, not by iterator: sums whose address is taken would be kept in memory
            let out = tile.rows::<R>(top, target.columns.clone());
            for row in 0..R {
                let (step, offset) = (simd.splat_f32s(rows[row][0]), simd.splat_f32s(rows[row][1]));
                let (vectors, _) = S::as_mut_simd_f32s(out[row]);
                let (vectors, _) = vectors.as_chunks_mut::<V>();
                let vectors = &mut vectors[0];
                for vector in 0..V {
                    let sum = quads.floats::<S>(sums[row][vector]);
                    let product = multiply_add(simd, sum, step, simd.mul_f32s(offset, column_sums[vector]));
                    vectors[vector] = if target.first { product } else { simd.add_f32s(vectors[vector], product) };
                }
            }
        }
    }
}

/// Adds the products of four depths.
#[inline(always)]
fn accumulate<S: Simd, Q: Quads, const R: usize, const V: usize>(
    simd: S,
    quads: Q,
    mut sums: [[S::f32s; V]; R],
    weights: [S::f32s; V],
    xs: [f32; R],
) -> [[S::f32s; V]; R] {
    for row in 0..R {
        let x = simd.splat_f32s(xs[row]);
        for vector in 0..V {
            sums[row][vector] = quads.dot::<S>(x, weights[vector], sums[row][vector]);
        }
    }
    sums
}
