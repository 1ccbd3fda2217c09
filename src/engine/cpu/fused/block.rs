//! A block in one pass over strips of its rows: what makes the rows (ConvNeXt's depthwise convolution and norm, Swin's second norm) and
//! both linear layers, whose hidden layer, four times as wide as the block, never leaves the L2 cache.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::fused::source::Source;
use crate::engine::cpu::operations::linear::{FEW_ROWS, Linear};
use crate::engine::cpu::parallel::context::{Clock, Run};
use crate::engine::cpu::parallel::strips::{most_rows, stride, strip_rows};
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::multiply::multiply;
use crate::engine::cpu::product::rows::Rows;

/// `y = x + γ · fc2(gelu(fc1(source(x))))`.
pub(crate) struct Block {
    pub(crate) source: Source,
    pub(crate) expand: Linear,
    pub(crate) project: Linear,
}

/// What of a block's time is measured: the parts of its clock.
const SOURCE: usize = 0;
const EXPAND: usize = 1;
const PROJECT: usize = 2;

impl Block {
    /// Numbers that a thread needs of its own.
    pub(crate) fn memory(&self) -> usize {
        most_rows(self.numbers()) * (stride(self.channels()) + stride(self.hidden()))
    }

    /// Numbers that all threads together need where there are few rows.
    pub(crate) fn shared(&self, threads: usize) -> usize {
        threads * FEW_ROWS * (self.channels() + self.expand.weight.layout.columns)
    }

    /// Computes maps of maps of the same shape.
    pub(crate) fn run(&self, run: Run<'_>, input: Maps<'_>, shared: &mut [f32], output: &mut [f32]) {
        let (channels, threads) = (self.channels(), run.threads.count());
        let rows = output.len() / channels;
        if rows < threads * FEW_ROWS {
            return self.by_columns(run, rows, input, shared, output);
        }
        let grid = Grid {
            rows,
            columns: channels,
            tile_rows: strip_rows(rows, threads, self.numbers()),
            tile_columns: channels,
        };
        grid.each(run.threads, output, |tile, worker| {
            worker.with_memory(|memory| {
                run.instructions.run(Kernel { block: self, input, memory, clock: run.clock, tile })
            });
        });
    }

    /// One operation after the other, so that the threads can take columns each.
    fn by_columns(&self, run: Run<'_>, rows: usize, input: Maps<'_>, shared: &mut [f32], output: &mut [f32]) {
        let (normed, hidden) = shared.split_at_mut(rows * self.channels());
        let hidden = &mut hidden[..rows * self.expand.weight.layout.columns];
        self.source.run(run, input, normed);
        self.expand.run(run, EXPAND, normed, None, hidden);
        self.project.run(run, PROJECT, hidden, Some(input.all()), output);
    }

    fn channels(&self) -> usize {
        self.source.columns()
    }

    /// Columns of the hidden layer that are computed before they are used: a block of the second layer's depth.
    fn hidden(&self) -> usize {
        self.project.weight.layout.depths(0).len()
    }

    /// Numbers of a row that a strip works on: the normed row, a part of the hidden row, the output.
    fn numbers(&self) -> usize {
        2 * self.channels() + self.hidden()
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
        let (rows, channels): (Range<usize>, usize) = (tile.range(), tile.columns().len());
        let normed_stride = stride(channels);
        let (normed, hidden) = memory.split_at_mut(rows.len() * normed_stride);
        let hidden_stride = stride(project.weight.layout.depths(0).len());
        let residual = Rows::new(input.all(), channels).from(rows.start);
        let mut lap = clock.lap();
        source.fill(simd, input, &mut Tile::over(normed, rows.clone(), 0..channels, normed_stride));
        lap.next(SOURCE);
        for part in 0..project.weight.layout.blocks() {
            let columns = project.weight.layout.depths(part);
            expand.tile(
                simd,
                Rows::new(normed, normed_stride),
                None,
                &mut Tile::over(hidden, rows.clone(), columns, hidden_stride),
            );
            lap.next(EXPAND);
            let hidden = Rows::new(hidden, hidden_stride);
            multiply(simd, hidden, (project.weight.panels(), part), &mut tile, Some(&project.epilogue), Some(residual));
            lap.next(PROJECT);
        }
    }
}
