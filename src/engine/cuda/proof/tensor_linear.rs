//! Cases of the product by tensor cores.

use super::case::Case;
use crate::engine::cuda::array::Contents;
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::Launch;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::linear::{Linear, Rows};
use crate::engine::cuda::operations::norm::Norm;
use crate::engine::cuda::operations::{Expected, Needs, Operands, Operation, tensor_linear};

/// A linear that is always computed by tensor cores.
struct ByTensorCores {
    linear: Linear,
    /// The number of a tile and how many splits, where it is not the launcher that chooses.
    cut: Option<(usize, usize)>,
}

impl Operation for ByTensorCores {
    fn name(&self) -> &'static str {
        self.linear.name()
    }

    fn needs(&self, card: &Card, images: usize) -> Needs {
        let [scratch, tickets] = match self.cut {
            Some((number, splits)) => {
                let tile = tensor_linear::any_tile(&self.linear, card, number, splits);
                tensor_linear::beside_of(&self.linear, images, &tile)
            }
            None => tensor_linear::beside(&self.linear, card, images),
        };
        Needs { scratch, tickets, ..self.linear.needs(card, images) }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        vec![match self.cut {
            Some((number, splits)) => {
                let tile = tensor_linear::any_tile(&self.linear, card, number, splits);
                tensor_linear::launch_by(&self.linear, images, at, &tile)
            }
            None => tensor_linear::launch(&self.linear, card, images, at),
        }]
    }

    fn expected(
        &self,
        images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        self.linear.expected(images, at, memory, outputs)
    }
}

/// At least as many as a card has.
const TILES: usize = 6;

/// A linear in numbers, without arrays.
#[derive(Clone, Copy)]
struct Product {
    rows: Rows,
    count: usize,
    inputs: usize,
    outputs: usize,
    norm: bool,
    /// Whether the norm has scale and shift.
    affine: bool,
    gelu: bool,
    scale: bool,
    residual: bool,
    wide: bool,
    /// The number of a tile and how many splits.
    cut: Option<(usize, usize)>,
}

/// Rows of K numbers to rows of N, with a bias.
const fn plain(count: usize, inputs: usize, outputs: usize) -> Product {
    let (rows, cut) = (Rows::Plain, None);
    let [norm, affine, gelu, scale, residual, wide] = [false, true, false, false, false, false];
    Product { rows, count, inputs, outputs, norm, affine, gelu, scale, residual, wide, cut }
}

impl Product {
    fn case(self, ty: Type, images: usize) -> Case {
        let Self { rows, count, inputs, outputs, .. } = self;
        let what = [
            (self.norm, if self.affine { "norm" } else { "norm without scale and shift" }),
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
        let cut = self.cut.map(|(number, splits)| format!(", tile {number} in {splits} splits")).unwrap_or_default();
        let name = format!("{count} {rows_name} of {inputs} to {outputs}, {}{cut}", what.join(" + "));
        let case = Case::new(name, ty, images, move |weights| {
            let spread = 2.0 / (inputs as f32).sqrt();
            let weight = weights.array(inputs * outputs, ty, spread, 0.0)?;
            let bias = weights.array(outputs, Type::F32, 0.5, 0.0)?;
            let scale = if self.scale { Some(weights.array(outputs, Type::F32, 0.5, 0.25)?) } else { None };
            let normed = match rows {
                Rows::Patches { channels, .. } => channels,
                Rows::Plain | Rows::Merged { .. } => inputs,
            };
            let affine = if self.norm && self.affine {
                Some([weights.array(normed, Type::F32, 0.5, 1.0)?, weights.array(normed, Type::F32, 0.5, 0.0)?])
            } else {
                None
            };
            let norm = self.norm.then_some(Norm { affine, eps: 1e-6 });
            let Self { gelu, residual, .. } = self;
            let output = if self.wide { Type::F32 } else { ty };
            let linear = Linear { rows, count, inputs, outputs, norm, weight, bias, gelu, scale, residual, ty, output };
            Ok(Box::new(ByTensorCores { linear, cut: self.cut }))
        });
        let spread = if self.norm { (3.0, 5.0) } else { (2.0, 0.0) };
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
    let norm = true;
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
        Product { norm, affine: false, ..plain(20, 96, 96) },
        plain(131, 128, 128),
        plain(257, 40, 136),
        plain(33, 8, 8),
        plain(7, 104, 19),
        Product { gelu: true, scale: true, residual: true, ..plain(70, 200, 37) },
    ];
    let two = [
        Product { norm, ..patches(14, 14, 96) },
        Product { norm, ..patches(9, 7, 40) },
        Product { norm, affine: false, ..patches(4, 6, 32) },
        patches(6, 10, 16),
        merged(14, 14, 96),
        merged(7, 9, 40),
        merged(7, 7, 192),
        Product { norm: false, ..merged(5, 5, 24) },
    ];
    let one = mlp(49, 96).into_iter().chain(mlp(49, 192)).chain(mlp(17, 384)).chain(mlp(9, 768)).chain(one);
    let cases = one.map(|product| product.case(ty, 1)).chain(two.map(|product| product.case(ty, 2)));
    cases.chain(every_tile().map(|product| product.case(ty, 2))).collect()
}

/// Every kernel on two row tiles and two column tiles that end within one, whole and in splits, with everything before and after it.
fn every_tile() -> impl Iterator<Item = Product> {
    let cuts = (0..TILES).flat_map(|number| [1, 3].map(|splits| Some((number, splits))));
    cuts.flat_map(|cut| {
        let plain = plain(75, 208, 136);
        let whole = Product { gelu: true, scale: true, residual: true, cut, ..plain };
        [whole, Product { norm: true, cut, ..plain }, Product { outputs: 67, cut, ..plain }]
    })
}
