//! The mean over all pixels, and the sums over pixels that GRN uses too. Not here: pooling of any other kind.

use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::tile::Grid;

/// Channels of a tile: their sums in f64 take a small part of the L1 cache.
const TILE_CHANNELS: usize = 64;

/// The mean of maps `[images, rows, channels]` over their rows.
pub(crate) fn mean(context: Context<'_>, (rows, channels): (usize, usize), input: &[f32], output: &mut [f32]) {
    column_sums(context, (rows, channels), input, output, |x| x, |sum| sum / rows as f64);
}

/// `finish(Σ term(x))` over all pixels, per channel: `[images, channels]`. Summed in f64, for a map has thousands of pixels.
pub(crate) fn column_sums(
    context: Context<'_>,
    (rows, channels): (usize, usize),
    input: &[f32],
    output: &mut [f32],
    term: impl Fn(f64) -> f64 + Sync,
    finish: impl Fn(f64) -> f64 + Sync,
) {
    let images = output.len() / channels;
    let grid = Grid { rows: images, columns: channels, tile_rows: 1, tile_columns: TILE_CHANNELS.min(channels) };
    grid.each(context.threads, output, |mut tile, _| {
        let stopwatch = context.clock.start();
        let mut sums = [0.0; TILE_CHANNELS];
        for pixel in input[tile.row_range().start * rows * channels..][..rows * channels].chunks_exact(channels) {
            sums.iter_mut().zip(&pixel[tile.column_range()]).for_each(|(sum, x)| *sum += term(f64::from(*x)));
        }
        tile.row(0).iter_mut().zip(&sums).for_each(|(out, sum)| *out = finish(*sum) as f32);
        stopwatch.stop(0);
    });
}
