//! A source, a linear layer, and the norm that may follow it, in one pass over strips of rows.
//!
//! Not here: two linear layers in one pass (`block`).

use pulp::{Simd, WithSimd};

use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::fused::source::Source;
use crate::engine::cpu::operations::linear::{Linear, MIN_ROWS_PER_THREAD};
use crate::engine::cpu::operations::norm::Norm;
use crate::engine::cpu::parallel::clock::Clock;
use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::strips::{max_rows, stride, strip_rows};
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::rows::Rows;

/// `norm(linear(source(x)))`.
pub(crate) struct Projection {
    pub(crate) source: Source,
    pub(crate) linear: Linear,
    /// A norm of each row of the output.
    pub(crate) after: Option<Norm>,
}

/// Its timed operations: indices in the clock.
const SOURCE: usize = 0;
const PRODUCT: usize = 1;
const AFTER: usize = 2;

impl Projection {
    /// Floats of memory that each thread needs of its own.
    pub(crate) fn thread_memory(&self) -> usize {
        max_rows(self.row_floats()) * stride(self.source.columns())
    }

    /// Floats of memory that `threads` threads share where there are few rows.
    pub(crate) fn shared_memory(&self, threads: usize) -> usize {
        threads * MIN_ROWS_PER_THREAD * self.source.columns()
    }

    /// Computes rows `[rows, out]`.
    pub(crate) fn run(&self, context: Context<'_>, input: Maps<'_>, shared: &mut [f32], output: &mut [f32]) {
        let columns = self.linear.weight.layout.columns;
        let (rows, threads) = (output.len() / columns, context.threads.count());
        if rows < threads * MIN_ROWS_PER_THREAD && self.after.is_none() {
            // one operation after the other, so that tasks of the product can be cut by columns
            let rows = &mut shared[..rows * self.source.columns()];
            self.source.run(context, self.linear.weight.numbers, input, rows);
            return self.linear.multiply(context, PRODUCT, rows, None, output);
        }
        let tile_rows = strip_rows(rows, threads, self.row_floats());
        Grid { rows, columns, tile_rows, tile_columns: columns }.each(context.threads, output, |tile, memory| {
            let clock = context.clock;
            memory.with(|memory| context.instructions.run(Kernel { projection: self, input, memory, clock, tile }));
        });
    }

    /// Floats of a row that a strip works on.
    fn row_floats(&self) -> usize {
        self.linear.weight.layout.depth + self.linear.weight.layout.columns
    }
}

/// Computes a strip.
struct Kernel<'a> {
    projection: &'a Projection,
    input: Maps<'a>,
    memory: &'a mut [f32],
    clock: Clock<'a>,
    tile: Tile<'a>,
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { projection: Projection { source, linear, after }, input, memory, clock, mut tile } = self;
        let (depth, rows) = (source.columns(), tile.row_range());
        let mut stopwatch = clock.start();
        source.fill(simd, linear.weight.numbers, input, &mut Tile::over(memory, rows, 0..depth, stride(depth)));
        stopwatch.lap(SOURCE);
        linear.tile(simd, Rows::new(memory, stride(depth)), None, &mut tile, &[]);
        stopwatch.lap(PRODUCT);
        if let Some(norm) = after {
            for row in 0..tile.height() {
                norm.apply(simd, tile.row(row));
            }
            stopwatch.stop(AFTER);
        }
    }
}
