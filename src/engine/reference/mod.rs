//! The reference engine: the judge of all others. It runs a program as it is given, operation by operation, in plain loops
//! over f64. It fuses nothing, folds nothing and is slow; nobody serves with it.

mod attention;
mod depthwise;
mod grn;
mod linear;
mod map;
mod merge;
mod norm;
mod patchify;
mod pool;

use super::slots::Slots;
use super::{Buckets, Engine, Executable, Input, LoadError, Options, RunError};
use crate::program::{Op, Program, TensorId, WeightId, WeightSource};

pub(crate) use map::Map;
// the twins against which fast kernels are tested
#[cfg(test)]
pub(crate) use {
    attention::attention, depthwise::depthwise, grn::grn, linear::gelu, linear::linear, merge::merge, norm::norm,
    patchify::patchify, pool::pool,
};

/// Runs programs by the definitions of their operations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Engine for Reference {
    fn device(&self) -> &str {
        "reference"
    }

    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Box<dyn Executable>, LoadError> {
        let broken = |why| LoadError::Program { architecture: program.architecture.clone(), why };
        program.check().map_err(broken)?;
        let weights = program.weights.iter().map(|weight| weight.materialise(weights)).collect::<Result<_, _>>()?;
        let slots = Slots::new(self.device(), program.input, options)?;
        Ok(Box::new(Interpreter { program: program.clone(), weights, slots, logits: Vec::new(), launched: false }))
    }
}

/// A program and its weights, interpreted.
struct Interpreter {
    program: Program,
    /// By [`WeightId`].
    weights: Vec<Vec<f32>>,
    slots: Slots,
    /// Of the last launch, `[batch, classes]`.
    logits: Vec<f32>,
    /// Whether they wait to be finished.
    launched: bool,
}

impl Executable for Interpreter {
    fn buckets(&self) -> Buckets {
        Buckets::Any(self.slots.count())
    }

    fn stage(&mut self, slot: usize, input: Input<'_>) -> Result<(), RunError> {
        self.slots.stage(slot, input)
    }

    fn launch(&mut self, slots: &[usize]) -> Result<(), RunError> {
        self.slots.check_batch(slots)?;
        self.logits = slots.iter().flat_map(|slot| self.run(self.slots.image(*slot))).collect();
        self.launched = true;
        Ok(())
    }

    fn finish(&mut self) -> Result<&[f32], RunError> {
        if !std::mem::take(&mut self.launched) {
            return Err(RunError::Input("no batch was launched".to_owned()));
        }
        Ok(&self.logits)
    }
}

impl Interpreter {
    /// The logits of one image.
    fn run(&self, image: &[f32]) -> Vec<f32> {
        let program = &self.program;
        let readers = program.readers();
        let mut maps: Vec<Option<Map>> = vec![None; program.tensors.len()];
        maps[Program::INPUT.0] = Some(Map::new(program.shape(Program::INPUT), image));
        for (index, (_, op)) in program.ops.iter().enumerate() {
            let output = self.apply(op, &maps);
            maps[op.output().0] = Some(output);
            for read in op.inputs() {
                if readers[read.0].last() == Some(&index) && read != program.output {
                    maps[read.0] = None;
                }
            }
        }
        maps[program.output.0].iter().flat_map(|logits| &logits.values).map(|value| *value as f32).collect()
    }

    /// The output of one operation.
    fn apply(&self, op: &Op, maps: &[Option<Map>]) -> Map {
        let map = |id: TensorId| -> &Map { maps[id.0].as_ref().unwrap_or_else(|| unreachable!("Program::check")) };
        let weight = |id: WeightId| self.weights[id.0].as_slice();
        match op {
            Op::Patchify(op) => patchify::patchify(map(op.input), op.size, weight(op.weight), weight(op.bias)),
            Op::Depthwise(op) => depthwise::depthwise(map(op.input), op.kernel, weight(op.weight), weight(op.bias)),
            Op::Norm(op) => norm::norm(map(op.input), op.affine.map(|a| (weight(a.scale), weight(a.shift))), op.eps),
            Op::Linear(op) => linear::linear(
                map(op.input),
                weight(op.weight),
                weight(op.bias),
                op.activation,
                op.scale.map(weight),
                op.residual.map(map),
            ),
            Op::Grn(op) => grn::grn(map(op.input), weight(op.scale), weight(op.shift), op.eps),
            Op::Attention(op) => {
                attention::attention(map(op.input), op.heads, &op.windows, weight(op.bias), op.padding.map(weight))
            }
            Op::Merge(op) => merge::merge(map(op.input)),
            Op::Pool(op) => pool::pool(map(op.input)),
        }
    }
}
