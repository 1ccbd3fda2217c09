//! Models beside their baselines, measured on the devices that serve them: after the start, while nobody asks for anything, and by command.
//!
//! Both take turns in each round, so that what disturbs one disturbs the other. Every run is one that a device takes when it has nothing else to do,
//! so that a request waits for one at most; a round in which a request came does not count. Not here: the runs themselves (`device`).

mod rounds;
mod thread;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::dispatcher::Dispatcher;
use super::image::ImageJob;
use super::registry::Registry;
use super::threads::Threads;
use crate::engine::DeviceInfo;
use crate::metrics::Metrics;
use thread::CalibrationThread;

/// How much is measured unasked, of each model that is served beside its baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calibration {
    /// Nothing.
    #[default]
    Off,
    /// Batch 1, and the largest up to 8 that is over within 50 ms; less than a second for small models.
    Quick,
    /// Batches of 1, of 8 and the largest, 20 rounds each.
    Full,
}

/// A measurement that somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchRequest {
    /// The model whose baseline it is measured against; None is every model that has one.
    pub model: Option<String>,
    /// Images of a batch, each in turn.
    pub batches: Vec<usize>,
    /// Of each pair and batch.
    pub duration: Duration,
}

/// What was measured of a model and its baseline on one device, in one batch size.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The model's name.
    pub model: String,
    /// Its program's family.
    pub family: String,
    /// The name of what it is measured against.
    pub baseline: String,
    /// The family of that.
    pub baseline_family: String,
    /// The device.
    pub device: String,
    /// Images of a batch.
    pub batch: usize,
    /// Of the model, the median of all rounds.
    pub images_per_second: f64,
    /// Of the baseline, the median of all rounds.
    pub baseline_images_per_second: f64,
    /// The model's over the baseline's, the median of all rounds.
    pub ratio: f64,
    /// Rounds that count.
    pub rounds: usize,
}

/// Why nothing was measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// There is nothing to measure.
    #[error("{0}")]
    Nothing(String),
    /// What is asked for is no measurement.
    #[error("{0}")]
    Invalid(String),
    /// One is under way, and another waits.
    #[error("a measurement is under way, and another waits already")]
    Busy,
    /// Requests came all the time.
    #[error("requests came all the time, so that nothing could be measured within {} s; none was held up", .0.as_secs())]
    Traffic(Duration),
    /// The service is about to end.
    #[error("the server is stopping")]
    Stopping,
}

enum Message {
    Bench(BenchRequest, oneshot::Sender<Result<Vec<Comparison>, BenchError>>),
    Wake,
}

/// What was measured last, of each model, device and batch size.
#[derive(Clone, Debug, Default)]
pub(super) struct Comparisons(Arc<Mutex<Vec<Comparison>>>);

impl Comparisons {
    fn lock(&self) -> MutexGuard<'_, Vec<Comparison>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of an older one of the same.
    fn put(&self, new: Comparison) {
        let mut all = self.lock();
        let key = |one: &Comparison| (one.model.clone(), one.baseline.clone(), one.device.clone(), one.batch);
        match all.iter_mut().find(|one| key(one) == key(&new)) {
            Some(old) => *old = new,
            None => all.push(new),
        }
    }

    /// Takes out those for which `stays` is false.
    fn retain(&self, mut stays: impl FnMut(&Comparison) -> bool) -> Vec<Comparison> {
        self.lock().extract_if(.., |one| !stays(one)).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Comparison> {
        self.lock().clone()
    }
}

/// The handle of the thread that measures.
#[derive(Debug)]
pub(super) struct Calibrator {
    messages: SyncSender<Message>,
    unasked: Calibration,
    ending: Arc<AtomicBool>,
    pub(super) comparisons: Comparisons,
}

impl Calibrator {
    pub(super) fn start(
        threads: &Arc<Threads>,
        registry: Arc<Registry>,
        dispatcher: Arc<Dispatcher<ImageJob>>,
        metrics: Arc<Metrics>,
        devices: Vec<DeviceInfo>,
        unasked: Calibration,
    ) -> std::io::Result<Self> {
        let (messages, inbox) = sync_channel(1);
        let (ending, comparisons) = (Arc::new(AtomicBool::new(false)), Comparisons::default());
        let thread = CalibrationThread {
            registry,
            dispatcher,
            metrics,
            devices,
            unasked,
            comparisons: comparisons.clone(),
            measured: Vec::new(),
            told: false,
            ending: Arc::clone(&ending),
        };
        threads.spawn("calibration".to_owned(), move || thread.run(&inbox))?;
        Ok(Self { messages, unasked, ending, comparisons })
    }

    /// Why nothing is measured, or not yet.
    pub(super) fn why_not(&self, registry: &Registry, devices: &[DeviceInfo]) -> String {
        match (devices.iter().find(|device| device.emulated), self.unasked) {
            (Some(device), _) => format!("Nothing is measured on {device}: an emulated device's speed says nothing."),
            _ if registry.pairs().is_empty() => "No model is served beside a baseline.".to_owned(),
            (None, Calibration::Off) => {
                "Nothing is measured unasked (--calibrate off); POST /bench on the admin port measures.".to_owned()
            }
            (None, _) => "Not measured yet: that waits until nobody asks for anything.".to_owned(),
        }
    }

    /// Measures as asked, behind what is measured now.
    pub(super) async fn bench(&self, request: BenchRequest) -> Result<Vec<Comparison>, BenchError> {
        let (reply, done) = oneshot::channel();
        self.messages.try_send(Message::Bench(request, reply)).map_err(|error| match error {
            TrySendError::Full(_) => BenchError::Busy,
            TrySendError::Disconnected(_) => BenchError::Stopping,
        })?;
        done.await.unwrap_or(Err(BenchError::Stopping))
    }
}

impl Drop for Calibrator {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // where there is no room, the thread wakes up anyway
        let _ = self.messages.try_send(Message::Wake);
    }
}
