//! Global response normalisation: the channels' norms first, which need the whole map, then one multiply-add an element.

use super::maps::Maps;
use super::pool::column_sums;
use super::threads::Threads;
use super::tile::Grid;

/// Places of a tile of the second pass.
const TILE_ROWS: usize = 64;

/// `y = x · (1 + scale · n) + shift`.
pub(super) struct Grn {
    eps: f32,
    /// `[c]`
    scale: Vec<f32>,
    /// `[c]`
    shift: Vec<f32>,
}

impl Grn {
    /// Of its scale and shift, each `[c]`.
    pub(super) fn new(eps: f32, scale: Vec<f32>, shift: Vec<f32>) -> Self {
        Self { eps, scale, shift }
    }

    /// Computes `images` maps `[rows, c]`; `factors` is `[images, c]` to work in.
    pub(super) fn run(
        &self,
        threads: &Threads,
        (images, rows): (usize, usize),
        input: Maps<'_>,
        factors: &mut [f32],
        output: &mut [f32],
    ) {
        let channels = self.scale.len();
        column_sums(threads, (images, channels), input, factors, |x| x * x, f64::sqrt);
        for norms in factors.chunks_exact_mut(channels) {
            let mean = norms.iter().map(|norm| f64::from(*norm)).sum::<f64>() / channels as f64;
            let inverse = (1.0 / (mean + f64::from(self.eps))) as f32;
            norms.iter_mut().zip(&self.scale).for_each(|(norm, scale)| *norm = 1.0 + scale * (*norm * inverse));
        }
        let grid = Grid { images, rows, columns: channels, tile_rows: TILE_ROWS, tile_columns: channels };
        grid.each(threads, output, |mut tile| {
            let factors = &factors[tile.image * channels..][..channels];
            let places = input.image(tile.image)[tile.rows.start * channels..].chunks_exact(channels);
            for (row, place) in (0..tile.rows.len()).zip(places) {
                let affine = factors.iter().zip(&self.shift);
                for ((out, x), (factor, shift)) in tile.row(row).iter_mut().zip(place).zip(affine) {
                    *out = x * factor + shift;
                }
            }
        });
    }
}
