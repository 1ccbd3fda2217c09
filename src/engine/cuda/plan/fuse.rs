//! Fusion: which operations of a program become one step of one kernel. Not here: where values lie (`arena`).
//!
//! The image's patches, their product and the norm after it are one step. A norm goes into the product that alone reads it, with its scale and
//! shift, also through patches and merged pixels, unless a launch of its own ends sooner; the norm after a depthwise convolution goes there too, or into the convolution, whatever is computed
//! to end sooner; that of a pooled vector into the pool. All this is of layer norms; norms of other kinds are launches of their own.

use super::{IMAGES, Step, Value, ValueId};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::Operation;
use crate::engine::cuda::operations::attention::Attention;
use crate::engine::cuda::operations::depthwise::Depthwise;
use crate::engine::cuda::operations::grn::Grn;
use crate::engine::cuda::operations::layer_norm::{self, LayerNorm};
use crate::engine::cuda::operations::linear::{Linear, Rows};
use crate::engine::cuda::operations::norm::Norm;
use crate::engine::cuda::operations::patch_embedding::{self, PatchEmbedding};
use crate::engine::cuda::operations::pointwise::{Pointwise, What};
use crate::engine::cuda::operations::pool::Pool;
use crate::engine::cuda::operations::unfold::Unfold;
use crate::engine::cuda::weights::Weights;
use crate::program::{self, NormKind, Op, Program, TensorId};

/// What the engine has no kernel for, an operation and a reason each.
pub(crate) fn unsupported(program: &Program) -> Vec<String> {
    let mut reasons = Vec::new();
    let readers = program.readers();
    for (index, (name, op)) in program.ops.iter().enumerate() {
        let mut refuse = |why: String| reasons.push(format!("{name}: {why}"));
        match op {
            Op::Patchify(_) | Op::Unfold(_) => {}
            _ if op.inputs().contains(&Program::INPUT) => {
                refuse("only patches and the squares of a convolution can be made of the image".to_owned())
            }
            Op::Norm(op) => {
                let channels = program.shape(op.input).channels;
                if channels > layer_norm::MOST_CHANNELS {
                    refuse(format!(
                        "a norm of {channels} channels; at most {} are possible",
                        layer_norm::MOST_CHANNELS
                    ));
                }
            }
            Op::Merge(op) => {
                let followed = matches!(program.ops.get(index + 1..index + 3), Some([(_, Op::Norm(norm)), (_, Op::Linear(linear))])
                    if norm.kind == NormKind::Layer && norm.input == op.output && linear.input == norm.output);
                let alone = readers[op.output.0].len() == 1 && program.output != op.output;
                if !(followed && alone) {
                    refuse("merged pixels that a norm and a linear layer do not follow".to_owned());
                }
            }
            Op::Depthwise(_)
            | Op::Linear(_)
            | Op::Grn(_)
            | Op::Attention(_)
            | Op::Activate(_)
            | Op::Offset(_)
            | Op::Pool(_) => {}
        }
    }
    reasons
}

/// The steps of a program, their values, and which is the logits.
pub(super) struct Fused {
    pub(super) steps: Vec<Step>,
    pub(super) values: Vec<Value>,
    pub(super) logits: ValueId,
}

/// The steps of a program for batches of `images`.
pub(super) fn fuse(program: &Program, weights: &Weights, card: &Card, ty: Type, images: usize) -> Fused {
    // a value for each tensor; the first is the images
    let value = |(index, shape): (usize, &program::Shape)| match index {
        IMAGES => Value { len: patch_embedding::slot_bytes(&program.input, images), ty: Type::U8 },
        _ if TensorId(index) == program.output => Value { len: images * shape.len(), ty: Type::F32 },
        _ => Value { len: images * shape.len(), ty },
    };
    let values = program.tensors.iter().enumerate().map(value).collect();
    let mut fusion = Fusion { program, weights, card, images, ty, readers: program.readers(), steps: Vec::new() };
    let mut ops = &program.ops[..];
    while !ops.is_empty() {
        ops = &ops[fusion.add_step(ops)..];
    }
    Fused { steps: fusion.steps, values, logits: program.output.0 }
}

struct Fusion<'a> {
    program: &'a Program,
    weights: &'a Weights,
    card: &'a Card,
    images: usize,
    ty: Type,
    /// As [`Program::readers`].
    readers: Vec<Vec<usize>>,
    steps: Vec<Step>,
}

/// An operation and its name in the network.
type NamedOp = (String, Op);

impl Fusion<'_> {
    /// Adds a step that computes the first of `ops`. Returns how many operations it computes.
    fn add_step(&mut self, ops: &[NamedOp]) -> usize {
        match ops {
            [(_, Op::Patchify(op)), (_, Op::Norm(norm @ program::Norm { kind: NormKind::Layer, .. })), ..]
                if op.input == Program::INPUT && self.feeds(op.output, norm.input) && self.is_inner(norm.output) =>
            {
                let operation = self.patch_embedding(op, Some(norm));
                self.add(&ops[..2], Box::new(operation), None)
            }
            [(_, Op::Patchify(op)), ..] if op.input == Program::INPUT => {
                let operation = self.patch_embedding(op, None);
                self.add(&ops[..1], Box::new(operation), None)
            }
            [(_, Op::Depthwise(op)), (_, Op::Norm(norm @ program::Norm { kind: NormKind::Layer, .. })), next @ ..]
                if self.feeds(op.output, norm.input)
                    && self.is_inner(norm.output)
                    && !self.is_normed_sooner_by(next, op, norm) =>
            {
                let operation = self.depthwise(op, Some(norm));
                self.add(&ops[..2], Box::new(operation), None)
            }
            [(_, Op::Norm(norm @ program::Norm { kind: NormKind::Layer, .. })), (_, Op::Linear(op)), ..]
                if self.feeds(norm.output, op.input)
                    && op.residual != Some(norm.output)
                    && !self.is_normed_sooner_before(norm, op) =>
            {
                let operation = self.linear(op, Some(norm));
                self.add(&ops[..2], Box::new(operation), op.residual)
            }
            [(_, Op::Norm(norm @ program::Norm { kind: NormKind::Layer, .. })), (_, Op::Patchify(op)), ..]
                if self.feeds(norm.output, op.input) =>
            {
                let operation = self.patches(op, Some(norm));
                self.add(&ops[..2], Box::new(operation), None)
            }
            [(_, Op::Merge(merge)), (_, Op::Norm(norm)), (_, Op::Linear(op)), ..] => {
                let operation = self.merged(merge, norm, op);
                self.add(&ops[..3], Box::new(operation), op.residual)
            }
            [(_, Op::Pool(op)), (_, Op::Norm(norm @ program::Norm { kind: NormKind::Layer, .. })), ..]
                if self.feeds(op.output, norm.input) =>
            {
                let operation = self.pool(op, Some(norm));
                self.add(&ops[..2], Box::new(operation), None)
            }
            [named, ..] => self.add_alone(named),
            [] => 0,
        }
    }

    /// Adds a step of one operation that is fused with no other.
    fn add_alone(&mut self, named: &NamedOp) -> usize {
        let (operation, residual): (Box<dyn Operation>, _) = match &named.1 {
            Op::Patchify(op) => (Box::new(self.patches(op, None)), None),
            Op::Depthwise(op) => (Box::new(self.depthwise(op, None)), None),
            Op::Norm(op) => (Box::new(self.layer_norm(op)), None),
            Op::Linear(op) => (Box::new(self.linear(op, None)), op.residual),
            Op::Grn(op) => (Box::new(self.grn(op)), None),
            Op::Attention(op) => (Box::new(self.attention(op)), None),
            Op::Unfold(op) => (Box::new(self.unfold(op)), None),
            Op::Activate(op) => (Box::new(self.pointwise(op.input, What::Activate(op.function))), None),
            Op::Offset(op) => (Box::new(self.pointwise(op.input, What::Offset(self.weights.array(op.weight)))), None),
            Op::Pool(op) => (Box::new(self.pool(op, None)), None),
            Op::Merge(_) => return 1, // refused by `unsupported`
        };
        self.add(std::slice::from_ref(named), operation, residual)
    }

    fn add(&mut self, ops: &[NamedOp], operation: Box<dyn Operation>, residual: Option<TensorId>) -> usize {
        let names = ops.iter().map(|(name, _)| name.clone()).collect();
        let (input, output) = (ops[0].1.input().0, ops[ops.len() - 1].1.output().0);
        self.steps.push(Step { operation, names, input, residual: residual.map(|tensor| tensor.0), output });
        ops.len()
    }

    /// Whether what one operation writes is read by the next and by nothing else.
    fn feeds(&self, output: TensorId, input: TensorId) -> bool {
        output == input && self.readers[output.0].len() == 1 && self.is_inner(output)
    }

    fn is_inner(&self, tensor: TensorId) -> bool {
        self.program.output != tensor
    }

    /// Whether the product behind a depthwise convolution and its norm norms its own rows in less time than the convolution would.
    fn is_normed_sooner_by(&self, next: &[NamedOp], op: &program::Depthwise, norm: &program::Norm) -> bool {
        let [(_, Op::Linear(next)), ..] = next else { return false };
        if !self.feeds(norm.output, next.input) || next.residual == Some(norm.output) {
            return false;
        }
        let clocks = |depthwise: Option<&program::Norm>, linear: Option<&program::Norm>| {
            let before = self.depthwise(op, depthwise).clocks(self.card, self.images)?;
            Some(before + self.linear(next, linear).clocks(self.card, self.images)?)
        };
        clocks(None, Some(norm)).zip(clocks(Some(norm), None)).is_some_and(|(behind, inside)| behind < inside)
    }

    /// Whether a launch of its own norms the rows of a product in less time than the product does, of which each column of tiles norms all rows. Behind a
    /// depthwise convolution that was weighed already.
    fn is_normed_sooner_before(&self, norm: &program::Norm, linear: &program::Linear) -> bool {
        if self.program.ops.iter().any(|(_, op)| matches!(op, Op::Depthwise(op) if op.output == norm.input)) {
            return false;
        }
        let clocks = |norm| self.linear(linear, norm).clocks(self.card, self.images);
        let alone = self.layer_norm(norm).clocks(self.card, self.images);
        clocks(None).zip(clocks(Some(norm))).is_some_and(|(plain, normed)| alone + plain < normed)
    }

    fn norm(&self, op: &program::Norm) -> Norm {
        let affine = op.affine.map(|affine| [affine.scale, affine.shift].map(|weight| self.weights.array(weight)));
        Norm { affine, eps: op.eps }
    }

    /// The type of a tensor: that of the model, and f32 for logits.
    fn type_of(&self, tensor: TensorId) -> Type {
        if self.is_inner(tensor) { self.ty } else { Type::F32 }
    }

    fn patch_embedding(&self, op: &program::Patchify, norm: Option<&program::Norm>) -> PatchEmbedding {
        PatchEmbedding {
            input: self.program.input,
            size: op.size,
            outputs: self.program.shape(op.output).channels,
            weight: self.weights.array(op.weight),
            bias: self.weights.array(op.bias),
            norm: norm.map(|norm| self.norm(norm)),
            ty: self.ty,
        }
    }

    fn depthwise(&self, op: &program::Depthwise, norm: Option<&program::Norm>) -> Depthwise {
        let shape = self.program.shape(op.input);
        Depthwise {
            height: shape.height,
            width: shape.width,
            channels: shape.channels,
            kernel: op.kernel,
            weight: self.weights.array(op.weight),
            bias: self.weights.array(op.bias),
            norm: norm.map(|norm| self.norm(norm)),
            ty: self.ty,
        }
    }

    fn layer_norm(&self, op: &program::Norm) -> LayerNorm {
        let shape = self.program.shape(op.input);
        let Norm { affine, eps } = self.norm(op);
        LayerNorm { rows: shape.rows(), channels: shape.channels, kind: op.kind, affine, eps, ty: self.ty }
    }

    fn linear(&self, op: &program::Linear, norm: Option<&program::Norm>) -> Linear {
        let (input, output) = (self.program.shape(op.input), self.program.shape(op.output));
        Linear {
            rows: Rows::Plain,
            count: output.rows(),
            inputs: input.channels,
            outputs: output.channels,
            norm: norm.map(|norm| self.norm(norm)),
            weight: self.weights.array(op.weight),
            bias: self.weights.array(op.bias),
            gelu: op.activation.is_some(),
            scale: op.scale.map(|scale| self.weights.array(scale)),
            residual: op.residual.is_some(),
            ty: self.ty,
            output: self.type_of(op.output),
        }
    }

    fn patches(&self, op: &program::Patchify, norm: Option<&program::Norm>) -> Linear {
        let (input, output) = (self.program.shape(op.input), self.program.shape(op.output));
        let program::Shape { height, width, channels } = input;
        Linear {
            rows: Rows::Patches { height, width, channels, size: op.size },
            count: output.rows(),
            inputs: op.size * op.size * channels,
            outputs: output.channels,
            norm: norm.map(|norm| self.norm(norm)),
            weight: self.weights.array(op.weight),
            bias: self.weights.array(op.bias),
            gelu: false,
            scale: None,
            residual: false,
            ty: self.ty,
            output: self.type_of(op.output),
        }
    }

    fn merged(&self, merge: &program::Merge, norm: &program::Norm, op: &program::Linear) -> Linear {
        let program::Shape { height, width, channels } = self.program.shape(merge.input);
        Linear { rows: Rows::Merged { height, width, channels }, ..self.linear(op, Some(norm)) }
    }

    fn grn(&self, op: &program::Grn) -> Grn {
        let shape = self.program.shape(op.input);
        Grn {
            rows: shape.rows(),
            channels: shape.channels,
            scale: self.weights.array(op.scale),
            shift: self.weights.array(op.shift),
            eps: op.eps,
            ty: self.ty,
        }
    }

    fn attention(&self, op: &program::Attention) -> Attention {
        let shape = self.program.shape(op.output);
        Attention {
            height: shape.height,
            width: shape.width,
            channels: shape.channels,
            heads: op.heads,
            windows: op.windows,
            bias: self.weights.array(op.bias),
            padding: op.padding.map(|padding| self.weights.array(padding)),
            ty: self.ty,
        }
    }

    fn unfold(&self, op: &program::Unfold) -> Unfold {
        let image = (op.input == Program::INPUT).then_some(self.program.input);
        Unfold { input: self.program.shape(op.input), image, squares: op.squares, ty: self.ty }
    }

    fn pointwise(&self, input: TensorId, what: What) -> Pointwise {
        Pointwise { numbers: self.program.shape(input).len(), what, ty: self.ty }
    }

    fn pool(&self, op: &program::Pool, norm: Option<&program::Norm>) -> Pool {
        let shape = self.program.shape(op.input);
        let output = norm.map_or(op.output, |norm| norm.output);
        Pool {
            rows: shape.rows(),
            channels: shape.channels,
            norm: norm.map(|norm| self.norm(norm)),
            ty: self.ty,
            output: self.type_of(output),
        }
    }
}
