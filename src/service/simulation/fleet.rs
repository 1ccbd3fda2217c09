//! The events of simulated servers in their order: requests that come, images that are decoded, turns of devices. Not here: what a turn is (`device`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::clock::SimulatedClock;
use super::executable::SimulatedModel;
use super::outcome::Outcome;
use super::request::{Book, Request};
use super::{Balancing, Scenario, SimulationError, program};
use crate::metrics::Metrics;
use crate::service::admission::too_long;
use crate::service::budget::Budget;
use crate::service::command::{Addition, ModelCommand};
use crate::service::device::{Clock as _, Device, Turn};
use crate::service::dispatcher::Dispatcher;
use crate::service::queue::EntryId;
use crate::service::scheduler::{DeviceIndex, ModelId};

/// What a simulated device does.
enum State {
    /// Its thread has its turn.
    Turns,
    /// Its thread waits for a batch.
    Waits,
    /// It has nothing to do, before this time or at all, unless something comes.
    Rests(Option<Instant>),
}

struct Simulated {
    device: Device<Request, SimulatedClock>,
    clock: SimulatedClock,
    state: State,
}

impl Simulated {
    /// When it does the next thing by itself.
    fn next(&self) -> Option<Instant> {
        match self.state {
            State::Turns => Some(self.clock.now()),
            State::Waits => Some(self.clock.wakes()),
            State::Rests(until) => until.map(|until| until.max(self.clock.now())),
        }
    }

    fn go_on(&mut self) {
        let turn = match self.state {
            State::Waits => self.device.wait(),
            State::Rests(Some(until)) => {
                self.clock.reach(until);
                self.device.begin()
            }
            State::Turns | State::Rests(None) => self.device.begin(),
        };
        self.state = match turn {
            Turn::More => State::Turns,
            Turn::Running => State::Waits,
            Turn::Rest(rest) => State::Rests(rest.until),
            Turn::End | Turn::Lost(_) => State::Rests(None),
        };
    }
}

/// A server.
struct Replica {
    dispatcher: Arc<Dispatcher<Request>>,
    model: ModelId,
    /// As `queue_images`.
    permits: Arc<Budget>,
    devices: Vec<Simulated>,
    /// When each thread of its decode pool is free.
    decoders: BinaryHeap<Reverse<Instant>>,
    /// Decoded by then, rising.
    decoding: VecDeque<(Instant, EntryId, Request)>,
}

/// What happens next.
enum Event {
    Arrival,
    /// Of this server.
    Decoded(usize),
    /// Of this server and device.
    Turn(usize, usize),
}

/// All servers.
pub(super) struct Fleet<'a> {
    scenario: &'a Scenario,
    start: Instant,
    replicas: Vec<Replica>,
    book: Arc<Book>,
    /// The server after the one that was asked last.
    in_turn: usize,
    random: fastrand::Rng,
    entries: u64,
    /// Of the measured time, in which decoders were busy.
    decoded: Duration,
}

impl<'a> Fleet<'a> {
    /// Servers whose model is loaded and warm.
    pub(super) fn new(scenario: &'a Scenario) -> Result<Self, SimulationError> {
        let start = Instant::now();
        // where turns or chance decide, no server knows of another, and one stands for all
        let shown = match scenario.balancing {
            Balancing::RoundRobin | Balancing::Random => 1,
            Balancing::LeastRequests => scenario.replicas,
        };
        let book = Book::new(shown);
        let replicas = (0..shown).map(|index| Replica::warm(scenario, index)).collect::<Result<Vec<_>, _>>()?;
        let mut fleet = Self {
            scenario,
            start,
            replicas,
            book,
            in_turn: 0,
            random: fastrand::Rng::with_seed(scenario.seed),
            entries: 0,
            decoded: Duration::ZERO,
        };
        // all begin together, at the end of the longest warm-up
        let clocks = || fleet.replicas.iter().flat_map(|replica| replica.devices.iter().map(|one| &one.clock));
        fleet.start = clocks().map(|clock| clock.now()).max().unwrap_or(start);
        let window = fleet.start + scenario.warm_up..fleet.start + scenario.warm_up + scenario.measured;
        for clock in clocks() {
            clock.start(fleet.start);
            clock.count(window.clone());
        }
        Ok(fleet)
    }

    pub(super) fn run(mut self, arrivals: impl Iterator<Item = Duration>) -> Result<Outcome, SimulationError> {
        let mut arrivals = arrivals.peekable();
        loop {
            let due = arrivals.peek().map(|due| self.start + *due);
            match self.next(due) {
                Some((at, Event::Arrival)) => {
                    arrivals.next();
                    self.arrive(at);
                }
                Some((at, Event::Decoded(replica))) => self.replicas[replica].decoded(at),
                Some((_, Event::Turn(replica, device))) => {
                    let simulated = &mut self.replicas[replica].devices[device];
                    self.book.open().turn_of = Some(simulated.clock.clone());
                    simulated.go_on();
                }
                None => break,
            }
        }
        Ok(self.close())
    }

    /// The first event: of those at one time an arrival, then an image, then a device, so that devices see all that has come.
    fn next(&self, due: Option<Instant>) -> Option<(Instant, Event)> {
        let mut first = due.map(|due| (due, Event::Arrival));
        let mut consider = |at: Option<Instant>, event: Event| {
            if let Some(at) = at
                && first.as_ref().is_none_or(|(first, _)| at < *first)
            {
                first = Some((at, event));
            }
        };
        for (index, replica) in self.replicas.iter().enumerate() {
            consider(replica.decoding.front().map(|(at, ..)| *at), Event::Decoded(index));
        }
        for (index, replica) in self.replicas.iter().enumerate() {
            for (device, simulated) in replica.devices.iter().enumerate() {
                consider(simulated.next(), Event::Turn(index, device));
            }
        }
        first
    }

    /// A request comes to the balancer.
    fn arrive(&mut self, due: Instant) {
        let index = self.choose();
        let Scenario { speed, model, decode, host, warm_up, .. } = self.scenario;
        let counts = due >= self.start + *warm_up;
        let Some(replica) = self.replicas.get_mut(index) else { return };
        // as `admission::check`
        let wait = replica.dispatcher.estimated_wait(replica.model, replica.permits.used() as usize, due);
        let permit = if too_long(wait, model.deadline).is_some() { None } else { replica.permits.take(1) };
        let mut pages = self.book.open();
        let Some(permit) = permit else {
            pages.outcome.rejected += u64::from(counts);
            return;
        };
        pages.in_flight[index] += 1;
        drop(pages);
        let deadline = due + model.deadline;
        let (answer, book) = (speed.answer, Arc::clone(&self.book));
        let request = Request { replica: index, due, deadline, counts, answer, book, _permit: permit };
        let mut ready = due + *host;
        if let (Some(decode), Some(Reverse(free))) = (decode, replica.decoders.pop()) {
            let begin = free.max(ready);
            ready = begin + decode.time;
            replica.decoders.push(Reverse(ready));
            let window = self.start + *warm_up..self.start + *warm_up + self.scenario.measured;
            self.decoded += ready.min(window.end).saturating_duration_since(begin.max(window.start));
        }
        self.entries += 1;
        replica.decoding.push_back((ready, EntryId(self.entries), request));
    }

    fn choose(&mut self) -> usize {
        let count = self.scenario.replicas;
        let index = match self.scenario.balancing {
            Balancing::RoundRobin => self.in_turn,
            Balancing::Random => self.random.usize(..count),
            Balancing::LeastRequests => {
                let pages = self.book.open();
                let in_turn = (0..count).map(|index| (self.in_turn + index) % count);
                in_turn.min_by_key(|index| pages.in_flight[*index]).unwrap_or(0)
            }
        };
        self.in_turn = (index + 1) % count;
        index
    }

    fn close(self) -> Outcome {
        let Scenario { decode, measured, .. } = self.scenario;
        let worked: Vec<_> =
            self.replicas.iter().flat_map(|replica| &replica.devices).map(|one| one.clock.worked()).collect();
        let share = |busy: Duration, count: usize| busy.as_secs_f64() / (measured.as_secs_f64() * count.max(1) as f64);
        let (batches, images) = worked.iter().fold((0, 0), |(b, i), one| (b + one.batches, i + one.images));
        let threads = decode.map_or(1, |decode| decode.threads) * self.replicas.len();
        let mut outcome = std::mem::take(&mut self.book.open().outcome);
        outcome.busy = share(worked.iter().map(|one| one.busy).sum(), worked.len());
        outcome.decode_busy = share(self.decoded, threads);
        outcome.mean_batch = images as f64 / (batches as f64).max(1.0);
        outcome.close();
        outcome
    }
}

impl Replica {
    /// A server with its devices; their loops make executables and warm them up as in any server.
    fn warm(scenario: &Scenario, index: usize) -> Result<Self, SimulationError> {
        let start = Instant::now();
        let dispatcher = Dispatcher::new(scenario.devices);
        let model = dispatcher.add(scenario.model.max_delay);
        let metrics = Metrics::new().map_err(|error| SimulationError::Device(error.to_string()))?;
        let (program, speed) = (program()?, Arc::new(scenario.speed.clone()));
        // the first server is slow when its series says so, the others at any other time: machines are not slow together
        let slowness = speed.slowness.as_ref().filter(|_| index > 0);
        let random = &mut fastrand::Rng::with_seed(scenario.seed.wrapping_add(index as u64));
        let ahead = slowness.map_or(Duration::ZERO, |slowness| slowness.any(random));
        let mut devices = Vec::new();
        for device in 0..scenario.devices {
            let clock = SimulatedClock::new(start);
            let seed = scenario.seed.wrapping_mul(31).wrapping_add((index * scenario.devices + device) as u64);
            let (added, told) = oneshot::channel();
            let addition = Addition {
                model,
                loaded: Arc::new(SimulatedModel { clock: clock.clone(), speed: Arc::clone(&speed), seed, ahead }),
                program: Arc::clone(&program),
                weights: None,
                metrics: metrics.model("simulated"),
                statistics: Arc::default(),
                added,
            };
            let name = DeviceIndex(device);
            dispatcher.command(name, ModelCommand::Add(Box::new(addition)));
            let mut device = Device::new(name, "simulated", Arc::clone(&dispatcher), clock.clone());
            while device.turn() == Turn::More {}
            let told = told.blocking_recv().map_err(|error| error.to_string());
            told.and_then(|added| added.map_err(|error| error.to_string())).map_err(SimulationError::Device)?;
            devices.push(Simulated { device, clock, state: State::Rests(None) });
        }
        let threads = scenario.decode.map_or(0, |decode| decode.threads);
        Ok(Self {
            dispatcher,
            model,
            permits: Budget::new(scenario.model.queue_images as u64),
            devices,
            decoders: (0..threads).map(|_| Reverse(start)).collect(),
            decoding: VecDeque::new(),
        })
    }

    /// The first image is decoded and goes into the queue; devices that rest look again.
    fn decoded(&mut self, at: Instant) {
        let Some((_, id, request)) = self.decoding.pop_front() else { return };
        let deadline = request.deadline;
        self.dispatcher.push(self.model, id, at, deadline, request);
        for one in &mut self.devices {
            if matches!(one.state, State::Rests(_)) {
                one.clock.reach(at);
                one.state = State::Turns;
            }
        }
    }
}
