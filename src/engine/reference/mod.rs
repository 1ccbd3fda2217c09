//! The reference engine: the judge of all others. It runs a program as it is given, operation by operation, in plain loops
//! over f64. It fuses nothing and folds nothing. Not here: speed; nobody serves with it.

mod attention;
mod depthwise;
mod grn;
mod linear;
mod map;
mod merge;
mod norm;
mod patchify;
mod pointwise;
mod pool;
mod unfold;

use std::sync::Arc;

use super::host::{self, Ingest};
use super::{
    Batch, BatchId, Buckets, DeviceId, DeviceInfo, DeviceKind, Engine, Executable, LeasePool, LoadError, Loaded,
    MemoryUse, Options, Precision, RunError,
};
use crate::program::{Op, Program, TensorId, WeightId, WeightSource};

pub(crate) use map::Map;
// the twins against which fast kernels are tested
#[cfg(test)]
pub(crate) use {
    attention::attention, depthwise::depthwise, grn::grn, linear::gelu, linear::linear, merge::merge, norm::norm,
    patchify::patchify, pointwise::activate, pointwise::offset, pool::pool, unfold::unfold,
};

/// Runs programs by the definitions of their operations.
#[derive(Clone, Debug)]
pub struct Reference {
    devices: [DeviceInfo; 1],
}

impl Default for Reference {
    fn default() -> Self {
        Self { devices: [DeviceInfo::named(NAME, DeviceKind::Test)] }
    }
}

const NAME: &str = "reference";

impl Engine for Reference {
    fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    /// Nothing in f32: weights are read in f32 and computed with in f64.
    fn unsupported(&self, _program: &Program, precision: Precision) -> Vec<String> {
        if precision == Precision::F32 {
            Vec::new()
        } else {
            vec!["the reference engine has f32 weights only".to_owned()]
        }
    }

    fn load(
        &self,
        _device: DeviceId,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<dyn Loaded>, LoadError> {
        let ingest = host::accept(self, NAME, program, options)?;
        let weights = program.weights.iter().map(|weight| weight.materialise(weights)).collect::<Result<_, _>>()?;
        Ok(Arc::new(LoadedReference(Arc::new(Model { program: program.clone(), weights, ingest }))))
    }
}

/// A program and its weights.
struct Model {
    program: Program,
    /// By [`WeightId`].
    weights: Vec<Vec<f32>>,
    ingest: Ingest,
}

/// A loaded program. Its executables share it.
struct LoadedReference(Arc<Model>);

impl Loaded for LoadedReference {
    fn memory(&self) -> MemoryUse {
        let weights: usize = self.0.weights.iter().map(|weight| size_of_val(&weight[..])).sum();
        MemoryUse { weights: weights as u64, executable: 0 }
    }

    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError> {
        let ingest = &self.0.ingest;
        Ok(Box::new(Interpreter {
            model: Arc::clone(&self.0),
            buckets: Buckets::Any(ingest.max_batch()),
            leases: LeasePool::plain(ingest.len(), ingest.max_batch()),
            launched: None,
            batches: 0,
        }))
    }
}

/// Runs a batch as soon as it is launched.
struct Interpreter {
    model: Arc<Model>,
    buckets: Buckets,
    leases: Arc<LeasePool>,
    /// The batch in flight and its logits.
    launched: Option<(BatchId, Vec<f32>)>,
    batches: u64,
}

impl Executable for Interpreter {
    fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    fn in_flight(&self) -> usize {
        1
    }

    fn classes(&self) -> usize {
        self.model.program.classes()
    }

    fn leases(&self) -> &Arc<LeasePool> {
        &self.leases
    }

    fn launch(&mut self, batch: Batch) -> Result<BatchId, RunError> {
        host::may_launch(self.launched.is_some())?;
        let Model { ingest, .. } = &*self.model;
        ingest.check(&batch)?;
        let mut normalised = vec![0.0; ingest.len()];
        let mut logits = Vec::with_capacity(batch.len() * self.classes());
        for image in batch.images() {
            ingest.normalise(image, &mut normalised);
            logits.extend(self.model.logits(&normalised));
        }
        self.batches += 1;
        self.launched = Some((BatchId(self.batches), logits));
        Ok(BatchId(self.batches))
    }

    fn finish(&mut self, batch: BatchId, logits: &mut [f32]) -> Result<(), RunError> {
        let launched = self.launched.as_ref().map(|(id, computed)| (*id, computed.len()));
        host::may_finish(batch, launched, logits.len())?;
        if let Some((_, computed)) = self.launched.take() {
            logits.copy_from_slice(&computed);
        }
        Ok(())
    }
}

impl Model {
    /// The logits of one normalised image.
    fn logits(&self, image: &[f32]) -> Vec<f32> {
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
            Op::Norm(op) => {
                let affine = op.affine.map(|a| (weight(a.scale), weight(a.shift)));
                norm::norm(map(op.input), op.kind, affine, op.eps)
            }
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
            Op::Unfold(op) => unfold::unfold(map(op.input), op.squares),
            Op::Activate(op) => pointwise::activate(map(op.input), op.function),
            Op::Offset(op) => pointwise::offset(map(op.input), weight(op.weight)),
            Op::Pool(op) => pool::pool(map(op.input)),
        }
    }
}
