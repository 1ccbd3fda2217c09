//! Loads one version of a model onto its devices: open, put the weights there, warm up, serve.
//! Not here: which versions, when, and what becomes of the one before (`lifecycle`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use tokio::sync::oneshot;

use super::budget::Budget;
use super::command::{Added, Addition, ModelCommand};
use super::dispatcher::Dispatcher;
use super::image::ImageJob;
use super::model::{Model, OnDevice};
use super::options::ModelOptions;
use super::scheduler::{DeviceIndex, ModelId};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::engine::{self, DeviceId, DeviceInfo, Engine, LoadError, MemoryUse, Options, Precision};
use crate::metrics::{Metrics, ModelMetrics, Statistics};
use crate::panics;
use crate::program::{Program, WeightSource};

/// What loading needs.
pub(super) struct Loader {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) dispatcher: Arc<Dispatcher<ImageJob>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) threads: usize,
    /// Whether devices prove themselves before a model serves.
    pub(super) self_check: bool,
}

/// Removes a model again, unless it has become one.
struct Attempt<'a> {
    dispatcher: &'a Dispatcher<ImageJob>,
    id: ModelId,
    done: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.dispatcher.remove(self.id);
        }
    }
}

impl Loader {
    /// Loads a version onto all of its devices.
    ///
    /// # Errors
    /// What an operator can do something about, in words. Nothing of the version is left then.
    pub(super) fn load(
        &self,
        name: &str,
        version: u64,
        open: &dyn Fn() -> Result<Checkpoint, CheckpointError>,
        options: &ModelOptions,
    ) -> Result<Model, String> {
        // whatever a file makes a parser do, the other models serve on
        let loading = AssertUnwindSafe(|| self.load_checkpoint(name, version, open, options));
        catch_unwind(loading).unwrap_or_else(|panic| Err(format!("loading {}", panics::text(&*panic))))
    }

    fn load_checkpoint(
        &self,
        name: &str,
        version: u64,
        open: &dyn Fn() -> Result<Checkpoint, CheckpointError>,
        options: &ModelOptions,
    ) -> Result<Model, String> {
        let began = Instant::now();
        let Checkpoint { program, weights, transform, labels, scores, origin, quantized } =
            open().map_err(|error| error.to_string())?;
        let named = options.precision;
        let precision = named.unwrap_or_else(|| engine::precision_for(&*self.engine, &program, quantized));
        if quantized && precision != Precision::Int8 {
            tracing::info!(model = name, version, %precision, "weights that were quantised to int8 are computed with as floats");
        }
        let (program, weights): (_, Arc<dyn WeightSource + Send + Sync>) = (Arc::new(program), Arc::from(weights));
        let devices = self.devices(options)?;
        // what was unloaded before is to have left its memory
        self.dispatcher.settle();
        let id = self.dispatcher.add(options.max_delay);
        let mut attempt = Attempt { dispatcher: &self.dispatcher, id, done: false };
        let (metrics, statistics) = (self.metrics.model(name), Arc::<Statistics>::default());
        let (mut leases, mut on, mut lost) = (Vec::new(), Vec::new(), None);
        for (index, info) in devices {
            let put = Instant::now();
            let (bytes, waiting) =
                self.put(id, index, (&program, &weights), (options, precision), (&metrics, &statistics))?;
            let loaded = put.elapsed();
            let added = waiting.blocking_recv().unwrap_or_else(|_| {
                let why = self.dispatcher.failure(index).unwrap_or_else(|| "its thread has ended".to_owned());
                Err(LoadError::Device { device: info.name.clone(), why })
            });
            let Added { leases: pool, preferred_batch, image_seconds } = match added {
                Ok(added) => added,
                // one device of several is lost: the others serve
                Err(error) if self.dispatcher.is_lost(index) => {
                    tracing::error!(model = name, version, device = %info, %error, "a device was lost while it loaded a model");
                    lost = Some(error.to_string());
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            };
            metrics.serves(&program.family, &info.to_string());
            leases.push((index, pool));
            on.push(OnDevice { index, name: info.to_string(), memory: bytes });
            tracing::info!(
                model = name,
                version,
                device = %info,
                batch = preferred_batch,
                image_ms = image_seconds * 1e3,
                memory_mb = bytes / 1_000_000,
                load_ms = loaded.as_millis() as u64,
                warmup_ms = (put.elapsed() - loaded).as_millis() as u64,
                "model ready"
            );
        }
        if let Some(why) = lost.filter(|_| leases.is_empty()) {
            return Err(why);
        }
        tracing::debug!(model = name, version, ms = began.elapsed().as_millis() as u64, "loaded");
        attempt.done = true;
        Ok(Model {
            id,
            version,
            metrics,
            statistics,
            program,
            transform,
            classes: labels.into_iter().map(Arc::from).collect(),
            scores,
            origin,
            precision,
            max_batch: options.max_batch,
            deadline: options.deadline,
            devices: on,
            queue: Budget::new(options.queue_images as u64),
            leases,
            next_lease: AtomicUsize::new(0),
            dispatcher: Arc::clone(&self.dispatcher),
        })
    }

    /// Puts the weights on a device, here, and tells its thread to serve them.
    fn put(
        &self,
        id: ModelId,
        index: DeviceIndex,
        network: (&Arc<Program>, &Arc<dyn WeightSource + Send + Sync>),
        (options, precision): (&ModelOptions, Precision),
        (metrics, statistics): (&Arc<ModelMetrics>, &Arc<Statistics>),
    ) -> Result<(u64, oneshot::Receiver<Result<Added, LoadError>>), String> {
        let (program, weights) = network;
        let engine_options = Options { precision, max_batch: options.max_batch, threads: self.threads, profile: false };
        let loaded = self.engine.load(DeviceId(index.0), program, &**weights, &engine_options);
        let loaded = loaded.map_err(|error| error.to_string())?;
        let MemoryUse { weights: of_weights, executable } = loaded.memory();
        let (added, waiting) = oneshot::channel();
        let addition = Addition {
            model: id,
            loaded,
            program: Arc::clone(program),
            weights: self.self_check.then(|| Arc::clone(weights)),
            metrics: Arc::clone(metrics),
            statistics: Arc::clone(statistics),
            added,
        };
        self.dispatcher.command(index, ModelCommand::Add(Box::new(addition)));
        Ok((of_weights + executable, waiting))
    }

    /// The devices that a model is to run on: the one that is named, or all that have not failed.
    fn devices(&self, options: &ModelOptions) -> Result<Vec<(DeviceIndex, &DeviceInfo)>, String> {
        let all = self.engine.devices();
        let named = |info: &DeviceInfo| options.device.as_ref().is_none_or(|name| *name == info.name);
        if let Some(name) = options.device.as_ref().filter(|_| !all.iter().any(named)) {
            let names: Vec<&str> = all.iter().map(|info| info.name.as_str()).collect();
            return Err(format!("device {name:?} is not one of this server's: {}", names.join(", ")));
        }
        let found: Vec<_> = all.iter().enumerate().filter(|(_, info)| named(info)).collect();
        let failure = |index: usize| self.dispatcher.failure(DeviceIndex(index));
        let failed = found.first().and_then(|(index, _)| failure(*index));
        let running = found.into_iter().filter(|(index, _)| failure(*index).is_none());
        let running: Vec<_> = running.map(|(index, info)| (DeviceIndex(index), info)).collect();
        match (running.is_empty(), failed) {
            (true, Some(why)) => Err(format!("its devices have failed: {why}")),
            _ => Ok(running),
        }
    }
}
