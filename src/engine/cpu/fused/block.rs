//! A source and the two linear layers of a block, in one pass over strips of rows. The source is ConvNeXt's depthwise convolution with its
//! norm, or Swin's second norm. The hidden layer, four times as wide as the block, never leaves the L2 cache.
//!
//! Not here: blocks with GRN, whose hidden layer must be whole before it can be normed.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::fused::source::Source;
use crate::engine::cpu::operations::linear::{Linear, MIN_ROWS_PER_THREAD};
use crate::engine::cpu::parallel::clock::Clock;
use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::strips::{max_rows, stride, strip_rows};
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::multiply::multiply;
use crate::engine::cpu::product::rows::Rows;

/// `y = x + γ · fc2(gelu(fc1(source(x))))`.
pub(crate) struct Block {
    pub(crate) source: Source,
    pub(crate) expand: Linear,
    pub(crate) project: Linear,
}

/// Its timed operations: indices in the clock.
const SOURCE: usize = 0;
const EXPAND: usize = 1;
const PROJECT: usize = 2;

impl Block {
    /// Floats of memory that each thread needs of its own.
    pub(crate) fn thread_memory(&self) -> usize {
        max_rows(self.row_floats()) * (stride(self.channels()) + stride(self.hidden_columns()))
    }

    /// Floats of memory that `threads` threads share where there are few rows.
    pub(crate) fn shared_memory(&self, threads: usize) -> usize {
        threads * MIN_ROWS_PER_THREAD * (self.channels() + self.expand.weight.layout.columns)
    }

    /// Computes maps from maps of the same shape.
    pub(crate) fn run(&self, context: Context<'_>, input: Maps<'_>, shared: &mut [f32], output: &mut [f32]) {
        let (channels, threads) = (self.channels(), context.threads.count());
        let rows = output.len() / channels;
        if rows < threads * MIN_ROWS_PER_THREAD {
            return self.run_by_columns(context, rows, input, shared, output);
        }
        let grid = Grid {
            rows,
            columns: channels,
            tile_rows: strip_rows(rows, threads, self.row_floats()),
            tile_columns: channels,
        };
        grid.each(context.threads, output, |tile, memory| {
            memory.with(|memory| {
                context.instructions.run(Kernel { block: self, input, memory, clock: context.clock, tile })
            });
        });
    }

    /// Runs one operation after the other, so that tasks of the products can be cut by columns.
    fn run_by_columns(
        &self,
        context: Context<'_>,
        rows: usize,
        input: Maps<'_>,
        shared: &mut [f32],
        output: &mut [f32],
    ) {
        let (normed, hidden) = shared.split_at_mut(rows * self.channels());
        let hidden = &mut hidden[..rows * self.expand.weight.layout.columns];
        self.source.run(context, self.expand.weight.numbers, input, normed);
        self.expand.multiply(context, EXPAND, normed, None, hidden);
        self.project.weight.numbers.round_all(context, self.expand.weight.layout.columns, hidden);
        self.project.multiply(context, PROJECT, hidden, Some(input.all()), output);
    }

    fn channels(&self) -> usize {
        self.source.columns()
    }

    /// Columns of the hidden layer that a strip keeps: one block of the depth of the second product.
    fn hidden_columns(&self) -> usize {
        self.project.weight.layout.depths(0).len()
    }

    /// Floats of a row that a strip works on: the normed row, a part of the hidden row, the output.
    fn row_floats(&self) -> usize {
        2 * self.channels() + self.hidden_columns()
    }
}

/// Computes a strip.
struct Kernel<'a> {
    block: &'a Block,
    input: Maps<'a>,
    memory: &'a mut [f32],
    clock: Clock<'a>,
    tile: Tile<'a>,
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { block: Block { source, expand, project }, input, memory, clock, mut tile } = self;
        let (rows, channels): (Range<usize>, usize) = (tile.row_range(), tile.column_range().len());
        let normed_stride = stride(channels);
        let (normed, hidden) = memory.split_at_mut(rows.len() * normed_stride);
        let hidden_stride = stride(project.weight.layout.depths(0).len());
        let residual = Rows::new(input.all(), channels).from(rows.start);
        let mut stopwatch = clock.start();
        source.fill(
            simd,
            expand.weight.numbers,
            input,
            &mut Tile::over(normed, rows.clone(), 0..channels, normed_stride),
        );
        stopwatch.lap(SOURCE);
        let (expand_panels, project_panels) = (expand.weight.panels(), project.weight.panels());
        for block in 0..project.weight.layout.blocks() {
            let columns = project.weight.layout.depths(block);
            let mut hidden_tile = Tile::over(hidden, rows.clone(), columns, hidden_stride);
            let then = project_panels.first_panel(block, 0..channels);
            expand.tile(simd, Rows::new(normed, normed_stride), None, &mut hidden_tile, then);
            project.weight.numbers.round(simd, &mut hidden_tile);
            stopwatch.lap(EXPAND);
            let hidden = Rows::new(hidden, hidden_stride);
            // after the last block, the next strip starts with the first
            let next = (block + 1) % project.weight.layout.blocks();
            let then = expand_panels.first_panel(0, project.weight.layout.depths(next));
            multiply(simd, hidden, (project_panels, block), &mut tile, Some(&project.epilogue), Some(residual), then);
            stopwatch.lap(PROJECT);
        }
    }
}
