//! The worker: one thread a device, which owns the executables of all models there and runs their batches.
//!
//! It compiles and warms its models, then asks the [`Scheduler`] for a batch whenever the device is free. A batch that
//! fails costs its entries their answer; a panic or a lost device ends the worker, which then is not ready and answers every entry.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ServiceError;
use super::queue::{Entry, EntryId, Queue};
use super::scheduler::{ModelId, Next, Scheduler};
use super::warmup::{self, Warmth};
use crate::engine::{Batch, DeviceId, Engine, Executable, Image, LoadError, Options, PixelFormat, RunError};
use crate::metrics::{Metrics, ModelLabels, Stage};
use crate::pixels::Pixels;
use crate::program::{Program, WeightSource};

/// An image on its way through the device.
#[derive(Debug)]
pub(super) struct Job {
    /// Of the size of the model's input.
    pub(super) pixels: Pixels,
    /// Where the logits go. Closed when nobody waits for them any more.
    pub(super) reply: oneshot::Sender<Result<Output, ServiceError>>,
}

/// What the device says of an image.
#[derive(Debug)]
pub(super) struct Output {
    /// One a class.
    pub(super) logits: Vec<f32>,
    /// Images in its batch.
    pub(super) batch_size: usize,
    /// From the queue to the device.
    pub(super) queue: Duration,
    /// The batch on the device.
    pub(super) compute: Duration,
}

/// A model that the worker is to load.
pub(super) struct Load {
    pub(super) labels: ModelLabels,
    pub(super) program: Arc<Program>,
    pub(super) weights: Box<dyn WeightSource + Send>,
    pub(super) options: Options,
    pub(super) max_delay: Duration,
}

/// What loading came to, a model each.
pub(super) type Loaded = Result<Vec<Warmth>, LoadError>;

/// The handle of a device's thread; dropping it ends the thread once its queues are empty.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
}

/// What the thread and its handle share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Rung when there is something new for the thread.
    bell: Condvar,
    ready: AtomicBool,
}

#[derive(Debug)]
struct State {
    scheduler: Scheduler<Job>,
    /// Why the worker serves no more, or not yet.
    closed: Option<String>,
    /// The handle is gone.
    orphaned: bool,
}

impl Shared {
    /// The state, whatever a panicking thread left of it: it is consistent between any two statements that can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Starts the thread, which loads the models and then says how warm-up found them.
    pub(super) fn start(
        engine: Arc<dyn Engine>,
        loads: Vec<Load>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, oneshot::Receiver<Loaded>)> {
        let mut scheduler = Scheduler::default();
        for load in &loads {
            scheduler.add(Queue::new(load.options.max_batch, load.max_delay));
        }
        let closed = Some("the models are loading".to_owned());
        let state = Mutex::new(State { scheduler, closed, orphaned: false });
        let shared = Arc::new(Shared { state, bell: Condvar::new(), ready: AtomicBool::new(false) });
        let (report, loaded) = oneshot::channel();
        let device = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("device-{}", engine.devices()[0]))
            .spawn(move || Thread { shared: device, metrics, labels: Vec::new() }.run(&*engine, loads, report))?;
        Ok((Self { shared }, loaded))
    }

    /// Whether it takes images.
    pub(super) fn ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// Why it takes none, where that is so.
    pub(super) fn closed(&self) -> Option<String> {
        self.shared.lock().closed.clone()
    }

    /// Queues an image, unless its owner has left already.
    pub(super) fn push(&self, model: ModelId, id: EntryId, deadline: Instant, job: Job) {
        let mut state = self.shared.lock();
        if let Some(why) = &state.closed {
            let refusal = ServiceError::NotReady(why.clone());
            drop(state);
            let _ = job.reply.send(Err(refusal));
        } else if !job.reply.is_closed() {
            state.scheduler.push(model, id, Instant::now(), deadline, job);
            drop(state);
            self.shared.bell.notify_one();
        }
    }

    /// Takes an image out of the queue, if it still is there.
    pub(super) fn cancel(&self, model: ModelId, id: EntryId) {
        let job = self.shared.lock().scheduler.cancel(model, id);
        drop(job); // outside the lock: its pixels are freed
    }

    /// Device time of one image.
    pub(super) fn image_time(&self, model: ModelId) -> Duration {
        self.shared.lock().scheduler.image_time(model)
    }

    /// Images of a model that wait for the device.
    pub(super) fn waiting(&self, model: ModelId) -> usize {
        self.shared.lock().scheduler.len(model)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().orphaned = true;
        self.shared.bell.notify_one();
    }
}

/// The thread's own.
struct Thread {
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    labels: Vec<ModelLabels>,
}

impl Thread {
    fn run(mut self, engine: &dyn Engine, loads: Vec<Load>, report: oneshot::Sender<Loaded>) {
        self.labels = loads.iter().map(|load| load.labels.clone()).collect();
        let device = &*engine.devices()[0].to_string();
        let loaded = catch_unwind(AssertUnwindSafe(|| load_all(engine, loads)))
            .unwrap_or_else(|panic| Err(LoadError::Device { device: device.to_owned(), why: words(&*panic) }));
        let mut executables = match loaded {
            Ok(loaded) => {
                self.open(loaded.iter().map(|(_, warmth)| *warmth));
                let (executables, warmth): (Vec<_>, Vec<_>) = loaded.into_iter().unzip();
                let _ = report.send(Ok(warmth));
                executables
            }
            Err(error) => {
                self.close(&format!("the models could not be loaded: {error}"));
                let _ = report.send(Err(error));
                return;
            }
        };
        let ended = catch_unwind(AssertUnwindSafe(|| self.serve(&mut executables)));
        if let Some(fault) = ended.unwrap_or_else(|panic| Some(words(&*panic))) {
            tracing::error!(device, fault, "the device's worker has failed and serves no more");
            self.close(&format!("the engine has failed: {fault}"));
        }
    }

    fn open(&self, warmth: impl Iterator<Item = Warmth>) {
        let mut state = self.shared.lock();
        for (index, warmth) in warmth.enumerate() {
            state.scheduler.measured(ModelId(index), warmth.batch, warmth.image_time);
        }
        state.closed = None;
        drop(state);
        self.shared.ready.store(true, Ordering::Release);
        self.labels.iter().for_each(|labels| self.metrics.ready(labels, true));
    }

    /// Takes no more images and answers all that wait.
    fn close(&self, why: &str) {
        self.shared.ready.store(false, Ordering::Release);
        let waiting = {
            let mut state = self.shared.lock();
            state.closed = Some(why.to_owned());
            state.scheduler.clear()
        };
        self.labels.iter().for_each(|labels| self.metrics.ready(labels, false));
        answer(waiting, &ServiceError::NotReady(why.to_owned()));
    }

    /// Runs batches until the handle is gone and nothing waits (None) or the device is lost (why).
    fn serve(&self, executables: &mut [Box<dyn Executable>]) -> Option<String> {
        let mut state = self.shared.lock();
        loop {
            let now = Instant::now();
            let expired = state.scheduler.expire(now);
            if !expired.is_empty() {
                drop(state);
                for entry in expired {
                    let limit = entry.deadline.saturating_duration_since(entry.enqueued);
                    let _ = entry.payload.reply.send(Err(ServiceError::DeadlinePassed(limit)));
                }
                state = self.shared.lock();
                continue;
            }
            state = match state.scheduler.next(now) {
                Next::Run(model, entries) => {
                    drop(state);
                    let count = entries.len();
                    let (busy, lost) = self.batch(&mut *executables[model.0], &self.labels[model.0], entries);
                    if lost.is_some() {
                        return lost;
                    }
                    let mut state = self.shared.lock();
                    state.scheduler.done(model, count, busy);
                    state
                }
                Next::WaitUntil(_) | Next::Idle if state.orphaned && state.scheduler.is_empty() => return None,
                Next::Idle => self.shared.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
                Next::WaitUntil(at) => {
                    let wait = at.saturating_duration_since(now);
                    self.shared.bell.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Runs one batch and answers its entries: the time it took, and why the device is lost if it is.
    fn batch(
        &self,
        executable: &mut dyn Executable,
        labels: &ModelLabels,
        entries: Vec<Entry<Job>>,
    ) -> (Duration, Option<String>) {
        let began = Instant::now();
        let batch = entries;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let image = |entry: &Entry<Job>| Image::new(PixelFormat::Rgb8, entry.payload.pixels.bytes().to_vec());
            let images: Batch = batch.iter().map(image).collect();
            executable.run(images)
        }))
        .unwrap_or_else(|panic| Err(RunError::DeviceLost(words(&*panic))));
        let busy = began.elapsed();
        match ran {
            Ok(logits) => {
                self.metrics.batch(labels, batch.len(), busy);
                let classes = logits.len() / batch.len();
                let batch_size = batch.len();
                for (entry, logits) in batch.into_iter().zip(logits.chunks(classes.max(1))) {
                    let queue = began.saturating_duration_since(entry.enqueued);
                    self.metrics.stage(&labels.model, Stage::Queue, queue);
                    self.metrics.stage(&labels.model, Stage::Compute, busy);
                    let output = Output { logits: logits.to_vec(), batch_size, queue, compute: busy };
                    let _ = entry.payload.reply.send(Ok(output));
                }
                (busy, None)
            }
            Err(error) => {
                tracing::error!(model = labels.model, images = batch.len(), %error, "a batch has failed");
                let lost = matches!(error, RunError::DeviceLost(_)).then(|| error.to_string());
                if lost.is_some() {
                    // before its entries hear of it, so that who sees the failure sees readiness off
                    self.shared.ready.store(false, Ordering::Release);
                }
                answer(batch, &ServiceError::Internal(error.to_string()));
                (busy, lost)
            }
        }
    }
}

/// A model that is ready to run, and what warm-up found.
type WarmModel = (Box<dyn Executable>, Warmth);

/// Compiles and warms every model.
fn load_all(engine: &dyn Engine, loads: Vec<Load>) -> Result<Vec<WarmModel>, LoadError> {
    let load = |load: Load| {
        let began = Instant::now();
        let loaded = engine.load(DeviceId(0), &load.program, &*load.weights, &load.options)?;
        let mut executable = loaded.instantiate()?;
        let compiled = began.elapsed();
        let warmth = warmup::warm(&mut *executable, &load.program.input).map_err(|error| LoadError::Device {
            device: engine.devices()[0].to_string().to_owned(),
            why: format!("{} does not run: {error}", load.labels.model),
        })?;
        tracing::info!(
            model = load.labels.model,
            device = %engine.devices()[0],
            batch = warmth.batch,
            image_ms = warmth.image_time.as_secs_f64() * 1e3,
            load_ms = compiled.as_millis() as u64,
            warmup_ms = (began.elapsed() - compiled).as_millis() as u64,
            "model ready"
        );
        Ok((executable, warmth))
    };
    loads.into_iter().map(load).collect()
}

fn fail(entry: Entry<Job>, error: ServiceError) {
    let _ = entry.payload.reply.send(Err(error));
}

fn answer(entries: Vec<Entry<Job>>, error: &ServiceError) {
    entries.into_iter().for_each(|entry| fail(entry, error.clone()));
}

/// What a panic said.
pub(super) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "without a word".to_owned()))
}
