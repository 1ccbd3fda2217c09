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

/// ConvNeXt's and Swin's products with real K and N and few rows, each with what stands before and after it there; then edges: rows and columns
/// that no tile divides, K that is no multiple of a tile, one row, splits of K.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    if ty == Type::F32 {
        return Vec::new();
    }
    let norm = Some(1e-6);
    let mlp = |count, channels| {
        [
            Product { gelu: true, ..plain(count, channels, 4 * channels) },
            Product { scale: true, residual: true, ..plain(count, 4 * channels, channels) },
            Product { norm, gelu: true, ..plain(count, channels, 4 * channels) },
        ]
    };
    let patches = |height, width, channels| Product {
        rows: Rows::Patches { height, width, channels, size: 2 },
        ..plain(height / 2 * (width / 2), 4 * channels, 2 * channels)
    };
    let merged = |height: usize, width: usize, channels| Product {
        rows: Rows::Merged { height, width, channels },
        norm,
        ..plain(height.div_ceil(2) * width.div_ceil(2), 4 * channels, 2 * channels)
    };
    let one = [
        plain(1, 768, 1000),
        Product { wide: true, ..plain(1, 768, 1000) },
        Product { wide: true, residual: true, scale: true, ..plain(5, 96, 20) },
        Product { residual: true, ..plain(130, 96, 96) },
        Product { norm, ..plain(49, 384, 1152) },
        Product { norm, ..plain(3, 1536, 64) },
        plain(131, 128, 128),
        plain(257, 40, 136),
        plain(33, 8, 8),
        plain(7, 104, 19),
        Product { gelu: true, scale: true, residual: true, ..plain(70, 200, 37) },
    ];
    let two = [
        Product { norm, ..patches(14, 14, 96) },
        Product { norm, ..patches(9, 7, 40) },
        patches(6, 10, 16),
        merged(14, 14, 96),
        merged(7, 9, 40),
        merged(7, 7, 192),
        Product { norm: None, ..merged(5, 5, 24) },
    ];
    let one = mlp(49, 96).into_iter().chain(mlp(49, 192)).chain(mlp(17, 384)).chain(mlp(9, 768)).chain(one);
    let large =
        [Product { gelu: true, ..plain(784, 96, 384) }, Product { scale: true, residual: true, ..plain(784, 384, 96) }];
    let cases = one.map(|product| product.case(ty, 1)).chain(two.map(|product| product.case(ty, 2)));
    cases.chain(large.map(|product| product.case(ty, 16))).collect()
}
