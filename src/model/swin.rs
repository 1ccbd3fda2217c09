//! Swin (Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", 2021), version 1.
//!
//! A stem of 4×4 patches and a norm, four stages of blocks, each but the first after a merge of 2×2 positions, a norm and a linear layer;
//! then a norm, pooling and a linear head. A block is norm, attention in windows, residual, norm, linear to four times the width, GELU,
//! linear back, residual; every second block's windows are shifted by half a window.
//!
//! Canonical weight names, all as PyTorch stores them:
//! `stem.{weight,bias}`, `stem.norm.{scale,shift}`, (`stem.positions.table`,) `stages.S.downsample.norm.{scale,shift}`, `stages.S.downsample.weight`,
//! `stages.S.blocks.B.{norm1.{scale,shift}, qkv.{weight,bias}, attention.table, proj.{weight,bias}, norm2.{scale,shift},
//! fc1.{weight,bias}, fc2.{weight,bias}}`, `head.norm.{scale,shift}`, `head.{weight,bias}`.

use super::SpecError;
use super::builder::Builder;
use crate::program::{Function, InputSpec, LONGEST_SIDE, Linear, Program, Shape, Squares, TensorId, Windows};

/// Everything that a Swin's program depends on but its input.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Name of the architecture, as `swin_tiny_patch4_window7_224`.
    pub name: String,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Channels of each stage.
    pub widths: Vec<usize>,
    /// Heads of each stage.
    pub heads: Vec<usize>,
    /// Rows and columns of each stage's windows, where the map is no smaller.
    pub windows: Vec<[usize; 2]>,
    /// Classes of the head.
    pub classes: usize,
    /// Images of one channel: the network reads the first of three.
    pub one_channel: bool,
    /// Side of the stem's patches.
    pub patch: usize,
    /// Whether an embedding of its position is added to each patch after the stem's norm.
    pub positions: bool,
    /// The activation of blocks, where it is not GELU.
    pub function: Option<Function>,
    /// Width of the hidden layer over the width of the block.
    pub expansion: f64,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Epsilon of the head's norm and of those of the blocks.
    pub eps: f32,
    /// Epsilon of the norms after a merge and in the stem, which transformers does not configure.
    pub fixed_eps: f32,
    /// Whose details are followed.
    pub dialect: Dialect,
}

/// In what implementations differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// timm rolls a map and pads it then; along a side no longer than the window, the window is cut to the side and not shifted.
    Timm,
    /// transformers fills up an image to whole patches with zeros, pads a map and rolls it then; where the shorter side is no longer than the window, nothing is shifted, and a map
    /// shorter than its window is refused, for the table of biases would not fit.
    Transformers,
}

/// A published size.
#[derive(Debug)]
pub struct Published {
    /// Name of the architecture.
    pub name: &'static str,
    depths: [usize; 4],
    width: usize,
    heads: [usize; 4],
    windows: [usize; 4],
}

impl Published {
    const fn new(name: &'static str, depths: [usize; 4], width: usize, heads: [usize; 4], window: usize) -> Self {
        Self { name, depths, width, heads, windows: [window; 4] }
    }

    const fn searched(name: &'static str, depth: usize, windows: [usize; 4]) -> Self {
        Self { name, depths: [2, 2, depth, 2], width: 96, heads: [3, 6, 12, 24], windows }
    }
}

/// The published sizes for images of 224, and ours of ConvNeXt-Atto's cost for the demo. For images of 384 the window is 12.
pub const PUBLISHED: &[Published] = &[
    Published::new("swin_atto", [2, 2, 6, 2], 32, [1, 2, 4, 8], 4),
    Published::new("swin_tiny", [2, 2, 6, 2], 96, [3, 6, 12, 24], 7),
    Published::new("swin_small", [2, 2, 18, 2], 96, [3, 6, 12, 24], 7),
    Published::new("swin_base", [2, 2, 18, 2], 128, [4, 8, 16, 32], 7),
    Published::new("swin_large", [2, 2, 18, 2], 192, [6, 12, 24, 48], 7),
];

/// Swins whose windows were searched for (Chen et al., "Searching the Search Space of Vision Transformer", 2021), for images of 224.
pub const SEARCHED: &[Published] = &[
    Published::searched("swin_s3_tiny_224", 6, [7, 7, 14, 7]),
    Published::searched("swin_s3_small_224", 18, [14, 14, 14, 7]),
    Published::searched("swin_s3_base_224", 30, [7, 7, 14, 7]),
];

impl Spec {
    /// The published specification of a name, with a thousand classes: `swin_tiny`, or in timm's way `swin_tiny_patch4_window7_224`.
    #[must_use]
    pub fn published(name: &str) -> Option<Self> {
        let (short, window) = match name.split_once("_patch4_window") {
            Some((short, "7_224")) => (short, Some(7)),
            Some((short, "12_384")) => (short, Some(12)),
            Some(_) => return None,
            None => (name, None),
        };
        let searched = SEARCHED.iter().filter(|_| window.is_none());
        let size = PUBLISHED.iter().chain(searched).find(|size| size.name == short)?;
        let windows = window.map_or(size.windows, |window| [window; 4]);
        Some(Self {
            name: name.to_owned(),
            depths: size.depths.to_vec(),
            widths: (0..4).map(|stage| size.width << stage).collect(),
            heads: size.heads.to_vec(),
            windows: windows.map(|window| [window; 2]).to_vec(),
            classes: 1000,
            one_channel: false,
            patch: 4,
            positions: false,
            function: None,
            expansion: 4.0,
            qkv_bias: true,
            eps: 1e-5,
            fixed_eps: 1e-5,
            dialect: Dialect::Timm,
        })
    }

    fn check(&self) -> Result<(), SpecError> {
        let invalid = |why: &str| Err(SpecError::Invalid { architecture: self.name.clone(), why: why.to_owned() });
        let stages = self.depths.len();
        if stages == 0 || [self.widths.len(), self.heads.len(), self.windows.len()] != [stages; 3] {
            return invalid(&format!(
                "{stages} depths, {} widths, {} numbers of heads and {} windows: each stage needs one of each",
                self.widths.len(),
                self.heads.len(),
                self.windows.len()
            ));
        }
        // bounds that no network comes near, so that no later product overflows
        const MOST: usize = 1 << 16;
        if stages > 12 {
            return invalid(&format!("{stages} stages; of the largest input nothing is left after 12"));
        }
        if self.widths.iter().any(|w| !(1..=MOST).contains(w)) || self.depths.iter().any(|d| *d > 1024) {
            return invalid("a stage has no channels, more than 65,536 channels or more than 1,024 blocks");
        }
        let mut heads = self.heads.iter().zip(&self.widths);
        if let Some((heads, width)) = heads.find(|(heads, width)| **heads == 0 || !width.is_multiple_of(**heads)) {
            return invalid(&format!("{width} channels cannot be shared by {heads} heads"));
        }
        if self.windows.as_flattened().iter().any(|side| !(1..=LONGEST_SIDE).contains(side)) {
            return invalid(&format!("windows must be of 1 to {LONGEST_SIDE} positions per side"));
        }
        if !(1..=1 << 20).contains(&self.classes) {
            return invalid(&format!("{} classes; 1 to 1,048,576 are possible", self.classes));
        }
        if !(1..=64).contains(&self.patch) {
            return invalid("patches must be of 1 to 64 pixels");
        }
        if !(self.expansion > 0.0 && self.expansion <= 64.0) {
            return invalid("the hidden layer must be wider than nothing and at most 64 times its block");
        }
        if ![self.eps, self.fixed_eps].iter().all(|eps| (0.0..1.0).contains(eps)) {
            return invalid("the epsilon of a norm must be at least 0 and below 1");
        }
        Ok(())
    }

    /// The windows of a stage's block on a map.
    fn windows(&self, stage: usize, block: usize, map: Shape) -> Result<Windows, SpecError> {
        let (size, sides) = (self.windows[stage], [map.height, map.width]);
        let shifted = block % 2 == 1;
        let shift = |size: [usize; 2], fits: [bool; 2]| {
            std::array::from_fn(|axis| if shifted && fits[axis] { size[axis] / 2 } else { 0 })
        };
        match self.dialect {
            Dialect::Timm => {
                let cut = std::array::from_fn(|axis| size[axis].min(sides[axis]));
                let fits = std::array::from_fn(|axis| sides[axis] > cut[axis]);
                // half of the window before it was cut, as timm; an uncut one where it is used at all
                Ok(Windows { size: cut, shift: shift(size, fits), pads_first: false })
            }
            Dialect::Transformers => {
                let shorter = map.height.min(map.width);
                if shorter < size[0] {
                    let why = format!(
                        "stage {stage} has a map of {map}, smaller than its windows of {}×{}",
                        size[0], size[1]
                    );
                    return Err(SpecError::Invalid { architecture: self.name.clone(), why });
                }
                Ok(Windows { size, shift: shift(size, [shorter > size[0]; 2]), pads_first: true })
            }
        }
    }
}

/// The program of a specification for images of `input`.
///
/// # Errors
/// [`SpecError::Invalid`] when the numbers do not make a network, or for timm's the image is no whole number of patches.
pub fn program(spec: &Spec, input: InputSpec) -> Result<Program, SpecError> {
    spec.check()?;
    let sides = [input.height, input.width];
    let whole = sides.iter().all(|side| side.is_multiple_of(spec.patch));
    if sides.contains(&0) || !whole && spec.dialect == Dialect::Timm {
        let why =
            format!("images of {}×{} are no whole number of patches of {}", input.height, input.width, spec.patch);
        return Err(SpecError::Invalid { architecture: spec.name.clone(), why });
    }
    let mut net = Builder { program: Program::new(&spec.name, "swin", input), one_channel: spec.one_channel };
    let stem = if whole {
        net.patchify("stem", Program::INPUT, spec.patch, spec.widths[0])
    } else {
        let squares = Squares { kernel: spec.patch, stride: spec.patch, dilation: 1, padding: [0, spec.patch - 1] };
        net.conv("stem", Program::INPUT, squares, spec.widths[0], false)
    };
    let mut x = net.norm("stem.norm", stem, spec.fixed_eps);
    if spec.positions {
        x = net.offset("stem.positions", x);
    }
    for (stage, (&depth, &width)) in spec.depths.iter().zip(&spec.widths).enumerate() {
        if stage > 0 {
            let name = format!("stages.{stage}.downsample");
            let merged = net.merge(&format!("{name}.merge"), x);
            let normed = net.norm(&format!("{name}.norm"), merged, spec.fixed_eps);
            x = net.linear_without_bias(&name, normed, width);
        }
        for block in 0..depth {
            let windows = spec.windows(stage, block, net.program.shape(x))?;
            x = self::block(&mut net, spec, &format!("stages.{stage}.blocks.{block}"), x, spec.heads[stage], windows);
        }
    }
    x = net.norm("head.norm", x, spec.eps);
    x = net.pool("head.pool", x);
    net.linear("head", x, spec.classes, |_, op| op);
    Ok(net.program)
}

/// Adds a block after `input`.
fn block(net: &mut Builder, spec: &Spec, name: &str, input: TensorId, heads: usize, windows: Windows) -> TensorId {
    let width = net.program.shape(input).channels;
    let qkv = format!("{name}.qkv");
    let mut x = net.norm(&format!("{name}.norm1"), input, spec.eps);
    let bias = format!("{qkv}.bias");
    let bias = if spec.qkv_bias { net.vector(bias, 3 * width) } else { net.zeros(bias, 3 * width) };
    x = net.linear_with(&qkv, x, 3 * width, bias, |_, op| op);
    x = net.attention(&format!("{name}.attention"), x, heads, windows, bias);
    let middle = net.linear(&format!("{name}.proj"), x, width, |_, op| Linear { residual: Some(input), ..op });
    x = net.norm(&format!("{name}.norm2"), middle, spec.eps);
    let hidden = ((spec.expansion * width as f64) as usize).max(1);
    x = net.activated(&format!("{name}.fc1"), x, hidden, spec.function);
    net.linear(&format!("{name}.fc2"), x, width, |_, op| Linear { residual: Some(middle), ..op })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
