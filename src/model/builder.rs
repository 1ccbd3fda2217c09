//! Adds operations to a program, each with its weights under the canonical names of its layer. Not here: which operations a network
//! has (`convnext`, `swin`).

use crate::program::{
    Activate, Activation, Affine, Attention, Depthwise, Function, Grn, Linear, Merge, Norm, NormKind, Offset, Op,
    Order, Patchify, Pool, Program, Recipe, Shape, Squares, TensorId, Unfold, WeightDecl, WeightId, Windows,
};

/// A program that grows.
pub(super) struct Builder {
    pub(super) program: Program,
    /// Whether what reads the image has weights for one channel.
    pub(super) one_channel: bool,
}

impl Builder {
    fn stored(&mut self, name: String, shape: Vec<usize>, order: Order) -> WeightId {
        let seen = match (order, shape.as_slice()) {
            (Order::ChannelsLast, [o, i, h, w]) => vec![*o, *h, *w, *i],
            (Order::TapsFirst, [c, _, h, w]) => vec![*h, *w, *c],
            (Order::Unfolded, [o, i, h, w]) => vec![*o, h * w * i],
            _ => shape.clone(),
        };
        self.program.declare(WeightDecl {
            recipe: Recipe::Stored { name: name.clone(), shape, order },
            name,
            shape: seen,
        })
    }

    /// The weight `[out, c, kernel, kernel]` of a convolution of `input`.
    fn convolution(&mut self, name: String, input: TensorId, (out, kernel): (usize, usize), order: Order) -> WeightId {
        let channels = self.program.shape(input).channels;
        if !(self.one_channel && input == Program::INPUT) {
            return self.stored(name, vec![out, channels, kernel, kernel], order);
        }
        let weight = self.stored(name, vec![out, 1, kernel, kernel], order);
        let decl = &mut self.program.weights[weight.0];
        decl.shape.last_mut().into_iter().for_each(|last| *last *= channels);
        decl.recipe = Recipe::OneChannel(Box::new(decl.recipe.clone()));
        weight
    }

    pub(super) fn vector(&mut self, name: String, len: usize) -> WeightId {
        self.stored(name, vec![len], Order::Same)
    }

    pub(super) fn patchify(&mut self, name: &str, input: TensorId, size: usize, out: usize) -> TensorId {
        let Shape { height, width, .. } = self.program.shape(input);
        let output = self.program.tensor(Shape::map(height / size, width / size, out));
        let weight = self.convolution(format!("{name}.weight"), input, (out, size), Order::ChannelsLast);
        let bias = self.vector(format!("{name}.bias"), out);
        self.program.push(name, Op::Patchify(Patchify { input, output, size, weight, bias }))
    }

    /// Any convolution, with the GELU that may follow: its squares, then a linear layer.
    pub(super) fn conv(&mut self, name: &str, input: TensorId, squares: Squares, out: usize, gelu: bool) -> TensorId {
        let Shape { height, width, channels } = self.program.shape(input);
        let (down, across) = (squares.along(height), squares.along(width));
        let columns = squares.columns(channels);
        let unfolded = self.program.tensor(Shape::map(down, across, columns));
        self.program.push(format!("{name}.unfold"), Op::Unfold(Unfold { input, output: unfolded, squares }));
        let output = self.program.tensor(Shape::map(down, across, out));
        let weight = self.convolution(format!("{name}.weight"), input, (out, squares.kernel), Order::Unfolded);
        let decl = &mut self.program.weights[weight.0];
        if decl.shape != [out, columns] {
            decl.shape = vec![out, columns];
            decl.recipe = Recipe::Padded { weight: Box::new(decl.recipe.clone()), columns };
        }
        let bias = self.vector(format!("{name}.bias"), out);
        let activation = gelu.then_some(Activation::Gelu);
        let op = Linear { input: unfolded, output, weight, bias, activation, scale: None, residual: None };
        self.program.push(name, Op::Linear(op))
    }

    /// A depthwise convolution, whose taps are `dilation` apart.
    pub(super) fn depthwise(&mut self, name: &str, input: TensorId, kernel: usize, dilation: usize) -> TensorId {
        let shape = self.program.shape(input);
        let output = self.program.tensor(shape);
        let stored = vec![shape.channels, 1, kernel, kernel];
        let weight = self.stored(format!("{name}.weight"), stored, Order::TapsFirst);
        let kernel = (kernel - 1) * dilation + 1;
        if dilation > 1 {
            let decl = &mut self.program.weights[weight.0];
            decl.shape = vec![kernel, kernel, shape.channels];
            decl.recipe = Recipe::Spread { weight: Box::new(decl.recipe.clone()), step: dilation };
        }
        let bias = self.vector(format!("{name}.bias"), shape.channels);
        self.program.push(name, Op::Depthwise(Depthwise { input, output, kernel, weight, bias }))
    }

    pub(super) fn norm(&mut self, name: &str, input: TensorId, eps: f32) -> TensorId {
        self.norm_of(name, input, NormKind::Layer, eps)
    }

    /// A norm of any kind; but for a layer norm it has a scale and no shift.
    pub(super) fn norm_of(&mut self, name: &str, input: TensorId, kind: NormKind, eps: f32) -> TensorId {
        let shape = self.program.shape(input);
        let output = self.program.tensor(shape);
        let scale = self.vector(format!("{name}.scale"), shape.channels);
        let shift = format!("{name}.shift");
        let shift = match kind {
            NormKind::Layer => self.vector(shift, shape.channels),
            NormKind::Rms | NormKind::Simple => self.zeros(shift, shape.channels),
        };
        self.program.push(name, Op::Norm(Norm { input, output, kind, affine: Some(Affine { scale, shift }), eps }))
    }

    /// A linear layer, plain but for what `epilogue` makes of it.
    pub(super) fn linear(
        &mut self,
        name: &str,
        input: TensorId,
        out: usize,
        epilogue: impl FnOnce(&mut Self, Linear) -> Linear,
    ) -> TensorId {
        let bias = self.vector(format!("{name}.bias"), out);
        self.linear_with(name, input, out, bias, epilogue)
    }

    /// A linear layer and its activation: GELU, or another function.
    pub(super) fn activated(
        &mut self,
        name: &str,
        input: TensorId,
        out: usize,
        function: Option<Function>,
    ) -> TensorId {
        let activation = function.is_none().then_some(Activation::Gelu);
        let x = self.linear(name, input, out, |_, op| Linear { activation, ..op });
        self.function(name, x, function)
    }

    /// A function of what the layer `name` gives, if there is one.
    pub(super) fn function(&mut self, name: &str, input: TensorId, function: Option<Function>) -> TensorId {
        let Some(function) = function else { return input };
        let shape = self.program.shape(input);
        let output = self.program.tensor(shape);
        self.program.push(format!("{name}.act"), Op::Activate(Activate { input, output, function }))
    }

    /// A linear layer without a bias of its own.
    pub(super) fn linear_without_bias(&mut self, name: &str, input: TensorId, out: usize) -> TensorId {
        let bias = self.zeros(format!("{name}.bias"), out);
        self.linear_with(name, input, out, bias, |_, op| op)
    }

    /// Zeros where a bias is needed.
    pub(super) fn zeros(&mut self, name: String, len: usize) -> WeightId {
        self.program.declare(WeightDecl { name, shape: vec![len], recipe: Recipe::Zeros(len) })
    }

    /// A linear layer with this bias.
    pub(super) fn linear_with(
        &mut self,
        name: &str,
        input: TensorId,
        out: usize,
        bias: WeightId,
        epilogue: impl FnOnce(&mut Self, Linear) -> Linear,
    ) -> TensorId {
        let Shape { height, width, channels } = self.program.shape(input);
        let output = self.program.tensor(Shape::map(height, width, out));
        let weight = self.stored(format!("{name}.weight"), vec![out, channels], Order::Same);
        let plain = Linear { input, output, weight, bias, activation: None, scale: None, residual: None };
        let op = epilogue(self, plain);
        self.program.push(name, Op::Linear(op))
    }

    pub(super) fn grn(&mut self, name: &str, input: TensorId) -> TensorId {
        let shape = self.program.shape(input);
        let output = self.program.tensor(shape);
        let scale = self.vector(format!("{name}.scale"), shape.channels);
        let shift = self.vector(format!("{name}.shift"), shape.channels);
        self.program.push(name, Op::Grn(Grn { input, output, scale, shift, eps: 1e-6 }))
    }

    /// Attention on queries, keys and values that a linear layer with the bias `padding` wrote.
    pub(super) fn attention(
        &mut self,
        name: &str,
        input: TensorId,
        heads: usize,
        windows: Windows,
        padding: WeightId,
    ) -> TensorId {
        let shape = self.program.shape(input);
        let output = self.program.tensor(Shape { channels: shape.channels / 3, ..shape });
        let bias = self.stored(format!("{name}.table"), vec![windows.differences(), heads], Order::Same);
        let padding = windows.pads(shape).then_some(padding);
        self.program.push(name, Op::Attention(Attention { input, output, heads, windows, bias, padding }))
    }

    pub(super) fn merge(&mut self, name: &str, input: TensorId) -> TensorId {
        let Shape { height, width, channels } = self.program.shape(input);
        let output = self.program.tensor(Shape::map(height.div_ceil(2), width.div_ceil(2), 4 * channels));
        self.program.push(name, Op::Merge(Merge { input, output }))
    }

    /// Adds a weight `[h · w, c]` of its own to a map.
    pub(super) fn offset(&mut self, name: &str, input: TensorId) -> TensorId {
        let shape = self.program.shape(input);
        let output = self.program.tensor(shape);
        let weight = self.stored(format!("{name}.table"), vec![shape.rows(), shape.channels], Order::Same);
        self.program.push(name, Op::Offset(Offset { input, output, weight }))
    }

    pub(super) fn pool(&mut self, name: &str, input: TensorId) -> TensorId {
        let channels = self.program.shape(input).channels;
        let output = self.program.tensor(Shape::vector(channels));
        self.program.push(name, Op::Pool(Pool { input, output }))
    }
}
