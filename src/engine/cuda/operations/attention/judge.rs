//! What attention must compute, in f64, and how far from it a right kernel may be. Not here: kernels.

use std::collections::HashMap;
use std::rc::Rc;

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

/// The largest error of an addition, as a share of what was added so far: a rounding to the nearest, but tensor cores cut off.
fn addition(ty: Type) -> f64 {
    if ty == Type::F32 { UNIT } else { 2.0 * UNIT }
}

/// The numbers of the output at these indices.
pub(super) fn expected(
    op: &Attention,
    at: &Operands,
    memory: &dyn Contents,
    outputs: &[usize],
) -> Result<Vec<Expected>, DriverError> {
    // rounded as the kernels round it
    let padding = op.padding.map(|padding| memory.read(padding, 0..3 * op.channels)).transpose()?;
    let padding = padding.map(|values| op.ty.decode(&op.ty.encode(values.iter().map(|value| *value as f32))));
    let table = memory.read(op.bias, 0..op.windows.differences() * op.heads)?;
    let lines = op.windows.lines(op.map());
    let place = places(op, &lines);
    let mut judge = Judge { op, lines, table, padding, input: at.input, memory, windows: HashMap::new() };
    let (pixels, dim) = (op.height * op.width, op.dim());
    let mut last: Option<([usize; 2], Row)> = None;
    outputs
        .iter()
        .map(|index| {
            let (pixel, channel) = (index / op.channels, index % op.channels);
            let (image, head) = (pixel / pixels, channel / dim);
            let row = match last.take() {
                Some((of, row)) if of == [pixel, head] => row,
                _ => judge.row(image, place[pixel % pixels], head)?,
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

/// What scores are computed from.
struct Judge<'a> {
    op: &'a Attention,
    /// As [`Windows::lines`](crate::program::Windows::lines).
    lines: [Vec<Option<usize>>; 2],
    table: Vec<f64>,
    padding: Option<Vec<f64>>,
    input: Array,
    memory: &'a dyn Contents,
    /// By image, first row and column, and head.
    windows: HashMap<[usize; 4], Rc<Window>>,
}

/// The keys and values of a window and head, `[area, d]`, and the regions of their positions.
struct Window {
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
    regions: Vec<[usize; 2]>,
}

/// A query of a head: its probabilities, and the error of each score.
struct Row {
    window: Rc<Window>,
    probabilities: Vec<f64>,
    /// As shares of the exponentials.
    errors: Vec<f64>,
    /// Of all exponentials, where the largest is 1.
    sum: f64,
}

impl Judge<'_> {
    /// Channels of a head at a place of the rolled and padded map; part 0 is q, 1 is k, 2 is v.
    fn channels(&self, image: usize, [y, x]: [usize; 2], part: usize, head: usize) -> Result<Vec<f64>, DriverError> {
        let Attention { height, width, channels, .. } = *self.op;
        let dim = self.op.dim();
        let first = part * channels + head * dim;
        match (self.lines[0][y], self.lines[1][x]) {
            (Some(row), Some(column)) => {
                let pixel = (image * height + row) * width + column;
                let first = pixel * 3 * channels + first;
                self.memory.read(self.input, first..first + dim)
            }
            _ => Ok(self.padding.as_ref().map_or(vec![0.0; dim], |padding| padding[first..first + dim].to_vec())),
        }
    }

    /// The window that begins at a place.
    fn window(&mut self, image: usize, [top, left]: [usize; 2], head: usize) -> Result<Rc<Window>, DriverError> {
        if let Some(window) = self.windows.get(&[image, top, left, head]) {
            return Ok(Rc::clone(window));
        }
        let (windows, map) = (self.op.windows, self.op.map());
        let (mut keys, mut values, mut regions) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..windows.area() {
            let place = [top + index / windows.size[1], left + index % windows.size[1]];
            keys.push(self.channels(image, place, 1, head)?);
            values.push(self.channels(image, place, 2, head)?);
            regions.push([0, 1].map(|axis| windows.region(map, axis, place[axis])));
        }
        let window = Rc::new(Window { keys, values, regions });
        self.windows.insert([image, top, left, head], Rc::clone(&window));
        Ok(window)
    }

    /// The probabilities of the query at a place.
    fn row(&mut self, image: usize, query: [usize; 2], head: usize) -> Result<Row, DriverError> {
        let Attention { windows, heads, .. } = *self.op;
        let [height, width] = windows.size;
        let first = [query[0] / height * height, query[1] / width * width];
        let index = (query[0] - first[0]) * width + query[1] - first[1];
        let window = self.window(image, first, head)?;
        let q = self.channels(image, query, 0, head)?;
        let (dim, scale) = (q.len() as f64, 1.0 / (q.len() as f64).sqrt());
        let (mut scores, mut errors) = (Vec::new(), Vec::new());
        for (key, k) in window.keys.iter().enumerate() {
            let product = q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() * scale;
            let sizes = q.iter().zip(k).map(|(q, k)| (q * k).abs()).sum::<f64>() * scale;
            let bias = self.table[windows.difference(index, key) * heads + head];
            let mask = if window.regions[index] == window.regions[key] { 0.0 } else { MASKED };
            scores.push(product + bias + mask);
            // scale, bias and mask come with a rounding each, of themselves and of what they give, and once more where they are multiplied by log2 e
            errors.push(dim * addition(self.op.ty) * sizes + 4.0 * UNIT * (product.abs() + bias.abs() + mask.abs()));
        }
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (error, score) in errors.iter_mut().zip(&scores) {
            // the difference to the largest score is rounded too, and multiplied by log2 e perhaps
            *error = (*error + 2.0 * UNIT * (score - most).abs() + POWER_ERROR).exp_m1();
        }
        let probabilities = powers.iter().map(|power| power / sum).collect();
        Ok(Row { window, probabilities, errors, sum })
    }
}

impl Row {
    /// A channel of the head.
    ///
    /// The exponentials, of which the largest is 1, may be rounded to the type of the values once; they are divided by their sum, which is taken before
    /// or after that rounding.
    fn expected(&self, channel: usize, ty: Type) -> Expected {
        let keys = self.probabilities.len() as f64;
        let value: f64 = self.probabilities.iter().zip(&self.window.values).map(|(p, v)| p * v[channel]).sum();
        // sums of as many as there are keys, one after the other
        let sums = addition(ty) * keys;
        let mut bound = 0.0;
        let mut share = 0.0;
        for ((p, error), v) in self.probabilities.iter().zip(&self.errors).zip(&self.window.values) {
            let v = v[channel];
            // a rounding moves the result by this much: by the second where the sum has it too
            let moved = v.abs().max((v - value).abs());
            bound += p * (error + sums) * v.abs() + (p * ty.unit() + ty.smallest() / self.sum) * moved;
            share += p * error;
        }
        // the share of the sum's error; of the division; of the result's own rounding
        bound += value.abs() * (share + sums + 4.0 * UNIT + ty.unit()) + ty.smallest();
        Expected { value, bound }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::engine::reference::{self, Map};
    use crate::program::{Shape, Windows};

    /// Arrays by their addresses.
    #[derive(Default)]
    struct Arrays(HashMap<u64, Vec<f32>>);

    impl Arrays {
        fn add(&mut self, len: usize) -> Array {
            let address = 256 * (self.0.len() as u64 + 1);
            // no two rows alike, some large
            let values = (0..len).map(|at| ((at * 37 + 11) % 101) as f32 / 32.0 - 1.5).collect();
            self.0.insert(address, values);
            Array { address, len, ty: Type::F32 }
        }
    }

    impl Contents for Arrays {
        fn read(&self, array: Array, range: Range<usize>) -> Result<Vec<f64>, DriverError> {
            Ok(self.0[&array.address][range].iter().map(|value| f64::from(*value)).collect())
        }
    }

    #[test]
    fn it_expects_what_the_definition_gives() {
        let (height, width, heads, dim, images) = (7, 10, 2, 3, 2);
        let channels = heads * dim;
        for (size, shift, pads_first) in
            [([4, 5], [0, 0], false), ([4, 4], [2, 1], false), ([4, 4], [2, 1], true), ([7, 3], [0, 2], true)]
        {
            let windows = Windows { size, shift, pads_first };
            let mut arrays = Arrays::default();
            let input = arrays.add(images * height * width * 3 * channels);
            let output = arrays.add(images * height * width * channels);
            let bias = arrays.add(windows.differences() * heads);
            let map = Shape::map(height, width, 3 * channels);
            let padding = windows.pads(map).then(|| arrays.add(3 * channels));
            let op = Attention { height, width, channels, heads, windows, bias, padding, ty: Type::F32 };
            let at = Operands { input, residual: None, output, scratch: None, tickets: None };
            let all: Vec<usize> = (0..output.len).collect();
            let found = expected(&op, &at, &arrays, &all).unwrap();

            let values = |array: Array| arrays.0[&array.address].as_slice();
            let by_definition = values(input).chunks(map.len()).flat_map(|image| {
                let map = Map::new(map, image);
                reference::attention(&map, heads, &windows, values(bias), padding.map(values)).values
            });
            for (index, (found, right)) in found.iter().zip(by_definition).enumerate() {
                assert!((found.value - right).abs() < 1e-12, "{windows:?}, {index}: {} is not {right}", found.value);
                assert!(found.bound < 1e-4, "{windows:?}, {index}: {}", found.bound);
            }
        }
    }
}
