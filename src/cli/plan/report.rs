//! What a plan found, as tables in Markdown and as JSON. Not here: the chart (`plot`).

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::cards::{Case, Times};
use super::search::{Autoscaling, Loaded, Question, knee};
use crate::service::simulation::Balancing;

/// The quantiles that are told.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A plan, with all that it depends on.
pub(super) struct Report {
    pub(super) model: String,
    /// Images a second.
    pub(super) rate: f64,
    pub(super) queue_target: Duration,
    /// As much as the load may become until new servers serve.
    pub(super) growth: f64,
    pub(super) question: Question,
    pub(super) found: Vec<Found>,
}

/// What was found of a device.
pub(super) struct Found {
    pub(super) case: Case,
    /// The servers that were given, or the fewest that hold the latency, at the rate; None where no number does.
    pub(super) held: Option<(usize, Loaded)>,
    /// Of all that follows.
    pub(super) servers: usize,
    pub(super) loads: Vec<Loaded>,
    pub(super) autoscaling: Option<Autoscaling>,
}

impl Report {
    /// Markdown, which reads on a terminal too.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.setting());
        text += &self.servers();
        // loads of one card; those of several are the chart's
        let devices = self.found.iter().map(|found| &found.case.device);
        if devices.collect::<std::collections::BTreeSet<_>>().len() == 1 {
            self.found.iter().filter(|found| !found.loads.is_empty()).for_each(|found| text += &self.loads(found));
        }
        if self.found.iter().any(|found| found.autoscaling.is_some()) {
            text += &self.autoscaling();
        }
        text
    }

    /// What was asked, in words.
    pub(super) fn setting(&self) -> String {
        let Question { scenario, spacing, p99, .. } = &self.question;
        let balancing = match scenario.balancing {
            Balancing::RoundRobin => "round robin",
            Balancing::Random => "random",
            Balancing::LeastRequests => "fewest in flight",
        };
        let decode = scenario.decode.map_or("images come as tensors".to_owned(), |decode| {
            format!("{} threads a server decode, {} ms an image", decode.threads, ms(decode.time))
        });
        format!(
            "{}: {} images/s ({}), p99 ≤ {} ms. Balanced by {balancing}; batches ≤ {}, queue {}; {decode}; {} ms of host; seed {}.\n",
            self.model,
            thousands(self.rate),
            spacing.name(),
            ms(*p99),
            scenario.model.max_batch,
            scenario.model.queue_images,
            ms(scenario.host),
            scenario.seed,
        )
    }

    fn servers(&self) -> String {
        let devices = self.question.scenario.devices;
        let mut rows = vec![row(&[
            "device",
            "times",
            "images/s at most",
            "devices",
            "load",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "batch",
            "busy",
            "refused",
        ])];
        rows.push("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n".to_owned());
        for Found { case, held, .. } in &self.found {
            let head = [case.device.clone(), case.times.name().to_owned(), thousands(case.speed.capacity())];
            let cells = match held {
                Some((servers, loaded)) => {
                    let mut cells = vec![thousands((servers * devices) as f64), percent(loaded.share)];
                    cells.extend(QUANTILES.map(|(_, share)| ms(loaded.outcome.latency(share))));
                    cells.extend(worked(loaded));
                    cells
                }
                None => vec!["none".to_owned()],
            };
            rows.push(row(&[&head[..], &cells].concat()));
        }
        rows.concat()
    }

    fn loads(&self, found: &Found) -> String {
        let mut text = format!(
            "\n{} of {} ({}) as the load rises:\n\n",
            thousands((found.servers * self.question.scenario.devices) as f64),
            found.case.device,
            found.case.times.name()
        );
        text += &row(&["load", "images/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "batch", "busy", "refused", ""]);
        text += "|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n";
        let knee = knee(&found.loads);
        for (index, loaded) in found.loads.iter().enumerate() {
            let mut cells = vec![percent(loaded.share), thousands(loaded.rate)];
            cells.extend(QUANTILES.map(|(_, share)| ms(loaded.outcome.latency(share))));
            cells.extend(worked(loaded));
            let mut notes = Vec::new();
            notes.extend((knee == Some(index)).then_some("knee"));
            notes.extend((!self.question.holds(loaded)).then_some("not held"));
            cells.push(notes.join(", "));
            text += &row(&cells);
        }
        text
    }

    fn autoscaling(&self) -> String {
        let target = ms(self.queue_target);
        let mut text = format!(
            "\nAn autoscaler by the mean time in the queue; the load may become {:.2} times as much until new servers serve:\n\n",
            self.growth
        );
        text += &row(&[
            "device".to_owned(),
            "times".to_owned(),
            "held up to a load of".to_owned(),
            "mean queue there, ms".to_owned(),
            format!("mean queue is {target} ms at"),
            "p99 there, ms".to_owned(),
            "refused there".to_owned(),
            "to act at".to_owned(),
            "target to set, ms".to_owned(),
        ]);
        text += "|---|---|--:|--:|--:|--:|--:|--:|--:|\n";
        for found in &self.found {
            let Some(Autoscaling { highest, fires, advised }) = &found.autoscaling else { continue };
            let mut cells = vec![found.case.device.clone(), found.case.times.name().to_owned()];
            cells.extend([percent(highest.share), ms(highest.outcome.mean_queue())]);
            match fires {
                Some(fires) => cells.extend([
                    percent(fires.share),
                    ms(fires.outcome.latency(0.99)),
                    percent(fires.outcome.failed()),
                ]),
                None => cells.extend(["never".to_owned(), String::new(), String::new()]),
            }
            cells.extend([percent(advised.share), ms(advised.outcome.mean_queue())]);
            text += &row(&cells);
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let Question { scenario, spacing, p99, .. } = &self.question;
        json!({
            "model": self.model,
            "rate": self.rate,
            "p99_ms": in_ms(*p99),
            "arrivals": spacing.name(),
            "seed": scenario.seed,
            "max_batch": scenario.model.max_batch,
            "queue_images": scenario.model.queue_images,
            "queue_target_ms": in_ms(self.queue_target),
            "growth": self.growth,
            "version": env!("CARGO_PKG_VERSION"),
            "cases": self.found.iter().map(|found| self.case_json(found)).collect::<Vec<_>>(),
        })
    }

    fn case_json(&self, found: &Found) -> Value {
        let loaded = |loaded: &Loaded| {
            let outcome = &loaded.outcome;
            let quantiles = QUANTILES.map(|(name, share)| (name.to_owned(), json!(in_ms(outcome.latency(share)))));
            json!({
                "load": loaded.share,
                "images_per_second": loaded.rate,
                "latency_ms": quantiles.into_iter().collect::<serde_json::Map<_, _>>(),
                "mean_queue_ms": in_ms(outcome.mean_queue()),
                "mean_batch": outcome.mean_batch,
                "busy": outcome.busy,
                "decode_busy": outcome.decode_busy,
                "requests": outcome.requests(),
                "rejected": outcome.rejected,
                "late": outcome.late,
                "held": self.question.holds(loaded),
            })
        };
        json!({
            "device": found.case.device,
            "times": found.case.times.name(),
            "is_measured": found.case.times == Times::Measured,
            "images_per_second_at_most": found.case.speed.capacity(),
            "devices": found.held.as_ref().map(|(servers, _)| servers * self.question.scenario.devices),
            "at_rate": found.held.as_ref().map(|(_, at)| loaded(at)),
            "loads": found.loads.iter().map(loaded).collect::<Vec<_>>(),
            "knee": knee(&found.loads).map(|index| loaded(&found.loads[index])),
            "autoscaling": found.autoscaling.as_ref().map(|scaling| json!({
                "highest": loaded(&scaling.highest),
                "fires": scaling.fires.as_ref().map(loaded),
                "advised": loaded(&scaling.advised),
            })),
        })
    }
}

/// Batch, busy and refused.
fn worked(Loaded { outcome, .. }: &Loaded) -> [String; 3] {
    [format!("{:.1}", outcome.mean_batch), percent(outcome.busy), percent(outcome.failed())]
}

fn row(cells: &[impl AsRef<str>]) -> String {
    let mut row = "|".to_owned();
    for cell in cells {
        let _ = write!(row, " {} |", cell.as_ref()); // a String takes everything
    }
    row + "\n"
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Milliseconds with three digits, or more of whole ones.
pub(super) fn ms(time: Duration) -> String {
    let ms = in_ms(time);
    let digits = if ms == 0.0 || ms >= 99.95 {
        0
    } else if ms >= 9.995 {
        1
    } else {
        2
    };
    format!("{ms:.digits$}").trim_end_matches(".00").trim_end_matches(".0").to_owned()
}

fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0005 {
        return "< 0.1 %".to_owned();
    }
    let digits = usize::from(share > 0.0 && share < 0.0995);
    format!("{:.digits$} %", share * 100.0)
}

/// Three digits that mean something, with commas.
pub(super) fn thousands(number: f64) -> String {
    if number < 99.95 {
        return format!("{number:.1}").trim_end_matches(".0").to_owned();
    }
    let digits = format!("{number:.0}");
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_mean_something() {
        let micros = |micros| ms(Duration::from_micros(micros));
        assert_eq!([0, 234, 9_990, 12_340, 50_000, 123_456].map(micros), ["0", "0.23", "9.99", "12.3", "50", "123"]);
        assert_eq!(
            [8.0, 61.54, 999.6, 50_000.0, 1_234_567.0].map(thousands),
            ["8", "61.5", "1,000", "50,000", "1,234,567"]
        );
        assert_eq!([0.0, 1e-5, 0.004, 0.85, 1.1].map(percent), ["0 %", "< 0.1 %", "0.4 %", "85 %", "110 %"]);
    }
}
