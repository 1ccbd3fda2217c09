//! `convnext inspect`: a model's operations, shapes and costs, as a table made to be read or as JSON.

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{Failure, model_ref, print};
use crate::program::{Cost, NormKind, Op, Program};

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A demo model, a folder, hub:ORGANISATION/NAME, or the name of an architecture
    model: String,
    /// Side of the images in pixels: shows the architecture of that name, with random weights [default: 224]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let network = model_ref::network(&args.model, args.size).map_err(Failure::Usage)?;
    let text = if args.json {
        let mut json = json(&network.program, &network.origin);
        json["quantized"] = network.quantized.into();
        format!("{json:#}\n")
    } else {
        let stored = if network.quantized { ", weights of products in int8" } else { "" };
        table(&network.program, &format!("{}{stored}", network.origin))
    };
    print(&text)
}

/// An operation as a row shows it.
struct Row<'a> {
    name: &'a str,
    op: &'a Op,
    cost: Cost,
}

fn rows(program: &Program) -> impl Iterator<Item = Row<'_>> {
    program.ops.iter().map(|(name, op)| Row { name, op, cost: op.cost(program) })
}

/// What an operation does beyond its kind.
fn detail(op: &Op) -> String {
    match op {
        Op::Patchify(op) => format!("{0}×{0}", op.size),
        Op::Depthwise(op) => format!("{0}×{0}", op.kernel),
        Op::Linear(op) => {
            let parts = [op.activation.map(|_| "GELU"), op.scale.map(|_| "γ"), op.residual.map(|_| "residual")];
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        Op::Attention(op) => {
            let [height, width] = op.windows.size;
            let shifted = if op.windows.shift == [0, 0] { "" } else { ", shifted" };
            let heads = if op.heads == 1 { "1 head".to_owned() } else { format!("{} heads", op.heads) };
            format!("{heads}, {height}×{width}{shifted}")
        }
        Op::Merge(_) => "2×2".to_owned(),
        Op::Unfold(op) => format!("{0}×{0}, every {1}", op.squares.kernel, op.squares.stride),
        Op::Activate(op) => format!("{:?}", op.function),
        Op::Norm(norm) if norm.kind != NormKind::Layer => format!("{:?}", norm.kind),
        Op::Norm(_) | Op::Grn(_) | Op::Offset(_) | Op::Pool(_) => String::new(),
    }
}

fn table(program: &Program, origin: &str) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["operation", "kind", "", "in", "out", "MMAC", "parameters", "weights KB", "activations KB"]);
    for Row { name, op, cost } in rows(program) {
        table.add_row([
            name.to_owned(),
            op.kind().to_owned(),
            detail(op),
            program.shape(op.input()).to_string(),
            program.shape(op.output()).to_string(),
            if cost.macs == 0 { String::new() } else { format!("{:.2}", cost.macs as f64 / 1e6) },
            if cost.weights == 0 { String::new() } else { grouped(cost.weights) },
            if cost.weights == 0 { String::new() } else { format!("{:.1}", cost.weights as f64 * 4.0 / 1e3) },
            format!("{:.1}", cost.activations as f64 * 4.0 / 1e3),
        ]);
    }
    let total = program.cost();
    table.add_row(["total", "", "", "", ""].map(Cell::new).into_iter().chain([
        Cell::new(format!("{:.2}", total.macs as f64 / 1e6)),
        Cell::new(grouped(program.parameters())),
        Cell::new(format!("{:.1}", program.parameters() as f64 * 4.0 / 1e3)),
        Cell::new(format!("{:.1}", total.activations as f64 * 4.0 / 1e3)),
    ]));
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let input = program.input;
    format!(
        "{} ({origin}): {}×{} pixels, {} classes, {:.2} M parameters, {:.3} GMAC an image\n\
         Bytes are of 32-bit floats; activations are read and written by each operation alone, nothing fused.\n\n{table}\n",
        program.architecture,
        input.height,
        input.width,
        program.classes(),
        program.parameters() as f64 / 1e6,
        total.macs as f64 / 1e9,
    )
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn json(program: &Program, origin: &str) -> Value {
    let shape = |op| {
        let shape = program.shape(op);
        json!([shape.height, shape.width, shape.channels])
    };
    let costs = |cost: Cost| {
        json!({"macs": cost.macs, "parameters": cost.weights, "weight_bytes": cost.weights * 4,
               "activation_bytes": cost.activations * 4})
    };
    let ops: Vec<Value> = rows(program)
        .map(|Row { name, op, cost }| {
            let mut row = json!({"name": name, "kind": op.kind(), "detail": detail(op),
                                 "input": shape(op.input()), "output": shape(op.output())});
            if let (Value::Object(row), Value::Object(costs)) = (&mut row, costs(cost)) {
                row.extend(costs);
            }
            row
        })
        .collect();
    let total = Cost { weights: program.parameters(), ..program.cost() };
    json!({
        "architecture": program.architecture,
        "family": program.family,
        "origin": origin,
        "input": {"height": program.input.height, "width": program.input.width,
                  "mean": program.input.mean, "std": program.input.std},
        "classes": program.classes(),
        "total": costs(total),
        "ops": ops,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (28_589_128, "28,589,128")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn the_table_and_the_json_tell_the_published_totals() {
        let network = model_ref::network("convnext_tiny", None).unwrap();
        let text = table(&network.program, &network.origin);
        assert!(text.starts_with(
            "convnext_tiny (random weights): 224×224 pixels, 1000 classes, 28.59 M parameters, 4.456 GMAC"
        ));
        let json = json(&network.program, &network.origin);
        assert_eq!(json["total"]["parameters"], 28_589_128);
        let sum: u64 = json["ops"].as_array().unwrap().iter().map(|op| op["macs"].as_u64().unwrap()).sum();
        assert_eq!(json["total"]["macs"], sum);
    }
}
