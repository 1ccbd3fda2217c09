//! `cargo xtask budgets`: what the networks cost on each card, as counts of the emulator, and whether a change made it worse.
//!
//! Not here: the counts (`tests/emulator`, `convnext bench`), what a row of the tables has (`row`), what is worse (`judge`), the pages that people
//! read (`page`).

mod judge;
mod page;
mod row;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::emulator::{self, Tested};
use crate::run::{on_all_cores, output, root, target};
use page::PAGE;
use row::Row;

/// Budgets of the kernels: counts every network on every card on the emulator, and writes kernels/budgets.
///
/// Runs ConvNeXt-T, ConvNeXt-B and Swin-T in f16 at batches of 1, 8, 64 and 256 on emulated T4, A100, A10, L4, RTX 4090 and H100, samples of the
/// blocks of each launch, and writes what each operation moves, conflicts, keeps busy, and the interval of time that follows: a table a network in
/// kernels/budgets, a page for people beside them, and the table of computed images/s in docs/gpu.md. Two to four minutes on two cores.
///
/// No time is measured. The counts are the same on every machine.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write nothing: fail, and name network, card, batch, operation and figure, where something is worse than in the tables. CI does this.
    #[arg(long)]
    check: bool,
}

/// A card as the emulator has it, and as its report names it.
struct Card {
    name: &'static str,
    capability: u32,
    /// Where it is not the emulator's own of the capability.
    multiprocessors: Option<u32>,
}

const CARDS: [Card; 6] = [
    Card { name: "T4", capability: 75, multiprocessors: None },
    Card { name: "A100-80", capability: 80, multiprocessors: None },
    Card { name: "A10", capability: 86, multiprocessors: None },
    Card { name: "L4", capability: 89, multiprocessors: None },
    Card { name: "RTX 4090", capability: 89, multiprocessors: Some(128) },
    Card { name: "H100", capability: 90, multiprocessors: None },
];

/// Networks, and their names on pages.
const NETWORKS: [(&str, &str); 3] =
    [("convnext_base", "ConvNeXt-B"), ("convnext_tiny", "ConvNeXt-T"), ("swin_tiny", "Swin-T")];

const BATCHES: [u32; 4] = [1, 8, 64, 256];

/// Blocks of a launch that run. With so many, unique bytes and sectors of ConvNeXt-T and Swin-T at batch 1 and 2 were within 1 % of those of all blocks.
const BLOCKS: u32 = 32;

/// Runs everything; writes or compares it.
pub(crate) fn budgets(options: &Options) -> Result<()> {
    let counted = count()?;
    let folder = root().join("kernels/budgets");
    let committed = read(&folder)?;
    let spills = spills()?;
    let verdict = judge::compare(&committed, &counted, &spills);
    let pages = [
        (folder.join("README.md"), page::page(&counted)),
        (root().join(PAGE), page::computed(&root().join(PAGE), &counted)?),
    ];
    if options.check {
        let mut worse = verdict.worse;
        worse.extend(verdict.other);
        // pages are of what is committed: figures that became better leave them as they are
        let written = [
            (folder.join("README.md"), page::page(&committed)),
            (root().join(PAGE), page::computed(&root().join(PAGE), &committed)?),
        ];
        for (path, text) in &written {
            if fs::read_to_string(path).is_ok_and(|found| found != *text) {
                worse.push(format!("{} is not what the tables say", relative(path)));
            }
        }
        if !worse.is_empty() {
            let count = worse.len();
            bail!(
                "{count} figures are worse than kernels/budgets, or budgets that were kept are passed:\n  {}\n`cargo xtask budgets` writes them as they are; say in the commit why",
                worse.join("\n  ")
            );
        }
        let better = verdict.better;
        eprintln!(
            "\nnothing is worse than kernels/budgets; {better} figures are better{}",
            if better > 0 { ": `cargo xtask budgets` holds them" } else { "" }
        );
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let tables = NETWORKS.map(|(network, _)| {
        let rows: Vec<&Row> = counted.iter().filter(|row| row.network == network).collect();
        (folder.join(format!("{network}.tsv")), row::table(&rows))
    });
    for (path, text) in tables.iter().chain(&pages) {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for line in &verdict.worse {
        eprintln!("  {line}");
    }
    let (worse, better, other) = (verdict.worse.len(), verdict.better, verdict.other.len());
    eprintln!(
        "\nkernels/budgets and {PAGE} are written; {worse} figures are worse than before, {better} better; {other} rows came or went"
    );
    Ok(())
}

/// A path to show.
fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The tables that are committed; without them, nothing.
fn read(folder: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (network, _) in NETWORKS {
        let path = folder.join(format!("{network}.tsv"));
        if path.exists() {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            rows.extend(row::parse(network, &text).with_context(|| relative(&path))?);
        }
    }
    Ok(rows)
}

/// Kernels that spill registers, by the table that `cargo xtask kernels` writes.
fn spills() -> Result<Vec<String>> {
    let path = root().join("kernels/ptx/table.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: serde_json::Value = serde_json::from_str(&text).with_context(|| relative(&path))?;
    let kernels = table["kernels"].as_array().context("kernels/ptx/table.json has no kernels")?;
    let spills = |kernel: &&serde_json::Value| {
        ["spill_stores", "spill_loads"].iter().any(|what| kernel[*what].as_u64() != Some(0))
    };
    Ok(kernels
        .iter()
        .filter(spills)
        .map(|kernel| format!("{} on sm_{}", kernel["kernel"], kernel["architecture"]))
        .collect())
}

/// All networks on all cards, as many at once as there are cores.
fn count() -> Result<Vec<Row>> {
    let tested = emulator::of_tests()?;
    let scratch = target().join("budgets");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let jobs: Vec<(&str, &Card)> =
        NETWORKS.iter().flat_map(|(network, _)| CARDS.iter().map(|card| (*network, card))).collect();
    eprintln!("\n▸ {} networks on {} cards", NETWORKS.len(), CARDS.len());
    let began = Instant::now();
    let counted = on_all_cores(&jobs, |(network, card)| on_card(&tested, &scratch, network, card));
    let mut all = Vec::new();
    for rows in counted {
        all.extend(rows?);
    }
    eprintln!("  done in {:.1} s", began.elapsed().as_secs_f64());
    Ok(all)
}

/// A network on a card, at all batches.
fn on_card(tested: &Tested, scratch: &Path, network: &str, card: &Card) -> Result<Vec<Row>> {
    let report = scratch.join(format!("{network}.{}.json", card.name.replace(' ', "_")));
    let batches = BATCHES.map(|batch| batch.to_string()).join(",");
    let mut bench = Command::new(&tested.program);
    bench.args(["bench", "--device", "cuda", "--precision", "f16", "--json", "--models", network, "--batch", &batches]);
    for inherited in ["CHECKS", "FAULT", "SEED", "STRICT", "MULTIPROCESSORS"] {
        bench.env_remove(format!("CUDA_EMULATOR_{inherited}"));
    }
    bench
        .current_dir(root())
        .env("LD_LIBRARY_PATH", &tested.driver)
        .env("CUDA_EMULATOR_SM", card.capability.to_string())
        .env("CUDA_EMULATOR_BLOCKS", BLOCKS.to_string())
        .env("CUDA_EMULATOR_THREADS", "1")
        .env("CUDA_EMULATOR_SASS", root().join("kernels/ptx/table.json"))
        .env("CUDA_EMULATOR_REPORT", &report)
        .envs(card.multiprocessors.map(|count| ("CUDA_EMULATOR_MULTIPROCESSORS", count.to_string())));
    let what = || format!("{network} on {}", card.name);
    let printed = output(&mut bench).with_context(what)?.text;
    let counted: serde_json::Value = serde_json::from_str(&printed).with_context(what)?;
    row::counted(&counted, card.name).with_context(what)
}

/// Where the table of a network lies, to be named.
fn table_of(network: &str) -> PathBuf {
    PathBuf::from("kernels/budgets").join(format!("{network}.tsv"))
}
