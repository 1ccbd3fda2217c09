//! What becomes of a product's sums: `act(sum + bias) · scale + residual`, written over the sums while they are in the cache. Sums of bytes are in steps of their column: `sum · step + bias`.
//!
//! Not here: the sums (`multiply`).

use std::ops::Range;

use pulp::Simd;

use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::product::packed::PANEL_VECTORS;
use crate::engine::cpu::product::rows::Rows;
use crate::engine::cpu::simd::gelu::gelu;
use crate::engine::cpu::simd::vector::{load, multiply_add, store};
use crate::program::Activation;

/// Where the sums are. Not a closure, which might not be inlined and would then be compiled for other instructions.
pub(super) trait SumsOf<S: Simd>: Copy {
    /// A vector of sums, of a row of the tile and a vector of the panel. `tile` is what the tile has there.
    fn get(self, simd: S, tile: S::f32s, row: usize, vector: usize) -> S::f32s;
}

/// In the tile.
#[derive(Clone, Copy)]
pub(super) struct InTile;

impl<S: Simd> SumsOf<S> for InTile {
    #[inline(always)]
    fn get(self, _simd: S, tile: S::f32s, _row: usize, _vector: usize) -> S::f32s {
        tile
    }
}

/// A linear layer without its product.
pub(crate) struct Epilogue {
    /// `[out]`
    pub(crate) bias: Vec<f32>,
    /// Of the sum with its bias.
    pub(crate) activation: Option<Activation>,
    /// `[out]`
    pub(crate) scale: Option<Vec<f32>>,
}

impl Epilogue {
    /// Runs on rows of a tile and the columns of one panel. `columns` are counted in the matrix; `residual` has the rows of the tile and the
    /// columns of the matrix, `steps` the columns of the panel.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(
        &self,
        simd: S,
        tile: &mut Tile<'_>,
        (rows, columns): (Range<usize>, Range<usize>),
        residual: Option<Rows<'_>>,
        steps: Option<&[f32]>,
        sums: impl SumsOf<S>,
    ) {
        let of_tile = columns.start - tile.column_range().start..columns.end - tile.column_range().start;
        let residual = residual.map(|rows| rows.skip(columns.start));
        let scale = self.scale.as_ref().map(|scale| &scale[columns.clone()]);
        let panel = Panel { bias: &self.bias[columns], steps, scale, residual, rows, columns: of_tile };
        let whole = panel.columns.len() == PANEL_VECTORS * S::F32_LANES;
        match (self.activation, whole) {
            (Some(Activation::Gelu), true) => panel.whole::<S, true>(simd, tile, sums),
            (Some(Activation::Gelu), false) => panel.partial::<S, true>(simd, tile, sums),
            (None, true) => panel.whole::<S, false>(simd, tile, sums),
            (None, false) => panel.partial::<S, false>(simd, tile, sums),
        }
    }
}

/// Bias, steps and scale of a panel of whole vectors.
type OfColumns<'a, S> = (
    &'a [<S as Simd>::f32s; PANEL_VECTORS],
    &'a Option<[<S as Simd>::f32s; PANEL_VECTORS]>,
    &'a Option<[<S as Simd>::f32s; PANEL_VECTORS]>,
);

/// The columns of one panel, and what is added to and multiplied with them.
struct Panel<'a> {
    bias: &'a [f32],
    /// What one of the sum is, where it is not one.
    steps: Option<&'a [f32]>,
    scale: Option<&'a [f32]>,
    /// Starts with the panel's columns.
    residual: Option<Rows<'a>>,
    /// Counted from the tile's top.
    rows: Range<usize>,
    /// Counted from the tile's left.
    columns: Range<usize>,
}

impl Panel<'_> {
    /// A panel of whole vectors: its bias and scale stay in registers.
    #[inline(always)]
    fn whole<S: Simd, const GELU: bool>(self, simd: S, tile: &mut Tile<'_>, sums: impl SumsOf<S>) {
        let vectors = |of: &[f32]| -> [S::f32s; PANEL_VECTORS] {
            std::array::from_fn(|vector| load(simd, &of[vector * S::F32_LANES..]))
        };
        let (bias, steps, scale) = (vectors(self.bias), self.steps.map(vectors), self.scale.map(vectors));
        let Range { start, end } = self.rows;
        for pair in 0..(end - start) / 2 {
            self.rows::<S, GELU, 2>(simd, tile, start + 2 * pair, (&bias, &steps, &scale), sums);
        }
        if (end - start) % 2 == 1 {
            self.rows::<S, GELU, 1>(simd, tile, end - 1, (&bias, &steps, &scale), sums);
        }
    }

    /// `R` rows of a panel of whole vectors.
    #[inline(always)]
    fn rows<S: Simd, const GELU: bool, const R: usize>(
        &self,
        simd: S,
        tile: &mut Tile<'_>,
        row: usize,
        (bias, steps, scale): OfColumns<'_, S>,
        sums: impl SumsOf<S>,
    ) {
        let out = tile.rows::<R>(row, self.columns.clone());
        let mut x = [*bias; R];
        for index in 0..R {
            let out = &S::as_simd_f32s(out[index]).0[..PANEL_VECTORS];
            for vector in 0..PANEL_VECTORS {
                let (sum, x) = (sums.get(simd, out[vector], row + index, vector), &mut x[index][vector]);
                *x = match steps {
                    Some(steps) => multiply_add(simd, sum, steps[vector], *x),
                    None => simd.add_f32s(sum, *x),
                };
            }
        }
        if GELU {
            let flat: &mut [S::f32s] = x.as_flattened_mut();
            let (quads, rest) = flat.as_chunks_mut::<4>();
            for quad in quads {
                *quad = gelu(simd, *quad);
            }
            let (pairs, _) = rest.as_chunks_mut::<2>();
            for pair in pairs {
                *pair = gelu(simd, *pair);
            }
        }
        for index in 0..R {
            let residual = self.residual.map(|rows| &S::as_simd_f32s(rows.row(row + index)).0[..PANEL_VECTORS]);
            let out = S::as_mut_simd_f32s(&mut *out[index]).0;
            for vector in 0..PANEL_VECTORS {
                let x = x[index][vector];
                out[vector] = match (scale, residual) {
                    (Some(scale), Some(residual)) => multiply_add(simd, x, scale[vector], residual[vector]),
                    (Some(scale), None) => simd.mul_f32s(x, scale[vector]),
                    (None, Some(residual)) => simd.add_f32s(x, residual[vector]),
                    (None, None) => x,
                };
            }
        }
    }

    /// A last panel, of any width.
    #[inline(always)]
    fn partial<S: Simd, const GELU: bool>(self, simd: S, tile: &mut Tile<'_>, sums: impl SumsOf<S>) {
        for row in self.rows.clone() {
            let values = &mut tile.row(row)[self.columns.clone()];
            let residual = self.residual.map(|rows| &rows.row(row)[..values.len()]);
            for (index, values) in values.chunks_mut(S::F32_LANES).enumerate() {
                let vector = |of: &[f32]| load(simd, &of[index * S::F32_LANES..]);
                let sum = sums.get(simd, load(simd, values), row, index);
                let mut x = match self.steps {
                    Some(steps) => multiply_add(simd, sum, vector(steps), vector(self.bias)),
                    None => simd.add_f32s(sum, vector(self.bias)),
                };
                if GELU {
                    [x] = gelu(simd, [x]);
                }
                x = match (self.scale, residual) {
                    (Some(scale), Some(residual)) => multiply_add(simd, x, vector(scale), vector(residual)),
                    (Some(scale), None) => simd.mul_f32s(x, vector(scale)),
                    (None, Some(residual)) => simd.add_f32s(x, vector(residual)),
                    (None, None) => x,
                };
                store(simd, values, x);
            }
        }
    }
}
