//! Layer norm in two passes: the mean first, then the variance about it, which is exact where a mean of squares is not.

use super::maps::Maps;
use super::threads::Threads;
use super::tile::Grid;

/// Places of a tile.
const TILE_ROWS: usize = 64;
/// Partial sums: the compiler makes vectors of them, and each adds up few enough numbers for f32.
const LANES: usize = 16;

/// A norm of each place's channels.
pub(super) struct Norm {
    eps: f32,
    /// Scale and shift, each `[c]`, where they were not folded.
    affine: Option<(Vec<f32>, Vec<f32>)>,
}

impl Norm {
    /// A norm with its scale and shift, if it keeps them.
    pub(super) fn new(eps: f32, affine: Option<(Vec<f32>, Vec<f32>)>) -> Self {
        Self { eps, affine }
    }

    /// Computes `images` maps `[rows, channels]`.
    pub(super) fn run(
        &self,
        threads: &Threads,
        (images, rows, channels): (usize, usize, usize),
        input: Maps<'_>,
        output: &mut [f32],
    ) {
        let grid = Grid { images, rows, columns: channels, tile_rows: TILE_ROWS, tile_columns: channels };
        grid.each(threads, output, |mut tile| {
            let places = input.image(tile.image)[tile.rows.start * channels..].chunks_exact(channels);
            for (row, place) in (0..tile.rows.len()).zip(places) {
                let out = tile.row(row);
                out.copy_from_slice(place);
                self.place(out);
            }
        });
    }

    /// Norms the channels of one place where they stand.
    pub(super) fn place(&self, channels: &mut [f32]) {
        let count = channels.len() as f32;
        let mean = sum(channels, |x| x) / count;
        let variance = sum(channels, |x| (x - mean) * (x - mean)) / count;
        let factor = 1.0 / (variance + self.eps).sqrt();
        channels.iter_mut().for_each(|x| *x = (*x - mean) * factor);
        if let Some((scale, shift)) = &self.affine {
            channels.iter_mut().zip(scale.iter().zip(shift)).for_each(|(x, (scale, shift))| *x = *x * scale + shift);
        }
    }
}

/// The sum of `term` over all values, in lanes.
#[inline]
fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += term(*x));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += term(*x));
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}
