//! Patchify in one pass over strips of its patches: each patch becomes a row, normed place by place where a norm comes before,
//! and the rows are multiplied by the weight; a norm that comes after runs on what was written.

use pulp::{Simd, WithSimd};

use super::linear::Linear;
use super::maps::Maps;
use super::norm::Norm;
use super::product::Rows;
use super::run::{Clock, Run};
use super::strips::{most_rows, stride, strip_rows};
use super::tile::{Grid, Tile};
use crate::program::Shape;

/// A convolution whose kernel is its stride.
pub(super) struct Patchify {
    /// Shape of a map.
    pub(super) input: Shape,
    /// Side of a patch.
    pub(super) size: usize,
    /// Of each place of the input.
    pub(super) before: Option<Norm>,
    pub(super) linear: Linear,
    /// Of each place of the output.
    pub(super) after: Option<Norm>,
}

/// The parts of its clock.
const GATHER: usize = 0;
const PRODUCT: usize = 1;
const AFTER: usize = 2;

impl Patchify {
    /// Numbers that a thread needs of its own.
    pub(super) fn memory(&self) -> usize {
        most_rows(self.numbers()) * stride(self.linear.weight.depth())
    }

    /// Computes maps `[h / size, w / size, out]`.
    pub(super) fn run(&self, run: Run<'_>, input: Maps<'_>, output: &mut [f32]) {
        let columns = self.linear.weight.columns();
        let rows = output.len() / columns;
        let tile_rows = strip_rows(rows, run.threads.count(), self.numbers());
        Grid { rows, columns, tile_rows, tile_columns: columns }.each(run.threads, output, |tile, worker| {
            let clock = run.clock;
            worker.with_memory(|memory| run.instructions.run(Kernel { patchify: self, input, memory, clock, tile }));
        });
    }

    /// Copies a patch, counted through all maps, into a row.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, input: Maps<'_>, patch: usize, row: &mut [f32]) {
        let (Shape { height, width, channels }, size) = (self.input, self.size);
        let (down, across) = (height / size, width / size);
        let image = input.image(patch / (down * across));
        let (y, x) = (patch / across % down * size, patch % across * size);
        for (dy, line) in row.chunks_exact_mut(size * channels).enumerate() {
            line.copy_from_slice(&image[((y + dy) * width + x) * channels..][..size * channels]);
            if let Some(norm) = &self.before {
                for place in line.chunks_exact_mut(channels) {
                    norm.place(simd, place);
                }
            }
        }
    }

    /// Numbers of a row that a strip works on.
    fn numbers(&self) -> usize {
        self.linear.weight.depth() + self.linear.weight.columns()
    }
}

/// Computes a strip.
struct Kernel<'a> {
    patchify: &'a Patchify,
    input: Maps<'a>,
    memory: &'a mut [f32],
    clock: Clock<'a>,
    tile: Tile<'a>,
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { patchify, input, memory, clock, mut tile } = self;
        let depth = patchify.linear.weight.depth();
        let mut lap = clock.lap();
        for (row, patch) in memory.chunks_exact_mut(stride(depth)).zip(tile.rows.clone()) {
            patchify.gather(simd, input, patch, &mut row[..depth]);
        }
        lap.next(GATHER);
        patchify.linear.tile(simd, Rows::new(memory, stride(depth)), None, &mut tile);
        lap.next(PRODUCT);
        if let Some(norm) = &patchify.after {
            for row in 0..tile.rows.len() {
                norm.place(simd, tile.row(row));
            }
        }
        lap.end(AFTER);
    }
}
