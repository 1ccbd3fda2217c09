//! Matrix product over the channels of each position, with what stands before it and after it: rows as they are, or normed, or gathered from
//! patches; then bias, GELU, layer scale, residual. It has two kernels: tensor cores (`tensor_linear`) where the shape fits, and a plain one
//! (`plain_linear`) for everything.

use super::layer_norm::normed;
use super::{Expected, Needs, Operands, Operation, plain_linear};
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
    /// Added to the variance, where rows are normed before they are multiplied (scale and shift are folded into weight and bias): each row of
    /// plain or merged rows, each pixel of patches. A normed number is rounded to the type of the input.
    pub(crate) norm: Option<f32>,
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

    fn needs(&self, _card: &Card, images: usize) -> Needs {
        let output = images * self.count * self.outputs;
        Needs {
            input: images * self.rows.numbers(self.count, self.inputs),
            residual: if self.residual { output } else { 0 },
            output,
            scratch: 0,
        }
    }

    fn launches(&self, _card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        plain_linear::launches(self, images, at)
    }

    fn expected(
        &self,
        _images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let mut last = None;
        outputs
            .iter()
            .map(|index| {
                let (row, output) = (index / self.outputs, index % self.outputs);
                let values = match last.take() {
                    Some((known, values)) if known == row => values,
                    _ => self.row(at.input, memory, row)?,
                };
                let weights = memory.read(self.weight, output * self.inputs..(output + 1) * self.inputs)?;
                let one = |array: Array| memory.read(array, output..output + 1).map(|values| values[0]);
                let bias = one(self.bias)?;
                let scale = self.scale.map_or(Ok(1.0), one)?;
                let residual = at.residual.filter(|_| self.residual);
                let residual =
                    residual.map_or(Ok(0.0), |array| memory.read(array, *index..*index + 1).map(|values| values[0]))?;
                let product: f64 = values.iter().zip(&weights).map(|(x, w)| x * w).sum();
                let sizes: f64 = values.iter().zip(&weights).map(|(x, w)| (x * w).abs()).sum();
                last = Some((row, values));
                let sum = product + bias;
                let activated = if self.gelu { gelu(sum) } else { sum };
                let value = activated * scale + residual;
                // a normed number may be rounded to the neighbour of what f64 rounds to, or be off by the error of the norm
                let normed = if self.norm.is_some() { 2.0 * self.ty.unit() + 2e-6 } else { 0.0 };
                // GELU's slope is at most 1.13; its own error is that of the error function
                let before =
                    (2.0_f64.powi(-22) * (self.inputs as f64).max(8.0).sqrt() + normed) * sizes + 4e-7 * sum.abs();
                let gelu_error =
                    if self.gelu { 4e-4 * self.ty.unit() / Type::F16.unit() * sum.abs().min(1.0) + 4e-7 } else { 0.0 };
                let bound = (1.13 * before + gelu_error) * scale.abs()
                    + 2.0 * self.output.unit() * value.abs()
                    + 2.0_f64.powi(-22) * residual.abs()
                    + self.output.smallest();
                Ok(Expected { value, bound })
            })
            .collect()
    }
}

impl Linear {
    /// A row that is multiplied, of all rows of all images.
    fn row(&self, input: Array, memory: &dyn Contents, row: usize) -> Result<Vec<f64>, DriverError> {
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
        let Some(eps) = self.norm else { return Ok(values) };
        let normed_alone = if matches!(self.rows, Rows::Patches { .. }) { length } else { self.inputs };
        let rows = values.chunks(normed_alone);
        let normed = rows.flat_map(|row| (0..row.len()).map(move |at| normed(row, at, f64::from(eps))));
        // rounded as the kernel rounds it
        Ok(self.ty.decode(&self.ty.encode(normed.map(|value| value as f32))))
    }
}

/// `x · Φ(x)`
fn gelu(x: f64) -> f64 {
    0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2)
}
