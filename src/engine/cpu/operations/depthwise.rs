//! Depthwise convolution: a vector of channels at a time, with the sums of several neighbouring pixels in registers.
//!
//! Not here: the cut into tiles (`fused/source`).

use std::ops::Range;

use pulp::Simd;

use crate::engine::cpu::error::NoMemory;
use crate::engine::cpu::operations::norm::Norm;
use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::cpu::simd::instructions::Instructions;
use crate::engine::cpu::simd::vector::{load, multiply_add, prefetch, store};
use crate::program::Shape;

/// A convolution of stride 1 with zero padding, and the norm that may follow it.
pub(crate) struct Depthwise {
    shape: Shape,
    kernel: usize,
    /// `[vectors][kernel][kernel][lanes]`
    taps: Aligned,
    /// `[vectors][lanes]`
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
        let vectors = channels.div_ceil(lanes);
        let (mut taps, mut biases) =
            (Aligned::zeros(kernel * kernel * vectors * lanes)?, Aligned::zeros(vectors * lanes)?);
        for vector in 0..vectors {
            let first = first_channel(vector, channels, lanes);
            let of = first..channels.min(first + lanes);
            biases[vector * lanes..][..of.len()].copy_from_slice(&bias[of.clone()]);
            for (tap, weights) in weight.chunks_exact(channels).enumerate() {
                let start = (vector * kernel * kernel + tap) * lanes;
                taps[start..start + of.len()].copy_from_slice(&weights[of.clone()]);
            }
        }
        Ok(Self { shape, kernel, taps, bias: biases, norm })
    }

    /// The shape of a map.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Computes a tile of rows, one per pixel. Rows count through the maps of all images.
    #[inline(always)]
    pub(crate) fn tile<S: Simd>(&self, simd: S, input: &[f32], tile: &mut Tile<'_>) {
        let Shape { width, .. } = self.shape;
        let mut pixel = tile.row_range().start;
        while pixel < tile.row_range().end {
            let (image, of_map) = (pixel / self.shape.rows(), pixel % self.shape.rows());
            let (y, x) = (of_map / width, of_map % width);
            let end = tile.row_range().end.min(pixel + width - x);
            let image = &input[image * self.shape.len()..][..self.shape.len()];
            self.pixels(simd, image, (y, x), tile, pixel - tile.row_range().start..end - tile.row_range().start);
            pixel = end;
        }
    }

    /// Computes pixels of one row of the map, from (y, x) on: a few at a time, all their channels, then their norm.
    /// `rows` are their rows in the tile.
    #[inline(always)]
    fn pixels<S: Simd>(&self, simd: S, image: &[f32], (y, x): (usize, usize), tile: &mut Tile<'_>, rows: Range<usize>) {
        let (taps, _) = S::as_simd_f32s(&self.taps);
        let (bias, _) = S::as_simd_f32s(&self.bias);
        // registers hold 7 or 8 pixels, whichever divides the row: images of 224 pixels have maps of 56, 28, 14 and 7
        let most = if self.shape.width.is_multiple_of(7) { 7 } else { 8 };
        let mut row = rows.start;
        while row < rows.end {
            let (left, x) = (rows.end - row, x + row - rows.start);
            let count = match (self.kernel, left.min(most)) {
                (7, count @ 7..) => count,
                (7, 4..) => 4,
                (7, 2..) => 2,
                _ => 1,
            };
            let position = ((y, x), row);
            for (vector, taps) in taps.chunks_exact(self.kernel * self.kernel).enumerate() {
                let first = first_channel(vector, self.shape.channels, S::F32_LANES);
                let channels = Channels { first, taps, bias: bias[vector] };
                let partial = self.shape.channels < S::F32_LANES;
                match (self.kernel, count) {
                    _ if partial => self.one_by_one(simd, image, &channels, position, tile, count),
                    (7, 8) => self.together::<S, 7, 8>(simd, image, &channels, position, tile),
                    (7, 7) => self.together::<S, 7, 7>(simd, image, &channels, position, tile),
                    (7, 4) => self.together::<S, 7, 4>(simd, image, &channels, position, tile),
                    (7, 2) => self.together::<S, 7, 2>(simd, image, &channels, position, tile),
                    (7, _) => self.together::<S, 7, 1>(simd, image, &channels, position, tile),
                    _ => self.one_by_one(simd, image, &channels, position, tile, count),
                }
            }
            if let Some(norm) = &self.norm {
                for row in row..row + count {
                    norm.apply(simd, tile.row(row));
                }
            }
            row += count;
        }
    }

    /// `X` neighbouring pixels at once, by a kernel of side `K`, for a whole vector of channels.
    #[inline(always)]
    fn together<S: Simd, const K: usize, const X: usize>(
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
                // columns outside of the map are zeros, which add nothing
                let column = (x + step).wrapping_sub(half);
                if step >= K - 1 {
                    // what the next pixels to the right will read
                    prefetch(line.as_ptr().wrapping_add((column + X) * all + channels.first));
                }
                if column < width {
                    let value = load(simd, &line[column * all + channels.first..][..S::F32_LANES]);
                    for pixel in 0..X {
                        if step >= pixel && step - pixel < K {
                            sums[pixel] = multiply_add(simd, value, taps[step - pixel], sums[pixel]);
                        }
                    }
                }
            }
        }
        let out = tile.rows::<X>(row, channels.first..channels.first + S::F32_LANES);
        for pixel in 0..X {
            S::as_mut_simd_f32s(out[pixel]).0[0] = sums[pixel];
        }
    }

    /// `count` pixels one by one, by a kernel of any side, for a vector of channels that may be a partial one.
    #[inline(always)]
    fn one_by_one<S: Simd>(
        &self,
        simd: S,
        image: &[f32],
        channels: &Channels<'_, S>,
        ((y, x), row): ((usize, usize), usize),
        tile: &mut Tile<'_>,
        count: usize,
    ) {
        let Shape { height, width, channels: all } = self.shape;
        let (kernel, half) = (self.kernel, self.kernel / 2);
        let end = all.min(channels.first + S::F32_LANES);
        for pixel in 0..count {
            let mut sum = channels.bias;
            for tap_y in inside(y, height, kernel) {
                for tap_x in inside(x + pixel, width, kernel) {
                    let start = ((y + tap_y - half) * width + x + pixel + tap_x - half) * all;
                    let value = load(simd, &image[start + channels.first..start + end]);
                    sum = multiply_add(simd, value, channels.taps[tap_y * kernel + tap_x], sum);
                }
            }
            store(simd, &mut tile.row(row + pixel)[channels.first..end], sum);
        }
    }
}

/// The first channel of a vector. The last vector of several ends with the last channel: what it has in common with the one before is computed twice,
/// which takes less than half of what a vector takes that is a partial one.
#[inline(always)]
fn first_channel(vector: usize, channels: usize, lanes: usize) -> usize {
    (vector * lanes).min(channels.saturating_sub(lanes))
}

/// A vector of channels, and their weights.
struct Channels<'a, S: Simd> {
    /// Index of the first channel.
    first: usize,
    /// `[kernel, kernel]`
    taps: &'a [S::f32s],
    bias: S::f32s,
}

/// Which taps of a kernel at `position` lie inside a side of the map; the others meet the zeros of the padding.
#[inline(always)]
fn inside(position: usize, side: usize, kernel: usize) -> Range<usize> {
    let half = kernel / 2;
    half.saturating_sub(position)..kernel.min(side + half - position)
}
