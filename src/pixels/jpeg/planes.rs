//! Coefficients to samples, and samples of fewer columns or rows enlarged to those of the image, bit for bit as libjpeg-turbo does it.

use super::cosine;
use super::frame::Frame;
use super::scan::{Block, mcus};
use super::tables::Quantisation;

/// The samples of a component.
pub(super) struct Plane {
    samples: Vec<u8>,
    stride: usize,
    /// Samples that the component itself has: columns, rows.
    own: (usize, usize),
    enlarged: Enlarged,
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
    /// Of the component `index` of a frame, all 0.
    pub(super) fn new(frame: &Frame, index: usize) -> Self {
        let (component, (most_columns, most_rows)) = (&frame.components[index], frame.sampling());
        let own = (
            (frame.width as usize * component.columns).div_ceil(most_columns),
            (frame.height as usize * component.rows).div_ceil(most_rows),
        );
        let enlarged = match (most_columns / component.columns, most_rows / component.rows) {
            (1, 1) => Enlarged::Not,
            (1, 2) => Enlarged::Rows,
            // libjpeg has no such triangle for planes of one or two columns
            (2, 1) if own.0 > 2 => Enlarged::Columns,
            (2, 2) if own.0 > 2 => Enlarged::Both,
            (columns, rows) => Enlarged::Repeated(columns, rows),
        };
        let (columns, rows) = mcus(frame);
        let stride = 8 * columns * component.columns;
        let samples = vec![0; stride * 8 * rows * component.rows];
        Self { samples, stride, own, enlarged }
    }

    /// Makes samples of whole rows of blocks, of which the first is row number `first`.
    pub(super) fn fill(&mut self, first: usize, blocks: &[Block], steps: &Quantisation) {
        let stride = self.stride;
        let rows = self.samples[8 * stride * first..].chunks_exact_mut(8 * stride);
        for (samples, blocks) in rows.zip(blocks.chunks_exact(stride / 8)) {
            for (column, block) in blocks.iter().enumerate() {
                cosine::inverse(block, steps, &mut samples[8 * column..], stride);
            }
        }
    }

    /// Writes the row `y` of the image.
    pub(super) fn row(&self, y: usize, onto: &mut [u8]) {
        let width = onto.len();
        match self.enlarged {
            Enlarged::Not => onto.copy_from_slice(&self.own_row(y)[..width]),
            Enlarged::Columns => {
                let sums = self.own_row(y).iter().map(|&sample| u16::from(sample));
                enlarge(onto, sums, |near, far, right| (3 * near + far + 1 + right) >> 2);
            }
            Enlarged::Rows => {
                let (near, far) = self.two_rows(y);
                let bias = 1 + (y % 2) as u16;
                for (sample, (&near, &far)) in onto.iter_mut().zip(near.iter().zip(far)) {
                    *sample = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            Enlarged::Both => {
                let (near, far) = self.two_rows(y);
                let sums = near.iter().zip(far).map(|(&near, &far)| 3 * u16::from(near) + u16::from(far));
                enlarge(onto, sums, |near, far, right| (3 * near + far + 8 - right) >> 4);
            }
            Enlarged::Repeated(columns, rows) => {
                let row = self.own_row(y / rows);
                onto.chunks_mut(columns).zip(row).for_each(|(group, &sample)| group.fill(sample));
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

/// Two samples of each value: `mix` of it and of its neighbour to the left, then of that to the right, and of itself where there is none.
/// Rounding alternates: the last argument is 0 to the left and 1 to the right.
fn enlarge(onto: &mut [u8], values: impl ExactSizeIterator<Item = u16>, mix: impl Fn(u16, u16, u16) -> u16) {
    // one more at each end, so that all have two neighbours
    let count = values.len();
    let mut row = Vec::with_capacity(count + 2);
    row.push(0);
    row.extend(values);
    row[0] = row.get(1).copied().unwrap_or_default();
    row.push(row[count]);
    let (pairs, rest) = onto.as_chunks_mut::<2>();
    for (pair, near) in pairs.iter_mut().zip(row.windows(3)) {
        *pair = [mix(near[1], near[0], 0) as u8, mix(near[1], near[2], 1) as u8];
    }
    if let (Some(last), Some(&here)) = (rest.first_mut(), row.get(pairs.len() + 1)) {
        *last = mix(here, row[pairs.len()], 0) as u8;
    }
}
