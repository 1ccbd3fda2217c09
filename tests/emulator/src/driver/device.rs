//! A device: its card, its memory, the faults that were planted, and the counters of what ran. Shared by its contexts; needs no lock, so that
//! a launch runs without one.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::card::{CONTEXT_BYTES, Card};
use super::code::Code;
use super::findings;
use crate::count::{LaunchReport, Report, sass};
use crate::launch::{self, Failure, Launch, Outcome};
use crate::memory::{self, Allocation, Kind, Memory};
use crate::program::Kernel;
use crate::settings::{Planted, Settings};

/// What a lost device answers. NVIDIA documents no code for "GPU has fallen off the bus" (Xid 79); running processes report 999
/// (`gpu-burn` issue 1, `timemachine` pull request 1203), and 46 only where they begin anew.
const LOST: Code = Code::UNKNOWN;

/// A kernel by its name and its number of instructions, grid, block and shared memory, arguments without addresses.
type Alike = (String, usize, [[u32; 3]; 2], u32, Vec<u8>);

pub(super) struct Device {
    pub(super) settings: Settings,
    pub(super) ordinal: usize,
    pub(super) card: &'static Card,
    pub(super) memory: Memory,
    launches: AtomicU64,
    allocations: AtomicU64,
    lost: AtomicBool,
    counted: Arc<Counted>,
}

/// What is counted of all devices together: they are the same card.
struct Counted {
    report: Mutex<Report>,
    /// Where blocks are sampled, what launches did: those that are alike do the same.
    alike: Mutex<HashMap<Alike, Outcome>>,
    /// Kernels of which was said that they made what is no finite number.
    infinite: Mutex<HashSet<String>>,
}

impl Device {
    /// As many as the settings say.
    pub(super) fn all(settings: &Settings) -> Vec<Arc<Self>> {
        let card = Card::of(settings.sm).with(settings.multiprocessors);
        let mut report = Report::new(settings.sm);
        if let Some(path) = &settings.assembled {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
            match text.and_then(|text| sass::table(&text, settings.sm).map_err(|error| error.to_string())) {
                Ok(assembled) => report.assembled = assembled,
                Err(error) => findings::say(format_args!("CUDA_EMULATOR_SASS={}: {error}", path.display())),
            }
        }
        let counted =
            Arc::new(Counted { report: Mutex::new(report), alike: Mutex::default(), infinite: Mutex::default() });
        let device = |(ordinal, memory)| {
            let fault = settings.fault.clone().filter(|_| settings.faulty == ordinal);
            Arc::new(Self {
                settings: Settings { fault, ..settings.clone() },
                ordinal,
                card,
                memory,
                launches: AtomicU64::new(0),
                allocations: AtomicU64::new(0),
                lost: AtomicBool::new(false),
                counted: Arc::clone(&counted),
            })
        };
        let poisoned = settings.blocks.is_none();
        let memories = Memory::of_several(settings.devices, card.memory - CONTEXT_BYTES, poisoned);
        memories.into_iter().enumerate().map(device).collect()
    }

    /// How messages begin: with the device, where there are several.
    pub(super) fn prefix(&self) -> String {
        if self.settings.devices == 1 { String::new() } else { format!("device {}: ", self.ordinal) }
    }

    /// What every call that has to do with it answers once the device is lost.
    pub(super) fn present(&self) -> Result<(), Code> {
        if self.lost.load(Relaxed) { Err(LOST) } else { Ok(()) }
    }

    pub(super) fn allocate(&self, size: u64, kind: Kind) -> Result<Arc<Allocation>, Code> {
        let number = self.allocations.fetch_add(1, Relaxed) + 1;
        if self.settings.fault == Some(Planted::OutOfMemory(number)) {
            findings::say(format_args!("{}allocation {number} finds no memory, as planted", self.prefix()));
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
        match &self.settings.fault {
            Some(Planted::Kernel(at)) if *at == number => planted(Code::ILLEGAL_ADDRESS, "an illegal address"),
            Some(Planted::Lost(at)) if *at == number => {
                self.lost.store(true, Relaxed);
                planted(LOST, "the device is lost")
            }
            _ => {
                let scalars = launch::scalars(launch, &self.memory);
                let outcome = self.run(kernel, launch, &scalars)?;
                self.count(kernel, launch, &outcome, &scalars);
                Ok(())
            }
        }
    }

    /// Runs a kernel; where blocks are sampled, one of several launches that are alike.
    fn run(&self, kernel: &Kernel, launch: &Launch, scalars: &[u8]) -> Result<Outcome, Failure> {
        if self.settings.blocks.is_none() {
            return launch::run(kernel, launch, &self.memory, &self.settings);
        }
        let shape = [launch.grid, launch.block];
        let key = (kernel.name.clone(), kernel.code.ops.len(), shape, launch.shared, scalars.to_vec());
        let known = self.counted.alike.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let outcome = launch::run(kernel, launch, &self.memory, &self.settings)?;
        self.counted.alike.lock().unwrap_or_else(PoisonError::into_inner).insert(key, outcome.clone());
        Ok(outcome)
    }

    /// Adds what a launch did to the report, and says once of a kernel that it made an infinity or a NaN: perhaps it was meant to.
    fn count(&self, kernel: &Kernel, launch: &Launch, outcome: &Outcome, scalars: &[u8]) {
        if self.settings.report.is_none() && outcome.infinite.is_none() {
            return;
        }
        let counted = LaunchReport::of(kernel, launch, outcome, scalars);
        if let (true, Some(first)) = (self.settings.checks, &counted.first_non_finite) {
            let mut said = self.counted.infinite.lock().unwrap_or_else(PoisonError::into_inner);
            if said.insert(kernel.name.clone()) {
                findings::say(format_args!(
                    "{}kernel {}, line {}, {}: block {}, thread {}: the first value that is not finite",
                    self.prefix(),
                    kernel.name,
                    first.line,
                    first.text,
                    first.block,
                    first.thread,
                ));
            }
        }
        if self.settings.report.is_some() {
            self.counted.report.lock().unwrap_or_else(PoisonError::into_inner).add(counted);
        }
    }

    /// Writes the counters of all launches of all devices so far, where the environment asks for them.
    pub(super) fn write_report(&self) {
        let Some(path) = &self.settings.report else { return };
        let report = self.counted.report.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = report.write(path) {
            findings::say(format_args!("cannot write {}: {error}", path.display()));
        }
    }
}

impl From<memory::Error> for Code {
    fn from(error: memory::Error) -> Self {
        match error {
            memory::Error::OutOfMemory { .. } => Self::OUT_OF_MEMORY,
            memory::Error::Unknown { .. } | memory::Error::Foreign { .. } => Self::INVALID_VALUE,
        }
    }
}
