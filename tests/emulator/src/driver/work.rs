//! What streams do: one piece of work, and how it is done. Not here: when (`schedule.rs`).

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::api::pointer::{Callback, Client};
use super::code::Code;
use super::device::Device;
use super::findings;
use super::graph::Graph;
use super::handles::Handle;
use crate::launch::{Failure, Launch};
use crate::memory::Allocation;
use crate::program::Kernel;

/// A piece of work, its parameters copied when it was asked for.
#[derive(Clone)]
pub(super) enum Work {
    Kernel {
        /// As the client names it.
        function: Handle,
        kernel: Arc<Kernel>,
        launch: Launch,
    },
    Copy {
        from: Place,
        to: Place,
        size: u64,
    },
    Fill {
        address: u64,
        value: u32,
        width: u64,
        count: u64,
    },
    /// `cuMemFreeAsync`.
    Free(u64),
    /// A function of the client's.
    Call(Callback),
    /// An event: when it came to pass.
    Mark(Arc<OnceLock<Instant>>),
    Graph(Arc<Graph>),
    /// Only waits for what comes before it.
    Nothing,
}

/// Where a copy begins or ends.
#[derive(Clone)]
pub(super) enum Place {
    /// Memory that the emulator made: the device's, or pinned.
    Memory(u64),
    /// Memory of the client's own.
    Client(Client),
    /// What was there when the copy was asked for: pageable memory is staged.
    Staged(Arc<[u8]>),
}

impl Work {
    /// Whether a device would be busy with it: what is not real passes unseen.
    pub(super) fn is_real(&self) -> bool {
        !matches!(self, Self::Mark(_) | Self::Nothing)
    }

    /// Whether it calls a function of the client's, which may wait for anything that the client does.
    pub(super) fn calls(&self) -> bool {
        match self {
            Self::Call(_) => true,
            Self::Graph(graph) => graph.works().any(Self::calls),
            _ => false,
        }
    }

    /// Whether it uses memory of the client's that begins at an address.
    pub(super) fn uses(&self, start: u64, size: u64) -> bool {
        let within = |place: &Place| match place {
            Place::Memory(address) => (start..start + size).contains(address),
            Place::Client(client) => (start..start + size).contains(&(client.address() as u64)),
            Place::Staged(_) => false,
        };
        match self {
            Self::Copy { from, to, .. } => within(from) || within(to),
            Self::Graph(graph) => graph.works().any(|work| work.uses(start, size)),
            _ => false,
        }
    }

    /// Does it, to its end.
    pub(super) fn run(&self, device: &Device) -> Result<(), Failure> {
        match self {
            Self::Kernel { kernel, launch, .. } => device.launch(kernel, launch),
            Self::Copy { from, to, size } => copy(device, from, to, *size),
            Self::Fill { address, value, width, count } => fill(device, *address, *value, *width, *count),
            Self::Free(address) => device.memory.free(*address).map_err(|error| gone("cuMemFreeAsync", &error)),
            Self::Call(callback) => {
                callback.call();
                Ok(())
            }
            Self::Mark(moment) => {
                let _ = moment.set(Instant::now()); // a work of a graph runs again, and its event is none
                Ok(())
            }
            Self::Graph(graph) => graph.run(device),
            Self::Nothing => Ok(()),
        }
    }
}

/// The failure of a copy whose memory went away after it was asked for.
fn gone(what: &str, error: &crate::memory::Error) -> Failure {
    Failure { code: Code::ILLEGAL_ADDRESS.0, message: format!("{what}, when it ran: {error}") }
}

fn copy(device: &Device, from: &Place, to: &Place, size: u64) -> Result<(), Failure> {
    let memory = &device.memory;
    let failed = |error| gone("a copy", &error);
    let source = match from {
        Place::Memory(address) => Some((memory.find(*address, size).map_err(failed)?, *address)),
        _ => None,
    };
    let mut bytes = vec![0; size as usize];
    match from {
        Place::Memory(address) => memory.read(*address, &mut bytes).map_err(failed)?,
        Place::Client(client) => client.read(&mut bytes),
        Place::Staged(staged) => bytes.copy_from_slice(staged),
    }
    match (to, source) {
        (Place::Memory(address), source) => {
            let target = memory.find(*address, size).map_err(failed)?;
            let offset = (*address - target.address) as usize;
            target.bytes.write(offset, &bytes);
            match source {
                // What nobody wrote stays so where it is copied to.
                Some((source, from)) => written(&source, (from - source.address) as usize, size as usize, |at, run| {
                    target.written.set(offset + at, run);
                }),
                None => target.written.set(offset, size as usize),
            }
        }
        (Place::Client(client), source) => {
            if let Some((source, from)) = source
                && device.settings.checks
            {
                unwritten(&source, from, size);
            }
            client.write(&bytes);
        }
        (Place::Staged(_), _) => {}
    }
    Ok(())
}

/// Calls back with each run of written bytes in a range, as offset in it and length.
fn written(allocation: &Allocation, offset: usize, size: usize, mut found: impl FnMut(usize, usize)) {
    let mut at = 0;
    while at < size {
        let next = allocation.written.first_unset(offset + at, size - at).map_or(size, |unset| unset - offset);
        if next > at {
            found(at, next - at);
        }
        at = next + 1;
    }
}

/// Reports that the client reads what nobody wrote.
fn unwritten(allocation: &Allocation, address: u64, size: u64) {
    let offset = (address - allocation.address) as usize;
    let Some(first) = allocation.written.first_unset(offset, size as usize) else { return };
    let mut missing = size as usize;
    written(allocation, offset, size as usize, |_, run| missing -= run);
    findings::report(format_args!(
        "a copy to the host reads {missing} bytes of {size} that nobody wrote; the first is {first} bytes into the allocation of {} at {:#x}",
        allocation.size, allocation.address,
    ));
}

fn fill(device: &Device, address: u64, value: u32, width: u64, count: u64) -> Result<(), Failure> {
    let bytes = value.to_le_bytes()[..width as usize].repeat(count as usize);
    device.memory.write(address, &bytes).map_err(|error| gone("a memset", &error))
}
