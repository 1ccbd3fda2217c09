//! The draft of a plan: here it is decided what is fused. Not here: where values lie (`arena`), how a step is computed.
//!
//! Fused: a ConvNeXt block into one pass; a norm into the depthwise convolution or the patchify beside it; a linear's bias,
//! activation, scale and residual into its matrix product.

use super::aligned::NoMemory;
use super::arena::Access;
use super::block::Block;
use super::depthwise::Depthwise;
use super::epilogue::Epilogue;
use super::grn::Grn;
use super::instructions::Instructions;
use super::linear::Linear;
use super::matrix::Matrix;
use super::norm::Norm;
use super::patchify::Patchify;
use super::plan::{Kernel, Part, Plan};
use crate::program::{self, Activation, Cost, Op, Program, TensorId, WeightError, WeightId, WeightSource};

/// A program cannot be planned.
#[derive(Debug, thiserror::Error)]
pub(super) enum DraftError {
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error("{0} for a packed weight")]
    Memory(#[from] NoMemory),
}

/// Plans a program that holds together, and packs its weights one by one.
pub(super) fn plan(
    instructions: Instructions,
    program: &Program,
    weights: &dyn WeightSource,
) -> Result<Plan, DraftError> {
    let sizes = program.tensors.iter().map(|tensor| tensor.len()).collect();
    let readers = program.readers();
    let mut draft = Draft { instructions, program, weights, readers, sizes, ingested: None, steps: Vec::new() };
    let mut ops = &program.ops[..];
    while let [first, rest @ ..] = ops {
        let taken = draft.fused(ops)?;
        if taken == 0 {
            draft.single(first)?;
            ops = rest;
        } else {
            ops = &ops[taken..];
        }
    }
    Ok(Plan::place(instructions, draft.steps, &draft.sizes, program.output.0))
}

/// Steps whose values have no buffers yet. A value is a tensor of the program, or one of the plan's own after those.
struct Draft<'a> {
    instructions: Instructions,
    program: &'a Program,
    weights: &'a dyn WeightSource,
    /// As [`Program::readers`].
    readers: Vec<Vec<usize>>,
    /// Elements of each value.
    sizes: Vec<usize>,
    /// The value that the staged images were copied to.
    ingested: Option<usize>,
    steps: Vec<(Kernel, Vec<Part>, Access)>,
}

/// An operation and its place in the network.
type Named = (String, Op);

impl Draft<'_> {
    /// Makes a step of the first operations, where several make one; gives how many.
    fn fused(&mut self, ops: &[Named]) -> Result<usize, DraftError> {
        match ops {
            [first @ (_, Op::Depthwise(depthwise)), (_, Op::Norm(norm)), rest @ ..]
                if self.feeds(depthwise.output, norm.input) =>
            {
                match rest {
                    [second @ (_, Op::Linear(expand)), third @ (_, Op::Linear(project)), ..]
                        if self.feeds(norm.output, expand.input)
                            && self.feeds(expand.output, project.input)
                            && (expand.residual, expand.scale) == (None, None)
                            && project.residual == Some(depthwise.input) =>
                    {
                        self.block([first, second, third], (depthwise, norm, expand, project))?;
                        Ok(4)
                    }
                    _ => {
                        self.depthwise(first, depthwise, Some(norm))?;
                        Ok(2)
                    }
                }
            }
            [(_, Op::Norm(before)), named @ (_, Op::Patchify(patchify)), rest @ ..]
                if self.feeds(before.output, patchify.input) =>
            {
                Ok(1 + self.patchify(named, Some(before), patchify, rest)?)
            }
            [named @ (_, Op::Patchify(patchify)), rest @ ..] => self.patchify(named, None, patchify, rest),
            _ => Ok(0),
        }
    }

    /// Whether what one operation writes is read by the next and by nothing else.
    fn feeds(&self, output: TensorId, input: TensorId) -> bool {
        output == input && self.readers[output.0].len() == 1 && self.program.output != output
    }

    fn block(
        &mut self,
        [first, second, third]: [&Named; 3],
        (depthwise, norm, expand, project): (&program::Depthwise, &program::Norm, &program::Linear, &program::Linear),
    ) -> Result<(), DraftError> {
        let parts = vec![
            self.part(first, "depthwise + norm"),
            self.part(second, if expand.activation.is_some() { "linear + gelu" } else { "linear" }),
            self.part(third, "linear + residual"),
        ];
        let access = Access { reads: vec![self.whole(depthwise.input)], writes: project.output.0, scratch: None };
        let depthwise = self.packed_depthwise(depthwise, Some(norm))?;
        let (expand, project) = (self.packed_linear(expand)?, self.packed_linear(project)?);
        self.steps.push((Kernel::Block(Block { depthwise, expand, project }), parts, access));
        Ok(())
    }

    /// A patchify, with the norm that may follow it; gives the number of operations.
    fn patchify(
        &mut self,
        named: &Named,
        before: Option<&program::Norm>,
        op: &program::Patchify,
        rest: &[Named],
    ) -> Result<usize, DraftError> {
        let after = match rest {
            [(_, Op::Norm(norm)), ..] if self.feeds(op.output, norm.input) => Some(norm),
            _ => None,
        };
        let input = self.program.shape(op.input);
        let depth = op.size * op.size * input.channels;
        let moved = |elements: usize| Cost { activations: 2 * elements as u64, ..Cost::default() };
        let output = self.program.shape(op.output).len();
        let part = |kind, cost| Part { name: named.0.clone(), kind, cost };
        let parts = vec![
            part(if before.is_some() { "norm + gather" } else { "gather" }, moved(input.len())),
            part("patchify", named.1.cost(self.program)),
            part("norm", if after.is_some() { moved(output) } else { Cost::default() }),
        ];
        let reads = before.map_or(op.input, |norm| norm.input).0;
        let writes = after.map_or(op.output, |norm| norm.output).0;
        let linear = Linear {
            weight: Matrix::pack(self.instructions, &self.weight(op.weight)?, depth)?,
            epilogue: Epilogue { bias: self.weight(op.bias)?, activation: None, scale: None },
        };
        let norms = [before, after].map(|norm| norm.map(|norm| self.norm(norm)).transpose());
        let [before, after] = norms;
        let kernel = Patchify { input, size: op.size, before: before?, linear, after: after? };
        let taken = 1 + usize::from(kernel.after.is_some());
        self.steps.push((Kernel::Patchify(kernel), parts, Access { reads: vec![reads], writes, scratch: None }));
        Ok(taken)
    }

    fn single(&mut self, named: &Named) -> Result<(), DraftError> {
        let op = &named.1;
        let shape = self.program.shape(op.input());
        let access = Access { reads: vec![self.whole(op.input())], writes: op.output().0, scratch: None };
        match op {
            Op::Patchify(op) => {
                self.patchify(named, None, op, &[])?;
            }
            Op::Depthwise(op) => self.depthwise(named, op, None)?,
            Op::Norm(op) => {
                let norm = self.norm(op)?;
                self.push(named, "norm", Kernel::Norm(norm, shape.channels), access);
            }
            Op::Linear(op) => {
                let linear = self.packed_linear(op)?;
                let residual = op.residual.map(|tensor| self.whole(tensor));
                let reads = access.reads.into_iter().chain(residual).collect();
                let kind = match (op.activation, residual) {
                    (Some(Activation::Gelu), _) => "linear + gelu",
                    (None, Some(_)) => "linear + residual",
                    (None, None) => "linear",
                };
                self.push(named, kind, Kernel::Linear(linear), Access { reads, ..access });
            }
            Op::Grn(op) => {
                let grn = Grn::new(op.eps, self.weight(op.scale)?, self.weight(op.shift)?);
                let factors = self.value(shape.channels);
                let access = Access { scratch: Some(factors), ..access };
                self.push(named, "grn", Kernel::Grn(grn, shape.rows()), access);
            }
            Op::Attention(_) | Op::Merge(_) => unimplemented!("to come"),
            Op::Pool(_) => self.push(named, "pool", Kernel::Pool(shape), access),
        }
        Ok(())
    }

    fn depthwise(
        &mut self,
        named: &Named,
        op: &program::Depthwise,
        norm: Option<&program::Norm>,
    ) -> Result<(), DraftError> {
        let writes = norm.map_or(op.output, |norm| norm.output).0;
        let access = Access { reads: vec![self.whole(op.input)], writes, scratch: None };
        let kernel = Kernel::Depthwise(self.packed_depthwise(op, norm)?);
        self.push(named, if norm.is_some() { "depthwise + norm" } else { "depthwise" }, kernel, access);
        Ok(())
    }

    fn push(&mut self, named: &Named, kind: &'static str, kernel: Kernel, access: Access) {
        let parts = vec![self.part(named, kind)];
        self.steps.push((kernel, parts, access));
    }

    fn part(&self, (name, op): &Named, kind: &'static str) -> Part {
        Part { name: name.clone(), kind, cost: op.cost(self.program) }
    }

    fn packed_depthwise(&self, op: &program::Depthwise, norm: Option<&program::Norm>) -> Result<Depthwise, DraftError> {
        let (weight, bias) = (self.weight(op.weight)?, self.weight(op.bias)?);
        let norm = norm.map(|norm| self.norm(norm)).transpose()?;
        let map = (self.program.shape(op.input), op.kernel);
        Ok(Depthwise::new(self.instructions, map, &weight, &bias, norm)?)
    }

    fn packed_linear(&self, op: &program::Linear) -> Result<Linear, DraftError> {
        let depth = self.program.shape(op.input).channels;
        let weight = Matrix::pack(self.instructions, &self.weight(op.weight)?, depth)?;
        let scale = op.scale.map(|scale| self.weight(scale)).transpose()?;
        Ok(Linear { weight, epilogue: Epilogue { bias: self.weight(op.bias)?, activation: op.activation, scale } })
    }

    fn norm(&self, op: &program::Norm) -> Result<Norm, DraftError> {
        let affine = op.affine.map(|affine| Ok((self.weight(affine.scale)?, self.weight(affine.shift)?)));
        Ok(Norm::new(op.eps, affine.transpose().map_err(|error: WeightError| error)?))
    }

    fn weight(&self, id: WeightId) -> Result<Vec<f32>, WeightError> {
        self.program.weight(id).materialise(self.weights)
    }

    /// The value of a tensor whose maps lie one after another; staged images do not, and are copied once.
    fn whole(&mut self, tensor: TensorId) -> usize {
        if tensor != Program::INPUT {
            return tensor.0;
        }
        if let Some(value) = self.ingested {
            return value;
        }
        let value = self.value(self.sizes[Program::INPUT.0]);
        let cost = Cost { activations: 2 * self.sizes[value] as u64, ..Cost::default() };
        let part = Part { name: "ingest".to_owned(), kind: "ingest", cost };
        let access = Access { reads: vec![Program::INPUT.0], writes: value, scratch: None };
        self.steps.push((Kernel::Ingest, vec![part], access));
        self.ingested = Some(value);
        value
    }

    /// A value of the plan's own.
    fn value(&mut self, size: usize) -> usize {
        self.sizes.push(size);
        self.sizes.len() - 1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::cpu::IMAGES_IN_FLIGHT;
    use crate::model::Spec;
    use crate::program::{InputSpec, fold};

    /// Weights that nobody looks at.
    struct Zeros;

    impl WeightSource for Zeros {
        fn read(&self, _name: &str, _into: &mut [f32]) -> Result<(), WeightError> {
            Ok(())
        }
    }

    fn planned(name: &str, side: usize) -> Plan {
        let program = Spec::published(name).unwrap().program(InputSpec::imagenet(side)).unwrap();
        plan(Instructions::best(), &fold(&program), &Zeros).unwrap()
    }

    #[test]
    fn a_block_is_one_step_and_every_other_norm_is_part_of_its_neighbour() {
        let plan = planned("convnext_atto", 64);
        let count = |of: fn(&Kernel) -> bool| plan.steps.iter().filter(|step| of(&step.kernel)).count();
        // 12 blocks, the stem and three downsamplings; pool, norm and linear of the head
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Block(_))), 12);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Patchify(_))), 4);
        assert_eq!(plan.steps.len(), 12 + 4 + 3);
    }

    #[test]
    fn a_block_with_grn_needs_its_whole_hidden_layer() {
        let plan = planned("convnextv2_atto", 64);
        let count = |of: fn(&Kernel) -> bool| plan.steps.iter().filter(|step| of(&step.kernel)).count();
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Depthwise(_))), 12);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Linear(_))), 12 * 2 + 1);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Grn(..))), 12);
    }

    #[test]
    fn buffers_are_shared_as_the_engine_says() {
        let plan = planned("convnext_tiny", 224);
        // a block's input and its output, of the first stage
        let floats: usize = plan.buffers.iter().sum();
        assert_eq!(floats, 56 * 56 * 96 * 2);
        assert!(floats * 4 * IMAGES_IN_FLIGHT <= 10_000_000);
    }
}
