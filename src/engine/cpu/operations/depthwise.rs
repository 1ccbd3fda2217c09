//! Depthwise convolution: a vector of channels at a time, several places of a row in registers.

use std::ops::Range;

use pulp::Simd;

use crate::engine::cpu::error::NoMemory;
use crate::engine::cpu::operations::norm::Norm;
use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::cpu::simd::instructions::Instructions;
use crate::engine::cpu::simd::vector::{load, multiply_add, prefetch, store};
use crate::program::Shape;

/// A convolution of stride 1, zero padded, and a norm of what it gives.
pub(crate) struct Depthwise {
    shape: Shape,
    kernel: usize,
    /// `[c / lanes][kernel][kernel][lanes]`, the last vector filled with zeros.
    taps: Aligned,
    /// `[c]`, filled up likewise.
    bias: Aligned,
    norm: Option<Norm>,
}

impl Depthwise {
    /// Packs a weight `[kernel, kernel, c]`.
    pub(crate) fn new(
        instructions: Instructions,
        (shape, kernel): (Shape, usize),
        weight: &[f32],
        bias: &[f32],
        norm: Option<Norm>,
    ) -> Result<Self, NoMemory> {
        let (channels, lanes) = (shape.channels, instructions.lanes());
        let filled = channels.next_multiple_of(lanes);
        let (mut taps, mut padded) = (Aligned::zeros(kernel * kernel * filled)?, Aligned::zeros(filled)?);
        padded[..channels].copy_from_slice(bias);
        for (tap, weights) in weight.chunks_exact(channels).enumerate() {
            for (vector, weights) in weights.chunks(lanes).enumerate() {
                let at = (vector * kernel * kernel + tap) * lanes;
                taps[at..at + weights.len()].copy_from_slice(weights);
            }
        }
        Ok(Self { shape, kernel, taps, bias: padded, norm })
    }

    /// The shape of a map.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Computes the tile's places, counted through all maps of the input.
    #[inline(always)]
    pub(crate) fn places<S: Simd>(&self, simd: S, input: &[f32], tile: &mut Tile<'_>) {
        let Shape { width, .. } = self.shape;
        let mut place = tile.range().start;
        while place < tile.range().end {
            let (image, inside) = (place / self.shape.rows(), place % self.shape.rows());
            let (y, x) = (inside / width, inside % width);
            let end = tile.range().end.min(place + width - x);
            let image = &input[image * self.shape.len()..][..self.shape.len()];
            self.line(simd, image, (y, x), tile, place - tile.range().start..end - tile.range().start);
            place = end;
        }
    }

    /// Computes the places from (y, x) on, in one row of the map: some places at a time, all their channels, and their norm.
    #[inline(always)]
    fn line<S: Simd>(&self, simd: S, image: &[f32], (y, x): (usize, usize), tile: &mut Tile<'_>, rows: Range<usize>) {
        let (taps, _) = S::as_simd_f32s(&self.taps);
        let (bias, _) = S::as_simd_f32s(&self.bias);
        // registers for 7 or 8 places, whichever divides the row: 224-pixel images have maps of 56, 28, 14 and 7
        let most = if self.shape.width.is_multiple_of(7) { 7 } else { 8 };
        let mut row = rows.start;
        while row < rows.end {
            let (left, x) = (rows.end - row, x + row - rows.start);
            let places = match (self.kernel, left.min(most)) {
                (7, places @ 7..) => places,
                (7, 4..) => 4,
                (7, 2..) => 2,
                _ => 1,
            };
            let at = ((y, x), row);
            for (vector, taps) in taps.chunks_exact(self.kernel * self.kernel).enumerate() {
                let channels = Channels { first: vector * S::F32_LANES, taps, bias: bias[vector] };
                let ragged = channels.first + S::F32_LANES > self.shape.channels;
                match (self.kernel, places) {
                    _ if ragged => self.singles(simd, image, &channels, at, tile, places),
                    (7, 8) => self.window::<S, 7, 8>(simd, image, &channels, at, tile),
                    (7, 7) => self.window::<S, 7, 7>(simd, image, &channels, at, tile),
                    (7, 4) => self.window::<S, 7, 4>(simd, image, &channels, at, tile),
                    (7, 2) => self.window::<S, 7, 2>(simd, image, &channels, at, tile),
                    (7, _) => self.window::<S, 7, 1>(simd, image, &channels, at, tile),
                    _ => self.singles(simd, image, &channels, at, tile, places),
                }
            }
            if let Some(norm) = &self.norm {
                for row in row..row + places {
                    norm.place(simd, tile.row(row));
                }
            }
            row += places;
        }
    }

    /// `X` places by a kernel of side `K`, for a whole vector of channels.
    #[inline(always)]
    fn window<S: Simd, const K: usize, const X: usize>(
        &self,
        simd: S,
        image: &[f32],
        channels: &Channels<'_, S>,
        ((y, x), row): ((usize, usize), usize),
        tile: &mut Tile<'_>,
    ) {
        let Shape { height, width, channels: all } = self.shape;
        let half = K / 2;
        let mut sums = [channels.bias; X];
        for tap_y in inside(y, height, K) {
            let line = &image[(y + tap_y - half) * width * all..][..width * all];
            let taps: [S::f32s; K] = std::array::from_fn(|tap_x| channels.taps[tap_y * K + tap_x]);
            for step in 0..X + K - 1 {
                // outside of the map are zeros, which add nothing
                let column = (x + step).wrapping_sub(half);
                if step >= K - 1 {
                    // what the window to the right needs that this one does not
                    prefetch(line.as_ptr().wrapping_add((column + X) * all + channels.first));
                }
                if column < width {
                    let value = load(simd, &line[column * all + channels.first..][..S::F32_LANES]);
                    for place in 0..X {
                        if step >= place && step - place < K {
                            sums[place] = multiply_add(simd, value, taps[step - place], sums[place]);
                        }
                    }
                }
            }
        }
        let out = tile.rows::<X>(row, channels.first..channels.first + S::F32_LANES);
        for place in 0..X {
            S::as_mut_simd_f32s(out[place]).0[0] = sums[place];
        }
    }

    /// Places by a kernel of any side, for a vector of channels, one after the other.
    #[inline(always)]
    fn singles<S: Simd>(
        &self,
        simd: S,
        image: &[f32],
        channels: &Channels<'_, S>,
        ((y, x), row): ((usize, usize), usize),
        tile: &mut Tile<'_>,
        places: usize,
    ) {
        let Shape { height, width, channels: all } = self.shape;
        let (kernel, half) = (self.kernel, self.kernel / 2);
        let end = all.min(channels.first + S::F32_LANES);
        for place in 0..places {
            let mut sum = channels.bias;
            for tap_y in inside(y, height, kernel) {
                for tap_x in inside(x + place, width, kernel) {
                    let at = ((y + tap_y - half) * width + x + place + tap_x - half) * all;
                    let value = load(simd, &image[at + channels.first..at + end]);
                    sum = multiply_add(simd, value, channels.taps[tap_y * kernel + tap_x], sum);
                }
            }
            store(simd, &mut tile.row(row + place)[channels.first..end], sum);
        }
    }
}

/// A vector of channels and what they are convolved with.
struct Channels<'a, S: Simd> {
    first: usize,
    /// `[kernel, kernel]`
    taps: &'a [S::f32s],
    bias: S::f32s,
}

/// The taps of a kernel centred at `position` that lie inside a side: those outside meet zeros.
#[inline(always)]
fn inside(position: usize, side: usize, kernel: usize) -> Range<usize> {
    let half = kernel / 2;
    half.saturating_sub(position)..kernel.min(side + half - position)
}
