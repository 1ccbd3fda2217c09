//! Attention in shifted windows. A task takes one window and some of its heads, and finds their pixels by index arithmetic: nothing is
//! rolled. Scores stay in the thread's cache; both products use the kernel of `product`, in floats, or in pairs of bf16 where the precision is lower and the
//! machine multiplies them. The softmax is f32. Not here: the arithmetic (`Windows`).

mod geometry;
mod operands;

pub(crate) use geometry::Geometry;

use std::ops::Range;
use std::sync::Arc;

use pulp::{Simd, WithSimd};

use crate::engine::cpu::error::NoMemory;
use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::tile::{Tile, WindowGrid, WindowTile};
use crate::engine::cpu::product::multiply::multiply;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::packed::{Layout, PackedMatrix};
use crate::engine::cpu::product::rows::Rows;
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::cpu::simd::exp::exp;
use crate::engine::cpu::simd::instructions::Instructions;
use crate::engine::cpu::simd::vector::prefetch;

/// Added to scores of keys that only pad a row to whole vectors.
const NO_KEY: f32 = -1e30;
/// Tasks per thread, where windows are few.
const TASKS_PER_THREAD: usize = 2;
/// Floats of a cache line.
const LINE_FLOATS: usize = 16;
/// Vectors whose exponentials are computed side by side.
const EXP_VECTORS: usize = 4;

/// `softmax(q·kᵀ / sqrt(d) + bias + mask) · v` in each window and head.
pub(crate) struct Attention {
    geometry: Arc<Geometry>,
    /// Channels of the output.
    channels: usize,
    heads: usize,
    /// `[heads, area, keys]`
    bias: Aligned,
    /// `[3c]`, of padding; empty where there is none.
    padding: Vec<f32>,
    /// How the keys and the values of a head are packed for the product, and what numbers multiply both operands.
    keys: Layout,
    values: Layout,
    numbers: [Numbers; 2],
}

impl Attention {
    /// Attention on maps `[h, w, 3c]`, whose products are of floats or pairs; `table` is `[differences, heads]`, `padding` `[3c]`.
    pub(crate) fn new(
        (instructions, numbers): (Instructions, Numbers),
        geometry: Arc<Geometry>,
        (channels, heads): (usize, usize),
        table: &[f32],
        padding: Vec<f32>,
    ) -> Result<Self, NoMemory> {
        let (area, lanes, dim) = (geometry.windows.area(), instructions.lanes(), channels / heads);
        let mut bias = Aligned::zeros(heads * area * geometry.keys)?;
        for (row, biases) in bias.chunks_exact_mut(geometry.keys).enumerate() {
            let (head, query) = (row / area, row % area);
            for (key, bias) in biases.iter_mut().enumerate() {
                let difference = || geometry.windows.difference(query, key);
                *bias = if key < area { table[difference() * heads + head] } else { NO_KEY };
            }
        }
        let numbers = [dim, area].map(|depth| numbers.of_layer(depth));
        let layout = |depth: usize, columns: usize, numbers: Numbers| {
            let (per_float, multiple) = (numbers.per_float(), numbers.multiple());
            Layout { depth, columns, lanes, block: depth, per_float, head: 0, multiple }
        };
        let keys = layout(dim, geometry.keys, numbers[0]);
        let values = layout(area, dim.next_multiple_of(lanes), numbers[1]);
        Ok(Self { geometry, channels, heads, bias, padding, keys, values, numbers })
    }

    /// Floats of memory that each thread needs of its own.
    pub(crate) fn thread_memory(&self) -> usize {
        self.part_lens().iter().sum()
    }

    /// Floats of a head's queries, or results; of packed keys and values; of scores, or keys and values as rows; of factors. Each part starts at a cache line.
    ///
    /// What is never needed at the same time shares memory: all of it is to stay in the nearest cache.
    fn part_lens(&self) -> [usize; 5] {
        let area = self.values.depth;
        let (results, scores) = (area * self.values.columns, area * self.keys.columns);
        let scores = scores.max(2 * self.rows_len());
        [results, self.keys.len(), self.values.len(), scores, area].map(|len| len.next_multiple_of(LINE_FLOATS))
    }

    /// Floats of a head's keys or values, up to the next cache line.
    fn rows_len(&self) -> usize {
        (self.values.depth * self.keys.depth).next_multiple_of(LINE_FLOATS)
    }

    /// Computes maps `[h, w, c]` of maps `[h, w, 3c]`.
    pub(crate) fn run(&self, context: Context<'_>, input: &[f32], output: &mut [f32]) {
        let Geometry { sides: [height, width], count: [down, across], windows_of: [rows, columns], .. } =
            &*self.geometry;
        let map = height * width * self.channels;
        // where windows are few, a task takes some of the heads
        let tasks = (output.len() / map * down * across).max(1);
        let heads = self.heads.div_ceil((TASKS_PER_THREAD * context.threads.count()).div_ceil(tasks).min(self.heads));
        let grid = WindowGrid {
            windows: [rows, columns],
            count: [*down, *across],
            channels: self.channels,
            tile_channels: heads * self.keys.depth,
        };
        grid.each(context.threads, output, |tile, memory| {
            let stopwatch = context.clock.start();
            let input = &input[tile.image() * 3 * map..][..3 * map];
            memory.with(|memory| context.instructions.run(Kernel { attention: self, input, memory, tile }));
            stopwatch.stop(0);
        });
    }

    /// Prefetches what [`Self::gather`] will copy. Pixels of a window lie far apart, and each would be waited for.
    #[inline(always)]
    fn prefetch(&self, input: &[f32], window: [usize; 2], head: &Range<usize>) {
        let geometry = &*self.geometry;
        let [height, width] = geometry.windows.size;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        for (y, x) in pixels.filter_map(|(y, x)| geometry.pixel(window, y, x)) {
            let pixel = (y * geometry.sides[1] + x) * 3 * self.channels;
            for part in 0..3 {
                let first = pixel + part * self.channels + head.start;
                (first..first + head.len())
                    .step_by(LINE_FLOATS)
                    .for_each(|float| prefetch(input.as_ptr().wrapping_add(float)));
            }
        }
    }

    /// Copies a head's queries, keys and values out of the map, as rows.
    #[inline(always)]
    fn gather<S: Simd>(&self, simd: S, input: &[f32], window: [usize; 2], head: usize, mut rows: [&mut [f32]; 3]) {
        let (dim, channels, geometry) = (self.keys.depth, self.channels, &*self.geometry);
        let [height, width] = geometry.windows.size;
        let scale = 1.0 / (dim as f32).sqrt();
        for (index, (y, x)) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).enumerate() {
            let pixel = match geometry.pixel(window, y, x) {
                Some((y, x)) => &input[(y * geometry.sides[1] + x) * 3 * channels..][..3 * channels],
                None => &self.padding,
            };
            for (part, rows) in rows.iter_mut().enumerate() {
                let from = &pixel[part * channels + head..][..dim];
                scaled_copy(simd, from, if part == 0 { scale } else { 1.0 }, &mut rows[index * dim..][..dim]);
            }
        }
    }

    /// Turns a row of scores into exponentials and returns their sum, by which they are not yet divided.
    ///
    /// The sum is NaN where a score is not finite: neither the largest score nor the exponentials would show it.
    #[inline(always)]
    fn exponentials<S: Simd>(&self, simd: S, scores: &mut [f32], bias: &[f32], mask: Option<&[f32]>) -> f32 {
        let (scores, _) = S::as_mut_simd_f32s(scores);
        let (bias, _) = S::as_simd_f32s(bias);
        let (mut largest, mut total) = (simd.splat_f32s(f32::MIN), simd.splat_f32s(0.0));
        match mask.map(|mask| S::as_simd_f32s(mask).0) {
            Some(mask) => {
                for ((score, bias), mask) in scores.iter_mut().zip(bias).zip(mask) {
                    *score = simd.add_f32s(simd.add_f32s(*score, *bias), *mask);
                    largest = simd.max_f32s(largest, *score);
                    total = simd.add_f32s(total, *score);
                }
            }
            None => {
                for (score, bias) in scores.iter_mut().zip(bias) {
                    *score = simd.add_f32s(*score, *bias);
                    largest = simd.max_f32s(largest, *score);
                    total = simd.add_f32s(total, *score);
                }
            }
        }
        if !simd.reduce_sum_f32s(total).is_finite() {
            return f32::NAN;
        }
        let largest = simd.splat_f32s(simd.reduce_max_f32s(largest));
        let mut sum = simd.splat_f32s(0.0);
        let (many, rest) = scores.as_chunks_mut::<EXP_VECTORS>();
        for scores in many {
            let mut differences = *scores;
            for score in &mut differences {
                *score = simd.sub_f32s(*score, largest);
            }
            *scores = exp(simd, differences);
            for power in *scores {
                sum = simd.add_f32s(sum, power);
            }
        }
        for score in rest {
            [*score] = exp(simd, [simd.sub_f32s(*score, largest)]);
            sum = simd.add_f32s(sum, *score);
        }
        simd.reduce_sum_f32s(sum)
    }
}

/// Copies numbers times a factor. They are too few for a call of `memcpy`.
#[inline(always)]
fn scaled_copy<S: Simd>(simd: S, from: &[f32], factor: f32, to: &mut [f32]) {
    let ((to, to_rest), (from, from_rest)) = (S::as_mut_simd_f32s(to), S::as_simd_f32s(from));
    for (to, from) in to.iter_mut().zip(from) {
        *to = simd.mul_f32s(*from, simd.splat_f32s(factor));
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = from * factor;
    }
}

/// Computes some heads of a window.
struct Kernel<'a> {
    attention: &'a Attention,
    /// The map, `[h, w, 3c]`.
    input: &'a [f32],
    memory: &'a mut [f32],
    tile: WindowTile<'a>,
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { attention, input, mut memory, tile: mut output } = self;
        let Attention { geometry, keys, values, .. } = attention;
        let (keys, values, area, dim) = (*keys, *values, values.depth, keys.depth);
        let lens = attention.part_lens();
        let [queries, packed_keys, packed_values, scores, factors]: [&mut [f32]; 5] = std::array::from_fn(|part| {
            let (first, rest) = std::mem::take(&mut memory).split_at_mut(lens[part]);
            memory = rest;
            first
        });
        // the padding of keys and values is multiplied too, and must not be NaN
        packed_keys.fill(0.0);
        packed_values.fill(0.0);
        let (window, channels) = (output.window(), output.channels());
        let mask = geometry.mask(window);
        attention.prefetch(input, window, &(channels.start..channels.start + dim));
        for head in channels.clone().step_by(dim) {
            let (k, v) = scores.split_at_mut(attention.rows_len());
            attention.gather(simd, input, window, head, [&mut *queries, &mut *k, &mut *v]);
            if head + dim < channels.end {
                attention.prefetch(input, window, &(head + dim..head + 2 * dim));
            }
            let [numbers_of_keys, numbers_of_values] = attention.numbers;
            for rows in [&mut *queries, &mut *k] {
                numbers_of_keys.round(simd, &mut Tile::over(rows, 0..area, 0..dim, dim));
            }
            operands::pack_keys(keys, &k[..area * dim], packed_keys);
            operands::pack_values(simd, (values, numbers_of_values), v, dim, packed_values);
            let keys_of = PackedMatrix { layout: keys, numbers: numbers_of_keys, values: &packed_keys[..keys.len()] };
            let values_of =
                PackedMatrix { layout: values, numbers: numbers_of_values, values: &packed_values[..values.len()] };
            let mut tile = Tile::over(scores, 0..area, 0..keys.columns, keys.columns);
            multiply(simd, Rows::new(queries, dim), (keys_of, 0), &mut tile, None, None, &[]);
            let bias = &attention.bias[head / dim * area * keys.columns..][..area * keys.columns];
            for (query, factor) in factors[..area].iter_mut().enumerate() {
                let row = query * keys.columns..(query + 1) * keys.columns;
                let mask = mask.map(|mask| &mask[row.clone()]);
                *factor = 1.0 / attention.exponentials(simd, &mut scores[row.clone()], &bias[row], mask);
            }
            numbers_of_values.round(simd, &mut Tile::over(scores, 0..area, 0..keys.columns, keys.columns));
            let results = &mut *queries;
            let mut tile = Tile::over(results, 0..area, 0..values.columns, values.columns);
            multiply(simd, Rows::new(scores, keys.columns), (values_of, 0), &mut tile, None, None, &[]);
            let [height, width] = geometry.windows.size;
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                if let Some((row, column)) = geometry.pixel(window, y, x) {
                    let index = y * width + x;
                    let out = &mut output.pixel(row, column)[head - channels.start..][..dim];
                    for (out, result) in out.iter_mut().zip(&results[index * values.columns..]) {
                        *out = result * factors[index];
                    }
                }
            }
        }
    }
}
