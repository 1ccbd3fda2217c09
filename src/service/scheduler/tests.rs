//! The scheduler against a made-up clock: what runs when. Who gets how much is in `fairness`, several
//! devices are in `devices`.

mod devices;
mod fairness;

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

#[test]
fn nobody_waits_for_batches_that_take_no_time() {
    let mut stand = Stand::new(&[(8, NONE)]);
    let none = BatchTimes::new(&Buckets::Any(8), vec![(1, 0.0), (8, 0.0)]);
    assert!(stand.scheduler.open(stand.models[0], DEVICE, none));
    for _ in 0..20 {
        stand.push(0);
    }
    assert_eq!(stand.scheduler.estimated_wait(stand.models[0], 20, stand.now), NONE);
    let mut sizes = Vec::new();
    while let Next::Run(charge, entries) = stand.scheduler.next(DEVICE, stand.now) {
        sizes.push(entries.len());
        stand.scheduler.done(charge, NONE);
    }
    assert_eq!(sizes, [8, 8, 4]);
    assert_eq!(stand.scheduler.estimated_wait(stand.models[0], 1000, stand.now), NONE);
}
