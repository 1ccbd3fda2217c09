//! What people read of the tables: the page beside them, and the part of docs/gpu.md that has images per second. Both are compared with the tables,
//! so that no figure is copied by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::judge::BUDGETS;
use super::row::Row;
use super::{BATCHES, CARDS, NETWORKS};
use crate::run::root;

/// The page that has images per second.
pub(super) const PAGE: &str = "docs/gpu.md";

/// Between these lines of it everything is written by `cargo xtask budgets`.
const MARKS: [&str; 2] = ["<!-- written by cargo xtask budgets -->", "<!-- until here -->"];

/// What torch was measured at.
const PEERS: &str = "tests/emulator/hardware/peers-h100.md";

const HEAD: &str = "\
# What the networks cost on a card

Written by `cargo xtask budgets`, as all in this folder; `cargo xtask budgets --check`, which CI runs, fails where a figure got worse. **Counted by the emulator (`tests/emulator`) and computed
from its counts: no card ran this.** f16, 224 × 224. Of each launch 32 blocks ran and stand for all (`tests/emulator/src/sample.rs`); of an A100 the figures are those of 80 GB.

A table a network (`*.tsv`), a row an operation; operations of all blocks of a stage are one, and `all` is the sum. `unique_bytes` are the bytes of memory that a launch reads as they were before it, and those that it writes, each once:
what stays in the L2 cache from one launch to the next is counted again, as it is in what it is compared with, and `fused_bytes` are what whole operations need. `reread_bytes` are those that a launch reads after it has written
them itself, as the last of several blocks does: they are taken to be in L2 still, soon after, which is not modelled and a card must show. `sectors` of 32 bytes go through L2. `wavefronts` pass
through the banks of shared memory, `conflicts` of them only because lanes want different words of one bank; `loop_conflicts` where a warp comes more than once. `blocks` and
`busy_percent` are those of the operation's smallest launch. `low_us … high_us` is the interval of `tests/emulator/src/count/interval.rs`.

The bytes of whole operations (`src/cli/bench/emulated/traffic.rs`): each of depthwise + norm, linear + GELU, linear + scale + residual (Swin: norm, qkv, attention, projection + residual, norm, and two linears) reads
its inputs once and writes its output once, weights are read once a batch. In f16 58.3 MB an image + 57.2 MB for ConvNeXt-T, 124.6 + 177.2 for ConvNeXt-B, 76.9 + 56.6 for Swin-T.
";

/// What stands in the way of those that are not kept.
const WHY: &str = "
Why not yet, and what would help:

- *Bytes of memory at batch 1 and 8*: a product of few rows is cut along K, or it would have too few blocks; its partial sums in f32 are written once (and read again from L2). From 64 images on nothing is cut, and every
  network keeps this budget. Clusters of Hopper could add the parts up without memory.
- *L2 of ConvNeXt-B*: in tiles of 128 × 256, the largest whose sums the registers of `mma.sync` hold, the two products of a block of its third stage (512 channels, 27 of 36 blocks) alone pass 4.0 times the bytes of its
  whole operations through L2. `wgmma` with multicast, or a fused MLP, reads less. Besides, the emulator counts each warp's weights of a depthwise convolution as sectors of L2, of which L1 has most.
- *Few blocks*: Swin's last stages at batch 1 have 24 or 48 windows and heads, and 49 rows to norm: the shape has no more.
- *Busy*: 98 blocks on 72 multiprocessors, or 75 and 84 on 128 and 132; what would fill them takes longer, as computed.
";

/// The page beside the tables.
pub(super) fn page(rows: &[Row]) -> String {
    let mut page = HEAD.to_owned();
    page += "\n## Budgets\n\n| budget | kept by | not yet |\n|---|--:|---|\n";
    let all: Vec<&Row> = rows.iter().filter(|row| row.is_network()).collect();
    for budget in &BUDGETS {
        let asked: Vec<&&Row> = all.iter().filter(|row| budget.applies(row)).collect();
        let missed: Vec<(&Row, f64)> = asked.iter().filter_map(|row| Some((**row, budget.passed(row)?))).collect();
        let _ = writeln!(
            page,
            "| {} | {} of {} | {} |",
            budget.name,
            asked.len() - missed.len(),
            asked.len(),
            missing(&missed)
        );
    }
    page += "| spilled registers = 0 | all kernels | |\n";
    page += WHY;
    for (network, title) in NETWORKS {
        let _ = write!(
            page,
            "\n## {title}\n\n| card | batch | launches | MB | of whole operations | read again, MB | L2 MB | of whole operations | conflicts in loops | few blocks | under 70 % busy | µs | images/s |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        );
        for row in all.iter().filter(|row| row.network == network) {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let fused = row.fused_bytes.max(1) as f64;
            let _ = writeln!(
                page,
                "| {} | {} | {} | {:.1} | {:.2} | {:.1} | {:.1} | {:.2} | {} | {} | {} | {:.0} … {:.0} | {} |",
                row.card,
                row.batch,
                row.launches,
                megabytes(row.unique_bytes),
                row.unique_bytes as f64 / fused,
                megabytes(row.reread_bytes),
                megabytes(32 * row.sectors),
                32.0 * row.sectors as f64 / fused,
                row.loop_conflicts,
                row.few_blocks,
                row.idle,
                row.low_us,
                row.high_us,
                rates(row),
            );
        }
    }
    page
}

/// Who passes a budget, and by how much: a card's batches together.
fn missing(missed: &[(&Row, f64)]) -> String {
    let mut parts = Vec::new();
    for (network, title) in NETWORKS {
        for card in &CARDS {
            let of_card = missed.iter().filter(|(row, _)| row.network == network && row.card == card.name);
            let figure = |figure: f64| if figure.fract() == 0.0 { format!("{figure}") } else { format!("{figure:.2}") };
            let batches: Vec<String> =
                of_card.map(|(row, found)| format!("{}: {}", row.batch, figure(*found))).collect();
            if !batches.is_empty() {
                parts.push(format!("{title} {} ({})", card.name, batches.join(", ")));
            }
        }
    }
    parts.join("; ")
}

/// Images per second, the interval, to three digits.
fn rates(row: &Row) -> String {
    let rate = |us: f64| {
        let rate = f64::from(row.batch) * 1e6 / us.max(1e-3);
        let unit = 10f64.powf((rate.log10().floor() - 2.0).max(0.0));
        thousands(((rate / unit).round() * unit) as u64)
    };
    format!("{} … {}", rate(row.high_us), rate(row.low_us))
}

/// `12,345`
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// That page with its part renewed.
pub(super) fn computed(path: &Path, rows: &[Row]) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let peers = fs::read_to_string(root().join(PEERS)).with_context(|| format!("cannot read {PEERS}"))?;
    let [begin, end] = MARKS;
    let (Some((before, rest)), Some((_, after))) = (text.split_once(begin), text.split_once(end)) else {
        bail!("{PAGE} has not the lines {begin} and {end}, between which the computed times stand");
    };
    if !rest.contains(end) {
        bail!("{PAGE} has {end} before {begin}");
    }
    Ok(format!("{before}{begin}\n{}{end}{after}", part(rows, &peers)?))
}

/// The part.
fn part(rows: &[Row], peers: &str) -> Result<String> {
    let mut text = String::from("\n| f16, images/s at batch | |");
    BATCHES.iter().for_each(|batch| text += &format!(" {batch} |"));
    text += "\n|---|---|--:|--:|--:|--:|\n";
    for (network, title) in NETWORKS {
        for card in CARDS.iter().filter(|card| card.name != "A10") {
            let of_card = rows.iter().filter(|row| row.is_network() && row.network == network && row.card == card.name);
            let cells: Vec<String> = of_card.map(rates).collect();
            let name = if card.name == "A100-80" { "A100" } else { card.name };
            let _ = writeln!(text, "| {title} | {name}, computed | {} |", cells.join(" | "));
        }
        let _ = writeln!(text, "| {title} | **H100, torch, measured** | {} |", measured(peers, title)?.join(" | "));
    }
    Ok(text + "\n")
}

/// What torch's graphs were measured at in f16, for each batch.
fn measured(peers: &str, title: &str) -> Result<Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut lines = peers.lines().map(cells);
    let head = lines.find(|cells| cells.starts_with(&["model", "type", "mode"].map(str::to_owned)));
    let head = head.with_context(|| format!("{PEERS} has no table of networks"))?;
    let row = lines.find(|cells| cells.starts_with(&[title, "f16", "graph"].map(str::to_owned)));
    let row = row.with_context(|| format!("{PEERS} has no {title} in f16 as a graph"))?;
    let at = |batch: &u32| {
        let column = head.iter().position(|name| *name == batch.to_string());
        let cell = column.and_then(|column| row.get(column)).filter(|cell| !cell.is_empty());
        cell.map(|cell| format!("**{cell}**")).with_context(|| format!("{PEERS} has no {title} at batch {batch}"))
    };
    BATCHES.iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::network;
    use super::*;

    #[test]
    fn rates_have_three_digits_and_the_slower_first() {
        let row = Row { batch: 8, low_us: 1000.0, high_us: 3000.0, ..network() };
        assert_eq!(rates(&row), "2,670 … 8,000");
        assert_eq!(rates(&Row { batch: 1, ..row }), "333 … 1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }

    #[test]
    fn the_measured_figures_are_those_of_the_recording() {
        let peers = fs::read_to_string(root().join(PEERS)).unwrap();
        assert_eq!(measured(&peers, "ConvNeXt-T").unwrap(), ["**1,397**", "**6,767**", "**10,203**", "**10,755**"]);
        assert!(measured(&peers, "ConvNeXt-XL").is_err());
    }

    #[test]
    fn a_budget_that_is_not_kept_is_in_plain_sight() {
        let rows = [network(), Row { batch: 64, launches: 75, ..network() }];
        let page = page(&rows);
        assert!(page.contains("| launches of ConvNeXt-T ≤ 60 | 1 of 2 | ConvNeXt-T T4 (64: 75) |"), "{page}");
    }
}
