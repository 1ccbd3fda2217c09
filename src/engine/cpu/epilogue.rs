//! What becomes of a product's sums: `act(sum + bias) · scale + residual`, in place, while they are in the cache.

use std::ops::Range;

use pulp::Simd;

use super::gelu::gelu;
use super::product::Rows;
use super::tile::Tile;
use super::vector::{load, multiply_add, store};
use crate::program::Activation;

/// A linear operation without its product.
pub(super) struct Epilogue {
    /// `[out]`
    pub(super) bias: Vec<f32>,
    /// After the bias.
    pub(super) activation: Option<Activation>,
    /// `[out]`
    pub(super) scale: Option<Vec<f32>>,
}

impl Epilogue {
    /// Finishes some columns, counted in the matrix, of a tile; `residual` has the tile's rows and the matrix's columns.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(
        &self,
        simd: S,
        tile: &mut Tile<'_>,
        columns: Range<usize>,
        residual: Option<Rows<'_>>,
    ) {
        let inside = columns.start - tile.columns.start..columns.end - tile.columns.start;
        let (bias, scale) = (&self.bias[columns.clone()], self.scale.as_ref().map(|scale| &scale[columns.clone()]));
        for row in 0..tile.rows.len() {
            let residual = residual.map(|rows| &rows.row(row)[columns.clone()]);
            let values = &mut tile.row(row)[inside.clone()];
            for (index, values) in values.chunks_mut(S::F32_LANES).enumerate() {
                let at = |of: &[f32]| load(simd, &of[index * S::F32_LANES..]);
                let mut x = simd.add_f32s(load(simd, values), at(bias));
                match self.activation {
                    Some(Activation::Gelu) => x = gelu(simd, x),
                    None => {}
                }
                x = match (scale, residual) {
                    (Some(scale), Some(residual)) => multiply_add(simd, x, at(scale), at(residual)),
                    (Some(scale), None) => simd.mul_f32s(x, at(scale)),
                    (None, Some(residual)) => simd.add_f32s(x, at(residual)),
                    (None, None) => x,
                };
                store(simd, values, x);
            }
        }
    }
}
