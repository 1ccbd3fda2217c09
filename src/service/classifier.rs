//! The classifier: what protocols and the command line hold. It admits requests, carries out commands about models, and says how
//! things stand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prometheus::proto::MetricFamily;

use super::admission::{self, Admission};
use super::body_bytes::BodyBytes;
use super::budget::Budget;
use super::calibration::{BenchError, BenchRequest, Calibration, Calibrator, Comparison};
use super::core::Core;
use super::decoder::Decoder;
use super::device::{Device, SystemClock};
use super::dispatcher::Dispatcher;
use super::lifecycle::{Command, Done, Lifecycle, ModelError, Repository};
use super::loader::Loader;
use super::names::check_names;
use super::options::ModelOptions;
use super::registry::Registry;
use super::scheduler::DeviceIndex;
use super::threads::{Threads, WaitsFor};
use super::ticket::Ticket;
use super::{Limits, ModelStatus, ServiceError};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::engine::cpu::Cores;
use crate::engine::{DeviceId, DeviceInfo, Engine};
use crate::metrics::{Form, Metrics, Statistics};

/// Serves several models; cheap to clone.
#[derive(Clone)]
pub struct Classifier {
    core: Arc<Core>,
    engine: Arc<dyn Engine>,
}

/// Opens a model's checkpoint, again at each reload.
pub type ModelSource = Arc<dyn Fn() -> Result<Checkpoint, CheckpointError> + Send + Sync>;

/// A model to serve, under a name.
#[derive(Clone)]
pub struct NamedModel {
    /// The name in requests, answers and metrics.
    pub name: String,
    /// Where it comes from.
    pub source: ModelSource,
    /// The name of the model that it is measured against, where it is not the Swin of a ConvNeXt's size.
    pub baseline: Option<String>,
}

/// How a classifier runs its models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The budgets of admission.
    pub limits: Limits,
    /// What holds for models of which nothing else is said.
    pub model: ModelOptions,
    /// What is said of single models.
    pub models: BTreeMap<String, ModelOptions>,
    /// Where more models come from, and changes of them.
    pub repository: Option<Repository>,
    /// Threads of the engine.
    pub engine_threads: usize,
    /// Threads that decode and resize.
    pub decode_threads: usize,
    /// What is measured unasked of models that are served beside their baselines.
    pub calibration: Calibration,
    /// Whether models serve without devices comparing what they compute with what is right.
    pub no_self_check: bool,
}

impl Default for Settings {
    fn default() -> Self {
        // as affinity and quotas leave them
        let cores = Cores::available().usable;
        Self {
            limits: Limits::default(),
            model: ModelOptions::default(),
            models: BTreeMap::new(),
            repository: None,
            engine_threads: cores,
            decode_threads: cores,
            calibration: Calibration::Off,
            no_self_check: false,
        }
    }
}

/// Memory of a GPU, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuMemory {
    /// The GPU, as `GPU-8a6c…`.
    pub uuid: String,
    /// All of it.
    pub total: u64,
    /// In use, by this process and others.
    pub used: u64,
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
    /// Not one model could be loaded.
    #[error("no model could be loaded: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Load(Vec<ModelError>),
}

/// Models on their way into the devices.
#[must_use = "the models may fail to load"]
pub struct Loading {
    models: Vec<Done>,
    /// There may be others than those.
    more: bool,
}

impl Loading {
    /// Waits until every configured model is loaded and warm, or has failed. Those that have are in the log and in
    /// [`Classifier::models`]; the others serve.
    ///
    /// # Errors
    /// [`StartError::Load`] when none could be loaded and no others can come.
    pub async fn done(self) -> Result<(), StartError> {
        let mut errors = Vec::new();
        let count = self.models.len();
        for model in self.models {
            errors.extend(model.await.unwrap_or(Err(ModelError::Stopping)).err());
        }
        if errors.len() == count && !self.more { Err(StartError::Load(errors)) } else { Ok(()) }
    }
}

impl Classifier {
    /// Starts a thread for each device of the engine and begins to load the models, the default first. Until [`Loading::done`]
    /// requests are refused as not ready.
    ///
    /// # Errors
    /// [`StartError`], but for models that do not load: those [`Loading::done`] tells.
    pub fn start(
        engine: Arc<dyn Engine>,
        models: Vec<NamedModel>,
        settings: Settings,
    ) -> Result<(Self, Loading), StartError> {
        let system = |what| move |why: &dyn std::fmt::Display| StartError::System { what, why: why.to_string() };
        check_names(&models, settings.repository.is_none()).map_err(StartError::Models)?;
        let metrics = Arc::new(Metrics::new().map_err(|e| system("metrics")(&e))?);
        for device in engine.devices() {
            metrics.build_info(&device.to_string());
        }
        let decoder = Decoder::new(settings.decode_threads.max(1)).map_err(|e| system("decode pool")(&e))?;
        let dispatcher = Dispatcher::new(engine.devices().len());
        let threads = Arc::new(Threads::default());
        for (index, info) in engine.devices().iter().enumerate() {
            let (dispatcher, name) = (Arc::clone(&dispatcher), info.to_string());
            let run = move || Device::new(DeviceIndex(index), &name, dispatcher, SystemClock).run();
            threads.spawn(format!("device-{}", info.name), run).map_err(|e| system("device thread")(&e))?;
        }
        let loader = Loader {
            engine: Arc::clone(&engine),
            dispatcher: Arc::clone(&dispatcher),
            metrics: Arc::clone(&metrics),
            threads: settings.engine_threads.max(1),
            self_check: !settings.no_self_check,
        };
        let registry = Arc::new(Registry::default());
        let more = settings.repository.is_some();
        let (lifecycle, models) = Lifecycle::start(
            &threads,
            loader,
            Arc::clone(&registry),
            models,
            settings.repository,
            settings.models,
            settings.model,
        )
        .map_err(|e| system("thread of the models")(&e))?;
        let calibrator = Calibrator::start(
            &threads,
            Arc::clone(&registry),
            Arc::clone(&dispatcher),
            Arc::clone(&metrics),
            engine.devices().to_vec(),
            settings.calibration,
        )
        .map_err(|e| system("thread that measures")(&e))?;
        let limits = settings.limits;
        let core = Core {
            registry,
            dispatcher,
            lifecycle,
            calibrator,
            limits,
            metrics,
            decoder,
            bodies: Budget::new(limits.body_bytes),
            pixels: Budget::new(limits.decoded_pixels),
            draining: AtomicBool::new(false),
            next_entry: AtomicU64::new(0),
            _threads: WaitsFor(threads),
        };
        Ok((Self { core: Arc::new(core), engine }, Loading { models, more }))
    }

    /// Takes a permit for one image of a model, before the body is read. The deadline counts from now.
    ///
    /// # Errors
    /// `UnknownModel`, `UnknownVersion`, `NotReady`, `TooLarge` for a body over the limit, `Overloaded` when a budget is spent.
    pub fn admit(&self, admission: Admission<'_>) -> Result<Ticket, ServiceError> {
        admission::admit(&self.core, admission)
    }

    /// Bytes of a body that comes before its request can be admitted; none yet.
    #[must_use]
    pub fn body_bytes(&self) -> BodyBytes {
        BodyBytes::none(&self.core)
    }

    /// Loads what is not loaded of a model.
    ///
    /// # Errors
    /// [`ModelError`]; what served before serves on.
    pub async fn load(&self, model: &str) -> Result<(), ModelError> {
        self.core.lifecycle.command(Command::Load(model.to_owned())).await
    }

    /// Loads all of a model anew, beside what serves, and then swaps.
    ///
    /// # Errors
    /// [`ModelError`]; what served before serves on.
    pub async fn reload(&self, model: &str) -> Result<(), ModelError> {
        self.core.lifecycle.command(Command::Reload(model.to_owned())).await
    }

    /// Stops serving a model. Requests that have begun are finished.
    ///
    /// # Errors
    /// [`ModelError::Unknown`].
    pub async fn unload(&self, model: &str) -> Result<(), ModelError> {
        self.core.lifecycle.command(Command::Unload(model.to_owned())).await
    }

    /// Measures models beside their baselines while nobody asks for anything else. Returns when it is done.
    ///
    /// # Errors
    /// [`BenchError`].
    pub async fn bench(&self, request: BenchRequest) -> Result<Vec<Comparison>, BenchError> {
        if request.batches.contains(&0) || request.batches.is_empty() {
            return Err(BenchError::Invalid("a batch has at least one image".to_owned()));
        }
        if let Some(model) = request.model.as_deref().filter(|model| !self.knows(model)) {
            return Err(BenchError::Nothing(format!("no model {model} is served")));
        }
        self.core.calibrator.bench(request).await
    }

    /// What was measured last of each model beside its baseline, on each device and in each batch size.
    #[must_use]
    pub fn comparisons(&self) -> Vec<Comparison> {
        self.core.calibrator.comparisons.all()
    }

    /// Why there are no [`comparisons`](Self::comparisons), in words; they may come.
    #[must_use]
    pub fn why_not_measured(&self) -> String {
        self.core.calibrator.why_not(&self.core.registry, self.engine.devices())
    }

    /// All versions of all models, the default model first.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus> {
        self.core.registry.status()
    }

    /// Whether a model of this name is known, ready or not.
    #[must_use]
    pub fn knows(&self, model: &str) -> bool {
        self.core.registry.knows(model)
    }

    /// The version that a request for a name and a version's number or label gets (None: the one that the model serves), and what was
    /// counted of it.
    ///
    /// # Errors
    /// `UnknownModel`, `UnknownVersion`, `NotReady`.
    pub fn serving(&self, model: &str, version: Option<&str>) -> Result<(ModelStatus, Arc<Statistics>), ServiceError> {
        let found = self.core.registry.find(Some(model), version)?;
        let number = found.version.to_string();
        let mut all = self.models().into_iter();
        let status = all.find(|status| status.name == model && status.version.as_deref() == Some(&*number));
        let gone = || ServiceError::NotReady(format!("{model}: version {number} was unloaded just now"));
        Ok((status.ok_or_else(gone)?, Arc::clone(&found.statistics)))
    }

    /// Images that wait for a device, of those that came in this form for a version that serves; 0 where none does.
    #[must_use]
    pub fn waiting(&self, model: &str, version: Option<&str>, form: Form) -> usize {
        self.core.registry.find(Some(model), version).map_or(0, |model| model.waiting_of(form))
    }

    /// The memory of the GPUs that run.
    #[must_use]
    pub fn gpu_memory(&self) -> Vec<GpuMemory> {
        let memory = |(index, info): (usize, &DeviceInfo)| {
            let (uuid, total) = (info.uuid.clone()?, info.memory?);
            Some(GpuMemory { uuid, total, used: self.engine.memory_used(DeviceId(index))? })
        };
        self.engine.devices().iter().enumerate().filter_map(memory).collect()
    }

    /// Every required model is ready and no drain has begun; otherwise why not.
    ///
    /// # Errors
    /// The reason in words.
    pub fn ready(&self) -> Result<(), String> {
        if self.draining() {
            return Err("draining: this server is about to stop".to_owned());
        }
        self.core.registry.ready()
    }

    /// The devices that have failed, each with the reason. Models that have others are served by those.
    #[must_use]
    pub fn failed_devices(&self) -> Vec<(DeviceInfo, String)> {
        let devices = self.engine.devices().iter().enumerate();
        devices
            .filter_map(|(index, info)| Some((info.clone(), self.core.dispatcher.failure(DeviceIndex(index))?)))
            .collect()
    }

    /// Turns readiness off; requests are still served.
    pub fn begin_drain(&self) {
        self.core.draining.store(true, Ordering::Release);
    }

    /// Whether a drain has begun: answers then carry `Connection: close`.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.core.draining.load(Ordering::Acquire)
    }

    /// The budgets.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// The metrics, for those who count.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.core.metrics
    }

    /// The metrics as text with their content type, the gauges brought up to date.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn scrape(&self) -> Result<(Vec<u8>, String), prometheus::Error> {
        self.gauge();
        self.core.metrics.encode()
    }

    /// The same before it is written.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.gauge();
        self.core.metrics.gather()
    }

    /// Brings the gauges up to date.
    fn gauge(&self) {
        let Core { registry, dispatcher, metrics, .. } = &*self.core;
        registry.gauge();
        for (index, device) in self.engine.devices().iter().enumerate() {
            let name = device.to_string();
            metrics.device_up(&name, dispatcher.failure(DeviceIndex(index)).is_none());
            if let Some(bytes) = self.engine.memory_used(DeviceId(index)) {
                metrics.device_memory_used(&name, bytes);
            }
        }
    }
}
