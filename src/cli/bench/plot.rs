//! The chart of a benchmark: a bar a case from 0 to its median, its rounds as dots on it, and behind it a track up to its roof,
//! the images per second that the machine's matrix product would allow. Not here: how SVG is written (`svg`).

use super::pair::Comparison;
use super::report::{Case, Report, figure, percent};
use super::svg::{Anchor, Drawing, escape, fill, lines, shorten, width};
use crate::engine::Peak;

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 36.0;
/// From a row to the next.
const ROW: f64 = 29.0;
const BAR: f64 = 15.0;
/// Above and between the rows of groups.
const HEADING: f64 = 28.0;
const GAP: f64 = 12.0;
/// Names get at most this.
const NAMES: f64 = 270.0;
/// Column of the figures.
const FIGURES: f64 = 62.0;
/// Column of the shares, at the right.
const SHARES: f64 = 74.0;
/// Roofs that are higher than the fastest bar by more than this factor are not drawn: the bars would be too short to compare.
const HEADROOM: f64 = 2.2;
/// With more rows the scale is repeated below.
const TALL: usize = 14;

/// Rows under a heading.
struct Group<'a> {
    heading: Option<String>,
    rows: Vec<(String, &'a Case)>,
}

/// The chart as an SVG file.
pub(super) fn svg(report: &Report) -> String {
    let paired = |case: &Case| report.pairs.iter().any(|pair| [&pair.model, &pair.baseline].contains(&&case.model));
    let all_paired = !report.pairs.is_empty() && report.cases.iter().all(paired);
    let (title, groups) = if all_paired { arrange_pairs(report) } else { arrange(&report.cases) };
    let mut chart = Chart::new(report, &groups);
    let mut y = chart.header(report, &title);
    let top = y;
    y += 10.0;
    let mut bands = Vec::with_capacity(groups.len());
    for group in &groups {
        let from = y + if group.heading.is_some() { HEADING } else { 0.0 };
        let to = from + ROW * group.rows.len() as f64;
        bands.push((from, to));
        y = to + GAP;
    }
    let below = groups.iter().map(|group| group.rows.len()).sum::<usize>() > TALL;
    chart.scale(top, &bands, below.then_some(y + 4.0));
    for (group, (from, _)) in groups.iter().zip(bands) {
        if let Some(heading) = &group.heading {
            let heading = shorten(heading, WIDTH - 2.0 * MARGIN);
            chart.drawing.text((MARGIN, from - 9.0), "strong", Anchor::Start, &heading);
        }
        for (index, (name, case)) in group.rows.iter().enumerate() {
            chart.row(from + ROW * index as f64, name, case);
        }
    }
    chart.drawing.finish(y + if below { 28.0 } else { 12.0 }, &title)
}

/// By batch, so that models stand beside each other; the batches of a single model side by side.
fn arrange(cases: &[Case]) -> (String, Vec<Group<'_>>) {
    let one_size = cases.iter().all(|case| case.size == cases[0].size);
    let name = |case: &Case| if one_size { case.model.clone() } else { format!("{}, {}", case.model, case.pixels()) };
    if let Some(first) = cases.first()
        && cases.iter().all(|case| case.model == first.model)
    {
        let rows = cases.iter().map(|case| (format!("batch {}", case.batch), case)).collect();
        return (format!("{}: images per second", first.model), vec![Group { heading: None, rows }]);
    }
    let batches: Vec<usize> = cases.iter().filter(|case| case.model == cases[0].model).map(|case| case.batch).collect();
    let single = batches.len() == 1;
    let groups = batches.iter().map(|&batch| Group {
        heading: (!single).then(|| format!("Batch {batch}")),
        rows: cases.iter().filter(|case| case.batch == batch).map(|case| (name(case), case)).collect(),
    });
    let title =
        if single { format!("Images per second, batch {}", batches[0]) } else { "Images per second".to_owned() };
    (title, groups.collect())
}

/// By pair and batch, the ratio above the two bars that it is of.
fn arrange_pairs<'a>(report: &'a Report) -> (String, Vec<Group<'a>>) {
    let group = |comparison: &Comparison<'a>| {
        let [low, high] = comparison.spread();
        let paper = comparison.paper().map(|paper| format!("; in the paper {}", paper.ratios())).unwrap_or_default();
        let heading = format!(
            "Batch {}: {:.2}×, by round {low:.2} to {high:.2}{paper}",
            comparison.model.batch,
            comparison.ratio()
        );
        let rows = [comparison.model, comparison.baseline].map(|case| (case.model.clone(), case));
        Group { heading: Some(heading), rows: rows.to_vec() }
    };
    let groups = report.comparisons().iter().map(group).collect();
    ("Images per second, in pairs".to_owned(), groups)
}

/// A chart with its scale.
struct Chart {
    drawing: Drawing,
    peak: Option<Peak>,
    /// Families in the order of their colours.
    families: Vec<String>,
    /// Left end of the bars and right end of the scale.
    span: (f64, f64),
    /// Images per second at the right end.
    most: f64,
    names: f64,
    /// Whether a roof lies beyond the right end.
    cut: bool,
}

impl Chart {
    fn new(report: &Report, groups: &[Group<'_>]) -> Self {
        let mut families: Vec<String> = Vec::new();
        for case in &report.cases {
            if !families.contains(&case.family) {
                families.push(case.family.clone());
            }
        }
        let names = groups.iter().flat_map(|group| &group.rows).map(|(name, _)| width(name)).fold(60.0, f64::max);
        let names = names.min(NAMES);
        let rates = report.cases.iter().flat_map(|case| case.times.rates(case.batch));
        let fastest = rates.filter(|rate| rate.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
        let roofs = report.cases.iter().filter_map(|case| Some(case.roof(report.peak.as_ref()?)));
        let roof = roofs.fold(0.0, f64::max);
        let most = fastest.max(roof.min(fastest * HEADROOM)) * 1.02;
        let right = WIDTH - MARGIN - if report.peak.is_some() { SHARES } else { 12.0 };
        let span = (MARGIN + names + FIGURES + 26.0, right);
        Self { drawing: Drawing::new(WIDTH), peak: report.peak, families, span, most, names, cut: roof > most }
    }

    fn x(&self, rate: f64) -> f64 {
        let (left, right) = self.span;
        left + (right - left) * (rate / self.most).clamp(0.0, 1.0)
    }

    /// Title, what and how it was measured, and what the marks mean; the `y` below.
    fn header(&mut self, report: &Report, title: &str) -> f64 {
        let room = WIDTH - 2.0 * MARGIN;
        let mut y = 50.0;
        self.drawing.text((MARGIN, y), "title", Anchor::Start, &shorten(title, room / 22.0 * 13.0));
        y += 8.0;
        let mut method = report.method();
        if report.cases.iter().all(|case| case.size == report.cases[0].size) {
            method.extend(report.cases.first().map(|case| format!("images of {}", case.pixels())));
        }
        for line in lines(&report.setting(), room).into_iter().chain(lines(&method, room)) {
            y += 20.0;
            self.drawing.text((MARGIN, y), "muted", Anchor::Start, &line);
        }
        self.legend(y + 32.0) + 34.0
    }

    /// What colours, dots and lines mean, in as many lines as that takes; the `y` of the last.
    fn legend(&mut self, mut y: f64) -> f64 {
        let mut x = MARGIN;
        let mut entries: Vec<(Mark, String)> = Vec::new();
        if self.families.len() > 1 {
            entries.extend(self.families.iter().enumerate().map(|(index, family)| (Mark::Fill(index), family.clone())));
        }
        entries.push((Mark::Dots, "a round each, the first at the top".to_owned()));
        if let Some(peak) = self.peak {
            let speed = figure(peak.flops / 1e9);
            entries.push((Mark::Roof, format!("roof: this machine's matrix product, {speed} GFLOP/s")));
            if self.cut {
                entries.push((Mark::Beyond, "beyond the scale".to_owned()));
            }
        }
        for (mark, text) in entries {
            let needed = 26.0 + width(&text) * 12.0 / 13.0;
            if x > MARGIN && x + needed > WIDTH - MARGIN {
                (x, y) = (MARGIN, y + 22.0);
            }
            let middle = y - 4.0;
            match mark {
                Mark::Fill(index) => self.drawing.bar((x + 2.0, middle - 6.0), (16.0, 12.0), &fill(index)),
                Mark::Dots => [(4.0, -4.0), (9.0, 0.0), (6.0, 4.0)]
                    .iter()
                    .for_each(|(right, down)| self.drawing.dot((x + 3.0 + right, middle + down))),
                Mark::Roof => {
                    self.drawing.bar((x, middle - 6.0), (18.0, 12.0), &format!("{} track", fill(0)));
                    self.drawing.line(x + 18.0, (middle - 9.0, middle + 9.0), "roof");
                }
                Mark::Beyond => self.chevron(x + 9.0, middle),
            }
            self.drawing.text((x + 26.0, y), "small muted", Anchor::Start, &text);
            x += needed + 13.0;
        }
        y
    }

    /// Lines and figures of the scale behind the bands of rows.
    fn scale(&mut self, y: f64, bands: &[(f64, f64)], below: Option<f64>) {
        let step = step(self.most, (self.span.1 - self.span.0) / 90.0);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        for tick in 0..=(self.most / step) as usize {
            let x = self.x(tick as f64 * step);
            for band in bands {
                self.drawing.line(x, *band, if tick == 0 { "base" } else { "grid" });
            }
            for y in [y].into_iter().chain(below) {
                let text = format!("{:.digits$}", tick as f64 * step);
                self.drawing.text((x, y), "small muted", Anchor::Middle, &text);
            }
        }
        self.drawing.text((self.span.0 - 14.0, y), "small muted", Anchor::End, "images/s");
        if self.peak.is_some() {
            self.drawing.text((WIDTH - MARGIN, y), "small muted", Anchor::End, "of roof");
        }
    }

    /// The bar of a case with all that is said of it.
    fn row(&mut self, y: f64, name: &str, case: &Case) {
        let (left, right) = self.span;
        let (middle, top) = (y + ROW / 2.0, y + (ROW - BAR) / 2.0);
        let rate = case.images_per_second();
        let roof = self.peak.map(|peak| (case.roof(&peak), case.share_of_peak(&peak)));
        let family = self.families.iter().position(|family| *family == case.family).unwrap_or_default();
        let mut told = format!("{name}, batch {}: {} images/s", case.batch, figure(rate));
        if let Some((roof, share)) = roof {
            told += &format!(", {} of the roof at {}", percent(share), figure(roof));
        }
        let latencies = [0.5, 0.99].map(|share| figure(case.times.latency(share) * 1e3));
        told += &format!("; latency {} ms, p99 {} ms", latencies[0], latencies[1]);
        self.drawing.push(format_args!("<g><title>{}</title>", escape(&told)));
        self.drawing.text((MARGIN, middle + 4.5), "", Anchor::Start, &shorten(name, self.names));
        self.drawing.text((left - 14.0, middle + 4.5), "strong", Anchor::End, &figure(rate));
        if let Some((roof, share)) = roof {
            let end = self.x(roof);
            self.drawing.bar((left, top), (end - left, BAR), &format!("{} track", fill(family)));
            self.drawing.text((WIDTH - MARGIN, middle + 4.5), "muted", Anchor::End, &percent(share));
            if roof > self.most {
                self.chevron(right + 9.0, middle);
            }
        }
        self.drawing.bar((left, top), ((self.x(rate) - left).max(1.5), BAR), &fill(family));
        if let Some((roof, _)) = roof.filter(|(roof, _)| *roof <= self.most) {
            self.drawing.line(self.x(roof), (top - 4.0, top + BAR + 4.0), "roof");
        }
        let rounds = case.times.rates(case.batch);
        for (index, rate) in rounds.iter().enumerate() {
            let down = if rounds.len() > 1 { index as f64 / (rounds.len() - 1) as f64 - 0.5 } else { 0.0 };
            self.drawing.dot((self.x(*rate), middle + down * (BAR - 3.0)));
        }
        self.drawing.push("</g>");
    }

    /// Where a roof lies beyond the scale.
    fn chevron(&mut self, x: f64, y: f64) {
        self.drawing.push(format_args!(r#"<path d="M{:.1} {:.1}l5 5l-5 5" class="roof"/>"#, x - 3.0, y - 5.0));
    }
}

/// Entries of the legend.
enum Mark {
    Fill(usize),
    Dots,
    Roof,
    Beyond,
}

/// A round number (1, 2 or 5 times a power of ten) that divides `most` into at most about `parts`.
fn step(most: f64, parts: f64) -> f64 {
    let raw = most / parts.max(1.0);
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|step| *step >= raw).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::super::pair::Pair;
    use super::super::report::tests::report;
    use super::*;

    /// Panics where tags do not nest, a `<` or `&` stands alone, or a number is none.
    fn check(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        for piece in svg.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').unwrap();
            let name = tag.trim_matches('/').split_whitespace().next().unwrap();
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            for entity in text.split('&').skip(1) {
                assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)), "{entity}");
            }
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn every_case_has_its_bar_and_names_are_escaped() {
        let svg =
            svg(&report(&[("a&<b>", "x", 1, 4.0), ("c", "y", 1, 0.5), ("a&<b>", "x", 8, 5.0), ("c", "y", 8, 0.7)]));
        check(&svg);
        assert!(svg.contains("a&amp;&lt;b&gt;, batch 8: 5.00 images/s, 50 % of the roof at 10.0"), "{svg}");
        assert_eq!(svg.matches("<g>").count(), 4);
        assert!(svg.contains(">Batch 1<") && svg.contains(">Batch 8<") && svg.contains("A &lt;fast&gt; processor"));
    }

    #[test]
    fn a_single_models_batches_are_its_bars() {
        let svg = svg(&report(&[("tiny", "x", 1, 4.0), ("tiny", "x", 8, 5.0)]));
        check(&svg);
        assert!(svg.contains(">tiny: images per second<") && svg.contains(">batch 8<") && !svg.contains(">Batch"));
    }

    #[test]
    fn a_pairs_ratio_stands_above_its_bars() {
        let mut report = report(&[("convnext_tiny", "x", 8, 6.0), ("swin_tiny", "y", 8, 5.0)]);
        report.pairs = vec![Pair::new("convnext_tiny", "swin_tiny")];
        let svg = svg(&report);
        check(&svg);
        assert!(svg.contains("Batch 8: 1.20×, by round 1.20 to 1.20; in the paper 1.02× on a V100"), "{svg}");
        assert_eq!(svg.matches("<g>").count(), 2);
    }

    #[test]
    fn without_a_peak_there_is_no_roof() {
        let mut report = report(&[("a", "x", 8, 4.0), ("b", "x", 8, 4.0)]);
        report.peak = None;
        let svg = svg(&report);
        check(&svg);
        assert!(!svg.contains("roof:") && !svg.contains("of roof") && svg.contains(">Images per second, batch 8<"));
    }

    #[test]
    fn a_roof_beyond_the_scale_is_said_to_be_so() {
        let beyond = svg(&report(&[("slow", "x", 1, 0.01)]));
        check(&beyond);
        assert!(beyond.contains("beyond the scale"));
        assert!(!svg(&report(&[("fast", "x", 1, 9.0)])).contains("beyond the scale"));
    }

    #[test]
    fn steps_are_round() {
        for (most, parts, expected) in [(10.0, 5.0, 2.0), (37.0, 6.0, 10.0), (0.11, 6.0, 0.02), (4.4, 1.0, 5.0)] {
            assert!((step(most, parts) / expected - 1.0).abs() < 1e-9, "{most}");
        }
    }
}
