//! What launchers know of a card. Not here: asking the driver (`driver`).

/// What a kernel's PTX was compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Turing: f16 by m16n8k8, no bf16, no `cp.async`.
    Sm75,
    /// Ampere and later.
    Sm80,
}

/// The figures of a card that decide tiles and grids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    /// Compute capability, as 75, 80, 86, 89, 90.
    pub(crate) capability: u32,
    pub(crate) multiprocessors: u32,
    /// Bytes of shared memory that a block may ask for.
    pub(crate) shared_per_block: u32,
}

impl Card {
    /// The PTX that it runs.
    pub(crate) fn target(&self) -> Target {
        if self.capability >= 80 { Target::Sm80 } else { Target::Sm75 }
    }

    /// Bytes of the L2 cache: of T4, of A10, and no more than what A100, Ada's and Hopper's have.
    pub(crate) fn l2_bytes(&self) -> usize {
        match self.capability {
            ..80 => 4 << 20,
            86 => 6 << 20,
            _ => 32 << 20,
        }
    }

    /// A multiprocessor's share of what the L2 cache gives, in bytes a clock (`tests/emulator/src/count/device.rs` has the cards, and where their figures
    /// come from).
    pub(crate) fn l2_rate(&self) -> f64 {
        match self.capability {
            ..80 => 20.0,
            80..86 => 33.0,
            86..90 | 120.. => 16.0,
            90..120 => 23.0,
        }
    }

    /// Its share of what memory gives, in bytes a clock: of T4, A100, A10, L4 and H100, the least of each kind.
    pub(crate) fn memory_rate(&self) -> f64 {
        match self.capability {
            ..80 => 5.0,
            80..86 => 10.0,
            86..89 => 4.9,
            89 | 120.. => 2.6,
            90..120 => 14.0,
        }
    }

    /// How few blocks a launch should have, where its shape allows: half the multiprocessors.
    pub(crate) fn few_blocks(&self) -> u32 {
        self.multiprocessors / 2
    }
}
