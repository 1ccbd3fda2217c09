//! The plan: steps over buffers, ready to run. Not here: which operations became one step (`draft`), how a step is computed.

pub(crate) mod buffers;
pub(crate) mod fuse;
mod weights;

use crate::engine::OpTime;
use crate::engine::cpu::fused::block::Block;
use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::fused::projection::Projection;
use crate::engine::cpu::fused::source::Source;
use crate::engine::cpu::operations::attention::Attention;
use crate::engine::cpu::operations::grn::Grn;
use crate::engine::cpu::operations::linear::Linear;
use crate::engine::cpu::operations::pool;
use crate::engine::cpu::parallel::context::{Busy, Clock, Run};
use crate::engine::cpu::parallel::threads::Threads;
use crate::engine::cpu::plan::buffers::{Access, Arena};
use crate::engine::cpu::simd::instructions::Instructions;
use crate::program::{Cost, Shape};

/// Images that are computed side by side, whatever the batch.
///
/// Each weight is read once for so many images, and buffers are as many times an image's: 10 MB of ConvNeXt-T at 224.
pub(crate) const IMAGES_IN_FLIGHT: usize = 4;

/// Steps in running order.
pub(crate) struct Plan {
    pub(crate) instructions: Instructions,
    pub(crate) steps: Vec<Step>,
    /// Elements of each buffer, an image.
    pub(crate) buffers: Vec<usize>,
    /// The logits' buffer.
    output: usize,
    classes: usize,
}

/// A kernel and where its values lie.
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    parts: Vec<Part>,
    input: Place,
    residual: Option<Place>,
    /// A buffer to work in and the elements needed of it, an image.
    scratch: Option<(usize, usize)>,
    /// The buffer that is written and the elements of it, an image.
    output: (usize, usize),
}

pub(crate) enum Kernel {
    Rows(Source),
    Projection(Projection),
    Block(Block),
    Linear(Linear),
    Attention(Attention),
    /// With the places of its map.
    Grn(Grn, usize),
    /// With the shape of its input.
    Pool(Shape),
}

/// A part of a step whose time can be told: one operation of the program or several that are computed together.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) cost: Cost,
}

/// Where a step reads.
#[derive(Clone, Copy)]
enum Place {
    /// The normalised images.
    Input,
    /// A buffer and the elements of it, an image.
    Buffer(usize, usize),
}

/// What a run works in.
pub(crate) struct Memory {
    /// As [`Plan::buffers`], each for the images that are computed side by side.
    pub(crate) buffers: Vec<crate::engine::cpu::simd::aligned::Aligned>,
    /// [`Plan::shared`] numbers.
    pub(crate) shared: crate::engine::cpu::simd::aligned::Aligned,
}

impl Plan {
    /// Gives each value its buffer. `sizes` are the elements of the values, of which `output` is the logits.
    pub(crate) fn place(
        instructions: Instructions,
        steps: Vec<(Kernel, Vec<Part>, Access)>,
        sizes: &[usize],
        output: usize,
    ) -> Self {
        let accesses: Vec<Access> = steps.iter().map(|(_, _, access)| access.clone()).collect();
        let arena = Arena::new(&accesses, sizes, output);
        let written = |value: usize| (arena.places[value].unwrap_or_default(), sizes[value]);
        let read = |value: usize| match arena.places[value] {
            Some(buffer) => Place::Buffer(buffer, sizes[value]),
            None => Place::Input,
        };
        let steps = steps.into_iter().map(|(kernel, parts, access)| Step {
            kernel,
            parts,
            input: read(access.reads[0]),
            residual: access.reads.get(1).map(|value| read(*value)),
            scratch: access.scratch.map(written),
            output: written(access.writes),
        });
        let (steps, (output, classes)) = (steps.collect(), written(output));
        Self { instructions, steps, buffers: arena.buffers, output, classes }
    }

    /// The length of an image's logits.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Numbers that each thread needs of its own.
    pub(crate) fn thread_memory(&self) -> usize {
        let memory = self.steps.iter().map(|step| match &step.kernel {
            Kernel::Projection(projection) => projection.memory(),
            Kernel::Block(block) => block.memory(),
            Kernel::Attention(attention) => attention.memory(),
            _ => 0,
        });
        memory.max().unwrap_or(0)
    }

    /// Numbers that so many threads need together.
    pub(crate) fn shared(&self, threads: usize) -> usize {
        let shared = self.steps.iter().map(|step| match &step.kernel {
            Kernel::Projection(projection) => projection.shared(threads),
            Kernel::Block(block) => block.shared(threads),
            _ => 0,
        });
        shared.max().unwrap_or(0)
    }

    /// A clock for each part of each step.
    pub(crate) fn clocks(&self) -> Vec<Vec<Busy>> {
        self.steps.iter().map(|step| step.parts.iter().map(|_| Busy::default()).collect()).collect()
    }

    /// Computes the logits `[n, classes]` of normalised images `[n, h, w, 3]`, in buffers that hold as many.
    pub(crate) fn run(
        &self,
        (threads, clocks): (&Threads, Option<&[Vec<Busy>]>),
        images: &[f32],
        Memory { buffers, shared }: &mut Memory,
        logits: &mut [f32],
    ) {
        let count = logits.len() / self.classes;
        for (index, step) in self.steps.iter().enumerate() {
            let clock = Clock(clocks.map(|clocks| &clocks[index][..]));
            let run = Run { instructions: self.instructions, threads, clock };
            // taken out, so that a step may write one buffer while it reads others
            let mut output = std::mem::take(&mut buffers[step.output.0]);
            let mut scratch = step.scratch.map(|(buffer, _)| std::mem::take(&mut buffers[buffer]));
            let maps = |place: Place| match place {
                Place::Input => Maps::new(images, images.len() / count),
                Place::Buffer(buffer, len) => Maps::new(&buffers[buffer][..count * len], len),
            };
            let work = scratch.as_mut().zip(step.scratch).map(|(values, (_, len))| &mut values[..count * len]);
            let work = work.unwrap_or(shared);
            let (input, residual) = (maps(step.input), step.residual.map(maps));
            step.kernel.run(run, (input, residual), work, &mut output[..count * step.output.1]);
            buffers[step.output.0] = output;
            if let Some(((buffer, _), scratch)) = step.scratch.zip(scratch) {
                buffers[buffer] = scratch;
            }
        }
        logits.copy_from_slice(&buffers[self.output][..logits.len()]);
    }

    /// What each part of each step took, for so many images in all.
    pub(crate) fn times(&self, clocks: &[Vec<Busy>], images: u64) -> Vec<OpTime> {
        let parts = self.steps.iter().zip(clocks).flat_map(|(step, clocks)| step.parts.iter().zip(clocks));
        let time = |(part, busy): (&Part, &Busy)| OpTime {
            name: part.name.clone(),
            kind: part.kind,
            cost: part.cost,
            images,
            busy: busy.time(),
        };
        parts.map(time).collect()
    }
}

impl Kernel {
    fn run(&self, run: Run<'_>, (input, residual): (Maps<'_>, Option<Maps<'_>>), work: &mut [f32], output: &mut [f32]) {
        match self {
            Self::Rows(source) => source.run(run, input, output),
            Self::Projection(projection) => projection.run(run, input, work, output),
            Self::Block(block) => block.run(run, input, work, output),
            Self::Attention(attention) => attention.run(run, input.all(), output),
            Self::Linear(linear) => linear.run(run, 0, input.all(), residual.map(Maps::all), output),
            Self::Grn(grn, rows) => grn.run(run, *rows, input.all(), work, output),
            Self::Pool(shape) => pool::mean(run, (shape.rows(), shape.channels), input.all(), output),
        }
    }
}
