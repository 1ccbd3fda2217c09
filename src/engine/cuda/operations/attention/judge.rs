//! What attention must compute, in f64, and how far from it a right kernel may be. Not here: kernels.

use super::Attention;
use crate::engine::cuda::array::{Array, Contents};
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::{Expected, Operands};

/// Added to scores between regions.
const MASKED: f64 = -100.0;
/// Half a unit in the last place of f32.
const UNIT: f64 = f32::EPSILON as f64 / 2.0;
/// `ex2.approx`: two units in the last place, so 2^-22.
const POWER_ERROR: f64 = 4.0 * UNIT;

/// The numbers of the output at these indices.
pub(super) fn expected(
    op: &Attention,
    _images: usize,
    at: &Operands,
    memory: &dyn Contents,
    outputs: &[usize],
) -> Result<Vec<Expected>, DriverError> {
    let table = memory.read(op.bias, 0..op.windows.differences() * op.heads)?;
    // rounded as the kernels round it
    let padding = op.padding.map(|padding| memory.read(padding, 0..3 * op.channels)).transpose()?;
    let padding = padding.map(|values| op.ty.decode(&op.ty.encode(values.iter().map(|value| *value as f32))));
    let lines = op.windows.lines(op.map());
    let place = places(op, &lines);
    let (pixels, dim) = (op.height * op.width, op.dim());
    let mut last: Option<([usize; 2], Row)> = None;
    outputs
        .iter()
        .map(|index| {
            let (pixel, channel) = (index / op.channels, index % op.channels);
            let (image, head) = (pixel / pixels, channel / dim);
            let row = match last.take() {
                Some((of, row)) if of == [pixel, head] => row,
                _ => {
                    let known =
                        Known { op, lines: &lines, input: at.input, memory, padding: padding.as_deref(), image };
                    known.row(&table, place[pixel % pixels], head)?
                }
            };
            let expected = row.expected(channel % dim, op.ty);
            last = Some(([pixel, head], row));
            Ok(expected)
        })
        .collect()
}

/// For each pixel its row and column in the rolled and padded map.
fn places(op: &Attention, [rows, columns]: &[Vec<Option<usize>>; 2]) -> Vec<[usize; 2]> {
    let mut places = vec![[0; 2]; op.height * op.width];
    for (y, row) in rows.iter().enumerate() {
        for (x, column) in columns.iter().enumerate() {
            if let (Some(row), Some(column)) = (row, column) {
                places[row * op.width + column] = [y, x];
            }
        }
    }
    places
}

/// What scores of a query are computed from.
struct Known<'a> {
    op: &'a Attention,
    lines: &'a [Vec<Option<usize>>; 2],
    input: Array,
    memory: &'a dyn Contents,
    padding: Option<&'a [f64]>,
    image: usize,
}

/// A query of a head: its probabilities, the keys' values, and the error of each score.
struct Row {
    probabilities: Vec<f64>,
    /// As shares of the exponentials.
    errors: Vec<f64>,
    values: Vec<Vec<f64>>,
    /// Of all exponentials, where the largest is 1.
    sum: f64,
}

impl Known<'_> {
    /// Channels of a head at a place of the rolled and padded map; part 0 is q, 1 is k, 2 is v.
    fn channels(&self, place: [Option<usize>; 2], part: usize, head: usize) -> Result<Vec<f64>, DriverError> {
        let Attention { height, width, channels, .. } = *self.op;
        let dim = self.op.dim();
        let first = part * channels + head * dim;
        match place {
            [Some(row), Some(column)] => {
                let pixel = (self.image * height + row) * width + column;
                let first = pixel * 3 * channels + first;
                self.memory.read(self.input, first..first + dim)
            }
            _ => Ok(self.padding.map_or(vec![0.0; dim], |padding| padding[first..first + dim].to_vec())),
        }
    }

    /// The probabilities of the query at a place.
    fn row(&self, table: &[f64], query: [usize; 2], head: usize) -> Result<Row, DriverError> {
        let windows = self.op.windows;
        let [height, width] = windows.size;
        let (map, dim) = (self.op.map(), self.op.dim());
        let at = |[y, x]: [usize; 2]| [self.lines[0][y], self.lines[1][x]];
        let region = |place: [usize; 2]| [0, 1].map(|axis| windows.region(map, axis, place[axis]));
        let first = [query[0] / height * height, query[1] / width * width];
        let q = self.channels(at(query), 0, head)?;
        let index = (query[0] - first[0]) * width + query[1] - first[1];
        let scale = 1.0 / (dim as f64).sqrt();
        let (mut scores, mut errors, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for other in 0..windows.area() {
            let place = [first[0] + other / width, first[1] + other % width];
            let k = self.channels(at(place), 1, head)?;
            values.push(self.channels(at(place), 2, head)?);
            let product: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum::<f64>() * scale;
            let sizes: f64 = q.iter().zip(&k).map(|(q, k)| (q * k).abs()).sum::<f64>() * scale;
            let bias = table[windows.difference(index, other) * self.op.heads + head];
            let mask = if region(query) == region(place) { 0.0 } else { MASKED };
            scores.push(product + bias + mask);
            // Each addition of the sum is off by at most a unit in the last place, for tensor cores cut off; scale, bias and mask come with
            // a rounding each, of themselves and of what they give, and once more where they are multiplied by log2 e.
            errors.push(2.0 * dim as f64 * UNIT * sizes + 4.0 * UNIT * (product.abs() + bias.abs() + mask.abs()));
        }
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (error, score) in errors.iter_mut().zip(&scores) {
            // the difference to the largest score is rounded too, and multiplied by log2 e perhaps
            *error = (*error + 2.0 * UNIT * (score - most).abs() + POWER_ERROR).exp_m1();
        }
        Ok(Row { probabilities: powers.iter().map(|power| power / sum).collect(), errors, values, sum })
    }
}

impl Row {
    /// A channel of the head.
    ///
    /// The exponentials, of which the largest is 1, may be rounded to the type of the values once; they are divided by their sum, which is taken before
    /// or after that rounding.
    fn expected(&self, channel: usize, ty: Type) -> Expected {
        let keys = self.probabilities.len() as f64;
        let value: f64 = self.probabilities.iter().zip(&self.values).map(|(p, v)| p * v[channel]).sum();
        // sums of as many as there are keys, one after the other
        let sums = 2.0 * UNIT * keys;
        let mut bound = 0.0;
        let mut share = 0.0;
        for ((p, error), v) in self.probabilities.iter().zip(&self.errors).zip(&self.values) {
            let v = v[channel].abs();
            bound += p * (error + ty.unit() + sums) * v + ty.smallest() / self.sum * v;
            share += p * error;
        }
        // the share of the sum's error; of the division; of the result's own rounding
        bound += value.abs() * (share + sums + 4.0 * UNIT + ty.unit()) + ty.smallest();
        Expected { value, bound }
    }
}
