//! Global response normalisation: the channels' norms first, which need the whole map, then one multiply-add an element.

use crate::engine::cpu::operations::pool::column_sums;
use crate::engine::cpu::parallel::context::Run;
use crate::engine::cpu::parallel::tile::Grid;

/// Places of a tile of the second pass.
const TILE_ROWS: usize = 64;

/// `y = x · (1 + scale · n) + shift`.
pub(crate) struct Grn {
    eps: f32,
    /// `[c]`
    scale: Vec<f32>,
    /// `[c]`
    shift: Vec<f32>,
}

impl Grn {
    /// Of its scale and shift, each `[c]`.
    pub(crate) fn new(eps: f32, scale: Vec<f32>, shift: Vec<f32>) -> Self {
        Self { eps, scale, shift }
    }

    /// Computes maps `[rows, c]`; `factors` is `[images, c]` to work in.
    pub(crate) fn run(&self, run: Run<'_>, rows: usize, input: &[f32], factors: &mut [f32], output: &mut [f32]) {
        let channels = self.scale.len();
        column_sums(run, (rows, channels), input, factors, |x| x * x, f64::sqrt);
        for norms in factors.chunks_exact_mut(channels) {
            let mean = norms.iter().map(|norm| f64::from(*norm)).sum::<f64>() / channels as f64;
            let inverse = (1.0 / (mean + f64::from(self.eps))) as f32;
            norms.iter_mut().zip(&self.scale).for_each(|(norm, scale)| *norm = 1.0 + scale * (*norm * inverse));
        }
        let grid =
            Grid { rows: output.len() / channels, columns: channels, tile_rows: TILE_ROWS, tile_columns: channels };
        grid.each(run.threads, output, |mut tile, _| {
            let lap = run.clock.lap();
            let places = input[tile.range().start * channels..].chunks_exact(channels);
            for (row, (index, place)) in tile.range().zip(places).enumerate() {
                let factors = &factors[index / rows * channels..][..channels];
                let affine = factors.iter().zip(&self.shift);
                for ((out, x), (factor, shift)) in tile.row(row).iter_mut().zip(place).zip(affine) {
                    *out = x * factor + shift;
                }
            }
            lap.end(0);
        });
    }
}
