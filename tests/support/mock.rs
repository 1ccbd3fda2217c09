//! A mock engine that a test conducts: it can hold batches, fail, panic, lose its device, and remembers what it ran. It may have
//! several devices, and batches in flight on each.
//!
//! Its network has six classes and an image of 4×4 pixels; an image of the grey value `40·c` is of class `c`, so that an
//! answer tells which image it is of.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use convnext_server::checkpoint::{Checkpoint, CheckpointError};
use convnext_server::engine::{
    Batch, BatchId, Buckets, DeviceId, DeviceInfo, DeviceKind, Engine, Executable, Image, LeasePool, LoadError, Loaded,
    MemoryUse, Options, PixelFormat, Precision, RunError,
};
use convnext_server::model::{Spec, convnext};
use convnext_server::pixels::{CropRounding, Filter, Fit, Transform};
use convnext_server::program::{InputSpec, Program, RandomWeights, WeightSource};
use convnext_server::service::{Admission, Classifier, ModelSource, NamedModel, Settings, Ticket};

pub const CLASSES: usize = 6;
/// No test waits longer for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the next batches do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// The batch fails; the next may not.
    Batch,
    Panic,
    DeviceLost,
    /// Every logit of images of class 3 is not a number.
    NotANumber,
    /// What is computed is found to be wrong before a model serves.
    SelfCheck,
}

#[derive(Debug, Default)]
struct State {
    /// Batches may begin; they block while it is false.
    held: bool,
    /// Batches that still may begin although held.
    permits: usize,
    fault: Fault,
    /// Batches that have begun.
    begun: usize,
    /// The classes of the images of each batch that ran, with its model's architecture.
    batches: Vec<(String, Vec<usize>)>,
    /// The device of each.
    devices: Vec<usize>,
    /// Models that are on a device now.
    loaded: usize,
    /// Weights may not go onto a device; loads block while it is true.
    loads_held: bool,
    /// Loads that block.
    loading: usize,
    /// The pools of all executables.
    leases: Vec<Arc<LeasePool>>,
}

/// The conductor's end.
#[derive(Clone, Debug, Default)]
pub struct Conductor {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Conductor {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
        result
    }

    /// Batches block as they begin.
    pub fn hold(&self) {
        self.with(|state| state.held = true);
    }

    pub fn release(&self) {
        self.with(|state| state.held = false);
    }

    /// Lets `count` held batches through.
    pub fn permit(&self, count: usize) {
        self.with(|state| state.permits += count);
    }

    pub fn fault(&self, fault: Fault) {
        self.with(|state| state.fault = fault);
    }

    /// The batches so far, warm-up left out.
    pub fn batches(&self) -> Vec<(String, Vec<usize>)> {
        self.with(|state| state.batches.clone())
    }

    /// The devices of those batches.
    pub fn devices(&self) -> Vec<usize> {
        self.with(|state| state.devices.clone())
    }

    /// Models that are on a device now, each once per device.
    pub fn loaded(&self) -> usize {
        self.with(|state| state.loaded)
    }

    /// Leases that are out now.
    pub fn lent(&self) -> usize {
        self.with(|state| state.leases.iter().map(|pool| pool.lent()).sum())
    }

    /// Loads block as they begin.
    pub fn hold_loads(&self) {
        self.with(|state| state.loads_held = true);
    }

    pub fn release_loads(&self) {
        self.with(|state| state.loads_held = false);
    }

    /// Loads that block now.
    pub fn loading(&self) -> usize {
        self.with(|state| state.loading)
    }

    /// Blocks a load while loads are held.
    fn begin_load(&self) {
        let (state, bell) = &*self.shared;
        let mut guard = state.lock().unwrap();
        guard.loading += 1;
        let (mut guard, late) = bell.wait_timeout_while(guard, PATIENCE, |state| state.loads_held).unwrap();
        guard.loading -= 1;
        assert!(!late.timed_out(), "a load was held for ever");
    }

    /// Forgets the batches so far.
    pub fn forget(&self) {
        self.with(|state| {
            state.batches.clear();
            state.devices.clear();
            state.begun = 0;
        });
    }

    /// Whether so many batches have begun since [`forget`](Self::forget).
    pub fn has_begun(&self, count: usize) -> bool {
        self.with(|state| state.begun >= count)
    }

    /// Waits until so many batches have begun since [`forget`](Self::forget).
    pub fn wait_until_begun(&self, count: usize) {
        let (state, bell) = &*self.shared;
        let guard = state.lock().unwrap();
        let (_guard, late) = bell.wait_timeout_while(guard, PATIENCE, |state| state.begun < count).unwrap();
        assert!(!late.timed_out(), "batch {count} never began");
    }
}

/// Waits for what another thread is about to bring about.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// The same where the test's own runtime must go on meanwhile.
pub async fn becomes(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An engine that does what its conductor says.
pub struct MockEngine {
    conductor: Conductor,
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
        if !matches!(fault, Fault::NotANumber | Fault::SelfCheck) {
            state.fault = Fault::None;
        }
        state.batches.push((self.of.name.clone(), images.clone()));
        state.devices.push(self.of.device);
        drop(state);
        match fault {
            Fault::Batch => return Err(RunError::Batch("planted".into())),
            Fault::DeviceLost => return Err(RunError::DeviceLost("planted".into())),
            Fault::Panic => panic!("planted"),
            Fault::None | Fault::NotANumber | Fault::SelfCheck => {}
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

/// A checkpoint that the mock engine runs, known in its batches by `architecture`.
pub fn checkpoint(architecture: &str) -> Checkpoint {
    let spec = convnext::Spec {
        name: architecture.to_owned(),
        depths: vec![1],
        widths: vec![4],
        classes: CLASSES,
        kernels: vec![7],
        ..convnext::Spec::published("convnext_atto").unwrap()
    };
    let program = Spec::ConvNext(spec).program(InputSpec::imagenet(4)).unwrap();
    Checkpoint {
        weights: Box::new(RandomWeights::new(&program, 0)),
        program,
        transform: Transform {
            height: 4,
            width: 4,
            fit: Fit::Exact(4, 4),
            rounding: CropRounding::Down,
            filter: Filter::Bilinear,
        },
        labels: (0..CLASSES).map(|class| format!("class {class}")).collect(),
        origin: "mock".to_owned(),
    }
}

/// A model of the mock engine.
pub fn model(name: &str, architecture: &str) -> NamedModel {
    let architecture = architecture.to_owned();
    model_from(name, Arc::new(move || Ok(checkpoint(&architecture))))
}

/// A model that is opened each time as the test says.
pub fn model_from(name: &str, source: ModelSource) -> NamedModel {
    NamedModel { name: name.to_owned(), source, baseline: None }
}

/// An error of a checkpoint.
pub fn broken(why: &str) -> CheckpointError {
    CheckpointError::NotFound { path: "mock".into(), why: why.to_owned() }
}

/// A BMP of 4×4 pixels of the class; a format whose bytes a test can write down.
pub fn image(class: usize) -> Bytes {
    let (grey, side) = (40 * class as u8 + 1, 4u32);
    let mut file = b"BM".to_vec();
    let size = 54 + side * side * 3;
    for word in [size, 0, 54, 40, side, side] {
        file.extend(word.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    file.extend(vec![grey; (side * side * 3) as usize]);
    file.into()
}

/// A loaded classifier over the models of these names, and its conductor, which has forgotten the warm-up.
pub async fn classifier(models: &[&str], settings: Settings) -> (Classifier, Conductor) {
    let conductor = Conductor::default();
    let engine = MockEngine::new(&conductor);
    (classifier_on(engine, models, settings).await, conductor)
}

/// The same on an engine of the test's own.
pub async fn classifier_on(engine: MockEngine, models: &[&str], settings: Settings) -> Classifier {
    let conductor = engine.conductor.clone();
    let models = models.iter().map(|name| model(name, name)).collect();
    let (classifier, loading) = Classifier::start(Arc::new(engine), models, settings).unwrap();
    loading.done().await.unwrap();
    conductor.forget();
    classifier
}

/// A ticket for a model.
pub fn admit(classifier: &Classifier, model: &str) -> Result<Ticket, convnext_server::service::ServiceError> {
    classifier.admit(Admission { model: Some(model), body_bytes: Some(10), ..Admission::default() })
}

/// Images of a model that wait in its queue, as the metrics say.
pub fn waiting(classifier: &Classifier, model: &str) -> usize {
    metric(classifier, &format!("convnext_queue_images{{model=\"{model}\"}}")) as usize
}

/// The account of requests: received, succeeded, failed, rejected, cancelled.
pub fn account(classifier: &Classifier) -> [u64; 5] {
    let text = String::from_utf8(classifier.scrape().unwrap().0).unwrap();
    ["received_total", "succeeded_total", "failed_total", "rejected_total", "cancelled_total"].map(|name| {
        let series = format!("convnext_{name}");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&series));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    })
}

/// The value of a series.
pub fn metric(classifier: &Classifier, series: &str) -> f64 {
    let text = String::from_utf8(classifier.scrape().unwrap().0).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series {series} in\n{text}")).parse().unwrap()
}
