//! One version of a model that is loaded and serves. Dropping the last reference takes it off its devices: a version that was
//! replaced lives until the last request that began with it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::dispatcher::Dispatcher;
use super::image::ImageJob;
use super::scheduler::{DeviceIndex, ModelId};
use crate::checkpoint::ScoreFunction;
use crate::engine::{Lease, LeasePool, Precision};
use crate::metrics::{Form, ModelMetrics, Statistics};
use crate::pixels::Transform;
use crate::program::Program;

/// A loaded version of a model.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: ModelId,
    pub(super) version: u64,
    pub(super) metrics: Arc<ModelMetrics>,
    /// Of this version.
    pub(super) statistics: Arc<Statistics>,
    pub(super) program: Arc<Program>,
    pub(super) transform: Transform,
    /// Names of the classes.
    pub(super) classes: Vec<Arc<str>>,
    /// How logits become scores where a request does not say.
    pub(super) scores: ScoreFunction,
    pub(super) origin: String,
    pub(super) precision: Precision,
    pub(super) max_batch: usize,
    pub(super) deadline: Duration,
    pub(super) devices: Vec<OnDevice>,
    /// Images between admission and answer.
    pub(super) queue: Arc<Budget>,
    /// Memory of its devices for images that wait.
    pub(super) leases: Vec<(DeviceIndex, Arc<LeasePool>)>,
    /// The device whose memory is asked for next.
    pub(super) next_lease: AtomicUsize,
    pub(super) dispatcher: Arc<Dispatcher<ImageJob>>,
}

/// A device that a model is on.
#[derive(Clone, Debug)]
pub(super) struct OnDevice {
    pub(super) index: DeviceIndex,
    pub(super) name: String,
    /// Bytes of its memory that the model takes.
    pub(super) memory: u64,
}

impl Model {
    pub(super) fn name(&self) -> &str {
        self.metrics.model()
    }

    /// Whether a device runs it.
    pub(super) fn is_open(&self) -> bool {
        self.dispatcher.is_open(self.id)
    }

    /// The devices that run it: one that has failed does not.
    pub(super) fn running_devices(&self) -> impl Iterator<Item = &OnDevice> {
        self.devices.iter().filter(|device| !self.dispatcher.is_lost(device.index))
    }

    /// Bytes of memory that it takes on all of its devices.
    pub(super) fn memory(&self) -> u64 {
        self.devices.iter().map(|device| device.memory).sum()
    }

    /// Memory of a device for one image, if any is left. The devices that run take turns.
    pub(super) fn lease(&self) -> Option<Lease> {
        let first = self.next_lease.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.leases.len()).map(|index| &self.leases[(first.wrapping_add(index)) % self.leases.len()]);
        in_turn.filter(|(device, _)| !self.dispatcher.is_lost(*device)).find_map(|(_, pool)| pool.lease())
    }

    /// Images that wait for a device.
    pub(super) fn waiting(&self) -> usize {
        self.dispatcher.waiting(self.id)
    }

    /// Those of them that came in this form.
    pub(super) fn waiting_of(&self, form: Form) -> usize {
        self.dispatcher.waiting_of(self.id, |job| job.form() == Some(form))
    }

    /// How long until the batch of an image that comes now is through: all that were admitted before it are ahead.
    pub(super) fn estimated_wait(&self) -> Duration {
        self.dispatcher.estimated_wait(self.id, self.queue.used() as usize, Instant::now())
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.dispatcher.remove(self.id);
    }
}
