//! The weights of a program on a device, tensor by tensor, in the types in which kernels read them.
//!
//! Not here: which kernel reads them (`plan`).

use std::collections::HashMap;
use std::sync::Arc;

use super::array::Array;
use super::driver::error::DriverError;
use super::driver::gpu::Gpu;
use super::driver::memory::{ALIGNMENT, Allocation};
use super::number::Type;
use super::operations::patch_embedding;
use crate::program::{Op, Program, WeightError, WeightId, WeightSource};

/// Weights on a device, and what their type has done to them.
pub(crate) struct Weights {
    /// None where they are only imagined.
    memory: Option<Allocation>,
    arrays: HashMap<WeightId, Array>,
    pub(crate) rounding: Rounding,
}

/// Numbers that a narrower type cannot hold as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rounding {
    /// Numbers beyond the largest, which would become infinite.
    pub(crate) overflows: u64,
    /// Numbers that are not zero and smaller than the smallest normal number: they lose digits.
    pub(crate) subnormal: u64,
    /// The tensor that has the first overflow.
    pub(crate) tensor: Option<usize>,
}

/// Weights could not be put on a device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl Weights {
    /// Bytes that the weights of a program take.
    pub(crate) fn bytes(program: &Program, ty: Type) -> usize {
        layout(program, ty).1
    }

    /// Reads, converts and copies every weight of a program, one at a time.
    pub(crate) fn upload(
        gpu: &Arc<Gpu>,
        program: &Program,
        source: &dyn WeightSource,
        model: Type,
    ) -> Result<Self, UploadError> {
        let (places, bytes) = layout(program, model);
        let memory = Allocation::new(gpu, bytes)?;
        let mut arrays = HashMap::new();
        let mut rounding = Rounding::default();
        let stem = stem(program);
        for (index, (decl, (offset, ty))) in program.weights.iter().zip(&places).enumerate() {
            let mut values = decl.materialise(source)?;
            // the stem's weight takes the bytes of images as they are, and so its bias is another too
            if let Some((weight, bias)) = stem.filter(|(weight, bias)| [*weight, *bias].contains(&WeightId(index))) {
                let other = program.weight(if weight.0 == index { bias } else { weight }).materialise(source)?;
                let (of_weight, of_bias) = if weight.0 == index { (&values, &other) } else { (&other, &values) };
                let prepared = patch_embedding::prepare(of_weight, of_bias, &program.input);
                values = if weight.0 == index { prepared.0 } else { prepared.1 };
            }
            // tensor cores multiply with parts of the stem's weight, of which the first is as large as it
            let multiplied = if stem.is_some_and(|(weight, _)| weight == WeightId(index)) { model } else { *ty };
            rounding.count(index, &values, multiplied);
            let array = memory.array(*offset, values.len(), *ty);
            memory.write(*offset, &ty.encode(values))?;
            arrays.insert(WeightId(index), array);
        }
        gpu.settle()?;
        Ok(Self { memory: Some(memory), arrays, rounding })
    }

    /// Where the weights of a program would lie, for a plan that nobody runs.
    #[cfg(test)]
    pub(crate) fn imagined(program: &Program, ty: Type) -> Self {
        let (places, _) = layout(program, ty);
        let array = |(index, (offset, ty)): (usize, &(usize, Type))| {
            let address = (ALIGNMENT + offset) as u64;
            (WeightId(index), Array { address, len: program.weights[index].len(), ty: *ty })
        };
        Self { memory: None, arrays: places.iter().enumerate().map(array).collect(), rounding: Rounding::default() }
    }

    /// Their size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.memory.as_ref().map_or(0, Allocation::bytes)
    }

    /// Where a weight lies; every weight of the program is there.
    pub(crate) fn array(&self, weight: WeightId) -> Array {
        self.arrays[&weight]
    }
}

impl Rounding {
    fn count(&mut self, tensor: usize, values: &[f32], ty: Type) {
        let (largest, smallest) = match ty {
            // what rounds to infinity, and the smallest normal number
            Type::F16 => (65520.0, f32::from(half::f16::MIN_POSITIVE)),
            Type::Bf16 => (f32::from(half::bf16::MAX), f32::MIN_POSITIVE),
            Type::F32 | Type::U8 => return,
        };
        let overflows = values.iter().filter(|value| value.abs() >= largest).count() as u64;
        if overflows > 0 {
            self.tensor.get_or_insert(tensor);
        }
        self.overflows += overflows;
        self.subnormal += values.iter().filter(|value| **value != 0.0 && value.abs() < smallest).count() as u64;
    }
}

/// Offset and type of each weight, and the size of all. Matrices are of the model's type, all else is f32: what is added or multiplied once per
/// output costs nothing in f32, and layer scale begins below f16's smallest number. The stem's kernel makes two parts of its weight, so it has all of
/// it.
fn layout(program: &Program, ty: Type) -> (Vec<(usize, Type)>, usize) {
    let mut types = vec![Type::F32; program.weights.len()];
    for (_, op) in &program.ops {
        match op {
            Op::Patchify(op) if op.input != Program::INPUT => types[op.weight.0] = ty,
            Op::Linear(op) => types[op.weight.0] = ty,
            Op::Patchify(_)
            | Op::Depthwise(_)
            | Op::Norm(_)
            | Op::Grn(_)
            | Op::Attention(_)
            | Op::Merge(_)
            | Op::Unfold(_)
            | Op::Activate(_)
            | Op::Offset(_)
            | Op::Pool(_) => {}
        }
    }
    let mut end = 0;
    let place = |(decl, ty): (&crate::program::WeightDecl, Type)| {
        let offset = end;
        end += (decl.len() * ty.bytes()).next_multiple_of(ALIGNMENT);
        (offset, ty)
    };
    let places = program.weights.iter().zip(types).map(place).collect();
    (places, end)
}

/// Weight and bias of the operation that reads the image.
fn stem(program: &Program) -> Option<(WeightId, WeightId)> {
    program.ops.iter().find_map(|(_, op)| match op {
        Op::Patchify(op) if op.input == Program::INPUT => Some((op.weight, op.bias)),
        _ => None,
    })
}
