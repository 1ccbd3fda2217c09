//! Global response normalisation (ConvNeXt V2, section 3.2). Kernel: `kernels/grn.cu`.

use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents, address};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;

static SOURCE: Source = source!("grn");

/// Lanes of a warp, each with channels of its own.
const WARP: usize = 32;
/// Channels a lane, where they divide the channels.
const WIDTH: usize = 4;
/// Threads of a block.
const BLOCK: u32 = 256;
/// Fewest rows of a part: four of each warp.
const ROWS_OF_SPLIT: usize = 32;
/// Most parts of an image's rows, for one block adds them all up.
const MOST_SPLITS: usize = 32;

arguments! {
    /// `struct Grn` of the kernel.
    struct GrnArguments {
        input: u64,
        output: u64,
        scale: u64,
        shift: u64,
        partials: u64,
        factors: u64,
        tickets: u64,
        rows: u32,
        channels: u32,
        blocks: u32,
        splits: u32,
        rows_of_split: u32,
        eps: f32,
    }
}

/// `y = x + scale · (x · n) + shift`, where `n = g / (mean of g over the channels + eps)` and `g` is the L2 norm of a channel over all rows of
/// an image. The output may be the input.
pub(crate) struct Grn {
    /// Rows per image.
    pub(crate) rows: usize,
    pub(crate) channels: usize,
    /// `[channels]` in f32.
    pub(crate) scale: Array,
    /// `[channels]` in f32.
    pub(crate) shift: Array,
    /// Added to the mean norm.
    pub(crate) eps: f32,
    /// Of input and output.
    pub(crate) ty: Type,
}

/// How an image is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// Blocks that cover the channels.
    blocks: usize,
    /// Parts of the rows.
    splits: usize,
    rows_of_split: usize,
}

impl Grn {
    /// Enough blocks for eight an SM, where there are rows for them.
    fn cut(&self, card: &Card, images: usize) -> Cut {
        let width = if self.channels.is_multiple_of(WIDTH) { WIDTH } else { 1 };
        let blocks = self.channels.div_ceil(WARP * width);
        let wanted = (8 * card.multiprocessors as usize).div_ceil(images * blocks);
        let most = self.rows.div_ceil(ROWS_OF_SPLIT).min(MOST_SPLITS);
        let rows_of_split = self.rows.div_ceil(wanted.clamp(1, most));
        Cut { blocks, splits: self.rows.div_ceil(rows_of_split), rows_of_split }
    }

    /// Bytes of the partial sums; the factors lie behind them.
    fn partials(&self, splits: usize, images: usize) -> usize {
        // the factors are read four at a time
        (images * splits * self.channels * Type::F32.bytes()).next_multiple_of(16)
    }
}

impl Operation for Grn {
    fn name(&self) -> &'static str {
        "grn"
    }

    fn needs(&self, card: &Card, images: usize) -> Needs {
        let numbers = images * self.rows * self.channels;
        let partials = self.partials(self.cut(card, images).splits, images);
        let scratch = partials + images * self.channels * Type::F32.bytes();
        Needs { input: numbers, output: numbers, scratch, tickets: images, ..Needs::default() }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        let Cut { blocks, splits, rows_of_split } = self.cut(card, images);
        let scratch = address(at.scratch);
        let arguments = GrnArguments {
            input: at.input.address,
            output: at.output.address,
            scale: self.scale.address,
            shift: self.shift.address,
            partials: scratch,
            factors: scratch + self.partials(splits, images) as u64,
            tickets: address(at.tickets),
            rows: self.rows as u32,
            channels: self.channels as u32,
            blocks: blocks as u32,
            splits: splits as u32,
            rows_of_split: rows_of_split as u32,
            eps: self.eps,
        };
        let [squares, apply] = match self.ty {
            Type::F16 => ["grn_squares_f16", "grn_apply_f16"],
            Type::Bf16 => ["grn_squares_bf16", "grn_apply_bf16"],
            Type::F32 | Type::U8 => ["grn_squares_f32", "grn_apply_f32"],
        };
        let grid = [(images * splits * blocks) as u32, 1, 1];
        vec![
            Launch::new(&SOURCE, squares, grid, [BLOCK, 1, 1], &arguments),
            Launch::new(&SOURCE, apply, grid, [BLOCK, 1, 1], &arguments),
        ]
    }

    fn expected(
        &self,
        _images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let scale = memory.read(self.scale, 0..self.channels)?;
        let shift = memory.read(self.shift, 0..self.channels)?;
        let numbers = self.rows * self.channels;
        let mut last: Option<(usize, Vec<f64>)> = None;
        outputs
            .iter()
            .map(|index| {
                let (image, channel) = (index / numbers, index % self.channels);
                let shares = match last.take() {
                    Some((known, shares)) if known == image => shares,
                    _ => self.shares(at.input, memory, image)?,
                };
                let x = memory.read(at.input, *index..*index + 1)?[0];
                let response = scale[channel] * (x * shares[channel]);
                last = Some((image, shares));
                let value = x + response + shift[channel];
                // sums of squares and of norms, whose roundings grow as the root of their number, then a few operations and one rounding
                let sums = (self.rows as f64).sqrt() + (self.channels as f64).sqrt() + 4.0;
                let before = SUM * (sums * response.abs() + x.abs() + shift[channel].abs());
                let bound = before + self.ty.unit() * (value.abs() + before) + self.ty.smallest();
                Ok(Expected { value, bound })
            })
            .collect()
    }
}

/// Four roundings of f32.
const SUM: f64 = 1.0 / (1 << 22) as f64;

impl Grn {
    /// `n` of each channel of an image.
    fn shares(&self, input: Array, memory: &dyn Contents, image: usize) -> Result<Vec<f64>, DriverError> {
        let numbers = self.rows * self.channels;
        let values = memory.read(input, image * numbers..(image + 1) * numbers)?;
        let mut squares = vec![0.0; self.channels];
        for row in values.chunks_exact(self.channels) {
            squares.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * value);
        }
        let norms: Vec<f64> = squares.into_iter().map(f64::sqrt).collect();
        let mean = norms.iter().sum::<f64>() / self.channels as f64;
        Ok(norms.iter().map(|norm| norm / (mean + f64::from(self.eps))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let kernels = [
            "grn_squares_f32",
            "grn_squares_f16",
            "grn_squares_bf16",
            "grn_apply_f32",
            "grn_apply_f16",
            "grn_apply_bf16",
        ];
        crate::engine::cuda::launch::assert_fits::<GrnArguments>(&SOURCE, &kernels);
    }

    #[test]
    fn an_image_is_cut_into_blocks_for_the_whole_card_and_no_more() {
        let card = Card { capability: 80, multiprocessors: 108, shared_per_block: 0 };
        let array = Array { address: 0, len: 0, ty: Type::F32 };
        let cut = |rows, channels, images| {
            Grn { rows, channels, scale: array, shift: array, eps: 1e-6, ty: Type::F16 }.cut(&card, images)
        };
        assert_eq!(cut(3136, 384, 1), Cut { blocks: 3, splits: 32, rows_of_split: 98 });
        assert_eq!(cut(49, 3072, 1), Cut { blocks: 24, splits: 2, rows_of_split: 25 });
        assert_eq!(cut(3136, 384, 64), Cut { blocks: 3, splits: 5, rows_of_split: 628 });
        assert_eq!(cut(3136, 384, 512), Cut { blocks: 3, splits: 1, rows_of_split: 3136 });
        assert_eq!(cut(1, 7, 1), Cut { blocks: 1, splits: 1, rows_of_split: 1 });
    }
}
