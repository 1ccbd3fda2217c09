//! Contexts: the primary one of each device and others, which of them a thread uses, and what is left when one ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::thread::ThreadId;

use super::code::Code;
use super::findings;
use super::handles::Handle;
use super::memory::Origin;
use super::schedule::Ticket;
use super::state::{Driver, Guard, Installed, State};
use super::stream::Stream;

pub(super) struct Context {
    /// Its ordinal.
    pub(super) device: usize,
    /// Whether it has not ended. A primary context that ended can live again.
    pub(super) live: bool,
    /// The error that it ended with, as far as work goes.
    pub(super) fault: Option<Code>,
    pub(super) flags: u32,
    /// How often the primary context was retained.
    retained: usize,
    /// What `cuCtxSetLimit` set.
    limits: HashMap<u32, u64>,
    /// `cuCtxSetCacheConfig`.
    pub(super) cache: u32,
    /// The stream that null means.
    pub(super) legacy: Handle,
    /// The streams that `CU_STREAM_PER_THREAD` means.
    pub(super) per_thread: HashMap<ThreadId, Handle>,
    /// The last work of blocking streams that were destroyed.
    pub(super) orphans: Vec<Ticket>,
}

/// Pinned memory can be mapped: always so, and said of contexts that were made without flags.
const MAP_HOST: u32 = 8;

thread_local! {
    static STACK: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// The context that the calling thread uses.
pub(super) fn current() -> Option<Handle> {
    STACK.with_borrow(|stack| stack.last().copied())
}

/// `cuCtxPushCurrent`.
pub(super) fn push(context: Handle) {
    STACK.with_borrow_mut(|stack| stack.push(context));
}

/// `cuCtxPopCurrent`.
pub(super) fn pop() -> Result<Handle, Code> {
    STACK.with_borrow_mut(Vec::pop).ok_or(Code::INVALID_CONTEXT)
}

/// `cuCtxSetCurrent`: in place of the topmost; null takes it away.
pub(super) fn set_current(context: Handle) {
    STACK.with_borrow_mut(|stack| {
        stack.pop();
        if context != Handle::NULL {
            stack.push(context);
        }
    });
}

impl Context {
    /// The primary context of a device before it is retained.
    pub(super) fn primary(device: usize) -> Self {
        Self { live: false, ..Self::new(device, 0) }
    }

    fn new(device: usize, flags: u32) -> Self {
        Self {
            device,
            live: true,
            fault: None,
            flags: flags | MAP_HOST,
            retained: 0,
            limits: HashMap::new(),
            cache: 0,
            legacy: Handle::NULL,
            per_thread: HashMap::new(),
            orphans: Vec::new(),
        }
    }
}

impl State {
    /// `cuDevicePrimaryCtxRetain`.
    pub(super) fn retain_primary(&mut self, device: i32) -> Result<Handle, Code> {
        let primary = self.healthy(device)?.primary;
        let context = self.contexts.get_mut(primary, Code::CONTEXT_IS_DESTROYED)?;
        context.live = true;
        context.retained += 1;
        Ok(primary)
    }

    /// A device none of whose contexts has failed.
    fn healthy(&self, device: i32) -> Result<&Installed, Code> {
        let found = self.device(device)?;
        found.fault.map_or(Ok(found), Err)
    }

    /// Flags of a device's primary context, and whether it is live.
    pub(super) fn primary_state(&self, device: i32) -> Result<(u32, bool), Code> {
        let found = self.contexts.find(self.device(device)?.primary);
        Ok(found.map_or((0, false), |context| (context.flags & !MAP_HOST, context.live)))
    }

    /// `cuDevicePrimaryCtxSetFlags`.
    pub(super) fn set_flags(&mut self, context: Handle, flags: u32) -> Result<(), Code> {
        self.contexts.get_mut(context, Code::CONTEXT_IS_DESTROYED)?.flags = flags | MAP_HOST;
        Ok(())
    }

    /// `cuCtxCreate`: the calling thread uses it from now on.
    pub(super) fn create_context(&mut self, device: i32, flags: u32) -> Result<Handle, Code> {
        let device = self.healthy(device)?.device.ordinal;
        let handle = self.contexts.add(Context::new(device, flags));
        let legacy = self.streams.add(Stream::legacy(handle));
        self.contexts.get_mut(handle, Code::CONTEXT_IS_DESTROYED)?.legacy = legacy;
        push(handle);
        Ok(handle)
    }

    /// What `cuCtxGetLimit` answers, after what an H100 did.
    pub(super) fn limit(&self, context: Handle, number: u32) -> Result<u64, Code> {
        let context = self.contexts.get(context, Code::CONTEXT_IS_DESTROYED)?;
        let card = self.card();
        Ok(context.limits.get(&number).copied().unwrap_or(match number {
            0 => 1024,      // stack of a thread
            1 => 8_650_752, // buffer of printf
            2 => 8 << 20,   // heap of malloc
            4 => 2048,      // pending launches of the device's own
            5 => 64,        // bytes that L2 fetches at once
            6 => u64::from(card.persisting) * 3 / 10,
            7 => u64::from(card.shared_block),
            8 => 0,
            _ => return Err(Code::UNSUPPORTED_LIMIT),
        }))
    }

    /// `cuCtxSetLimit`.
    pub(super) fn set_limit(&mut self, context: Handle, number: u32, value: u64) -> Result<(), Code> {
        self.limit(context, number)?;
        if number > 6 {
            return Err(Code::UNSUPPORTED_LIMIT);
        }
        self.contexts.get_mut(context, Code::CONTEXT_IS_DESTROYED)?.limits.insert(number, value);
        Ok(())
    }

    /// What is left in contexts that nobody ended, when the process ends.
    pub(super) fn report_all_leaks(&mut self) {
        let live: Vec<Handle> =
            self.contexts.iter().filter(|(_, context)| context.live).map(|(handle, _)| handle).collect();
        live.into_iter().for_each(|context| self.report_leaks(context));
    }

    /// What a context still has. Nothing of one that failed, in which nothing could be freed.
    fn report_leaks(&self, context: Handle) {
        if self.contexts.find(context).is_none_or(|context| context.fault.is_some()) {
            return;
        }
        let prefix = self.device_of(context).prefix();
        for (origin, name) in [
            (Origin::Device, "device memory"),
            (Origin::Async, "device memory of cuMemAllocAsync"),
            (Origin::Pinned, "pinned memory"),
            (Origin::Managed, "managed memory"),
        ] {
            let owned = self.owners.iter().filter(|(_, owner)| owner.context == context && owner.origin == origin);
            let owned: Vec<(u64, u64)> = owned.map(|(address, owner)| (*address, owner.size)).collect();
            if let Some((address, size)) = owned.first() {
                let total: u64 = owned.iter().map(|(_, size)| size).sum();
                let count = owned.len();
                findings::report(format_args!(
                    "{prefix}leak: {name}: {count} times, {total} bytes; the first {size} bytes at {address:#x}"
                ));
            }
        }
        let counts = [
            ("registered memory", self.registered.values().filter(|owner| owner.context == context).count()),
            ("modules", self.modules.iter().filter(|(_, module)| module.context == context).count()),
            ("streams", self.streams.iter().filter(|(_, stream)| stream.is_leak(context)).count()),
            ("events", self.events.iter().filter(|(_, event)| event.context == context).count()),
            ("graphs", self.graphs.iter().filter(|(_, graph)| graph.context == context).count()),
            ("executable graphs", self.executables.iter().filter(|(_, graph)| graph.context == context).count()),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            findings::report(format_args!("{prefix}leak: {name}: {count}"));
        }
    }

    /// Takes everything from a context whose work is done.
    fn empty(&mut self, context: Handle) {
        self.device_of(context).write_report();
        self.schedule.cancel(context);
        self.captures.forget(context);
        let memory = &self.devices[0].device.memory; // all addresses
        for (_, module) in self.modules.remove_all(|module| module.context == context) {
            let _ = module.program.unload(memory); // gone already where a kernel's fault ended the context
        }
        self.owners.retain(|address, owner| {
            let keep = owner.context != context;
            if !keep {
                let _ = memory.free(*address); // as above
            }
            keep
        });
        self.registered.retain(|_, owner| owner.context != context);
        self.functions.remove_all(|function| function.context == context);
        self.events.remove_all(|event| event.context == context);
        self.graphs.remove_all(|graph| graph.context == context);
        self.executables.remove_all(|executable| executable.context == context);
        self.streams.remove_all(|stream| stream.context == context);
        self.links.remove_all(|link| link.context == context);
    }
}

impl Driver {
    /// `cuDevicePrimaryCtxRelease`.
    pub(super) fn release_primary(&self, device: i32) -> Result<(), Code> {
        let mut state = self.lock();
        let primary = state.device(device)?.primary;
        let context = state.contexts.get_mut(primary, Code::CONTEXT_IS_DESTROYED)?;
        context.retained = context.retained.checked_sub(1).ok_or(Code::INVALID_CONTEXT)?;
        if context.retained == 0 {
            self.end_primary(state, primary)?;
        }
        Ok(())
    }

    /// `cuDevicePrimaryCtxReset`.
    pub(super) fn reset_primary(&self, device: i32) -> Result<(), Code> {
        let state = self.lock();
        let primary = state.device(device)?.primary;
        self.end_primary(state, primary)
    }

    fn end_primary(&self, state: Guard<'_>, primary: Handle) -> Result<(), Code> {
        let mut state = self.drain(state, primary);
        state.report_leaks(primary);
        state.empty(primary);
        let legacy = state.streams.add(Stream::legacy(primary));
        let context = state.contexts.get_mut(primary, Code::CONTEXT_IS_DESTROYED)?;
        *context = Context { legacy, flags: context.flags, ..Context::primary(context.device) };
        Ok(())
    }

    /// `cuCtxDestroy`: the calling thread, if it used it, uses the one before again.
    pub(super) fn destroy_context(&self, context: Handle) -> Result<(), Code> {
        let state = self.lock();
        state.contexts.get(context, Code::CONTEXT_IS_DESTROYED)?;
        if state.devices.iter().any(|installed| installed.primary == context) {
            return Err(Code::INVALID_CONTEXT); // it is released
        }
        let mut state = self.drain(state, context);
        state.report_leaks(context);
        state.empty(context);
        state.contexts.remove(context, Code::CONTEXT_IS_DESTROYED)?;
        drop(state);
        if current() == Some(context) {
            pop()?;
        }
        Ok(())
    }

    /// Does all work of a context.
    fn drain<'a>(&'a self, state: Guard<'a>, context: Handle) -> Guard<'a> {
        let goal = state.schedule.of(context);
        self.wait(state, &goal)
    }
}
