//! The report of all launches of a process. Not here: what the counts mean for time (`interval`), and how they are shown to people (`table`).
//!
//! The report is JSON: `sm`, then `kernels`, one entry for each kernel and shape of launch, by name, shape and arguments. An entry has the fields of
//! [`LaunchReport`], `loop_conflicts`, and `computed`, an [`Estimate`] for each card of that compute capability. Fields that count are sums over the
//! `launches` launches of the entry. It says the same whatever order launches and blocks ran in; but `order` has the entry of each launch, as they ran.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::{Serialize, Serializer};

use super::device::devices;
use super::interval::{Estimate, estimate};
use super::launches::LaunchReport;
use super::sass::Assembled;

/// What all launches of a process did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The compute capability that was emulated.
    pub sm: u32,
    /// One entry for each kernel and shape, ordered.
    pub kernels: Vec<LaunchReport>,
    /// When each of them came first, as a number of its own.
    firsts: Vec<usize>,
    /// That number of each launch, as they ran.
    order: Vec<usize>,
    /// What the assembler made of kernels, by their names, where it is known.
    pub assembled: BTreeMap<String, Assembled>,
}

impl Report {
    /// Of no launch yet.
    pub fn new(sm: u32) -> Self {
        Self { sm, kernels: Vec::new(), firsts: Vec::new(), order: Vec::new(), assembled: BTreeMap::new() }
    }

    /// Adds a launch.
    pub fn add(&mut self, launch: LaunchReport) {
        let known = self.kernels.iter_mut().zip(&self.firsts).find(|(entry, _)| entry.alike(&launch));
        if let Some((entry, first)) = known {
            entry.add(&launch);
            self.order.push(*first);
        } else {
            let at = self.kernels.partition_point(|entry| entry.order(&launch) == Ordering::Less);
            let first = self.kernels.len();
            self.kernels.insert(at, launch);
            self.firsts.insert(at, first);
            self.order.push(first);
        }
    }

    /// The time of one launch of an entry on each card of the capability.
    pub fn estimates(&self, entry: &LaunchReport) -> Vec<Estimate> {
        let assembled = self.assembled.get(&entry.shape.kernel);
        devices(self.sm).map(|device| estimate(device, entry, assembled)).collect()
    }

    /// Writes it as JSON, or to a file `*.txt` as a table.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(std::fs::File::create(path)?);
        if path.extension().is_some_and(|extension| extension == "txt") {
            write!(file, "{self}")?;
        } else {
            serde_json::to_writer(&mut file, self)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            #[serde(flatten)]
            counted: &'a LaunchReport,
            loop_conflicts: u64,
            computed: Vec<Estimate>,
        }
        #[derive(Serialize)]
        struct Whole<'a> {
            note: &'static str,
            sm: u32,
            kernels: Vec<Entry<'a>>,
            order: Vec<usize>,
        }
        let entry = |counted| Entry {
            counted,
            loop_conflicts: LaunchReport::loop_conflicts(counted),
            computed: self.estimates(counted),
        };
        let note = "computed by an emulator, not measured";
        let mut places = vec![0; self.firsts.len()];
        self.firsts.iter().enumerate().for_each(|(place, first)| places[*first] = place);
        let order = self.order.iter().map(|first| places[*first]).collect();
        Whole { note, sm: self.sm, kernels: self.kernels.iter().map(entry).collect(), order }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Class, Count, Line, NonFinite, Shape};
    use super::*;

    fn launch(kernel: &str, blocks: u32, executed: u64) -> LaunchReport {
        let shape = Shape {
            kernel: kernel.into(),
            grid: [blocks, 1, 1],
            block: [32, 1, 1],
            static_shared: 0,
            dynamic_shared: 0,
            arguments: String::new(),
        };
        let line = |line, class, executed| Line {
            line,
            class,
            text: format!("{class}"),
            count: Count { executed, threads: 32 * executed, ..Count::default() },
        };
        LaunchReport::new(shape, vec![line(3, Class::Fma, executed), line(4, Class::Alu, 0)])
    }

    #[test]
    fn launches_that_are_alike_are_one_entry_in_any_order() {
        let mut first = launch("b", 2, 5);
        first.first_non_finite = Some(NonFinite { block: 1, thread: 7, line: 3, text: "fma".into() });
        let mut earlier = launch("b", 2, 6);
        earlier.first_non_finite = Some(NonFinite { block: 0, thread: 9, line: 3, text: "fma".into() });
        let mut other = launch("b", 2, 1);
        other.lines[0].line = 30;
        let launches = [launch("b", 3, 1), first, launch("a", 2, 1), earlier, other];
        let (mut forwards, mut backwards) = (Report::new(80), Report::new(80));
        launches.iter().for_each(|launch| forwards.add(launch.clone()));
        launches.iter().rev().for_each(|launch| backwards.add(launch.clone()));
        assert_eq!(forwards.kernels, backwards.kernels);
        assert_eq!(serde_json::to_value(&forwards).unwrap()["order"], serde_json::json!([3, 1, 0, 1, 2]));
        let entries: Vec<_> =
            forwards.kernels.iter().map(|entry| (entry.shape.kernel.as_str(), entry.launches)).collect();
        assert_eq!(entries, [("a", 1), ("b", 2), ("b", 1), ("b", 1)]);
        let both = &forwards.kernels[1];
        assert_eq!((both.blocks_run, both.lines[0].count.executed), (4, 11));
        assert_eq!(both.totals[&Class::Fma].threads, 11 * 32);
        assert_eq!(both.first_non_finite.as_ref().map(|first| first.block), Some(0));
    }

    #[test]
    fn json_has_what_was_executed_and_says_that_it_is_computed() {
        let mut report = Report::new(89);
        report.add(launch("k", 2, 5));
        let json = serde_json::to_value(&report).unwrap();
        let entry = &json["kernels"][0];
        assert_eq!(json["note"], "computed by an emulator, not measured");
        assert_eq!((entry["kernel"].as_str(), entry["grid"][0].as_u64()), (Some("k"), Some(2)));
        assert_eq!(entry["lines"].as_array().map(Vec::len), Some(1));
        assert_eq!(entry["lines"][0]["class"], "fma");
        assert_eq!(entry["totals"]["fma"]["executed"], 5);
        let devices: Vec<_> = entry["computed"].as_array().unwrap().iter().map(|time| &time["device"]).collect();
        assert_eq!(devices, ["L4", "RTX 4090"]);
        let table = report.to_string();
        assert!(table.contains("not measured") && table.contains("issue slots of PTX"), "{table}");
    }
}
