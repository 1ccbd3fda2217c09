//! ConvNeXt (Liu et al., "A ConvNet for the 2020s", 2022) and ConvNeXt V2 (Woo et al., 2023).
//!
//! A stem of 4×4 patches, four stages of blocks with a 2×2 downsampling between them, pooling, a norm and a linear head.
//! A block is depthwise 7×7, norm, linear to four times the width, GELU, (V2: GRN,) linear back, (V1: layer scale,) residual.
//! timm's variants have stems of two overlapping convolutions, other norms and activations, a hidden layer in the head, and dilated stages.
//!
//! Canonical weight names, all as PyTorch stores them:
//! (`stem.first.{weight,bias}`,) `stem.{weight,bias}`, `stem.norm.{scale,shift}`, `stages.S.downsample.norm.{scale,shift}`, `stages.S.downsample.{weight,bias}`,
//! `stages.S.blocks.B.{depthwise.{weight,bias}, norm.{scale,shift}, fc1.{weight,bias}, grn.{scale,shift}, fc2.{weight,bias}, gamma.scale}`,
//! `head.norm.{scale,shift}`, (`head.hidden.{weight,bias}`,) `head.{weight,bias}`.

use super::SpecError;
use super::builder::Builder;
use crate::program::{Function, InputSpec, Linear, NormKind, Program, Squares, TensorId};

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
    /// Images of one channel: the network reads the first of three.
    pub one_channel: bool,
    /// How the image becomes a map.
    pub stem: Stem,
    /// Side of the stem's patches.
    pub patch: usize,
    /// From one position of the last map to the next in pixels, at most: stages that would go further are dilated instead, as in timm, where a
    /// first stage after patches of 2 goes further too. None where every stage but the first just halves the map.
    pub output_stride: Option<usize>,
    /// Side of the depthwise kernel of each stage, odd.
    pub kernels: Vec<usize>,
    /// Width of the hidden layer over the width of the block.
    pub expansion: f32,
    /// Global response normalisation after the GELU (V2).
    pub grn: bool,
    /// Layer scale on the block's branch (V1).
    pub layer_scale: bool,
    /// How norms norm.
    pub norm: NormKind,
    /// The activation of stem and blocks, where it is not GELU.
    pub function: Option<Function>,
    /// The head's norm before the pooling instead of after it.
    pub head_norm_first: bool,
    /// Width of a hidden layer of the head, after its norm, and GELU.
    pub head_hidden: Option<usize>,
    /// Epsilon of the stem's, the blocks' and the downsampling norms.
    pub eps: f32,
    /// Epsilon of the head's norm, which transformers sets apart.
    pub head_eps: f32,
}

/// A stem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// Patches.
    Patches,
    /// Two convolutions of 3×3 at every second position, one after another.
    Overlapping {
        /// The first has half the width, rounded to a multiple of 8.
        tiered: bool,
        /// The activation is between them.
        activated: bool,
    },
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
            one_channel: false,
            stem: Stem::Patches,
            patch: 4,
            output_stride: Some(32),
            kernels: vec![7; 4],
            expansion: 4.0,
            grn: v2,
            layer_scale: !v2,
            norm: NormKind::Layer,
            function: None,
            head_norm_first: false,
            head_hidden: None,
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
        if self.output_stride.is_some_and(|stride| ![8, 16, 32].contains(&stride)) {
            return invalid("the stride of the output must be 8, 16 or 32");
        }
        let mut dilated = self.kernels.iter().zip(self.steps());
        if let Some((kernel, step)) = dilated.find(|(kernel, step)| (*kernel - 1) * step.dilation + 1 > 63) {
            return invalid(&format!("kernels of {kernel} dilated by {} reach further than 63", step.dilation));
        }
        if self.head_hidden.is_some_and(|hidden| self.head_norm_first || !(1..=MOST).contains(&hidden)) {
            return invalid("the head's hidden layer must be of 1 to 65,536 and after a norm after the pooling");
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

/// How a stage begins and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// Of the convolution before its blocks; where that and both dilations are 1 there is none.
    stride: usize,
    /// Of that convolution.
    first_dilation: usize,
    /// Of its blocks.
    dilation: usize,
}

impl Spec {
    /// The steps of the stages, as timm's constructor finds them.
    fn steps(&self) -> Vec<Step> {
        let plain = |stride| Step { stride, first_dilation: 1, dilation: 1 };
        let Some(output_stride) = self.output_stride else {
            return (0..self.depths.len()).map(|stage| plain(if stage > 0 { 2 } else { 1 })).collect();
        };
        let mut reached = if self.stem == Stem::Patches { self.patch } else { 4 };
        let mut dilation = 1;
        let step = |stage: usize| {
            let stride = if stage > 0 || reached == 2 { 2 } else { 1 };
            if stride == 1 {
                return plain(1);
            }
            if reached >= output_stride {
                dilation *= 2;
                return Step { stride: 1, first_dilation: if dilation > 2 { 2 } else { 1 }, dilation };
            }
            reached *= 2;
            plain(2)
        };
        (0..self.depths.len()).map(step).collect()
    }
}

/// The program of a specification for images of `input`.
///
/// # Errors
/// [`SpecError::Invalid`] when the numbers do not make a network.
pub fn program(spec: &Spec, input: InputSpec) -> Result<Program, SpecError> {
    spec.check()?;
    let family = if spec.grn { "convnextv2" } else { "convnext" };
    let mut net = Builder { program: Program::new(&spec.name, family, input), one_channel: spec.one_channel };
    let mut x = stem(&mut net, spec);
    for (stage, (step, &width)) in spec.steps().into_iter().zip(&spec.widths).enumerate() {
        if stage > 0 || step.stride > 1 {
            let name = format!("stages.{stage}.downsample");
            let normed = net.norm_of(&format!("{name}.norm"), x, spec.norm, spec.eps);
            x = downsample(&mut net, &name, normed, step, width);
        }
        for block in 0..spec.depths[stage] {
            let kernel = (spec.kernels[stage], step.dilation);
            x = self::block(&mut net, spec, &format!("stages.{stage}.blocks.{block}"), x, kernel);
        }
    }
    x = if spec.head_norm_first {
        let normed = net.norm_of("head.norm", x, spec.norm, spec.head_eps);
        net.pool("head.pool", normed)
    } else {
        let pooled = net.pool("head.pool", x);
        net.norm_of("head.norm", pooled, spec.norm, spec.head_eps)
    };
    if let Some(hidden) = spec.head_hidden {
        x = net.activated("head.hidden", x, hidden, None);
    }
    net.linear("head", x, spec.classes, |_, op| op);
    Ok(net.program)
}

/// Adds the stem and its norm.
fn stem(net: &mut Builder, spec: &Spec) -> TensorId {
    let width = spec.widths[0];
    let x = match spec.stem {
        Stem::Patches => net.patchify("stem", Program::INPUT, spec.patch, width),
        Stem::Overlapping { tiered, activated } => {
            let squares = Squares { kernel: 3, stride: 2, dilation: 1, padding: [1, 1] };
            let middle = if tiered { divisible_by_8(width / 2) } else { width };
            let gelu = activated && spec.function.is_none();
            let mut x = net.conv("stem.first", Program::INPUT, squares, middle, gelu);
            x = net.function("stem.first", x, spec.function.filter(|_| activated));
            net.conv("stem", x, squares, width, false)
        }
    };
    net.norm_of("stem.norm", x, spec.norm, spec.eps)
}

/// timm's `make_divisible`: the nearest multiple of 8 that is not much less.
fn divisible_by_8(width: usize) -> usize {
    let nearest = ((width + 4) / 8 * 8).max(8);
    // 9/10 as timm has it
    if (nearest as f64) < 0.9 * width as f64 { nearest + 8 } else { nearest }
}

/// Adds the convolution before a stage's blocks: 2×2, and where it is dilated or does not halve the map padded to the same size.
fn downsample(net: &mut Builder, name: &str, input: TensorId, step: Step, width: usize) -> TensorId {
    let Step { stride, first_dilation, dilation } = step;
    if dilation == 1 {
        return net.patchify(name, input, stride, width);
    }
    // padding "same": of an odd number of zeros one more after the map
    let padding = [first_dilation / 2, first_dilation.div_ceil(2)];
    net.conv(name, input, Squares { kernel: 2, stride, dilation: first_dilation, padding }, width, false)
}

/// Adds a block after `input`.
fn block(net: &mut Builder, spec: &Spec, name: &str, input: TensorId, (kernel, dilation): (usize, usize)) -> TensorId {
    let width = net.program.shape(input).channels;
    let mut x = net.depthwise(&format!("{name}.depthwise"), input, kernel, dilation);
    x = net.norm_of(&format!("{name}.norm"), x, spec.norm, spec.eps);
    // as timm: int(expansion · width)
    let hidden = ((spec.expansion * width as f32) as usize).max(1);
    x = net.activated(&format!("{name}.fc1"), x, hidden, spec.function);
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
