//! A linear layer: a matrix product whose epilogue runs while the sums are in the cache.
//!
//! Not here: the kernel of the product (`product/multiply`).

use pulp::{Simd, WithSimd};

use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::strips::{MIN_ROWS, max_rows, stride, strip_rows};
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::epilogue::Epilogue;
use crate::engine::cpu::product::multiply::multiply;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::packed::{Layout, PackedWeight};
use crate::engine::cpu::product::rows::Rows;

/// With fewer rows per thread, tasks are cut by columns too, so that each weight is still multiplied by many rows when it is read, and by fewer threads.
pub(crate) const MIN_ROWS_PER_THREAD: usize = MIN_ROWS;
/// Tasks per thread when tasks are cut by columns.
const TASKS_PER_THREAD: usize = 2;

/// `y = act(x·Wᵀ + bias) · scale + residual` of each row.
pub(crate) struct Linear {
    pub(crate) weight: PackedWeight,
    pub(crate) epilogue: Epilogue,
}

impl Linear {
    /// Floats of memory that each thread needs of its own.
    pub(crate) fn thread_memory(&self) -> usize {
        let Layout { depth, columns, .. } = self.weight.layout;
        if self.takes_floats() { 0 } else { max_rows(depth + columns) * stride(depth) }
    }

    /// Floats of memory that `threads` threads share where there are few rows.
    pub(crate) fn shared_memory(&self, threads: usize) -> usize {
        if self.takes_floats() { 0 } else { threads * MIN_ROWS_PER_THREAD * self.weight.layout.depth }
    }

    /// Whether rows of floats are what the product reads.
    fn takes_floats(&self) -> bool {
        matches!(self.weight.numbers, Numbers::F32)
    }

    /// Computes rows `[rows, out]` of rows of floats `[rows, depth]`. `op` is its index in the clock.
    pub(crate) fn run(
        &self,
        context: Context<'_>,
        op: usize,
        input: &[f32],
        residual: Option<&[f32]>,
        shared: &mut [f32],
        output: &mut [f32],
    ) {
        let Layout { depth, columns, .. } = self.weight.layout;
        let (rows, threads) = (output.len() / columns, context.threads.count());
        if self.takes_floats() {
            return self.multiply(context, op, input, residual, output);
        }
        if rows < threads * MIN_ROWS_PER_THREAD {
            let shared = &mut shared[..rows * depth];
            shared.copy_from_slice(&input[..rows * depth]);
            self.weight.numbers.round_all(context, depth, shared);
            return self.multiply(context, op, shared, residual, output);
        }
        let tile_rows = strip_rows(rows, threads, depth + columns);
        Grid { rows, columns, tile_rows, tile_columns: columns }.each(context.threads, output, |tile, memory| {
            let stopwatch = context.clock.start();
            let input = Rows::new(input, depth).from(tile.row_range().start);
            let residual = residual.map(|values| Rows::new(values, columns).from(tile.row_range().start));
            memory.with(|memory| context.instructions.run(Rounding { linear: self, input, residual, memory, tile }));
            stopwatch.stop(op);
        });
    }

    /// Computes rows `[rows, out]` of rows `[rows, depth]` of the weight's numbers. `op` is its index in the clock.
    pub(crate) fn multiply(
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
            cut_by_columns(rows, columns, threads, self.weight.layout.panel())
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

    /// Computes a tile of rows of the weight's numbers. `input` and `residual` start with the tile's first row.
    #[inline(always)]
    /// `then` is the panel that is multiplied next, where that is known.
    pub(crate) fn tile<S: Simd>(
        &self,
        simd: S,
        input: Rows<'_>,
        residual: Option<Rows<'_>>,
        tile: &mut Tile<'_>,
        then: &[f32],
    ) {
        let (layout, weight) = (self.weight.layout, self.weight.panels());
        for block in 0..layout.blocks() {
            let input = input.skip(layout.floats(layout.depths(block).start));
            let more = block + 1 < layout.blocks();
            let then = if more { weight.first_panel(block + 1, tile.column_range()) } else { then };
            multiply(simd, input, (weight, block), tile, Some(&self.epilogue), residual, then);
        }
    }
}

/// Rows and columns of a task where there are few rows: some for each thread, of `MIN_ROWS` rows if there are so many, and of whole panels.
fn cut_by_columns(rows: usize, columns: usize, threads: usize, panel: usize) -> (usize, usize) {
    let down = (rows / MIN_ROWS).max(1);
    let across = (threads * TASKS_PER_THREAD).div_ceil(down);
    (rows.div_ceil(down), columns.div_ceil(across).next_multiple_of(panel))
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
        self.linear.tile(simd, self.input, self.residual, &mut self.tile, &[]);
    }
}

/// Computes a tile of rows of floats, which it copies.
struct Rounding<'a> {
    linear: &'a Linear,
    input: Rows<'a>,
    residual: Option<Rows<'a>>,
    memory: &'a mut [f32],
    tile: Tile<'a>,
}

impl WithSimd for Rounding<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { linear, input, residual, memory, mut tile } = self;
        let depth = linear.weight.layout.depth;
        let mut rows = Tile::over(memory, 0..tile.height(), 0..depth, stride(depth));
        for row in 0..tile.height() {
            rows.row(row).copy_from_slice(&input.row(row)[..depth]);
        }
        linear.weight.numbers.round(simd, &mut rows);
        linear.tile(simd, Rows::new(memory, stride(depth)), residual, &mut tile, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_make_tasks_for_all_threads_of_many_rows_each() {
        // rows, columns, threads
        for (rows, columns, threads) in [(49, 3072, 2), (49, 768, 16), (196, 1536, 16), (3136, 96, 128), (1, 1000, 8)] {
            let (tile_rows, tile_columns) = cut_by_columns(rows, columns, threads, 32);
            let tasks = rows.div_ceil(tile_rows) * columns.div_ceil(tile_columns);
            assert!(tile_rows >= MIN_ROWS.min(rows) && tile_columns.is_multiple_of(32));
            assert!(tasks >= threads, "{tasks} tasks of {tile_rows} × {tile_columns} for {threads} threads");
        }
    }
}
