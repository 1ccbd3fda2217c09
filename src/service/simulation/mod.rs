//! Servers that are simulated: the very scheduler, device loop, warm-up and admission of this service, on devices whose batches take simulated time.
//!
//! ```text
//! arrivals ─balance─▶ replica: admission ─decode pool─▶ Dispatcher, Scheduler ─▶ Device (begin, wait) ─▶ Outcome
//! ```
//! One thread, by the events in their order, so that the same scenario has the same outcome everywhere. Not simulated: the network, other models, clients that
//! leave, the budgets of bodies and of pixels, a decode pool and an engine that take cores from each other.
//! Not here: where times are from, and what is asked of the outcome (`cli/plan`).

pub(in crate::service) mod clock;
pub(in crate::service) mod executable;
mod fleet;
mod outcome;
mod request;
mod slowness;
mod speed;

use std::sync::Arc;
use std::time::Duration;

use self::fleet::Fleet;
pub use self::outcome::Outcome;
pub use self::slowness::Slowness;
pub use self::speed::{AfterPause, BatchTime, Quantiles, SHARES, Speed, SpeedError};
use super::ModelOptions;
use crate::model::Spec;
use crate::program::{InputSpec, Program};

/// Servers of one model behind a load balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Servers, each with a queue of its own. Where turns or chance decide who gets a request, one is simulated and stands for all.
    pub replicas: usize,
    /// Devices of a server.
    pub devices: usize,
    /// Who gets a request.
    pub balancing: Balancing,
    /// Of each device.
    pub speed: Speed,
    /// `max_delay`, `queue_images` and `deadline` count; the largest batch is the speed's.
    pub model: ModelOptions,
    /// Of each server; None where images come as tensors.
    pub decode: Option<Decode>,
    /// What a request spends in its server beside decoding, queue and batch.
    pub host: Duration,
    /// Requests that are due before are served and not counted.
    pub warm_up: Duration,
    /// Behind the warm-up.
    pub measured: Duration,
    /// Of all that is drawn by lot but the arrivals.
    pub seed: u64,
}

/// A server's decode pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decode {
    /// Threads, each on a core of its own.
    pub threads: usize,
    /// An image takes one of them so long.
    pub time: Duration,
}

/// How a load balancer chooses a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// One after the other, as nginx by default.
    RoundRobin,
    /// Any, as clients that find servers by DNS.
    Random,
    /// The one with the fewest requests in flight; of equals the first in turn.
    LeastRequests,
}

/// A simulation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// Nothing to simulate.
    #[error("at least one server with one device is needed")]
    NoServers,
    /// The program or the metrics that a device's loop needs cannot be made.
    #[error("simulating a device: {0}")]
    Device(String),
}

/// What becomes of requests of one image each that come at these times since the start, rising; it ends with the last of the measured time.
///
/// # Errors
/// [`SimulationError`].
pub fn simulate(scenario: &Scenario, arrivals: impl Iterator<Item = Duration>) -> Result<Outcome, SimulationError> {
    if scenario.replicas == 0 || scenario.devices == 0 {
        return Err(SimulationError::NoServers);
    }
    let end = scenario.warm_up + scenario.measured;
    Fleet::new(scenario)?.run(arrivals.take_while(|due| *due < end))
}

/// What a device's loop is told of a model; it computes none.
pub(in crate::service) fn program() -> Result<Arc<Program>, SimulationError> {
    let device = |error: &dyn std::fmt::Display| SimulationError::Device(error.to_string());
    let spec = Spec::published("convnext_atto").map_err(|error| device(&error))?;
    spec.program(InputSpec::imagenet(32)).map(Arc::new).map_err(|error| device(&error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
