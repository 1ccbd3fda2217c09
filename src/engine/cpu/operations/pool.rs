//! The mean over all places, and the sums over places that it shares with GRN.

use crate::engine::cpu::parallel::context::Run;
use crate::engine::cpu::parallel::tile::Grid;

/// Channels of a tile: as many sums in f64 as the first cache holds without noticing.
const TILE_CHANNELS: usize = 64;

/// The mean of maps `[images, rows, channels]` over their rows.
pub(crate) fn mean(run: Run<'_>, (rows, channels): (usize, usize), input: &[f32], output: &mut [f32]) {
    column_sums(run, (rows, channels), input, output, |x| x, |sum| sum / rows as f64);
}

/// `finish(Σ term(x))` over all places of each channel: `[images, channels]`. In f64, for a map has thousands of places.
pub(crate) fn column_sums(
    run: Run<'_>,
    (rows, channels): (usize, usize),
    input: &[f32],
    output: &mut [f32],
    term: impl Fn(f64) -> f64 + Sync,
    finish: impl Fn(f64) -> f64 + Sync,
) {
    let images = output.len() / channels;
    let grid = Grid { rows: images, columns: channels, tile_rows: 1, tile_columns: TILE_CHANNELS.min(channels) };
    grid.each(run.threads, output, |mut tile, _| {
        let lap = run.clock.lap();
        let mut sums = [0.0; TILE_CHANNELS];
        for place in input[tile.range().start * rows * channels..][..rows * channels].chunks_exact(channels) {
            sums.iter_mut().zip(&place[tile.columns()]).for_each(|(sum, x)| *sum += term(f64::from(*x)));
        }
        tile.row(0).iter_mut().zip(&sums).for_each(|(out, sum)| *out = finish(*sum) as f32);
        lap.end(0);
    });
}
