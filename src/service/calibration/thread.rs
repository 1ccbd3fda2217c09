//! The thread that measures: what is to be measured, when nobody asks for anything, and what becomes of the result.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::rounds::{Plan, Rounds, within};
use super::{BenchError, BenchRequest, Calibration, Comparison, Comparisons, Ending, Message, unmeasured};
use crate::engine::DeviceInfo;
use crate::metrics::Metrics;
use crate::service::command::Measurement;
use crate::service::dispatcher::Dispatcher;
use crate::service::image::ImageJob;
use crate::service::model::Model;
use crate::service::registry::Registry;
use crate::service::scheduler::{DeviceIndex, ModelId};

/// How often it looks whether there is something to measure.
const TICK: Duration = Duration::from_millis(500);
/// How long nobody must have asked for anything before a round.
const QUIET: Duration = Duration::from_millis(200);
/// How often it looks whether somebody asks while a run waits for its device.
const GLANCE: Duration = Duration::from_millis(5);
/// How long a command waits for quiet, all in all, beyond its own time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A command's batches may take this long; whoever asks knows what a request may wait for.
const LONGEST_ASKED: Duration = Duration::from_secs(5);

/// The thread's own.
pub(super) struct CalibrationThread {
    pub(super) registry: Arc<Registry>,
    pub(super) dispatcher: Arc<Dispatcher<ImageJob>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) devices: Vec<DeviceInfo>,
    pub(super) unasked: Calibration,
    pub(super) comparisons: Comparisons,
    /// What was measured unasked, or could not be.
    pub(super) measured: Vec<Job>,
    /// Whether it was told that nothing is measured on some device.
    pub(super) told: bool,
    pub(super) ending: Arc<Ending>,
}

/// A pair on a device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    model: (String, ModelId),
    baseline: (String, ModelId),
    device: DeviceIndex,
}

/// Why a measurement ended before it was done.
enum Broken {
    /// Requests came.
    Traffic,
    /// A model, its device or the service has gone.
    Gone,
}

impl CalibrationThread {
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        while !self.ending.has_begun() {
            match inbox.recv_timeout(TICK) {
                Ok(Message::Bench(request, reply)) => drop(reply.send(self.asked(&request))),
                Ok(Message::Wake) => {}
                Err(RecvTimeoutError::Timeout) => self.unasked(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Measures what is new, if nobody asks for anything. What a request interrupts is tried again.
    fn unasked(&mut self) {
        let jobs = self.jobs(None);
        self.forget_others(&jobs);
        let Some(plan) = Plan::unasked(self.unasked) else { return };
        if self.registry.ready().is_err() {
            return;
        }
        if let Some((device, why)) = unmeasured(&self.devices)
            && !std::mem::replace(&mut self.told, true)
        {
            tracing::info!(%device, why, "nothing is measured here");
        }
        self.measured.retain(|job| jobs.contains(job));
        for job in jobs {
            if self.measured.contains(&job) {
                continue;
            }
            match self.measure_all(&job, &plan, None) {
                Ok(_) | Err(Broken::Gone) => self.measured.push(job),
                Err(Broken::Traffic) => return,
            }
        }
    }

    fn asked(&self, BenchRequest { model, batches, duration }: &BenchRequest) -> Result<Vec<Comparison>, BenchError> {
        let jobs = self.jobs(model.as_deref());
        if jobs.is_empty() {
            return Err(BenchError::Nothing(self.why_nothing(model.as_deref())));
        }
        let plan = Plan {
            batches: batches.clone(),
            longest: LONGEST_ASKED,
            rounds: usize::MAX,
            turn: *duration / 40,
            duration: *duration,
        };
        let patience = PATIENCE + *duration * 2 * (jobs.len() * batches.len()).max(1) as u32;
        let until = Instant::now() + patience;
        let mut found = Vec::new();
        for job in jobs {
            match self.measure_all(&job, &plan, Some(until)) {
                Ok(comparisons) => found.extend(comparisons),
                Err(Broken::Traffic) => return Err(BenchError::Traffic(patience)),
                Err(Broken::Gone) if self.ending.has_begun() => return Err(BenchError::Stopping),
                Err(Broken::Gone) => {}
            }
        }
        if found.is_empty() {
            let why = "a model or its device has gone while it was measured; GET /models says what serves";
            return Err(BenchError::Nothing(why.to_owned()));
        }
        Ok(found)
    }

    fn why_nothing(&self, model: Option<&str>) -> String {
        match (model, unmeasured(&self.devices)) {
            (_, Some((device, why))) => format!("nothing is measured on {device}: {why}"),
            (Some(model), None) => format!("{model} is not served beside a baseline; `--baseline` names one"),
            (None, None) => "no model is served beside a baseline; `--baseline` names one".to_owned(),
        }
    }

    /// The pairs that are served, on each device that both are on and whose speed says something.
    fn jobs(&self, model: Option<&str>) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (one, baseline) in self.registry.pairs() {
            if model.is_some_and(|name| name != one.name()) {
                continue;
            }
            for index in one.devices.iter().map(|device| &device.index) {
                let info = &self.devices[index.0];
                let both = baseline.devices.iter().any(|other| other.index == *index);
                if !both || self.dispatcher.is_lost(*index) {
                    continue;
                }
                if info.why_not_measured().is_some() {
                    continue;
                }
                let named = |model: &Model| (model.name().to_owned(), model.id);
                jobs.push(Job { model: named(&one), baseline: named(&baseline), device: *index });
            }
        }
        jobs
    }

    /// What was measured of models that are no longer served beside each other.
    fn forget_others(&self, jobs: &[Job]) {
        let stays = |one: &Comparison| {
            jobs.iter().any(|job| {
                let device = self.devices[job.device.0].to_string();
                (&job.model.0, &job.baseline.0, &device) == (&one.model, &one.baseline, &one.device)
            })
        };
        for Comparison { model, baseline, device, batch, .. } in self.comparisons.retain(stays) {
            self.metrics.forget_comparison(&model, &baseline, &device, batch);
        }
    }

    /// Measures all batch sizes of a job; the single image first, which says what larger ones would take.
    fn measure_all(&self, job: &Job, plan: &Plan, until: Option<Instant>) -> Result<Vec<Comparison>, Broken> {
        let (mut found, mut image_seconds): (Vec<Comparison>, f64) = (Vec::new(), 0.0);
        for batch in &plan.batches {
            let Some(pair) = self.pair(job) else { return Err(Broken::Gone) };
            let most = pair[0].max_batch.min(pair[1].max_batch);
            drop(pair);
            let batch = within(plan.longest, (*batch).min(most), image_seconds);
            if found.iter().any(|one| one.batch == batch) {
                continue;
            }
            let comparison = self.measure(job, batch, plan, until)?;
            let slower = comparison.images_per_second.min(comparison.baseline_images_per_second);
            image_seconds = image_seconds.max(1.0 / slower);
            found.push(comparison);
        }
        Ok(found)
    }

    fn measure(&self, job: &Job, batch: usize, plan: &Plan, until: Option<Instant>) -> Result<Comparison, Broken> {
        let mut rounds = Rounds::default();
        let mut asked = self.quiet(until)?;
        while !rounds.are_enough(plan) {
            let mut speeds = [0.0; 2];
            let began = Instant::now();
            for which in rounds.order() {
                // held for its turn only: a version that is replaced meanwhile can go
                let Some(pair) = self.pair(job) else { return Err(Broken::Gone) };
                speeds[which] = match self.turn(&pair[which], job.device, batch, plan.turn, asked) {
                    Ok(speed) => speed,
                    Err(Broken::Gone) => return Err(Broken::Gone),
                    Err(Broken::Traffic) => f64::NAN,
                };
                if speeds[which].is_nan() {
                    break;
                }
            }
            if self.metrics.received_so_far() == asked && speeds.iter().all(|speed| speed.is_finite() && *speed > 0.0) {
                rounds.add(speeds, began.elapsed());
            } else {
                asked = self.quiet(until)?;
            }
        }
        let (Some(medians), Some([model, baseline])) = (rounds.medians(), self.pair(job)) else {
            return Err(Broken::Gone);
        };
        let comparison = Comparison {
            model: job.model.0.clone(),
            family: model.program.family.clone(),
            baseline: job.baseline.0.clone(),
            baseline_family: baseline.program.family.clone(),
            device: self.devices[job.device.0].to_string(),
            batch,
            images_per_second: medians.images_per_second[0],
            baseline_images_per_second: medians.images_per_second[1],
            ratio: medians.ratio,
            rounds: medians.rounds,
        };
        let Comparison { family, baseline_family, device, .. } = &comparison;
        model.metrics.measured(family, device, batch, comparison.images_per_second);
        baseline.metrics.measured(baseline_family, device, batch, comparison.baseline_images_per_second);
        model.metrics.measured_against(&comparison.baseline, device, batch, comparison.ratio);
        tracing::info!(
            model = comparison.model,
            baseline = comparison.baseline,
            device,
            batch,
            images_per_second = comparison.images_per_second,
            baseline_images_per_second = comparison.baseline_images_per_second,
            ratio = comparison.ratio,
            rounds = comparison.rounds,
            "measured"
        );
        self.comparisons.put(comparison.clone());
        Ok(comparison)
    }

    /// Images per second of a model over one turn: its runs' own time, each begun when the device had nothing else to do.
    fn turn(
        &self,
        model: &Model,
        device: DeviceIndex,
        batch: usize,
        turn: Duration,
        asked: u64,
    ) -> Result<f64, Broken> {
        let (mut images, mut busy, began) = (0, Duration::ZERO, Instant::now());
        // the second bound is for runs that are over before the next can be asked for
        while images == 0 || (busy < turn && began.elapsed() < 2 * turn) {
            let (ran, answer) = mpsc::sync_channel(1);
            self.dispatcher.measure(device, Measurement { model: model.id, images: batch, ran });
            let ran = loop {
                match answer.recv_timeout(GLANCE) {
                    Ok(ran) => break ran,
                    Err(RecvTimeoutError::Disconnected) => return Err(Broken::Gone),
                    Err(RecvTimeoutError::Timeout) if self.metrics.received_so_far() != asked => {
                        self.dispatcher.withdraw(device);
                        return Err(Broken::Traffic);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
            };
            images += ran.images;
            busy += ran.took;
        }
        Ok(images as f64 / busy.as_secs_f64())
    }

    /// The job's models, if they are still those that serve.
    fn pair(&self, job: &Job) -> Option<[Arc<Model>; 2]> {
        let mut pairs = self.registry.pairs().into_iter();
        pairs.find(|(one, baseline)| one.id == job.model.1 && baseline.id == job.baseline.1).map(|(a, b)| [a, b])
    }

    /// Waits until nobody has asked for anything for a while; how many requests there have been by then. Without `until` it does not wait on.
    fn quiet(&self, until: Option<Instant>) -> Result<u64, Broken> {
        loop {
            let asked = self.metrics.received_so_far();
            if self.ending.begins_within(QUIET) {
                return Err(Broken::Gone);
            }
            if self.metrics.received_so_far() == asked && self.registry.admitted_images() == 0 {
                return Ok(asked);
            }
            if until.is_none_or(|until| Instant::now() >= until) {
                return Err(Broken::Traffic);
            }
        }
    }
}

impl Plan {
    /// What is measured unasked.
    fn unasked(calibration: Calibration) -> Option<Self> {
        let [short, long] = [20, 100].map(Duration::from_millis);
        match calibration {
            Calibration::Off => None,
            Calibration::Quick => Some(Self {
                batches: vec![1, 8],
                longest: Duration::from_millis(50),
                rounds: 7,
                turn: short,
                duration: Duration::from_secs(2),
            }),
            Calibration::Full => Some(Self {
                batches: vec![1, 8, usize::MAX],
                longest: LONGEST_ASKED,
                rounds: 20,
                turn: long,
                duration: Duration::from_secs(60),
            }),
        }
    }
}
