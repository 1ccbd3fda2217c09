//! Depthwise convolution, vectors along the channels; the norm that follows a row runs while it is in the cache.

use std::ops::Range;

use super::maps::Maps;
use super::norm::Norm;
use super::threads::Threads;
use super::tile::Grid;
use crate::program::Shape;

/// Places of a tile, at least a row of the map: of the order of a million multiply-adds at 7×7 and 768 channels.
const TILE_PLACES: usize = 16;

/// A convolution of stride 1, zero padded, and a norm of what it gives.
pub(super) struct Depthwise {
    shape: Shape,
    kernel: usize,
    /// Blocks of 16, 8, 4 or 1 channels, each `[kernel, kernel, channels]`: a block's taps lie together in the cache.
    taps: Vec<f32>,
    /// `[c]`
    bias: Vec<f32>,
    norm: Option<Norm>,
}

/// The channels of the block that starts where `left` channels are left.
const fn block(left: usize) -> usize {
    match left {
        16.. => 16,
        8.. => 8,
        4.. => 4,
        _ => 1,
    }
}

impl Depthwise {
    /// Packs a weight `[kernel, kernel, c]`.
    pub(super) fn new(shape: Shape, kernel: usize, weight: &[f32], bias: Vec<f32>, norm: Option<Norm>) -> Self {
        let channels = shape.channels;
        let mut taps = Vec::with_capacity(weight.len());
        let mut first = 0;
        while first < channels {
            let end = first + block(channels - first);
            weight.chunks_exact(channels).for_each(|tap| taps.extend_from_slice(&tap[first..end]));
            first = end;
        }
        Self { shape, kernel, taps, bias, norm }
    }

    /// Computes `images` maps of the input's shape.
    pub(super) fn run(&self, threads: &Threads, images: usize, input: Maps<'_>, output: &mut [f32]) {
        let Shape { height, width, channels } = self.shape;
        let columns = width * channels;
        let tile_rows = (TILE_PLACES / width).max(1);
        let grid = Grid { images, rows: height, columns, tile_rows, tile_columns: columns };
        grid.each(threads, output, |mut tile| {
            let image = input.image(tile.image);
            for (row, y) in tile.rows.clone().enumerate() {
                let out = tile.row(row);
                self.row(image, y, out);
                if let Some(norm) = &self.norm {
                    out.chunks_exact_mut(channels).for_each(|place| norm.place(place));
                }
            }
        });
    }

    /// A row `[w, c]` of the output.
    fn row(&self, image: &[f32], y: usize, out: &mut [f32]) {
        let channels = self.shape.channels;
        let mut first = 0;
        while first < channels {
            match block(channels - first) {
                16 => self.block::<16>(image, y, first, out),
                8 => self.block::<8>(image, y, first, out),
                4 => self.block::<4>(image, y, first, out),
                _ => self.block::<1>(image, y, first, out),
            }
            first += block(channels - first);
        }
    }

    /// `N` channels, from `first` on, of a row of the output.
    fn block<const N: usize>(&self, image: &[f32], y: usize, first: usize, out: &mut [f32]) {
        let Shape { height, width, channels } = self.shape;
        let (kernel, half) = (self.kernel, self.kernel / 2);
        let taps = &self.taps[first * kernel * kernel..][..N * kernel * kernel];
        let down = inside(y, height, kernel);
        for x in 0..width {
            let mut sums = [0.0; N];
            sums.copy_from_slice(&self.bias[first..][..N]);
            let across = inside(x, width, kernel);
            for tap_y in down.clone() {
                let line = &image[(y + tap_y - half) * width * channels..][..width * channels];
                let places = line[(x + across.start - half) * channels..].chunks(channels);
                let taps = taps[(tap_y * kernel + across.start) * N..].chunks_exact(N);
                for ((place, tap), _) in places.zip(taps).zip(across.clone()) {
                    let place = &place[first..][..N];
                    for lane in 0..N {
                        sums[lane] += place[lane] * tap[lane];
                    }
                }
            }
            out[x * channels + first..][..N].copy_from_slice(&sums);
        }
    }
}

/// The taps of a kernel centred at `position` that lie inside a side: those outside meet zeros.
fn inside(position: usize, side: usize, kernel: usize) -> Range<usize> {
    let half = kernel / 2;
    half.saturating_sub(position)..kernel.min(side + half - position)
}
