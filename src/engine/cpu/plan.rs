//! The plan: a folded program as steps over buffers. Here it is decided what is fused and where each value lies.
//! Not here: how a step is computed.
//!
//! Fused: a linear's bias, activation, scale and residual into its matrix product; a norm into the depthwise convolution that
//! it alone reads. A patchify becomes a gather of its patches and a linear.

use super::arena::{Access, Arena};
use super::depthwise::Depthwise;
use super::grn::Grn;
use super::linear::Linear;
use super::maps::Maps;
use super::norm::Norm;
use super::patchify::Gather;
use super::pool;
use super::threads::Threads;
use crate::engine::slots::Slots;
use crate::program::{self, Op, Program, Shape, TensorId, WeightError, WeightId, WeightSource};

/// Steps in running order.
pub(super) struct Plan {
    steps: Vec<Step>,
    /// Elements of each buffer, an image.
    buffers: Vec<usize>,
    /// The logits' buffer.
    output: usize,
    classes: usize,
}

struct Step {
    kernel: Kernel,
    input: Place,
    residual: Option<Place>,
    /// A buffer to work in and the elements needed of it, an image.
    scratch: Option<(usize, usize)>,
    /// The buffer that is written and the elements of it, an image.
    output: (usize, usize),
}

enum Kernel {
    Gather(Gather),
    Depthwise(Depthwise),
    /// With the shape of its map.
    Norm(Norm, Shape),
    Linear(Linear),
    /// With the places of its map.
    Grn(Grn, usize),
    /// With the shape of its input.
    Pool(Shape),
}

/// Where a step reads.
#[derive(Clone, Copy)]
enum Place {
    /// The staged image.
    Staged,
    /// A buffer and the elements of it, an image.
    Buffer(usize, usize),
}

impl Plan {
    /// Plans a program that holds together, and packs its weights one by one.
    pub(super) fn new(program: &Program, weights: &dyn WeightSource) -> Result<Self, WeightError> {
        let sizes = program.tensors.iter().map(|tensor| tensor.len()).collect();
        let mut draft = Draft { program, weights, readers: program.readers(), sizes, steps: Vec::new() };
        let mut ops = program.ops.iter().map(|(_, op)| op).peekable();
        while let Some(op) = ops.next() {
            match (op, ops.peek()) {
                (Op::Depthwise(op), Some(Op::Norm(norm))) if draft.only_reads(norm, op.output) => {
                    ops.next();
                    draft.depthwise(op, Some(norm))?;
                }
                (op, _) => draft.single(op)?,
            }
        }
        Ok(draft.place())
    }

    /// Elements of each buffer, an image.
    pub(super) fn buffers(&self) -> &[usize] {
        &self.buffers
    }

    /// The length of an image's logits.
    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// Computes the logits `[batch, classes]` of the staged slots in `batch`, in buffers that hold as many images.
    pub(super) fn run(
        &self,
        threads: &Threads,
        (staged, batch): (&Slots, &[usize]),
        buffers: &mut [Vec<f32>],
        logits: &mut [f32],
    ) {
        for step in &self.steps {
            // taken out, so that a step may write one buffer while it reads others
            let mut output = std::mem::take(&mut buffers[step.output.0]);
            let mut scratch = step.scratch.map(|(buffer, _)| std::mem::take(&mut buffers[buffer]));
            let maps = |place: Place| match place {
                Place::Staged => Maps::Staged(staged, batch),
                Place::Buffer(buffer, len) => Maps::Buffer(&buffers[buffer], len),
            };
            let work = scratch.as_mut().zip(step.scratch).map(|(values, (_, len))| &mut values[..batch.len() * len]);
            let written = &mut output[..batch.len() * step.output.1];
            let (input, residual) = (maps(step.input), step.residual.map(maps));
            step.kernel.run(threads, batch.len(), (input, residual), work.unwrap_or_default(), written);
            buffers[step.output.0] = output;
            if let Some(((buffer, _), scratch)) = step.scratch.zip(scratch) {
                buffers[buffer] = scratch;
            }
        }
        logits.copy_from_slice(&buffers[self.output][..logits.len()]);
    }
}

impl Kernel {
    fn run(
        &self,
        threads: &Threads,
        images: usize,
        (input, residual): (Maps<'_>, Option<Maps<'_>>),
        scratch: &mut [f32],
        output: &mut [f32],
    ) {
        match self {
            Self::Gather(gather) => gather.run(threads, images, input, output),
            Self::Depthwise(depthwise) => depthwise.run(threads, images, input, output),
            Self::Norm(norm, shape) => norm.run(threads, (images, shape.rows(), shape.channels), input, output),
            Self::Linear(linear) => linear.run(threads, images, input, residual, output),
            Self::Grn(grn, rows) => grn.run(threads, (images, *rows), input, scratch, output),
            Self::Pool(shape) => pool::mean(threads, (images, shape.rows(), shape.channels), input, output),
        }
    }
}

/// Steps whose values have no buffers yet. A value is a tensor of the program, or one of the plan's own after those.
struct Draft<'a> {
    program: &'a Program,
    weights: &'a dyn WeightSource,
    /// As [`Program::readers`].
    readers: Vec<Vec<usize>>,
    /// Elements of each value.
    sizes: Vec<usize>,
    steps: Vec<(Kernel, Access)>,
}

impl Draft<'_> {
    /// Whether a tensor is read by this norm and by nothing else.
    fn only_reads(&self, norm: &program::Norm, tensor: TensorId) -> bool {
        norm.input == tensor && self.readers[tensor.0].len() == 1 && self.program.output != tensor
    }

    fn single(&mut self, op: &Op) -> Result<(), WeightError> {
        let shape = self.program.shape(op.input());
        let access = Access { reads: vec![op.input().0], writes: op.output().0, scratch: None };
        match op {
            Op::Patchify(op) => {
                let rows = self.program.shape(op.output).rows();
                let patches = self.value(rows * op.size * op.size * shape.channels);
                let gather = Kernel::Gather(Gather::new(shape, op.size));
                self.steps.push((gather, Access { writes: patches, ..access.clone() }));
                let linear = Linear::new(rows, &self.weight(op.weight)?, self.weight(op.bias)?, None, None);
                self.steps.push((Kernel::Linear(linear), Access { reads: vec![patches], ..access }));
            }
            Op::Depthwise(op) => self.depthwise(op, None)?,
            Op::Norm(op) => self.steps.push((Kernel::Norm(self.norm(op)?, shape), access)),
            Op::Linear(op) => {
                let scale = op.scale.map(|scale| self.weight(scale)).transpose()?;
                let (weight, bias) = (self.weight(op.weight)?, self.weight(op.bias)?);
                let linear = Linear::new(shape.rows(), &weight, bias, op.activation, scale);
                let reads = [op.input].into_iter().chain(op.residual).map(|tensor| tensor.0).collect();
                self.steps.push((Kernel::Linear(linear), Access { reads, ..access }));
            }
            Op::Grn(op) => {
                let grn = Grn::new(op.eps, self.weight(op.scale)?, self.weight(op.shift)?);
                let factors = self.value(shape.channels);
                self.steps.push((Kernel::Grn(grn, shape.rows()), Access { scratch: Some(factors), ..access }));
            }
            Op::Pool(_) => self.steps.push((Kernel::Pool(shape), access)),
        }
        Ok(())
    }

    fn depthwise(&mut self, op: &program::Depthwise, norm: Option<&program::Norm>) -> Result<(), WeightError> {
        let writes = norm.map_or(op.output, |norm| norm.output).0;
        let (weight, bias) = (self.weight(op.weight)?, self.weight(op.bias)?);
        let norm = norm.map(|norm| self.norm(norm)).transpose()?;
        let kernel = Depthwise::new(self.program.shape(op.input), op.kernel, &weight, bias, norm);
        self.steps.push((Kernel::Depthwise(kernel), Access { reads: vec![op.input.0], writes, scratch: None }));
        Ok(())
    }

    fn norm(&self, op: &program::Norm) -> Result<Norm, WeightError> {
        let affine = op.affine.map(|affine| Ok((self.weight(affine.scale)?, self.weight(affine.shift)?)));
        Ok(Norm::new(op.eps, affine.transpose()?))
    }

    fn weight(&self, id: WeightId) -> Result<Vec<f32>, WeightError> {
        self.program.weight(id).materialise(self.weights)
    }

    /// A value of the plan's own.
    fn value(&mut self, size: usize) -> usize {
        self.sizes.push(size);
        self.sizes.len() - 1
    }

    /// Gives each value its buffer.
    fn place(self) -> Plan {
        let (kernels, accesses): (Vec<Kernel>, Vec<Access>) = self.steps.into_iter().unzip();
        let arena = Arena::new(&accesses, &self.sizes, self.program.output.0);
        let written = |value: usize| (arena.places[value].unwrap_or_default(), self.sizes[value]);
        let read = |value: usize| match arena.places[value] {
            Some(buffer) => Place::Buffer(buffer, self.sizes[value]),
            None => Place::Staged,
        };
        let steps = kernels.into_iter().zip(&accesses).map(|(kernel, access)| Step {
            kernel,
            input: read(access.reads[0]),
            residual: access.reads.get(1).map(|value| read(*value)),
            scratch: access.scratch.map(written),
            output: written(access.writes),
        });
        Plan {
            steps: steps.collect(),
            output: written(self.program.output.0).0,
            classes: self.program.classes(),
            buffers: arena.buffers,
        }
    }
}
