//! The scheduler against a made-up clock: what runs when, who gets how much, what is left of a device that fails.

use super::*;
use crate::engine::Buckets;

const MS: Duration = Duration::from_millis(1);
const NONE: Duration = Duration::ZERO;

/// The only device of most tests.
const DEVICE: DeviceIndex = DeviceIndex(0);

/// A scheduler and a clock that stands still until it is moved.
struct Stand {
    scheduler: Scheduler<u64>,
    models: Vec<ModelId>,
    now: Instant,
    ids: u64,
}

/// Batches of up to `max_batch` images that take `image` seconds per image.
fn times(max_batch: usize, image: f64) -> BatchTimes {
    let single = (max_batch > 1).then_some((1, image * 2.0));
    let largest = (max_batch, image * max_batch as f64);
    BatchTimes::new(&Buckets::Any(max_batch), single.into_iter().chain([largest]).collect())
}

impl Stand {
    /// Models with their largest batch and delay, all on so many devices.
    fn with_devices(devices: usize, lanes: &[(usize, Duration)]) -> Self {
        let mut scheduler = Scheduler::new(devices);
        let mut models = Vec::new();
        for &(max_batch, max_delay) in lanes {
            let model = scheduler.add(Queue::new(max_delay));
            for device in 0..devices {
                assert!(scheduler.open(model, DeviceIndex(device), times(max_batch, 0.01)));
            }
            models.push(model);
        }
        Self { scheduler, models, now: Instant::now(), ids: 0 }
    }

    fn new(lanes: &[(usize, Duration)]) -> Self {
        Self::with_devices(1, lanes)
    }

    fn push(&mut self, model: usize) -> EntryId {
        self.push_with_deadline(model, 1000 * MS)
    }

    fn push_with_deadline(&mut self, model: usize, deadline: Duration) -> EntryId {
        self.ids += 1;
        let id = EntryId(self.ids);
        self.scheduler.push(self.models[model], id, self.now, self.now + deadline, self.ids).unwrap();
        id
    }

    fn next(&mut self) -> Next<u64> {
        self.scheduler.next(DEVICE, self.now)
    }

    /// The batch that a device runs now.
    fn run_on(&mut self, device: usize) -> (Charge, Vec<u64>) {
        match self.scheduler.next(DeviceIndex(device), self.now) {
            Next::Run(charge, entries) => (charge, entries.into_iter().map(|entry| entry.payload).collect()),
            other => panic!("nothing runs: {other:?}"),
        }
    }

    /// The model and the payloads of the batch that runs now, and through at once.
    fn run_for(&mut self, took: Duration) -> (usize, Vec<u64>) {
        let (charge, payloads) = self.run_on(0);
        self.scheduler.done(charge, took);
        (self.index(charge), payloads)
    }

    /// Pushes one image and runs it on the first device.
    fn run_on_after_push(&mut self) -> Charge {
        self.push(0);
        self.run_on(0).0
    }

    fn index(&self, charge: Charge) -> usize {
        self.models.iter().position(|model| *model == charge.model).unwrap()
    }
}

#[test]
fn an_empty_queue_idles() {
    assert_eq!(Stand::new(&[(4, NONE)]).next(), Next::Idle);
}

#[test]
fn what_waits_runs_at_once_in_the_order_of_admission() {
    let mut stand = Stand::new(&[(8, NONE)]);
    for _ in 0..3 {
        stand.push(0);
    }
    assert_eq!(stand.run_for(MS), (0, vec![1, 2, 3]));
}

#[test]
fn an_entry_that_decoded_late_still_runs_in_the_order_of_admission() {
    let mut stand = Stand::new(&[(8, NONE)]);
    let now = stand.now;
    stand.scheduler.push(stand.models[0], EntryId(2), now, now + MS, 2).unwrap();
    stand.scheduler.push(stand.models[0], EntryId(1), now, now + MS, 1).unwrap();
    assert_eq!(stand.run_for(MS), (0, vec![1, 2]));
}

#[test]
fn a_batch_never_exceeds_its_maximum() {
    let mut stand = Stand::new(&[(2, NONE)]);
    for _ in 0..5 {
        stand.push(0);
    }
    let mut sizes = Vec::new();
    while !stand.scheduler.is_empty() {
        sizes.push(stand.run_for(20 * MS).1.len());
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn an_idle_device_waits_for_company_up_to_the_delay() {
    let mut stand = Stand::new(&[(4, 5 * MS)]);
    stand.push(0);
    assert_eq!(stand.next(), Next::WaitUntil(stand.now + 5 * MS));
    stand.now += 3 * MS;
    stand.push(0);
    assert_eq!(stand.next(), Next::WaitUntil(stand.now + 2 * MS), "the first one's delay counts");
    stand.now += 2 * MS;
    assert_eq!(stand.run_for(MS), (0, vec![1, 2]));
}

#[test]
fn an_image_in_a_hurry_waits_for_company_for_half_of_its_time() {
    let mut stand = Stand::new(&[(4, 50 * MS)]);
    stand.push_with_deadline(0, 20 * MS);
    assert_eq!(stand.next(), Next::WaitUntil(stand.now + 10 * MS));
}

#[test]
fn a_full_batch_does_not_wait_for_the_delay() {
    let mut stand = Stand::new(&[(2, 5 * MS)]);
    stand.push(0);
    stand.push(0);
    assert_eq!(stand.run_for(MS), (0, vec![1, 2]));
}

#[test]
fn what_came_while_the_device_was_busy_does_not_wait_for_the_delay() {
    let mut stand = Stand::new(&[(1, 5 * MS)]);
    stand.push(0);
    let (charge, _) = stand.run_on(0);
    stand.push(0);
    stand.scheduler.done(charge, MS);
    assert_eq!(stand.run_for(MS), (0, vec![2]));
}

#[test]
fn a_cancelled_entry_never_runs() {
    let mut stand = Stand::new(&[(4, NONE)]);
    let first = stand.push(0);
    stand.push(0);
    assert_eq!(stand.scheduler.cancel(stand.models[0], first), Some(1));
    assert_eq!(stand.scheduler.cancel(stand.models[0], first), None, "only once");
    assert_eq!(stand.run_for(MS), (0, vec![2]));
}

#[test]
fn a_deadline_fires_while_a_batch_runs() {
    let mut stand = Stand::new(&[(1, NONE)]);
    stand.push(0);
    let _running = stand.run_on(0);
    stand.push_with_deadline(0, 10 * MS);
    stand.push_with_deadline(0, 30 * MS);
    assert!(stand.scheduler.expire(stand.now + 9 * MS).is_empty());
    let expired = stand.scheduler.expire(stand.now + 10 * MS);
    assert_eq!(expired.iter().map(|e| e.payload).collect::<Vec<_>>(), [2]);
    assert_eq!(stand.scheduler.len(stand.models[0]), 1);
}

/// Runs batches of `cost` per model, all saturated, until `total` has passed; the device time of each.
fn share(stand: &mut Stand, cost: &[Duration], total: Duration) -> Vec<Duration> {
    let mut used = vec![Duration::ZERO; cost.len()];
    let end = stand.now + total;
    while stand.now < end {
        for (model, _) in cost.iter().enumerate() {
            while stand.scheduler.len(stand.models[model]) < 8 {
                stand.push(model);
            }
        }
        let (charge, _) = stand.run_on(0);
        let model = stand.index(charge);
        stand.now += cost[model];
        used[model] += cost[model];
        stand.scheduler.done(charge, cost[model]);
    }
    used
}

#[test]
fn two_busy_models_share_device_time_evenly_whatever_their_cost() {
    let mut stand = Stand::new(&[(4, NONE), (4, NONE)]);
    let used = share(&mut stand, &[MS, 40 * MS], Duration::from_secs(10));
    let ratio = used[0].as_secs_f64() / used[1].as_secs_f64();
    assert!((0.95..1.05).contains(&ratio), "{used:?}");
}

#[test]
fn a_model_that_comes_late_is_served_at_once_and_pays_for_no_past() {
    let mut stand = Stand::new(&[(4, NONE), (4, NONE)]);
    for _ in 0..100 {
        stand.push(0);
        stand.run_for(20 * MS);
    }
    for _ in 0..8 {
        stand.push(0);
    }
    stand.push(1);
    assert_eq!(stand.run_for(MS).0, 1);
    assert_eq!(stand.run_for(MS).0, 0);
}

#[test]
fn a_lone_model_is_never_held_back_by_its_debt() {
    let mut stand = Stand::new(&[(1, NONE)]);
    stand.push(0);
    stand.run_for(Duration::from_secs(100));
    stand.push(0);
    assert_eq!(stand.run_for(MS), (0, vec![2]));
}

#[test]
fn a_batch_that_was_held_up_for_long_makes_no_model_starve() {
    let mut stand = Stand::new(&[(1, NONE), (1, NONE)]);
    stand.push(1);
    // a virtual machine that stood still
    stand.run_for(Duration::from_secs(30));
    let served = (0..100).filter(|_| {
        for model in [0, 1] {
            while stand.scheduler.len(stand.models[model]) < 4 {
                stand.push(model);
            }
        }
        stand.run_for(20 * MS).0 == 1
    });
    let served = served.count();
    assert!(served >= 30, "the model whose batch was held up got {served} of 100 turns");
}

#[test]
fn a_model_whose_small_batches_take_longer_than_its_large_ones_does_not_starve() {
    let mut stand = Stand::new(&[(1, NONE)]);
    let odd = stand.scheduler.add(Queue::new(NONE));
    let table = vec![(1, 0.012), (2, 0.0125), (4, 0.0105)];
    assert!(stand.scheduler.open(odd, DEVICE, BatchTimes::new(&Buckets::Fixed(vec![1, 2, 4]), table)));
    stand.models.push(odd);
    let mut served = 0;
    for _ in 0..2000 {
        while stand.scheduler.len(stand.models[0]) < 4 {
            stand.push(0);
        }
        if stand.scheduler.len(odd) == 0 {
            stand.push(1);
        }
        let (charge, _) = stand.run_on(0);
        let first = stand.index(charge) == 0;
        served += usize::from(!first);
        stand.scheduler.done(charge, if first { MS } else { 12 * MS });
    }
    assert!(served >= 100, "it ran {served} of 2,000 batches");
}

#[test]
fn idle_devices_share_what_waits() {
    let mut stand = Stand::with_devices(2, &[(8, NONE)]);
    for _ in 0..5 {
        stand.push(0);
    }
    assert_eq!(stand.run_on(0).1, [1, 2, 3]);
    assert_eq!(stand.run_on(1).1, [4, 5]);
    for _ in 0..5 {
        stand.push(0);
    }
    assert_eq!(stand.run_on(0).1.len(), 5, "with the other one busy");
}

#[test]
fn a_device_runs_only_what_is_ready_there() {
    let mut stand = Stand::with_devices(2, &[(4, NONE)]);
    let second_only = stand.scheduler.add(Queue::new(NONE));
    assert!(stand.scheduler.open(second_only, DeviceIndex(1), times(4, 0.01)));
    stand.models.push(second_only);
    stand.push(1);
    assert_eq!(stand.next(), Next::Idle);
    assert_eq!(stand.run_on(1).1, [1]);
}

#[test]
fn a_model_that_is_ready_nowhere_takes_nothing() {
    let mut stand = Stand::new(&[]);
    let model = stand.scheduler.add(Queue::new(NONE));
    let refused = stand.scheduler.push(model, EntryId(1), stand.now, stand.now + MS, 7);
    assert_eq!((refused, stand.scheduler.is_open(model)), (Err(7), false));
}

#[test]
fn the_queue_of_a_failed_device_goes_to_the_others_and_the_last_ones_is_given_back() {
    let mut stand = Stand::with_devices(2, &[(4, NONE)]);
    let _running = stand.run_on_after_push();
    for _ in 0..3 {
        stand.push(0);
    }
    assert_eq!(stand.scheduler.fail(DEVICE), []);
    assert!(stand.scheduler.is_open(stand.models[0]));
    assert_eq!(stand.next(), Next::Idle, "it gets nothing any more");
    assert_eq!(stand.run_on(1).1, [2, 3, 4]);
    stand.push(0);
    let stranded = stand.scheduler.fail(DeviceIndex(1));
    assert_eq!(stranded.into_iter().map(|entry| entry.payload).collect::<Vec<_>>(), [5]);
    assert!(!stand.scheduler.is_open(stand.models[0]));
    let late = stand.scheduler.open(stand.models[0], DEVICE, times(4, 0.01));
    assert!(!late, "a failed device does not come back");
}

#[test]
fn a_removed_model_gives_back_what_waits_and_its_running_batch_disturbs_nothing() {
    let mut stand = Stand::new(&[(1, NONE), (1, NONE)]);
    stand.push(0);
    let (charge, _) = stand.run_on(0);
    stand.push(0);
    let model = stand.models[0];
    assert_eq!(stand.scheduler.remove(model).len(), 1);
    stand.push(1);
    stand.scheduler.done(charge, MS);
    assert_eq!(stand.run_for(MS).0, 1);
    assert_eq!(stand.scheduler.remove(model), []);
}

#[test]
fn two_models_share_two_devices_evenly_even_if_one_of_them_is_on_one_only() {
    let mut stand = Stand::with_devices(2, &[(1, NONE)]);
    let single = stand.scheduler.add(Queue::new(NONE));
    assert!(stand.scheduler.open(single, DEVICE, times(1, 0.01)));
    stand.models.push(single);
    let mut used = [0, 0];
    // both devices run batches of 20 ms in step
    for _ in 0..1000 {
        for model in [0, 1] {
            while stand.scheduler.len(stand.models[model]) < 4 {
                stand.push(model);
            }
        }
        let charges = [stand.run_on(0).0, stand.run_on(1).0];
        for charge in charges {
            used[stand.index(charge)] += 1;
            stand.scheduler.done(charge, 20 * MS);
        }
    }
    let ratio = f64::from(used[0]) / f64::from(used[1]);
    assert!((0.9..1.1).contains(&ratio), "{used:?}");
}

#[test]
fn no_model_starves_behind_one_that_could_save_up() {
    // `a` is on the first device only and always waits; `b` is on three. A third one comes late to the first device.
    let mut stand = Stand::with_devices(3, &[(1, NONE)]);
    for _ in 0..2 {
        let model = stand.scheduler.add(Queue::new(NONE));
        assert!(stand.scheduler.open(model, DEVICE, times(1, 0.01)));
        stand.models.push(model);
    }
    let mut late = Vec::new();
    for round in 0..400 {
        let busy: &[usize] = if round < 300 { &[0, 1] } else { &[0, 1, 2] };
        for &model in busy {
            while stand.scheduler.len(stand.models[model]) < 4 {
                stand.push(model);
            }
        }
        let charges = [0, 1, 2].map(|device| stand.run_on(device).0);
        for charge in charges {
            stand.scheduler.done(charge, 20 * MS);
        }
        late.push(stand.index(charges[0]));
    }
    let served = late[300..].iter().filter(|model| **model == 2).count();
    assert!((40..=60).contains(&served), "the late one got {served} of 100 turns of the first device");
}

#[test]
fn the_estimated_wait_is_that_of_all_devices_and_of_those_who_share_them() {
    let wait = |stand: &Stand, images| stand.scheduler.estimated_wait(stand.models[0], images).as_secs_f64();
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
    let one = Stand::new(&[(4, NONE)]);
    assert!(near(wait(&one, 40), 0.4), "{}", wait(&one, 40));
    let mut four = Stand::with_devices(4, &[(4, NONE), (4, NONE)]);
    assert!(near(wait(&four, 40), 0.1));
    four.push(1);
    assert!(near(wait(&four, 40), 0.2), "another model waits for them too");
    four.scheduler.fail(DEVICE);
    assert!(near(wait(&four, 30), 0.2));
    // one is twice as fast
    let mut two = Stand::with_devices(2, &[(4, NONE)]);
    let model = two.models[0];
    two.scheduler.open(model, DEVICE, times(4, 0.005));
    assert!(near(wait(&two, 30), 0.1), "{}", wait(&two, 30));
}

#[test]
fn the_time_of_an_image_follows_what_is_measured() {
    let mut stand = Stand::new(&[(1, NONE)]);
    for _ in 0..50 {
        stand.push(0);
        stand.run_for(40 * MS);
    }
    let wait = stand.scheduler.estimated_wait(stand.models[0], 1);
    assert!((39 * MS..41 * MS).contains(&wait), "{wait:?}");
}
