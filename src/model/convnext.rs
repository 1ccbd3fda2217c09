//! ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022) and ConvNeXt V2 (Woo et al., 2023).
//!
//! A stem of 4×4 patches, four stages of blocks with a 2×2 downsampling between them, pooling, a norm and a linear head.
//! A block is depthwise 7×7, norm, linear to four times the width, GELU, (V2: GRN,) linear back, (V1: layer scale,) residual.
//!
//! Canonical weight names, all as PyTorch stores them:
//! `stem.{weight,bias}`, `stem.norm.{scale,shift}`, `stages.S.downsample.norm.{scale,shift}`, `stages.S.downsample.{weight,bias}`,
//! `stages.S.blocks.B.{depthwise.{weight,bias}, norm.{scale,shift}, fc1.{weight,bias}, grn.{scale,shift}, fc2.{weight,bias}, gamma.scale}`,
//! `head.norm.{scale,shift}`, `head.{weight,bias}`.

use super::SpecError;
use super::builder::Builder;
use crate::program::{Activation, InputSpec, Linear, Program, TensorId};

/// Everything that a ConvNeXt's program depends on but its input.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Name of the architecture, as `convnext_tiny`.
    pub name: String,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Channels of each stage.
    pub widths: Vec<usize>,
    /// Classes of the head.
    pub classes: usize,
    /// Side of the stem's patches.
    pub patch: usize,
    /// Side of the depthwise kernel of each stage, odd.
    pub kernels: Vec<usize>,
    /// Width of the hidden layer over the width of the block.
    pub expansion: f32,
    /// Global response normalisation after the GELU (V2).
    pub grn: bool,
    /// Layer scale on the block's branch (V1).
    pub layer_scale: bool,
    /// The head's norm before the pooling instead of after it.
    pub head_norm_first: bool,
    /// Epsilon of the stem's, the blocks' and the downsampling norms.
    pub eps: f32,
    /// Epsilon of the head's norm, which transformers sets apart.
    pub head_eps: f32,
}

/// A published size.
#[derive(Debug)]
pub struct Published {
    /// Name of the architecture.
    pub name: &'static str,
    depths: [usize; 4],
    widths: [usize; 4],
}

impl Published {
    const fn new(name: &'static str, depths: [usize; 4], widths: [usize; 4]) -> Self {
        Self { name, depths, widths }
    }
}

/// The published sizes: the papers' and, below tiny, those that timm added for V1 and the V2 paper took over.
pub const PUBLISHED: &[Published] = &[
    Published::new("convnext_atto", [2, 2, 6, 2], [40, 80, 160, 320]),
    Published::new("convnext_femto", [2, 2, 6, 2], [48, 96, 192, 384]),
    Published::new("convnext_pico", [2, 2, 6, 2], [64, 128, 256, 512]),
    Published::new("convnext_nano", [2, 2, 8, 2], [80, 160, 320, 640]),
    Published::new("convnext_tiny", [3, 3, 9, 3], [96, 192, 384, 768]),
    Published::new("convnext_small", [3, 3, 27, 3], [96, 192, 384, 768]),
    Published::new("convnext_base", [3, 3, 27, 3], [128, 256, 512, 1024]),
    Published::new("convnext_large", [3, 3, 27, 3], [192, 384, 768, 1536]),
    Published::new("convnext_xlarge", [3, 3, 27, 3], [256, 512, 1024, 2048]),
    Published::new("convnextv2_atto", [2, 2, 6, 2], [40, 80, 160, 320]),
    Published::new("convnextv2_femto", [2, 2, 6, 2], [48, 96, 192, 384]),
    Published::new("convnextv2_pico", [2, 2, 6, 2], [64, 128, 256, 512]),
    Published::new("convnextv2_nano", [2, 2, 8, 2], [80, 160, 320, 640]),
    Published::new("convnextv2_tiny", [3, 3, 9, 3], [96, 192, 384, 768]),
    Published::new("convnextv2_small", [3, 3, 27, 3], [96, 192, 384, 768]),
    Published::new("convnextv2_base", [3, 3, 27, 3], [128, 256, 512, 1024]),
    Published::new("convnextv2_large", [3, 3, 27, 3], [192, 384, 768, 1536]),
    Published::new("convnextv2_huge", [3, 3, 27, 3], [352, 704, 1408, 2816]),
];

impl Spec {
    /// The published specification of a name, with a thousand classes.
    #[must_use]
    pub fn published(name: &str) -> Option<Self> {
        let size = PUBLISHED.iter().find(|size| size.name == name)?;
        let v2 = name.starts_with("convnextv2");
        Some(Self {
            name: name.to_owned(),
            depths: size.depths.to_vec(),
            widths: size.widths.to_vec(),
            classes: 1000,
            patch: 4,
            kernels: vec![7; 4],
            expansion: 4.0,
            grn: v2,
            layer_scale: !v2,
            head_norm_first: false,
            eps: 1e-6,
            head_eps: 1e-6,
        })
    }

    fn check(&self) -> Result<(), SpecError> {
        let invalid = |why: &str| Err(SpecError::Invalid { architecture: self.name.clone(), why: why.to_owned() });
        if self.depths.is_empty() || self.depths.len() != self.widths.len() || self.depths.len() != self.kernels.len() {
            return invalid(&format!(
                "{} depths, {} widths and {} kernels: each stage needs one of each",
                self.depths.len(),
                self.widths.len(),
                self.kernels.len()
            ));
        }
        // bounds that no network comes near, so that no later product overflows
        const MOST: usize = 1 << 16;
        if self.depths.len() > 12 {
            return invalid(&format!("{} stages; of the largest input nothing is left after 12", self.depths.len()));
        }
        if self.widths.iter().any(|w| !(1..=MOST).contains(w)) || self.depths.iter().any(|d| *d > 1024) {
            return invalid("a stage has no channels, more than 65,536 channels or more than 1,024 blocks");
        }
        if !(1..=1 << 20).contains(&self.classes) {
            return invalid(&format!("{} classes; 1 to 1,048,576 are possible", self.classes));
        }
        if !(1..=64).contains(&self.patch) || self.kernels.iter().any(|k| k % 2 == 0 || *k > 63) {
            return invalid("patches must be of 1 to 64 pixels, kernels odd and at most 63");
        }
        if !(self.expansion > 0.0 && self.expansion <= 64.0) {
            return invalid("the hidden layer must be wider than nothing and at most 64 times its block");
        }
        if ![self.eps, self.head_eps].iter().all(|eps| (0.0..1.0).contains(eps)) {
            return invalid("the epsilon of a norm must be at least 0 and below 1");
        }
        Ok(())
    }
}

/// The program of a specification for images of `input`.
///
/// # Errors
/// [`SpecError::Invalid`] when the numbers do not make a network.
pub fn program(spec: &Spec, input: InputSpec) -> Result<Program, SpecError> {
    spec.check()?;
    let family = if spec.grn { "convnextv2" } else { "convnext" };
    let mut net = Builder { program: Program::new(&spec.name, family, input) };
    let stem = net.patchify("stem", Program::INPUT, spec.patch, spec.widths[0]);
    let mut x = net.norm("stem.norm", stem, spec.eps);
    for (stage, (&depth, &width)) in spec.depths.iter().zip(&spec.widths).enumerate() {
        if stage > 0 {
            let name = format!("stages.{stage}.downsample");
            let normed = net.norm(&format!("{name}.norm"), x, spec.eps);
            x = net.patchify(&name, normed, 2, width);
        }
        for block in 0..depth {
            x = self::block(&mut net, spec, &format!("stages.{stage}.blocks.{block}"), x, spec.kernels[stage]);
        }
    }
    x = if spec.head_norm_first {
        let normed = net.norm("head.norm", x, spec.head_eps);
        net.pool("head.pool", normed)
    } else {
        let pooled = net.pool("head.pool", x);
        net.norm("head.norm", pooled, spec.head_eps)
    };
    net.linear("head", x, spec.classes, |_, op| op);
    Ok(net.program)
}

/// Adds a block after `input`.
fn block(net: &mut Builder, spec: &Spec, name: &str, input: TensorId, kernel: usize) -> TensorId {
    let width = net.program.shape(input).channels;
    let mut x = net.depthwise(&format!("{name}.depthwise"), input, kernel);
    x = net.norm(&format!("{name}.norm"), x, spec.eps);
    // as timm: int(expansion · width)
    let hidden = ((spec.expansion * width as f32) as usize).max(1);
    x = net.linear(&format!("{name}.fc1"), x, hidden, |_, op| Linear { activation: Some(Activation::Gelu), ..op });
    if spec.grn {
        x = net.grn(&format!("{name}.grn"), x);
    }
    net.linear(&format!("{name}.fc2"), x, width, |net, op| Linear {
        scale: spec.layer_scale.then(|| net.vector(format!("{name}.gamma.scale"), width)),
        residual: Some(input),
        ..op
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
