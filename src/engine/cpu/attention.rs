//! Attention in shifted windows: a window and some of its heads at a time, by index arithmetic on the map as it lies. Scores stay in the
//! thread's cache, and the two products are `product`'s kernel. Not here: which place is where in a window (`Windows`).

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::aligned::{Aligned, NoMemory};
use super::exp::exp;
use super::instructions::Instructions;
use super::matrix::{Layout, Panels};
use super::product::{Rows, multiply};
use super::run::Run;
use super::tile::{Deal, Hand, Tile};
use crate::program::{Shape, Windows};

/// Added to scores between places that the roll brought together, as in timm and transformers.
const APART: f32 = -100.0;
/// Added to scores of keys that are none: those that fill up a row of vectors.
const NO_KEY: f32 = -1e30;
/// Tasks for each thread where windows are few.
const TASKS: usize = 2;
/// Vectors whose exponentials go side by side.
const SIDE_BY_SIDE: usize = 4;

/// `softmax(q·kᵀ / sqrt(d) + bias + mask) · v` in each window and head.
pub(super) struct Attention {
    /// Of the output, `[h, w, c]`.
    map: Shape,
    heads: usize,
    /// Places of a window, and windows of a map.
    area: usize,
    windows: usize,
    /// `[windows, area]`: places of the map; None for padding.
    places: Vec<Option<usize>>,
    /// Of each place of the map, the window it lies in.
    owners: Vec<usize>,
    /// `[heads, area, keys]`
    bias: Aligned,
    /// `[area, keys]` each; windows that need one know its index.
    masks: Vec<Aligned>,
    mask_of: Vec<Option<usize>>,
    /// `[3c]`, of padding; empty where there is none.
    padding: Vec<f32>,
    /// How the keys and the values of a head lie for the product.
    keys: Layout,
    values: Layout,
}

impl Attention {
    /// Attention on maps `[h, w, 3c]`; `table` is `[differences, heads]`, `padding` `[3c]`.
    pub(super) fn new(
        instructions: Instructions,
        (map, heads, windows): (Shape, usize, &Windows),
        table: &[f32],
        padding: Vec<f32>,
    ) -> Result<Self, NoMemory> {
        let (area, lanes) = (windows.area(), instructions.lanes());
        let (dim, keys) = (map.channels / heads, area.next_multiple_of(lanes));
        let count = windows.count(map).iter().product();
        let indices = || (0..count).flat_map(|window| (0..area).map(move |index| (window, index)));
        let places: Vec<Option<usize>> = indices().map(|(w, i)| windows.place(map, w, i)).collect();
        let mut owners = vec![0; map.rows()];
        for ((window, _), place) in indices().zip(&places) {
            if let Some(place) = place {
                owners[*place] = window;
            }
        }
        let mut bias = Aligned::zeros(heads * area * keys)?;
        for (row, biases) in bias.chunks_exact_mut(keys).enumerate() {
            let (head, query) = (row / area, row % area);
            for (key, bias) in biases.iter_mut().enumerate() {
                *bias = if key < area { table[windows.difference(query, key) * heads + head] } else { NO_KEY };
            }
        }
        let (mut masks, mut regions): (Vec<Aligned>, Vec<Vec<[usize; 2]>>) = (Vec::new(), Vec::new());
        let mut mask_of = Vec::with_capacity(count);
        for window in 0..count {
            let of: Vec<[usize; 2]> = (0..area).map(|index| windows.region(map, window, index)).collect();
            if of.iter().all(|region| *region == of[0]) {
                mask_of.push(None);
                continue;
            }
            let known = regions.iter().position(|regions| *regions == of);
            mask_of.push(Some(known.unwrap_or(masks.len())));
            if known.is_none() {
                let mut mask = Aligned::zeros(area * keys)?;
                for (query, row) in mask.chunks_exact_mut(keys).enumerate() {
                    for (value, key) in row.iter_mut().zip(&of) {
                        *value = if *key == of[query] { 0.0 } else { APART };
                    }
                }
                masks.push(mask);
                regions.push(of);
            }
        }
        let keys = Layout { depth: dim, columns: keys, lanes, block: dim };
        let values = Layout { depth: area, columns: dim.next_multiple_of(lanes), lanes, block: area };
        Ok(Self { map, heads, area, windows: count, places, owners, bias, masks, mask_of, padding, keys, values })
    }

    /// Numbers that a thread needs of its own.
    pub(super) fn memory(&self) -> usize {
        self.parts().iter().sum()
    }

    /// Numbers of the queries, the keys, the values, the scores, the results and the factors of a head; all start at a cache line.
    fn parts(&self) -> [usize; 6] {
        let (area, dim) = (self.area, self.keys.depth);
        let numbers = [
            area * dim,
            self.keys.len(),
            self.values.len(),
            area * self.keys.columns,
            area * self.values.columns,
            area,
        ];
        numbers.map(|numbers| numbers.next_multiple_of(16))
    }

    /// Computes maps `[h, w, c]` of maps `[h, w, 3c]`.
    pub(super) fn run(&self, run: Run<'_>, input: &[f32], output: &mut [f32]) {
        let images = output.len() / self.map.len();
        let parts = (TASKS * run.threads.count()).div_ceil((images * self.windows).max(1)).min(self.heads);
        let deal =
            Deal { owners: &self.owners, count: self.windows, columns: self.map.channels, parts: self.part(parts) };
        deal.each(run.threads, output, |hand, worker| {
            let lap = run.clock.lap();
            let input = &input[hand.image * 3 * self.map.len()..][..3 * self.map.len()];
            worker.with_memory(|memory| run.instructions.run(Kernel { attention: self, input, memory, hand }));
            lap.end(0);
        });
    }

    /// Columns of whole heads that a task takes.
    fn part(&self, parts: usize) -> usize {
        self.heads.div_ceil(parts.max(1)) * self.keys.depth
    }

    /// The queries, keys and values of a place, `[3c]`.
    #[inline(always)]
    fn place<'a>(&'a self, input: &'a [f32], window: usize, index: usize) -> &'a [f32] {
        match self.places[window * self.area + index] {
            Some(place) => &input[place * 3 * self.map.channels..][..3 * self.map.channels],
            None => &self.padding,
        }
    }

    /// Lays out a head's queries, keys and values.
    #[inline(always)]
    fn gather(&self, input: &[f32], window: usize, head: Range<usize>, [q, k, v]: [&mut [f32]; 3]) {
        let (dim, channels) = (self.keys.depth, self.map.channels);
        let scale = 1.0 / (dim as f32).sqrt();
        for index in 0..self.area {
            let place = self.place(input, window, index);
            for (to, from) in q[index * dim..][..dim].iter_mut().zip(&place[head.clone()]) {
                *to = from * scale;
            }
            let panel = index / self.keys.panel();
            let (range, width) = (self.keys.panel_range(0, panel), self.keys.panel_width(panel));
            let column = index % self.keys.panel();
            let key = &place[channels + head.start..][..dim];
            for (to, from) in k[range][column..].iter_mut().step_by(width).zip(key) {
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

    /// Makes weights of a row of scores, not yet divided by their sum, which it gives.
    #[inline(always)]
    fn soften<S: Simd>(&self, simd: S, scores: &mut [f32], bias: &[f32], mask: Option<&[f32]>) -> f32 {
        let (scores, _) = S::as_mut_simd_f32s(scores);
        let (bias, _) = S::as_simd_f32s(bias);
        let mut most = simd.splat_f32s(f32::MIN);
        match mask.map(|mask| S::as_simd_f32s(mask).0) {
            Some(mask) => {
                for ((score, bias), mask) in scores.iter_mut().zip(bias).zip(mask) {
                    *score = simd.add_f32s(simd.add_f32s(*score, *bias), *mask);
                    most = simd.max_f32s(most, *score);
                }
            }
            None => {
                for (score, bias) in scores.iter_mut().zip(bias) {
                    *score = simd.add_f32s(*score, *bias);
                    most = simd.max_f32s(most, *score);
                }
            }
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
        let Attention { area, keys, values, .. } = *attention;
        let parts = attention.parts();
        let [q, k, v, scores, results, factors]: [&mut [f32]; 6] = std::array::from_fn(|part| {
            let (first, rest) = std::mem::take(&mut memory).split_at_mut(parts[part]);
            memory = rest;
            first
        });
        // what fills up the keys and the values must be numbers
        k.fill(0.0);
        v.fill(0.0);
        let dim = keys.depth;
        let mask = attention.mask_of[hand.owner].map(|mask| &attention.masks[mask]);
        let columns = hand.columns.clone();
        for head in columns.clone().step_by(dim) {
            attention.gather(input, hand.owner, head..head + dim, [&mut *q, &mut *k, &mut *v]);
            let (keys_of, values_of) = (
                Panels { layout: keys, values: &k[..keys.len()] },
                Panels { layout: values, values: &v[..values.len()] },
            );
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
            for index in 0..area {
                if let Some(place) = attention.places[hand.owner * area + index] {
                    let out = &mut hand.row(place)[head - columns.start..][..dim];
                    for (out, result) in out.iter_mut().zip(&results[index * values.columns..]) {
                        *out = result * factors[index];
                    }
                }
            }
        }
    }
}
