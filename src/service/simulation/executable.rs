//! An executable that computes nothing and takes its time by a simulated clock. Not here: how long that is (`speed`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::clock::SimulatedClock;
use super::speed::Speed;
use crate::engine::{Batch, BatchId, Buckets, Executable, LeasePool, LoadError, Loaded, MemoryUse, RunError};

/// Makes executables on the device of a clock.
pub(in crate::service) struct SimulatedModel {
    pub(in crate::service) clock: SimulatedClock,
    pub(in crate::service) speed: Arc<Speed>,
    /// Of the times' spread.
    pub(in crate::service) seed: u64,
    /// How far its slowness is ahead of the clock.
    pub(in crate::service) ahead: Duration,
}

impl Loaded for SimulatedModel {
    fn memory(&self) -> MemoryUse {
        MemoryUse::default()
    }

    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError> {
        Ok(Box::new(SimulatedExecutable {
            clock: self.clock.clone(),
            speed: Arc::clone(&self.speed),
            ahead: self.ahead,
            leases: LeasePool::plain(1, 1),
            random: fastrand::Rng::with_seed(self.seed),
            running: VecDeque::new(),
            batches: 0,
        }))
    }
}

struct SimulatedExecutable {
    clock: SimulatedClock,
    speed: Arc<Speed>,
    ahead: Duration,
    leases: Arc<LeasePool>,
    random: fastrand::Rng,
    running: VecDeque<BatchId>,
    batches: u64,
}

impl Executable for SimulatedExecutable {
    fn buckets(&self) -> &Buckets {
        &self.speed.buckets
    }

    fn in_flight(&self) -> usize {
        self.speed.in_flight
    }

    fn classes(&self) -> usize {
        1
    }

    fn leases(&self) -> &Arc<LeasePool> {
        &self.leases
    }

    fn launch(&mut self, batch: Batch) -> Result<BatchId, RunError> {
        let speed = &*self.speed;
        let images = batch.len();
        if self.running.len() == speed.in_flight || images > speed.buckets.max() {
            return Err(RunError::Input(format!("{images} images behind {} batches", self.running.len())));
        }
        self.clock.pass(speed.launch);
        let (ahead, random) = (self.ahead, &mut self.random);
        let compute = |pause, since: Duration| speed.compute(images, pause, since + ahead, random);
        self.clock.launch(images, speed.copy * images as u32, compute);
        self.batches += 1;
        let id = BatchId(self.batches);
        self.running.push_back(id);
        Ok(id)
    }

    fn finish(&mut self, id: BatchId, _: &mut [f32]) -> Result<(), RunError> {
        if self.running.pop_front() != Some(id) {
            return Err(RunError::Input(format!("{id:?} is not the oldest batch")));
        }
        self.clock.finish();
        self.clock.pass(self.speed.launch);
        Ok(())
    }
}
