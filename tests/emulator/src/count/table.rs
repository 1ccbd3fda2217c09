//! The report as a table for people: a line a kernel and card, then what deserves a look.

use std::fmt;

use super::interval::Estimate;
use super::launches::LaunchReport;
use super::report::Report;

/// How many lines with conflicts are shown of a kernel.
const SHOWN: usize = 5;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Computed from counts of an emulated sm_{}, not measured. One launch each; µs.", self.sm)?;
        for entry in &self.kernels {
            kernel(f, entry)?;
            for estimate in self.estimates(entry) {
                time(f, &estimate)?;
            }
        }
        Ok(())
    }
}

/// How long a card takes.
fn time(f: &mut fmt::Formatter<'_>, estimate: &Estimate) -> fmt::Result {
    let Estimate { device, low_us, high_us, bound, issue_from, resident_blocks, .. } = estimate;
    let Estimate { multiprocessor_us, memory_us, l2_us, latency_us, .. } = estimate;
    write!(f, "  {device:8}  {low_us:8.1} … {high_us:<8.1} bound by {bound:8}")?;
    write!(f, " SM {multiprocessor_us:.1} · memory {memory_us:.1} · L2 {l2_us:.1} · latency {latency_us:.1}")?;
    let busy = estimate.utilisation * 100.0;
    writeln!(f, " · {resident_blocks} blocks an SM · SMs {busy:.0} % busy · issue slots of {issue_from}")
}

/// What a kernel did, without times.
fn kernel(f: &mut fmt::Formatter<'_>, entry: &LaunchReport) -> fmt::Result {
    let shape = &entry.shape;
    let join = |sizes: [u32; 3]| sizes.map(|size| size.to_string()).join("×");
    let all = entry.total(|_| true);
    let launches = entry.launches.max(1);
    // of a launch, all of whose blocks ran
    let each = |count: u64| (count as f64 / entry.share() / launches as f64).round();
    let sampled = if entry.blocks_run < shape.blocks() * entry.launches { ", blocks sampled" } else { "" };
    writeln!(
        f,
        "\n{} <<<{}, {}, {}>>> · {launches} launches{sampled}",
        shape.kernel,
        join(shape.grid),
        join(shape.block),
        shape.dynamic_shared
    )?;
    writeln!(
        f,
        "  read {} B, written {} B, read again {} B, {} sectors, {} wavefronts ({} ideal), {} warp instructions",
        entry.unique_read_bytes / launches,
        entry.unique_written_bytes / launches,
        entry.reread_bytes / launches,
        each(all.sectors),
        each(all.wavefronts),
        each(all.ideal),
        each(all.executed)
    )?;
    let classes = entry.totals.iter().map(|(class, count)| format!("{class} {}", each(count.executed)));
    writeln!(f, "  {}", classes.collect::<Vec<_>>().join(", "))?;
    let mut conflicts: Vec<_> = entry.lines.iter().filter(|line| line.count.wavefronts > line.count.ideal).collect();
    conflicts.sort_by_key(|line| (std::cmp::Reverse(line.count.wavefronts - line.count.ideal), line.line));
    for line in conflicts.iter().take(SHOWN) {
        let (actual, ideal) = (line.count.wavefronts, line.count.ideal);
        writeln!(
            f,
            "  line {}: {} has bank conflicts: {actual} wavefronts where {ideal} would do",
            line.line, line.text
        )?;
    }
    if let Some(first) = &entry.first_non_finite {
        let (line, text) = (first.line, &first.text);
        writeln!(
            f,
            "  line {line}: {text} made a value that is not finite, first in block {} thread {}",
            first.block, first.thread
        )?;
    }
    Ok(())
}
