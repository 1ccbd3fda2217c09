//! The classifier: what protocols and the command line hold. It admits a request and takes its images their way:
//! decode, queue, batch, answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::decoder::Decoder;
use super::registry::{Model, NamedModel, Registry, check_names};
use super::scheduler::ModelId;
use super::tally::{Counts, Outcome, Tally};
use super::ticket::Ticket;
use super::worker::{Load, Loaded, Worker};
use super::{Limits, ServiceError, budget::Budget};
use crate::engine::{Engine, LoadError, Options};
use crate::metrics::{Metrics, ModelLabels, Rejection};

/// Serves several models; cheap to clone.
#[derive(Clone)]
pub struct Classifier {
    inner: Arc<Inner>,
}

/// What all clones and tickets share.
pub(super) struct Inner {
    pub(super) registry: Registry,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) decoder: Decoder,
    pub(super) bodies: Arc<Budget>,
    pub(super) pixels: Arc<Budget>,
    pub(super) tally: Tally,
    pub(super) next_entry: AtomicU64,
    draining: AtomicBool,
}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelStatus {
    /// The name under which it is served.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, as `convnext_tiny`.
    pub architecture: String,
    /// Its program's family.
    pub family: String,
    /// The device that runs it.
    pub device: String,
    /// Where it came from.
    pub origin: String,
    /// The served model that it is measured against, if there is one.
    pub baseline: Option<String>,
    /// Loaded, warm, and its worker alive.
    pub ready: bool,
    /// Whether requests without a model get this one.
    pub default: bool,
    /// Rows and columns of its input.
    pub input: (usize, usize),
    /// Number of classes.
    pub classes: usize,
    /// Stored parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// The largest batch that is allowed.
    pub max_batch: usize,
}

/// How a classifier runs its models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The budgets of admission.
    pub limits: Limits,
    /// The largest batch.
    pub max_batch: usize,
    /// How long an image waits for company while the device idles.
    pub max_delay: Duration,
    /// Threads of the engine.
    pub engine_threads: usize,
    /// Threads that decode and resize.
    pub decode_threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        // respects cgroup quotas and the affinity of the process
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = Limits::default();
        Self { limits, max_batch: 32, max_delay: Duration::ZERO, engine_threads: cores, decode_threads: cores }
    }
}

/// A classifier could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The models as named cannot be served.
    #[error("{0}")]
    Models(String),
    /// Threads or metrics could not be made.
    #[error("starting the {what}: {why}")]
    System {
        /// What was being made.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// A model could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Models on their way into the device.
#[must_use = "the models may fail to load"]
pub struct Loading(tokio::sync::oneshot::Receiver<Loaded>);

impl Loading {
    /// Waits until every model is loaded and warm.
    ///
    /// # Errors
    /// The first model's error; none is ready then.
    pub async fn done(self) -> Result<(), StartError> {
        match self.0.await {
            Ok(loaded) => Ok(loaded.map(drop)?),
            Err(_) => Err(StartError::System { what: "worker", why: "its thread has ended".to_owned() }),
        }
    }
}

impl Classifier {
    /// Begins to load the models, the default first, onto one device. Until [`Loading::done`] requests are refused as not ready.
    ///
    /// # Errors
    /// [`StartError`], but for models that do not load: those [`Loading::done`] tells.
    pub fn start(
        engine: Arc<dyn Engine>,
        models: Vec<NamedModel>,
        settings: Settings,
    ) -> Result<(Self, Loading), StartError> {
        let system = |what| move |why: &dyn std::fmt::Display| StartError::System { what, why: why.to_string() };
        check_names(&models).map_err(StartError::Models)?;
        let metrics = Arc::new(Metrics::new().map_err(|e| system("metrics")(&e))?);
        metrics.build_info(&engine.devices()[0].to_string()).map_err(|e| system("metrics")(&e))?;
        let decoder = Decoder::new(settings.decode_threads).map_err(|e| system("decode pool")(&e))?;
        let limits = settings.limits;

        let (max_batch, threads) = (settings.max_batch.max(1), settings.engine_threads.max(1));
        let options = Options { precision: crate::engine::Precision::F32, max_batch, threads, profile: false };
        let (mut loads, mut parts) = (Vec::new(), Vec::new());
        for NamedModel { name, checkpoint, baseline } in models {
            let metric_labels = ModelLabels {
                model: name,
                family: checkpoint.program.family.clone(),
                device: engine.devices()[0].to_string(),
            };
            metrics.ready(&metric_labels, false);
            let program = Arc::new(checkpoint.program);
            loads.push(Load {
                labels: metric_labels.clone(),
                program: Arc::clone(&program),
                weights: checkpoint.weights,
                options,
                max_delay: settings.max_delay,
            });
            parts.push((metric_labels, program, checkpoint.transform, checkpoint.labels, checkpoint.origin, baseline));
        }
        let (worker, loading) = Worker::start(engine, loads, Arc::clone(&metrics)).map_err(|e| system("worker")(&e))?;
        let worker = Arc::new(worker);
        let model = |(index, (metric_labels, program, transform, labels, origin, baseline))| {
            let labels: Vec<String> = labels;
            Arc::new(Model {
                metric_labels,
                program,
                transform,
                classes: labels.into_iter().map(Arc::from).collect(),
                origin,
                baseline,
                places: Budget::new(limits.queue_images as u64),
                worker: Arc::clone(&worker),
                id: ModelId(index),
                max_batch: options.max_batch,
            })
        };
        let registry = Registry::new(parts.into_iter().enumerate().map(model).collect());
        let inner = Inner {
            registry,
            limits,
            metrics,
            decoder,
            bodies: Budget::new(limits.body_bytes),
            pixels: Budget::new(limits.decoded_pixels),
            tally: Tally::default(),
            next_entry: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        };
        Ok((Self { inner: Arc::new(inner) }, Loading(loading)))
    }

    /// Takes a place for one image of a model (None: the default) and `body_bytes` of the byte budget, before the body is read.
    /// The deadline counts from now and is at most the server's.
    ///
    /// # Errors
    /// `UnknownModel`, `NotReady`, `TooLarge` for a body over the limit, `Overloaded` when a budget is spent.
    pub fn admit(
        &self,
        model: Option<&str>,
        body_bytes: Option<u64>,
        deadline: Option<Duration>,
    ) -> Result<Ticket, ServiceError> {
        self.inner.tally.receive();
        let ticket = Ticket::admit(&self.inner, model, body_bytes, deadline);
        ticket.inspect_err(|error| self.inner.ended(error))
    }

    /// All models, in the order of the configuration.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus> {
        self.inner.registry.iter().enumerate().map(|(index, model)| model.status(index == 0)).collect()
    }

    /// Every model is ready and no drain has begun; otherwise why not.
    ///
    /// # Errors
    /// The reason in words.
    pub fn ready(&self) -> Result<(), String> {
        if self.draining() {
            return Err("draining: this server is about to stop".to_owned());
        }
        match self.inner.registry.iter().find(|model| !model.worker.ready()) {
            Some(model) => Err(format!("{}: {}", model.name(), model.worker.closed().unwrap_or_default())),
            None => Ok(()),
        }
    }

    /// Turns readiness off; requests are still served.
    pub fn begin_drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    /// Whether a drain has begun: answers then carry `Connection: close`.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }

    /// The budgets.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The metrics, for those who count.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The metrics as text with their content type, the gauges brought up to date.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn scrape(&self) -> Result<(Vec<u8>, String), prometheus::Error> {
        for model in self.inner.registry.iter() {
            self.inner.metrics.queue(model.name()).set(model.worker.waiting(model.id) as i64);
        }
        self.inner.metrics.encode()
    }

    /// The account of requests so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.tally.counts()
    }
}

impl Inner {
    /// Enters the end of a request by an error into the books.
    pub(super) fn ended(&self, error: &ServiceError) {
        match error {
            ServiceError::Overloaded { reason, .. } => self.metrics.rejected(*reason),
            ServiceError::NotReady(_) => self.metrics.rejected(Rejection::NotReady),
            _ => {}
        }
        self.tally.end(Outcome::of(error), &self.metrics);
    }
}
