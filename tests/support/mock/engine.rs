//! The engine's end: it may have several devices, and batches in flight on each, and does what its conductor says.

use std::collections::VecDeque;
use std::sync::Arc;

use convnext_server::engine::{
    Batch, BatchId, Buckets, DeviceId, DeviceInfo, DeviceKind, Engine, Executable, Image, LeasePool, LoadError, Loaded,
    MemoryUse, Options, PixelFormat, Precision, RunError,
};
use convnext_server::program::{Program, WeightSource};

use super::conductor::{CLASSES, Conductor, Fault, PATIENCE, State};

/// An engine that does what its conductor says.
pub struct MockEngine {
    pub(super) conductor: Conductor,
    devices: Vec<DeviceInfo>,
    buckets: Option<Vec<usize>>,
    in_flight: usize,
}

impl MockEngine {
    /// One device, `mock`, with one batch in flight.
    pub fn new(conductor: &Conductor) -> Self {
        let devices = vec![DeviceInfo::named("mock", DeviceKind::Test)];
        Self { conductor: conductor.clone(), devices, buckets: None, in_flight: 1 }
    }

    /// One device, `mock`, whose speed says nothing.
    pub fn emulated(conductor: &Conductor) -> Self {
        let mut engine = Self::new(conductor);
        engine.devices[0].emulated = true;
        engine
    }

    /// Devices `mock:0`, `mock:1` … like GPUs, with two batches in flight on each and fixed buckets.
    pub fn with_devices(conductor: &Conductor, count: usize) -> Self {
        let device = |index| DeviceInfo::named(&format!("mock:{index}"), DeviceKind::Test);
        let devices = (0..count).map(device).collect();
        Self { conductor: conductor.clone(), devices, buckets: Some(vec![1, 2, 4]), in_flight: 2 }
    }
}

impl Engine for MockEngine {
    fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    fn unsupported(&self, _: &Program, precision: Precision) -> Vec<String> {
        if precision == Precision::F32 { vec![] } else { vec!["stem: nobody taught the mock".to_owned()] }
    }

    fn load(
        &self,
        device: DeviceId,
        program: &Program,
        _: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<dyn Loaded>, LoadError> {
        let name = self.devices[device.0].name.clone();
        if program.architecture == "unloadable" {
            return Err(LoadError::OutOfMemory {
                device: name,
                what: "weights",
                needed: 7_000_000,
                free: Some(5_000_000),
            });
        }
        let operations = self.unsupported(program, options.precision);
        if !operations.is_empty() {
            return Err(LoadError::Unsupported { device: name, precision: options.precision, operations });
        }
        self.conductor.begin_load();
        self.conductor.with(|state| state.loaded += 1);
        let fixed = self.buckets.clone().map(Buckets::Fixed);
        Ok(Arc::new(MockLoaded {
            conductor: self.conductor.clone(),
            name: program.architecture.clone(),
            device: device.0,
            buckets: fixed.unwrap_or(Buckets::Any(options.max_batch)),
            in_flight: self.in_flight,
        }))
    }
}

#[derive(Clone)]
struct MockLoaded {
    conductor: Conductor,
    name: String,
    device: usize,
    buckets: Buckets,
    in_flight: usize,
}

impl Drop for MockLoaded {
    fn drop(&mut self) {
        self.conductor.with(|state| state.loaded -= 1);
    }
}

impl Loaded for MockLoaded {
    fn memory(&self) -> MemoryUse {
        MemoryUse { weights: 1000, executable: 100 }
    }

    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError> {
        let leases = LeasePool::plain(4 * 4 * 3, 3);
        self.conductor.with(|state| {
            state.leases.push(leases.clone());
            state.loaded += 1; // the copy counts itself out
        });
        Ok(Box::new(MockExecutable { of: self.clone(), leases, launched: VecDeque::new(), batches: 0 }))
    }
}

struct MockExecutable {
    of: MockLoaded,
    leases: Arc<LeasePool>,
    launched: VecDeque<(BatchId, Batch)>,
    batches: u64,
}

impl Executable for MockExecutable {
    fn buckets(&self) -> &Buckets {
        &self.of.buckets
    }

    fn in_flight(&self) -> usize {
        self.of.in_flight
    }

    fn classes(&self) -> usize {
        CLASSES
    }

    fn leases(&self) -> &Arc<LeasePool> {
        &self.leases
    }

    fn self_check(&mut self, _: &Program, _: &dyn WeightSource) -> Result<(), LoadError> {
        match self.of.conductor.with(|state| state.fault) {
            Fault::SelfCheck => Err(LoadError::SelfCheck { device: "mock".into(), why: "logit 3 is 7, not 5".into() }),
            _ => Ok(()),
        }
    }

    fn probe(&mut self) -> Result<(), RunError> {
        match self.of.conductor.with(|state| state.fault) {
            Fault::Gone => Err(RunError::DeviceLost("fallen off the bus".into())),
            _ => Ok(()),
        }
    }

    fn launch(&mut self, batch: Batch) -> Result<BatchId, RunError> {
        assert!(self.launched.len() < self.of.in_flight, "more batches in flight than promised");
        assert!(batch.len() <= self.of.buckets.max(), "a batch over the maximum");
        for image in batch.images() {
            assert_eq!(image.bytes().len(), 4 * 4 * 3 * image.format().bytes());
        }
        self.batches += 1;
        self.launched.push_back((BatchId(self.batches), batch));
        Ok(BatchId(self.batches))
    }

    fn finish(&mut self, id: BatchId, logits: &mut [f32]) -> Result<(), RunError> {
        let (launched, batch) = self.launched.pop_front().expect("a batch was launched");
        assert_eq!(launched, id, "the oldest is finished first");
        let images: Vec<usize> = batch.images().iter().map(class_of).collect();
        let (lock, bell) = &*self.of.conductor.shared;
        let mut state = lock.lock().unwrap();
        state.begun += 1;
        bell.notify_all();
        let blocked = |state: &mut State| state.held && state.permits == 0;
        let (mut state, late) = bell.wait_timeout_while(state, PATIENCE, blocked).unwrap();
        assert!(!late.timed_out(), "a batch was held for ever");
        if state.held {
            state.permits -= 1;
        }
        let fault = state.fault;
        if !matches!(fault, Fault::NotANumber | Fault::SelfCheck | Fault::Gone) {
            state.fault = Fault::None;
        }
        state.batches.push((self.of.name.clone(), images.clone()));
        state.devices.push(self.of.device);
        drop(state);
        match fault {
            Fault::Batch => return Err(RunError::Batch("planted".into())),
            Fault::DeviceLost => return Err(RunError::DeviceLost("planted".into())),
            Fault::Panic => panic!("planted"),
            Fault::None | Fault::NotANumber | Fault::SelfCheck | Fault::Gone => {}
        }
        let logit = |image: usize, class: usize| match fault {
            Fault::NotANumber if image == 3 => f32::NAN,
            _ => -(image.abs_diff(class) as f32),
        };
        let all = images.iter().flat_map(|image| (0..CLASSES).map(move |class| logit(*image, class)));
        logits.iter_mut().zip(all).for_each(|(out, logit)| *out = logit);
        Ok(())
    }
}

/// The class of an image: of pixels by their grey value, of a tensor by its first number.
fn class_of(image: &Image) -> usize {
    let bytes = image.bytes();
    match image.format() {
        PixelFormat::Rgb8 => usize::from(bytes[0] / 40),
        PixelFormat::F32 => f32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize,
        PixelFormat::F16 => half::f16::from_le_bytes(bytes[..2].try_into().unwrap()).to_f32() as usize,
    }
}
