//! What all threads of the service share: the scheduler, and the commands that wait for each device's thread.
//! Not here: what a device does with them (`device`), which models there are (`lifecycle`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ServiceError;
use super::command::{Measurement, ModelCommand};
use super::job::Job;
use super::queue::{Entry, EntryId, Queue};
use super::scheduler::{Charge, DeviceIndex, ModelId, Next, Scheduler};
use super::times::BatchTimes;

/// The scheduler behind a lock, and a bell for those who wait for it.
#[derive(Debug)]
pub(super) struct Dispatcher<J> {
    state: Mutex<State<J>>,
    /// By device: whether it has failed, for those who ask often.
    lost: Vec<AtomicBool>,
    /// Notified when there may be something new for a device.
    news: Condvar,
}

#[derive(Debug)]
struct State<J> {
    scheduler: Scheduler<J>,
    /// By device.
    commands: Vec<VecDeque<ModelCommand>>,
    /// By device: a run that is only measured.
    measurements: Vec<Option<Measurement>>,
    /// By device: models that it was told to remove and has not removed yet.
    removing: Vec<usize>,
    /// By device: why it has failed.
    failures: Vec<Option<String>>,
    /// Devices are to end once nothing waits.
    ending: bool,
    /// Changes with all of the above: who saw a number need not look again while it stands.
    version: u64,
    /// A thread has begun to wait for news since they were last told. Otherwise nobody is called: that is a call of the system's, for each
    /// image.
    awaited: bool,
}

/// What a device finds when it looks for work.
pub(super) enum Work<J> {
    /// Models to add or to remove, first of all.
    Commands(VecDeque<ModelCommand>),
    /// These entries came too late; there may be more to do.
    Expired(Vec<Entry<J>>),
    /// Nothing but a run that is only measured.
    Measure(Measurement),
    /// A batch to run.
    Batch(Charge, Vec<Entry<J>>),
    /// Nothing until the time or the next version.
    Nothing(Rest),
    /// Nothing, and there will be nothing more.
    End,
}

/// How long a device may rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    version: u64,
    pub(super) until: Option<Instant>,
}

impl<J> State<J> {
    /// Queues a command for a device's thread, or gives it back where that thread has ended or is about to.
    fn command(&mut self, device: DeviceIndex, command: ModelCommand) -> Option<ModelCommand> {
        if self.failures[device.0].is_some() || self.ending {
            return Some(command);
        }
        self.commands[device.0].push_back(command);
        None
    }
}

impl<J: Job> Dispatcher<J> {
    pub(super) fn new(devices: usize) -> Arc<Self> {
        let state = State {
            scheduler: Scheduler::new(devices),
            commands: (0..devices).map(|_| VecDeque::new()).collect(),
            measurements: (0..devices).map(|_| None).collect(),
            removing: vec![0; devices],
            failures: vec![None; devices],
            ending: false,
            version: 0,
            awaited: false,
        };
        let lost = (0..devices).map(|_| AtomicBool::new(false)).collect();
        Arc::new(Self { state: Mutex::new(state), lost, news: Condvar::new() })
    }

    /// The state, whatever a panicking thread left of it: it is consistent between any two statements that can panic.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes the devices.
    fn change<R>(&self, change: impl FnOnce(&mut State<J>) -> R) -> R {
        let mut state = self.lock();
        state.version += 1;
        let result = change(&mut state);
        self.wake(state);
        result
    }

    /// Ends the change and wakes those who rest.
    fn wake(&self, mut state: MutexGuard<'_, State<J>>) {
        let awaited = std::mem::take(&mut state.awaited);
        drop(state);
        if awaited {
            self.news.notify_all();
        }
    }

    /// A new model, ready nowhere yet.
    pub(super) fn add(&self, max_delay: Duration) -> ModelId {
        self.change(|state| state.scheduler.add(Queue::new(max_delay)))
    }

    /// Hands a command to a device's thread. Where the device has failed it is dropped: whoever waits for it hears that its
    /// channel is gone.
    pub(super) fn command(&self, device: DeviceIndex, command: ModelCommand) {
        let refused = self.change(|state| state.command(device, command));
        drop(refused); // outside the lock: it may hold a model's weights
    }

    /// Has a run measured once the device has nothing else to do. Where the device has failed, and in place of one before, it is dropped.
    pub(super) fn measure(&self, device: DeviceIndex, measurement: Measurement) {
        let refused = self.change(|state| {
            let runs = state.failures[device.0].is_none() && !state.ending;
            if runs { state.measurements[device.0].replace(measurement) } else { Some(measurement) }
        });
        drop(refused);
    }

    /// Takes back what is to be measured, unless it runs.
    pub(super) fn withdraw(&self, device: DeviceIndex) {
        let withdrawn = self.lock().measurements[device.0].take();
        drop(withdrawn);
    }

    /// Removes a model everywhere. Nothing may wait for it any more; what does is answered that the model has gone.
    pub(super) fn remove(&self, model: ModelId) {
        let waiting = self.change(|state| {
            for device in 0..state.commands.len() {
                let taken = state.command(DeviceIndex(device), ModelCommand::Remove(model)).is_none();
                state.removing[device] += usize::from(taken);
            }
            state.scheduler.remove(model)
        });
        answer_all(waiting, &ServiceError::NotReady("the model was unloaded".to_owned()));
    }

    /// A device has removed a model.
    pub(super) fn removed(&self, device: DeviceIndex) {
        self.change(|state| state.removing[device.0] = state.removing[device.0].saturating_sub(1));
    }

    /// Waits until the devices have removed what they were told to, so that what comes next finds their memory free. Those that have
    /// failed or end hold nothing.
    pub(super) fn settle(&self) {
        let is_removing = |state: &State<J>| {
            let removing = state.removing.iter().zip(&state.failures);
            !state.ending && removing.into_iter().any(|(models, failure)| *models > 0 && failure.is_none())
        };
        let mut state = self.lock();
        while is_removing(&state) {
            state.awaited = true;
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`Scheduler::open`].
    pub(super) fn open(&self, model: ModelId, device: DeviceIndex, times: BatchTimes) -> bool {
        self.change(|state| state.scheduler.open(model, device, times))
    }

    /// A device runs no more: what can run elsewhere does, the rest is answered.
    pub(super) fn fail(&self, device: DeviceIndex, why: &str) -> Vec<Entry<J>> {
        self.lost[device.0].store(true, Ordering::Release);
        let (stranded, refused) = self.change(|state| {
            state.failures[device.0].get_or_insert_with(|| why.to_owned());
            let refused = (std::mem::take(&mut state.commands[device.0]), state.measurements[device.0].take());
            (state.scheduler.fail(device), refused)
        });
        drop(refused); // whoever waits for one hears that its channel is gone
        stranded
    }

    /// Whether a device has failed.
    pub(super) fn is_lost(&self, device: DeviceIndex) -> bool {
        self.lost[device.0].load(Ordering::Acquire)
    }

    /// Why a device has failed, if it has.
    pub(super) fn failure(&self, device: DeviceIndex) -> Option<String> {
        self.lock().failures[device.0].clone()
    }

    /// Devices are to end once nothing waits.
    pub(super) fn end(&self) {
        let refused = self.change(|state| {
            state.ending = true;
            let measurements: Vec<_> = state.measurements.iter_mut().map(Option::take).collect();
            (state.commands.iter_mut().map(std::mem::take).collect::<Vec<_>>(), measurements)
        });
        drop(refused); // whoever waits for one hears that its channel is gone
    }

    /// Whether a model is ready on a device that runs.
    pub(super) fn is_open(&self, model: ModelId) -> bool {
        self.lock().scheduler.is_open(model)
    }

    /// Queues an image, unless its owner has left already.
    pub(super) fn push(&self, model: ModelId, id: EntryId, now: Instant, deadline: Instant, job: J) {
        let mut state = self.lock();
        if job.is_abandoned() {
            drop(state);
            return;
        }
        state.version += 1;
        let refused = state.scheduler.push(model, id, now, deadline, job).err();
        self.wake(state);
        if let Some(job) = refused {
            job.answer(Err(ServiceError::NotReady("no device runs this model any more".to_owned())));
        }
    }

    /// Takes an image out of the queue, if it still is there.
    pub(super) fn cancel(&self, model: ModelId, id: EntryId) {
        let job = self.lock().scheduler.cancel(model, id);
        drop(job); // outside the lock: its memory is freed
    }

    /// As [`Scheduler::estimated_wait`].
    pub(super) fn estimated_wait(&self, model: ModelId, ahead: usize, now: Instant) -> Duration {
        self.lock().scheduler.estimated_wait(model, ahead, now)
    }

    /// Images of a model that wait for a device.
    pub(super) fn waiting(&self, model: ModelId) -> usize {
        self.lock().scheduler.len(model)
    }

    /// Those of them that are of this kind.
    pub(super) fn waiting_of(&self, model: ModelId, is_counted: impl Fn(&J) -> bool) -> usize {
        self.lock().scheduler.count(model, is_counted)
    }

    /// What a device is to do now; a batch only where it has room for one, a measurement only where it does nothing.
    pub(super) fn work(&self, device: DeviceIndex, now: Instant, has_room: bool, is_idle: bool) -> Work<J> {
        let mut state = self.lock();
        let commands = &mut state.commands[device.0];
        if !commands.is_empty() {
            return Work::Commands(std::mem::take(commands));
        }
        let expired = state.scheduler.expire(now);
        if !expired.is_empty() {
            return Work::Expired(expired);
        }
        let until = match has_room.then(|| state.scheduler.next(device, now)) {
            Some(Next::Run(charge, entries)) => return Work::Batch(charge, entries),
            Some(Next::WaitUntil(at)) => Some(at),
            Some(Next::Idle) | None => None,
        };
        if state.ending && state.scheduler.is_empty() {
            return Work::End;
        }
        if is_idle && let Some(measurement) = state.measurements[device.0].take() {
            return Work::Measure(measurement);
        }
        Work::Nothing(Rest { version: state.version, until })
    }

    /// Waits until there may be something new, at most so long. Whether there may be.
    pub(super) fn rest(&self, rest: Rest, at_most: Duration) -> bool {
        let mut state = self.lock();
        let patience = Instant::now() + at_most;
        while state.version == rest.version {
            let until = rest.until.map_or(patience, |until| until.min(patience));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return rest.until.is_some_and(|until| until <= patience);
            }
            state.awaited = true;
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// As [`Scheduler::done`].
    pub(super) fn done(&self, charge: Charge, took: Duration) {
        self.lock().scheduler.done(charge, took);
    }

    /// As [`Scheduler::failed`].
    pub(super) fn failed(&self, charge: Charge) {
        self.lock().scheduler.failed(charge);
    }
}

/// Answers entries with one error.
pub(super) fn answer_all<J: Job>(entries: Vec<Entry<J>>, error: &ServiceError) {
    entries.into_iter().for_each(|entry| entry.payload.answer(Err(error.clone())));
}
