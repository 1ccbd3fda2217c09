//! A function of each number, or a weight that is added to each image's map. Kernel: `kernels/pointwise.cu`.
//!
//! Not here: GELU, which is a part of the product before it (`linear`).

use super::norm::rounded;
use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents, address};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
use crate::program::Function;

static SOURCE: Source = source!("pointwise");

/// Threads of a block.
const BLOCK: usize = 256;

arguments! {
    /// `struct Pointwise` of the kernel.
    struct PointwiseArguments {
        input: u64,
        output: u64,
        weight: u64,
        numbers: u32,
        function: u32,
    }
}

/// What becomes of each number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Activate(Function),
    /// What is added to each image's numbers, in f32.
    Offset(Array),
}

/// `[numbers] → [numbers]` per image.
pub(crate) struct Pointwise {
    /// Of an image.
    pub(crate) numbers: usize,
    pub(crate) what: What,
    /// Of input and output.
    pub(crate) ty: Type,
}

impl Operation for Pointwise {
    fn name(&self) -> &'static str {
        match self.what {
            What::Activate(_) => "activate",
            What::Offset(_) => "offset",
        }
    }

    fn needs(&self, _card: &Card, images: usize) -> Needs {
        let numbers = images * self.numbers;
        Needs { input: numbers, output: numbers, ..Needs::default() }
    }

    fn launches(&self, _card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        let whole = 16 / self.ty.bytes();
        let width = if self.numbers.is_multiple_of(whole) { whole } else { 1 };
        let (weight, function) = match self.what {
            What::Offset(weight) => (Some(weight), 0),
            What::Activate(Function::GeluTanh) => (None, 0),
            What::Activate(Function::Silu) => (None, 1),
            What::Activate(Function::Relu) => (None, 2),
        };
        let arguments = PointwiseArguments {
            input: at.input.address,
            output: at.output.address,
            weight: address(weight),
            numbers: self.numbers as u32,
            function,
        };
        let kernel = match (self.ty, width) {
            (Type::F16, 1) => "pointwise_odd_f16",
            (Type::F16, _) => "pointwise_f16",
            (Type::Bf16, 1) => "pointwise_odd_bf16",
            (Type::Bf16, _) => "pointwise_bf16",
            (Type::F32 | Type::U8, 1) => "pointwise_odd_f32",
            (Type::F32 | Type::U8, _) => "pointwise_f32",
        };
        let grid = [self.numbers.div_ceil(BLOCK * width) as u32, images as u32, 1];
        vec![Launch::new(&SOURCE, kernel, grid, [BLOCK as u32, 1, 1], &arguments)]
    }

    fn expected(
        &self,
        _images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let one = |array: Array, index: usize| memory.read(array, index..index + 1).map(|values| values[0]);
        let number = |index: &usize| {
            let x = one(at.input, *index)?;
            let exact = match self.what {
                What::Activate(function) => activated(function, x),
                What::Offset(weight) => {
                    let value = x + one(weight, index % self.numbers)?;
                    Expected { value, bound: UNIT * value.abs() }
                }
            };
            Ok(rounded(exact, self.ty))
        };
        outputs.iter().map(number).collect()
    }
}

/// Half the distance of two neighbouring f32 at 1.
const UNIT: f64 = 1.0 / (1u64 << 24) as f64;

/// A function of a number, and how far from it f32 may be.
fn activated(function: Function, x: f64) -> Expected {
    let z = match function {
        Function::GeluTanh => (8.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3)),
        Function::Silu => x,
        Function::Relu => return Expected { value: x.max(0.0), bound: 0.0 },
    };
    let share = 1.0 / (1.0 + (-z).exp());
    // z is off by a few units of itself, e^−z by as much more, which counts as far as the exponential does in the sum; then a fast
    // exponential, a sum, a fast quotient; and an exponential beyond e^80 is that
    let units = 12.0 + 8.0 * z.abs() * (1.0 - share);
    let value = x * share;
    Expected { value, bound: units * UNIT * value.abs() + (-80.0f64).exp() * x.abs() + f64::from(f32::MIN_POSITIVE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let kernels = ["pointwise_f32", "pointwise_f16", "pointwise_bf16"];
        let odd = ["pointwise_odd_f32", "pointwise_odd_f16", "pointwise_odd_bf16"];
        crate::engine::cuda::launch::assert_fits::<PointwiseArguments>(&SOURCE, &[kernels, odd].concat());
    }
}
