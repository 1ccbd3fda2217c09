//! The draft of a plan: here it is decided what is fused. Not here: how weights are packed (`pack`), where values lie (`arena`), how a
//! step is computed.
//!
//! Fused: a ConvNeXt block, and the second half of a Swin block, into one pass; a norm into the convolution, the patches or the linear
//! layer beside it; a merge of places into the linear layer after it; a linear's bias, activation, scale and residual into its product.

use crate::engine::cpu::error::NoMemory;
use crate::engine::cpu::fused::block::Block;
use crate::engine::cpu::fused::projection::Projection;
use crate::engine::cpu::fused::source::{Merge, Patches, Source};
use crate::engine::cpu::plan::buffers::Access;
use crate::engine::cpu::plan::weights::Pack;
use crate::engine::cpu::plan::{Kernel, Part, Plan};
use crate::engine::cpu::simd::instructions::Instructions;
use crate::program::{self, Activation, Cost, Op, Program, TensorId, WeightError, WeightSource};

/// A program cannot be planned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DraftError {
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error("{0} for a packed weight")]
    Memory(#[from] NoMemory),
}

/// Plans a program that holds together, and packs its weights one by one.
pub(crate) fn plan(
    instructions: Instructions,
    program: &Program,
    weights: &dyn WeightSource,
) -> Result<Plan, DraftError> {
    let sizes = program.tensors.iter().map(|tensor| tensor.len()).collect();
    let readers = program.readers();
    let pack = Pack::new(instructions, program, weights);
    let mut draft = Draft { program, pack, readers, sizes, steps: Vec::new() };
    let mut ops = &program.ops[..];
    while !ops.is_empty() {
        ops = &ops[draft.next(ops)?..];
    }
    Ok(Plan::place(instructions, draft.steps, &draft.sizes, program.output.0))
}

/// Steps whose values have no buffers yet. A value is a tensor of the program, or one of the plan's own after those.
struct Draft<'a> {
    program: &'a Program,
    pack: Pack<'a>,
    /// As [`Program::readers`].
    readers: Vec<Vec<usize>>,
    /// Elements of each value.
    sizes: Vec<usize>,
    steps: Vec<(Kernel, Vec<Part>, Access)>,
}

/// An operation and its place in the network.
type Named = (String, Op);

/// Rows that are made, and may go on into a product.
struct Made {
    source: Source,
    part: Part,
    input: TensorId,
    output: TensorId,
}

impl Draft<'_> {
    /// Makes a step of the first operations; gives how many it took.
    fn next(&mut self, ops: &[Named]) -> Result<usize, DraftError> {
        match ops {
            [first @ (_, Op::Depthwise(op)), (_, Op::Norm(norm)), rest @ ..] if self.feeds(op.output, norm.input) => {
                let source = Source::Depthwise(self.pack.depthwise(op, Some(norm))?);
                let part = self.part(first, "depthwise + norm");
                self.made(Made { source, part, input: op.input, output: norm.output }, rest).map(|taken| 2 + taken)
            }
            [first @ (_, Op::Merge(op)), (_, Op::Norm(norm)), rest @ ..] if self.feeds(op.output, norm.input) => {
                let norm_of_row = Some(self.pack.norm(norm)?);
                let source = Source::Merge(Merge { input: self.program.shape(op.input), norm: norm_of_row });
                let part = self.part(first, "merge + norm");
                self.made(Made { source, part, input: op.input, output: norm.output }, rest).map(|taken| 2 + taken)
            }
            [(_, Op::Norm(before)), named @ (_, Op::Patchify(patchify)), rest @ ..]
                if self.feeds(before.output, patchify.input) =>
            {
                self.patchify(named, Some(before), patchify, rest).map(|taken| 1 + taken)
            }
            [named @ (_, Op::Patchify(patchify)), rest @ ..] => self.patchify(named, None, patchify, rest),
            [first @ (_, Op::Depthwise(op)), rest @ ..] => {
                let source = Source::Depthwise(self.pack.depthwise(op, None)?);
                let part = self.part(first, "depthwise");
                self.made(Made { source, part, input: op.input, output: op.output }, rest).map(|taken| 1 + taken)
            }
            [first @ (_, Op::Merge(op)), rest @ ..] => {
                let source = Source::Merge(Merge { input: self.program.shape(op.input), norm: None });
                let part = self.part(first, "merge");
                self.made(Made { source, part, input: op.input, output: op.output }, rest).map(|taken| 1 + taken)
            }
            [first @ (_, Op::Norm(op)), rest @ ..] => {
                let source = Source::Norm(self.pack.norm(op)?, self.program.shape(op.input).channels);
                let part = self.part(first, "norm");
                self.made(Made { source, part, input: op.input, output: op.output }, rest).map(|taken| 1 + taken)
            }
            [named, ..] => self.single(named).map(|()| 1),
            [] => Ok(0),
        }
    }

    /// Whether what one operation writes is read by the next and by nothing else.
    fn feeds(&self, output: TensorId, input: TensorId) -> bool {
        output == input && self.readers[output.0].len() == 1 && self.program.output != output
    }

    /// A step of rows that are made, with the linear layers that alone read them; gives how many of those there are.
    fn made(&mut self, made: Made, rest: &[Named]) -> Result<usize, DraftError> {
        let Made { source, part, input, output } = made;
        let reads = vec![input.0];
        match rest {
            [second @ (_, Op::Linear(expand)), third @ (_, Op::Linear(project)), ..]
                if matches!(source, Source::Depthwise(_) | Source::Norm(..))
                    && self.feeds(output, expand.input)
                    && self.feeds(expand.output, project.input)
                    && (expand.residual, expand.scale) == (None, None)
                    && project.residual == Some(input) =>
            {
                let parts = vec![part, self.linear_part(second, expand), self.linear_part(third, project)];
                let (expand, writes) = (self.pack.linear(expand)?, project.output.0);
                let block = Block { source, expand, project: self.pack.linear(project)? };
                self.steps.push((Kernel::Block(block), parts, Access { reads, writes, scratch: None }));
                Ok(2)
            }
            [second @ (_, Op::Linear(linear)), ..] if self.feeds(output, linear.input) && linear.residual.is_none() => {
                let parts = vec![part, self.linear_part(second, linear)];
                let projection = Projection { source, linear: self.pack.linear(linear)?, after: None };
                let access = Access { reads, writes: linear.output.0, scratch: None };
                self.steps.push((Kernel::Projection(projection), parts, access));
                Ok(1)
            }
            _ => {
                let access = Access { reads, writes: output.0, scratch: None };
                self.steps.push((Kernel::Rows(source), vec![part], access));
                Ok(0)
            }
        }
    }

    /// Patches and their linear layer, with the norm that may follow it; gives the number of operations.
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
        let moved = |elements: usize| Cost { activations: 2 * elements as u64, ..Cost::default() };
        let output = self.program.shape(op.output).len();
        let part = |kind, cost| Part { name: named.0.clone(), kind, cost };
        let parts = vec![
            part(if before.is_some() { "norm + gather" } else { "gather" }, moved(input.len())),
            part("patchify", named.1.cost(self.program)),
            part("norm", if after.is_some() { moved(output) } else { Cost::default() }),
        ];
        let reads = vec![before.map_or(op.input, |norm| norm.input).0];
        let writes = after.map_or(op.output, |norm| norm.output).0;
        let norm = |norm: Option<&program::Norm>| norm.map(|norm| self.pack.norm(norm)).transpose();
        let source = Source::Patches(Patches { input, size: op.size, norm: norm(before)? });
        let kernel = Projection { source, linear: self.pack.patchify(op)?, after: norm(after)? };
        let taken = 1 + usize::from(kernel.after.is_some());
        self.steps.push((Kernel::Projection(kernel), parts, Access { reads, writes, scratch: None }));
        Ok(taken)
    }

    /// An operation that nothing is fused with.
    fn single(&mut self, named: &Named) -> Result<(), DraftError> {
        let op = &named.1;
        let shape = self.program.shape(op.input());
        let mut access = Access { reads: vec![op.input().0], writes: op.output().0, scratch: None };
        let (kernel, part) = match op {
            Op::Linear(op) => {
                access.reads.extend(op.residual.map(|tensor| tensor.0));
                (Kernel::Linear(self.pack.linear(op)?), self.linear_part(named, op))
            }
            Op::Grn(op) => {
                access.scratch = Some(self.value(shape.channels));
                (Kernel::Grn(self.pack.grn(op)?, shape.rows()), self.part(named, "grn"))
            }
            Op::Attention(op) => (Kernel::Attention(self.pack.attention(op)?), self.part(named, "attention")),
            Op::Pool(_) => (Kernel::Pool(shape), self.part(named, "pool")),
            Op::Patchify(_) | Op::Depthwise(_) | Op::Norm(_) | Op::Merge(_) => {
                unreachable!("`next` makes sources of these")
            }
        };
        self.steps.push((kernel, vec![part], access));
        Ok(())
    }

    fn part(&self, (name, op): &Named, kind: &'static str) -> Part {
        Part { name: name.clone(), kind, cost: op.cost(self.program) }
    }

    fn linear_part(&self, named: &Named, op: &program::Linear) -> Part {
        let kind = match (op.activation, op.residual) {
            (Some(Activation::Gelu), _) => "linear + gelu",
            (None, Some(_)) => "linear + residual",
            (None, None) => "linear",
        };
        self.part(named, kind)
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
    use crate::engine::cpu::plan::IMAGES_IN_FLIGHT;
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
        // 12 blocks, the stem and three downsamplings; pool, and norm with linear, of the head
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Block(_))), 12);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Projection(_))), 4 + 1);
        assert_eq!(plan.steps.len(), 12 + 4 + 2);
    }

    #[test]
    fn a_block_with_grn_needs_its_whole_hidden_layer() {
        let plan = planned("convnextv2_atto", 64);
        let count = |of: fn(&Kernel) -> bool| plan.steps.iter().filter(|step| of(&step.kernel)).count();
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Projection(_))), 12 + 4 + 1);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Linear(_))), 12);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Grn(..))), 12);
    }

    #[test]
    fn a_swin_block_is_four_steps() {
        let plan = planned("swin_tiny", 224);
        let count = |of: fn(&Kernel) -> bool| plan.steps.iter().filter(|step| of(&step.kernel)).count();
        // of 12 blocks: norm and queries, keys and values; attention; projection; the rest. Stem, three merges, head: norm, pool, linear
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Projection(_))), 12 + 1 + 3);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Attention(_))), 12);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Linear(_))), 12 + 1);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Block(_))), 12);
        assert_eq!(plan.steps.len(), 4 * 12 + 4 + 3);
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
