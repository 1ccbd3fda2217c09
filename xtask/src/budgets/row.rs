//! A row of the tables: what an operation of a network, or all of it, costs on a card in a batch. As counted, and as a line of text.
//!
//! Not here: which is better (`judge`).

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The name of the row that has the sum.
pub(super) const ALL: &str = "all";

/// What an operation costs. Times are µs; nothing was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) network: String,
    pub(super) card: String,
    pub(super) batch: u32,
    /// Those of all blocks of a stage are one; [`ALL`] for the network.
    pub(super) operation: String,
    /// Kernels, their grids and how often; of the network how many kinds.
    pub(super) kernels: String,
    pub(super) launches: u64,
    /// Of the launch with the fewest blocks.
    pub(super) blocks: u64,
    /// Bytes of memory that are read as they were before the launch, or written, each once a launch.
    pub(super) unique_bytes: u64,
    /// Bytes that are read after the launch itself has written them.
    pub(super) reread_bytes: u64,
    /// What whole operations need, weights included; 0 but for the network.
    pub(super) fused_bytes: u64,
    /// Of 32 bytes.
    pub(super) sectors: u64,
    pub(super) wavefronts: u64,
    /// Wavefronts that bank conflicts cost: in all, and in loops.
    pub(super) conflicts: u64,
    pub(super) loop_conflicts: u64,
    /// Launches with fewer blocks than half the multiprocessors.
    pub(super) few_blocks: u64,
    /// Launches that keep less than 70 % of the multiprocessors busy.
    pub(super) idle: u64,
    /// Percent of the multiprocessors, of the launch that keeps the fewest busy.
    pub(super) busy: u64,
    /// What bounds the launch that takes longest.
    pub(super) bound: String,
    pub(super) low_us: f64,
    pub(super) high_us: f64,
}

const HEAD: [&str; 19] = [
    "card",
    "batch",
    "operation",
    "launches",
    "blocks",
    "unique_bytes",
    "reread_bytes",
    "fused_bytes",
    "sectors",
    "wavefronts",
    "conflicts",
    "loop_conflicts",
    "few_blocks",
    "idle",
    "busy_percent",
    "bound",
    "low_us",
    "high_us",
    "kernels",
];

impl Row {
    /// What makes it the same row in another table.
    pub(super) fn key(&self) -> (&str, &str, u32, &str) {
        (&self.network, &self.card, self.batch, &self.operation)
    }

    pub(super) fn is_network(&self) -> bool {
        self.operation == ALL
    }
}

/// The rows of what `convnext bench --json` tells, of one card.
pub(super) fn counted(told: &Value, card: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for case in told["cases"].as_array().context("no cases")? {
        let network = case["model"].as_str().context("no model")?;
        let batch = u32::try_from(number(case, "batch")?)?;
        let of = |counted: &Value, fused: u64| one(counted, [network, card], batch, fused);
        rows.push(of(&case["network"], number(case, "fused_bytes")?)?);
        for operation in case["operations"].as_array().context("no operations")? {
            rows.push(of(operation, 0)?);
        }
    }
    Ok(rows)
}

fn number(value: &Value, name: &str) -> Result<u64> {
    value[name].as_u64().with_context(|| format!("no {name}"))
}

fn one(counted: &Value, [network, card]: [&str; 2], batch: u32, fused_bytes: u64) -> Result<Row> {
    let on_card = counted["cards"].as_array().and_then(|cards| cards.iter().find(|found| found["device"] == card));
    let on_card = on_card.context("the emulator computes no times for it")?;
    let fraction = |name: &str| on_card[name].as_f64().with_context(|| format!("no {name}"));
    let tenths = |name: &str| anyhow::Ok((fraction(name)? * 10.0).round() / 10.0);
    let kernels = counted["kernels"].as_array().context("no kernels")?;
    let named = kernels.iter().map(|kernel| {
        let name = kernel["kernel"].as_str().unwrap_or_default();
        format!("{}×{name}", kernel["launches"])
    });
    let operation = counted["operation"].as_str().filter(|name| !name.is_empty()).unwrap_or(ALL);
    let (wavefronts, ideal) = (number(counted, "wavefronts")?, number(counted, "ideal_wavefronts")?);
    Ok(Row {
        network: network.to_owned(),
        card: card.to_owned(),
        batch,
        operation: operation.to_owned(),
        kernels: if operation == ALL {
            format!("{} kinds", kernels.len())
        } else {
            named.collect::<Vec<_>>().join(", ")
        },
        launches: number(counted, "launches")?,
        blocks: number(counted, "blocks")?,
        unique_bytes: number(counted, "unique_bytes")?,
        reread_bytes: number(counted, "reread_bytes")?,
        fused_bytes,
        sectors: number(counted, "sectors")?,
        wavefronts,
        conflicts: wavefronts.saturating_sub(ideal),
        loop_conflicts: number(counted, "loop_conflicts")?,
        few_blocks: number(on_card, "few_blocks")?,
        idle: number(on_card, "idle")?,
        busy: (fraction("utilisation")? * 100.0).round() as u64,
        bound: on_card["bound"].as_str().context("no bound")?.to_owned(),
        low_us: tenths("low_us")?,
        high_us: tenths("high_us")?,
    })
}

/// A network's table: a line a row, fields between tabs, a line of names first.
pub(super) fn table(rows: &[&Row]) -> String {
    let mut text = HEAD.join("\t") + "\n";
    for row in rows {
        let Row { card, batch, operation, kernels, launches, blocks, unique_bytes, reread_bytes, .. } = row;
        let Row {
            fused_bytes,
            sectors,
            wavefronts,
            conflicts,
            loop_conflicts,
            few_blocks,
            idle,
            busy,
            bound,
            low_us,
            high_us,
            ..
        } = row;
        let _ = write!(
            text,
            "{card}\t{batch}\t{operation}\t{launches}\t{blocks}\t{unique_bytes}\t{reread_bytes}\t{fused_bytes}\t{sectors}\t"
        );
        let _ = write!(text, "{wavefronts}\t{conflicts}\t{loop_conflicts}\t{few_blocks}\t{idle}\t{busy}\t{bound}\t");
        let _ = writeln!(text, "{low_us:.1}\t{high_us:.1}\t{kernels}");
    }
    text
}

/// The rows of a network's table.
pub(super) fn parse(network: &str, text: &str) -> Result<Vec<Row>> {
    let mut lines = text.lines();
    if lines.next() != Some(&*HEAD.join("\t")) {
        bail!("not the columns that this program writes: `cargo xtask budgets` makes it anew");
    }
    lines.enumerate().map(|(at, line)| parsed(network, line).with_context(|| format!("line {}", at + 2))).collect()
}

fn parsed(network: &str, line: &str) -> Result<Row> {
    let fields: Vec<&str> = line.split('\t').collect();
    let Ok(fields) = <[&str; HEAD.len()]>::try_from(fields) else { bail!("not {} fields", HEAD.len()) };
    let [card, batch, operation, launches, blocks, unique_bytes, reread_bytes, fused_bytes, sectors, ..] = fields;
    let [.., wavefronts, conflicts, loop_conflicts, few_blocks, idle, busy, bound, low_us, high_us, kernels] = fields;
    Ok(Row {
        network: network.to_owned(),
        card: card.to_owned(),
        batch: batch.parse()?,
        operation: operation.to_owned(),
        kernels: kernels.to_owned(),
        launches: launches.parse()?,
        blocks: blocks.parse()?,
        unique_bytes: unique_bytes.parse()?,
        reread_bytes: reread_bytes.parse()?,
        fused_bytes: fused_bytes.parse()?,
        sectors: sectors.parse()?,
        wavefronts: wavefronts.parse()?,
        conflicts: conflicts.parse()?,
        loop_conflicts: loop_conflicts.parse()?,
        few_blocks: few_blocks.parse()?,
        idle: idle.parse()?,
        busy: busy.parse()?,
        bound: bound.to_owned(),
        low_us: low_us.parse()?,
        high_us: high_us.parse()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A network's row, all budgets kept.
    pub(in super::super) fn network() -> Row {
        Row {
            network: "convnext_tiny".to_owned(),
            card: "T4".to_owned(),
            batch: 8,
            operation: ALL.to_owned(),
            kernels: "2 kinds".to_owned(),
            launches: 60,
            blocks: 40,
            unique_bytes: 1000,
            reread_bytes: 100,
            fused_bytes: 1000,
            sectors: 125,
            wavefronts: 10,
            conflicts: 2,
            loop_conflicts: 0,
            few_blocks: 0,
            idle: 0,
            busy: 80,
            bound: "memory".to_owned(),
            low_us: 12.3,
            high_us: 45.6,
        }
    }

    #[test]
    fn a_row_is_written_and_read() {
        let rows = [network(), Row { operation: "stem + norm".to_owned(), fused_bytes: 0, ..network() }];
        let text = table(&rows.each_ref());
        assert_eq!(parse("convnext_tiny", &text).unwrap(), rows);
        assert!(parse("convnext_tiny", "card\tbatch\n").is_err());
        assert!(parse("convnext_tiny", &text.replace("\t60\t", "\tmany\t")).is_err());
    }

    #[test]
    fn rows_are_taken_from_what_the_benchmark_tells() {
        let counted = |operation: &str| {
            format!(
                r#"{{"operation": "{operation}", "kernels": [{{"kernel": "k 4×1×1", "launches": 3}}], "launches": 3, "blocks": 4, "unique_bytes": 5, "reread_bytes": 2,
                   "sectors": 6, "wavefronts": 9, "ideal_wavefronts": 7, "loop_conflicts": 1, "cards": [
                   {{"device": "A100-40", "utilisation": 0.5, "few_blocks": 0, "idle": 0, "low_us": 1.0, "high_us": 2.0, "bound": "l2"}},
                   {{"device": "A100-80", "utilisation": 0.257, "few_blocks": 3, "idle": 2, "low_us": 1.26, "high_us": 2.04, "bound": "mma"}}]}}"#
            )
        };
        let told = format!(
            r#"{{"cases": [{{"model": "swin_tiny", "batch": 8, "fused_bytes": 77, "network": {}, "operations": [{}]}}]}}"#,
            counted(""),
            counted("stem")
        );
        let told: Value = serde_json::from_str(&told).unwrap();
        let rows = super::counted(&told, "A100-80").unwrap();
        assert_eq!(rows[0].key(), ("swin_tiny", "A100-80", 8, ALL));
        assert_eq!((rows[0].fused_bytes, rows[0].conflicts, rows[0].busy, rows[0].low_us), (77, 2, 26, 1.3));
        assert_eq!((&*rows[1].kernels, rows[1].few_blocks, rows[1].fused_bytes), ("3×k 4×1×1", 3, 0));
        assert!(super::counted(&told, "T4").is_err());
    }
}
