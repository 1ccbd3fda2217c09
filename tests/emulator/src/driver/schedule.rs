//! When work is done: queues of streams, and what waits for what. Work runs only when someone waits for it, one piece at a time; between
//! streams that do not wait for each other the order is drawn. Not here: the meaning of streams (`stream.rs`), and of the work (`work.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::handles::Handle;
use super::work::Work;

/// The number of a piece of work; later ones are greater, and wait only for lesser ones.
pub(super) type Ticket = u64;

/// How many queries find a piece of work unfinished, where nothing is drawn.
const PATIENCE: u32 = 3;

pub(super) struct Item {
    pub(super) context: Handle,
    pub(super) work: Work,
    stream: Handle,
    after: Vec<Ticket>,
    /// How many queries are still told that it is not done.
    patience: u32,
}

#[derive(Default)]
pub(super) struct Schedule {
    /// What is not finished.
    items: BTreeMap<Ticket, Item>,
    queues: HashMap<Handle, VecDeque<Ticket>>,
    last: Ticket,
    running: Option<Ticket>,
    /// Functions of the client's that run, on threads of their own.
    calling: BTreeSet<Ticket>,
    random: Random,
}

/// What a query met.
pub(super) enum Progress {
    /// All is done.
    Done,
    /// Something is not, and it is not time to do it.
    Unfinished,
    /// This must be done now; `real` where the query then says that it was not done.
    Run { ticket: Ticket, real: bool },
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), ..Self::default() }
    }

    pub(super) fn push(&mut self, context: Handle, stream: Handle, work: Work, after: Vec<Ticket>) -> Ticket {
        self.last += 1;
        let patience = if self.random.natural() { PATIENCE } else { 1 + self.random.below(PATIENCE as usize) as u32 };
        self.items.insert(self.last, Item { context, work, stream, after, patience });
        self.queues.entry(stream).or_default().push_back(self.last);
        self.last
    }

    /// The last unfinished work of a stream: what comes after it.
    pub(super) fn tail(&self, stream: Handle) -> Option<Ticket> {
        self.queues.get(&stream)?.back().copied()
    }

    pub(super) fn is_done(&self, ticket: Ticket) -> bool {
        !self.items.contains_key(&ticket)
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a function of the client's runs.
    pub(super) fn is_calling(&self) -> bool {
        !self.calling.is_empty()
    }

    /// All unfinished work of a context.
    pub(super) fn of(&self, context: Handle) -> Vec<Ticket> {
        self.items.iter().filter(|(_, item)| item.context == context).map(|(ticket, _)| *ticket).collect()
    }

    pub(super) fn works(&self) -> impl Iterator<Item = &Work> {
        self.items.values().map(|item| &item.work)
    }

    /// What to do next so that these get done, None where they are. Sometimes work that nobody waits for comes first: a device does not wait
    /// to be asked.
    pub(super) fn next(&mut self, goal: &[Ticket]) -> Option<Ticket> {
        let needed = self.needed(goal);
        let mut ready: Vec<Ticket> = needed.iter().copied().filter(|ticket| self.is_ready(*ticket)).collect();
        if ready.is_empty() || self.random.natural() {
            return ready.first().copied();
        }
        if self.random.below(2) == 0 {
            ready = self.items.keys().copied().filter(|ticket| self.is_ready(*ticket)).collect();
        }
        Some(ready[self.random.below(ready.len())])
    }

    /// What a query for these meets.
    pub(super) fn query(&mut self, goal: &[Ticket]) -> Progress {
        let needed = self.needed(goal);
        let Some(ticket) = needed.iter().copied().find(|ticket| self.is_ready(*ticket)) else {
            return if needed.is_empty() { Progress::Done } else { Progress::Unfinished };
        };
        let real = self.items.get(&ticket).is_some_and(|item| item.work.is_real());
        match self.items.get_mut(&ticket) {
            Some(item) if real && item.patience > 1 => {
                item.patience -= 1;
                Progress::Unfinished
            }
            _ => Progress::Run { ticket, real },
        }
    }

    /// Begins a piece of work: gives a copy of it, to be done without a lock. Others are begun meanwhile only while it is one that calls.
    pub(super) fn start(&mut self, ticket: Ticket) -> Option<(Handle, Work)> {
        let item = self.items.get(&ticket)?;
        if item.work.calls() {
            self.calling.insert(ticket);
        } else {
            self.running = Some(ticket);
        }
        Some((item.context, item.work.clone()))
    }

    pub(super) fn finish(&mut self, ticket: Ticket) {
        if !self.calling.remove(&ticket) {
            self.running = None;
        }
        self.drop(ticket);
    }

    /// Forgets all work of a context, which failed or ended.
    pub(super) fn cancel(&mut self, context: Handle) {
        let begun: Vec<Ticket> = self.calling.iter().copied().chain(self.running).collect();
        self.of(context).into_iter().filter(|ticket| !begun.contains(ticket)).for_each(|ticket| self.drop(ticket));
    }

    /// One of so many, or the first where nothing is drawn.
    pub(super) fn draw(&mut self, count: usize) -> usize {
        if self.random.natural() { 0 } else { self.random.below(count) }
    }

    fn drop(&mut self, ticket: Ticket) {
        let Some(item) = self.items.remove(&ticket) else { return };
        if let Some(queue) = self.queues.get_mut(&item.stream) {
            queue.retain(|other| *other != ticket);
            if queue.is_empty() {
                self.queues.remove(&item.stream);
            }
        }
    }

    fn is_ready(&self, ticket: Ticket) -> bool {
        let Some(item) = self.items.get(&ticket).filter(|_| !self.calling.contains(&ticket)) else { return false };
        let first = self.queues.get(&item.stream).and_then(VecDeque::front) == Some(&ticket);
        first && item.after.iter().all(|before| self.is_done(*before))
    }

    /// These, and all that must be done before them.
    fn needed(&self, goal: &[Ticket]) -> BTreeSet<Ticket> {
        let mut needed = BTreeSet::new();
        let mut open = goal.to_vec();
        while let Some(ticket) = open.pop() {
            let Some(item) = self.items.get(&ticket) else { continue };
            if needed.insert(ticket) {
                open.extend(&item.after);
                let queue = self.queues.get(&item.stream);
                // Tickets rise along a queue, and the one before brings those before it.
                let place = queue.and_then(|queue| queue.binary_search(&ticket).ok()).and_then(|at| at.checked_sub(1));
                open.extend(place.and_then(|before| queue?.get(before)));
            }
        }
        needed
    }
}

/// Numbers that a seed determines: splitmix64. Seed 0 draws nothing.
#[derive(Default)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) fn natural(&self) -> bool {
        self.state == 0
    }

    /// A number below a count.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15).max(1);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) % count.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which everything is done when all of it is waited for.
    fn order(seed: u64) -> Vec<Ticket> {
        let mut schedule = Schedule::new(seed);
        let (context, one, two) = (Handle(1), Handle(2), Handle(3));
        let first = schedule.push(context, one, Work::Nothing, vec![]);
        schedule.push(context, one, Work::Nothing, vec![]);
        schedule.push(context, two, Work::Nothing, vec![]);
        schedule.push(context, two, Work::Nothing, vec![first]);
        let goal = schedule.of(context);
        let mut order = vec![];
        while let Some(ticket) = schedule.next(&goal) {
            schedule.start(ticket);
            schedule.finish(ticket);
            order.push(ticket);
        }
        order
    }

    #[test]
    fn streams_keep_their_order_and_wait_for_events_and_seeds_decide_the_rest() {
        assert_eq!(order(0), [1, 2, 3, 4]);
        let orders: BTreeSet<_> = (1..100).map(order).collect();
        for order in &orders {
            let place = |ticket| order.iter().position(|other| *other == ticket);
            assert!(place(1) < place(2) && place(3) < place(4) && place(1) < place(4), "{order:?}");
        }
        assert_eq!(orders.len(), 5); // of the linear extensions there are no more
    }

    #[test]
    fn queries_are_told_several_times_that_work_is_not_done_and_then_do_it() {
        let mut schedule = Schedule::new(0);
        let ticket = schedule.push(Handle(1), Handle(2), Work::Free(0), vec![]);
        assert!(matches!(schedule.query(&[ticket]), Progress::Unfinished));
        assert!(matches!(schedule.query(&[ticket]), Progress::Unfinished));
        assert!(matches!(schedule.query(&[ticket]), Progress::Run { real: true, .. }));
        schedule.start(ticket);
        schedule.finish(ticket);
        assert!(matches!(schedule.query(&[ticket]), Progress::Done));
    }
}
