//! A linear layer: a matrix product whose epilogue runs while the sums are in the cache.
//!
//! Not here: the kernel of the product (`product/multiply`).

use pulp::{Simd, WithSimd};

use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::strips::strip_rows;
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::epilogue::Epilogue;
use crate::engine::cpu::product::multiply::multiply;
use crate::engine::cpu::product::packed::{Layout, PackedWeight};
use crate::engine::cpu::product::rows::Rows;

/// With fewer rows per thread, each thread computes some columns of all rows instead: each weight is then read by one thread only.
pub(crate) const MIN_ROWS_PER_THREAD: usize = 16;
/// Tasks per thread when tasks are cut by columns.
const TASKS_PER_THREAD: usize = 2;

/// `y = act(x·Wᵀ + bias) · scale + residual` of each row.
pub(crate) struct Linear {
    pub(crate) weight: PackedWeight,
    pub(crate) epilogue: Epilogue,
}

impl Linear {
    /// Computes rows `[rows, out]` of rows `[rows, depth]`. `op` is its index in the clock.
    pub(crate) fn run(
        &self,
        context: Context<'_>,
        op: usize,
        input: &[f32],
        residual: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let Layout { depth, columns, .. } = self.weight.layout;
        let (rows, threads) = (output.len() / columns, context.threads.count());
        let (tile_rows, tile_columns) = if rows >= threads * MIN_ROWS_PER_THREAD {
            (strip_rows(rows, threads, depth + columns), columns)
        } else {
            (rows, columns.div_ceil(threads * TASKS_PER_THREAD).next_multiple_of(self.weight.layout.panel()))
        };
        let grid = Grid { rows, columns, tile_rows, tile_columns };
        grid.each(context.threads, output, |tile, _| {
            let stopwatch = context.clock.start();
            let input = Rows::new(input, depth).from(tile.row_range().start);
            let residual = residual.map(|values| Rows::new(values, columns).from(tile.row_range().start));
            context.instructions.run(Kernel { linear: self, input, residual, tile });
            stopwatch.stop(op);
        });
    }

    /// Computes a tile. `input` and `residual` start with the tile's first row.
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
