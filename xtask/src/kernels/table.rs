//! What is known of each assembled kernel, as JSON for programs and as a page for people.
//!
//! Both are committed and compared to the byte: one order, no time, no name of a machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};

use super::Files;
use super::hash::hash;
use super::ptx::positions;
use super::sass::{CLASSES, Resources, class, functions, resources};

/// What kernels were assembled from, and for which architecture.
pub(super) struct Of<'a> {
    pub(super) source: &'a str,
    pub(super) ptx: &'a str,
    pub(super) architecture: u32,
    /// The line in the PTX that ships of each line of the PTX that was assembled.
    pub(super) places: &'a [usize],
}

/// A kernel on an architecture.
pub(super) struct Kernel {
    name: String,
    source: String,
    ptx: String,
    architecture: u32,
    resources: Resources,
    barriers: u32,
    total: usize,
    /// Instructions by class.
    sass: BTreeMap<&'static str, usize>,
    /// Instructions by the PTX line of their block's first instruction.
    blocks: BTreeMap<usize, usize>,
    /// Instructions by file and line of the source.
    lines: BTreeMap<(String, usize), usize>,
}

/// The kernels of a PTX file on an architecture, in the order of their names.
///
/// # Errors
/// When one spills.
pub(super) fn kernels(of: &Of, ptx: &str, log: &str, listing: &str) -> Result<Vec<Kernel>> {
    let positions = positions(ptx);
    let mut functions = functions(listing)?;
    let mut kernels = Vec::new();
    for (name, resources) in resources(log)? {
        let Resources { spill_stores, spill_loads, .. } = resources;
        if spill_stores + spill_loads > 0 {
            bail!(
                "{name} spills on sm_{}: {spill_stores} bytes a thread stored, {spill_loads} loaded; it needs fewer live \
                 values, or a wider __launch_bounds__",
                of.architecture
            );
        }
        let function = functions.remove(&name).with_context(|| format!("nvdisasm does not show {name}"))?;
        let (mut sass, mut blocks, mut lines) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for instruction in &function.instructions {
            *sass.entry(class(&instruction.opcode)).or_default() += 1;
            let Some(position) = instruction.line.and_then(|line| positions.get(&line)) else { continue };
            let block = of.places.get(position.block).copied().unwrap_or_default();
            *blocks.entry(block).or_default() += 1;
            if let Some(source) = &position.source {
                *lines.entry(source.clone()).or_default() += 1;
            }
        }
        kernels.push(Kernel {
            name,
            source: of.source.to_owned(),
            ptx: of.ptx.to_owned(),
            architecture: of.architecture,
            resources,
            barriers: function.barriers,
            total: function.instructions.len(),
            sass,
            blocks,
            lines,
        });
    }
    Ok(kernels)
}

/// `table.json`. Written by hand, so that a row is a line and a diff can be read.
pub(super) fn json(pins: &[String], sources: &Files, ptx: &Files, kernels: &[Kernel]) -> String {
    let toolchain: Vec<String> = pins.iter().map(|pin| format!("    {pin:?}")).collect();
    let hashes = |files: &Files| {
        let lines: Vec<String> = files.iter().map(|(name, text)| format!("    {name:?}: {:?}", hash(text))).collect();
        lines.join(",\n")
    };
    let ptx: Files =
        ptx.iter().filter(|(name, _)| name.ends_with(".ptx")).map(|(n, t)| (n.clone(), t.clone())).collect();
    let kernels: Vec<String> = kernels.iter().map(row).collect();
    format!(
        "{{\n  \"toolchain\": [\n{}\n  ],\n  \"sources\": {{\n{}\n  }},\n  \"ptx\": {{\n{}\n  }},\n  \"kernels\": [\n{}\n  ]\n}}\n",
        toolchain.join(",\n"),
        hashes(sources),
        hashes(&ptx),
        kernels.join(",\n"),
    )
}

/// A kernel in `table.json`.
fn row(kernel: &Kernel) -> String {
    let Resources { registers, shared, constant, stack, spill_stores, spill_loads } = &kernel.resources;
    let mut row = format!(
        "    {{\n      \"kernel\": {:?}, \"architecture\": {}, \"source\": {:?}, \"ptx\": {:?},\n",
        kernel.name, kernel.architecture, kernel.source, kernel.ptx
    );
    let _ = writeln!(
        row,
        "      \"registers\": {registers}, \"shared\": {shared}, \"constant\": {constant}, \"stack\": {stack}, \
         \"spill_stores\": {spill_stores}, \"spill_loads\": {spill_loads}, \"barriers\": {},",
        kernel.barriers
    );
    let classes = CLASSES.iter().map(|(class, _)| (*class, kernel.sass.get(class).copied().unwrap_or(0)));
    let sass: Vec<String> = classes.map(|(class, count)| format!("{class:?}: {count}")).collect();
    let blocks: Vec<String> = kernel.blocks.iter().map(|(line, count)| format!("\"{line}\": {count}")).collect();
    let lines: Vec<String> =
        kernel.lines.iter().map(|((file, line), count)| format!("\"{file}:{line}\": {count}")).collect();
    let _ = writeln!(row, "      \"sass\": {{\"total\": {}, {}}},", kernel.total, sass.join(", "));
    let _ = writeln!(row, "      \"blocks\": {{{}}},", blocks.join(", "));
    let _ = write!(row, "      \"lines\": {{{}}}\n    }}", lines.join(", "));
    row
}

const PAGE: &str = "\
# What ptxas makes of the kernels

Written by `cargo xtask kernels`, as all in this folder. Registers a thread; static shared memory, in bytes a block; bytes
spilled; the block's barriers; then the instructions of the whole kernel (static: not how often they run), in all and by
class. `other` is integers, predicates, moves and the uniform path; a column without any entry is left out.
";

/// The page for people: a table a source.
pub(super) fn page(kernels: &[Kernel]) -> String {
    let mut page = PAGE.to_owned();
    let mut sources: Vec<&str> = kernels.iter().map(|kernel| kernel.source.as_str()).collect();
    sources.dedup();
    for source in sources {
        let mut kernels: Vec<&Kernel> = kernels.iter().filter(|kernel| kernel.source == source).collect();
        kernels.sort_by_key(|kernel| (&kernel.name, kernel.architecture));
        let used = |class: &&str| kernels.iter().any(|kernel| kernel.sass.contains_key(class));
        let classes: Vec<&str> = CLASSES.iter().map(|(class, _)| *class).filter(used).collect();
        let head = ["kernel", "sm", "registers", "shared", "spilled", "barriers", "SASS"];
        let head: Vec<&str> = head.into_iter().chain(classes.iter().copied()).collect();
        let rule: Vec<&str> = head.iter().enumerate().map(|(i, _)| if i == 0 { "---" } else { "--:" }).collect();
        let _ = write!(page, "\n## {source}\n\n| {} |\n|{}|\n", head.join(" | "), rule.join("|"));
        for kernel in kernels {
            let Resources { registers, shared, spill_stores, spill_loads, .. } = &kernel.resources;
            let counts = [*registers, *shared, spill_stores + spill_loads, kernel.barriers].map(|n| n.to_string());
            let mut cells = vec![kernel.name.clone(), kernel.architecture.to_string()];
            cells.extend(counts);
            cells.push(kernel.total.to_string());
            cells.extend(classes.iter().map(|class| kernel.sass.get(class).copied().unwrap_or(0).to_string()));
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
    }
    page
}
