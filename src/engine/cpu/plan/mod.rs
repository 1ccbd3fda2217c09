//! The plan of a program: steps in running order, and the buffers that they read and write.
//!
//! It is made in two stages: `fuse` decides which operations become one step, `buffers` which values share a buffer. Not here: how a
//! step is computed (`fused`, `operations`).

mod buffers;
mod fuse;
mod step;
mod weights;

use buffers::{Access, Buffers};
use step::{Kernel, Step, TimedOp};
pub(crate) use weights::PackError;

use super::fused::maps::Maps;
use super::parallel::clock::{BusyTime, Clock};
use super::parallel::context::Context;
use super::parallel::threads::Threads;
use super::product::numbers::Numbers;
use super::product::packed::Layout;
use super::simd::aligned::Aligned;
use super::simd::instructions::Instructions;
use crate::engine::OpTime;
use crate::program::{Program, WeightSource};

/// Images that are computed together, whatever the size of the batch.
///
/// Each weight is read once per group of this size. Buffers hold a whole group: 10 MB for ConvNeXt-T at 224.
pub(crate) const GROUP_IMAGES: usize = 4;

/// Steps in running order.
pub(crate) struct Plan {
    instructions: Instructions,
    steps: Vec<PlannedStep>,
    /// Elements of each buffer, per image.
    pub(crate) buffers: Vec<usize>,
    /// The buffer of the logits.
    output: usize,
    classes: usize,
}

/// A step and the buffers of its values.
struct PlannedStep {
    kernel: Kernel,
    ops: Vec<TimedOp>,
    input: Input,
    residual: Option<Input>,
    scratch: Option<Span>,
    output: Span,
}

/// What a step reads.
#[derive(Clone, Copy)]
enum Input {
    /// The normalised images.
    Images,
    Buffer(Span),
}

/// The first elements of a buffer.
#[derive(Clone, Copy)]
struct Span {
    /// Index of the buffer.
    buffer: usize,
    /// Elements per image.
    len: usize,
}

/// Memory that a run writes to.
pub(crate) struct Workspace {
    /// As [`Plan::buffers`], each for a group of images.
    pub(crate) buffers: Vec<Aligned>,
    /// As long as [`Plan::shared_memory`] says.
    pub(crate) shared: Aligned,
}

impl Plan {
    /// Plans a program that passed its check, and packs its weights one by one.
    pub(crate) fn new(
        (instructions, numbers): (Instructions, Numbers),
        program: &Program,
        weights: &dyn WeightSource,
    ) -> Result<Self, PackError> {
        let (steps, sizes) = fuse::fuse((instructions, numbers), program, weights)?;
        let accesses: Vec<Access> = steps.iter().map(|step| step.access.clone()).collect();
        let buffers = Buffers::assign(&accesses, &sizes, program.output.0);
        let span = |value: usize| Span { buffer: buffers.of_value[value].unwrap_or_default(), len: sizes[value] };
        let input = |value: usize| match buffers.of_value[value] {
            Some(_) => Input::Buffer(span(value)),
            None => Input::Images,
        };
        let steps = steps.into_iter().map(|Step { kernel, ops, access }| PlannedStep {
            kernel,
            ops,
            input: input(access.reads[0]),
            residual: access.reads.get(1).map(|value| input(*value)),
            scratch: access.scratch.map(span),
            output: span(access.writes),
        });
        let (steps, logits) = (steps.collect(), span(program.output.0));
        Ok(Self { instructions, steps, buffers: buffers.sizes, output: logits.buffer, classes: logits.len })
    }

    /// Number of logits per image.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Bytes that packed weights save against floats.
    pub(crate) fn saved(&self) -> u64 {
        let packed = self.steps.iter().flat_map(|step| step.kernel.packed());
        let saved = packed.map(|weight| {
            let Layout { depth, columns, .. } = weight.layout;
            4 * columns * depth.saturating_sub(weight.layout.floats(depth))
        });
        saved.sum::<usize>() as u64
    }

    /// Floats of memory that each thread needs of its own.
    pub(crate) fn thread_memory(&self) -> usize {
        self.steps.iter().map(|step| step.kernel.thread_memory()).max().unwrap_or(0)
    }

    /// Floats of memory that `threads` threads share.
    pub(crate) fn shared_memory(&self, threads: usize) -> usize {
        self.steps.iter().map(|step| step.kernel.shared_memory(threads)).max().unwrap_or(0)
    }

    /// A busy time for each timed operation of each step.
    pub(crate) fn busy_times(&self) -> Vec<Vec<BusyTime>> {
        self.steps.iter().map(|step| step.ops.iter().map(|_| BusyTime::default()).collect()).collect()
    }

    /// Computes the logits `[n, classes]` of normalised images `[n, h, w, 3]`. The workspace must hold at least n images.
    pub(crate) fn run(
        &self,
        (threads, times): (&Threads, Option<&[Vec<BusyTime>]>),
        images: &[f32],
        Workspace { buffers, shared }: &mut Workspace,
        logits: &mut [f32],
    ) {
        let count = logits.len() / self.classes;
        for (index, step) in self.steps.iter().enumerate() {
            let clock = Clock(times.map(|times| &times[index][..]));
            let context = Context { instructions: self.instructions, threads, clock };
            // taken out, so that a step may write one buffer while it reads others
            let mut output = std::mem::take(&mut buffers[step.output.buffer]);
            let mut scratch = step.scratch.map(|span| std::mem::take(&mut buffers[span.buffer]));
            let maps = |input: Input| match input {
                Input::Images => Maps::new(images, images.len() / count),
                Input::Buffer(Span { buffer, len }) => Maps::new(&buffers[buffer][..count * len], len),
            };
            let work = scratch.as_mut().zip(step.scratch).map(|(values, span)| &mut values[..count * span.len]);
            let work = work.unwrap_or(shared);
            let (input, residual) = (maps(step.input), step.residual.map(maps));
            step.kernel.run(context, (input, residual), work, &mut output[..count * step.output.len]);
            buffers[step.output.buffer] = output;
            if let Some((span, scratch)) = step.scratch.zip(scratch) {
                buffers[span.buffer] = scratch;
            }
        }
        logits.copy_from_slice(&buffers[self.output][..logits.len()]);
    }

    /// The time of each timed operation of each step, over `images` images in all.
    pub(crate) fn op_times(&self, times: &[Vec<BusyTime>], images: u64) -> Vec<OpTime> {
        let ops = self.steps.iter().zip(times).flat_map(|(step, times)| step.ops.iter().zip(times));
        let time = |(op, busy): (&TimedOp, &BusyTime)| OpTime {
            name: op.name.clone(),
            kind: op.kind,
            cost: op.cost,
            images,
            busy: busy.get(),
        };
        ops.map(time).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::model::Spec;
    use crate::program::{InputSpec, WeightError, fold};

    /// Weights whose values do not matter.
    struct Zeros;

    impl WeightSource for Zeros {
        fn read(&self, _name: &str, _into: &mut [f32]) -> Result<(), WeightError> {
            Ok(())
        }
    }

    fn planned(name: &str, side: usize) -> Plan {
        let program = Spec::published(name).unwrap().program(InputSpec::imagenet(side)).unwrap();
        Plan::new((Instructions::best(), Numbers::F32), &fold(&program), &Zeros).unwrap()
    }

    #[test]
    fn a_block_is_one_step_and_every_other_norm_is_fused_with_its_neighbour() {
        let plan = planned("convnext_atto", 64);
        let count = |of: fn(&Kernel) -> bool| plan.steps.iter().filter(|step| of(&step.kernel)).count();
        // 12 blocks, the stem, three downsamplings, the head's pool, and its norm with its linear layer
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
        // each of 12 blocks: norm with queries, keys and values; attention; projection; second norm with both linear layers.
        // Beside them the stem, three merges, and the head's norm, pool and linear layer
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Projection(_))), 12 + 1 + 3);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Attention(_))), 12);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Linear(_))), 12 + 1);
        assert_eq!(count(|kernel| matches!(kernel, Kernel::Block(_))), 12);
        assert_eq!(plan.steps.len(), 4 * 12 + 4 + 3);
    }

    #[test]
    fn a_group_of_convnext_tiny_needs_the_buffers_of_one_block() {
        let plan = planned("convnext_tiny", 224);
        // a block's input and its output in the first stage
        let floats: usize = plan.buffers.iter().sum();
        assert_eq!(floats, 56 * 56 * 96 * 2);
        assert!(floats * 4 * GROUP_IMAGES <= 10_000_000);
    }
}
