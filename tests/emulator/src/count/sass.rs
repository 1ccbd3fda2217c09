//! What the assembler made of a kernel: registers, and how many instructions of SASS. Not here: how that is found out.

use std::collections::BTreeMap;
use std::fmt;

use super::launches::LaunchReport;

/// A kernel as assembled for one architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    /// Registers of a thread.
    pub registers: Option<u32>,
    /// Its instructions, where they are known.
    pub instructions: Option<Instructions>,
}

/// Instructions of SASS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// For pieces of the PTX, by the line where each begins: they are executed as often as the first instruction of their piece.
    ByLine(BTreeMap<usize, u32>),
    /// Of the kernel: taken to be spread evenly over the instructions of the PTX.
    Total(u32),
}

/// From what issue slots were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// SASS, each piece as often as it was executed.
    Sass,
    /// The instructions of PTX that were executed, times what there is of SASS to PTX in the text.
    SassOverPtx,
    /// The instructions of PTX that were executed. SASS has fewer where it fuses (addresses, parameters), and more where it expands
    /// (divisions, 64-bit integers).
    Ptx,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sass => "SASS",
            Self::SassOverPtx => "PTX, scaled by SASS",
            Self::Ptx => "PTX",
        })
    }
}

/// Instructions that the schedulers issued in the launches of a report.
pub fn issue_slots(report: &LaunchReport, assembled: Option<&Assembled>) -> (f64, Source) {
    let ptx = report.total(|_| true).executed as f64;
    match assembled.and_then(|assembled| assembled.instructions.as_ref()) {
        Some(Instructions::ByLine(pieces)) => {
            let executed = |line: usize| {
                let at = report.lines.partition_point(|instruction| instruction.line < line);
                report.lines.get(at).map_or(0, |instruction| instruction.count.executed)
            };
            let slots = pieces.iter().map(|(&line, &count)| executed(line) * u64::from(count)).sum::<u64>();
            (slots as f64, Source::Sass)
        }
        Some(Instructions::Total(count)) => {
            (ptx * f64::from(*count) / report.lines.len().max(1) as f64, Source::SassOverPtx)
        }
        None => (ptx, Source::Ptx),
    }
}
