//! The plan of a program for one bucket: steps in running order, and where their values lie.
//!
//! `fuse` decides which operations become one step, `arena` which values share memory. Not here: the kernels (`operations`), who runs them
//! (`executable`).

mod arena;
mod fuse;

use arena::{Piece, place};
pub(crate) use fuse::unsupported;

use super::array::Array;
use super::card::Card;
use super::launch::Launch;
use super::number::Type;
use super::operations::{Operands, Operation, TICKET_BYTES};
use super::weights::Weights;
use crate::program::Program;

/// A value that a step reads or writes: an index into [`Plan::values`].
pub(crate) type ValueId = usize;

/// Numbers of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// How many there are, for all images.
    pub(crate) len: usize,
    pub(crate) ty: Type,
}

/// One step: an operation of a kernel, and the operations of the network that it computes.
pub(crate) struct Step {
    pub(crate) operation: Box<dyn Operation>,
    /// Their names, as `stages.0.blocks.0.norm`.
    pub(crate) names: Vec<String>,
    pub(crate) input: ValueId,
    pub(crate) residual: Option<ValueId>,
    pub(crate) output: ValueId,
}

/// A program for batches of one size on one kind of card.
pub(crate) struct Plan {
    /// Images of a batch.
    pub(crate) images: usize,
    pub(crate) steps: Vec<Step>,
    values: Vec<Value>,
    /// Offset of each value, and of each step's scratch memory, in the arena; None for what lies elsewhere.
    offsets: Vec<Option<usize>>,
    scratch: Vec<Option<(usize, usize)>>,
    /// Bytes of each step's counters.
    tickets_of: Vec<usize>,
    /// Bytes of the arena.
    pub(crate) arena: usize,
    /// Bytes of the counters, which steps share.
    pub(crate) tickets: usize,
}

/// The value of the images, which lie in a slot.
pub(crate) const IMAGES: ValueId = 0;

/// Memory of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// The slot of the images, in bytes.
    pub(crate) images: Array,
    /// As many bytes as [`Plan::arena`].
    pub(crate) arena: Array,
    /// `[images, classes]` in f32.
    pub(crate) logits: Array,
    /// As many bytes as [`Plan::tickets`], all 0.
    pub(crate) tickets: Array,
}

impl Plan {
    /// Plans a program, of which everything is supported, for batches of `images`.
    pub(crate) fn new(program: &Program, weights: &Weights, card: &Card, ty: Type, images: usize) -> Self {
        let fused = fuse::fuse(program, weights, card, ty, images);
        let (steps, values, logits) = (fused.steps, fused.values, fused.logits);
        let last = steps.len().saturating_sub(1);
        // the first and the last step of each value
        let mut uses: Vec<Option<(usize, usize)>> = vec![None; values.len()];
        for (index, step) in steps.iter().enumerate() {
            for value in [step.input, step.output].into_iter().chain(step.residual) {
                let first = uses[value].map_or(index, |(first, _)| first);
                uses[value] = Some((first, index));
            }
        }
        // a residual that nobody reads later is where the result goes
        let mut aliases: Vec<ValueId> = (0..values.len()).collect();
        for (index, step) in steps.iter().enumerate() {
            let Some(residual) = step.residual.map(|value| aliases[value]) else { continue };
            let free = uses[residual].is_some_and(|(_, last)| last == index);
            if free
                && residual != IMAGES
                && values[residual] == values[step.output]
                && step.output != logits
                && step.input != residual
            {
                aliases[step.output] = residual;
                let until = uses[step.output].map_or(last, |(_, last)| last);
                uses[residual] = uses[residual].map(|(first, _)| (first, until));
            }
        }
        let mut pieces = Vec::new();
        let mut piece_of = vec![None; values.len()];
        for (value, numbers) in values.iter().enumerate() {
            let Some((first, last)) =
                uses[value].filter(|_| aliases[value] == value && value != IMAGES && value != logits)
            else {
                continue;
            };
            piece_of[value] = Some(pieces.len());
            pieces.push(Piece { bytes: numbers.len * numbers.ty.bytes(), steps: first..=last });
        }
        let mut scratch_of = Vec::new();
        let mut tickets_of = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let needs = step.operation.needs(card, images);
            tickets_of.push(needs.tickets * TICKET_BYTES);
            let bytes = needs.scratch;
            scratch_of.push((bytes > 0).then(|| {
                pieces.push(Piece { bytes, steps: index..=index });
                (pieces.len() - 1, bytes)
            }));
        }
        let (places, arena) = place(&pieces);
        let offsets = aliases.iter().map(|value| piece_of[*value].map(|piece: usize| places[piece])).collect();
        let scratch = scratch_of.into_iter().map(|piece| piece.map(|(piece, bytes)| (places[piece], bytes))).collect();
        let tickets = tickets_of.iter().copied().max().unwrap_or(0);
        Self { images, steps, values, offsets, scratch, arena, tickets_of, tickets }
    }

    /// All launches of a run, in their order.
    pub(crate) fn launches(&self, card: &Card, memory: &Memory) -> Vec<Launch> {
        let of_step =
            |(index, step): (usize, &Step)| step.operation.launches(card, self.images, &self.operands(index, memory));
        self.steps.iter().enumerate().flat_map(of_step).collect()
    }

    /// Holds what every step needs against what it is given, on which the safety of its launches rests. The error names the step.
    pub(crate) fn check(&self, card: &Card) -> Result<(), String> {
        for step in &self.steps {
            let needs = step.operation.needs(card, self.images);
            let given = |value: ValueId| self.values[value].len;
            let residual = step.residual.map_or(0, given);
            if given(step.input) < needs.input || given(step.output) < needs.output || residual < needs.residual {
                let names = step.names.join(" + ");
                return Err(format!("{names}: {needs:?} is more than its tensors have at batch {}", self.images));
            }
        }
        Ok(())
    }

    /// Where a step reads and writes.
    pub(crate) fn operands(&self, step: usize, memory: &Memory) -> Operands {
        let Step { input, residual, output, .. } = &self.steps[step];
        let array = |value: ValueId| {
            let Value { len, ty } = self.values[value];
            match self.offsets[value] {
                Some(offset) => Array { address: memory.arena.address + offset as u64, len, ty },
                None if value == IMAGES => memory.images.first(len),
                None => memory.logits.first(len),
            }
        };
        let scratch = self.scratch[step].map(|(offset, bytes)| Array {
            address: memory.arena.address + offset as u64,
            len: bytes,
            ty: Type::U8,
        });
        let tickets = Some(self.tickets_of[step]).filter(|bytes| *bytes > 0).map(|bytes| memory.tickets.first(bytes));
        Operands { input: array(*input), residual: residual.map(array), output: array(*output), scratch, tickets }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests;
