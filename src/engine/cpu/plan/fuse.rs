//! Fusion: which operations of a program become one step. Not here: which buffer holds a value (`buffers`), how weights are packed
//! (`weights`), how a step is computed.
//!
//! Fused into one pass are a ConvNeXt block and the second half of a Swin block. A norm goes into the convolution, the patches, the merge
//! or the linear layer beside it, and a merge or the squares of a convolution into the linear layer after it. A linear layer's bias, activation, scale and residual go
//! into its product.

use super::buffers::Access;
use super::step::{Kernel, Step, TimedOp};
use super::weights::{PackError, Packer};
use crate::engine::cpu::fused::block::Block;
use crate::engine::cpu::fused::projection::Projection;
use crate::engine::cpu::fused::source::{Merge, Patches, Source, Unfold};
use crate::engine::cpu::operations::pointwise::Pointwise;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::simd::instructions::Instructions;
use crate::program::{self, Activation, Cost, Op, Program, TensorId, WeightSource};

/// The steps of a program that passed its check, and the elements of each value per image. Weights are packed one by one.
///
/// A value is a tensor of the program, by its id. After those come values that only one step uses.
pub(crate) fn fuse(
    compiled: (Instructions, Numbers),
    program: &Program,
    weights: &dyn WeightSource,
) -> Result<(Vec<Step>, Vec<usize>), PackError> {
    let sizes = program.tensors.iter().map(|tensor| tensor.len()).collect();
    let readers = program.readers();
    let packer = Packer::new(compiled, program, weights);
    let mut fusion = Fusion { program, packer, readers, sizes, steps: Vec::new() };
    let mut ops = &program.ops[..];
    while !ops.is_empty() {
        ops = &ops[fusion.add_step(ops)?..];
    }
    Ok((fusion.steps, fusion.sizes))
}

/// The steps so far.
struct Fusion<'a> {
    program: &'a Program,
    packer: Packer<'a>,
    /// As [`Program::readers`].
    readers: Vec<Vec<usize>>,
    /// Elements of each value, per image.
    sizes: Vec<usize>,
    steps: Vec<Step>,
}

/// An operation and its name in the network.
type NamedOp = (String, Op);

/// Operations that make rows, which may go on into a product.
struct SourceOps {
    source: Source,
    op: TimedOp,
    input: TensorId,
    output: TensorId,
}

impl Fusion<'_> {
    /// Adds a step that computes the first of `ops`. Returns how many operations it computes.
    fn add_step(&mut self, ops: &[NamedOp]) -> Result<usize, PackError> {
        match ops {
            [first @ (_, Op::Depthwise(op)), (_, Op::Norm(norm)), rest @ ..] if self.feeds(op.output, norm.input) => {
                let source = Source::Depthwise(self.packer.depthwise(op, Some(norm))?);
                let timed = self.timed(first, "depthwise + norm");
                let source = SourceOps { source, op: timed, input: op.input, output: norm.output };
                self.add_source(source, rest).map(|linears| 2 + linears)
            }
            [first @ (_, Op::Merge(op)), (_, Op::Norm(norm)), rest @ ..] if self.feeds(op.output, norm.input) => {
                let norm_of_row = Some(self.packer.norm(norm)?);
                let source = Source::Merge(Merge { input: self.program.shape(op.input), norm: norm_of_row });
                let timed = self.timed(first, "merge + norm");
                let source = SourceOps { source, op: timed, input: op.input, output: norm.output };
                self.add_source(source, rest).map(|linears| 2 + linears)
            }
            [(_, Op::Norm(before)), named @ (_, Op::Patchify(patchify)), rest @ ..]
                if self.feeds(before.output, patchify.input) =>
            {
                self.add_patchify(named, Some(before), patchify, rest).map(|count| 1 + count)
            }
            [named @ (_, Op::Patchify(patchify)), rest @ ..] => self.add_patchify(named, None, patchify, rest),
            [first @ (_, Op::Depthwise(op)), rest @ ..] => {
                let source = Source::Depthwise(self.packer.depthwise(op, None)?);
                let timed = self.timed(first, "depthwise");
                let source = SourceOps { source, op: timed, input: op.input, output: op.output };
                self.add_source(source, rest).map(|linears| 1 + linears)
            }
            [first @ (_, Op::Merge(op)), rest @ ..] => {
                let source = Source::Merge(Merge { input: self.program.shape(op.input), norm: None });
                let timed = self.timed(first, "merge");
                let source = SourceOps { source, op: timed, input: op.input, output: op.output };
                self.add_source(source, rest).map(|linears| 1 + linears)
            }
            [first @ (_, Op::Unfold(op)), rest @ ..] => {
                let source = Source::Unfold(Unfold { input: self.program.shape(op.input), squares: op.squares });
                let timed = self.timed(first, "unfold");
                let source = SourceOps { source, op: timed, input: op.input, output: op.output };
                self.add_source(source, rest).map(|linears| 1 + linears)
            }
            [first @ (_, Op::Norm(op)), rest @ ..] => {
                let source = Source::Norm(self.packer.norm(op)?, self.program.shape(op.input).channels);
                let timed = self.timed(first, "norm");
                let source = SourceOps { source, op: timed, input: op.input, output: op.output };
                self.add_source(source, rest).map(|linears| 1 + linears)
            }
            [named, ..] => self.add_unfused(named).map(|()| 1),
            [] => Ok(0),
        }
    }

    /// Whether what one operation writes is read by the next and by nothing else.
    fn feeds(&self, output: TensorId, input: TensorId) -> bool {
        output == input && self.readers[output.0].len() == 1 && self.program.output != output
    }

    /// Adds a step of a source and of the linear layers that alone read its rows. Returns the number of those layers.
    fn add_source(&mut self, source: SourceOps, rest: &[NamedOp]) -> Result<usize, PackError> {
        let SourceOps { source, op, input, output } = source;
        let reads = vec![input.0];
        match rest {
            [second @ (_, Op::Linear(expand)), third @ (_, Op::Linear(project)), ..]
                if matches!(source, Source::Depthwise(_) | Source::Norm(..))
                    && self.feeds(output, expand.input)
                    && self.feeds(expand.output, project.input)
                    && (expand.residual, expand.scale) == (None, None)
                    && project.residual == Some(input) =>
            {
                let ops = vec![op, self.timed_linear(second, expand), self.timed_linear(third, project)];
                let (expand, writes) = (self.packer.linear(expand)?, project.output.0);
                let block = Block { source, expand, project: self.packer.linear(project)? };
                let access = Access { reads, writes, scratch: None };
                self.steps.push(Step { kernel: Kernel::Block(block), ops, access });
                Ok(2)
            }
            [second @ (_, Op::Linear(linear)), ..] if self.feeds(output, linear.input) && linear.residual.is_none() => {
                let ops = vec![op, self.timed_linear(second, linear)];
                let projection = Projection { source, linear: self.packer.linear(linear)?, after: None };
                let access = Access { reads, writes: linear.output.0, scratch: None };
                self.steps.push(Step { kernel: Kernel::Projection(projection), ops, access });
                Ok(1)
            }
            _ => {
                let access = Access { reads, writes: output.0, scratch: None };
                self.steps.push(Step { kernel: Kernel::Source(source), ops: vec![op], access });
                Ok(0)
            }
        }
    }

    /// Adds a step of patches, their linear layer, and the norm that may follow it. Returns how many operations of the network that is,
    /// without the norm before.
    fn add_patchify(
        &mut self,
        named: &NamedOp,
        before: Option<&program::Norm>,
        op: &program::Patchify,
        rest: &[NamedOp],
    ) -> Result<usize, PackError> {
        let after = match rest {
            [(_, Op::Norm(norm)), ..] if self.feeds(op.output, norm.input) => Some(norm),
            _ => None,
        };
        let input = self.program.shape(op.input);
        let moved = |elements: usize| Cost { activations: 2 * elements as u64, ..Cost::default() };
        let output = self.program.shape(op.output).len();
        let timed = |kind, cost| TimedOp { name: named.0.clone(), kind, cost };
        let ops = vec![
            timed(if before.is_some() { "norm + gather" } else { "gather" }, moved(input.len())),
            timed("patchify", named.1.cost(self.program)),
            timed("norm", if after.is_some() { moved(output) } else { Cost::default() }),
        ];
        let reads = vec![before.map_or(op.input, |norm| norm.input).0];
        let writes = after.map_or(op.output, |norm| norm.output).0;
        let norm = |norm: Option<&program::Norm>| norm.map(|norm| self.packer.norm(norm)).transpose();
        let source = Source::Patches(Patches { input, size: op.size, norm: norm(before)? });
        let projection = Projection { source, linear: self.packer.patchify(op)?, after: norm(after)? };
        let count = 1 + usize::from(projection.after.is_some());
        let access = Access { reads, writes, scratch: None };
        self.steps.push(Step { kernel: Kernel::Projection(projection), ops, access });
        Ok(count)
    }

    /// Adds a step of one operation that is fused with no other.
    fn add_unfused(&mut self, named: &NamedOp) -> Result<(), PackError> {
        let op = &named.1;
        let shape = self.program.shape(op.input());
        let mut access = Access { reads: vec![op.input().0], writes: op.output().0, scratch: None };
        let (kernel, timed) = match op {
            Op::Linear(op) => {
                access.reads.extend(op.residual.map(|tensor| tensor.0));
                (Kernel::Linear(self.packer.linear(op)?), self.timed_linear(named, op))
            }
            Op::Grn(op) => {
                access.scratch = Some(self.scratch_value(shape.channels));
                (Kernel::Grn(self.packer.grn(op)?, shape.rows()), self.timed(named, "grn"))
            }
            Op::Attention(op) => (Kernel::Attention(self.packer.attention(op)?), self.timed(named, "attention")),
            Op::Activate(op) => (Kernel::Pointwise(Pointwise::Activate(op.function)), self.timed(named, "activate")),
            Op::Offset(op) => {
                (Kernel::Pointwise(Pointwise::Offset(self.packer.offset(op)?)), self.timed(named, "offset"))
            }
            Op::Pool(_) => (Kernel::Pool(shape), self.timed(named, "pool")),
            Op::Patchify(_) | Op::Depthwise(_) | Op::Norm(_) | Op::Merge(_) | Op::Unfold(_) => {
                unreachable!("`add_step` makes sources of these")
            }
        };
        self.steps.push(Step { kernel, ops: vec![timed], access });
        Ok(())
    }

    fn timed(&self, (name, op): &NamedOp, kind: &'static str) -> TimedOp {
        TimedOp { name: name.clone(), kind, cost: op.cost(self.program) }
    }

    fn timed_linear(&self, named: &NamedOp, op: &program::Linear) -> TimedOp {
        let kind = match (op.activation, op.residual) {
            (Some(Activation::Gelu), _) => "linear + gelu",
            (None, Some(_)) => "linear + residual",
            (None, None) => "linear",
        };
        self.timed(named, kind)
    }

    /// Adds a value that only one step uses; `size` is its elements per image.
    fn scratch_value(&mut self, size: usize) -> usize {
        self.sizes.push(size);
        self.sizes.len() - 1
    }
}
