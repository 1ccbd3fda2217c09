//! Where the rows of a strip come from, before a matrix product takes them: a convolution, a norm, patches of a map. Each row is
//! made by itself, so that strips can be cut anywhere.

use pulp::{Simd, WithSimd};

use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::operations::depthwise::Depthwise;
use crate::engine::cpu::operations::norm::Norm;
use crate::engine::cpu::parallel::context::Run;
use crate::engine::cpu::parallel::tile::{Grid, Tile};
use crate::engine::cpu::product::rows::Rows;
use crate::program::Shape;

/// Rows of a task that does nothing else.
const TASK_ROWS: usize = 56;

/// Makes the rows of all maps.
pub(crate) enum Source {
    /// A row a place, convolved, and normed if a norm follows.
    Depthwise(Depthwise),
    /// A row a place, normed; with its channels.
    Norm(Norm, usize),
    /// A row a patch.
    Patches(Patches),
    /// A row a square of places.
    Merge(Merge),
}

/// The patches of a map, of which what is left over at the right and below belongs to none.
pub(crate) struct Patches {
    /// Shape of a map.
    pub(crate) input: Shape,
    /// Side of a patch.
    pub(crate) size: usize,
    /// Of each place.
    pub(crate) norm: Option<Norm>,
}

/// Squares of 2×2 places, column by column; what lies outside of the map is zero.
pub(crate) struct Merge {
    /// Shape of a map.
    pub(crate) input: Shape,
    /// Of a whole row.
    pub(crate) norm: Option<Norm>,
}

impl Source {
    /// Numbers of a row.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Depthwise(depthwise) => depthwise.shape().channels,
            Self::Norm(_, channels) => *channels,
            Self::Patches(Patches { input, size, .. }) => size * size * input.channels,
            Self::Merge(Merge { input, .. }) => 4 * input.channels,
        }
    }

    /// Makes all rows, and nothing else.
    pub(crate) fn run(&self, run: Run<'_>, input: Maps<'_>, output: &mut [f32]) {
        let columns = self.columns();
        let rows = output.len() / columns;
        let tile_rows = TASK_ROWS.min(rows.div_ceil(run.threads.count())).max(1);
        Grid { rows, columns, tile_rows, tile_columns: columns }.each(run.threads, output, |mut tile, _| {
            let lap = run.clock.lap();
            run.instructions.run(Fill { source: self, input, tile: &mut tile });
            lap.end(0);
        });
    }

    /// Makes the rows of a tile, counted through all maps.
    #[inline(always)]
    pub(crate) fn fill<S: Simd>(&self, simd: S, input: Maps<'_>, tile: &mut Tile<'_>) {
        // a function of its own, whose registers are its own
        simd.vectorize(Fill { source: self, input, tile });
    }
}

/// Makes the rows of a tile.
struct Fill<'a, 'b> {
    source: &'a Source,
    input: Maps<'a>,
    tile: &'a mut Tile<'b>,
}

impl WithSimd for Fill<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, input, tile } = self;
        let first = tile.range().start;
        match source {
            Source::Depthwise(depthwise) => depthwise.places(simd, input.all(), tile),
            Source::Norm(norm, channels) => {
                let input = Rows::new(input.all(), *channels).from(first);
                for row in 0..tile.height() {
                    let out = tile.row(row);
                    out.copy_from_slice(&input.row(row)[..*channels]);
                    norm.place(simd, out);
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
        }
    }
}

impl Patches {
    /// Copies a patch, counted through all maps, into a row.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, input: Maps<'_>, patch: usize, row: &mut [f32]) {
        let (Shape { height, width, channels }, size) = (self.input, self.size);
        let (down, across) = (height / size, width / size);
        let image = input.image(patch / (down * across));
        let (y, x) = (patch / across % down * size, patch % across * size);
        for (dy, line) in row.chunks_exact_mut(size * channels).enumerate() {
            line.copy_from_slice(&image[((y + dy) * width + x) * channels..][..size * channels]);
            if let Some(norm) = &self.norm {
                for place in line.chunks_exact_mut(channels) {
                    norm.place(simd, place);
                }
            }
        }
    }
}

impl Merge {
    /// Copies a square, counted through all maps, into a row.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, input: Maps<'_>, square: usize, row: &mut [f32]) {
        let Shape { height, width, channels } = self.input;
        let (down, across) = (height.div_ceil(2), width.div_ceil(2));
        let image = input.image(square / (down * across));
        let (y, x) = (square / across % down * 2, square % across * 2);
        for (index, place) in row.chunks_exact_mut(channels).enumerate() {
            let (y, x) = (y + index % 2, x + index / 2);
            if y < height && x < width {
                place.copy_from_slice(&image[(y * width + x) * channels..][..channels]);
            } else {
                place.fill(0.0);
            }
        }
        if let Some(norm) = &self.norm {
            norm.place(simd, row);
        }
    }
}
