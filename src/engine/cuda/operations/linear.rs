//! Matrix product over the channels of each position, with what stands before it and after it: rows as they are, or normed, or gathered from
//! patches; then bias, GELU, layer scale, residual. It has two kernels: tensor cores (`tensor_linear`) where the shape fits, and a plain one
//! (`plain_linear`) for everything.

use super::norm::Norm;
use super::{Expected, Needs, Operands, Operation, plain_linear, tensor_linear};
use crate::engine::cuda::array::{Array, Contents};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::Launch;
use crate::engine::cuda::number::Type;

/// What a row of the product is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// A row of the input.
    Plain,
    /// `[h, w, c]`: the pixels of a square of `size` rows and columns, row by row; rows and columns beyond a multiple of it are not read.
    Patches { height: usize, width: usize, channels: usize, size: usize },
    /// `[h, w, c]`: pixels (0, 0), (1, 0), (0, 1), (1, 1) of a square, row first; zeros beyond the map (Swin's patch merging).
    Merged { height: usize, width: usize, channels: usize },
}

/// `y = act(norm(x)·Wᵀ + bias) · scale + residual`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) rows: Rows,
    /// Rows of the output per image.
    pub(crate) count: usize,
    /// Length of a row that is multiplied.
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Where rows are normed before they are multiplied: each row of plain or merged rows, each pixel of patches. Scale and shift have a number for each
    /// that is normed as one. A normed number is rounded to the type of the input, once, after scale and shift.
    pub(crate) norm: Option<Norm>,
    /// `[outputs, inputs]`, of the input's type.
    pub(crate) weight: Array,
    /// `[outputs]` in f32.
    pub(crate) bias: Array,
    /// GELU, by the error function.
    pub(crate) gelu: bool,
    /// Layer scale γ, `[outputs]` in f32.
    pub(crate) scale: Option<Array>,
    pub(crate) residual: bool,
    /// Of input and weight.
    pub(crate) ty: Type,
    /// Of output and residual: the same, or f32 for logits.
    pub(crate) output: Type,
}

impl Rows {
    /// Numbers of an image's input, of which `count` rows of `inputs` are made.
    fn numbers(self, count: usize, inputs: usize) -> usize {
        match self {
            Self::Plain => count * inputs,
            Self::Patches { height, width, channels, .. } | Self::Merged { height, width, channels } => {
                height * width * channels
            }
        }
    }

    /// Where the pixels of a row begin in an image's input, in the row's order; None where there is no pixel. All of plain rows is one pixel.
    pub(crate) fn pixels(self, row: usize, inputs: usize) -> Vec<Option<usize>> {
        match self {
            Self::Plain => vec![Some(row * inputs)],
            Self::Patches { width, channels, size, .. } => {
                let across = width / size;
                let (top, left) = (row / across * size, row % across * size);
                let inside = (0..size).flat_map(|y| (0..size).map(move |x| (top + y, left + x)));
                inside.map(|(y, x)| Some((y * width + x) * channels)).collect()
            }
            Self::Merged { height, width, channels } => {
                let across = width.div_ceil(2);
                let (top, left) = (row / across * 2, row % across * 2);
                let inside = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(y, x)| (top + y, left + x));
                inside.map(|(y, x)| (y < height && x < width).then_some((y * width + x) * channels)).to_vec()
            }
        }
    }
}

impl Linear {
    /// About how many clocks it takes on tensor cores, computed for the choice between ways to do the same; None where it does not run on them.
    pub(crate) fn clocks(&self, card: &Card, images: usize) -> Option<f64> {
        tensor_linear::fits(self, card).then(|| tensor_linear::clocks(self, card, images))
    }
}

impl Operation for Linear {
    fn name(&self) -> &'static str {
        match (self.rows, self.norm.is_some()) {
            (Rows::Plain, false) => "linear",
            (Rows::Plain, true) => "norm + linear",
            (Rows::Patches { .. }, false) => "patchify",
            (Rows::Patches { .. }, true) => "norm + patchify",
            (Rows::Merged { .. }, false) => "merge + linear",
            (Rows::Merged { .. }, true) => "merge + norm + linear",
        }
    }

    fn needs(&self, card: &Card, images: usize) -> Needs {
        let output = images * self.count * self.outputs;
        let [scratch, tickets] = if tensor_linear::fits(self, card) {
            tensor_linear::beside(self, card, images)
        } else {
            [plain_linear::scratch(self, images), 0]
        };
        Needs {
            input: images * self.rows.numbers(self.count, self.inputs),
            residual: if self.residual { output } else { 0 },
            output,
            scratch,
            tickets,
        }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        if tensor_linear::fits(self, card) {
            vec![tensor_linear::launch(self, card, images, at)]
        } else {
            plain_linear::launches(self, images, at)
        }
    }

    fn expected(
        &self,
        _images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let mut last: Option<(usize, Multiplied)> = None;
        outputs
            .iter()
            .map(|index| {
                let (row, output) = (index / self.outputs, index % self.outputs);
                let multiplied = match last.take() {
                    Some((known, multiplied)) if known == row => multiplied,
                    _ => self.row(at.input, memory, row)?,
                };
                let weights = memory.read(self.weight, output * self.inputs..(output + 1) * self.inputs)?;
                let one = |array: Array, index: usize| memory.read(array, index..index + 1).map(|values| values[0]);
                let bias = one(self.bias, output)?;
                let scale = self.scale.map_or(Ok(1.0), |array| one(array, output))?;
                let residual = at.residual.filter(|_| self.residual);
                let residual = residual.map_or(Ok(0.0), |array| one(array, *index))?;
                let dot = |values: &[f64]| values.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>();
                let sizes = multiplied.values.iter().zip(&weights).map(|(x, w)| (x * w).abs()).sum::<f64>();
                let off = multiplied.off.iter().zip(&weights).map(|(off, w)| off * w.abs()).sum::<f64>();
                let sum = dot(&multiplied.values) + bias;
                last = Some((row, multiplied));
                let activated = if self.gelu { gelu(sum) } else { sum };
                let value = activated * scale + residual;
                // roundings of a sum grow as the root of their number; K · 2⁻²² · Σ|a·b| would be the worst of all orders
                let before = SUM * (self.inputs as f64).max(8.0).sqrt() * sizes + off + SUM * sum.abs();
                let activated_bound = if self.gelu { STEEPEST * before + gelu_bound(sum, self.ty) } else { before };
                let bound = activated_bound * scale.abs()
                    + 2.0 * self.output.unit() * value.abs()
                    + SUM * residual.abs()
                    + self.output.smallest();
                Ok(Expected { value, bound })
            })
            .collect()
    }
}

/// Four roundings of f32: what one step of a sum, or a few operations after it, may be off by.
const SUM: f64 = 1.0 / (1 << 22) as f64;
/// The largest slope of GELU is 1.129.
const STEEPEST: f64 = 1.13;

/// A row that is multiplied, and how far from it each number may be in a right kernel.
struct Multiplied {
    values: Vec<f64>,
    /// Of normed rows; empty where they are taken as they are.
    off: Vec<f64>,
}

impl Linear {
    /// A row, of all rows of all images.
    fn row(&self, input: Array, memory: &dyn Contents, row: usize) -> Result<Multiplied, DriverError> {
        let (image, row) = (row / self.count, row % self.count);
        let first = image * self.rows.numbers(self.count, self.inputs);
        let pixels = self.rows.pixels(row, self.inputs);
        let length = self.inputs / pixels.len();
        let mut values = Vec::with_capacity(self.inputs);
        for pixel in pixels {
            match pixel {
                Some(at) => values.extend(memory.read(input, first + at..first + at + length)?),
                None => values.resize(values.len() + length, 0.0),
            }
        }
        let Some(norm) = self.norm else { return Ok(Multiplied { values, off: Vec::new() }) };
        let normed_alone = if matches!(self.rows, Rows::Patches { .. }) { length } else { self.inputs };
        let affine = match norm.affine {
            Some([scale, shift]) => [scale, shift].map(|array| memory.read(array, 0..normed_alone)),
            None => [Ok(vec![1.0; normed_alone]), Ok(vec![0.0; normed_alone])],
        };
        let [scales, shifts] = affine;
        let (scales, shifts) = (scales?, shifts?);
        let mut off = Vec::with_capacity(self.inputs);
        for row in values.chunks_mut(normed_alone) {
            let count = row.len() as f64;
            let mean = row.iter().sum::<f64>() / count;
            let size = row.iter().map(|value| value.abs()).sum::<f64>() / count;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            let factor = 1.0 / (variance + f64::from(norm.eps)).sqrt();
            for (value, (scale, shift)) in row.iter_mut().zip(scales.iter().zip(&shifts)) {
                let normed = (*value - mean) * factor;
                let affine = normed * scale + shift;
                // rounded as the kernel rounds it
                *value = self.ty.decode(&self.ty.encode([affine as f32]))[0];
                // the mean is a sum in f32 too, and what it is off by all numbers are off by, times the factor; the kernel's number may
                // then be rounded to the neighbour, one more distance of two numbers away
                let before = SUM * ((2.0 * size * factor + 3.0 * normed.abs()) * scale.abs() + shift.abs());
                off.push(before + 2.0 * self.ty.unit() * affine.abs() + self.ty.smallest());
            }
        }
        Ok(Multiplied { values, off })
    }
}

/// What GELU of a kernel may be off by: one rounding of its type near 1, so that 16 bits need no more than they can show; in f32 the error of the
/// error function.
fn gelu_bound(x: f64, ty: Type) -> f64 {
    4e-4 * ty.unit() / Type::F16.unit() * x.abs().min(1.0) + 4e-7
}

/// `x · Φ(x)`
fn gelu(x: f64) -> f64 {
    0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2)
}
