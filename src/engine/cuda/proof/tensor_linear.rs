//! Cases of the product by tensor cores.

use super::case::Case;
use crate::engine::cuda::array::Contents;
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::Launch;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::linear::{Linear, Rows};
use crate::engine::cuda::operations::{Expected, Needs, Operands, Operation, tensor_linear};

/// A linear that is always computed by tensor cores.
struct ByTensorCores(Linear);

impl Operation for ByTensorCores {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn needs(&self, card: &Card, images: usize) -> Needs {
        Needs { scratch: tensor_linear::scratch(&self.0, card, images), ..self.0.needs(card, images) }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        tensor_linear::launches(&self.0, card, images, at)
    }

    fn expected(
        &self,
        images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        self.0.expected(images, at, memory, outputs)
    }
}

/// A linear in numbers, without arrays.
#[derive(Clone, Copy)]
struct Product {
    rows: Rows,
    count: usize,
    inputs: usize,
    outputs: usize,
    norm: Option<f32>,
    gelu: bool,
    scale: bool,
    residual: bool,
    wide: bool,
}

/// Rows of K numbers to rows of N, with a bias.
const fn plain(count: usize, inputs: usize, outputs: usize) -> Product {
    let rows = Rows::Plain;
    Product { rows, count, inputs, outputs, norm: None, gelu: false, scale: false, residual: false, wide: false }
}

impl Product {
    fn case(self, ty: Type, images: usize) -> Case {
        let Self { rows, count, inputs, outputs, .. } = self;
        let what = [
            (self.norm.is_some(), "norm"),
            (self.gelu, "GELU"),
            (self.scale, "scale"),
            (self.residual, "residual"),
            (self.wide, "f32"),
        ];
        let what: Vec<&str> = what.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        let rows_name = match rows {
            Rows::Plain => "rows",
            Rows::Patches { .. } => "patches",
            Rows::Merged { .. } => "merged",
        };
        let name = format!("{count} {rows_name} of {inputs} to {outputs}, {}", what.join(" + "));
        let case = Case::new(name, ty, images, move |weights| {
            let spread = 2.0 / (inputs as f32).sqrt();
            let weight = weights.array(inputs * outputs, ty, spread, 0.0)?;
            let bias = weights.array(outputs, Type::F32, 0.5, 0.0)?;
            let scale = if self.scale { Some(weights.array(outputs, Type::F32, 0.5, 0.25)?) } else { None };
            let Self { norm, gelu, residual, .. } = self;
            let output = if self.wide { Type::F32 } else { ty };
            Ok(Box::new(ByTensorCores(Linear {
                rows,
                count,
                inputs,
                outputs,
                norm,
                weight,
                bias,
                gelu,
                scale,
                residual,
                ty,
                output,
            })))
        });
        let spread = if self.norm.is_some() { (3.0, 5.0) } else { (2.0, 0.0) };
        let output = if self.wide { Type::F32 } else { ty };
        Case { spread, output, in_place: self.residual, ..case }
    }
}

pub(super) fn cases(ty: Type) -> Vec<Case> {
    if ty != Type::F16 {
        return Vec::new();
    }
    let products = [plain(49, 96, 96), plain(150, 104, 200), plain(131, 384, 136), plain(7, 40, 19)];
    products.into_iter().map(|product| product.case(ty, 1)).collect()
}
