//! The report as a table for people: a line a kernel and card, then what deserves a look.

use std::fmt;

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
                let from = estimate.issue_from;
                writeln!(
                    f,
                    "  {:8}  {:8.1} … {:<8.1} bound by {} · SM {:.1}, memory {:.1}, L2 {:.1}, latency {:.1} · {} blocks an SM, {:.0} % of SMs busy · issue slots of {from}",
                    estimate.device,
                    estimate.low_us,
                    estimate.high_us,
                    estimate.bound,
                    estimate.multiprocessor_us,
                    estimate.memory_us,
                    estimate.l2_us,
                    estimate.latency_us,
                    estimate.resident_blocks,
                    estimate.utilisation * 100.0,
                )?;
            }
        }
        Ok(())
    }
}

/// What a kernel did, without times.
fn kernel(f: &mut fmt::Formatter<'_>, entry: &LaunchReport) -> fmt::Result {
    let shape = &entry.shape;
    let join = |sizes: [u32; 3]| sizes.map(|size| size.to_string()).join("×");
    let all = entry.total(|_| true);
    let launches = entry.launches.max(1);
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
        "  read {} B, written {} B, {} sectors, {} wavefronts ({} ideal), {} warp instructions",
        entry.unique_read_bytes / launches,
        entry.unique_written_bytes / launches,
        all.sectors / launches,
        all.wavefronts / launches,
        all.ideal / launches,
        all.executed / launches
    )?;
    let classes = entry.totals.iter().map(|(class, count)| format!("{class} {}", count.executed / launches));
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
