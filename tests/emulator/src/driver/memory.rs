//! Who has which memory: allocations of the device, pinned ones, pools. Not here: what they hold (`crate::memory`), and copies (`copy.rs`).

use std::collections::BTreeMap;

use super::code::Code;
use super::findings;
use super::handles::Handle;
use super::state::{Driver, State};
use super::work::Work;
use crate::memory::Kind;

/// Whose an allocation is.
pub(super) struct Owner {
    pub(super) context: Handle,
    pub(super) size: u64,
    pub(super) origin: Origin,
}

/// The call that made an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// `cuMemAlloc`.
    Device,
    /// `cuMemAllocAsync`.
    Async,
    /// `cuMemAllocAsync` in a capture: the graph's, until the context ends.
    Graph,
    /// `cuMemHostAlloc`.
    Pinned,
    /// `cuMemAllocManaged`: memory that the host and the device use at one address. Nothing migrates.
    Managed,
    /// `cuMemHostRegister`: the client's own.
    Registered,
}

/// A memory pool: attributes that it was given. All pools of a device take from the same memory.
pub(super) struct Pool {
    /// Its ordinal.
    pub(super) device: usize,
    pub(super) attributes: BTreeMap<u32, u64>,
}

/// Attributes of pools that tell how much was taken: reserved now and at most, used now and at most.
const POOL_USE: std::ops::RangeInclusive<u32> = 5..=8;

impl Pool {
    pub(super) fn of(device: usize) -> Self {
        Self { device, attributes: BTreeMap::new() }
    }
}

impl State {
    /// Makes an allocation on the device of a context; its address. Of 0 bytes null, where the driver forgives them.
    pub(super) fn allocate(&mut self, context: Handle, size: u64, origin: Origin) -> Result<u64, Code> {
        if size == 0 {
            let forgiven = matches!(origin, Origin::Async | Origin::Pinned);
            return if forgiven { Ok(0) } else { Err(Code::INVALID_VALUE) };
        }
        let kind = if matches!(origin, Origin::Pinned | Origin::Managed) { Kind::Pinned } else { Kind::Device };
        let address = self.device_of(context).allocate(size, kind)?.address;
        self.owners.insert(address, Owner { context, size, origin });
        Ok(address)
    }

    /// `cuMemAlloc`, `cuMemHostAlloc`: what captures forbid.
    pub(super) fn allocate_now(&mut self, context: Handle, size: u64, origin: Origin) -> Result<u64, Code> {
        self.captures.refuse_unsafe_call()?;
        self.allocate(context, size, origin)
    }

    /// `cuMemAllocAsync`. The address can be used at once: that work on other streams waits for it, is not checked.
    pub(super) fn allocate_async(&mut self, context: Handle, size: u64, named: Handle) -> Result<u64, Code> {
        let stream = self.stream(context, named)?;
        let context = self.context_of(stream)?;
        let captured = self.captures.of(stream).is_some();
        if captured {
            self.submit(stream, Work::Nothing, &[])?;
        }
        self.allocate(context, size, if captured { Origin::Graph } else { Origin::Async })
    }

    /// `cuMemFreeAsync`.
    pub(super) fn free_async(&mut self, context: Handle, address: u64, named: Handle) -> Result<(), Code> {
        let stream = self.stream(context, named)?;
        if address == 0 {
            return Ok(());
        }
        let owner = self.owners.get(&address).ok_or(Code::INVALID_VALUE)?;
        match owner.origin {
            Origin::Graph => self.submit(stream, Work::Nothing, &[]).map(|_| ()),
            Origin::Device | Origin::Async => {
                self.submit(stream, Work::Free(address), &[])?;
                self.owners.remove(&address); // so that it is freed once
                Ok(())
            }
            _ => Err(Code::INVALID_VALUE),
        }
    }

    /// `cuMemFreeHost`: does not wait, so that who did not wait either is found out.
    pub(super) fn free_host(&mut self, address: u64) -> Result<(), Code> {
        self.captures.refuse_unsafe_call()?;
        let owner = self.owners.get(&address).filter(|owner| owner.origin == Origin::Pinned);
        let size = owner.ok_or(Code::INVALID_VALUE)?.size;
        self.report_use(address, size);
        self.owners.remove(&address);
        self.memory().free(address).map_err(Code::from)
    }

    /// `cuMemHostRegister`.
    pub(super) fn register(&mut self, context: Handle, address: u64, size: u64) -> Result<(), Code> {
        if address == 0 || size == 0 {
            return Err(Code::INVALID_VALUE);
        }
        let overlaps = |(start, owner): (&u64, &Owner)| start + owner.size > address;
        if self.registered.range(..address + size).next_back().is_some_and(overlaps) {
            return Err(Code::ALREADY_REGISTERED);
        }
        let owner = Owner { context, size, origin: Origin::Registered };
        self.registered.insert(address, owner);
        Ok(())
    }

    /// `cuMemHostUnregister`.
    pub(super) fn unregister(&mut self, address: u64) -> Result<(), Code> {
        let size = self.registered.get(&address).ok_or(Code::NOT_REGISTERED)?.size;
        self.report_use(address, size);
        self.registered.remove(&address);
        Ok(())
    }

    fn report_use(&self, address: u64, size: u64) {
        let count = self.schedule.works().filter(|work| work.uses(address, size)).count();
        if count > 0 {
            findings::report(format_args!(
                "{size} bytes of pinned memory at {address:#x} are freed while {count} copies that use them are queued"
            ));
        }
    }

    /// Whether memory of the client's is pinned, and so used when a copy runs.
    pub(super) fn is_registered(&self, address: u64, size: u64) -> bool {
        let found = self.registered.range(..=address).next_back();
        found.is_some_and(|(start, owner)| address + size <= start + owner.size)
    }

    /// Base, size and owner of the allocation that an address lies in.
    pub(super) fn range(&self, address: u64) -> Option<(u64, &Owner)> {
        let (start, owner) = self.owners.range(..=address).next_back()?;
        (address - start < owner.size).then_some((*start, owner))
    }

    /// `cuMemGetInfo`: free and all of a context's device.
    pub(super) fn memory_info(&self, context: Handle) -> (u64, u64) {
        (self.device_of(context).memory.free_bytes(), self.card().memory)
    }

    /// `cuMemPoolGetAttribute`.
    pub(super) fn pool_attribute(&self, pool: Handle, number: u32) -> Result<u64, Code> {
        let pool = self.pools.get(pool, Code::INVALID_VALUE)?;
        if POOL_USE.contains(&number) {
            let taken = self.owners.values().filter(|owner| owner.origin == Origin::Async);
            let taken = taken.filter(|owner| self.ordinal_of(owner.context) == pool.device);
            return Ok(taken.map(|owner| owner.size).sum());
        }
        let default = u64::from((1..=3).contains(&number)); // reuse: by events, opportunistic, by dependencies
        Ok(pool.attributes.get(&number).copied().unwrap_or(default))
    }

    /// `cuPointerGetAttribute`: the value, and how many bytes of it are wanted.
    pub(super) fn pointer_attribute(&self, number: u32, address: u64) -> Result<(u64, usize), Code> {
        let (start, owner) = self.range(address).ok_or(Code::INVALID_VALUE)?;
        let pinned = owner.origin == Origin::Pinned;
        Ok(match number {
            1 => (owner.context.0 as u64, 8),
            2 => (if pinned { 1 } else { 2 }, 4), // host, device
            3 => (address, 8),                    // as the device sees it
            4 if pinned || owner.origin == Origin::Managed => (address, 8), // as the host does
            6 => (0, 4),                          // whether copies are all synchronous
            7 => (start, 8),                      // a number that no other allocation has
            8 => (u64::from(owner.origin == Origin::Managed), 4),
            9 => (self.ordinal_of(owner.context) as u64, 4),
            10 => (0, 4),
            11 => (start, 8),
            12 => (owner.size, 8),
            13 => (1, 4), // mapped
            _ => return Err(Code::INVALID_VALUE),
        })
    }
}

impl Driver {
    /// `cuMemFree`: waits for all work of the memory's context, non-blocking streams' too, as recorded.
    pub(super) fn free(&self, address: u64) -> Result<(), Code> {
        let (mut state, context) = self.enter()?;
        state.captures.refuse_unsafe_call()?;
        if address == 0 {
            return Ok(());
        }
        let freeable = |owner: &&Owner| !matches!(owner.origin, Origin::Pinned | Origin::Registered);
        let context = match state.owners.get(&address).filter(freeable).ok_or(Code::INVALID_VALUE)?.context {
            // on another device
            owner if state.ordinal_of(owner) != state.ordinal_of(context) => owner,
            _ => context,
        };
        let goal = state.schedule.of(context);
        let mut state = self.finish(state, context, &goal)?;
        state.owners.remove(&address).ok_or(Code::INVALID_VALUE)?;
        state.memory().free(address).map_err(Code::from)
    }
}
