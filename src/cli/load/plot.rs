//! The chart of a run: latency by the share of requests that had no more, each nine as wide as the one before. Not here: how SVG is written (`svg`).

use std::fmt::Write as _;

use super::report::Report;
use crate::cli::svg::{Anchor, Drawing, lines, shorten};

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 36.0;
/// Left and right end of the scale of shares, and top and bottom of that of latencies.
const LEFT: f64 = 110.0;
const RIGHT: f64 = WIDTH - 60.0;
const HEIGHT: f64 = 320.0;
/// Shares that have a line, with their names; the scale ends with the last that a run's requests can tell.
const SHARES: [(f64, &str); 7] = [
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.999_99, "99.999 %"),
];
/// Points of the curve.
const POINTS: u32 = 400;

/// The chart as an SVG file.
pub(super) fn svg(report: &Report) -> String {
    let (title, room) = (format!("{}: latency by share of requests", report.model), WIDTH - 2.0 * MARGIN);
    let mut drawing = Drawing::new(WIDTH);
    let mut y = 50.0;
    drawing.text((MARGIN, y), "title", Anchor::Start, &shorten(&title, room / 22.0 * 13.0));
    y += 8.0;
    let pieces = [
        report.url.clone(),
        report.load.text(),
        format!("{:.1} images/s", report.throughput()),
        format!("{} requests, {} failed, {} late", report.record.requests, report.record.failed(), report.record.late),
    ];
    for line in lines(&pieces, room) {
        y += 20.0;
        drawing.text((MARGIN, y), "muted", Anchor::Start, &line);
    }
    let top = y + 32.0;
    curve(&mut drawing, report, top);
    drawing.finish(top + HEIGHT + 44.0, &title)
}

fn curve(drawing: &mut Drawing, report: &Report, top: f64) {
    let record = &report.record;
    let bottom = top + HEIGHT;
    // a thousand requests tell three nines, and nothing of a fourth
    let told = nines(1.0 - 1.0 / (record.known().max(10) as f64));
    let shares: Vec<_> = SHARES.into_iter().filter(|(share, _)| nines(*share) <= told + 1e-9).collect();
    let x = |nines: f64| LEFT + (RIGHT - LEFT) * nines / told;
    let most = (record.latency(1.0).as_secs_f64() * 1e3).max(1e-3);
    let step = step(most);
    let height = |ms: f64| bottom - HEIGHT * ms / (step * (most / step).ceil());
    for index in 0..=(most / step).ceil() as u32 {
        let (ms, y) = (f64::from(index) * step, height(f64::from(index) * step));
        drawing.push(format_args!(r#"<path d="M{LEFT:.1} {y:.1}H{RIGHT:.1}" class="grid"/>"#));
        let digits = if step < 1.0 { 2 } else { 0 };
        drawing.text((LEFT - 10.0, y + 4.0), "muted small", Anchor::End, &format!("{ms:.digits$} ms"));
    }
    for (share, name) in shares {
        drawing.line(x(nines(share)), (top, bottom), "grid");
        drawing.text((x(nines(share)), bottom + 20.0), "muted small", Anchor::Middle, name);
    }
    if record.known() == 0 {
        return;
    }
    let mut path = String::new();
    for point in 0..=POINTS {
        let at = told * f64::from(point) / f64::from(POINTS);
        let share = if point == POINTS { 1.0 } else { 1.0 - 10_f64.powf(-at) };
        let (command, y) = (if point == 0 { 'M' } else { 'L' }, height(record.latency(share).as_secs_f64() * 1e3));
        let _ = write!(path, "{command}{:.1} {y:.1}", x(at)); // a String takes everything
    }
    drawing.push(format_args!(r#"<path d="{path}" class="roof"/>"#));
}

/// How many nines a share has: 0 at 0, 1 at 90 %, 2 at 99 %.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// From a line to the next: 1, 2 or 5 of a power of ten, so that there are at most ten.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| most / step <= 10.0).unwrap_or(most)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::super::record::{Outcome, Record};
    use super::super::report::Load;
    use super::*;

    fn report(times: impl Iterator<Item = u64>) -> Report {
        let mut record = Record::new().unwrap();
        times.for_each(|ms| record.ended(Duration::from_millis(ms), Outcome::Status(200)));
        let load = Load::Closed { clients: 2 };
        Report { url: "http://h:1/a<b".into(), model: "m".into(), load, measured: Duration::from_secs(1), record }
    }

    #[test]
    fn the_scale_ends_where_the_requests_tell_no_more() {
        let drawn = svg(&report(1..=1000));
        assert!(drawn.starts_with("<svg") && drawn.contains("a&lt;b"), "{drawn}");
        assert!(drawn.contains("99.9 %") && !drawn.contains("99.99 %"));
        assert!(drawn.contains(&format!("L{RIGHT:.1} ")), "the curve reaches the right end");
        // the slowest, at the top of the scale
        assert!(drawn.contains("1000 ms"));
    }

    #[test]
    fn a_run_without_an_answer_has_no_curve() {
        assert!(!svg(&report(std::iter::empty())).contains("class=\"roof\""));
    }

    #[test]
    fn lines_stand_at_round_figures() {
        for (most, expected) in [(0.3, 0.05), (7.0, 1.0), (10.0, 1.0), (11.0, 2.0), (93.0, 10.0), (1002.0, 200.0)] {
            assert!((step(most) - expected).abs() < 1e-9, "{most}: {}", step(most));
        }
    }
}
