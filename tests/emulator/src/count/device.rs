//! The cards that times are computed for: what a multiprocessor does in a clock, and what it is fed from. Figures of whole cards are those of
//! the manufacturer's data sheets; clocks are what their FP32 peaks imply (H100: its tensor peak, 1.83 GHz; it runs at up to 1.98).

use super::{Element, Tile};

/// A card.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device {
    /// Its name.
    pub name: &'static str,
    /// Its compute capability.
    pub sm: u32,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// The boost clock, GHz. What power lets it keep is less: a T4 of 70 W may fall to 1.
    pub clock: f64,
    /// FP32 lanes of a multiprocessor.
    pub lanes: u32,
    /// Clocks of a quarter of a multiprocessor for an `mma` of m16n8k16, f16 summed in f32, or as many products in smaller tiles.
    pub mma: f64,
    /// How much longer that takes than with sums in f16.
    pub half: f64,
    /// Memory, GB/s.
    pub memory: f64,
    /// The L2 cache, GB/s.
    pub l2: f64,
    /// Threads that a multiprocessor holds.
    pub threads: u32,
    /// Blocks that it holds.
    pub blocks: u32,
    /// Bytes of shared memory that it holds.
    pub shared: u64,
    /// Bytes of shared memory that the system takes for each block.
    pub reserved: u64,
}

/// 32-bit registers of a multiprocessor, and how many a warp is given at a time (CUDA C++ Programming Guide, "Technical Specifications"; the
/// occupancy calculator).
pub const REGISTERS: u32 = 65_536;
/// Of a warp.
pub const REGISTER_UNIT: u32 = 256;
/// Shared memory is given in so many bytes.
pub const SHARED_UNIT: u64 = 128;
/// Clocks until a load from memory arrives: 500 to 700 on all of these.
pub const LATENCY: f64 = 600.0;

/// Threads, blocks and shared memory by capability: Programming Guide, "Technical Specifications per Compute Capability".
const SM_75: Device = Device { sm: 75, lanes: 64, threads: 1024, blocks: 16, shared: 64 << 10, reserved: 0, ..NONE };
const SM_80: Device = Device { sm: 80, lanes: 64, threads: 2048, blocks: 32, shared: 164 << 10, ..NONE };
const SM_86: Device = Device { sm: 86, lanes: 128, threads: 1536, blocks: 16, shared: 100 << 10, ..NONE };
const SM_89: Device = Device { sm: 89, lanes: 128, threads: 1536, blocks: 24, shared: 100 << 10, ..NONE };
const SM_90: Device = Device { sm: 90, lanes: 128, threads: 2048, blocks: 32, shared: 228 << 10, ..NONE };
const NONE: Device = Device {
    name: "",
    sm: 0,
    multiprocessors: 1,
    clock: 1.0,
    lanes: 32,
    mma: 16.0,
    half: 1.0,
    memory: 1.0,
    l2: 1.0,
    threads: 1024,
    blocks: 16,
    shared: 0,
    reserved: 1 << 10,
};

/// All of them. Clocks of `mma` follow from the tensor peak: 2048 products · 4 quarters / (TFLOPS / 2 / multiprocessors / GHz); for H100
/// `mma.sync` reaches about 620 of the 989 TFLOPS that `wgmma` has. The L2 cache's rates are no figures of data sheets but recalled from
/// microbenchmarks (T4: Jia et al., arXiv 1903.07486; H100, RTX 4090: Chips and Cheese), from the A100's white paper (5120 bytes a clock, of
/// which about 0.7 are reached), and for A10, RTX 3090 and L4 guessed from cards of their kind.
pub const DEVICES: [Device; 9] = [
    // 65 TFLOPS, 8.1 FP32
    Device { name: "T4", multiprocessors: 40, clock: 1.59, mma: 16.0, memory: 320.0, l2: 1270.0, ..SM_75 },
    // 312 TFLOPS, 19.5 FP32
    Device { name: "A100-40", multiprocessors: 108, clock: 1.41, mma: 8.0, memory: 1555.0, l2: 5000.0, ..SM_80 },
    Device { name: "A100-80", multiprocessors: 108, clock: 1.41, mma: 8.0, memory: 2039.0, l2: 5000.0, ..SM_80 },
    // 125 TFLOPS, 31.2 FP32
    Device { name: "A10", multiprocessors: 72, clock: 1.695, mma: 16.0, memory: 600.0, l2: 2000.0, ..SM_86 },
    // 70 TFLOPS, 31.5 FP32: as AWS has it
    Device { name: "A10G", multiprocessors: 72, clock: 1.71, mma: 28.8, memory: 600.0, l2: 2000.0, ..SM_86 },
    // 71 TFLOPS, 35.6 FP32
    Device {
        name: "RTX 3090",
        multiprocessors: 82,
        clock: 1.695,
        mma: 32.0,
        half: 2.0,
        memory: 936.0,
        l2: 2200.0,
        ..SM_86
    },
    // 121 TFLOPS, 30.3 FP32
    Device { name: "L4", multiprocessors: 58, clock: 2.04, mma: 16.0, memory: 300.0, l2: 2000.0, ..SM_89 },
    // 165.2 TFLOPS, 82.6 FP32
    Device {
        name: "RTX 4090",
        multiprocessors: 128,
        clock: 2.52,
        mma: 32.0,
        half: 2.0,
        memory: 1008.0,
        l2: 5000.0,
        ..SM_89
    },
    // 989 TFLOPS, 66.9 FP32
    Device { name: "H100", multiprocessors: 132, clock: 1.83, mma: 6.4, memory: 3350.0, l2: 5500.0, ..SM_90 },
];

/// The cards of a compute capability.
pub fn devices(sm: u32) -> impl Iterator<Item = &'static Device> {
    DEVICES.iter().filter(move |device| device.sm == sm)
}

impl Device {
    /// Clocks that an `mma` keeps a quarter of a multiprocessor busy.
    pub fn clocks(&self, tile: Tile) -> f64 {
        // Rates beside f16's, as in the data sheets: tf32 half, 8 bits twice, 4 bits four times, single bits sixteen times. f64 is what A100
        // and H100 have; others execute it without tensor cores, which no kernel here does.
        let slower = match tile.factor {
            Element::F16 if tile.half => 1.0 / self.half,
            Element::F16 | Element::Bf16 => 1.0,
            Element::Tf32 => 2.0,
            Element::Byte => 0.5,
            Element::Nibble => 0.25,
            Element::Bit => 1.0 / 16.0,
            Element::F64 => 16.0,
        };
        self.mma * tile.products() as f64 / 2048.0 * slower
    }

    /// Blocks that a multiprocessor holds at once; 1 where it does not hold any, for then there is no launch.
    pub fn resident(&self, threads: u64, shared: u64, registers: Option<u32>) -> u32 {
        let warps = threads.div_ceil(32).max(1);
        let by_threads = u64::from(self.threads) / 32 / warps;
        let by_shared = match (shared + self.reserved).next_multiple_of(SHARED_UNIT) {
            0 => u64::MAX,
            bytes => self.shared / bytes,
        };
        let by_registers = registers.filter(|&count| count > 0).map_or(u64::MAX, |count| {
            // Each quarter has its own registers, and a warp lives in one.
            let warp = (count * 32).next_multiple_of(REGISTER_UNIT);
            u64::from(REGISTERS / 4 / warp) * 4 / warps
        });
        by_threads.min(by_shared).min(by_registers).clamp(1, u64::from(self.blocks)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static Device {
        DEVICES.iter().find(|device| device.name == name).unwrap()
    }

    #[test]
    fn peaks_are_those_of_the_data_sheets() {
        let peaks = [("T4", 65.0, 8.1), ("A100-80", 312.0, 19.5), ("A10", 125.0, 31.2), ("RTX 3090", 71.0, 35.6)];
        let more = [("L4", 121.0, 30.3), ("RTX 4090", 165.2, 82.6), ("H100", 620.0, 61.8), ("A10G", 70.0, 31.5)];
        for (name, tensor, fp32) in peaks.into_iter().chain(more) {
            let device = named(name);
            let all = f64::from(device.multiprocessors) * device.clock / 1000.0;
            let near = |computed: f64, said: f64| assert!((computed / said - 1.0).abs() < 0.01, "{name}: {computed}");
            near(2.0 * 4.0 * 2048.0 / device.mma * all, tensor);
            near(2.0 * f64::from(device.lanes) * all, fp32);
        }
    }

    #[test]
    fn smaller_tiles_and_types_take_less() {
        let tile = |k, factor, half| Tile { m: 16, n: 8, k, factor, half };
        assert_eq!(named("T4").clocks(tile(8, Element::F16, false)), 8.0);
        assert_eq!(named("A100-80").clocks(tile(16, Element::Bf16, false)), 8.0);
        assert_eq!(named("RTX 4090").clocks(tile(16, Element::F16, true)), 16.0);
        assert_eq!(named("A100-80").clocks(tile(32, Element::Byte, false)), 8.0);
    }

    #[test]
    fn blocks_are_limited_by_what_runs_out_first() {
        assert_eq!(named("A100-80").resident(256, 0, None), 8);
        assert_eq!(named("A100-80").resident(32, 0, None), 32);
        assert_eq!(named("T4").resident(256, 0, None), 4);
        assert_eq!(named("A100-80").resident(128, 64 << 10, None), 2);
        assert_eq!(named("L4").resident(128, 48 << 10, None), 2);
        assert_eq!(named("H100").resident(256, 0, Some(128)), 2);
        assert_eq!(named("A100-80").resident(128, 0, Some(168)), 3);
        assert_eq!(named("T4").resident(1024, 64 << 10, Some(64)), 1);
    }
}
