//! Patchify's first half: each patch becomes a row, so that the rest of it is a linear operation.

use super::maps::Maps;
use super::threads::Threads;
use super::tile::Grid;
use crate::program::Shape;

/// Patches of a tile.
const TILE_ROWS: usize = 64;

/// `[h, w, c] → [h/size · w/size, size · size · c]`.
pub(super) struct Gather {
    input: Shape,
    size: usize,
}

impl Gather {
    /// Of maps of this shape.
    pub(super) fn new(input: Shape, size: usize) -> Self {
        Self { input, size }
    }

    /// Copies the patches of `images` maps.
    pub(super) fn run(&self, threads: &Threads, images: usize, input: Maps<'_>, output: &mut [f32]) {
        let (Shape { height, width, channels }, size) = (self.input, self.size);
        let (rows, columns) = ((height / size) * (width / size), size * size * channels);
        let grid = Grid { images, rows, columns, tile_rows: TILE_ROWS, tile_columns: columns };
        grid.each(threads, output, |mut tile| {
            let image = input.image(tile.image);
            for (row, patch) in tile.rows.clone().enumerate() {
                let (y, x) = (patch / (width / size) * size, patch % (width / size) * size);
                for (dy, line) in tile.row(row).chunks_exact_mut(size * channels).enumerate() {
                    line.copy_from_slice(&image[((y + dy) * width + x) * channels..][..size * channels]);
                }
            }
        });
    }
}
