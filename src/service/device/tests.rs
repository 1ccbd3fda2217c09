//! Devices under saturation against a simulated clock: the very loop of a device's thread drives engines whose batches take
//! simulated time, and whose host pays for every launch and every answer.

use std::cell::RefCell;
use std::sync::Mutex;

use super::*;
use crate::metrics::Metrics;
use crate::service::queue::EntryId;
use crate::service::simulation::clock::SimulatedClock;
use crate::service::simulation::executable::SimulatedModel;
use crate::service::simulation::{BatchTime, Speed, program};

const MICROSECOND: Duration = Duration::from_micros(1);
/// What the host pays: for a launch and for waiting, and for each answer (a channel, metrics, an allocation).
const LAUNCH: Duration = Duration::from_micros(10);
const ANSWER: Duration = Duration::from_micros(4);
/// Images that always wait.
const BACKLOG: usize = 256;

thread_local! {
    /// The clock of the device whose turn it is, on the one thread of a simulation.
    static CURRENT: RefCell<Option<SimulatedClock>> = const { RefCell::new(None) };
}

fn current() -> SimulatedClock {
    CURRENT.with_borrow(|clock| clock.clone().unwrap())
}

/// A model on the device of a clock, whose batches take a fixed time and some per image.
fn simulated(clock: &SimulatedClock, image: Duration, in_flight: usize) -> Arc<SimulatedModel> {
    let time = |images: usize| BatchTime::constant(images, (20 * MICROSECOND + image * images as u32).as_secs_f64());
    let speed = Speed::of_gpu(vec![time(1), time(64)], 64, [LAUNCH, ANSWER, Duration::ZERO]).unwrap();
    let (speed, ahead) = (Arc::new(Speed { in_flight, ..speed }), Duration::ZERO);
    Arc::new(SimulatedModel { clock: clock.clone(), speed, seed: 0, ahead })
}

/// An image whose answer costs the host time and is counted by its model.
struct SimulatedJob {
    model: usize,
    answered: Arc<Mutex<Vec<u64>>>,
}

impl Job for SimulatedJob {
    fn image(&mut self) -> Image {
        Image::new(PixelFormat::Rgb8, [0])
    }

    fn is_abandoned(&self) -> bool {
        false
    }

    fn answer(self, result: Result<Computed, ServiceError>) {
        result.unwrap();
        current().pass(ANSWER);
        self.answered.lock().unwrap()[self.model] += 1;
    }
}

/// What came of a simulation.
struct Outcome {
    /// Of each device, the share of its time in which it computed.
    busy: Vec<f64>,
    /// Images of each model.
    answered: Vec<u64>,
    /// Images per second.
    rate: f64,
}

/// Devices that serve models of these times per image, all of which always wait, for a simulated second after warm-up.
fn saturate(devices: usize, in_flight: usize, images: &[Duration]) -> Outcome {
    let start = Instant::now();
    let dispatcher = Dispatcher::new(devices);
    let clocks: Vec<SimulatedClock> = (0..devices).map(|_| SimulatedClock::new(start)).collect();
    let metrics = Metrics::new().unwrap();
    let program = program().unwrap();
    let mut loops: Vec<Device<SimulatedJob, SimulatedClock>> = clocks
        .iter()
        .enumerate()
        .map(|(index, clock)| {
            Device::new(DeviceIndex(index), &format!("simulated:{index}"), Arc::clone(&dispatcher), clock.clone())
        })
        .collect();
    let mut models = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let model = dispatcher.add(Duration::ZERO);
        models.push(model);
        for (device, clock) in clocks.iter().enumerate() {
            let (added, _) = oneshot::channel();
            let addition = Addition {
                model,
                loaded: simulated(clock, *image, in_flight),
                program: Arc::clone(&program),
                weights: None,
                metrics: metrics.model(&format!("m{index}")),
                statistics: Arc::default(),
                added,
            };
            dispatcher.command(DeviceIndex(device), ModelCommand::Add(Box::new(addition)));
        }
    }
    // warm-up
    for (device, clock) in loops.iter_mut().zip(&clocks) {
        CURRENT.set(Some(clock.clone()));
        while device.turn() == Turn::More {}
    }
    let begin = clocks.iter().map(Clock::now).max().unwrap();
    let end = begin + Duration::from_secs(1);
    for clock in &clocks {
        clock.reach(begin);
        clock.count(begin..end);
    }

    let answered = Arc::new(Mutex::new(vec![0; images.len()]));
    let mut ids = 0;
    loop {
        // the device whose host is furthest behind has its turn
        let turn = (0..devices).min_by_key(|device| clocks[*device].now()).unwrap();
        let now = clocks[turn].now();
        if now >= end {
            break;
        }
        for (index, model) in models.iter().enumerate() {
            while dispatcher.waiting(*model) < BACKLOG {
                ids += 1;
                let job = SimulatedJob { model: index, answered: Arc::clone(&answered) };
                dispatcher.push(*model, EntryId(ids), now, now + Duration::from_secs(60), job);
            }
        }
        CURRENT.set(Some(clocks[turn].clone()));
        assert_eq!(loops[turn].turn(), Turn::More);
    }
    let answered = answered.lock().unwrap().clone();
    let busy = clocks.iter().map(|clock| clock.worked().busy.as_secs_f64()).collect();
    Outcome { busy, rate: answered.iter().sum::<u64>() as f64, answered }
}

/// A GPU's: 64 images in 2.6 ms.
const FAST: Duration = Duration::from_micros(40);

#[test]
fn a_saturated_device_computes_at_least_98_per_cent_of_the_time_and_four_are_four_times_as_fast() {
    let one = saturate(1, 2, &[FAST]);
    assert!(one.busy[0] >= 0.98, "{:?}", one.busy);
    let four = saturate(4, 2, &[FAST]);
    assert!(four.busy.iter().all(|busy| *busy >= 0.98), "{:?}", four.busy);
    let ratio = four.rate / one.rate;
    assert!((3.92..=4.08).contains(&ratio), "four devices are {ratio:.3} times as fast as one");
}

#[test]
fn with_one_batch_in_flight_the_next_is_launched_before_the_last_is_answered() {
    // the answers of a batch take a tenth of its time: a device that waited for them would compute 90 % of the time
    let one = saturate(1, 1, &[FAST]);
    assert!(one.busy[0] >= 0.98, "{:?}", one.busy);
}

#[test]
fn saturated_models_share_all_devices_and_none_starves() {
    // of the same cost, of a fifth of it, of five times as much
    let costs = [FAST, FAST / 5, FAST * 5];
    for devices in [1, 4] {
        let outcome = saturate(devices, 2, &costs);
        assert!(outcome.busy.iter().all(|busy| *busy >= 0.98), "{:?}", outcome.busy);
        let time = |(answered, cost): (&u64, &Duration)| *answered as f64 * cost.as_secs_f64();
        let times: Vec<f64> = outcome.answered.iter().zip(&costs).map(time).collect();
        let total: f64 = times.iter().sum();
        for time in &times {
            let share = time / total;
            assert!((0.25..0.42).contains(&share), "{devices} devices: {times:?}");
        }
    }
}

#[test]
fn a_model_that_comes_warms_up_while_the_others_are_served() {
    let start = Instant::now();
    let dispatcher: Arc<Dispatcher<SimulatedJob>> = Dispatcher::new(1);
    let clock = SimulatedClock::new(start);
    CURRENT.set(Some(clock.clone()));
    let mut device = Device::new(DeviceIndex(0), "simulated", Arc::clone(&dispatcher), clock.clone());
    let metrics = Metrics::new().unwrap();
    let program = program().unwrap();
    let add = |name: &str, image: Duration| {
        let model = dispatcher.add(Duration::ZERO);
        let (added, told) = oneshot::channel();
        let addition = Addition {
            model,
            loaded: simulated(&clock, image, 2),
            program: Arc::clone(&program),
            weights: None,
            metrics: metrics.model(name),
            statistics: Arc::default(),
            added,
        };
        dispatcher.command(DeviceIndex(0), ModelCommand::Add(Box::new(addition)));
        (model, told)
    };
    let (old, mut old_added) = add("old", FAST);
    while device.turn() == Turn::More {}
    assert!(old_added.try_recv().unwrap().is_ok());

    let (_new, mut new_added) = add("new", FAST * 10);
    let answered = Arc::new(Mutex::new(vec![0]));
    let (mut ids, mut longest_gap, mut last) = (0, Duration::ZERO, clock.now());
    while new_added.try_recv().is_err() {
        while dispatcher.waiting(old) < BACKLOG {
            ids += 1;
            let job = SimulatedJob { model: 0, answered: Arc::clone(&answered) };
            dispatcher.push(old, EntryId(ids), clock.now(), clock.now() + Duration::from_secs(60), job);
        }
        let before = answered.lock().unwrap()[0];
        device.turn();
        if answered.lock().unwrap()[0] > before {
            longest_gap = longest_gap.max(clock.now() - last);
            last = clock.now();
        }
    }
    // never longer than a batch of its own and the longest of the new one: 2.6 and 25.6 ms
    assert!(longest_gap <= Duration::from_millis(35), "nothing was answered for {longest_gap:?}");
    assert!(answered.lock().unwrap()[0] > 64, "it was served in between");
}
