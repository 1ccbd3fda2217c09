//! The heart: a network as plain data, the one language between architectures and engines.
//!
//! A [`Program`] lists canonical operations on named-by-index tensors of *one image*; the batch is an argument of a run.
//! It holds no weights, only their declarations ([`WeightDecl`]), so that describing ConvNeXt-XL allocates nothing.
//! Not here: how an operation is computed (`engine`), which operations a network has (`model`), what a file calls its
//! tensors (`checkpoint`). This module imports nothing of ours.

mod cost;
mod fold;
pub mod int8;
mod op;
mod squares;
mod tensor;
mod weight;
mod windows;

pub use cost::Cost;
pub use fold::fold;
pub use op::{
    Activate, Activation, Affine, Attention, Depthwise, Function, Grn, Linear, Merge, Norm, NormKind, Offset, Op,
    Patchify, Pool, Unfold,
};
pub use squares::Squares;
pub use tensor::{InputSpec, Shape, TensorId, WeightId};
pub use weight::{Order, RandomWeights, Recipe, WeightDecl, WeightError, WeightSource};
pub use windows::{LONGEST_SIDE, Windows};

/// A network: operations in the order in which they run, on tensors of one image.
///
/// Invariants, kept by [`Builder`](crate::model) and [`fold`] and checked by [`Program::check`]: every operation reads
/// tensors that an earlier one wrote (or the input, [`Program::INPUT`]), writes one tensor of its own, and its shapes agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The architecture as its publisher names it, as `convnext_tiny`.
    pub architecture: String,
    /// The group to which its benchmarks belong, as `convnext`.
    pub family: String,
    /// What goes in: the size of the image and its normalisation.
    pub input: InputSpec,
    /// Shapes by [`TensorId`]; the first is the normalised image `[h, w, 3]`.
    pub tensors: Vec<Shape>,
    /// Declarations by [`WeightId`].
    pub weights: Vec<WeightDecl>,
    /// Operations in running order, each with the name of its layer, as `stages.2.blocks.0.fc1`.
    pub ops: Vec<(String, Op)>,
    /// The logits, `[classes]`.
    pub output: TensorId,
}

impl Program {
    /// The tensor that ingest writes: the normalised image, `[h, w, 3]`.
    pub const INPUT: TensorId = TensorId(0);

    /// A program without operations, whose only tensor is its input.
    #[must_use]
    pub fn new(architecture: &str, family: &str, input: InputSpec) -> Self {
        Self {
            architecture: architecture.to_owned(),
            family: family.to_owned(),
            tensors: vec![Shape::map(input.height, input.width, 3)],
            input,
            weights: Vec::new(),
            ops: Vec::new(),
            output: Self::INPUT,
        }
    }

    /// The number of classes: the length of the output.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.shape(self.output).len()
    }

    /// The shape of a tensor.
    #[must_use]
    pub fn shape(&self, tensor: TensorId) -> Shape {
        self.tensors[tensor.0]
    }

    /// The declaration of a weight.
    #[must_use]
    pub fn weight(&self, weight: WeightId) -> &WeightDecl {
        &self.weights[weight.0]
    }

    /// Adds a tensor.
    pub fn tensor(&mut self, shape: Shape) -> TensorId {
        self.tensors.push(shape);
        TensorId(self.tensors.len() - 1)
    }

    /// Declares a weight.
    pub fn declare(&mut self, weight: WeightDecl) -> WeightId {
        self.weights.push(weight);
        WeightId(self.weights.len() - 1)
    }

    /// Adds an operation at the end; its output becomes the program's.
    pub fn push(&mut self, name: impl Into<String>, op: Op) -> TensorId {
        self.output = op.output();
        self.ops.push((name.into(), op));
        self.output
    }

    /// The whole cost of one image.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.ops.iter().map(|(_, op)| op.cost(self)).sum()
    }

    /// The number of stored weights, as checkpoints count their parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.weights.iter().map(|w| w.parameters()).sum()
    }

    /// The operations that read each tensor, by their indices, in running order; after the last its memory can be had again.
    #[must_use]
    pub fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.tensors.len()];
        for (index, (_, op)) in self.ops.iter().enumerate() {
            for tensor in op.inputs() {
                if readers[tensor.0].last() != Some(&index) {
                    readers[tensor.0].push(index);
                }
            }
        }
        readers
    }

    /// Checks the invariants; the error names the operation or the weight. What passes can be run without a panic.
    ///
    /// # Errors
    /// An input of impossible size, a recipe that does not make its weight, the first operation that reads what nothing
    /// wrote or whose shapes disagree, an output that nothing writes.
    pub fn check(&self) -> Result<(), String> {
        let InputSpec { height, width, .. } = self.input;
        if [height, width].iter().any(|side| !(1..=InputSpec::MAX_SIDE).contains(side)) {
            return Err(format!("an input of {height}×{width}; sides of 1 to {} are possible", InputSpec::MAX_SIDE));
        }
        if self.tensors.first() != Some(&Shape::map(height, width, 3)) {
            return Err(format!("the first tensor is not the input {height}×{width}×3"));
        }
        self.weights.iter().try_for_each(|weight| weight.check().map_err(|why| format!("{}: {why}", weight.name)))?;
        let mut written = vec![false; self.tensors.len()];
        written[Self::INPUT.0] = true;
        for (name, op) in &self.ops {
            self.check_indices(op).map_err(|why| format!("{name}: {why}"))?;
            if let Some(missing) = op.inputs().into_iter().find(|t| !written[t.0]) {
                return Err(format!("{name} reads tensor {} before anything writes it", missing.0));
            }
            op.check(self).map_err(|why| format!("{name}: {why}"))?;
            let output = op.output().0;
            if std::mem::replace(&mut written[output], true) {
                return Err(format!("{name} writes tensor {output}, which already is written"));
            }
        }
        if self.output == Self::INPUT || !written.get(self.output.0).is_some_and(|written| *written) {
            return Err(format!("nothing computes the output, tensor {}", self.output.0));
        }
        Ok(())
    }

    /// Every index of an operation is one of this program's.
    fn check_indices(&self, op: &Op) -> Result<(), String> {
        if let Some(tensor) = op.inputs().into_iter().chain([op.output()]).find(|t| t.0 >= self.tensors.len()) {
            return Err(format!("there is no tensor {}", tensor.0));
        }
        match op.weights().into_iter().find(|w| w.0 >= self.weights.len()) {
            Some(weight) => Err(format!("there is no weight {}", weight.0)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn stored(program: &mut Program, name: &str, shape: Vec<usize>) -> WeightId {
        let recipe = Recipe::Stored { name: name.to_owned(), shape: shape.clone(), order: Order::Same };
        program.declare(WeightDecl { name: name.to_owned(), shape, recipe })
    }

    /// Patches of 2, a depthwise convolution, a linear with the patches as its residual, a mean.
    fn small() -> Program {
        let mut program = Program::new("small", "test", InputSpec::imagenet(6));
        let (stem, depthwise, linear) = (Shape::map(3, 3, 4), Shape::map(3, 3, 4), Shape::map(3, 3, 4));
        let [stem, depthwise, linear] = [stem, depthwise, linear].map(|shape| program.tensor(shape));
        let pooled = program.tensor(Shape::vector(4));
        let [weight, bias] = [("a", vec![4, 2, 2, 3]), ("b", vec![4])].map(|(n, s)| stored(&mut program, n, s));
        program.push("stem", Op::Patchify(Patchify { input: Program::INPUT, output: stem, size: 2, weight, bias }));
        let [weight, bias] = [("c", vec![3, 3, 4]), ("d", vec![4])].map(|(n, s)| stored(&mut program, n, s));
        program.push("depthwise", Op::Depthwise(Depthwise { input: stem, output: depthwise, kernel: 3, weight, bias }));
        let [weight, bias] = [("e", vec![4, 4]), ("f", vec![4])].map(|(n, s)| stored(&mut program, n, s));
        let residual = Some(stem);
        let plain = Linear { input: depthwise, output: linear, weight, bias, activation: None, scale: None, residual };
        program.push("linear", Op::Linear(plain));
        program.push("pool", Op::Pool(Pool { input: linear, output: pooled }));
        program
    }

    #[test]
    fn what_holds_together_passes() {
        assert_eq!(small().check(), Ok(()));
    }

    #[test]
    fn every_planted_fault_is_found_and_named() {
        type Plant = fn(&mut Program);
        fn linear(program: &mut Program) -> &mut Linear {
            let Op::Linear(op) = &mut program.ops[2].1 else { unreachable!() };
            op
        }
        fn patchify(program: &mut Program) -> &mut Patchify {
            let Op::Patchify(op) = &mut program.ops[0].1 else { unreachable!() };
            op
        }
        let faults: &[(&str, Plant)] = &[
            ("linear reads tensor 2 before", |p| drop(p.ops.remove(1))),
            ("depthwise reads tensor 1 before", |p| p.ops.swap(0, 1)),
            ("again writes tensor 4, which already", |p| p.ops.push(("again".into(), p.ops[3].1.clone()))),
            ("linear: there is no tensor 99", |p| linear(p).residual = Some(TensorId(99))),
            ("linear: there is no weight 99", |p| linear(p).scale = Some(WeightId(99))),
            ("linear: a tensor has shape 4 where", |p| p.tensors[3] = Shape::vector(4)),
            ("linear: a tensor has shape 6×6×3", |p| linear(p).residual = Some(Program::INPUT)),
            ("linear: weight d has shape [4] where [4, 4]", |p| linear(p).weight = WeightId(3)),
            ("stem: patches of no size", |p| patchify(p).size = 0),
            ("stem: a tensor has shape 3×3×4 where", |p| patchify(p).size = 3),
            ("stem: the input 6×6×3 is too small", |p| {
                patchify(p).size = 7;
                p.tensors[1] = Shape::map(0, 0, 4);
            }),
            ("depthwise: kernel 4 is even", |p| {
                let Op::Depthwise(op) = &mut p.ops[1].1 else { unreachable!() };
                op.kernel = 4;
            }),
            ("linear: Squares { kernel: 0", |p| {
                let squares = Squares { kernel: 0, stride: 1, dilation: 1, padding: [0; 2] };
                p.ops[2].1 = Op::Unfold(Unfold { input: TensorId(2), output: TensorId(3), squares });
            }),
            ("linear: a tensor has shape 3×3×4 where the operation gives 2×2×16", |p| {
                let squares = Squares { kernel: 2, stride: 1, dilation: 1, padding: [0; 2] };
                p.ops[2].1 = Op::Unfold(Unfold { input: TensorId(2), output: TensorId(3), squares });
            }),
            ("linear: the input 3×3×4 is too small", |p| {
                let squares = Squares { kernel: 3, stride: 1, dilation: 2, padding: [0, 1] };
                p.ops[2].1 = Op::Unfold(Unfold { input: TensorId(2), output: TensorId(3), squares });
            }),
            ("linear: weight f has shape [4] where [9, 4]", |p| {
                p.ops[2].1 = Op::Offset(Offset { input: TensorId(2), output: TensorId(3), weight: WeightId(5) });
            }),
            ("linear: a tensor has shape 4 where", |p| {
                let function = Function::Relu;
                p.ops[2].1 = Op::Activate(Activate { input: TensorId(2), output: TensorId(4), function });
            }),
            ("c: its recipe makes", |p| {
                let weight =
                    Box::new(Recipe::Stored { name: "c".into(), shape: vec![4, 1, 3, 3], order: Order::TapsFirst });
                p.weights[2].recipe = Recipe::Spread { weight, step: 2 };
            }),
            ("f: [4] are no taps", |p| {
                let weight = Box::new(p.weights[5].recipe.clone());
                p.weights[5].recipe = Recipe::Spread { weight, step: 2 };
            }),
            ("the first tensor is not the input", |p| p.tensors[0] = Shape::map(6, 6, 1)),
            ("an input of 0×6", |p| p.input.height = 0),
            ("an input of 6×5000", |p| p.input.width = 5000),
            ("nothing computes the output, tensor 0", |p| p.output = Program::INPUT),
            ("nothing computes the output, tensor 99", |p| p.output = TensorId(99)),
            ("e: its recipe makes [16] where its shape is [4, 4]", |p| {
                p.weights[4].recipe = Recipe::Stored { name: "e".into(), shape: vec![16], order: Order::Same };
            }),
            ("e: stored tensor e of shape [4, 0] is empty", |p| {
                p.weights[4].recipe = Recipe::Stored { name: "e".into(), shape: vec![4, 0], order: Order::Same };
            }),
            ("c: stored tensor c of shape [3, 3, 4] is no kernel", |p| {
                p.weights[2].recipe =
                    Recipe::Stored { name: "c".into(), shape: vec![3, 3, 4], order: Order::TapsFirst };
            }),
            ("e: a norm of shape [3] cannot be folded into a weight of [4, 4]", |p| {
                let scale = Recipe::Stored { name: "s".into(), shape: vec![3], order: Order::Same };
                let weight = Box::new(p.weights[4].recipe.clone());
                p.weights[4].recipe = Recipe::ScaleColumns { weight, scale: Box::new(scale) };
            }),
        ];
        for (expected, plant) in faults {
            let mut program = small();
            plant(&mut program);
            let found = program.check().unwrap_err();
            assert!(found.starts_with(expected), "{found:?} where {expected:?} is expected");
        }
    }

    #[test]
    fn readers_are_listed_once_each_in_running_order() {
        // the stem is read by the depthwise convolution and, as its residual, by the linear; nothing reads the output
        assert_eq!(small().readers(), [vec![0], vec![1, 2], vec![2], vec![3], vec![]]);
    }

    #[test]
    fn costs_are_counted_by_hand() {
        let program = small();
        let costs: Vec<Cost> = program.ops.iter().map(|(_, op)| op.cost(&program)).collect();
        let cost = |macs, weights, activations| Cost { macs, weights, activations };
        // 9 positions of 4 channels; the linear also reads its residual
        assert_eq!(costs[0], cost(36 * 12, 48 + 4, 108 + 36));
        assert_eq!(costs[1], cost(36 * 9, 36 + 4, 36 + 36));
        assert_eq!(costs[2], cost(36 * 4, 16 + 4, 36 + 36 + 36));
        assert_eq!(costs[3], cost(0, 0, 36 + 4));
        assert_eq!(program.cost(), cost(900, 112, 364));
        assert_eq!(program.parameters(), 112);
    }
}
