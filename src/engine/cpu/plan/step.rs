//! A step: one kernel, the operations that it computes, and the values that it reads and writes.
//!
//! Not here: which operations become one step (`fuse`), which buffer holds a value (`buffers`).

use super::buffers::Access;
use crate::engine::cpu::fused::block::Block;
use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::fused::projection::Projection;
use crate::engine::cpu::fused::source::Source;
use crate::engine::cpu::operations::attention::Attention;
use crate::engine::cpu::operations::grn::Grn;
use crate::engine::cpu::operations::linear::Linear;
use crate::engine::cpu::operations::pointwise::Pointwise;
use crate::engine::cpu::operations::pool;
use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::packed::PackedWeight;
use crate::program::{Cost, Shape};

/// A step whose values have no buffers yet.
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    /// The operations that are timed, in the order of the kernel's clock.
    pub(crate) ops: Vec<TimedOp>,
    pub(crate) access: Access,
}

/// What computes a step.
pub(crate) enum Kernel {
    /// A source whose rows go into no product.
    Source(Source),
    Projection(Projection),
    Block(Block),
    Linear(Linear),
    Attention(Attention),
    /// With the pixels of its map.
    Grn(Grn, usize),
    Pointwise(Pointwise),
    /// With the shape of its input.
    Pool(Shape),
}

/// What of a step is timed by itself: one operation of the program, or several that are computed together.
pub(crate) struct TimedOp {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) cost: Cost,
}

impl Kernel {
    /// Floats of memory that each thread needs of its own.
    pub(crate) fn thread_memory(&self) -> usize {
        match self {
            Self::Projection(projection) => projection.thread_memory(),
            Self::Block(block) => block.thread_memory(),
            Self::Attention(attention) => attention.thread_memory(),
            Self::Linear(linear) => linear.thread_memory(),
            Self::Source(_) | Self::Grn(..) | Self::Pointwise(_) | Self::Pool(_) => 0,
        }
    }

    /// Floats of memory that `threads` threads share.
    pub(crate) fn shared_memory(&self, threads: usize) -> usize {
        match self {
            Self::Projection(projection) => projection.shared_memory(threads),
            Self::Block(block) => block.shared_memory(threads),
            Self::Linear(linear) => linear.shared_memory(threads),
            Self::Source(_) | Self::Attention(_) | Self::Grn(..) | Self::Pointwise(_) | Self::Pool(_) => 0,
        }
    }

    /// Its packed weights.
    pub(crate) fn packed(&self) -> Vec<&PackedWeight> {
        match self {
            Self::Projection(projection) => vec![&projection.linear.weight],
            Self::Block(block) => vec![&block.expand.weight, &block.project.weight],
            Self::Linear(linear) => vec![&linear.weight],
            Self::Source(_) | Self::Attention(_) | Self::Grn(..) | Self::Pointwise(_) | Self::Pool(_) => Vec::new(),
        }
    }

    /// Computes `output` of `input`. `scratch` is the step's scratch value if it has one, or else the shared memory.
    pub(crate) fn run(
        &self,
        context: Context<'_>,
        (input, residual): (Maps<'_>, Option<Maps<'_>>),
        scratch: &mut [f32],
        output: &mut [f32],
    ) {
        match self {
            Self::Source(source) => source.run(context, Numbers::F32, input, output),
            Self::Projection(projection) => projection.run(context, input, scratch, output),
            Self::Block(block) => block.run(context, input, scratch, output),
            Self::Attention(attention) => attention.run(context, input.all(), output),
            Self::Linear(linear) => linear.run(context, 0, input.all(), residual.map(Maps::all), scratch, output),
            Self::Grn(grn, rows) => grn.run(context, *rows, input.all(), scratch, output),
            Self::Pointwise(pointwise) => pointwise.run(context, input.all(), output),
            Self::Pool(shape) => pool::mean(context, (shape.rows(), shape.channels), input.all(), output),
        }
    }
}
