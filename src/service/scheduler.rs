//! The queues of all models and which of them runs next on which device, sans IO: deficit round-robin by device time.
//!
//! A device that has room asks for a batch, and only then is it decided who is in it. Models with something to run earn credit at
//! the same rate, on whatever devices they are; a batch is charged what it is estimated to take, and the difference when it is
//! through (Shreedhar and Varghese, 1996, with time for bytes). So models share the *time* of the devices evenly, whatever their
//! sizes, and none starves another.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::queue::{Entry, EntryId, Queue, Readiness};
use super::times::BatchTimes;

/// Names a model of the scheduler; no name is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub u64);

/// Index of a device among those of the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceIndex(pub usize);

/// What a device is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Run this batch, then call [`Scheduler::done`].
    Run(Charge, Vec<Entry<T>>),
    /// Nothing before this time, unless something is pushed.
    WaitUntil(Instant),
    /// Nothing until something is pushed.
    Idle,
}

/// What was charged for a batch that is out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Charge {
    /// Whose batch it is.
    pub model: ModelId,
    /// The device that runs it.
    pub device: DeviceIndex,
    /// Its images.
    pub images: usize,
    /// Seconds that it is estimated to take.
    estimate: f64,
}

impl Eq for Charge {}

/// A model's queue and its account.
#[derive(Debug)]
struct Lane<T> {
    queue: Queue<T>,
    /// Device time earned and not yet used, in seconds; negative after batches that cost more than was earned.
    credit: f64,
    /// The devices that the model is ready on, with what its batches take there.
    devices: BTreeMap<DeviceIndex, BatchTimes>,
}

impl<T> Lane<T> {
    /// Keeps credit and debt within the longest batch that it runs. More credit could be saved up where devices are slow, and then
    /// be taken from others; more debt would make a model starve for one batch that was held up.
    fn bound_credit(&mut self) {
        let longest = self.devices.values().map(BatchTimes::longest).fold(0.0, f64::max);
        self.credit = self.credit.clamp(-longest, longest);
    }

    /// The size of its largest batch anywhere.
    fn largest(&self) -> usize {
        self.devices.values().map(BatchTimes::preferred).max().unwrap_or(1)
    }
}

/// A device as the scheduler sees it.
#[derive(Clone, Debug, Default)]
struct Device {
    /// Batches that are out, the oldest first, one after the other.
    out: VecDeque<Charge>,
    /// When the oldest began.
    since: Option<Instant>,
    /// It runs no more.
    failed: bool,
}

impl Device {
    fn idles(&self) -> bool {
        self.out.is_empty()
    }

    /// Seconds until all that is out is through. A batch that takes longer than was estimated is taken to end now.
    fn left(&self, now: Instant) -> f64 {
        let elapsed = self.since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        let oldest = self.out.front().map_or(0.0, |oldest| (oldest.estimate - elapsed).max(0.0));
        oldest + self.out.iter().skip(1).map(|charge| charge.estimate).sum::<f64>()
    }
}

/// All queues and devices.
#[derive(Debug)]
pub struct Scheduler<T> {
    lanes: BTreeMap<ModelId, Lane<T>>,
    devices: Vec<Device>,
    /// The model that ran last: ties are broken in turn.
    last: ModelId,
    next_model: u64,
}

impl<T> Scheduler<T> {
    /// For so many devices.
    #[must_use]
    pub fn new(devices: usize) -> Self {
        Self { lanes: BTreeMap::new(), devices: vec![Device::default(); devices], last: ModelId(0), next_model: 0 }
    }

    /// Adds a model, which is ready nowhere yet.
    pub fn add(&mut self, queue: Queue<T>) -> ModelId {
        self.next_model += 1;
        let id = ModelId(self.next_model);
        self.lanes.insert(id, Lane { queue, credit: 0.0, devices: BTreeMap::new() });
        id
    }

    /// A model is ready on a device, where its batches take so long. Says whether that still matters: false when the device
    /// has failed or the model was removed.
    pub fn open(&mut self, model: ModelId, device: DeviceIndex, times: BatchTimes) -> bool {
        let Some(lane) = self.lanes.get_mut(&model).filter(|_| !self.devices[device.0].failed) else { return false };
        lane.devices.insert(device, times);
        true
    }

    /// Removes a model and gives what waited for it.
    pub fn remove(&mut self, model: ModelId) -> Vec<Entry<T>> {
        self.lanes.remove(&model).map(|mut lane| lane.queue.take(usize::MAX)).unwrap_or_default()
    }

    /// A device runs no more. What can run elsewhere stays in its queue; the rest is given back, for nobody will run it.
    pub fn fail(&mut self, device: DeviceIndex) -> Vec<Entry<T>> {
        self.devices[device.0] = Device { failed: true, ..Device::default() };
        let mut stranded = Vec::new();
        for lane in self.lanes.values_mut() {
            if lane.devices.remove(&device).is_some() && lane.devices.is_empty() {
                stranded.extend(lane.queue.take(usize::MAX));
            }
        }
        stranded
    }

    /// Whether a model is ready on at least one device.
    #[must_use]
    pub fn is_open(&self, model: ModelId) -> bool {
        self.lanes.get(&model).is_some_and(|lane| !lane.devices.is_empty())
    }

    /// Adds an entry to a model's queue.
    ///
    /// # Errors
    /// Gives the payload back when no device will run it.
    pub fn push(&mut self, model: ModelId, id: EntryId, now: Instant, deadline: Instant, payload: T) -> Result<(), T> {
        let devices = &self.devices;
        let Some(lane) = self.lanes.get_mut(&model).filter(|lane| !lane.devices.is_empty()) else {
            return Err(payload);
        };
        let idles = lane.devices.keys().any(|device| devices[device.0].idles());
        lane.queue.push(id, now, deadline, idles, payload);
        Ok(())
    }

    /// Takes an entry out, if it still waits.
    pub fn cancel(&mut self, model: ModelId, id: EntryId) -> Option<T> {
        self.lanes.get_mut(&model)?.queue.cancel(id)
    }

    /// Takes out the entries whose deadline has come.
    pub fn expire(&mut self, now: Instant) -> Vec<Entry<T>> {
        self.lanes.values_mut().flat_map(|lane| lane.queue.expire(now)).collect()
    }

    /// Entries of a model that wait.
    #[must_use]
    pub fn len(&self, model: ModelId) -> usize {
        self.lanes.get(&model).map_or(0, |lane| lane.queue.len())
    }

    /// Entries of a model that wait and are of this kind.
    pub(super) fn count(&self, model: ModelId, is_counted: impl Fn(&T) -> bool) -> usize {
        self.lanes.get(&model).map_or(0, |lane| lane.queue.payloads().filter(|payload| is_counted(payload)).count())
    }

    /// Whether nothing waits at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(|lane| lane.queue.is_empty())
    }

    /// How long until the batch of an image is through that comes now, behind `ahead` images of its model that were admitted and not answered.
    /// Models that wait for the same devices share them evenly, and a batch becomes at least as large as the one before, for more come while that runs.
    /// Nothing where a device is free for it: what it takes then is best learned by running it.
    #[must_use]
    pub fn estimated_wait(&self, model: ModelId, ahead: usize, now: Instant) -> Duration {
        let Some(lane) = self.lanes.get(&model) else { return Duration::ZERO };
        let runs = |charge: &&Charge| charge.model == model;
        let running: usize =
            self.devices.iter().flat_map(|device| &device.out).filter(runs).map(|out| out.images).sum();
        let waiting = ahead.saturating_sub(running);
        if waiting == 0 && lane.devices.keys().any(|device| self.devices[device.0].idles()) {
            return Duration::ZERO;
        }
        // whole batches run before its own, which it shares with the rest
        let rest = waiting % lane.largest();
        let shared = |(device, times): (&DeviceIndex, &BatchTimes)| {
            let waits = |(id, other): &(&ModelId, &Lane<T>)| {
                **id != model && other.devices.contains_key(device) && !other.queue.is_empty()
            };
            let sharers = 1 + self.lanes.iter().filter(waits).count();
            let busy = &self.devices[device.0];
            let before = busy.out.iter().rfind(runs).map_or(0, |charge| charge.images);
            Shared {
                busy: busy.left(now),
                image: (times.image_seconds() * sharers as f64).max(NO_TIME),
                own: times.seconds(before.max(rest + 1)) * sharers as f64,
            }
        };
        let devices: Vec<Shared> = lane.devices.iter().map(shared).collect();
        let begins = begin(&devices, waiting - rest);
        let ends = devices.iter().map(|device| begins.max(device.busy) + device.own);
        Duration::try_from_secs_f64(ends.fold(f64::INFINITY, f64::min)).unwrap_or(Duration::ZERO)
    }

    /// What a device that has room is to do.
    pub fn next(&mut self, device: DeviceIndex, now: Instant) -> Next<T> {
        let mut ripe_at: Option<Instant> = None;
        let (mut runnable, mut earners) = (Vec::new(), Vec::new());
        let (devices, last) = (&self.devices, self.last);
        // in turn: those after the one that ran last come first
        let mut in_turn: Vec<(&ModelId, &mut Lane<T>)> = self.lanes.iter_mut().collect();
        in_turn.sort_by_key(|(id, _)| **id <= last);
        for (&id, lane) in in_turn {
            let waiting = match lane.queue.readiness(now, lane.largest()) {
                Readiness::Now(waiting) => waiting,
                Readiness::RipeAt(at) => {
                    if lane.devices.contains_key(&device) {
                        ripe_at = Some(ripe_at.map_or(at, |other| other.min(at)));
                    }
                    continue;
                }
                Readiness::Empty => continue,
            };
            earners.push(id);
            // devices that idle share what waits: one with all of it would leave the others without work
            let idle = lane.devices.keys().filter(|other| **other != device && devices[other.0].idles()).count();
            let Some(times) = lane.devices.get(&device) else { continue };
            let share = waiting.div_ceil(1 + idle);
            let (images, estimate) = times.choose(share);
            let missing = (estimate - lane.credit).max(0.0);
            runnable.push((id, share, images, estimate, missing));
        }
        // All earn at the same rate, so the one that misses least comes first; of equals, the first in turn.
        let Some(&(model, share, images, estimate, missing)) = runnable.iter().min_by(|a, b| a.4.total_cmp(&b.4))
        else {
            return ripe_at.map_or(Next::Idle, Next::WaitUntil);
        };
        for id in earners {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.credit += missing;
                lane.bound_credit();
            }
        }
        self.last = model;
        let charge = Charge { model, device, images, estimate };
        let out = &mut self.devices[device.0];
        if out.idles() {
            out.since = Some(now);
        }
        out.out.push_back(charge);
        let Some(lane) = self.lanes.get_mut(&model) else { return Next::Idle };
        lane.credit -= estimate;
        if let Some(times) = lane.devices.get_mut(&device) {
            times.passed_over(share, images);
        }
        Next::Run(charge, lane.queue.take(images))
    }

    /// A batch is through and took its device this long.
    pub fn done(&mut self, charge: Charge, took: Duration) {
        self.over(charge, took);
        let Some(lane) = self.lanes.get_mut(&charge.model) else { return };
        lane.credit += charge.estimate - took.as_secs_f64();
        if lane.queue.is_empty() {
            // nobody saves credit for a burst; debt is kept
            lane.credit = lane.credit.min(0.0);
        }
        if let Some(times) = lane.devices.get_mut(&charge.device) {
            times.ran(charge.images, took);
        }
        lane.bound_credit();
    }

    /// A batch is over that says nothing of its time, as one that failed.
    pub fn failed(&mut self, charge: Charge) {
        self.over(charge, Duration::ZERO);
        if let Some(lane) = self.lanes.get_mut(&charge.model) {
            lane.credit = (lane.credit + charge.estimate).min(0.0);
        }
    }

    /// The next oldest begins where this one ends.
    fn over(&mut self, charge: Charge, took: Duration) {
        let device = &mut self.devices[charge.device.0];
        let Some(index) = device.out.iter().position(|out| *out == charge) else { return };
        device.out.remove(index);
        device.since = device.since.map(|since| since + took);
    }
}

/// A device as an image sees it that waits for it.
struct Shared {
    /// Seconds until all that is out is through.
    busy: f64,
    /// Seconds of an image in batches of the best size, among those of others.
    image: f64,
    /// Seconds of the batch that the image would be in.
    own: f64,
}

/// In place of no time at all, by which nothing can be divided.
const NO_TIME: f64 = 1e-15;

/// Seconds until the devices have run so many images and one of them has room: each begins with what it is done with, the soonest first.
fn begin(devices: &[Shared], images: usize) -> f64 {
    let mut soonest: Vec<&Shared> = devices.iter().collect();
    soonest.sort_by(|a, b| a.busy.total_cmp(&b.busy));
    // by the first device, by the first two …: more than these are not free before
    let (mut rate, mut done, mut begins) = (0.0, 0.0, f64::INFINITY);
    for device in soonest {
        if device.busy >= begins {
            break;
        }
        rate += 1.0 / device.image;
        done += device.busy / device.image;
        begins = (images as f64 + done) / rate;
    }
    begins
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests;
