//! `cargo xtask kernels`: `kernels/*.cu` to the PTX and the tables in `kernels/ptx`, which are committed.
//!
//! It never runs a kernel; nothing here knows what any of them computes.

mod hash;
mod ptx;
mod sass;
mod table;
mod toolchain;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::run::{on_all_cores, root};
use toolchain::Toolchain;

/// CUDA kernels: compiles and assembles them all, and writes kernels/ptx.
///
/// Provisions the compilers that kernels/toolchain.txt pins (PyPI, 170 MB, under target/provision). Compiles every
/// kernels/*.cu to PTX for two targets, compute_75 and compute_80, in the oldest PTX version that assembles, and assembles
/// that for every architecture: sm_75, and sm_80, 86, 89, 90. A warning, a rejection or a spilled register is a failure.
/// Writes the PTX, without what it says of the sources' lines, table.json (registers, shared memory, SASS by class, PTX block and source line) and a README.md that
/// says the same to people; removes what has no source any longer.
///
/// Neither `cargo build` nor `cargo xtask test` needs the compilers; that PTX and sources belong together, every test run
/// checks by hashes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write nothing: fail, and name the files, where kernels/ptx is not what the sources and compilers give. CI does this.
    #[arg(long)]
    check: bool,
}

/// What a target's PTX is assembled for.
struct Target {
    compute: u32,
    architectures: &'static [u32],
}

const TARGETS: [Target; 2] =
    [Target { compute: 75, architectures: &[75] }, Target { compute: 80, architectures: &[80, 86, 89, 90] }];

/// Files of `kernels/ptx` by name, with their text.
type Files = BTreeMap<String, String>;

/// Builds everything; writes or compares it.
pub(crate) fn kernels(options: &Options) -> Result<()> {
    let built = build(&Toolchain::provision()?)?;
    let folder = root().join("kernels/ptx");
    let committed = if folder.is_dir() { texts(&folder, |_| true)? } else { Files::new() };
    let differences = differences(&committed, &built);
    if options.check && !differences.is_empty() {
        let list = differences.join("\n  ");
        bail!("kernels/ptx is not what kernels/ gives; `cargo xtask kernels` makes it so:\n  {list}");
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in built.iter().filter(|(name, text)| committed.get(*name) != Some(text)) {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for name in committed.keys().filter(|name| !built.contains_key(*name)) {
        let path = folder.join(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    if differences.is_empty() {
        eprintln!("\nkernels/ptx is what kernels/ gives");
    } else {
        eprintln!("\nkernels/ptx is written; before:\n  {}", differences.join("\n  "));
    }
    Ok(())
}

/// Everything that belongs into `kernels/ptx`.
fn build(toolchain: &Toolchain) -> Result<Files> {
    let sources = texts(&root().join("kernels"), |name| name.ends_with(".cu") || name.ends_with(".cuh"))?;
    let mut files = Files::new();
    let mut kernels = Vec::new();
    let mut jobs: Vec<Job> = sources
        .keys()
        .filter_map(|source| Some((source, source.strip_suffix(".cu")?)))
        .flat_map(|(source, stem)| TARGETS.iter().map(move |target| (source, stem, target)))
        .map(|(source, stem, target)| Job { source, target, name: format!("{stem}.sm_{}.ptx", target.compute) })
        .collect();
    // the longest first, so that none of them is alone at the end; what is new may be long
    let folder = root().join("kernels/ptx");
    jobs.sort_by_cached_key(|job| Reverse(fs::metadata(folder.join(&job.name)).map_or(u64::MAX, |file| file.len())));
    let mut made = on_all_cores(&jobs, |job| make(toolchain, job)).into_iter().collect::<Result<Vec<_>>>()?;
    made.sort_by(|a, b| a.name.cmp(&b.name));
    for Made { name, shipped, kernels: of } in made {
        kernels.extend(of);
        files.insert(name, shipped);
    }
    files.insert("README.md".to_owned(), table::page(&kernels));
    let json = table::json(&toolchain.pins, &sources, &files, &kernels);
    files.insert("table.json".to_owned(), json);
    Ok(files)
}

/// A source for a target.
struct Job<'a> {
    source: &'a str,
    target: &'a Target,
    /// Of the PTX.
    name: String,
}

/// What a job gives: the PTX that is shipped, and what is told of its kernels.
struct Made {
    name: String,
    shipped: String,
    kernels: Vec<table::Kernel>,
}

fn make(toolchain: &Toolchain, job: &Job<'_>) -> Result<Made> {
    let Job { source, target, name } = job;
    eprintln!("▸ {name}");
    let ptx = toolchain.compile(source, target.compute).with_context(|| format!("{name} cannot be made"))?;
    let (ptx, cubins) = toolchain.assemble(name, &ptx, target.architectures)?;
    let (shipped, places) = ptx::without_positions(&ptx);
    let mut kernels = Vec::new();
    for (architecture, assembled) in target.architectures.iter().zip(cubins) {
        let listing = toolchain.disassemble(&assembled.cubin)?;
        let of = table::Of { source, ptx: name, architecture: *architecture, places: &places };
        kernels.extend(table::kernels(&of, &ptx, &assembled.log, &listing)?);
    }
    Ok(Made { name: name.clone(), shipped, kernels })
}

/// The texts of a folder's files, by name.
fn texts(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Files> {
    let mut files = Files::new();
    let unread = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(unread)? {
        let path = entry.with_context(unread)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && wanted(&name) {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(name, text);
        }
    }
    Ok(files)
}

/// A line for each file that is not the same in both.
fn differences(committed: &Files, built: &Files) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, text) in built {
        match committed.get(name) {
            None => lines.push(format!("{name} is missing")),
            Some(old) if old != text => {
                let same = old.lines().zip(text.lines()).take_while(|(old, new)| old == new).count();
                lines.push(format!("{name} differs from line {} on", same + 1));
            }
            Some(_) => {}
        }
    }
    lines
        .extend(committed.keys().filter(|name| !built.contains_key(*name)).map(|name| format!("{name} has no source")));
    lines
}
