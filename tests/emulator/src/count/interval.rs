//! The time of a launch on a card, computed from counts: an interval, for how much of the memory's time hides behind the multiprocessors' no
//! count says.
//!
//! ```text
//! t_SM  = blocks on the busiest SM · max(issue/4, FP32/(lanes/32), mma·c/4, wavefronts, special/0.5) / clock
//! t_mem = max(unique bytes / (0.88·memory), sectors·32 / L2, read bytes / (bytes in flight · SMs / latency))
//! t     = 1.5 µs + fill + [max(t_SM/0.8, t_mem) … t_SM/0.8 + t_mem]
//! ```
//! All blocks are taken to be alike, no cache above L2 to hit, and the L2 cache to hold what is read again.

use serde::Serialize;

use super::device::{Device, LATENCY};
use super::report::LaunchReport;
use super::sass::{Assembled, Source, issue_slots};
use super::{Class, Count};

/// Between two kernels of a graph, µs.
const LAUNCH: f64 = 1.5;
/// What a long copy reaches of the memory's data-sheet rate.
const REACHED: f64 = 0.88;
/// What a good kernel reaches of a multiprocessor's busiest part.
const BUSY: f64 = 0.8;

/// The time of one launch. Times are µs, clocks those of the busiest multiprocessor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The card.
    pub device: &'static str,
    /// Blocks that a multiprocessor holds at once.
    pub resident_blocks: u32,
    /// Blocks that the busiest multiprocessor executes.
    pub busiest_blocks: u64,
    /// Blocks beside what the grid would have if all multiprocessors were as busy as the busiest.
    pub utilisation: f64,
    /// How long its parts are busy.
    pub clocks: Clocks,
    /// From what `clocks.issue` was counted.
    pub issue_from: Source,
    /// `t_SM`, before the 0.8.
    pub multiprocessor_us: f64,
    /// Unique bytes from and to memory.
    pub memory_us: f64,
    /// Sectors through the L2 cache.
    pub l2_us: f64,
    /// What is read, at what is in flight.
    pub latency_us: f64,
    /// Launch and fill.
    pub start_us: f64,
    /// If the shorter hides behind the longer.
    pub low_us: f64,
    /// If nothing hides.
    pub high_us: f64,
    /// What takes longest.
    pub bound: &'static str,
}

/// Clocks of the parts of the busiest multiprocessor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Clocks {
    /// Four schedulers, an instruction a clock each.
    pub issue: f64,
    /// FP32 lanes.
    pub fp32: f64,
    /// Tensor cores.
    pub mma: f64,
    /// Shared memory.
    pub shared: f64,
    /// The unit for functions: half a warp a clock.
    pub special: f64,
}

impl Clocks {
    /// The busiest part.
    fn bound(&self) -> (f64, &'static str) {
        let parts = [
            (self.issue, "issue"),
            (self.fp32, "fp32"),
            (self.mma, "mma"),
            (self.shared, "shared"),
            (self.special, "special"),
        ];
        longest(parts)
    }
}

fn longest<const N: usize>(parts: [(f64, &'static str); N]) -> (f64, &'static str) {
    parts.into_iter().fold((0.0, "nothing"), |most, part| if part.0 > most.0 { part } else { most })
}

/// The time of one launch of a report.
pub fn estimate(device: &Device, report: &LaunchReport, assembled: Option<&Assembled>) -> Estimate {
    let shape = &report.shape;
    let blocks = shape.blocks().max(1);
    let run = report.blocks_run.max(1) as f64;
    let registers = assembled.and_then(|assembled| assembled.registers);
    let resident = device.resident(shape.threads(), shape.static_shared + shape.dynamic_shared, registers);
    let busiest = blocks.div_ceil(u64::from(device.multiprocessors));

    let (slots, issue_from) = issue_slots(report, assembled);
    let executed = |class: Class| report.totals.get(&class).map_or(0.0, |count| count.executed as f64);
    let mma = report.totals.iter().map(|(class, count)| match class {
        Class::Mma(tile) => count.executed as f64 * device.clocks(*tile),
        _ => 0.0,
    });
    let share = busiest as f64 / run;
    let clocks = Clocks {
        issue: slots / 4.0 * share,
        fp32: executed(Class::Fma) / (f64::from(device.lanes) / 32.0) * share,
        mma: mma.sum::<f64>() / 4.0 * share,
        shared: report.total(|_| true).wavefronts as f64 * share,
        special: executed(Class::Special) / 0.5 * share,
    };
    let (most, busy) = clocks.bound();
    let multiprocessor_us = most / (device.clock * 1e3);

    let launch = blocks as f64 / run;
    let unique = (report.unique_read_bytes + report.unique_written_bytes) as f64 * launch;
    let moved = report.total(|_| true).sectors as f64 * 32.0 * launch;
    let read = report.total(reads).sectors as f64 * 32.0 * launch;
    let memory_us = unique / (REACHED * device.memory * 1e3);
    let l2_us = moved / (device.l2 * 1e3);
    let latency_us = if read > 0.0 {
        let together = blocks.min(u64::from(device.multiprocessors) * u64::from(resident));
        let in_flight = together as f64 * shape.warps() as f64 * in_flight(report);
        read / in_flight * LATENCY / (device.clock * 1e3)
    } else {
        0.0
    };

    let (memory, slowest) = longest([(memory_us, "memory"), (l2_us, "l2"), (latency_us, "latency")]);
    let start_us = LAUNCH + if read > 0.0 { LATENCY / (device.clock * 1e3) } else { 0.0 };
    let working = multiprocessor_us / BUSY;
    Estimate {
        device: device.name,
        resident_blocks: resident,
        busiest_blocks: busiest,
        utilisation: blocks as f64 / (busiest * u64::from(device.multiprocessors)) as f64,
        clocks,
        issue_from,
        multiprocessor_us,
        memory_us,
        l2_us,
        latency_us,
        start_us,
        low_us: start_us + working.max(memory),
        high_us: start_us + working + memory,
        bound: if working > memory { busy } else { slowest },
    }
}

/// What brings bytes from memory.
fn reads(class: Class) -> bool {
    matches!(class, Class::GlobalLoad | Class::CopyAsync)
}

/// Bytes that a warp has under way: those of each load of the text once, for compilers move the loads of a loop's body to its front, but not
/// those of the next round; and no more than it loads at all.
fn in_flight(report: &LaunchReport) -> f64 {
    let bytes = |count: &Count| count.sectors as f64 * 32.0;
    let loads = report.lines.iter().filter(|line| reads(line.class) && line.count.requests > 0);
    let once = loads.map(|line| bytes(&line.count) / line.count.requests as f64).sum::<f64>();
    let warps = report.blocks_run.max(1) as f64 * report.shape.warps() as f64;
    once.min(bytes(&report.total(reads)) / warps)
}
