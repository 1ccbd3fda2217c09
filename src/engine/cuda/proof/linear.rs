//! Cases of the matrix product with all that stands about it. Not here: which of its kernels a network gets (`operations/linear`).

use super::case::Case;
use crate::engine::cuda::array::Contents;
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::Launch;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::linear::{Linear, Rows};
use crate::engine::cuda::operations::norm::Norm;
use crate::engine::cuda::operations::{Expected, Needs, Operands, Operation, plain_linear};

/// A linear that is always computed by the plain kernel.
struct ByPlainKernel(Linear);

impl Operation for ByPlainKernel {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn needs(&self, card: &Card, images: usize) -> Needs {
        Needs { scratch: plain_linear::scratch(&self.0, images), tickets: 0, ..self.0.needs(card, images) }
    }

    fn launches(&self, _card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        plain_linear::launches(&self.0, images, at)
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

/// A case of [`Linear`], its weights yet to make.
#[derive(Clone, Copy)]
struct Shape {
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
    /// Output in f32.
    logits: bool,
    images: usize,
}

impl Shape {
    fn plain(count: usize, inputs: usize, outputs: usize) -> Self {
        let rows = Rows::Plain;
        let [norm, affine, gelu, scale, residual, logits] = [false; 6];
        Self { rows, count, inputs, outputs, norm, affine, gelu, scale, residual, logits, images: 1 }
    }

    fn patches([height, width]: [usize; 2], channels: usize, size: usize, outputs: usize) -> Self {
        let rows = Rows::Patches { height, width, channels, size };
        Self { rows, images: 2, ..Self::plain((height / size) * (width / size), size * size * channels, outputs) }
    }

    fn merged([height, width]: [usize; 2], channels: usize, outputs: usize) -> Self {
        let rows = Rows::Merged { height, width, channels };
        Self { rows, images: 2, ..Self::plain(height.div_ceil(2) * width.div_ceil(2), 4 * channels, outputs) }
    }

    fn normed(self) -> Self {
        Self { norm: true, affine: true, ..self }
    }

    fn without_affine(self) -> Self {
        Self { affine: false, ..self }
    }

    fn gelu(self) -> Self {
        Self { gelu: true, ..self }
    }

    fn scaled(self) -> Self {
        Self { scale: true, ..self }
    }

    fn added(self) -> Self {
        Self { residual: true, ..self }
    }

    fn logits(self) -> Self {
        Self { logits: true, ..self }
    }

    fn images(self, images: usize) -> Self {
        Self { images, ..self }
    }

    fn case(self, ty: Type) -> Case {
        let Self { rows, count, inputs, outputs, norm, affine, gelu, scale, residual, logits, images } = self;
        let with = [
            (norm, "norm"),
            (affine, "affine"),
            (gelu, "GELU"),
            (scale, "scale"),
            (residual, "residual"),
            (logits, "f32 out"),
        ];
        let with: Vec<&str> = with.into_iter().filter_map(|(has, name)| has.then_some(name)).collect();
        let name = format!("{rows:?}, {count} × {inputs} → {outputs} [{}]", with.join(", "));
        let output = if logits { Type::F32 } else { ty };
        Case {
            output,
            // where rows are normed, their mean is far from zero
            spread: if norm { (6.0, 20.0) } else { (1.0, 0.0) },
            in_place: residual,
            ..Case::new(name, ty, images, move |weights| {
                // sums about as large as those of a network
                let weight = weights.array(outputs * inputs, ty, 2.0 / (inputs as f32).sqrt(), 0.0)?;
                let bias = weights.array(outputs, Type::F32, 0.5, 0.0)?;
                let scale = if scale { Some(weights.array(outputs, Type::F32, 0.5, 1.0)?) } else { None };
                let normed = match rows {
                    Rows::Patches { channels, .. } => channels,
                    Rows::Plain | Rows::Merged { .. } => inputs,
                };
                let affine = if affine {
                    Some([weights.array(normed, Type::F32, 0.5, 1.0)?, weights.array(normed, Type::F32, 0.5, 0.0)?])
                } else {
                    None
                };
                let norm = norm.then_some(Norm { affine, eps: 1e-6 });
                Ok(Box::new(ByPlainKernel(Linear {
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
            })
        }
    }
}

/// Every kind of rows with and without a norm, every epilogue, sizes that nothing divides, and parts of real networks: few rows, few outputs, many
/// blocks.
pub(super) fn plain_cases(ty: Type) -> Vec<Case> {
    let stem = Shape::patches([16, 16], 3, 4, 96);
    let down = Shape::patches([9, 7], 32, 2, 40).normed();
    let merge = Shape::merged([7, 5], 24, 48).normed();
    let shapes = [
        // one number, and a block's corner in all directions
        Shape::plain(1, 1, 1),
        Shape::plain(17, 3, 5).gelu().scaled().added(),
        Shape::plain(33, 67, 35).normed().gelu(),
        Shape::plain(65, 130, 66).normed().scaled().added(),
        // a block: networks' MLPs
        Shape::plain(64, 96, 384).normed().gelu(),
        Shape::plain(64, 384, 96).scaled().added(),
        Shape::plain(49, 768, 64).added(),
        // enough tiles for the larger, whole and cut off
        Shape::plain(512, 48, 512).normed().gelu(),
        Shape::plain(33, 68, 35).normed().without_affine(),
        Shape::plain(529, 50, 486).scaled().added().images(1),
        Shape::plain(131, 21, 500).normed().images(4),
        // heads
        Shape::plain(1, 768, 100).logits(),
        Shape::plain(1, 768, 10).logits().images(3),
        Shape::plain(1, 99, 7).normed().logits().images(16),
        Shape::plain(1, 64, 37).logits().images(17),
        // patches: pixels as they come, normed ones, one side beside another, lines and columns that fill none
        stem,
        stem.normed(),
        stem.normed().without_affine(),
        Shape::patches([13, 11], 3, 4, 10),
        Shape::patches([6, 5], 5, 3, 9).normed().gelu(),
        Shape::patches([33, 35], 8, 1, 10).normed(),
        down,
        down.without_affine(),
        Shape::patches([8, 8], 96, 2, 192).normed(),
        Shape::patches([16, 16], 3, 16, 12),
        // merging, also of a map of odd sides, and of one that is smaller than a square
        merge,
        Shape { norm: false, affine: false, ..merge },
        merge.without_affine(),
        Shape::merged([8, 8], 96, 64).normed(),
        Shape::merged([1, 3], 6, 4).normed(),
        Shape::merged([11, 10], 5, 6).normed().images(3),
    ];
    shapes.into_iter().map(|shape| shape.case(ty)).collect()
}
