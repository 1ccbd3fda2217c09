//! One case: arrays on the device with numbers from a seed, an operation on them, and the comparison. Not here: the cases.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::cuda::array::{Array, Contents};
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::driver::gpu::Gpu;
use crate::engine::cuda::driver::memory::Allocation;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::{Operands, Operation, TICKET_BYTES};

/// Makes the operation, its weights first.
type Make = Box<dyn FnOnce(&mut Weights) -> Result<Box<dyn Operation>, DriverError>>;

/// An operation on numbers from a seed.
pub(crate) struct Case {
    /// The operation, its type and its shape.
    pub(crate) name: String,
    pub(crate) images: usize,
    /// Of the input's numbers.
    pub(crate) input: Type,
    pub(crate) output: Type,
    /// The numbers of the input: what to multiply numbers from −1 to 1 with, and what to add then.
    pub(crate) spread: (f32, f32),
    /// The bytes of the input, where it is no numbers from a seed.
    pub(crate) stored: Option<Vec<u8>>,
    /// Whether the residual is the output itself, as in a network.
    pub(crate) in_place: bool,
    pub(crate) make: Make,
}

impl Case {
    /// A case whose input and output are of one type, with inputs from −1 to 1.
    pub(crate) fn new(
        name: String,
        ty: Type,
        images: usize,
        make: impl FnOnce(&mut Weights) -> Result<Box<dyn Operation>, DriverError> + 'static,
    ) -> Self {
        let name = format!("{name}, {}, {images} images", ty.name());
        let (spread, make) = ((1.0, 0.0), Box::new(make));
        Self { name, images, input: ty, output: ty, spread, stored: None, in_place: false, make }
    }

    /// Runs it twice. The largest error as a share of its bound, and the number that is the furthest off when it is too far or when the two runs
    /// differ.
    pub(crate) fn run(self, gpu: &Arc<Gpu>) -> Result<(f64, Option<String>), DriverError> {
        let mut weights =
            Weights { gpu: Arc::clone(gpu), allocations: Vec::new(), random: fastrand::Rng::with_seed(1) };
        let operation = (self.make)(&mut weights)?;
        let needs = operation.needs(&gpu.card, self.images);
        let input = match self.stored {
            Some(bytes) => weights.store(&bytes, self.input)?,
            None => weights.array(needs.input, self.input, self.spread.0, self.spread.1)?,
        };
        let residual =
            if needs.residual > 0 { Some(weights.array(needs.residual, self.output, 1.0, 0.0)?) } else { None };
        let scratch = if needs.scratch > 0 { Some(weights.room(needs.scratch, Type::U8)?) } else { None };
        let tickets = if needs.tickets > 0 {
            Some(weights.store(&vec![0; needs.tickets * TICKET_BYTES], Type::U8)?)
        } else {
            None
        };
        let separate = weights.room(needs.output, self.output)?;
        let output = if self.in_place { residual.unwrap_or(separate) } else { separate };
        let at = Operands { input, residual, output, scratch, tickets };
        let all: Vec<usize> = (0..needs.output).collect();
        // before the launches: a residual in place is gone after them
        let expected = operation.expected(self.images, &at, &Cached::new(gpu), &all)?;
        let before = residual.map(|residual| gpu.read(residual, 0..residual.len)).transpose()?;
        let stream = gpu.context.default_stream();
        let mut runs = Vec::new();
        for _ in 0..2 {
            if let (Some(values), Some(residual)) = (&before, residual) {
                weights.rewrite(residual, values)?;
            }
            for launch in operation.launches(&gpu.card, self.images, &at) {
                gpu.launch(&stream, &launch)?;
            }
            gpu.synchronize()?;
            runs.push(gpu.read(output, 0..needs.output)?);
        }
        let mut worst = (0.0, 0);
        for (index, (found, expected)) in runs[0].iter().zip(&expected).enumerate() {
            let share = (found - expected.value).abs() / expected.bound;
            if share > worst.0 || share.is_nan() {
                worst = (if share.is_nan() { f64::INFINITY } else { share }, index);
            }
        }
        let (share, index) = worst;
        let same = runs[0].iter().zip(&runs[1]).position(|(a, b)| a.to_bits() != b.to_bits());
        let fault = if share > 1.0 {
            let (found, expected) = (runs[0][index], expected[index]);
            Some(format!("number {index} is {found:e} where {:e} ± {:e} is right", expected.value, expected.bound))
        } else {
            same.map(|index| {
                format!("number {index} is {:e}, and {:e} in a second run", runs[0][index], runs[1][index])
            })
        };
        Ok((share, fault))
    }
}

/// Arrays of a case that go with it, and numbers for them.
pub(crate) struct Weights {
    gpu: Arc<Gpu>,
    allocations: Vec<(Array, Allocation)>,
    random: fastrand::Rng,
}

impl Weights {
    /// An array of numbers about `centre`, at most `spread` from it.
    pub(crate) fn array(&mut self, len: usize, ty: Type, spread: f32, centre: f32) -> Result<Array, DriverError> {
        let values = self.numbers(len, spread, centre);
        self.upload(values, ty)
    }

    /// Numbers about `centre`, at most `spread` from it.
    pub(crate) fn numbers(&mut self, len: usize, spread: f32, centre: f32) -> Vec<f32> {
        (0..len).map(|_| (2.0 * self.random.f32() - 1.0) * spread + centre).collect()
    }

    /// An array of these numbers, rounded.
    pub(crate) fn upload(&mut self, values: Vec<f32>, ty: Type) -> Result<Array, DriverError> {
        self.store(&ty.encode(values), ty)
    }

    /// An array of these bytes.
    fn store(&mut self, bytes: &[u8], ty: Type) -> Result<Array, DriverError> {
        let array = self.room(bytes.len() / ty.bytes(), ty)?;
        if let Some((_, memory)) = self.allocations.last() {
            memory.write(0, bytes)?;
        }
        Ok(array)
    }

    /// An array of numbers that nobody wrote.
    fn room(&mut self, len: usize, ty: Type) -> Result<Array, DriverError> {
        let memory = Allocation::new(&self.gpu, len * ty.bytes())?;
        let array = memory.array(0, len, ty);
        self.allocations.push((array, memory));
        Ok(array)
    }

    fn rewrite(&self, array: Array, values: &[f64]) -> Result<(), DriverError> {
        let memory = self.allocations.iter().find(|(other, _)| *other == array);
        let bytes = array.ty.encode(values.iter().map(|value| *value as f32));
        memory.map_or(Ok(()), |(_, memory)| memory.write(0, &bytes))
    }
}

/// Each array copied once, for an operation of which every number is asked for.
struct Cached<'a> {
    gpu: &'a Gpu,
    arrays: Mutex<HashMap<u64, Vec<f64>>>,
}

impl<'a> Cached<'a> {
    fn new(gpu: &'a Gpu) -> Self {
        Self { gpu, arrays: Mutex::default() }
    }
}

impl Contents for Cached<'_> {
    fn read(&self, array: Array, range: Range<usize>) -> Result<Vec<f64>, DriverError> {
        let mut arrays = self.arrays.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(values) = arrays.get(&array.address) {
            return Ok(values[range].to_vec());
        }
        let values = self.gpu.read(array, 0..array.len)?;
        let part = values[range].to_vec();
        arrays.insert(array.address, values);
        Ok(part)
    }
}
