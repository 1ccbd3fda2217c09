//! Global response normalisation in two passes: each channel's norm over the whole map, then one multiply-add per element.
//!
//! Not here: the sums (`pool`).

use crate::engine::cpu::operations::pool::column_sums;
use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::tile::Grid;

/// Pixels of a tile of the second pass.
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
    /// GRN with its scale and shift, each `[c]`.
    pub(crate) fn new(eps: f32, scale: Vec<f32>, shift: Vec<f32>) -> Self {
        Self { eps, scale, shift }
    }

    /// Computes maps `[images, rows, c]`; `factors` is `[images, c]` of scratch memory.
    pub(crate) fn run(
        &self,
        context: Context<'_>,
        rows: usize,
        input: &[f32],
        factors: &mut [f32],
        output: &mut [f32],
    ) {
        let channels = self.scale.len();
        column_sums(context, (rows, channels), input, factors, |x| x * x, f64::sqrt);
        for norms in factors.chunks_exact_mut(channels) {
            let mean = norms.iter().map(|norm| f64::from(*norm)).sum::<f64>() / channels as f64;
            let inverse = (1.0 / (mean + f64::from(self.eps))) as f32;
            norms.iter_mut().zip(&self.scale).for_each(|(norm, scale)| *norm = 1.0 + scale * (*norm * inverse));
        }
        let grid =
            Grid { rows: output.len() / channels, columns: channels, tile_rows: TILE_ROWS, tile_columns: channels };
        grid.each(context.threads, output, |mut tile, _| {
            let stopwatch = context.clock.start();
            let pixels = input[tile.row_range().start * channels..].chunks_exact(channels);
            for (row, (index, pixel)) in tile.row_range().zip(pixels).enumerate() {
                let factors = &factors[index / rows * channels..][..channels];
                let affine = factors.iter().zip(&self.shift);
                for ((out, x), (factor, shift)) in tile.row(row).iter_mut().zip(pixel).zip(affine) {
                    *out = x * factor + shift;
                }
            }
            stopwatch.stop(0);
        });
    }
}
