//! A linear layer in one pass over strips of rows that a source makes: patches of a map, a norm. A norm that comes after runs on what
//! was written.

use pulp::{Simd, WithSimd};

use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::fused::source::Source;
use crate::engine::cpu::operations::linear::{FEW_ROWS, Linear};
use crate::engine::cpu::operations::norm::Norm;
use crate::engine::cpu::parallel::context::{Clock, Run};
use crate::engine::cpu::parallel::strips::{most_rows, stride, strip_rows};
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::rows::Rows;

/// `norm(linear(source(x)))`.
pub(crate) struct Projection {
    pub(crate) source: Source,
    pub(crate) linear: Linear,
    /// Of each row of the output.
    pub(crate) after: Option<Norm>,
}

/// The parts of its clock.
const GATHER: usize = 0;
const PRODUCT: usize = 1;
const AFTER: usize = 2;

impl Projection {
    /// Numbers that a thread needs of its own.
    pub(crate) fn memory(&self) -> usize {
        most_rows(self.numbers()) * stride(self.source.columns())
    }

    /// Numbers that all threads together need where there are few rows.
    pub(crate) fn shared(&self, threads: usize) -> usize {
        threads * FEW_ROWS * self.source.columns()
    }

    /// Computes rows `[rows, out]`.
    pub(crate) fn run(&self, run: Run<'_>, input: Maps<'_>, shared: &mut [f32], output: &mut [f32]) {
        let columns = self.linear.weight.layout.columns;
        let (rows, threads) = (output.len() / columns, run.threads.count());
        if rows < threads * FEW_ROWS && self.after.is_none() {
            // one after the other, so that the threads can take columns each
            let gathered = &mut shared[..rows * self.source.columns()];
            self.source.run(run, input, gathered);
            return self.linear.run(run, PRODUCT, gathered, None, output);
        }
        let tile_rows = strip_rows(rows, threads, self.numbers());
        Grid { rows, columns, tile_rows, tile_columns: columns }.each(run.threads, output, |tile, worker| {
            let clock = run.clock;
            worker.with_memory(|memory| run.instructions.run(Kernel { projection: self, input, memory, clock, tile }));
        });
    }

    /// Numbers of a row that a strip works on.
    fn numbers(&self) -> usize {
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
        let (depth, rows) = (source.columns(), tile.range());
        let mut lap = clock.lap();
        source.fill(simd, input, &mut Tile::over(memory, rows, 0..depth, stride(depth)));
        lap.next(GATHER);
        linear.tile(simd, Rows::new(memory, stride(depth)), None, &mut tile);
        lap.next(PRODUCT);
        if let Some(norm) = after {
            for row in 0..tile.height() {
                norm.place(simd, tile.row(row));
            }
            lap.end(AFTER);
        }
    }
}
