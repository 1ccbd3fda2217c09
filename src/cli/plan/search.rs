//! What is asked of simulations: the fewest servers that hold a latency, what becomes of a fleet as its load rises, and where an autoscaler would act.
//! Not here: how a fleet is simulated (`service::simulation`).

use std::time::Duration;

use super::cards::Case;
use crate::cli::load::arrivals::{Arrivals, Spacing};
use crate::service::simulation::{Outcome, Scenario, SimulationError, simulate};

/// Loads that are tried, as shares of what the devices can do at most.
const LOADS: [f64; 11] = [0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1];
/// Measured at least, in requests of all servers and in time: near saturation queues take seconds to become as long as they will.
const REQUESTS: f64 = 20_000.0;
const SHORTEST: Duration = Duration::from_secs(10);
/// A load that is no more than the devices can do, but for rounding.
const FULL: f64 = 1.0 + 1e-9;
/// How near to a load the search comes, as a share of what the devices can do.
const NEAR: f64 = 0.01;
/// Servers that are tried at most, as a multiple of those that could carry the rate.
const MOST_TIMES: usize = 8;

/// What does not change from a simulation to the next.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// All but the servers and their speed; its times count where `seconds` is given.
    pub(super) scenario: Scenario,
    /// Measured time; None is as long as needed.
    pub(super) seconds: Option<Duration>,
    pub(super) spacing: Spacing,
    /// Latency that 99 of 100 requests are to have at most.
    pub(super) p99: Duration,
}

/// A fleet under a load.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    /// Of what its devices can do at most.
    pub(super) share: f64,
    /// Requests a second to all servers.
    pub(super) rate: f64,
    pub(super) outcome: Outcome,
}

/// An autoscaler that adds servers when the mean of the queue's time is above its target, and what this means.
#[derive(Clone, Debug)]
pub(super) struct Autoscaling {
    /// The highest load that holds the latency and refuses nobody.
    pub(super) highest: Loaded,
    /// The load at which the mean is the target; None where it never is before requests are refused.
    pub(super) fires: Option<Loaded>,
    /// The load at which to add servers, so that they are there when the highest is reached; its mean is the target to set.
    pub(super) advised: Loaded,
}

impl Question {
    /// What so many servers can do at most, images a second.
    pub(super) fn capacity(&self, case: &Case, servers: usize) -> f64 {
        let devices = case.speed.capacity() * self.scenario.devices as f64;
        let decoders =
            self.scenario.decode.map_or(f64::INFINITY, |decode| decode.threads as f64 / decode.time.as_secs_f64());
        devices.min(decoders) * servers as f64
    }

    /// What becomes of a rate.
    pub(super) fn at(&self, case: &Case, servers: usize, rate: f64) -> Result<Loaded, SimulationError> {
        let long_enough = || SHORTEST.max(Duration::from_secs_f64(REQUESTS / rate)).max(case.speed.period());
        let measured = self.seconds.unwrap_or_else(long_enough);
        let warm_up = if self.seconds.is_some() { self.scenario.warm_up } else { measured / 5 };
        let speed = case.speed.clone();
        let scenario = Scenario { replicas: servers, speed, warm_up, measured, ..self.scenario.clone() };
        let outcome = simulate(&scenario, Arrivals::new(rate, self.spacing, scenario.seed))?;
        Ok(Loaded { share: rate / self.capacity(case, servers), rate, outcome })
    }

    /// Whether the latency is held and nobody refused.
    pub(super) fn holds(&self, loaded: &Loaded) -> bool {
        loaded.outcome.failed() == 0.0 && loaded.outcome.answers() > 0 && loaded.outcome.latency(0.99) <= self.p99
    }

    /// The fewest servers that hold the latency at a rate; None where more servers do not help.
    pub(super) fn fewest(&self, case: &Case, rate: f64) -> Result<Option<(usize, Loaded)>, SimulationError> {
        let least = ((rate / self.capacity(case, 1)).ceil() as usize).max(1);
        let (mut too_few, mut step) = (least - 1, 1);
        // ever larger steps up to one that holds, then the middle again and again
        let mut found = loop {
            let servers = too_few + step;
            if servers > least * MOST_TIMES {
                return Ok(None);
            }
            let loaded = self.at(case, servers, rate)?;
            if self.holds(&loaded) {
                break (servers, loaded);
            }
            (too_few, step) = (servers, step * 2);
        };
        while found.0 - too_few > 1 {
            let middle = too_few + (found.0 - too_few) / 2;
            let loaded = self.at(case, middle, rate)?;
            if self.holds(&loaded) { found = (middle, loaded) } else { too_few = middle }
        }
        Ok(Some(found))
    }

    /// What becomes of rising loads.
    pub(super) fn loads(&self, case: &Case, servers: usize) -> Result<Vec<Loaded>, SimulationError> {
        let capacity = self.capacity(case, servers);
        LOADS.iter().map(|share| self.at(case, servers, capacity * share)).collect()
    }

    /// What an autoscaler does that aims at a mean time in the queue, while the load may become `growth` times as much until new servers serve.
    /// None where even the smallest load does not hold the latency.
    pub(super) fn autoscaling(
        &self,
        case: &Case,
        servers: usize,
        target: Duration,
        growth: f64,
    ) -> Result<Option<Autoscaling>, SimulationError> {
        let (Some(highest), _) = self.edge(case, servers, |loaded| self.holds(loaded))? else { return Ok(None) };
        let below = |loaded: &Loaded| loaded.outcome.mean_queue() < target && loaded.outcome.failed() == 0.0;
        let (_, fires) = self.edge(case, servers, below)?;
        let fires = fires.filter(|fires| fires.outcome.mean_queue() >= target);
        let advised = self.at(case, servers, highest.rate / growth)?;
        Ok(Some(Autoscaling { highest, fires, advised }))
    }

    /// The highest load of which something is true that is true of all lower ones, and the load above it of which it is not.
    fn edge(
        &self,
        case: &Case,
        servers: usize,
        is_true: impl Fn(&Loaded) -> bool,
    ) -> Result<(Option<Loaded>, Option<Loaded>), SimulationError> {
        let capacity = self.capacity(case, servers);
        let (mut low, mut high, mut last, mut above) = (0.0, 1.1, None, None);
        while high - low > NEAR {
            let middle = (low + high) / 2.0;
            let loaded = self.at(case, servers, capacity * middle)?;
            if is_true(&loaded) {
                (low, last) = (middle, Some(loaded));
            } else {
                (high, above) = (middle, Some(loaded));
            }
        }
        Ok((last, above))
    }
}

/// The index of the load where the curve of p99 bends most: where it is furthest below the line from its first point to the one at full load
/// (Satopää et al., 2011). With batches latency rises from the first image on, so that no threshold of it would tell.
pub(super) fn knee(loads: &[Loaded]) -> Option<usize> {
    let p99 = |loaded: &Loaded| loaded.outcome.latency(0.99).as_secs_f64();
    let (first, full) = (loads.first()?, loads.iter().rfind(|loaded| loaded.share <= FULL)?);
    let slope = (p99(full) - p99(first)) / (full.share - first.share);
    let below = |loaded: &Loaded| p99(first) + slope * (loaded.share - first.share) - p99(loaded);
    let up_to_full = loads.iter().enumerate().filter(|(_, loaded)| loaded.share <= FULL);
    up_to_full.max_by(|(_, a), (_, b)| below(a).total_cmp(&below(b))).map(|(index, _)| index)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::cards::Times;
    use super::*;
    use crate::service::ModelOptions;
    use crate::service::simulation::{Balancing, BatchTime, Speed};

    /// 100 images/s, one by one; few requests, so that this is quick.
    fn question() -> (Question, Case) {
        let speed = Speed::of_cpu(vec![BatchTime::constant(1, 0.01)], 1).unwrap();
        let second = Duration::from_secs(1);
        let scenario = Scenario {
            replicas: 1,
            devices: 1,
            balancing: Balancing::RoundRobin,
            speed: speed.clone(),
            model: ModelOptions::default(),
            decode: None,
            host: Duration::ZERO,
            warm_up: second,
            measured: second,
            seed: 1,
        };
        let p99 = Duration::from_millis(50);
        let question = Question { scenario, seconds: Some(20 * second), spacing: Spacing::Poisson, p99 };
        (question, Case { device: "d".to_owned(), times: Times::Measured, speed })
    }

    #[test]
    fn the_fewest_servers_hold_the_latency_and_one_less_does_not() {
        let (question, case) = question();
        for rate in [50.0, 950.0, 3000.0] {
            let (servers, loaded) = question.fewest(&case, rate).unwrap().unwrap();
            assert!(question.holds(&loaded) && loaded.share < 1.0, "{servers} for {rate}");
            assert!(servers == 1 || !question.holds(&question.at(&case, servers - 1, rate).unwrap()), "{servers}");
        }
        let impossible = Question { p99: Duration::from_millis(9), ..question };
        assert!(impossible.fewest(&case, 50.0).unwrap().is_none());
    }

    #[test]
    fn an_autoscaler_is_advised_to_act_before_the_latency_is_lost() {
        let (question, case) = question();
        let found = question.autoscaling(&case, 1, Duration::from_millis(20), 1.25).unwrap().unwrap();
        let (highest, fires) = (&found.highest, found.fires.as_ref().unwrap());
        // M/D/1: the mean is 20 ms at 0.8, where p99 is near 90 ms
        assert!((0.7..0.9).contains(&fires.share), "{}", fires.share);
        assert!(highest.share < fires.share && !question.holds(fires), "{}", highest.share);
        assert!((found.advised.rate * 1.25 / highest.rate - 1.0).abs() < 1e-9);
        assert!(found.advised.outcome.mean_queue() < highest.outcome.mean_queue());
    }

    #[test]
    fn the_knee_is_where_the_curve_turns_up_below_saturation() {
        let (question, case) = question();
        let loads = question.loads(&case, 1).unwrap();
        let knee = &loads[knee(&loads).unwrap()];
        assert!((0.6..0.95).contains(&knee.share), "{}", knee.share);
    }
}
