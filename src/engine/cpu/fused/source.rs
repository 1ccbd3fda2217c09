//! Sources: what makes the rows that a matrix product reads. A source is a depthwise convolution, a norm, the patches of a map, a merge or the
//! squares of a convolution.
//!
//! Each row is made by itself, so that strips can be cut anywhere. Not here: the product.

use pulp::{Simd, WithSimd};

use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::operations::depthwise::Depthwise;
use crate::engine::cpu::operations::norm::Norm;
use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::rows::Rows;
use crate::program::{Shape, Squares};

/// Rows of a task that only makes rows.
const TASK_ROWS: usize = 56;

/// Makes rows of maps. Rows count through the maps of all images.
pub(crate) enum Source {
    /// One row per pixel: convolved, and normed if a norm follows.
    Depthwise(Depthwise),
    /// One row per pixel: normed. With the number of channels.
    Norm(Norm, usize),
    /// One row per patch.
    Patches(Patches),
    /// One row per square of 2×2 pixels.
    Merge(Merge),
    /// One row per square of a convolution.
    Unfold(Unfold),
}

/// The patches of a map. Pixels at the right and the bottom that fill no whole patch are left out.
pub(crate) struct Patches {
    /// Shape of a map.
    pub(crate) input: Shape,
    /// Side of a patch.
    pub(crate) size: usize,
    /// Of each pixel.
    pub(crate) norm: Option<Norm>,
}

/// Squares of 2×2 pixels, column by column. Pixels outside of the map are zero.
pub(crate) struct Merge {
    /// Shape of a map.
    pub(crate) input: Shape,
    /// Of a whole row.
    pub(crate) norm: Option<Norm>,
}

/// The squares that a convolution reads. Pixels outside of the map are zero, and what is behind a square.
pub(crate) struct Unfold {
    /// Shape of a map.
    pub(crate) input: Shape,
    pub(crate) squares: Squares,
}

impl Source {
    /// Elements of a row.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Depthwise(depthwise) => depthwise.shape().channels,
            Self::Norm(_, channels) => *channels,
            Self::Patches(Patches { input, size, .. }) => size * size * input.channels,
            Self::Merge(Merge { input, .. }) => 4 * input.channels,
            Self::Unfold(Unfold { input, squares }) => squares.columns(input.channels),
        }
    }

    /// Makes all rows of these numbers, as a step of its own.
    pub(crate) fn run(&self, context: Context<'_>, numbers: Numbers, input: Maps<'_>, output: &mut [f32]) {
        let columns = self.columns();
        let rows = output.len() / columns;
        let tile_rows = TASK_ROWS.min(rows.div_ceil(context.threads.count())).max(1);
        Grid { rows, columns, tile_rows, tile_columns: columns }.each(context.threads, output, |mut tile, _| {
            let stopwatch = context.clock.start();
            context.instructions.run(Fill { source: self, numbers, input, tile: &mut tile });
            stopwatch.stop(0);
        });
    }

    /// Makes the rows of a tile of these numbers, within another kernel.
    #[inline(always)]
    pub(crate) fn fill<S: Simd>(&self, simd: S, numbers: Numbers, input: Maps<'_>, tile: &mut Tile<'_>) {
        // a function of its own, so that it does not share registers with the caller
        simd.vectorize(Fill { source: self, numbers, input, tile });
    }
}

/// Makes the rows of a tile.
struct Fill<'a, 'b> {
    source: &'a Source,
    numbers: Numbers,
    input: Maps<'a>,
    tile: &'a mut Tile<'b>,
}

impl WithSimd for Fill<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, numbers, input, tile } = self;
        let first = tile.row_range().start;
        match source {
            Source::Depthwise(depthwise) => depthwise.tile(simd, input.all(), tile),
            Source::Norm(norm, channels) => {
                let input = Rows::new(input.all(), *channels).from(first);
                for row in 0..tile.height() {
                    let out = tile.row(row);
                    out.copy_from_slice(&input.row(row)[..*channels]);
                    norm.apply(simd, out);
                }
            }
            Source::Patches(patches) => {
                for row in 0..tile.height() {
                    patches.gather(simd, input, first + row, tile.row(row));
                }
            }
            Source::Merge(merge) => {
                for row in 0..tile.height() {
                    merge.gather(simd, input, first + row, tile.row(row));
                }
            }
            Source::Unfold(unfold) => {
                for row in 0..tile.height() {
                    unfold.gather(input, first + row, tile.row(row));
                }
            }
        }
        numbers.round(simd, tile);
    }
}

impl Patches {
    /// Copies a patch into a row. Patches count through the maps of all images.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, input: Maps<'_>, patch: usize, row: &mut [f32]) {
        let (Shape { height, width, channels }, size) = (self.input, self.size);
        let (down, across) = (height / size, width / size);
        let image = input.image(patch / (down * across));
        let (y, x) = (patch / across % down * size, patch % across * size);
        for (dy, line) in row.chunks_exact_mut(size * channels).enumerate() {
            line.copy_from_slice(&image[((y + dy) * width + x) * channels..][..size * channels]);
            if let Some(norm) = &self.norm {
                for pixel in line.chunks_exact_mut(channels) {
                    norm.apply(simd, pixel);
                }
            }
        }
    }
}

impl Unfold {
    /// Copies a square into a row. Squares count through the maps of all images.
    #[inline(always)]
    fn gather(&self, input: Maps<'_>, square: usize, row: &mut [f32]) {
        let (Shape { height, width, channels }, squares) = (self.input, self.squares);
        let (down, across) = (squares.along(height), squares.along(width));
        let image = input.image(square / (down * across));
        let (y, x) = (square / across % down, square % across);
        let (row, behind) = row.split_at_mut(squares.kernel * squares.kernel * channels);
        behind.fill(0.0);
        for (dy, line) in row.chunks_exact_mut(squares.kernel * channels).enumerate() {
            let Some(y) = squares.at(y, dy, height) else {
                line.fill(0.0);
                continue;
            };
            for (dx, pixel) in line.chunks_exact_mut(channels).enumerate() {
                match squares.at(x, dx, width) {
                    Some(x) => pixel.copy_from_slice(&image[(y * width + x) * channels..][..channels]),
                    None => pixel.fill(0.0),
                }
            }
        }
    }
}

impl Merge {
    /// Copies a square into a row. Squares count through the maps of all images.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, input: Maps<'_>, square: usize, row: &mut [f32]) {
        let Shape { height, width, channels } = self.input;
        let (down, across) = (height.div_ceil(2), width.div_ceil(2));
        let image = input.image(square / (down * across));
        let (y, x) = (square / across % down * 2, square % across * 2);
        for (index, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let (y, x) = (y + index % 2, x + index / 2);
            if y < height && x < width {
                pixel.copy_from_slice(&image[(y * width + x) * channels..][..channels]);
            } else {
                pixel.fill(0.0);
            }
        }
        if let Some(norm) = &self.norm {
            norm.apply(simd, row);
        }
    }
}
