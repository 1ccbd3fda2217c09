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
use super::launches::LaunchReport;
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
    /// Its multiprocessors.
    pub multiprocessors: u32,
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
    let unique = (report.unique_read_bytes + report.unique_written_bytes) as f64 / report.launches.max(1) as f64;
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
        multiprocessors: device.multiprocessors,
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

#[cfg(test)]
mod tests {
    use super::super::device::DEVICES;
    use super::super::launches::{Line, Shape};
    use super::super::{Element, Tile};
    use super::*;

    /// 216 blocks of 4 warps, of which each does 4000 fused multiply-adds, 400 `mma`, 100 shared loads of 8 wavefronts, 100 functions, and
    /// loads 8 times 512 bytes.
    fn report() -> LaunchReport {
        let tile = Tile { m: 16, n: 8, k: 16, factor: Element::F16, half: false };
        let line = |line, class, count: Count| Line { line, class, text: String::new(), count };
        let executed = |executed: u64| Count { executed: executed * 216, ..Count::default() };
        let lines = vec![
            line(1, Class::GlobalLoad, Count { requests: 216 * 8, sectors: 216 * 8 * 16, ..executed(8) }),
            line(2, Class::Fma, executed(4000)),
            line(3, Class::Mma(tile), executed(400)),
            line(4, Class::SharedLoad, Count { wavefronts: 216 * 800, ideal: 216 * 100, ..executed(100) }),
            line(5, Class::Special, executed(100)),
        ];
        let shape = Shape {
            kernel: "k".into(),
            grid: [216, 1, 1],
            block: [128, 1, 1],
            static_shared: 0,
            dynamic_shared: 0,
            arguments: String::new(),
        };
        LaunchReport { unique_read_bytes: 216 * 8 * 512, ..LaunchReport::new(shape, lines) }
    }

    fn on(name: &str, report: &LaunchReport, assembled: Option<&Assembled>) -> Estimate {
        estimate(DEVICES.iter().find(|device| device.name == name).unwrap(), report, assembled)
    }

    fn near(computed: f64, by_hand: f64) {
        assert!((computed / by_hand - 1.0).abs() < 1e-3, "{computed} is not {by_hand}");
    }

    #[test]
    fn an_interval_by_hand() {
        // 108 multiprocessors: two blocks each.
        let a100 = on("A100-80", &report(), None);
        assert_eq!((a100.busiest_blocks, a100.resident_blocks, a100.utilisation), (2, 16, 1.0));
        let clocks = Clocks { issue: 2304.0, fp32: 4000.0, mma: 1600.0, shared: 1600.0, special: 400.0 };
        assert_eq!(a100.clocks, clocks);
        near(a100.multiprocessor_us, 4000.0 / 1410.0);
        near(a100.memory_us, 884_736.0 / 0.88 / 2_039_000.0);
        near(a100.l2_us, 884_736.0 / 5_000_000.0);
        // Each of 864 warps has 512 bytes under way and loads 1024: two latencies.
        near(a100.latency_us, 2.0 * 600.0 / 1410.0);
        near(a100.start_us, 1.5 + 600.0 / 1410.0);
        near(a100.low_us, a100.start_us + 4000.0 / 1410.0 / 0.8);
        near(a100.high_us, a100.low_us + 1200.0 / 1410.0);
        assert_eq!((a100.bound, a100.issue_from), ("fp32", Source::Ptx));
    }

    #[test]
    fn the_last_wave_is_as_long_as_the_others() {
        // 132 multiprocessors, of which 84 have two of the 216 blocks.
        let h100 = on("H100", &report(), None);
        assert_eq!(h100.busiest_blocks, 2);
        near(h100.utilisation, 216.0 / 264.0);
        assert_eq!(h100.clocks.fp32, 2000.0);
        near(h100.clocks.mma, 1280.0);
    }

    #[test]
    fn sampled_blocks_stand_for_all() {
        let whole = report();
        let mut sampled = report();
        sampled.blocks_run /= 4;
        let quarter = |count: &mut Count| {
            for number in [&mut count.executed, &mut count.requests, &mut count.sectors, &mut count.wavefronts] {
                *number /= 4;
            }
        };
        sampled.lines.iter_mut().for_each(|line| quarter(&mut line.count));
        sampled.totals.values_mut().for_each(quarter);
        assert_eq!(on("L4", &sampled, None), on("L4", &whole, None));
    }

    #[test]
    fn sass_takes_the_place_of_ptx() {
        use super::super::sass::Instructions::{ByLine, Total};
        let with = |instructions| Assembled { registers: Some(128), instructions: Some(instructions) };
        // Pieces at lines 1 and 2: 5 instructions where the load is, 3 for each multiply-add.
        let pieces = on("A100-80", &report(), Some(&with(ByLine([(0, 5), (2, 3)].into()))));
        near(pieces.clocks.issue, f64::from(5 * 8 + 3 * 4000) / 4.0 * 2.0);
        assert_eq!((pieces.issue_from, pieces.resident_blocks), (Source::Sass, 4));
        let total = on("A100-80", &report(), Some(&with(Total(10))));
        near(total.clocks.issue, 2.0 * 2304.0);
        assert_eq!(total.issue_from, Source::SassOverPtx);
    }
}
