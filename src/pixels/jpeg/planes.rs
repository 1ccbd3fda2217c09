//! Coefficients to samples, and samples of fewer columns or rows enlarged to those of the image, bit for bit as libjpeg-turbo does it
//! unless the image is reduced.

use std::ops::Range;

use super::cosine;
use super::frame::Frame;
use super::reduced::Reduced;
use super::scan::{Block, mcus};
use super::tables::{Quantisation, ZIGZAG};

/// The samples of a component.
pub(super) struct Plane {
    samples: Vec<u8>,
    stride: usize,
    /// Samples of the area that the component itself has: columns, rows.
    own: (usize, usize),
    /// The first of them in the component: column, row.
    first: (usize, usize),
    enlarged: Enlarged,
    /// Columns and rows that become of a block.
    of_block: (usize, usize),
    /// How, unless it keeps its 8×8.
    reduced: Option<Reduced>,
    /// Blocks of the component in an MCU: columns, rows.
    of_mcu: (usize, usize),
}

/// What of an image is wanted, in its MCUs, and how far it is reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// Eighths of columns and rows that are left, 1 to 8.
    pub(super) eighths: usize,
    /// Columns of MCUs.
    pub(super) columns: Range<usize>,
    /// Rows of MCUs.
    pub(super) rows: Range<usize>,
}

impl Area {
    /// All of an image.
    pub(super) fn whole(frame: &Frame) -> Self {
        let (columns, rows) = mcus(frame);
        Self { eighths: 8, columns: 0..columns, rows: 0..rows }
    }
}

/// How a plane becomes as large as the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Enlarged {
    /// It is.
    Not,
    /// Twice as wide, by a triangle of 3 : 1.
    Columns,
    /// Twice as high, by such a triangle.
    Rows,
    /// Both.
    Both,
    /// Each sample so often from left to right and from top to bottom.
    Repeated(usize, usize),
}

impl Plane {
    /// Of the component `index` of a frame, of an area of it, all 0. A component of fewer samples than others is reduced less
    /// where that makes it as large.
    pub(super) fn new(frame: &Frame, index: usize, area: &Area) -> Self {
        let eighths = area.eighths;
        let (component, (most_columns, most_rows)) = (&frame.components[index], frame.sampling());
        let (wider, higher) = (most_columns / component.columns, most_rows / component.rows);
        let (spared_columns, spared_rows) = (spared(wider, eighths), spared(higher, eighths));
        let of_block = (eighths * spared_columns, eighths * spared_rows);
        let own = (
            (frame.width as usize * component.columns * of_block.0).div_ceil(8 * most_columns),
            (frame.height as usize * component.rows * of_block.1).div_ceil(8 * most_rows),
        );
        let enlarged = match (wider / spared_columns, higher / spared_rows) {
            (1, 1) => Enlarged::Not,
            (1, 2) => Enlarged::Rows,
            // libjpeg has no such triangle for planes of one or two columns
            (2, 1) if own.0 > 2 => Enlarged::Columns,
            (2, 2) if own.0 > 2 => Enlarged::Both,
            (columns, rows) => Enlarged::Repeated(columns, rows),
        };
        let (column, row) = (of_block.0 * component.columns, of_block.1 * component.rows);
        let first = (area.columns.start * column, area.rows.start * row);
        let (stride, rows) = (area.columns.len() * column, area.rows.len() * row);
        let own = ((own.0 - first.0).min(stride), (own.1 - first.1).min(rows));
        let samples = vec![0; stride * rows];
        let reduced = (of_block != (8, 8)).then(|| Reduced::new(of_block.0, of_block.1));
        let of_mcu = (component.columns, component.rows);
        Self { samples, stride, own, first, enlarged, of_block, reduced, of_mcu }
    }

    /// The last coefficient of a block that its samples are made of, in zigzag order.
    pub(super) fn last_coefficient(&self) -> usize {
        let read = |at: u8| usize::from(at) % 8 < self.of_block.0 && usize::from(at) / 8 < self.of_block.1;
        ZIGZAG.iter().rposition(|&at| read(at)).unwrap_or(0)
    }

    /// Makes samples of those blocks of a row of MCUs, by its number, that lie in the area. `column` is the first MCU of the blocks.
    pub(super) fn fill(
        &mut self,
        mcu_row: usize,
        column: usize,
        blocks: &[Block],
        steps: &Quantisation,
        wanted: &Area,
    ) {
        if !wanted.rows.contains(&mcu_row) {
            return;
        }
        let (rows, stride) = (self.of_block.1, self.stride);
        let block = |mcu: usize| (mcu - column) * self.of_mcu.0;
        let columns = block(wanted.columns.start)..block(wanted.columns.end);
        let lines = self.samples.chunks_exact_mut(rows * stride).skip((mcu_row - wanted.rows.start) * self.of_mcu.1);
        for (samples, blocks) in lines.zip(blocks.chunks_exact(blocks.len() / self.of_mcu.1)) {
            let blocks = &blocks[columns.clone()];
            match &self.reduced {
                Some(reduced) => reduced.inverse_row(blocks, steps, samples, stride),
                None => cosine::inverse_row(blocks, steps, samples, stride),
            }
        }
    }

    /// Writes the row `y` of the image from the column `x` on, which is even.
    #[inline(always)]
    pub(super) fn row(&self, y: usize, x: usize, onto: &mut [u8], scratch: &mut Vec<u16>) {
        let width = onto.len();
        let (columns, rows) = match self.enlarged {
            Enlarged::Not => (1, 1),
            Enlarged::Columns => (2, 1),
            Enlarged::Rows => (1, 2),
            Enlarged::Both => (2, 2),
            Enlarged::Repeated(columns, rows) => (columns, rows),
        };
        let (x, y) = (x - columns * self.first.0, y - rows * self.first.1);
        match self.enlarged {
            Enlarged::Not => onto.copy_from_slice(&self.own_row(y)[x..x + width]),
            Enlarged::Columns => {
                let row = self.own_row(y);
                around((row, row), x, width, scratch, |sample, _| sample.into());
                enlarge(onto, scratch, |near, far, right| (3 * near + far + 1 + right) >> 2);
            }
            Enlarged::Rows => {
                let (near, far) = self.two_rows(y);
                let bias = 1 + (y % 2) as u16;
                for (sample, (&near, &far)) in onto.iter_mut().zip(near[x..].iter().zip(&far[x..])) {
                    *sample = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            Enlarged::Both => {
                let of = |near, far| 3 * u16::from(near) + u16::from(far);
                around(self.two_rows(y), x, width, scratch, of);
                enlarge(onto, scratch, |near, far, right| (3 * near + far + 8 - right) >> 4);
            }
            Enlarged::Repeated(columns, rows) => {
                let row = self.own_row(y / rows);
                onto.iter_mut().enumerate().for_each(|(at, sample)| *sample = row[(x + at) / columns]);
            }
        }
    }

    fn own_row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.own.0]
    }

    /// The nearer and the farther row of the plane for the row `y` of the image.
    fn two_rows(&self, y: usize) -> (&[u8], &[u8]) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(self.own.1 - 1) };
        (self.own_row(near), self.own_row(far))
    }
}

/// By how much a component that is `smaller` by a factor is reduced less than to so many eighths: a divisor of it.
fn spared(smaller: usize, eighths: usize) -> usize {
    (1..=smaller).rev().find(|factor| smaller.is_multiple_of(*factor) && eighths * factor <= 8).unwrap_or(1)
}

/// The values of half as many samples as `width` from `x / 2` on, with a neighbour at each end: at the row's ends the value itself. A value
/// is made of the samples of two rows.
#[inline(always)]
fn around((near, far): (&[u8], &[u8]), x: usize, width: usize, values: &mut Vec<u16>, of: impl Fn(u8, u8) -> u16) {
    let own = near.len();
    let (first, past) = (x / 2, (x / 2 + width.div_ceil(2)).min(own));
    let at = |index: usize| of(near[index], far[index]);
    values.resize(past - first + 2, 0);
    let middle = values[1..].iter_mut().zip(&near[first..past]).zip(&far[first..past]);
    middle.for_each(|((value, &near), &far)| *value = of(near, far));
    values[0] = at(first.saturating_sub(1));
    values[past - first + 1] = at(past.min(own - 1));
}

/// Two samples of each value: `mix` of it and of its neighbour to the left, then of that to the right. Rounding alternates: the last argument
/// is 0 to the left and 1 to the right.
#[inline(always)]
fn enlarge(onto: &mut [u8], values: &[u16], mix: impl Fn(u16, u16, u16) -> u16) {
    let (pairs, rest) = onto.as_chunks_mut::<2>();
    let count = pairs.len();
    let (left, here, right) = (&values[..count], &values[1..][..count], &values[2..][..count]);
    for (at, pair) in pairs.iter_mut().enumerate() {
        *pair = [mix(here[at], left[at], 0) as u8, mix(here[at], right[at], 1) as u8];
    }
    if let Some(last) = rest.first_mut() {
        *last = mix(values[count + 1], values[count], 0) as u8;
    }
}
