//! Linear: a matrix product by tiles, whose epilogue runs while a tile is in the cache.

use super::gelu::gelu;
use super::maps::Maps;
use super::threads::Threads;
use super::tile::{Grid, Tile};
use crate::program::Activation;

/// Rows of a tile: a multiple of the rows that gemm's kernels compute at once (6, 8, 12), and few enough that a tile of 192
/// columns, 54 KiB, is still in the L2 cache for its epilogue.
const TILE_ROWS: usize = 72;
/// Columns of a tile and of a weight's panel: a multiple of the columns that gemm's kernels compute at once (16, 48), and few
/// enough that a map of few rows (7×7 is 49) still makes several tasks.
const TILE_COLUMNS: usize = 192;

/// `y = act(x·Wᵀ + bias) · scale + residual` on `rows` places.
pub(super) struct Linear {
    /// Places of an image.
    rows: usize,
    /// Columns of the input.
    depth: usize,
    /// The weight's columns in panels of `TILE_COLUMNS`, each `[depth, columns]`: gemm reads them as they lie.
    panels: Vec<f32>,
    /// `[out]`
    bias: Vec<f32>,
    activation: Option<Activation>,
    /// `[out]`
    scale: Option<Vec<f32>>,
}

impl Linear {
    /// Packs a weight `[out, depth]`.
    pub(super) fn new(
        rows: usize,
        weight: &[f32],
        bias: Vec<f32>,
        activation: Option<Activation>,
        scale: Option<Vec<f32>>,
    ) -> Self {
        let depth = weight.len() / bias.len();
        let mut panels = Vec::with_capacity(weight.len());
        for panel in weight.chunks(TILE_COLUMNS * depth) {
            let columns = panel.len() / depth;
            panels.extend((0..depth).flat_map(|k| (0..columns).map(move |column| panel[column * depth + k])));
        }
        Self { rows, depth, panels, bias, activation, scale }
    }

    /// Computes `images` maps `[rows, out]` of maps `[rows, depth]`.
    pub(super) fn run(
        &self,
        threads: &Threads,
        images: usize,
        input: Maps<'_>,
        residual: Option<Maps<'_>>,
        output: &mut [f32],
    ) {
        let columns = self.bias.len();
        let grid =
            Grid { images, rows: self.rows, columns, tile_rows: TILE_ROWS, tile_columns: TILE_COLUMNS.min(columns) };
        grid.each(threads, output, |mut tile| {
            let matrix = &input.image(tile.image)[tile.rows.start * self.depth..tile.rows.end * self.depth];
            let panel = &self.panels[tile.columns.start * self.depth..tile.columns.end * self.depth];
            tile.product(matrix, self.depth, panel);
            self.epilogue(&mut tile, residual);
        });
    }

    fn epilogue(&self, tile: &mut Tile<'_>, residual: Option<Maps<'_>>) {
        let columns = tile.columns.clone();
        let residual = residual.map(|maps| maps.image(tile.image));
        for row in 0..tile.rows.len() {
            let first = (tile.rows.start + row) * self.bias.len() + columns.start;
            let values = tile.row(row);
            values.iter_mut().zip(&self.bias[columns.clone()]).for_each(|(value, bias)| *value += bias);
            match self.activation {
                Some(Activation::Gelu) => values.iter_mut().for_each(|value| *value = gelu(*value)),
                None => {}
            }
            if let Some(scale) = &self.scale {
                values.iter_mut().zip(&scale[columns.clone()]).for_each(|(value, scale)| *value *= scale);
            }
            if let Some(residual) = residual {
                values.iter_mut().zip(&residual[first..]).for_each(|(value, residual)| *value += residual);
            }
        }
    }
}
