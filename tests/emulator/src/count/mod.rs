//! What a launch would have cost on hardware: what each instruction did, counted while it ran, the report of it, and the interval of time that
//! follows from the counts. Everything here is computed; nothing is measured, and no cache is modelled.

mod class;
pub mod device;
pub mod interval;
mod launches;
pub mod report;
pub mod sass;
mod sectors;
mod table;
mod wavefronts;

pub use class::{Class, Element, Tile, class};
pub use launches::{LaunchReport, Line, NonFinite, Shape};
pub use report::Report;
pub use sectors::sectors;
pub use wavefronts::{Access, Wavefronts, wavefronts};

/// What one instruction of a kernel did in a launch, over all warps. Each worker adds up its own; they are merged at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// How many warps executed it.
    pub executed: u64,
    /// Lanes that were active then, over all warps.
    pub threads: u64,
    /// Of global and local memory: warps that asked for anything.
    pub requests: u64,
    /// Of global and local memory: sectors of 32 bytes.
    pub sectors: u64,
    /// Of shared memory: passes through its banks.
    pub wavefronts: u64,
    /// Of shared memory: passes that would do if no two lanes wanted different words of one bank.
    pub ideal: u64,
}

impl Count {
    /// Adds what another worker, or another instruction, did.
    pub fn add(&mut self, other: &Self) {
        self.executed += other.executed;
        self.threads += other.threads;
        self.requests += other.requests;
        self.sectors += other.sectors;
        self.wavefronts += other.wavefronts;
        self.ideal += other.ideal;
    }
}
