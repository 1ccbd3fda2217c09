//! The device: its card, its memory, and the faults that were planted. Shared by all contexts; needs no lock, so that a launch runs without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::card::{CONTEXT_BYTES, Card};
use super::code::Code;
use super::findings;
use crate::launch::{self, Failure, Launch};
use crate::memory::{self, Allocation, Kind, Memory};
use crate::program::Kernel;
use crate::settings::{Planted, Settings};

/// What a lost device answers. NVIDIA documents no code for "GPU has fallen off the bus" (Xid 79); running processes report 999
/// (`gpu-burn` issue 1, `timemachine` pull request 1203), and 46 only where they begin anew.
const LOST: Code = Code::UNKNOWN;

pub(super) struct Device {
    pub(super) settings: Settings,
    pub(super) card: &'static Card,
    pub(super) memory: Memory,
    launches: AtomicU64,
    allocations: AtomicU64,
    lost: AtomicBool,
}

impl Device {
    pub(super) fn new(settings: Settings) -> Self {
        let card = Card::of(settings.sm);
        Self {
            settings,
            card,
            memory: Memory::new(card.memory - CONTEXT_BYTES),
            launches: AtomicU64::new(0),
            allocations: AtomicU64::new(0),
            lost: AtomicBool::new(false),
        }
    }

    /// What every call answers once the device is lost.
    pub(super) fn present(&self) -> Result<(), Code> {
        if self.lost.load(Relaxed) { Err(LOST) } else { Ok(()) }
    }

    pub(super) fn allocate(&self, size: u64, kind: Kind) -> Result<Arc<Allocation>, Code> {
        let number = self.allocations.fetch_add(1, Relaxed) + 1;
        if self.settings.fault == Some(Planted::OutOfMemory(number)) {
            findings::say(format_args!("allocation {number} finds no memory, as planted"));
            return Err(Code::OUT_OF_MEMORY);
        }
        self.memory.allocate(size, kind).map_err(Code::from)
    }

    /// Runs a kernel to its end, or as far as the planted fault lets it.
    pub(super) fn launch(&self, kernel: &Kernel, launch: &Launch) -> Result<(), Failure> {
        let number = self.launches.fetch_add(1, Relaxed) + 1;
        let planted = |code: Code, what: &str| {
            Err(Failure { code: code.0, message: format!("launch {number}, of {}: {what}, as planted", kernel.name) })
        };
        match self.settings.fault {
            Some(Planted::Kernel(at)) if at == number => planted(Code::ILLEGAL_ADDRESS, "an illegal address"),
            Some(Planted::Lost(at)) if at == number => {
                self.lost.store(true, Relaxed);
                planted(LOST, "the device is lost")
            }
            _ => launch::run(kernel, launch, &self.memory, &self.settings).map(|_| ()),
        }
    }
}

impl From<memory::Error> for Code {
    fn from(error: memory::Error) -> Self {
        match error {
            memory::Error::OutOfMemory { .. } => Self::OUT_OF_MEMORY,
            memory::Error::Unknown { .. } => Self::INVALID_VALUE,
        }
    }
}
