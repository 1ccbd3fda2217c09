//! The figures of a benchmark, and their two forms: a table made to be read, and JSON. Not here: the chart (`plot`).

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::machine::Machine;
use super::measure::{Times, median};
use super::pair::{self, Comparison, Pair};
use super::pauses::PAUSES;
use super::profile::Profile;
use crate::cli::model_ref::Network;
use crate::engine::{Peak, Precision};
use crate::service::simulation::SHARES;

/// What a benchmark found, with all that it depends on.
pub(super) struct Report {
    /// As [`Engine::device`](crate::engine::Engine::device).
    pub(super) device: String,
    pub(super) threads: usize,
    pub(super) precision: Precision,
    pub(super) machine: Machine,
    /// Measured time of each case.
    pub(super) seconds: f64,
    pub(super) rounds: u32,
    /// None where the device has no peak to measure against.
    pub(super) peak: Option<Peak>,
    /// Bytes, of all models together; None where the system does not tell.
    pub(super) peak_memory: Option<u64>,
    pub(super) cases: Vec<Case>,
    /// What is compared.
    pub(super) pairs: Vec<Pair>,
    /// Where they were asked for.
    pub(super) profiles: Option<Vec<Profile>>,
}

/// A model in a batch.
pub(super) struct Case {
    pub(super) model: String,
    /// As [`Program::family`].
    pub(super) family: String,
    pub(super) batch: usize,
    /// Rows and columns of the images.
    pub(super) size: (usize, usize),
    /// Multiply-accumulates per image.
    pub(super) macs: u64,
    /// The network that was published under this name, at the size of its figures.
    pub(super) published: bool,
    pub(super) times: Times,
    /// Behind each of the pauses, where they were measured.
    pub(super) after_pauses: Option<[Times; PAUSES.len()]>,
}

impl Case {
    pub(super) fn new(name: &str, network: &Network, batch: usize, times: Times) -> Self {
        let program = &network.program;
        let size = (program.input.height, program.input.width);
        let (family, macs) = (program.family.clone(), program.cost().macs);
        let (model, published) = (name.to_owned(), network.is_published());
        Self { model, family, batch, size, macs, published, times, after_pauses: None }
    }

    /// The median over the rounds.
    pub(super) fn images_per_second(&self) -> f64 {
        median(&self.times.rates(self.batch))
    }

    fn gflops(&self) -> f64 {
        self.images_per_second() * self.macs as f64 * 2.0 / 1e9
    }

    /// Images per second if the whole network went as fast as the machine's matrix product.
    pub(super) fn roof(&self, peak: &Peak) -> f64 {
        peak.flops / (self.macs as f64 * 2.0)
    }

    pub(super) fn share_of_peak(&self, peak: &Peak) -> f64 {
        self.images_per_second() / self.roof(peak)
    }

    /// The images' size as `224×224`.
    pub(super) fn pixels(&self) -> String {
        format!("{}×{}", self.size.0, self.size.1)
    }

    fn json(&self, peak: Option<&Peak>) -> Value {
        let (height, width) = self.size;
        // what `convnext plan` simulates with
        let quantiles = |times: &Times| SHARES.map(|share| times.latency(share) * 1e3);
        let mut case = json!({
            "model": self.model,
            "batch": self.batch,
            "image_size": if height == width { json!(height) } else { json!([height, width]) },
            "images_per_second": self.images_per_second(),
            "latency_ms": {"median": self.times.latency(0.5) * 1e3, "p99": self.times.latency(0.99) * 1e3},
            "quantiles_ms": quantiles(&self.times),
            "gflops": self.gflops(),
            "share_of_peak": peak.map(|peak| self.share_of_peak(peak)),
            "runs": self.times.runs(),
            "rounds": self.times.rates(self.batch),
        });
        if let Some(all) = &self.after_pauses {
            let after = |(pause, times): (Duration, &Times)| json!({"pause_ms": pause.as_millis() as u64, "quantiles_ms": quantiles(times), "runs": times.runs()});
            case["after_pauses"] = PAUSES.into_iter().zip(all).map(after).collect();
        }
        case
    }

    /// A line on what it takes behind pauses, where that was measured.
    fn behind_pauses(&self) -> Option<String> {
        let times = self.after_pauses.as_ref()?.iter().map(|times| figure(times.latency(0.5) * 1e3));
        let pauses = PAUSES.map(|pause| pause.as_millis().to_string());
        Some(format!(
            "{}, batch {}, behind pauses of {} ms: median {} ms, and {} without one.\n",
            self.model,
            self.batch,
            pauses.join(", "),
            times.collect::<Vec<_>>().join(", "),
            figure(self.times.latency(0.5) * 1e3)
        ))
    }
}

impl Report {
    pub(super) fn json(&self) -> Value {
        let peak = self.peak.as_ref();
        let mut report = json!({
            "device": self.device,
            "threads": self.threads,
            "precision": self.precision.name(),
            "machine": {"cpu": self.machine.cpu, "cores": self.machine.cores},
            "version": env!("CARGO_PKG_VERSION"),
            "peak_gflops": peak.map(|peak| peak.flops / 1e9),
            "peak_bytes_per_second": peak.map(|peak| peak.bytes),
            "peak_memory_bytes": self.peak_memory,
            "rounds": self.rounds,
            "results": self.cases.iter().map(|case| case.json(peak)).collect::<Vec<_>>(),
        });
        if !self.pairs.is_empty() {
            report["pairs"] = self.comparisons().iter().map(Comparison::json).collect();
        }
        if let Some(profiles) = &self.profiles {
            report["profile"] = profiles.iter().map(Profile::json).collect();
        }
        report
    }

    pub(super) fn comparisons(&self) -> Vec<Comparison<'_>> {
        Comparison::all(&self.pairs, &self.cases)
    }

    /// Where and how it was measured, in pieces.
    pub(super) fn setting(&self) -> Vec<String> {
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        vec![
            self.machine.name().to_owned(),
            format!("device {}", self.device),
            format!("{} of {}", count(self.threads, "thread"), count(self.machine.cores, "core")),
            self.precision.name().to_owned(),
            format!("convnext {}", env!("CARGO_PKG_VERSION")),
        ]
    }

    /// What the figures are.
    pub(super) fn method(&self) -> Vec<String> {
        vec![
            format!("Median of {} alternating rounds", self.rounds),
            format!("{} s a bar", self.seconds),
            "decoding and staging not included".to_owned(),
        ]
    }

    pub(super) fn table(&self) -> String {
        let mut header = vec!["model", "image", "batch", "images/s", "rounds", "median ms", "p99 ms", "GFLOP/s"];
        header.extend(self.peak.map(|_| "of peak"));
        header.push("runs");
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header);
        for case in &self.cases {
            let rates = case.times.rates(case.batch);
            let [low, high] = [f64::min, f64::max].map(|of| rates.iter().copied().reduce(of).unwrap_or(f64::NAN));
            let mut row = vec![
                case.model.clone(),
                case.pixels(),
                case.batch.to_string(),
                figure(case.images_per_second()),
                format!("{}–{}", figure(low), figure(high)),
                figure(case.times.latency(0.5) * 1e3),
                figure(case.times.latency(0.99) * 1e3),
                figure(case.gflops()),
            ];
            row.extend(self.peak.map(|peak| percent(case.share_of_peak(&peak))));
            row.push(case.times.runs().to_string());
            table.add_row(row);
        }
        right_from(&mut table, 1);
        let mut notes = vec![format!("images/s: median of {} rounds, slowest and fastest beside it.", self.rounds)];
        notes.extend(self.peak.map(|peak| format!("Peak: {} GFLOP/s.", figure(peak.flops / 1e9))));
        notes.extend(self.peak_memory.map(|bytes| format!("Peak memory: {} MB.", figure(bytes as f64 / 1e6))));
        let profiles: String = self.profiles.iter().flatten().map(|profile| format!("\n{}", profile.table())).collect();
        let comparisons = self.comparisons();
        let pairs = if comparisons.is_empty() { String::new() } else { format!("\n{}", pair::table(&comparisons)) };
        let pauses: String = self.cases.iter().filter_map(Case::behind_pauses).collect();
        format!("{}\n\n{table}\n\n{}\n{pauses}{pairs}{profiles}", self.setting().join(", "), notes.join(" "))
    }
}

/// Aligns a table's columns from this one on to the right.
pub(super) fn right_from(table: &mut Table, first: usize) {
    for column in table.column_iter_mut().skip(first) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// A number with three digits or all that stand before the point.
pub(super) fn figure(number: f64) -> String {
    // below each limit by half of the last digit: 9.996 is rounded to 10.0, not to 10.00
    let limits = [(99.95, 0), (9.995, 1), (0.9995, 2), (0.0995, 3), (f64::MIN_POSITIVE, 4)];
    let digits = limits.into_iter().find(|(limit, _)| number >= *limit).map_or(2, |(_, digits)| digits);
    format!("{number:.digits$}")
}

pub(super) fn percent(share: f64) -> String {
    let digits = usize::from(share < 0.0995);
    format!("{:.digits$} %", share * 100.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report of cases `(model, family, batch, images per second)` that has 10 GFLOP/s as its peak.
    pub(in super::super) fn report(cases: &[(&str, &str, usize, f64)]) -> Report {
        let case = |&(model, family, batch, rate): &(&str, &str, usize, f64)| Case {
            model: model.to_owned(),
            family: family.to_owned(),
            batch,
            size: (224, 224),
            macs: 500_000_000,
            published: true,
            times: Times([0.9, 1.0, 1.25].map(|speed| vec![batch as f64 / (rate * speed)]).to_vec()),
            after_pauses: None,
        };
        Report {
            device: "cpu".to_owned(),
            threads: 2,
            precision: Precision::F32,
            machine: Machine { cpu: Some("A <fast> processor".to_owned()), cores: 4 },
            seconds: 3.0,
            rounds: 3,
            peak: Some(Peak { flops: 1e10, bytes: 1e10 }),
            peak_memory: Some(123_456_789),
            cases: cases.iter().map(case).collect(),
            pairs: Vec::new(),
            profiles: None,
        }
    }

    #[test]
    fn json_has_the_shape_that_others_read() {
        let json = report(&[("a", "x", 1, 4.0), ("a", "x", 8, 5.0)]).json();
        assert_eq!(json["machine"], json!({"cpu": "A <fast> processor", "cores": 4}));
        assert_eq!((&json["peak_gflops"], &json["peak_memory_bytes"]), (&json!(10.0), &json!(123_456_789)));
        let second = &json["results"][1];
        assert_eq!((&second["model"], &second["batch"], &second["image_size"]), (&json!("a"), &json!(8), &json!(224)));
        let near = |value: &Value, expected: f64| (value.as_f64().unwrap() / expected - 1.0).abs() < 1e-9;
        assert!(near(&second["images_per_second"], 5.0) && near(&second["gflops"], 5.0), "{second}");
        assert!(near(&second["share_of_peak"], 0.5) && near(&second["latency_ms"]["median"], 1600.0), "{second}");
        assert!(near(&second["latency_ms"]["p99"], 8.0 / 4.5 * 1e3), "{second}");
        assert_eq!((&second["runs"], second["rounds"].as_array().unwrap().len()), (&json!(3), 3));
        assert_eq!(json.get("profile"), None);
    }

    #[test]
    fn pauses_are_told_where_they_were_measured() {
        let mut report = report(&[("a", "x", 1, 4.0)]);
        report.cases[0].after_pauses = Some(PAUSES.map(|pause| Times(vec![vec![0.25 + pause.as_secs_f64(); 3]])));
        let told = &report.json()["results"][0]["after_pauses"];
        assert_eq!((&told[4]["pause_ms"], &told[4]["runs"]), (&json!(100), &json!(3)));
        let quantiles = told[4]["quantiles_ms"].as_array().unwrap();
        assert!(quantiles.len() == SHARES.len() && quantiles.iter().all(|ms| ms == &json!(350.0)), "{told}");
        let line = "a, batch 1, behind pauses of 1, 3, 10, 30, 100 ms: median 251, 253, 260, 280, 350 ms, and 250";
        assert!(report.table().contains(line), "{}", report.table());
    }

    #[test]
    fn what_is_not_known_is_null_and_has_no_column() {
        let mut report = report(&[("a", "x", 1, 4.0)]);
        (report.peak, report.peak_memory, report.machine.cpu) = (None, None, None);
        let json = report.json();
        for value in [&json["peak_gflops"], &json["peak_memory_bytes"], &json["results"][0]["share_of_peak"]] {
            assert!(value.is_null());
        }
        let table = report.table();
        assert!(table.contains("images/s") && !table.to_lowercase().contains("peak"), "{table}");
        assert!(table.starts_with(std::env::consts::ARCH), "{table}");
    }

    #[test]
    fn figures_have_three_digits() {
        let texts =
            [(0.0, "0.00"), (0.0123, "0.0123"), (0.5, "0.500"), (0.9996, "1.00"), (9.996, "10.0"), (99.96, "100")];
        for (number, text) in texts {
            assert_eq!(figure(number), text);
        }
        assert_eq!(figure(12_345.6), "12346");
        assert_eq!([percent(0.456), percent(0.0996), percent(0.0123)], ["46 %", "10 %", "1.2 %"]);
    }
}
