//! Linear: a matrix product whose epilogue runs while the sums are in the cache.

use pulp::{Simd, WithSimd};

use crate::engine::cpu::parallel::context::Run;
use crate::engine::cpu::parallel::strips::strip_rows;
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::epilogue::Epilogue;
use crate::engine::cpu::product::multiply::multiply;
use crate::engine::cpu::product::packed::{Layout, Matrix};
use crate::engine::cpu::product::rows::Rows;

/// Rows for each thread below which threads share rows and take columns each: their weights are then read once.
pub(crate) const FEW_ROWS: usize = 16;
/// Tasks for each thread when they take columns.
const TASKS: usize = 2;

/// `y = act(x·Wᵀ + bias) · scale + residual` at each place.
pub(crate) struct Linear {
    pub(crate) weight: Matrix,
    pub(crate) epilogue: Epilogue,
}

impl Linear {
    /// Computes rows `[rows, out]` of rows `[rows, depth]`.
    pub(crate) fn run(&self, run: Run<'_>, part: usize, input: &[f32], residual: Option<&[f32]>, output: &mut [f32]) {
        let Layout { depth, columns, .. } = self.weight.layout;
        let (rows, threads) = (output.len() / columns, run.threads.count());
        let (tile_rows, tile_columns) = if rows >= threads * FEW_ROWS {
            (strip_rows(rows, threads, depth + columns), columns)
        } else {
            (rows, columns.div_ceil(threads * TASKS).next_multiple_of(self.weight.layout.panel()))
        };
        let grid = Grid { rows, columns, tile_rows, tile_columns };
        grid.each(run.threads, output, |tile, _| {
            let lap = run.clock.lap();
            let input = Rows::new(input, depth).from(tile.range().start);
            let residual = residual.map(|values| Rows::new(values, columns).from(tile.range().start));
            run.instructions.run(Kernel { linear: self, input, residual, tile });
            lap.end(part);
        });
    }

    /// Computes a tile, of rows that start with the tile's first.
    #[inline(always)]
    pub(crate) fn tile<S: Simd>(&self, simd: S, input: Rows<'_>, residual: Option<Rows<'_>>, tile: &mut Tile<'_>) {
        for block in 0..self.weight.layout.blocks() {
            let input = input.skip(self.weight.layout.depths(block).start);
            multiply(simd, input, (self.weight.panels(), block), tile, Some(&self.epilogue), residual);
        }
    }
}

/// Computes a tile.
struct Kernel<'a> {
    linear: &'a Linear,
    input: Rows<'a>,
    residual: Option<Rows<'a>>,
    tile: Tile<'a>,
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.linear.tile(simd, self.input, self.residual, &mut self.tile);
    }
}
