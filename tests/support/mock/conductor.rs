//! The conductor's end of a mock engine: it holds batches, plants faults, and knows what ran.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use convnext_server::engine::LeasePool;

pub const CLASSES: usize = 6;
/// No test waits longer for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the next batches do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// The batch fails; the next may not.
    Batch,
    Panic,
    DeviceLost,
    /// Every logit of images of class 3 is not a number.
    NotANumber,
    /// What is computed is found to be wrong before a model serves.
    SelfCheck,
    /// The device gives no sign of life, though nothing runs.
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Batches may begin; they block while it is false.
    pub(super) held: bool,
    /// Batches that still may begin although held.
    pub(super) permits: usize,
    pub(super) fault: Fault,
    /// Batches that have begun.
    pub(super) begun: usize,
    /// The classes of the images of each batch that ran, with its model's architecture.
    pub(super) batches: Vec<(String, Vec<usize>)>,
    /// The device of each.
    pub(super) devices: Vec<usize>,
    /// Models that are on a device now.
    pub(super) loaded: usize,
    /// Weights may not go onto a device; loads block while it is true.
    pub(super) loads_held: bool,
    /// Loads that block.
    pub(super) loading: usize,
    /// The pools of all executables.
    pub(super) leases: Vec<Arc<LeasePool>>,
}

/// The conductor's end.
#[derive(Clone, Debug, Default)]
pub struct Conductor {
    pub(super) shared: Arc<(Mutex<State>, Condvar)>,
}

impl Conductor {
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
        result
    }

    /// Batches block as they begin.
    pub fn hold(&self) {
        self.with(|state| state.held = true);
    }

    pub fn release(&self) {
        self.with(|state| state.held = false);
    }

    /// Lets `count` held batches through.
    pub fn permit(&self, count: usize) {
        self.with(|state| state.permits += count);
    }

    pub fn fault(&self, fault: Fault) {
        self.with(|state| state.fault = fault);
    }

    /// The batches so far, warm-up left out.
    pub fn batches(&self) -> Vec<(String, Vec<usize>)> {
        self.with(|state| state.batches.clone())
    }

    /// The devices of those batches.
    pub fn devices(&self) -> Vec<usize> {
        self.with(|state| state.devices.clone())
    }

    /// Models that are on a device now, each once per device.
    pub fn loaded(&self) -> usize {
        self.with(|state| state.loaded)
    }

    /// Leases that are out now.
    pub fn lent(&self) -> usize {
        self.with(|state| state.leases.iter().map(|pool| pool.lent()).sum())
    }

    /// Loads block as they begin.
    pub fn hold_loads(&self) {
        self.with(|state| state.loads_held = true);
    }

    pub fn release_loads(&self) {
        self.with(|state| state.loads_held = false);
    }

    /// Loads that block now.
    pub fn loading(&self) -> usize {
        self.with(|state| state.loading)
    }

    /// Blocks a load while loads are held.
    pub(super) fn begin_load(&self) {
        let (state, bell) = &*self.shared;
        let mut guard = state.lock().unwrap();
        guard.loading += 1;
        let (mut guard, late) = bell.wait_timeout_while(guard, PATIENCE, |state| state.loads_held).unwrap();
        guard.loading -= 1;
        assert!(!late.timed_out(), "a load was held for ever");
    }

    /// Forgets the batches so far.
    pub fn forget(&self) {
        self.with(|state| {
            state.batches.clear();
            state.devices.clear();
            state.begun = 0;
        });
    }

    /// Whether so many batches have begun since [`forget`](Self::forget).
    pub fn has_begun(&self, count: usize) -> bool {
        self.with(|state| state.begun >= count)
    }

    /// Waits until so many batches have begun since [`forget`](Self::forget).
    pub fn wait_until_begun(&self, count: usize) {
        let (state, bell) = &*self.shared;
        let guard = state.lock().unwrap();
        let (_guard, late) = bell.wait_timeout_while(guard, PATIENCE, |state| state.begun < count).unwrap();
        assert!(!late.timed_out(), "batch {count} never began");
    }
}

/// Waits for what another thread is about to bring about.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// The same where the test's own runtime must go on meanwhile.
pub async fn becomes(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
