//! A mock engine that a test conducts: it can hold batches, fail, panic, lose its device, and remembers what it ran.
//!
//! Its network has six classes and an image of 4×4 pixels; an image of the grey value `40·c` is of class `c`, so that an
//! answer tells which image it is of.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use convnext_server::checkpoint::Checkpoint;
use convnext_server::engine::{Buckets, Engine, Executable, Input, LoadError, Options, RunError};
use convnext_server::model::{Spec, convnext};
use convnext_server::pixels::{CropRounding, Filter, Fit, Transform};
use convnext_server::program::{InputSpec, Program, RandomWeights, WeightSource};
use convnext_server::service::{Classifier, NamedModel, Settings};

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

    /// Forgets the batches so far.
    pub fn forget(&self) {
        self.with(|state| {
            state.batches.clear();
            state.begun = 0;
        });
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

pub struct MockEngine(pub Conductor);

impl Engine for MockEngine {
    fn device(&self) -> &str {
        "mock"
    }

    fn compile(
        &self,
        program: &Program,
        _: &dyn WeightSource,
        options: &Options,
    ) -> Result<Box<dyn Executable>, LoadError> {
        if program.architecture == "unloadable" {
            return Err(LoadError::Device { device: "mock".into(), why: "no room for unloadable".into() });
        }
        let slots = vec![0; options.max_batch];
        let name = program.architecture.clone();
        Ok(Box::new(MockExecutable { conductor: self.0.clone(), name, slots, launched: vec![], logits: vec![] }))
    }
}

struct MockExecutable {
    conductor: Conductor,
    name: String,
    slots: Vec<usize>,
    launched: Vec<usize>,
    logits: Vec<f32>,
}

impl Executable for MockExecutable {
    fn buckets(&self) -> Buckets {
        Buckets::Any(self.slots.len())
    }

    fn stage(&mut self, slot: usize, input: Input<'_>) -> Result<(), RunError> {
        let Input::Rgb8(pixels) = input else { return Err(RunError::Input("pixels only".into())) };
        assert_eq!(pixels.len(), 4 * 4 * 3);
        self.slots[slot] = usize::from(pixels[0] / 40);
        Ok(())
    }

    fn launch(&mut self, slots: &[usize]) -> Result<(), RunError> {
        self.launched = slots.iter().map(|slot| self.slots[*slot]).collect();
        Ok(())
    }

    fn finish(&mut self) -> Result<&[f32], RunError> {
        let (lock, bell) = &*self.conductor.shared;
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
        if fault != Fault::NotANumber {
            state.fault = Fault::None;
        }
        state.batches.push((self.name.clone(), self.launched.clone()));
        drop(state);
        match fault {
            Fault::Batch => return Err(RunError::Batch("planted".into())),
            Fault::DeviceLost => return Err(RunError::DeviceLost("planted".into())),
            Fault::Panic => panic!("planted"),
            Fault::None | Fault::NotANumber => {}
        }
        let logit = |image: usize, class: usize| match fault {
            Fault::NotANumber if image == 3 => f32::NAN,
            _ => -(image.abs_diff(class) as f32),
        };
        self.logits = self.launched.iter().flat_map(|image| (0..CLASSES).map(move |c| logit(*image, c))).collect();
        Ok(&self.logits)
    }
}

/// A model of the mock engine, known in its batches by `architecture`.
pub fn model(name: &str, architecture: &str) -> NamedModel {
    let spec = convnext::Spec {
        name: architecture.to_owned(),
        depths: vec![1],
        widths: vec![4],
        classes: CLASSES,
        kernels: vec![7],
        ..convnext::Spec::published("convnext_atto").unwrap()
    };
    let program = Spec::ConvNext(spec).program(InputSpec::imagenet(4)).unwrap();
    NamedModel {
        name: name.to_owned(),
        checkpoint: Checkpoint {
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
        },
        baseline: None,
    }
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
    let models = models.iter().map(|name| model(name, name)).collect();
    let engine = Arc::new(MockEngine(conductor.clone()));
    let (classifier, loading) = Classifier::start(engine, models, settings).unwrap();
    loading.done().await.unwrap();
    conductor.forget();
    (classifier, conductor)
}

/// Images of a model that wait in its queue, as the metrics say.
pub fn waiting(classifier: &Classifier, model: &str) -> usize {
    metric(classifier, &format!("convnext_queue_images{{model=\"{model}\"}}")) as usize
}

/// The value of a series.
pub fn metric(classifier: &Classifier, series: &str) -> f64 {
    let text = String::from_utf8(classifier.scrape().unwrap().0).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series {series} in\n{text}")).parse().unwrap()
}
