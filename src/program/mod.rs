//! The heart: a network as plain data, the one language between architectures and engines.
//!
//! A [`Program`] lists canonical operations on named-by-index tensors of *one image*; the batch is an argument of a run.
//! It holds no weights, only their declarations ([`WeightDecl`]), so that describing ConvNeXt-XL allocates nothing.
//! Not here: how an operation is computed (`engine`), which operations a network has (`model`), what a file calls its
//! tensors (`checkpoint`). This module imports nothing of ours.

mod cost;
mod fold;
mod op;
mod tensor;
mod weight;

pub use cost::Cost;
pub use fold::fold;
pub use op::{Activation, Affine, Depthwise, Grn, Linear, Norm, Op, Patchify, Pool};
pub use tensor::{InputSpec, Shape, TensorId, WeightId};
pub use weight::{Order, RandomWeights, Recipe, WeightDecl, WeightError, WeightSource};

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
    /// Operations in running order, each with the name of its place in the network, as `stages.2.blocks.0.fc1`.
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
