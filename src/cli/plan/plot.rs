//! The chart of a plan: latency by what a device serves, both ends of a card with their band between. Not here: how SVG is written (`svg`).

use std::fmt::Write as _;

use super::report::{Found, Report, ms, thousands};
use super::search::{Loaded, knee};
use crate::cli::svg::{Anchor, Drawing, fill, lines, shorten};

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 36.0;
/// Left and right end of the scale of rates, and height of that of latencies.
const LEFT: f64 = 100.0;
const RIGHT: f64 = WIDTH - 130.0;
const HEIGHT: f64 = 380.0;
/// Latencies above so many times the bound are off the chart.
const TALL: f64 = 2.0;

/// Both scales are logarithmic: cards differ by a factor of ten, and so do latencies.
struct Scale {
    /// Images a second of a device.
    rates: (f64, f64),
    /// Milliseconds.
    latencies: (f64, f64),
    top: f64,
}

impl Scale {
    fn x(&self, rate: f64) -> f64 {
        let (from, to) = self.rates;
        LEFT + (RIGHT - LEFT) * (rate / from).ln() / (to / from).ln()
    }

    fn y(&self, ms: f64) -> f64 {
        let (from, to) = self.latencies;
        self.top + HEIGHT * (1.0 - (ms.clamp(from, to) / from).ln() / (to / from).ln())
    }
}

/// The chart as an SVG file.
pub(super) fn svg(report: &Report) -> String {
    let (title, room) = (format!("{}: p99 by the load of a device", report.model), WIDTH - 2.0 * MARGIN);
    let mut drawing = Drawing::new(WIDTH);
    let mut y = 50.0;
    drawing.text((MARGIN, y), "title", Anchor::Start, &shorten(&title, room / 22.0 * 13.0));
    y += 8.0;
    let are_computed = report.found.iter().any(|found| found.held.is_some() && !is_measured(found));
    let mut pieces: Vec<String> = report.setting().trim().split(". ").map(str::to_owned).collect();
    pieces.push(if are_computed {
        "simulated with computed times, shortest and longest; not measured".to_owned()
    } else {
        "simulated with measured times".to_owned()
    });
    pieces.push("dots: the knee".to_owned());
    for line in lines(&pieces, room) {
        y += 20.0;
        drawing.text((MARGIN, y), "muted", Anchor::Start, &line);
    }
    let scale = scale(report, y + 28.0);
    grid(&mut drawing, report, &scale);
    // both ends of a device have one colour
    let mut devices: Vec<&str> = Vec::new();
    for found in &report.found {
        if !devices.contains(&&*found.case.device) {
            devices.push(&found.case.device);
        }
    }
    for (index, device) in devices.iter().enumerate() {
        let ends: Vec<&Found> = report.found.iter().filter(|found| found.case.device == *device).collect();
        curves(&mut drawing, report, &scale, &ends, index);
    }
    drawing.finish(scale.top + HEIGHT + 66.0, &title)
}

fn is_measured(found: &Found) -> bool {
    found.case.times == super::cards::Times::Measured
}

/// Images a second of a device.
fn rate(report: &Report, found: &Found, loaded: &Loaded) -> f64 {
    loaded.rate / (found.servers * report.question.scenario.devices) as f64
}

fn p99(loaded: &Loaded) -> f64 {
    loaded.outcome.latency(0.99).as_secs_f64() * 1e3
}

fn scale(report: &Report, top: f64) -> Scale {
    let points = || report.found.iter().flat_map(|found| found.loads.iter().map(move |loaded| (found, loaded)));
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)))
    };
    let (from, to) = range(&mut points().map(|(found, loaded)| rate(report, found, loaded)));
    let (least, _) = range(&mut points().map(|(_, loaded)| p99(loaded)));
    let bound = report.question.p99.as_secs_f64() * 1e3;
    let rates = if from < to { (from / 1.1, to * 1.1) } else { (1.0, 10.0) };
    Scale { rates, latencies: ((least / 1.3).min(bound / 2.0), bound * TALL), top }
}

fn grid(drawing: &mut Drawing, report: &Report, scale: &Scale) {
    let bottom = scale.top + HEIGHT;
    for tick in ticks(scale.latencies) {
        let y = scale.y(tick);
        drawing.push(format_args!(r#"<path d="M{LEFT:.1} {y:.1}H{RIGHT:.1}" class="grid"/>"#));
        drawing.text((LEFT - 10.0, y + 4.0), "muted small", Anchor::End, &format!("{tick} ms"));
    }
    for tick in ticks(scale.rates) {
        drawing.line(scale.x(tick), (scale.top, bottom), "grid");
        drawing.text((scale.x(tick), bottom + 20.0), "muted small", Anchor::Middle, &thousands(tick));
    }
    drawing.text((RIGHT, bottom + 42.0), "muted small", Anchor::End, "images/s of a device");
    let bound = scale.y(report.question.p99.as_secs_f64() * 1e3);
    drawing.push(format_args!(r#"<path d="M{LEFT:.1} {bound:.1}H{RIGHT:.1}" class="roof" stroke-dasharray="6 5"/>"#));
    let words = format!("p99 ≤ {} ms", ms(report.question.p99));
    drawing.text((LEFT + 8.0, bound - 7.0), "strong small", Anchor::Start, &words);
}

/// 1, 2 and 5 of the powers of ten between.
fn ticks((from, to): (f64, f64)) -> Vec<f64> {
    let powers = (from.log10().floor() as i32)..=(to.log10().ceil() as i32);
    let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * 10_f64.powi(power)));
    ticks.filter(|tick| (from..=to).contains(tick)).collect()
}

fn curves(drawing: &mut Drawing, report: &Report, scale: &Scale, ends: &[&Found], index: usize) {
    let class = fill(index);
    let point = |found: &Found, loaded: &Loaded| (scale.x(rate(report, found, loaded)), scale.y(p99(loaded)));
    // what refuses some has no more latency to tell
    let served = |found: &Found| -> Vec<(f64, f64)> {
        found.loads.iter().filter(|loaded| loaded.outcome.failed() == 0.0).map(|loaded| point(found, loaded)).collect()
    };
    let path = |points: &mut dyn Iterator<Item = (f64, f64)>, first: char| {
        let mut path = String::new();
        for (index, (x, y)) in points.enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { first } else { 'L' }); // a String takes everything
        }
        path
    };
    let all: Vec<Vec<(f64, f64)>> = ends.iter().map(|found| served(found)).collect();
    if let [one, other] = &all[..] {
        let there = path(&mut one.iter().copied(), 'M');
        let back = path(&mut other.iter().rev().copied(), 'L');
        drawing.push(format_args!(r#"<path d="{there}{back}Z" class="{class} track"/>"#));
    }
    for (found, points) in ends.iter().zip(&all) {
        // a line is a thin area, for only areas have colours
        let there = path(&mut points.iter().map(|(x, y)| (*x, y - 1.0)), 'M');
        let back = path(&mut points.iter().rev().map(|(x, y)| (*x, y + 1.0)), 'L');
        drawing.push(format_args!(r#"<path d="{there}{back}Z" class="{class}"/>"#));
        if let Some(loaded) = knee(&found.loads).map(|knee| &found.loads[knee]) {
            let (x, y) = point(found, loaded);
            drawing.push(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" class="{class}"/>"#));
        }
    }
    let y = scale.top + 14.0 + 22.0 * index as f64;
    drawing.bar((RIGHT + 16.0, y - 9.0), (12.0, 10.0), &class);
    if let Some(found) = ends.first() {
        drawing.text((RIGHT + 36.0, y), "strong", Anchor::Start, &shorten(&found.case.device, 90.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks((0.9, 60.0)), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
    }
}
