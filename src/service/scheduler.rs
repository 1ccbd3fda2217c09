//! The queues of all models on one device, sans IO, and which of them runs next: deficit round-robin by device time.
//!
//! Each model with a batch to run earns credit at the same rate; a batch runs when its model's credit covers what it is
//! estimated to cost, and what it did cost is taken off afterwards (Shreedhar and Varghese, 1996, with time for bytes). So models
//! share the device's *time* evenly, whatever their sizes, and none starves another.

use std::time::{Duration, Instant};

use super::queue::{Entry, EntryId, Queue, Readiness};

/// Index of a model on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelId(pub usize);

/// What the device is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Run this batch, then call [`Scheduler::done`].
    Run(ModelId, Vec<Entry<T>>),
    /// Nothing before this time, unless something is pushed.
    WaitUntil(Instant),
    /// Nothing until something is pushed.
    Idle,
}

/// A model's queue and its account.
#[derive(Debug)]
struct Lane<T> {
    queue: Queue<T>,
    /// Device time earned and not yet used, in seconds; negative after a batch that cost more than was thought.
    credit: f64,
    /// Device time of one image, in seconds: a moving average.
    image_time: f64,
}

/// All queues of a device.
#[derive(Debug)]
pub struct Scheduler<T> {
    lanes: Vec<Lane<T>>,
    /// The lane after the one that ran last: ties are broken in turn.
    cursor: usize,
    /// A batch has been handed out and is not done.
    busy: bool,
}

impl<T> Default for Scheduler<T> {
    fn default() -> Self {
        Self { lanes: Vec::new(), cursor: 0, busy: false }
    }
}

/// Weight of the newest batch in the moving average of an image's time.
const NEWEST: f64 = 0.2;
/// A time to begin with where none was measured.
const UNKNOWN_IMAGE_TIME: f64 = 0.01;

impl<T> Scheduler<T> {
    /// Adds a model.
    pub fn add(&mut self, queue: Queue<T>) -> ModelId {
        self.lanes.push(Lane { queue, credit: 0.0, image_time: UNKNOWN_IMAGE_TIME });
        ModelId(self.lanes.len() - 1)
    }

    /// What warm-up found: the batch to run and the device time of an image in it.
    pub fn measured(&mut self, model: ModelId, max_batch: usize, image_time: Duration) {
        let lane = &mut self.lanes[model.0];
        lane.queue.set_max_batch(max_batch);
        lane.image_time = image_time.as_secs_f64();
    }

    /// Adds an entry to a model's queue.
    pub fn push(&mut self, model: ModelId, id: EntryId, now: Instant, deadline: Instant, payload: T) {
        let idle = !self.busy;
        self.lanes[model.0].queue.push(id, now, deadline, idle, payload);
    }

    /// Takes an entry out, if it still waits.
    pub fn cancel(&mut self, model: ModelId, id: EntryId) -> Option<T> {
        self.lanes[model.0].queue.cancel(id)
    }

    /// Takes out the entries whose deadline has come.
    pub fn expire(&mut self, now: Instant) -> Vec<Entry<T>> {
        self.lanes.iter_mut().flat_map(|lane| lane.queue.expire(now)).collect()
    }

    /// Takes out everything that waits: the device will run no more.
    pub fn clear(&mut self) -> Vec<Entry<T>> {
        self.lanes.iter_mut().flat_map(|lane| lane.queue.take(usize::MAX)).collect()
    }

    /// Entries of a model that wait.
    #[must_use]
    pub fn len(&self, model: ModelId) -> usize {
        self.lanes[model.0].queue.len()
    }

    /// Whether nothing waits at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.queue.is_empty())
    }

    /// Device time of one image.
    #[must_use]
    pub fn image_time(&self, model: ModelId) -> Duration {
        Duration::from_secs_f64(self.lanes[model.0].image_time)
    }

    /// What the free device is to do. To be asked only when no batch is out.
    pub fn next(&mut self, now: Instant) -> Next<T> {
        debug_assert!(!self.busy, "a batch is still out");
        let mut ripe_at: Option<Instant> = None;
        let mut ready = Vec::with_capacity(self.lanes.len());
        for offset in 0..self.lanes.len() {
            let index = (self.cursor + offset) % self.lanes.len();
            let lane = &self.lanes[index];
            match lane.queue.readiness(now) {
                Readiness::Batch(count) => {
                    let missing = (lane.image_time * count as f64 - lane.credit).max(0.0);
                    ready.push((index, count, missing));
                }
                Readiness::RipeAt(at) => ripe_at = Some(ripe_at.map_or(at, |other| other.min(at))),
                Readiness::Empty => {}
            }
        }
        // All that are ready earn at the same rate, so the one that misses least comes first; of equals, the first in turn.
        let Some(&(index, count, missing)) = ready.iter().min_by(|a, b| a.2.total_cmp(&b.2)) else {
            return ripe_at.map_or(Next::Idle, Next::WaitUntil);
        };
        for (earner, _, _) in &ready {
            self.lanes[*earner].credit += missing;
        }
        self.cursor = (index + 1) % self.lanes.len();
        self.busy = true;
        Next::Run(ModelId(index), self.lanes[index].queue.take(count))
    }

    /// The batch is through; it had this many entries and took the device this long.
    pub fn done(&mut self, model: ModelId, count: usize, busy: Duration) {
        self.busy = false;
        let lane = &mut self.lanes[model.0];
        let seconds = busy.as_secs_f64();
        if count > 0 {
            lane.image_time += NEWEST * (seconds / count as f64 - lane.image_time);
        }
        lane.credit -= seconds;
        if lane.queue.is_empty() {
            // nobody saves credit for a burst; debt is kept
            lane.credit = lane.credit.min(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const NONE: Duration = Duration::ZERO;

    /// A scheduler of one model and a clock that stands still until it is moved.
    struct Desk {
        scheduler: Scheduler<u64>,
        now: Instant,
        ids: u64,
    }

    impl Desk {
        fn new(lanes: &[(usize, Duration)]) -> Self {
            let mut scheduler = Scheduler::default();
            for &(max_batch, max_delay) in lanes {
                scheduler.add(Queue::new(max_batch, max_delay));
            }
            Self { scheduler, now: Instant::now(), ids: 0 }
        }

        fn push(&mut self, model: usize) -> EntryId {
            self.push_with_deadline(model, 1000 * MS)
        }

        fn push_with_deadline(&mut self, model: usize, deadline: Duration) -> EntryId {
            self.ids += 1;
            let id = EntryId(self.ids);
            self.scheduler.push(ModelId(model), id, self.now, self.now + deadline, self.ids);
            id
        }

        fn next(&mut self) -> Next<u64> {
            self.scheduler.next(self.now)
        }

        /// The payloads of the batch that runs now.
        fn run(&mut self) -> (usize, Vec<u64>) {
            match self.next() {
                Next::Run(model, entries) => (model.0, entries.into_iter().map(|e| e.payload).collect()),
                other => panic!("nothing runs: {other:?}"),
            }
        }
    }

    #[test]
    fn an_empty_queue_idles() {
        assert_eq!(Desk::new(&[(4, NONE)]).next(), Next::Idle);
    }

    #[test]
    fn what_waits_runs_at_once_in_the_order_of_admission() {
        let mut desk = Desk::new(&[(8, NONE)]);
        for _ in 0..3 {
            desk.push(0);
        }
        assert_eq!(desk.run(), (0, vec![1, 2, 3]));
    }

    #[test]
    fn an_entry_that_decoded_late_still_runs_in_the_order_of_admission() {
        let mut desk = Desk::new(&[(8, NONE)]);
        let now = desk.now;
        desk.scheduler.push(ModelId(0), EntryId(2), now, now + MS, 2);
        desk.scheduler.push(ModelId(0), EntryId(1), now, now + MS, 1);
        assert_eq!(desk.run(), (0, vec![1, 2]));
    }

    #[test]
    fn a_batch_never_exceeds_its_maximum() {
        let mut desk = Desk::new(&[(2, NONE)]);
        for _ in 0..5 {
            desk.push(0);
        }
        let mut sizes = Vec::new();
        while !desk.scheduler.is_empty() {
            sizes.push(desk.run().1.len());
            desk.scheduler.done(ModelId(0), 2, MS);
        }
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn an_idle_device_waits_for_company_up_to_the_delay() {
        let mut desk = Desk::new(&[(4, 5 * MS)]);
        desk.push(0);
        assert_eq!(desk.next(), Next::WaitUntil(desk.now + 5 * MS));
        desk.now += 3 * MS;
        desk.push(0);
        assert_eq!(desk.next(), Next::WaitUntil(desk.now + 2 * MS), "the first one's delay counts");
        desk.now += 2 * MS;
        assert_eq!(desk.run(), (0, vec![1, 2]));
    }

    #[test]
    fn a_full_batch_does_not_wait_for_the_delay() {
        let mut desk = Desk::new(&[(2, 5 * MS)]);
        desk.push(0);
        desk.push(0);
        assert_eq!(desk.run(), (0, vec![1, 2]));
    }

    #[test]
    fn what_came_while_the_device_was_busy_does_not_wait_for_the_delay() {
        let mut desk = Desk::new(&[(1, 5 * MS)]);
        desk.push(0);
        desk.run();
        desk.push(0);
        desk.scheduler.done(ModelId(0), 1, MS);
        assert_eq!(desk.run(), (0, vec![2]));
    }

    #[test]
    fn a_cancelled_entry_never_runs() {
        let mut desk = Desk::new(&[(4, NONE)]);
        let first = desk.push(0);
        desk.push(0);
        assert_eq!(desk.scheduler.cancel(ModelId(0), first), Some(1));
        assert_eq!(desk.scheduler.cancel(ModelId(0), first), None, "only once");
        assert_eq!(desk.run(), (0, vec![2]));
    }

    #[test]
    fn a_deadline_fires_while_a_batch_runs() {
        let mut desk = Desk::new(&[(1, NONE)]);
        desk.push(0);
        desk.run();
        desk.push_with_deadline(0, 10 * MS);
        desk.push_with_deadline(0, 30 * MS);
        assert!(desk.scheduler.expire(desk.now + 9 * MS).is_empty());
        let expired = desk.scheduler.expire(desk.now + 10 * MS);
        assert_eq!(expired.iter().map(|e| e.payload).collect::<Vec<_>>(), [2]);
        assert_eq!(desk.scheduler.len(ModelId(0)), 1);
    }

    /// Runs batches of `cost` a model until `total` has passed; the device time of each.
    fn share(desk: &mut Desk, cost: &[Duration], total: Duration) -> Vec<Duration> {
        let mut used = vec![Duration::ZERO; cost.len()];
        let end = desk.now + total;
        while desk.now < end {
            for (model, _) in cost.iter().enumerate() {
                while desk.scheduler.len(ModelId(model)) < 8 {
                    desk.push(model);
                }
            }
            let (model, batch) = desk.run();
            desk.now += cost[model];
            used[model] += cost[model];
            desk.scheduler.done(ModelId(model), batch.len(), cost[model]);
        }
        used
    }

    #[test]
    fn two_busy_models_share_device_time_evenly_whatever_their_cost() {
        let mut desk = Desk::new(&[(4, NONE), (4, NONE)]);
        let used = share(&mut desk, &[MS, 40 * MS], Duration::from_secs(10));
        let ratio = used[0].as_secs_f64() / used[1].as_secs_f64();
        assert!((0.95..1.05).contains(&ratio), "{used:?}");
    }

    #[test]
    fn a_model_that_comes_late_is_served_at_once_and_pays_for_no_past() {
        let mut desk = Desk::new(&[(4, NONE), (4, NONE)]);
        desk.scheduler.measured(ModelId(1), 4, MS);
        for _ in 0..100 {
            desk.push(0);
            let (_, batch) = desk.run();
            desk.scheduler.done(ModelId(0), batch.len(), 20 * MS);
        }
        for _ in 0..8 {
            desk.push(0);
        }
        desk.push(1);
        assert_eq!(desk.run().0, 1);
        desk.scheduler.done(ModelId(1), 1, MS);
        assert_eq!(desk.run().0, 0);
    }

    #[test]
    fn a_lone_model_is_never_held_back_by_its_debt() {
        let mut desk = Desk::new(&[(1, NONE)]);
        desk.push(0);
        desk.run();
        desk.scheduler.done(ModelId(0), 1, Duration::from_secs(100));
        desk.push(0);
        assert_eq!(desk.run(), (0, vec![2]));
    }

    #[test]
    fn the_time_of_an_image_follows_what_is_measured() {
        let mut desk = Desk::new(&[(1, NONE)]);
        desk.scheduler.measured(ModelId(0), 1, 10 * MS);
        for _ in 0..50 {
            desk.push(0);
            desk.run();
            desk.scheduler.done(ModelId(0), 1, 20 * MS);
        }
        let time = desk.scheduler.image_time(ModelId(0));
        assert!((19 * MS..21 * MS).contains(&time), "{time:?}");
    }
}
