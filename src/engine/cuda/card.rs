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

    /// How few blocks a launch should have, where its shape allows: half the multiprocessors.
    #[cfg(test)]
    pub(crate) fn few_blocks(&self) -> u32 {
        self.multiprocessors / 2
    }
}
