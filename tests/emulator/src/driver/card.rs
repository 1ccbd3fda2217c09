//! The cards that are emulated, one a compute capability. The H100's figures were recorded on one; the others' are NVIDIA's published ones
//! (data sheets, and the table of compute capabilities in the programming guide).

/// A card.
#[derive(Clone, Debug)]
pub(super) struct Card {
    /// Compute capability, as 80.
    pub(super) sm: u32,
    /// What `cuDeviceGetName` says. That it is emulated is said first, so that no log shows a GPU that there was none of.
    pub(super) name: &'static str,
    /// Multiprocessors.
    pub(super) multiprocessors: u32,
    /// Clock in kHz, boost.
    pub(super) clock: u32,
    /// Memory's clock in kHz.
    pub(super) memory_clock: u32,
    /// Width of the memory's bus in bits.
    pub(super) memory_bus: u32,
    /// Bytes of memory.
    pub(super) memory: u64,
    /// Bytes of the L2 cache.
    pub(super) l2: u32,
    /// Of which so many can be set aside for persisting accesses.
    pub(super) persisting: u32,
    /// Threads of a multiprocessor.
    pub(super) threads: u32,
    /// Blocks of a multiprocessor.
    pub(super) blocks: u32,
    /// Bytes of shared memory of a multiprocessor.
    pub(super) shared: u32,
    /// Bytes of shared memory that a block can have when it asks for them.
    pub(super) shared_block: u32,
    /// Bytes of shared memory that the system keeps of each block.
    pub(super) shared_reserved: u32,
}

/// Bytes of shared memory that a block has without asking.
pub(super) const SHARED_DEFAULT: u32 = 48 << 10;

/// Threads of a block.
pub(super) const THREADS: u32 = 1024;

/// Memory that a context takes for itself: so much was missing from `cuMemGetInfo` on an idle H100.
pub(super) const CONTEXT_BYTES: u64 = 546 << 20;

/// All of them.
const CARDS: [Card; 5] = [
    Card {
        sm: 75,
        name: "Emulated NVIDIA T4 (sm_75)",
        multiprocessors: 40,
        clock: 1_590_000,
        memory_clock: 5_001_000,
        memory_bus: 256,
        memory: 15 << 30,
        l2: 4 << 20,
        persisting: 0,
        threads: 1024,
        blocks: 16,
        shared: 64 << 10,
        shared_block: 64 << 10,
        shared_reserved: 0,
    },
    Card {
        sm: 80,
        name: "Emulated NVIDIA A100 (sm_80)",
        multiprocessors: 108,
        clock: 1_410_000,
        memory_clock: 1_593_000,
        memory_bus: 5120,
        memory: 80 << 30,
        l2: 40 << 20,
        persisting: 30 << 20,
        threads: 2048,
        blocks: 32,
        shared: 164 << 10,
        shared_block: 163 << 10,
        shared_reserved: 1 << 10,
    },
    Card {
        sm: 86,
        name: "Emulated NVIDIA A10 (sm_86)",
        multiprocessors: 72,
        clock: 1_695_000,
        memory_clock: 6_251_000,
        memory_bus: 384,
        memory: 22 << 30,
        l2: 6 << 20,
        persisting: 4_325_376,
        threads: 1536,
        blocks: 16,
        shared: 100 << 10,
        shared_block: 99 << 10,
        shared_reserved: 1 << 10,
    },
    Card {
        sm: 89,
        name: "Emulated NVIDIA L4 (sm_89)",
        multiprocessors: 58,
        clock: 2_040_000,
        memory_clock: 6_251_000,
        memory_bus: 192,
        memory: 22 << 30,
        l2: 48 << 20,
        persisting: 33 << 20,
        threads: 1536,
        blocks: 24,
        shared: 100 << 10,
        shared_block: 99 << 10,
        shared_reserved: 1 << 10,
    },
    Card {
        sm: 90,
        name: "Emulated NVIDIA H100 (sm_90)",
        multiprocessors: 132,
        clock: 1_980_000,
        memory_clock: 2_619_000,
        memory_bus: 5120,
        memory: 85_017_493_504,
        l2: 50 << 20,
        persisting: 32_768_000,
        threads: 2048,
        blocks: 32,
        shared: 228 << 10,
        shared_block: 227 << 10,
        shared_reserved: 1 << 10,
    },
];

impl Card {
    /// The card of a compute capability; of one that none has, the newest older card.
    pub(super) fn of(sm: u32) -> &'static Self {
        CARDS.iter().rev().find(|card| card.sm <= sm).unwrap_or(&CARDS[0])
    }

    /// A card of the same capability with another number of multiprocessors, which stays until the process ends; itself for None.
    pub(super) fn with(&'static self, multiprocessors: Option<u32>) -> &'static Self {
        match multiprocessors {
            Some(multiprocessors) => Box::leak(Box::new(Self { multiprocessors, ..self.clone() })),
            None => self,
        }
    }

    /// An attribute in which cards differ.
    pub(super) fn attribute(&self, number: u32) -> Option<i32> {
        let hopper = u32::from(self.sm >= 90);
        let data_centre = matches!(self.sm, 80 | 90);
        let value = match number {
            13 => self.clock,
            16 => self.multiprocessors,
            36 => self.memory_clock,
            37 => self.memory_bus,
            38 => self.l2,
            39 => self.threads,
            75 => self.sm / 10,
            76 => self.sm % 10,
            81 => self.shared,
            // single precision is so many times as fast as double
            87 => match self.sm {
                80 | 90 => 2,
                75 => 32,
                _ => 64,
            },
            97 => self.shared_block,
            106 => self.blocks,
            107 => u32::from(data_centre), // compressible memory
            108 => self.persisting,
            109 if self.persisting == 0 => 0,
            111 => self.shared_reserved,
            126 => 1 + 3 * hopper,
            _ => return None,
        };
        i32::try_from(value).ok()
    }

    /// Blocks of a kernel that a multiprocessor holds at once, as far as registers allow: how many a kernel needs, only the assembler knows.
    pub(super) fn resident(&self, threads: u32, shared: u32) -> u32 {
        let by_threads = self.threads / 32 / threads.div_ceil(32).max(1);
        let by_shared = self.shared / (shared + self.shared_reserved).next_multiple_of(128).max(1);
        by_threads.min(by_shared).min(self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_and_threads_bound_how_many_blocks_are_resident() {
        let h100 = Card::of(90);
        assert_eq!(h100.resident(32, 16384), 13); // recorded
        assert_eq!(h100.resident(96, 0), 21);
        assert_eq!(h100.resident(1024, 116_736), 1);
        assert_eq!(Card::of(75).resident(1024, 65536), 1);
        assert_eq!(Card::of(89).resident(32, 0), 24);
    }

    #[test]
    fn a_card_of_another_size_is_of_the_same_capability() {
        let card = Card::of(89).with(Some(128));
        assert_eq!((card.attribute(16), card.attribute(76), card.attribute(81)), (Some(128), Some(9), Some(100 << 10)));
    }

    #[test]
    fn names_say_that_they_are_emulated() {
        assert!(CARDS.iter().all(|card| card.name.starts_with("Emulated ")));
        assert_eq!(Card::of(86).name, "Emulated NVIDIA A10 (sm_86)");
    }
}
