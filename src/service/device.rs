//! A device's thread: it owns the executables there, asks the dispatcher for batches whenever there is room, and answers the images.
//!
//! The next batch is launched before the last one is answered, so that the device never waits for replies, metrics or channels.
//! It waits for the oldest batch by blocking: what comes meanwhile can still join the next one. A batch that fails costs its
//! images their answer; a panic or a lost device ends the thread, and what waits goes to the other devices.

mod clock;
mod measured;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub(super) use self::clock::{Clock, SystemClock};
use super::ServiceError;
use super::command::{Added, Addition, ModelCommand};
use super::dispatcher::{Dispatcher, Rest, Work, answer_all};
use super::job::{Computed, Job};
use super::queue::Entry;
use super::scheduler::{Charge, DeviceIndex, ModelId};
use super::warmup::WarmUp;
use crate::engine::{Batch, BatchId, Executable, Image, LoadError, PixelFormat, RunError};
use crate::metrics::{ModelMetrics, Stage, Statistics};
use crate::panics;

/// How long a device rests before it is asked for a sign of life: half of the second within which readiness is to turn off.
const PROBE_AFTER: Duration = Duration::from_millis(500);

/// The pixels of images that nobody sent.
const GREY: u8 = 128;

/// How a turn of a device ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more to do.
    More,
    /// A batch runs, which is to be waited for.
    Running,
    /// There is nothing to do for now.
    Rest(Rest),
    /// The service ends.
    End,
    /// The device is lost, and why; all that ran or waited is answered.
    Lost(String),
}

/// A device with its models and batches.
pub(super) struct Device<J, C> {
    index: DeviceIndex,
    name: Arc<str>,
    dispatcher: Arc<Dispatcher<J>>,
    clock: C,
    models: HashMap<ModelId, Serving>,
    /// Models that are not warm yet, in the order they came.
    warming: VecDeque<Warming>,
    /// The last batch was a warm-up's, so that a request's is next.
    warmed: bool,
    /// Batches that were launched, the oldest first.
    running: VecDeque<Running<J>>,
    /// A batch whose images wait for their answer.
    finished: Option<Finished<J>>,
    /// When the device ended its last batch: the next one began no earlier.
    free_since: Instant,
}

struct Serving {
    executable: Box<dyn Executable>,
    metrics: Arc<ModelMetrics>,
    statistics: Arc<Statistics>,
    family: String,
}

struct Warming {
    warm_up: WarmUp,
    serving: Serving,
    model: ModelId,
    /// Grey pixels of the input's size.
    image: Arc<[u8]>,
    added: oneshot::Sender<Result<Added, LoadError>>,
}

struct Running<J> {
    id: BatchId,
    charge: Charge,
    entries: Vec<Entry<J>>,
    launched: Instant,
}

struct Finished<J> {
    charge: Charge,
    entries: Vec<Entry<J>>,
    launched: Instant,
    busy: Duration,
    result: Result<Vec<f32>, RunError>,
}

impl<J: Job, C: Clock> Device<J, C> {
    pub(super) fn new(index: DeviceIndex, name: &str, dispatcher: Arc<Dispatcher<J>>, clock: C) -> Self {
        let free_since = clock.now();
        Self {
            index,
            name: name.into(),
            dispatcher,
            clock,
            models: HashMap::new(),
            warming: VecDeque::new(),
            warmed: false,
            running: VecDeque::new(),
            finished: None,
            free_since,
        }
    }

    /// Takes turns until the service ends or the device is lost.
    pub(super) fn run(mut self) {
        loop {
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn()));
            let turn = turn.unwrap_or_else(|panic| self.lost(panics::text(&*panic), Vec::new()));
            let turn = match turn {
                Turn::Rest(rest) if !self.dispatcher.rest(rest, PROBE_AFTER) => self.probe(),
                other => other,
            };
            match turn {
                Turn::More | Turn::Running | Turn::Rest(_) => {}
                Turn::End => return,
                Turn::Lost(why) => {
                    tracing::error!(device = &*self.name, why, "the device has failed and serves no more");
                    return;
                }
            }
        }
    }

    /// Asks a device that rests for a sign of life, through any of its models: a GPU that has gone must not look ready.
    fn probe(&mut self) -> Turn {
        let Some(serving) = self.models.values_mut().next() else { return Turn::More };
        match caught(|| serving.executable.probe()) {
            Err(RunError::DeviceLost(why)) => self.lost(why, Vec::new()),
            Ok(()) | Err(_) => Turn::More,
        }
    }

    /// Launches what there is room for, answers what was finished in the last turn, then waits for the oldest batch.
    pub(super) fn turn(&mut self) -> Turn {
        match self.begin() {
            Turn::Running => self.wait(),
            other => other,
        }
    }

    /// A turn up to its waiting: a simulation has others go on meanwhile.
    pub(super) fn begin(&mut self) -> Turn {
        let launched = self.launch_all();
        self.answer_finished();
        match launched {
            Err(turn) => turn,
            Ok(_) if !self.running.is_empty() => Turn::Running,
            Ok(rest) => rest.map_or(Turn::More, Turn::Rest),
        }
    }

    /// Waits for the oldest batch.
    pub(super) fn wait(&mut self) -> Turn {
        self.running.pop_front().map_or(Turn::More, |oldest| self.finish(oldest))
    }

    /// Launches while there is room and work; gives how long the device may rest if nothing runs then.
    fn launch_all(&mut self) -> Result<Option<Rest>, Turn> {
        loop {
            if !self.warming.is_empty() && !self.warmed {
                // alone on the device, for its time is what is wanted
                if !self.running.is_empty() {
                    return Ok(None);
                }
                self.answer_finished();
                return self.warm().map(|()| None);
            }
            let room = self.models.values().map(|serving| serving.executable.in_flight()).min().unwrap_or(0);
            let has_room = self.running.len() < room;
            let is_idle = self.running.is_empty() && self.finished.is_none() && self.warming.is_empty();
            match self.dispatcher.work(self.index, self.clock.now(), has_room, is_idle) {
                Work::Commands(commands) => {
                    // models are made for seconds: nobody waits for that with an answer that is known
                    self.settle()?;
                    commands.into_iter().for_each(|command| self.follow(command));
                    self.free_since = self.clock.now();
                }
                Work::Expired(entries) => {
                    for entry in entries {
                        let limit = entry.deadline.saturating_duration_since(entry.enqueued);
                        entry.payload.answer(Err(ServiceError::DeadlinePassed(limit)));
                    }
                }
                Work::Batch(charge, entries) => {
                    self.warmed = false;
                    self.launch(charge, entries)?;
                }
                Work::Measure(measurement) => self.measure(&measurement)?,
                Work::Nothing(rest) => {
                    self.warmed = false;
                    return Ok((self.warming.is_empty() && self.finished.is_none()).then_some(rest));
                }
                Work::End if self.running.is_empty() && self.finished.is_none() => return Err(Turn::End),
                Work::End => return Ok(None),
            }
        }
    }

    fn launch(&mut self, charge: Charge, mut entries: Vec<Entry<J>>) -> Result<(), Turn> {
        let images: Batch = entries.iter_mut().map(|entry| entry.payload.image()).collect();
        let launched = self.clock.now();
        let result = match self.models.get_mut(&charge.model) {
            Some(serving) => caught(|| serving.executable.launch(images)),
            None => Err(RunError::Batch("its model is not on this device".to_owned())),
        };
        match result {
            Ok(id) => self.running.push_back(Running { id, charge, entries, launched }),
            Err(RunError::DeviceLost(why)) => return Err(self.lost(why, entries)),
            Err(error) => {
                self.dispatcher.failed(charge);
                self.tell(charge, &error, entries);
            }
        }
        Ok(())
    }

    /// Waits for a batch; its images are answered in the next turn.
    fn finish(&mut self, Running { id, charge, entries, launched }: Running<J>) -> Turn {
        let result = match self.models.get_mut(&charge.model) {
            Some(Serving { executable, .. }) => {
                let mut logits = vec![0.0; entries.len() * executable.classes()];
                caught(|| executable.finish(id, &mut logits)).map(|()| logits)
            }
            None => Err(RunError::Batch("its model is not on this device".to_owned())),
        };
        let now = self.clock.now();
        let busy = now.saturating_duration_since(launched.max(self.free_since));
        self.free_since = now;
        match &result {
            Ok(_) => self.dispatcher.done(charge, busy),
            Err(RunError::DeviceLost(why)) => {
                let why = why.clone();
                return self.lost(why, entries);
            }
            Err(_) => self.dispatcher.failed(charge),
        }
        self.finished = Some(Finished { charge, entries, launched, busy, result });
        Turn::More
    }

    fn answer(&self, Finished { charge, entries, launched, busy, result }: Finished<J>) {
        let logits = match result {
            Ok(logits) => logits,
            Err(error) => return self.tell(charge, &error, entries),
        };
        let batch_size = entries.len();
        if let Some(Serving { metrics, statistics, family, .. }) = self.models.get(&charge.model) {
            metrics.batch(family, &self.name, batch_size, busy);
            statistics.batch(batch_size, busy);
            for entry in &entries {
                metrics.stage(Stage::Queue, launched.saturating_duration_since(entry.enqueued));
                metrics.stage(Stage::Compute, busy);
            }
        }
        let classes = (logits.len() / batch_size.max(1)).max(1);
        for (entry, logits) in entries.into_iter().zip(logits.chunks(classes)) {
            let queue = launched.saturating_duration_since(entry.enqueued);
            let device = Arc::clone(&self.name);
            let computed = Computed { logits: logits.to_vec(), batch_size, device, queue, compute: busy };
            entry.payload.answer(Ok(computed));
        }
    }

    /// Tells the images of a batch that it has failed.
    fn tell(&self, charge: Charge, error: &RunError, entries: Vec<Entry<J>>) {
        let model = self.models.get(&charge.model).map(|serving| serving.metrics.model()).unwrap_or_default();
        tracing::error!(model, device = &*self.name, images = entries.len(), %error, "a batch has failed");
        answer_all(entries, &ServiceError::Internal(error.to_string()));
    }

    /// Ends the device: what ran on it fails, what waits goes to others or is told that there are none.
    fn lost(&mut self, why: String, failed: Vec<Entry<J>>) -> Turn {
        self.answer_finished();
        // before anybody hears of it, so that who sees the failure sees readiness off
        let stranded = self.dispatcher.fail(self.index, &why);
        let error = ServiceError::Internal(format!("{} is lost: {why}", self.name));
        answer_all(failed, &error);
        self.running.drain(..).for_each(|running| answer_all(running.entries, &error));
        answer_all(stranded, &ServiceError::NotReady(format!("the last device of the model is lost: {why}")));
        for Warming { added, .. } in self.warming.drain(..) {
            let _ = added.send(Err(LoadError::Device { device: self.name.to_string(), why: why.clone() }));
        }
        Turn::Lost(why)
    }

    /// Waits for all that runs, and answers it.
    fn settle(&mut self) -> Result<(), Turn> {
        self.answer_finished();
        while let Some(oldest) = self.running.pop_front() {
            match self.finish(oldest) {
                Turn::More => self.answer_finished(),
                lost => return Err(lost),
            }
        }
        Ok(())
    }

    fn answer_finished(&mut self) {
        if let Some(finished) = self.finished.take() {
            self.answer(finished);
        }
    }

    fn follow(&mut self, command: ModelCommand) {
        match command {
            ModelCommand::Add(addition) => self.add(*addition),
            ModelCommand::Remove(model) => {
                self.models.remove(&model);
                self.warming.retain(|warming| warming.model != model);
                self.dispatcher.removed(self.index);
            }
        }
    }

    fn add(&mut self, Addition { model, loaded, program, weights, metrics, statistics, added }: Addition) {
        let make = || {
            let mut executable = loaded.instantiate()?;
            if let Some(weights) = &weights {
                executable.self_check(&program, &**weights)?;
            }
            Ok(executable)
        };
        let device = || self.name.to_string();
        let made = catch_unwind(AssertUnwindSafe(make))
            .unwrap_or_else(|panic| Err(LoadError::Device { device: device(), why: panics::text(&*panic) }));
        match made {
            Ok(executable) => self.warming.push_back(Warming {
                warm_up: WarmUp::new(executable.buckets()),
                image: vec![GREY; program.input.height * program.input.width * 3].into(),
                serving: Serving { executable, metrics, statistics, family: program.family.clone() },
                model,
                added,
            }),
            Err(error) => drop(added.send(Err(error))),
        }
    }

    /// One run of the first model that is not warm; with the last of its runs it serves.
    fn warm(&mut self) -> Result<(), Turn> {
        self.warmed = true;
        let Some(mut warming) = self.warming.pop_front() else { return Ok(()) };
        if let Some(images) = warming.warm_up.next() {
            let image = |_| Image::new(PixelFormat::Rgb8, Arc::clone(&warming.image));
            let batch: Batch = (0..images).map(image).collect();
            let began = self.clock.now();
            let ran = caught(|| warming.serving.executable.run(batch));
            self.free_since = self.clock.now();
            match ran {
                Ok(_) => warming.warm_up.ran(self.free_since - began),
                Err(RunError::DeviceLost(why)) => {
                    self.warming.push_front(warming);
                    return Err(self.lost(why, Vec::new()));
                }
                Err(error) => {
                    let why = format!("a batch of {images} grey images does not run: {error}");
                    let _ = warming.added.send(Err(LoadError::Device { device: self.name.to_string(), why }));
                    return Ok(());
                }
            }
        }
        if warming.warm_up.next().is_some() {
            self.warming.push_front(warming);
            return Ok(());
        }
        let Warming { warm_up, serving, model, added, .. } = warming;
        let times = warm_up.times();
        let answer = Added {
            leases: Arc::clone(serving.executable.leases()),
            preferred_batch: times.preferred(),
            image_seconds: times.image_seconds(),
        };
        if self.dispatcher.open(model, self.index, times) {
            self.models.insert(model, serving);
            let _ = added.send(Ok(answer));
        }
        Ok(())
    }
}

/// A panic of an engine is a device that nobody knows any more.
fn caught<T>(run: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(RunError::DeviceLost(panics::text(&*panic))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests;
