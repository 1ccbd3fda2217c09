//! Attention in shifted windows: a window and some of its heads at a time, by index arithmetic on the map as it lies. Scores stay in the
//! thread's cache, and the two products are `product`'s kernel. Not here: which place is where in a window (`Windows`).

use std::ops::Range;
use std::sync::Arc;

use pulp::{Simd, WithSimd};

use crate::engine::cpu::error::NoMemory;
use crate::engine::cpu::parallel::context::Run;
use crate::engine::cpu::parallel::tile::{Deal, Hand, Tile};
use crate::engine::cpu::product::multiply::multiply;
use crate::engine::cpu::product::packed::{Layout, Panels};
use crate::engine::cpu::product::rows::Rows;
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::cpu::simd::exp::exp;
use crate::engine::cpu::simd::instructions::Instructions;
use crate::program::{Shape, Windows};

/// Added to scores between places that the roll brought together, as in timm and transformers.
const APART: f32 = -100.0;
/// Added to scores of keys that are none: those that fill up a row of vectors.
const NO_KEY: f32 = -1e30;
/// Tasks for each thread where windows are few.
const TASKS: usize = 2;
/// Vectors whose exponentials go side by side.
const SIDE_BY_SIDE: usize = 4;

/// What attention needs to know of windows on a map; the same for all blocks that have the same ones.
pub(crate) struct Geometry {
    windows: Windows,
    /// Rows and columns of a map.
    sides: [usize; 2],
    /// Windows down and across.
    count: [usize; 2],
    /// As [`Windows::lines`].
    lines: [Vec<Option<usize>>; 2],
    /// Of each row and column of the map, the window down or across that it lies in.
    owners: [Vec<usize>; 2],
    /// Keys of a row of scores: places of a window, filled up to whole vectors.
    keys: usize,
    /// `[area, keys]` for the last windows down (first index 1) and across (second index 1), where shifts make one necessary.
    masks: [[Option<Aligned>; 2]; 2],
}

impl Geometry {
    /// Of these windows on a map.
    pub(crate) fn new(instructions: Instructions, map: Shape, windows: &Windows) -> Result<Self, NoMemory> {
        let (sides, lines) = ([map.height, map.width], windows.lines(map));
        let owners = [0, 1].map(|axis: usize| {
            let mut owners = vec![0; sides[axis]];
            for (at, source) in lines[axis].iter().enumerate() {
                if let Some(source) = source {
                    owners[*source] = at / windows.size[axis];
                }
            }
            owners
        });
        let (count, area) = (windows.count(map), windows.area());
        let keys = area.next_multiple_of(instructions.lanes());
        let mask = |last: [bool; 2]| -> Result<Option<Aligned>, NoMemory> {
            if !(0..2).any(|axis| last[axis] && windows.shift[axis] > 0) {
                return Ok(None);
            }
            let region = |index: usize| {
                let inside = [index / windows.size[1], index % windows.size[1]];
                [0, 1].map(|axis: usize| {
                    let first = if last[axis] { (count[axis] - 1) * windows.size[axis] } else { 0 };
                    if last[axis] { windows.region(map, axis, first + inside[axis]) } else { 0 }
                })
            };
            let regions: Vec<[usize; 2]> = (0..area).map(region).collect();
            let mut mask = Aligned::zeros(area * keys)?;
            for (row, query) in mask.chunks_exact_mut(keys).zip(&regions) {
                for (value, key) in row.iter_mut().zip(&regions) {
                    *value = if key == query { 0.0 } else { APART };
                }
            }
            Ok(Some(mask))
        };
        let masks = [[mask([false, false])?, mask([false, true])?], [mask([true, false])?, mask([true, true])?]];
        Ok(Self { windows: *windows, sides, count, lines, owners, keys, masks })
    }

    /// Whether it is of these windows on such a map.
    pub(crate) fn fits(&self, map: Shape, windows: &Windows) -> bool {
        self.windows == *windows && self.sides == [map.height, map.width]
    }

    /// The row and the column of the map at an index of a window; None for padding.
    #[inline(always)]
    fn place(&self, [down, across]: [usize; 2], y: usize, x: usize) -> Option<(usize, usize)> {
        let [height, width] = self.windows.size;
        Some((self.lines[0][down * height + y]?, self.lines[1][across * width + x]?))
    }

    /// What is added to the scores of a window.
    fn mask(&self, [down, across]: [usize; 2]) -> Option<&Aligned> {
        let last = [down + 1 == self.count[0], across + 1 == self.count[1]].map(usize::from);
        self.masks[last[0]][last[1]].as_ref()
    }
}

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
    /// How the keys and the values of a head lie for the product.
    keys: Layout,
    values: Layout,
}

impl Attention {
    /// Attention on maps `[h, w, 3c]`; `table` is `[differences, heads]`, `padding` `[3c]`.
    pub(crate) fn new(
        instructions: Instructions,
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
        let keys = Layout { depth: dim, columns: geometry.keys, lanes, block: dim };
        let values = Layout { depth: area, columns: dim.next_multiple_of(lanes), lanes, block: area };
        Ok(Self { geometry, channels, heads, bias, padding, keys, values })
    }

    /// Numbers that a thread needs of its own.
    pub(crate) fn memory(&self) -> usize {
        self.parts().iter().sum()
    }

    /// Numbers of the queries, the keys, the values, the scores, the results and the factors of a head; all start at a cache line.
    fn parts(&self) -> [usize; 6] {
        let (area, dim) = (self.values.depth, self.keys.depth);
        let (scores, results) = (area * self.keys.columns, area * self.values.columns);
        let numbers = [area * dim, self.keys.len(), self.values.len(), scores, results, area];
        numbers.map(|numbers| numbers.next_multiple_of(16))
    }

    /// Computes maps `[h, w, c]` of maps `[h, w, 3c]`.
    pub(crate) fn run(&self, run: Run<'_>, input: &[f32], output: &mut [f32]) {
        let Geometry { sides: [height, width], count: [down, across], owners: [rows, columns], .. } = &*self.geometry;
        let map = height * width * self.channels;
        // where windows are few, a task takes some of the heads
        let tasks = (output.len() / map * down * across).max(1);
        let heads = self.heads.div_ceil((TASKS * run.threads.count()).div_ceil(tasks).min(self.heads));
        let deal = Deal {
            owners: [rows, columns],
            count: [*down, *across],
            channels: self.channels,
            part_channels: heads * self.keys.depth,
        };
        deal.each(run.threads, output, |hand, worker| {
            let lap = run.clock.lap();
            let input = &input[hand.image() * 3 * map..][..3 * map];
            worker.with_memory(|memory| run.instructions.run(Kernel { attention: self, input, memory, hand }));
            lap.end(0);
        });
    }

    /// Lays out a head's queries, keys and values.
    #[inline(always)]
    fn gather(&self, input: &[f32], window: [usize; 2], head: Range<usize>, [q, k, v]: [&mut [f32]; 3]) {
        let (dim, channels, geometry) = (self.keys.depth, self.channels, &*self.geometry);
        let [height, width] = geometry.windows.size;
        let scale = 1.0 / (dim as f32).sqrt();
        for y in 0..height {
            for x in 0..width {
                let index = y * width + x;
                let place = match geometry.place(window, y, x) {
                    Some((y, x)) => &input[(y * geometry.sides[1] + x) * 3 * channels..][..3 * channels],
                    None => &self.padding,
                };
                for (to, from) in q[index * dim..][..dim].iter_mut().zip(&place[head.clone()]) {
                    *to = from * scale;
                }
                let panel = index / self.keys.panel();
                let (range, panel_width) = (self.keys.panel_range(0, panel), self.keys.panel_width(panel));
                let key = &place[channels + head.start..][..dim];
                let column = k[range][index % self.keys.panel()..].iter_mut().step_by(panel_width);
                for (to, from) in column.zip(key) {
                    *to = *from;
                }
                let value = &place[2 * channels + head.start..][..dim];
                for panel in self.values.panels_of(0..dim) {
                    let (range, columns) = (self.values.panel_range(0, panel), self.values.panel_columns(panel));
                    let row = &mut v[range][index * self.values.panel_width(panel)..];
                    let value = &value[columns.start..dim.min(columns.end)];
                    row[..value.len()].copy_from_slice(value);
                }
            }
        }
    }

    /// Makes weights of a row of scores, not yet divided by their sum, which it gives: NaN where a score is not finite, which neither the
    /// largest score nor the exponentials would show.
    #[inline(always)]
    fn soften<S: Simd>(&self, simd: S, scores: &mut [f32], bias: &[f32], mask: Option<&[f32]>) -> f32 {
        let (scores, _) = S::as_mut_simd_f32s(scores);
        let (bias, _) = S::as_simd_f32s(bias);
        let (mut most, mut all) = (simd.splat_f32s(f32::MIN), simd.splat_f32s(0.0));
        match mask.map(|mask| S::as_simd_f32s(mask).0) {
            Some(mask) => {
                for ((score, bias), mask) in scores.iter_mut().zip(bias).zip(mask) {
                    *score = simd.add_f32s(simd.add_f32s(*score, *bias), *mask);
                    most = simd.max_f32s(most, *score);
                    all = simd.add_f32s(all, *score);
                }
            }
            None => {
                for (score, bias) in scores.iter_mut().zip(bias) {
                    *score = simd.add_f32s(*score, *bias);
                    most = simd.max_f32s(most, *score);
                    all = simd.add_f32s(all, *score);
                }
            }
        }
        if !simd.reduce_sum_f32s(all).is_finite() {
            return f32::NAN;
        }
        let most = simd.splat_f32s(simd.reduce_max_f32s(most));
        let mut sum = simd.splat_f32s(0.0);
        let (many, rest) = scores.as_chunks_mut::<SIDE_BY_SIDE>();
        for scores in many {
            let mut less = *scores;
            for score in &mut less {
                *score = simd.sub_f32s(*score, most);
            }
            *scores = exp(simd, less);
            for power in *scores {
                sum = simd.add_f32s(sum, power);
            }
        }
        for score in rest {
            [*score] = exp(simd, [simd.sub_f32s(*score, most)]);
            sum = simd.add_f32s(sum, *score);
        }
        simd.reduce_sum_f32s(sum)
    }
}

/// Computes some heads of a window.
struct Kernel<'a> {
    attention: &'a Attention,
    /// The map, `[h, w, 3c]`.
    input: &'a [f32],
    memory: &'a mut [f32],
    hand: Hand<'a>,
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { attention, input, mut memory, mut hand } = self;
        let Attention { geometry, keys, values, .. } = attention;
        let (keys, values, area, dim) = (*keys, *values, values.depth, keys.depth);
        let parts = attention.parts();
        let [q, k, v, scores, results, factors]: [&mut [f32]; 6] = std::array::from_fn(|part| {
            let (first, rest) = std::mem::take(&mut memory).split_at_mut(parts[part]);
            memory = rest;
            first
        });
        // what fills up the keys and the values must be numbers
        k.fill(0.0);
        v.fill(0.0);
        let (window, channels) = (hand.owner(), hand.channels());
        let mask = geometry.mask(window);
        for head in channels.clone().step_by(dim) {
            attention.gather(input, window, head..head + dim, [&mut *q, &mut *k, &mut *v]);
            let keys_of = Panels { layout: keys, values: &k[..keys.len()] };
            let values_of = Panels { layout: values, values: &v[..values.len()] };
            let mut tile = Tile::over(scores, 0..area, 0..keys.columns, keys.columns);
            multiply(simd, Rows::new(q, dim), (keys_of, 0), &mut tile, None, None);
            let bias = &attention.bias[head / dim * area * keys.columns..][..area * keys.columns];
            for (query, factor) in factors[..area].iter_mut().enumerate() {
                let row = query * keys.columns..(query + 1) * keys.columns;
                let mask = mask.map(|mask| &mask[row.clone()]);
                *factor = 1.0 / attention.soften(simd, &mut scores[row.clone()], &bias[row], mask);
            }
            let mut tile = Tile::over(results, 0..area, 0..values.columns, values.columns);
            multiply(simd, Rows::new(scores, keys.columns), (values_of, 0), &mut tile, None, None);
            let [height, width] = geometry.windows.size;
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                if let Some((row, column)) = geometry.place(window, y, x) {
                    let index = y * width + x;
                    let out = &mut hand.place(row, column)[head - channels.start..][..dim];
                    for (out, result) in out.iter_mut().zip(&results[index * values.columns..]) {
                        *out = result * factors[index];
                    }
                }
            }
        }
    }
}
