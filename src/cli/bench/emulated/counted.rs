//! What the emulator counted, by the operations of the networks that ran. Not here: how it is shown (`table`).

use std::collections::BTreeMap;

use anyhow::ensure;
use serde::Deserialize;

use crate::engine::Launched;

/// The emulator's report, as far as it is read here.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    kernels: Vec<Entry>,
    /// The entry of each launch, as they ran.
    order: Vec<usize>,
}

/// Launches that are alike. Counts are sums over them.
#[derive(Debug, Deserialize)]
struct Entry {
    kernel: String,
    grid: [u64; 3],
    launches: u64,
    blocks_run: u64,
    unique_read_bytes: u64,
    unique_written_bytes: u64,
    reread_bytes: u64,
    loop_conflicts: u64,
    totals: BTreeMap<String, Totals>,
    computed: Vec<Time>,
}

#[derive(Debug, Deserialize)]
struct Totals {
    sectors: u64,
    wavefronts: u64,
    ideal: u64,
}

/// The computed time of a launch on a card, µs.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Time {
    pub(super) device: String,
    pub(super) multiprocessors: u64,
    pub(super) utilisation: f64,
    pub(super) low_us: f64,
    pub(super) high_us: f64,
    pub(super) bound: String,
}

/// A batch of a network that ran.
pub(super) struct Run {
    pub(super) model: String,
    pub(super) batch: usize,
    pub(super) launched: Vec<Launched>,
    /// What [`Traffic`](super::traffic::Traffic) says.
    pub(super) fused_bytes: u64,
}

/// A batch of a network, counted.
pub(super) struct Case {
    pub(super) model: String,
    pub(super) batch: usize,
    pub(super) fused_bytes: u64,
    /// Operations in running order; those of all blocks of a stage are one.
    pub(super) operations: Vec<Counted>,
    /// The sum of all.
    pub(super) network: Counted,
}

/// What an operation did, in all launches of a batch. Where blocks were sampled, counts are extrapolated.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// As `stages.0.blocks.*.depthwise + norm`.
    pub(super) operation: String,
    /// Each kernel and grid, as `depthwise_strip_1_f16 168×1×1`, with its launches.
    pub(super) kernels: Vec<(String, u64)>,
    pub(super) launches: u64,
    /// Of the launch with the fewest blocks.
    pub(super) blocks: u64,
    /// Read as they were before the launch, or written, each once a launch.
    pub(super) unique_bytes: u64,
    /// Read after the launch itself has written them.
    pub(super) reread_bytes: u64,
    pub(super) sectors: u64,
    pub(super) wavefronts: u64,
    pub(super) ideal_wavefronts: u64,
    /// Wavefronts that bank conflicts cost in loops.
    pub(super) loop_conflicts: u64,
    /// One for each card of the capability.
    pub(super) cards: Vec<OnCard>,
}

/// The same on a card.
#[derive(Clone, Debug)]
pub(super) struct OnCard {
    pub(super) device: String,
    /// Of the launch that keeps the fewest multiprocessors busy, 0 to 1.
    pub(super) utilisation: f64,
    /// Launches with fewer blocks than half the multiprocessors.
    pub(super) few: u64,
    /// Launches that keep less than 70 % of the multiprocessors busy.
    pub(super) idle: u64,
    pub(super) low_us: f64,
    pub(super) high_us: f64,
    /// What bounds the launch that takes longest, and how long that is.
    pub(super) bound: (String, f64),
}

/// What a good launch keeps busy of the multiprocessors.
const BUSY: f64 = 0.7;

impl Case {
    /// Of each run, in order.
    pub(super) fn all(report: &Report, runs: &[Run]) -> anyhow::Result<Vec<Self>> {
        let expected: usize = runs.iter().flat_map(|run| &run.launched).map(|step| step.kernels).sum();
        let found = report.order.len();
        ensure!(found == expected, "the emulator counted {found} launches; the networks have {expected}");
        let mut order = report.order.iter().filter_map(|entry| report.kernels.get(*entry));
        Ok(runs.iter().map(|run| Self::of(run, &mut order)).collect())
    }

    fn of<'a>(run: &Run, order: &mut impl Iterator<Item = &'a Entry>) -> Self {
        let mut operations: Vec<Counted> = Vec::new();
        let mut network = Counted::default();
        for step in &run.launched {
            let name = operation(&step.names);
            let at = operations.iter().position(|counted| counted.operation == name).unwrap_or_else(|| {
                operations.push(Counted { operation: name, ..Counted::default() });
                operations.len() - 1
            });
            for entry in order.by_ref().take(step.kernels) {
                operations[at].add(entry);
                network.add(entry);
            }
        }
        let (model, fused_bytes) = (run.model.clone(), run.fused_bytes);
        Self { model, batch: run.batch, fused_bytes, operations, network }
    }
}

/// One name for the operations of a step, whatever block of its stage it is in: the first name in full, of the others the last word.
fn operation(names: &[String]) -> String {
    let last = |name: &String| name.rsplit('.').next().unwrap_or(name).to_owned();
    let mut words: Vec<&str> = names.first().map(|name| name.split('.').collect()).unwrap_or_default();
    for at in 1..words.len() {
        if words[at - 1] == "blocks" {
            words[at] = "*";
        }
    }
    std::iter::once(words.join(".")).chain(names.iter().skip(1).map(last)).collect::<Vec<_>>().join(" + ")
}

impl Counted {
    /// Adds a launch.
    fn add(&mut self, entry: &Entry) {
        let grid = entry.grid.map(|size| size.to_string()).join("×");
        let kernel = format!("{} {grid}", entry.kernel);
        match self.kernels.iter_mut().find(|(known, _)| *known == kernel) {
            Some((_, launches)) => *launches += 1,
            None => self.kernels.push((kernel, 1)),
        }
        let blocks: u64 = entry.grid.iter().product();
        let launches = entry.launches.max(1);
        // all blocks of one launch, where those of several were sampled
        let whole = |count: u64| (u128::from(count) * u128::from(blocks)).div_ceil(u128::from(entry.blocks_run.max(1)));
        let whole = |count: u64| whole(count) as u64;
        let total = |of: fn(&Totals) -> u64| whole(entry.totals.values().map(of).sum());
        self.blocks = if self.launches == 0 { blocks } else { self.blocks.min(blocks) };
        self.launches += 1;
        self.unique_bytes += (entry.unique_read_bytes + entry.unique_written_bytes) / launches;
        self.reread_bytes += entry.reread_bytes / launches;
        self.sectors += total(|totals| totals.sectors);
        self.wavefronts += total(|totals| totals.wavefronts);
        self.ideal_wavefronts += total(|totals| totals.ideal);
        self.loop_conflicts += whole(entry.loop_conflicts);
        for time in &entry.computed {
            let at = self.cards.iter().position(|card| card.device == time.device).unwrap_or_else(|| {
                self.cards.push(OnCard::new(&time.device));
                self.cards.len() - 1
            });
            self.cards[at].add(time, blocks);
        }
    }
}

impl OnCard {
    fn new(device: &str) -> Self {
        let (device, bound) = (device.to_owned(), (String::new(), 0.0));
        Self { device, utilisation: 1.0, few: 0, idle: 0, low_us: 0.0, high_us: 0.0, bound }
    }

    fn add(&mut self, time: &Time, blocks: u64) {
        self.utilisation = self.utilisation.min(time.utilisation);
        self.few += u64::from(2 * blocks < time.multiprocessors);
        self.idle += u64::from(time.utilisation < BUSY);
        self.low_us += time.low_us;
        self.high_us += time.high_us;
        if time.high_us > self.bound.1 {
            self.bound = (time.bound.clone(), time.high_us);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn report() -> Report {
        let text = r#"{"kernels": [
            {"kernel": "dw", "grid": [100, 1, 1], "launches": 2, "blocks_run": 20, "unique_read_bytes": 4000, "unique_written_bytes": 400, "reread_bytes": 600,
             "loop_conflicts": 2, "totals": {"fma": {"sectors": 0, "wavefronts": 0, "ideal": 0}, "ld": {"sectors": 40, "wavefronts": 8, "ideal": 6}},
             "computed": [{"device": "L4", "multiprocessors": 58, "utilisation": 0.86, "low_us": 2.0, "high_us": 3.0, "bound": "memory"}]},
            {"kernel": "fc", "grid": [4, 5, 1], "launches": 1, "blocks_run": 20, "unique_read_bytes": 64, "unique_written_bytes": 32, "reread_bytes": 0,
             "loop_conflicts": 0, "totals": {"ld": {"sectors": 7, "wavefronts": 5, "ideal": 5}},
             "computed": [{"device": "L4", "multiprocessors": 58, "utilisation": 0.34, "low_us": 4.0, "high_us": 8.0, "bound": "mma"}]}],
            "order": [0, 1, 0]}"#;
        serde_json::from_str(text).unwrap()
    }

    fn run(steps: &[(&[&str], usize)]) -> Run {
        let launched = steps.iter().map(|(names, kernels)| Launched {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            kernels: *kernels,
        });
        Run { model: "m".to_owned(), batch: 1, launched: launched.collect(), fused_bytes: 10 }
    }

    #[test]
    fn launches_are_told_by_operation_and_blocks_of_a_stage_together() {
        let steps: [(&[&str], usize); 3] = [
            (&["stages.0.blocks.0.depthwise", "stages.0.blocks.0.norm"], 1),
            (&["stages.0.blocks.0.fc1"], 1),
            (&["stages.0.blocks.1.depthwise", "stages.0.blocks.1.norm"], 1),
        ];
        let cases = Case::all(&report(), &[run(&steps)]).unwrap();
        let [depthwise, linear] = &cases[0].operations[..] else { panic!("{}", cases[0].operations.len()) };
        assert_eq!(depthwise.operation, "stages.0.blocks.*.depthwise + norm");
        assert_eq!(depthwise.kernels, [("dw 100×1×1".to_owned(), 2)]);
        // a tenth of the blocks ran: 20 of 200
        let counts = (depthwise.launches, depthwise.blocks, depthwise.unique_bytes, depthwise.sectors);
        assert_eq!(counts, (2, 100, 4400, 400));
        assert_eq!(depthwise.reread_bytes, 600);
        assert_eq!((depthwise.wavefronts, depthwise.ideal_wavefronts, depthwise.loop_conflicts), (80, 60, 20));
        assert_eq!((depthwise.cards[0].low_us, depthwise.cards[0].high_us), (4.0, 6.0));
        assert_eq!((linear.blocks, linear.cards[0].few, linear.cards[0].idle), (20, 1, 1));
        let network = &cases[0].network;
        assert_eq!((network.launches, network.unique_bytes, network.cards[0].high_us), (3, 4496, 14.0));
        assert_eq!((network.cards[0].few, &*network.cards[0].bound.0), (1, "mma"));
    }

    #[test]
    fn launches_of_nothing_that_is_known_are_refused() {
        let error = Case::all(&report(), &[run(&[(&["stem"], 1)])]).err().unwrap().to_string();
        assert_eq!(error, "the emulator counted 3 launches; the networks have 1");
    }
}
