//! What was counted, as a table for people and as JSON. Not here: the counts (`counted`).

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::counted::{Case, Counted, OnCard};

/// A table for each case, and a line for each card.
pub(super) fn text(cases: &[Case]) -> String {
    let mut text = METHOD.to_owned();
    for case in cases {
        let Case { model, batch, network, fused_bytes, .. } = case;
        let _ = write!(text, "\n{model} at batch {batch}\n{}\n", operations(case));
        let _ = writeln!(
            text,
            "{} launches · {:.1} MB of memory, {:.2} times what whole operations need ({:.1} MB) · {:.1} MB of L2 sectors, {:.2} times that",
            network.launches,
            megabytes(network.unique_bytes),
            network.unique_bytes as f64 / *fused_bytes as f64,
            megabytes(*fused_bytes),
            megabytes(32 * network.sectors),
            32.0 * network.sectors as f64 / *fused_bytes as f64,
        );
        for card in &network.cards {
            let [most, least] = [card.low_us, card.high_us].map(|us| rate(*batch, us));
            let _ = writeln!(
                text,
                "{:8}  {:.0} … {:.0} µs computed: {least:.0} … {most:.0} images/s",
                card.device, card.low_us, card.high_us
            );
        }
    }
    text
}

const METHOD: &str = "\
Counts are the emulator's; times follow from them and a card's figures by computation, as an interval: no card ran this. MB are bytes of memory that a launch reads as they were before it, or writes, each once a launch; L2 \
sectors of 32 bytes. Blocks and SMs busy are those of an operation's smallest launch.
";

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Images per second.
fn rate(batch: usize, us: f64) -> f64 {
    batch as f64 * 1e6 / us.max(f64::MIN_POSITIVE)
}

/// A row for each operation.
fn operations(case: &Case) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let cards: Vec<&str> = case.network.cards.iter().map(|card| &*card.device).collect();
    let fixed = ["operation", "kernels", "blocks", "MB", "L2 MB", "conflicts"].map(str::to_owned);
    let of_card = |card: &&str| [format!("{card}: SMs busy"), "bound".to_owned(), "µs".to_owned()];
    table.set_header(fixed.into_iter().chain(cards.iter().flat_map(of_card)));
    for counted in case.operations.iter().chain([&case.network]) {
        let is_sum = counted.operation.is_empty();
        let kernels = counted.kernels.iter().map(|(kernel, launches)| format!("{launches} × {kernel}"));
        let kernels = if is_sum { format!("{}", counted.launches) } else { kernels.collect::<Vec<_>>().join("\n") };
        let name = if is_sum { "all".to_owned() } else { counted.operation.clone() };
        let mut row = vec![
            name,
            kernels,
            counted.blocks.to_string(),
            format!("{:.2}", megabytes(counted.unique_bytes)),
            format!("{:.2}", megabytes(32 * counted.sectors)),
            format!("{}", counted.wavefronts.saturating_sub(counted.ideal_wavefronts)),
        ];
        for card in &counted.cards {
            row.push(format!("{:.0} %", 100.0 * card.utilisation));
            row.push(card.bound.0.clone());
            row.push(format!("{:.1} … {:.1}", card.low_us, card.high_us));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Everything, for programs.
pub(super) fn json(device: &str, cases: &[Case]) -> anyhow::Result<String> {
    let case = |case: &Case| {
        json!({
            "model": case.model,
            "batch": case.batch,
            "fused_bytes": case.fused_bytes,
            "network": counted(&case.network),
            "operations": case.operations.iter().map(counted).collect::<Vec<_>>(),
        })
    };
    let cases: Vec<Value> = cases.iter().map(case).collect();
    let whole = json!({ "note": "computed by an emulator, not measured", "device": device, "cases": cases });
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}

fn counted(counted: &Counted) -> Value {
    let kernel = |(kernel, launches): &(String, u64)| json!({ "kernel": kernel, "launches": launches });
    let card = |card: &OnCard| {
        json!({
            "device": card.device,
            "utilisation": card.utilisation,
            "few_blocks": card.few,
            "idle": card.idle,
            "low_us": card.low_us,
            "high_us": card.high_us,
            "bound": card.bound.0,
        })
    };
    json!({
        "operation": counted.operation,
        "kernels": counted.kernels.iter().map(kernel).collect::<Vec<_>>(),
        "launches": counted.launches,
        "blocks": counted.blocks,
        "unique_bytes": counted.unique_bytes,
        "reread_bytes": counted.reread_bytes,
        "sectors": counted.sectors,
        "wavefronts": counted.wavefronts,
        "ideal_wavefronts": counted.ideal_wavefronts,
        "loop_conflicts": counted.loop_conflicts,
        "cards": counted.cards.iter().map(card).collect::<Vec<_>>(),
    })
}
