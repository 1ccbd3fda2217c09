//! The mean of each channel over all positions of an image, and the norm that follows it in a head. Kernel: `kernels/pool.cu`.

use super::norm::Norm;
use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents, address};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;

static SOURCE: Source = source!("pool");

/// Threads of a block.
const BLOCK: u32 = 256;
/// Threads of a warp.
const WARP: usize = 32;

arguments! {
    /// `struct Pool` of the kernel.
    struct PoolArguments {
        input: u64,
        output: u64,
        means: u64,
        tickets: u64,
        scale: u64,
        shift: u64,
        rows: u32,
        channels: u32,
        blocks: u32,
        lanes: u32,
        unrounded: u32,
        eps: f32,
    }
}

/// `[rows, channels] → [channels]` per image.
pub(crate) struct Pool {
    /// Positions of an image.
    pub(crate) rows: usize,
    pub(crate) channels: usize,
    /// Of the means over the channels; they are not rounded before it.
    pub(crate) norm: Option<Norm>,
    /// Of the input.
    pub(crate) ty: Type,
    /// Of the output: the same, or f32.
    pub(crate) output: Type,
}

impl Operation for Pool {
    fn name(&self) -> &'static str {
        if self.norm.is_some() { "pool + norm" } else { "pool" }
    }

    fn needs(&self, _card: &Card, images: usize) -> Needs {
        let output = images * self.channels;
        let needs = Needs { input: output * self.rows, output, ..Needs::default() };
        match self.norm {
            None => needs,
            Some(_) => Needs { scratch: output * Type::F32.bytes(), tickets: images, ..needs },
        }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        // a word a lane, where rows are whole words
        let in_a_word = 4 / self.ty.bytes();
        let width = if self.channels.is_multiple_of(in_a_word) { in_a_word } else { 1 };
        let blocks = |lanes: usize| self.channels.div_ceil(lanes * width);
        // for few images fewer lanes are more blocks, down to half a sector a row
        let few = |lanes: &usize| images * blocks(*lanes) < card.few_blocks() as usize;
        let lanes = [WARP, 8, 4].into_iter().find(|lanes| !few(lanes)).unwrap_or(4);
        let blocks = blocks(lanes);
        let ([scale, shift], eps) = Norm::arguments(self.norm);
        let arguments = PoolArguments {
            input: at.input.address,
            output: at.output.address,
            means: address(at.scratch.filter(|_| self.norm.is_some())),
            tickets: address(at.tickets.filter(|_| self.norm.is_some())),
            scale,
            shift,
            rows: self.rows as u32,
            channels: self.channels as u32,
            blocks: blocks as u32,
            lanes: lanes as u32,
            unrounded: u32::from(self.output != self.ty),
            eps,
        };
        let kernel = match self.ty {
            Type::F16 => "pool_f16",
            Type::Bf16 => "pool_bf16",
            Type::F32 | Type::U8 => "pool_f32",
        };
        vec![Launch::new(&SOURCE, kernel, [(images * blocks) as u32, 1, 1], [BLOCK, 1, 1], &arguments)]
    }

    fn expected(
        &self,
        _images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let affine = self.norm.and_then(|norm| norm.affine);
        let affine = affine.map(|arrays| arrays.map(|array| memory.read(array, 0..self.channels)));
        let affine = match affine {
            Some([scale, shift]) => Some((scale?, shift?)),
            None => None,
        };
        let mut last: Option<(usize, Vec<Expected>)> = None;
        outputs
            .iter()
            .map(|index| {
                let (image, channel) = (index / self.channels, index % self.channels);
                let means = match last.take() {
                    Some((known, means)) if known == image => means,
                    _ => self.means(at.input, memory, image)?,
                };
                let Expected { value, bound } = self.norm.map_or(means[channel], |norm| {
                    let Expected { value, bound } = normed(&means, channel, f64::from(norm.eps));
                    let (scale, shift) =
                        affine.as_ref().map_or((1.0, 0.0), |(scale, shift)| (scale[channel], shift[channel]));
                    let scaled = value * scale;
                    Expected { value: scaled + shift, bound: bound * scale.abs() + SUM * (scaled.abs() + shift.abs()) }
                });
                last = Some((image, means));
                // then one rounding, of what may be that far off
                let rounding = self.output.unit() * (value.abs() + bound) + self.output.smallest();
                Ok(Expected { value, bound: bound + rounding })
            })
            .collect()
    }
}

/// Four roundings of f32.
const SUM: f64 = 1.0 / (1 << 22) as f64;

impl Pool {
    /// The means of an image, as far off as sums in f32 of so many may be: their roundings grow as the root of their number.
    fn means(&self, input: Array, memory: &dyn Contents, image: usize) -> Result<Vec<Expected>, DriverError> {
        let numbers = self.rows * self.channels;
        let values = memory.read(input, image * numbers..(image + 1) * numbers)?;
        let (mut sums, mut sizes) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        for row in values.chunks_exact(self.channels) {
            for ((value, sum), size) in row.iter().zip(&mut sums).zip(&mut sizes) {
                *sum += value;
                *size += value.abs();
            }
        }
        let rows = self.rows as f64;
        let bound = |size: f64| SUM * rows.sqrt() * size / rows;
        Ok(sums.iter().zip(sizes).map(|(sum, size)| Expected { value: sum / rows, bound: bound(size) }).collect())
    }
}

/// One number of the norm of numbers that may be off.
fn normed(means: &[Expected], at: usize, eps: f64) -> Expected {
    let count = means.len() as f64;
    let mean = means.iter().map(|mean| mean.value).sum::<f64>() / count;
    let variance = means.iter().map(|other| (other.value - mean).powi(2)).sum::<f64>() / count;
    let factor = 1.0 / (variance + eps).sqrt();
    let value = (means[at].value - mean) * factor;
    // the number itself, the mean of all (and its own sum in f32), the factor
    let size = means.iter().map(|mean| mean.value.abs()).sum::<f64>() / count;
    let off = means.iter().map(|mean| mean.bound).sum::<f64>() / count;
    let centre = off + 2.0 * SUM * size;
    let bound = (means[at].bound + centre + value.abs() * off) * factor + 2.0 * SUM * value.abs();
    Expected { value, bound }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cuda::launch::assert_fits;

    #[test]
    fn the_argument_lies_as_the_kernels() {
        assert_fits::<PoolArguments>(&SOURCE, &["pool_f32", "pool_f16", "pool_bf16"]);
    }
}
