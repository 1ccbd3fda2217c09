//! The operations: what each reads, writes and requires of its shapes. Not here: computing them (`engine`).

use super::{Program, Shape, Squares, TensorId, WeightId, Windows};

/// One canonical operation. Maps are `[h, w, c]`, channels last.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution whose kernel is its stride, without padding: stem and downsampling.
    Patchify(Patchify),
    /// Depthwise convolution of stride 1, zero padded to the same size.
    Depthwise(Depthwise),
    /// Layer norm, or another norm, over the channels of each position.
    Norm(Norm),
    /// Matrix product over the channels of each position, with its epilogue.
    Linear(Linear),
    /// Global response normalisation (ConvNeXt V2).
    Grn(Grn),
    /// Multi-head attention inside shifted windows (Swin).
    Attention(Attention),
    /// Two by two positions side by side in the channels: downsampling (Swin).
    Merge(Merge),
    /// The squares that a convolution reads, side by side in the channels; with a linear operation after it, any convolution.
    Unfold(Unfold),
    /// A function of each number.
    Activate(Activate),
    /// A weight of a map's own shape is added: embeddings of positions.
    Offset(Offset),
    /// Mean over all positions.
    Pool(Pool),
}

/// `[h, w, c] → [h/size, w/size, out]`; rows and columns beyond a multiple of `size` are not read, as in PyTorch.
#[derive(Clone, Debug, PartialEq)]
pub struct Patchify {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[h/size, w/size, out]`
    pub output: TensorId,
    /// Side of a patch: kernel and stride.
    pub size: usize,
    /// `[out, size, size, c]`, so that a row lies as its patch lies in the map.
    pub weight: WeightId,
    /// `[out]`
    pub bias: WeightId,
}

/// `[h, w, c] → [h, w, c]`, zero padding of `kernel / 2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Depthwise {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[h, w, c]`
    pub output: TensorId,
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// `[kernel, kernel, c]`
    pub weight: WeightId,
    /// `[c]`
    pub bias: WeightId,
}

/// Scale and shift of a norm, each `[c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    /// `[c]`
    pub scale: WeightId,
    /// `[c]`
    pub shift: WeightId,
}

/// What of a position's channels a norm divides, and by what. `mean` and `var` are over the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `(x − mean) / sqrt(var + eps)` with the biased variance.
    Layer,
    /// `x / sqrt(mean of x² + eps)`.
    Rms,
    /// `x / sqrt(var + eps)` with the unbiased variance, timm's `SimpleNorm`: by a deviation about the mean, which stays in. Needs two channels.
    Simple,
}

/// `y = normed(x) · scale + shift` over the channels of each position, as its kind norms.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[h, w, c]`
    pub output: TensorId,
    /// How it norms.
    pub kind: NormKind,
    /// None where [`fold`](super::fold()) has moved it into the operation that follows.
    pub affine: Option<Affine>,
    /// Added to the variance, or to the mean of squares.
    pub eps: f32,
}

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)` by the error function; the tanh form is another function and nobody's checkpoint here uses it.
    Gelu,
}

/// `y = act(x·Wᵀ + bias) · scale + residual` at each position.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// `[h, w, in]`
    pub input: TensorId,
    /// `[h, w, out]`
    pub output: TensorId,
    /// `[out, in]`, as PyTorch stores it.
    pub weight: WeightId,
    /// `[out]`
    pub bias: WeightId,
    /// After the bias.
    pub activation: Option<Activation>,
    /// Layer scale γ, `[out]`.
    pub scale: Option<WeightId>,
    /// Added last; of the output's shape.
    pub residual: Option<TensorId>,
}

/// `y = x + scale · (x · n) + shift`, where `n = g / (mean over channels of g + eps)` and `g` is the L2 norm of each channel
/// over all positions (ConvNeXt V2, section 3.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Grn {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[h, w, c]`
    pub output: TensorId,
    /// `[c]`
    pub scale: WeightId,
    /// `[c]`
    pub shift: WeightId,
    /// Added to the mean norm.
    pub eps: f32,
}

/// `[h, w, 3c] → [h, w, c]`: in each window and head `softmax(q·kᵀ / sqrt(d) + bias + mask) · v`, where a position's channels are q, k
/// and v of all heads one after another, `d = c / heads` each, and the mask is −100 between positions of different regions.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// `[h, w, 3c]`
    pub input: TensorId,
    /// `[h, w, c]`
    pub output: TensorId,
    /// Heads, of which `c` is a multiple.
    pub heads: usize,
    /// The windows.
    pub windows: Windows,
    /// `[differences, heads]`, see [`Windows::difference`].
    pub bias: WeightId,
    /// `[3c]`, what padding has for q, k and v: the bias of the linear operation before, which sees zeros there. There just where the
    /// windows pad.
    pub padding: Option<WeightId>,
}

/// `[h, w, c] → [⌈h/2⌉, ⌈w/2⌉, 4c]`: positions (0, 0), (1, 0), (0, 1), (1, 1) of each square, row first; zeros beyond the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[⌈h/2⌉, ⌈w/2⌉, 4c]`
    pub output: TensorId,
}

/// `[h, w, c] → [h', w', kernel²·c]`: every `stride` rows and columns a square, its positions row by row, as a row of a convolution's weight
/// `[out, kernel, kernel, c]` lies; zeros beyond the map, and behind each square to a multiple of 8, as products like their rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfold {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[h', w', columns]` with `h' = (h + before + after − reach) / stride + 1` and `columns` as [`Squares::columns`] has it.
    pub output: TensorId,
    /// How squares lie.
    pub squares: Squares,
}

/// A function of a number that is an operation of its own; GELU is a part of the product before it ([`Activation`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2`
    GeluTanh,
    /// `x / (1 + e^−x)`
    Silu,
    /// `max(x, 0)`
    Relu,
}

/// `y = f(x)`
#[derive(Clone, Debug, PartialEq)]
pub struct Activate {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[h, w, c]`
    pub output: TensorId,
    /// The function.
    pub function: Function,
}

/// `y = x + weight`
#[derive(Clone, Debug, PartialEq)]
pub struct Offset {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[h, w, c]`
    pub output: TensorId,
    /// `[h · w, c]`
    pub weight: WeightId,
}

/// `[h, w, c] → [c]`, the mean over all positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// `[h, w, c]`
    pub input: TensorId,
    /// `[c]`
    pub output: TensorId,
}

impl Op {
    /// The kind, as tables print it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Patchify(_) => "patchify",
            Self::Depthwise(_) => "depthwise",
            Self::Norm(_) => "norm",
            Self::Linear(_) => "linear",
            Self::Grn(_) => "grn",
            Self::Attention(_) => "attention",
            Self::Merge(_) => "merge",
            Self::Unfold(_) => "unfold",
            Self::Activate(_) => "activate",
            Self::Offset(_) => "offset",
            Self::Pool(_) => "pool",
        }
    }

    /// The tensor that is transformed.
    #[must_use]
    pub fn input(&self) -> TensorId {
        match self {
            Self::Patchify(op) => op.input,
            Self::Depthwise(op) => op.input,
            Self::Norm(op) => op.input,
            Self::Linear(op) => op.input,
            Self::Grn(op) => op.input,
            Self::Attention(op) => op.input,
            Self::Merge(op) => op.input,
            Self::Unfold(op) => op.input,
            Self::Activate(op) => op.input,
            Self::Offset(op) => op.input,
            Self::Pool(op) => op.input,
        }
    }

    /// All tensors that are read: the input, and a residual where there is one.
    #[must_use]
    pub fn inputs(&self) -> Vec<TensorId> {
        let residual = if let Self::Linear(op) = self { op.residual } else { None };
        std::iter::once(self.input()).chain(residual).collect()
    }

    /// The tensor that is written.
    #[must_use]
    pub fn output(&self) -> TensorId {
        match self {
            Self::Patchify(op) => op.output,
            Self::Depthwise(op) => op.output,
            Self::Norm(op) => op.output,
            Self::Linear(op) => op.output,
            Self::Grn(op) => op.output,
            Self::Attention(op) => op.output,
            Self::Merge(op) => op.output,
            Self::Unfold(op) => op.output,
            Self::Activate(op) => op.output,
            Self::Offset(op) => op.output,
            Self::Pool(op) => op.output,
        }
    }

    /// The weights that are read.
    #[must_use]
    pub fn weights(&self) -> Vec<WeightId> {
        match self {
            Self::Patchify(op) => vec![op.weight, op.bias],
            Self::Depthwise(op) => vec![op.weight, op.bias],
            Self::Norm(op) => op.affine.iter().flat_map(|a| [a.scale, a.shift]).collect(),
            Self::Linear(op) => [op.weight, op.bias].into_iter().chain(op.scale).collect(),
            Self::Grn(op) => vec![op.scale, op.shift],
            Self::Attention(op) => std::iter::once(op.bias).chain(op.padding).collect(),
            Self::Offset(op) => vec![op.weight],
            Self::Merge(_) | Self::Unfold(_) | Self::Activate(_) | Self::Pool(_) => vec![],
        }
    }

    /// Holds the operation's shapes against each other.
    pub(super) fn check(&self, program: &Program) -> Result<(), String> {
        let input = program.shape(self.input());
        let (output, weights): (Shape, Vec<(WeightId, Vec<usize>)>) = match self {
            Self::Patchify(op) => {
                if op.size == 0 {
                    return Err("patches of no size".to_owned());
                }
                let out = program.shape(op.output).channels;
                let shape = Shape::map(input.height / op.size, input.width / op.size, out);
                (shape, vec![(op.weight, vec![out, op.size, op.size, input.channels]), (op.bias, vec![out])])
            }
            Self::Depthwise(op) => {
                if op.kernel % 2 == 0 {
                    return Err(format!("kernel {} is even", op.kernel));
                }
                let c = input.channels;
                (input, vec![(op.weight, vec![op.kernel, op.kernel, c]), (op.bias, vec![c])])
            }
            Self::Norm(op) => {
                if op.kind == NormKind::Simple && input.channels < 2 {
                    return Err("a single channel has no deviation".to_owned());
                }
                let c = vec![input.channels];
                (input, op.affine.iter().flat_map(|a| [(a.scale, c.clone()), (a.shift, c.clone())]).collect())
            }
            Self::Linear(op) => {
                let out = program.shape(op.output).channels;
                let mut weights = vec![(op.weight, vec![out, input.channels]), (op.bias, vec![out])];
                weights.extend(op.scale.map(|scale| (scale, vec![out])));
                (Shape::map(input.height, input.width, out), weights)
            }
            Self::Grn(op) => (input, vec![(op.scale, vec![input.channels]), (op.shift, vec![input.channels])]),
            Self::Attention(op) => {
                let channels = input.channels / 3;
                if op.heads == 0 || !input.channels.is_multiple_of(3 * op.heads) {
                    return Err(format!(
                        "{} channels are no queries, keys and values of {} heads",
                        input.channels, op.heads
                    ));
                }
                op.windows.check(input)?;
                if op.padding.is_some() != op.windows.pads(input) {
                    return Err(format!("windows of {:?} on {input} and padding do not agree", op.windows.size));
                }
                let mut weights = vec![(op.bias, vec![op.windows.differences(), op.heads])];
                weights.extend(op.padding.map(|padding| (padding, vec![input.channels])));
                (Shape::map(input.height, input.width, channels), weights)
            }
            Self::Merge(_) => {
                (Shape::map(input.height.div_ceil(2), input.width.div_ceil(2), 4 * input.channels), vec![])
            }
            Self::Unfold(op) => {
                let squares = op.squares;
                if [squares.kernel, squares.stride, squares.dilation].contains(&0) {
                    return Err(format!("{squares:?} are no squares"));
                }
                let channels = squares.columns(input.channels);
                (Shape::map(squares.along(input.height), squares.along(input.width), channels), vec![])
            }
            Self::Activate(_) => (input, vec![]),
            Self::Offset(op) => (input, vec![(op.weight, vec![input.rows(), input.channels])]),
            Self::Pool(_) => (Shape::vector(input.channels), vec![]),
        };
        if output.len() == 0 {
            return Err(format!("the input {input} is too small: nothing would be left of it"));
        }
        for (tensor, expected) in [(Some(self.output()), output), (self.inputs().get(1).copied(), output)] {
            if let Some(found) = tensor.map(|t| program.shape(t)).filter(|found| *found != expected) {
                return Err(format!("a tensor has shape {found} where the operation gives {expected}"));
            }
        }
        for (id, expected) in weights {
            let found = &program.weight(id).shape;
            if *found != expected {
                return Err(format!(
                    "weight {} has shape {found:?} where {expected:?} is needed",
                    program.weight(id).name
                ));
            }
        }
        Ok(())
    }
}
