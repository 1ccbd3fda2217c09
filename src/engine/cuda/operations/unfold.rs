//! The squares that a convolution reads, side by side; of maps, or of images as they come. Kernel: `kernels/unfold.cu`.
//!
//! Not here: the product after it (`linear`), the slot that images come in (`patch_embedding`).

use super::norm::rounded;
use super::patch_embedding::{Format, image_offset, slot_bytes};
use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
use crate::program::{InputSpec, Shape, Squares};

static SOURCE: Source = source!("unfold");

/// Threads of a block, and how many numbers or vectors each writes, about.
const BLOCK: usize = 256;
const EACH: usize = 8;

/// The largest value of a byte.
const WHITE: f64 = 255.0;

arguments! {
    /// `struct Unfold` of the kernel.
    struct UnfoldArguments {
        input: u64,
        output: u64,
        height: u32,
        width: u32,
        channels: u32,
        down: u32,
        across: u32,
        squares: u32,
        kernel: u32,
        step: u32,
        dilation: u32,
        before: u32,
        rows: u32,
        first: u32,
        stride: u32,
        factor_0: f32,
        factor_1: f32,
        factor_2: f32,
        rest_0: f32,
        rest_1: f32,
        rest_2: f32,
        columns: u32,
    }
}

/// `[h, w, c] → [h', w', kernel²·c]`.
#[derive(Clone, Debug)]
pub(crate) struct Unfold {
    /// Of a map.
    pub(crate) input: Shape,
    /// Where the input is a slot of images, how their bytes are normalised.
    pub(crate) image: Option<InputSpec>,
    pub(crate) squares: Squares,
    /// Of the output, and of the input if it is no image.
    pub(crate) ty: Type,
}

impl Unfold {
    /// Squares of a column and of a row of a map.
    fn down_and_across(&self) -> [usize; 2] {
        [self.input.height, self.input.width].map(|side| self.squares.along(side))
    }

    /// Numbers of a row of the output.
    fn columns(&self) -> usize {
        self.squares.columns(self.input.channels)
    }

    /// Numbers that a thread moves at once.
    fn width(&self) -> usize {
        let whole = 16 / self.ty.bytes();
        if self.image.is_none() && self.input.channels.is_multiple_of(whole) { whole } else { 1 }
    }

    /// Where a number of the output comes from: image, row, column, channel; None for a zero, beyond the map or behind the square.
    fn from(&self, index: usize) -> Option<[usize; 4]> {
        let [down, across] = self.down_and_across();
        let (square, column) = (index / self.columns(), index % self.columns());
        let (position, channel) = (column / self.input.channels, column % self.input.channels);
        let kernel = self.squares.kernel;
        if position >= kernel * kernel {
            return None;
        }
        let y = self.squares.at(square / across % down, position / kernel, self.input.height)?;
        let x = self.squares.at(square % across, position % kernel, self.input.width)?;
        Some([square / across / down, y, x, channel])
    }
}

/// What a byte is multiplied with, and what is added then: one rounding of each.
fn normalisation(input: &InputSpec) -> [[f32; 3]; 2] {
    let factor = input.std.map(|std| (1.0 / (WHITE * f64::from(std))) as f32);
    let rest = [0, 1, 2].map(|c| (-f64::from(input.mean[c]) / f64::from(input.std[c])) as f32);
    [factor, rest]
}

impl Operation for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn needs(&self, _card: &Card, images: usize) -> Needs {
        let input = match &self.image {
            Some(image) => slot_bytes(image, images),
            None => images * self.input.len(),
        };
        let output = images * self.down_and_across().iter().product::<usize>() * self.columns();
        Needs { input, output, ..Needs::default() }
    }

    fn launches(&self, _card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        let [down, across] = self.down_and_across();
        let squares = images * down * across;
        let rows = (EACH * BLOCK * self.width()).div_ceil(self.columns());
        let first = self.image.map_or(0, |image| image_offset(&image, images, 0));
        let stride = self.image.map_or(0, |image| image_offset(&image, images, 1) - first);
        let [factor, rest] = self.image.map_or([[0.0; 3]; 2], |image| normalisation(&image));
        let arguments = UnfoldArguments {
            input: at.input.address,
            output: at.output.address,
            height: self.input.height as u32,
            width: self.input.width as u32,
            channels: self.input.channels as u32,
            down: down as u32,
            across: across as u32,
            squares: squares as u32,
            kernel: self.squares.kernel as u32,
            step: self.squares.stride as u32,
            dilation: self.squares.dilation as u32,
            before: self.squares.padding[0] as u32,
            rows: rows as u32,
            first: first as u32,
            stride: stride as u32,
            factor_0: factor[0],
            factor_1: factor[1],
            factor_2: factor[2],
            rest_0: rest[0],
            rest_1: rest[1],
            rest_2: rest[2],
            columns: self.columns() as u32,
        };
        let kernel = match (self.ty, self.image.is_some(), self.width()) {
            (Type::F16, true, _) => "unfold_image_f16",
            (Type::F16, false, 1) => "unfold_odd_f16",
            (Type::F16, false, _) => "unfold_f16",
            (Type::Bf16, true, _) => "unfold_image_bf16",
            (Type::Bf16, false, 1) => "unfold_odd_bf16",
            (Type::Bf16, false, _) => "unfold_bf16",
            (Type::F32 | Type::U8, true, _) => "unfold_image_f32",
            (Type::F32 | Type::U8, false, 1) => "unfold_odd_f32",
            (Type::F32 | Type::U8, false, _) => "unfold_f32",
        };
        vec![Launch::new(&SOURCE, kernel, [squares.div_ceil(rows) as u32, 1, 1], [BLOCK as u32, 1, 1], &arguments)]
    }

    fn expected(
        &self,
        images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let number = |index: &usize| match (self.from(*index), &self.image) {
            (None, _) => Ok(Expected { value: 0.0, bound: 0.0 }),
            (Some(from), Some(spec)) => self.pixel(images, at.input, memory, spec, from),
            (Some([image, y, x, channel]), None) => {
                let Shape { height, width, channels } = self.input;
                let at_input = ((image * height + y) * width + x) * channels + channel;
                // a copy
                Ok(Expected { value: memory.read(at.input, at_input..at_input + 1)?[0], bound: 0.0 })
            }
        };
        // a bound of nothing would make an error of nothing no number
        let with_room = |expected: Expected| Expected { bound: expected.bound + f64::MIN_POSITIVE, ..expected };
        outputs.iter().map(|index| number(index).map(with_room)).collect()
    }
}

/// Half the distance of two neighbouring f32 at 1.
const UNIT: f64 = 1.0 / (1u64 << 24) as f64;

impl Unfold {
    /// A number of an image, normalised.
    fn pixel(
        &self,
        images: usize,
        slot: Array,
        memory: &dyn Contents,
        spec: &InputSpec,
        [image, y, x, channel]: [usize; 4],
    ) -> Result<Expected, DriverError> {
        let first = image_offset(spec, images, image);
        let bytes = |from: usize, count: usize| -> Result<Vec<u8>, DriverError> {
            Ok(memory.read(slot, from..from + count)?.into_iter().map(|byte| byte as u8).collect())
        };
        let pixel = y * spec.width + x;
        let format = bytes(image * 4, 4)?[0];
        if format == Format::Bytes as u8 {
            let byte = f64::from(bytes(first + pixel * 3 + channel, 1)?[0]);
            let (mean, std) = (f64::from(spec.mean[channel]), f64::from(spec.std[channel]));
            // the factor and the rest are rounded, and their sum
            let size = (byte / WHITE).abs() / std + mean.abs() / std;
            return Ok(rounded(Expected { value: (byte / WHITE - mean) / std, bound: 2.0 * UNIT * size }, self.ty));
        }
        let plane = if format == Format::F32 as u8 { Type::F32 } else { Type::F16 };
        let from = first + (channel * spec.height * spec.width + pixel) * plane.bytes();
        let value = plane.decode(&bytes(from, plane.bytes())?)[0];
        Ok(rounded(Expected { value, bound: 0.0 }, self.ty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let kernels =
            ["unfold_f32", "unfold_f16", "unfold_bf16", "unfold_odd_f32", "unfold_odd_f16", "unfold_odd_bf16"];
        let images = ["unfold_image_f32", "unfold_image_f16", "unfold_image_bf16"];
        crate::engine::cuda::launch::assert_fits::<UnfoldArguments>(&SOURCE, &[&kernels[..], &images].concat());
    }
}
