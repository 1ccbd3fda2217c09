//! What the assembler made of a kernel: registers, and how many instructions of SASS. Not here: how that is found out, which is the affair of
//! `cargo xtask kernels`, whose table of the kernels that ship is read.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

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

/// Kernels by name, as assembled for an architecture (80), from the text of `kernels/ptx/table.json`.
///
/// # Errors
/// When it is no such table.
pub fn table(json: &str, architecture: u32) -> serde_json::Result<BTreeMap<String, Assembled>> {
    #[derive(Deserialize)]
    struct Table {
        kernels: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        kernel: String,
        architecture: u32,
        registers: u32,
        /// Instructions by the line of the PTX where their basic block has its first. Those that belong to none fill up the end.
        blocks: BTreeMap<usize, u32>,
    }
    let table: Table = serde_json::from_str(json)?;
    let rows = table.kernels.into_iter().filter(|row| row.architecture == architecture);
    let assembled = |row: Row| {
        let Row { kernel, registers, blocks, .. } = row;
        (kernel, Assembled { registers: Some(registers), instructions: Some(Instructions::ByLine(blocks)) })
    };
    Ok(rows.map(assembled).collect())
}

/// From what issue slots were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
            // Functions that are called stand behind the kernel here, and before it in the text.
            let mut executed: Vec<_> = report.lines.iter().map(|line| (line.line, line.count.executed)).collect();
            executed.sort_by_key(|(line, _)| *line);
            let first = |piece: usize| executed.get(executed.partition_point(|(line, _)| *line < piece));
            let slots =
                |(&piece, &count): (&usize, &u32)| first(piece).map_or(0, |(_, times)| times * u64::from(count));
            (pieces.iter().map(slots).sum::<u64>() as f64, Source::Sass)
        }
        Some(Instructions::Total(count)) => {
            (ptx * f64::from(*count) / report.lines.len().max(1) as f64, Source::SassOverPtx)
        }
        None => (ptx, Source::Ptx),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_kernels_that_ship_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernels/ptx/table.json");
        let json = std::fs::read_to_string(path).unwrap();
        for architecture in [75, 80, 86, 89, 90] {
            let kernels = table(&json, architecture).unwrap();
            assert!(!kernels.is_empty() && kernels.values().all(|kernel| kernel.registers.is_some()), "{architecture}");
        }
    }

    #[test]
    fn the_row_of_an_architecture_is_read() {
        let row = |architecture, registers| {
            format!(
                r#"{{"kernel":"k","architecture":{architecture},"registers":{registers},"shared":0,"blocks":{{"12":3,"9":40}}}}"#
            )
        };
        let json = format!(r#"{{"toolchain":[],"kernels":[{},{}]}}"#, row(75, 40), row(80, 32));
        let kernels = table(&json, 80).unwrap();
        let pieces = Some(Instructions::ByLine([(9, 40), (12, 3)].into()));
        assert_eq!(kernels["k"], Assembled { registers: Some(32), instructions: pieces });
        assert!(table(&json, 90).unwrap().is_empty());
        assert!(table("{}", 80).is_err());
    }
}
