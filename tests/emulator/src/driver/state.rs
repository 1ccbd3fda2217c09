//! All that the driver knows, behind one lock, and how threads wait under it: whoever waits does the work, one piece at a time, without the
//! lock, so that others can ask and queue meanwhile.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::capture::Captures;
use super::card::Card;
use super::code::Code;
use super::context::{self, Context};
use super::device::Device;
use super::event::Event;
use super::findings;
use super::function::Function;
use super::graph::{Executable, Graph};
use super::handles::{Handle, Registry};
use super::link::Link;
use super::memory::{Owner, Pool};
use super::module::Module;
use super::node::Shown;
use super::schedule::{Progress, Schedule, Ticket};
use super::stream::Stream;
use super::work::Work;
use crate::launch::Failure;
use crate::memory::Memory;
use crate::settings::Settings;

pub(super) struct State {
    /// By ordinal; at least one.
    pub(super) devices: Vec<Installed>,
    pub(super) contexts: Registry<Context>,
    pub(super) streams: Registry<Stream>,
    pub(super) events: Registry<Event>,
    pub(super) modules: Registry<Module>,
    pub(super) functions: Registry<Function>,
    pub(super) graphs: Registry<Arc<Graph>>,
    pub(super) executables: Registry<Executable>,
    pub(super) links: Registry<Link>,
    pub(super) captures: Captures,
    /// Parameters that clients were told of.
    pub(super) shown: Shown,
    pub(super) schedule: Schedule,
    /// Allocations, by address.
    pub(super) owners: BTreeMap<u64, Owner>,
    /// Pinned memory of the client's own, by address.
    pub(super) registered: BTreeMap<u64, Owner>,
    pub(super) pools: Registry<Pool>,
}

/// A device, and what the driver has for it.
pub(super) struct Installed {
    pub(super) device: Arc<Device>,
    /// Its primary context, whose handle stays the same however often it is released and retained.
    pub(super) primary: Handle,
    pub(super) default_pool: Handle,
    /// The fault that ended a context. It ends the device's others too: recorded, the primary context could not be retained any more. Contexts
    /// of other devices live on.
    pub(super) fault: Option<Code>,
}

pub(super) type Guard<'a> = MutexGuard<'a, State>;

pub(super) struct Driver {
    state: Mutex<State>,
    /// A piece of work ended.
    changed: Condvar,
}

static DRIVER: OnceLock<Driver> = OnceLock::new();

/// `cuInit`: reads the environment.
pub(super) fn init(flags: u32) -> Result<(), Code> {
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    if DRIVER.get().is_none() {
        let settings = Settings::read(|name| std::env::var(name).ok()).map_err(|error| {
            findings::say(error);
            Code::INVALID_VALUE
        })?;
        DRIVER.get_or_init(|| Driver::new(settings));
    }
    driver().map(|_| ())
}

/// The driver, once it was initialised and as long as any device is there.
pub(super) fn driver() -> Result<&'static Driver, Code> {
    let driver = DRIVER.get().ok_or(Code::NOT_INITIALIZED)?;
    driver.lock().present()?;
    Ok(driver)
}

/// When the process ends: what is left, and whether it must fail for what was found.
pub(super) fn at_exit() -> bool {
    // A thread that holds the lock may be gone for ever.
    if let Some(mut state) = DRIVER.get().and_then(|driver| driver.state.try_lock().ok()) {
        state.report_all_leaks();
        state.devices[0].device.write_report();
    }
    findings::summarise()
}

impl Driver {
    pub(super) fn new(settings: Settings) -> Self {
        let (mut contexts, mut streams, mut pools) = (Registry::default(), Registry::default(), Registry::default());
        let install = |device: Arc<Device>| {
            let primary = contexts.add(Context::primary(device.ordinal));
            if let Some(context) = contexts.find_mut(primary) {
                context.legacy = streams.add(Stream::legacy(primary));
            }
            let default_pool = pools.add(Pool::of(device.ordinal));
            Installed { device, primary, default_pool, fault: None }
        };
        let devices = Device::all(&settings).into_iter().map(install).collect();
        let state = State {
            schedule: Schedule::new(settings.seed),
            devices,
            contexts,
            streams,
            events: Registry::default(),
            modules: Registry::default(),
            functions: Registry::default(),
            graphs: Registry::default(),
            executables: Registry::default(),
            links: Registry::default(),
            captures: Captures::default(),
            shown: Shown::default(),
            owners: BTreeMap::new(),
            registered: BTreeMap::new(),
            pools,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> Guard<'_> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All state, and the calling thread's context, which can be used.
    pub(super) fn enter(&self) -> Result<(Guard<'_>, Handle), Code> {
        let context = context::current().ok_or(Code::INVALID_CONTEXT)?;
        let state = self.lock();
        state.usable(context)?;
        Ok((state, context))
    }

    /// Whether the calling thread has a context that can be used.
    pub(super) fn check(&self) -> Result<(), Code> {
        self.enter().map(|_| ())
    }

    /// Works until these are done. Whether their contexts lived through it, the caller asks.
    pub(super) fn wait<'a>(&'a self, mut state: Guard<'a>, goal: &[Ticket]) -> Guard<'a> {
        while goal.iter().any(|ticket| !state.schedule.is_done(*ticket)) {
            if state.schedule.is_running() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            match state.schedule.next(goal) {
                Some(ticket) => state = self.run(state, ticket),
                None if state.schedule.is_calling() => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        state
    }

    /// Works until these are done; the error of their context.
    pub(super) fn finish<'a>(&'a self, state: Guard<'a>, context: Handle, goal: &[Ticket]) -> Result<Guard<'a>, Code> {
        let state = self.wait(state, goal);
        state.usable(context)?;
        Ok(state)
    }

    /// Whether these are done; a query now and then does some of it.
    pub(super) fn query<'a>(&'a self, mut state: Guard<'a>, context: Handle, goal: &[Ticket]) -> Result<(), Code> {
        loop {
            if goal.iter().all(|ticket| state.schedule.is_done(*ticket)) {
                return state.usable(context);
            }
            if state.schedule.is_running() {
                return Err(Code::NOT_READY);
            }
            match state.schedule.query(goal) {
                Progress::Done => return state.usable(context),
                Progress::Unfinished => return Err(Code::NOT_READY),
                Progress::Run { ticket, real } => {
                    state = self.run(state, ticket);
                    state.usable(context)?;
                    if real {
                        return Err(Code::NOT_READY);
                    }
                }
            }
        }
    }

    fn run<'a>(&'a self, mut state: Guard<'a>, ticket: Ticket) -> Guard<'a> {
        let Some((context, work)) = state.schedule.start(ticket) else { return state };
        let device = Arc::clone(state.device_of(context));
        drop(state);
        // A function of the client's may wait for this thread: it has one of its own, as a card's driver has.
        let Some(driver) = DRIVER.get().filter(|_| work.calls()) else {
            self.end(ticket, context, &work, &device);
            return self.lock();
        };
        let called = move || driver.end(ticket, context, &work, &device);
        if let Err(error) = std::thread::Builder::new().name("cuda-emulator call".to_owned()).spawn(called) {
            let mut state = self.lock();
            state.schedule.finish(ticket);
            state.fail(context, &Failure { code: Code::OUT_OF_MEMORY.0, message: format!("no thread: {error}") });
        }
        self.lock()
    }

    /// Does a piece of work that was begun, to its end.
    fn end(&self, ticket: Ticket, context: Handle, work: &Work, device: &Device) {
        let outcome = catch_unwind(AssertUnwindSafe(|| work.run(device)));
        let mut state = self.lock();
        state.schedule.finish(ticket);
        if let Err(failure) = outcome.unwrap_or_else(|panic| Err(broken(&*panic))) {
            state.fail(context, &failure);
        }
        self.changed.notify_all();
    }
}

/// The failure of work in which the emulator itself went wrong.
fn broken(panic: &(dyn Any + Send)) -> Failure {
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    Failure { code: Code::UNKNOWN.0, message: format!("the emulator is broken: {}", said.unwrap_or("it panicked")) }
}

impl State {
    /// Whether any device is there.
    fn present(&self) -> Result<(), Code> {
        let mut answers = self.devices.iter().map(|installed| installed.device.present());
        answers.find(Result::is_ok).unwrap_or_else(|| self.devices[0].device.present())
    }

    /// The device of an ordinal, if it is there.
    pub(super) fn device(&self, ordinal: i32) -> Result<&Installed, Code> {
        let found = usize::try_from(ordinal).ok().and_then(|ordinal| self.devices.get(ordinal));
        let found = found.ok_or(Code::INVALID_DEVICE)?;
        found.device.present().map(|()| found)
    }

    /// The device of a context.
    pub(super) fn device_of(&self, context: Handle) -> &Arc<Device> {
        &self.devices[self.ordinal_of(context)].device
    }

    /// The same by its ordinal; of a context that is none, the first.
    pub(super) fn ordinal_of(&self, context: Handle) -> usize {
        self.contexts.find(context).map_or(0, |context| context.device)
    }

    /// The card that all devices are.
    pub(super) fn card(&self) -> &'static Card {
        self.devices[0].device.card
    }

    /// All addresses, whichever device's.
    pub(super) fn memory(&self) -> &Memory {
        &self.devices[0].device.memory
    }

    /// Whether a context is there, and has not failed.
    pub(super) fn usable(&self, context: Handle) -> Result<(), Code> {
        self.device_of(context).present()?;
        let found = self.contexts.get(context, Code::CONTEXT_IS_DESTROYED)?;
        if !found.live {
            return Err(Code::CONTEXT_IS_DESTROYED);
        }
        found.fault.map_or(Ok(()), Err)
    }

    /// Ends a context's life with an error that every later call answers, and a lost device's with all its contexts.
    fn fail(&mut self, context: Handle, failure: &Failure) {
        let (code, ordinal) = (Code(failure.code), self.ordinal_of(context));
        let Installed { device, fault, .. } = &mut self.devices[ordinal];
        findings::report(format_args!("{}{}", device.prefix(), failure.message));
        fault.get_or_insert(code);
        if device.present().is_err() {
            let all = self.contexts.iter().filter(|(_, context)| context.device == ordinal);
            let all: Vec<Handle> = all.map(|(handle, _)| handle).collect();
            all.into_iter().for_each(|context| self.schedule.cancel(context));
        }
        if let Some(context) = self.contexts.find_mut(context) {
            context.fault.get_or_insert(code);
        }
        self.schedule.cancel(context);
    }
}
