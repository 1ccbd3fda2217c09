//! PTX as text: made the same on every machine, and read for where each of its lines comes from.
//!
//! Not a parser of PTX: it knows the form in which NVRTC writes it, a statement a line.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Replaces the folders of this machine in the names of sources; `includes` are `kernels/` and those of CUDA's headers. Drops hints about loads of which not
/// all bytes are used: they change nothing, and would need a newer version of PTX than all else.
pub(super) fn portable<P: AsRef<Path>>(ptx: &str, includes: &[P]) -> Result<String> {
    let mut text = String::with_capacity(ptx.len());
    for line in ptx.lines().filter(|line| !line.trim_start().starts_with(".pragma \"used_bytes_mask")) {
        let Some((number, path)) = file(line) else {
            text.extend([line, "\n"]);
            continue;
        };
        let within = |(index, folder): (usize, &P)| {
            let rest = Path::new(path).strip_prefix(folder).ok()?.to_str()?;
            Some(format!("{}/{rest}", if index == 0 { "kernels" } else { "cuda" }))
        };
        let Some(name) = includes.iter().enumerate().find_map(within) else {
            bail!("the PTX names {path}, which no other machine has");
        };
        text.push_str(&format!("\t.file\t{number} \"{name}\"\n"));
    }
    Ok(text)
}

/// The same PTX under another version.
pub(super) fn with_version(ptx: &str, version: &str) -> Result<String> {
    let line = ptx.lines().find(|line| line.starts_with(".version ")).context("NVRTC has written no .version")?;
    Ok(ptx.replacen(line, &format!(".version {version}"), 1))
}

/// Where a line of PTX belongs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SourcePosition {
    /// The line of the first instruction of its basic block.
    pub(super) block: usize,
    /// File and line of the CUDA source; of the inlined function where there is one.
    pub(super) source: Option<(String, usize)>,
}

/// The positions of all instructions, by line, which counts from 1.
pub(super) fn positions(ptx: &str) -> BTreeMap<usize, SourcePosition> {
    let files: BTreeMap<&str, &str> = ptx.lines().filter_map(file).collect();
    let mut positions = BTreeMap::new();
    let (mut block, mut source) = (0, None);
    for (index, line) in ptx.lines().enumerate() {
        let statement = line.trim();
        if let Some(loc) = statement.strip_prefix(".loc") {
            let mut words = loc.split_whitespace();
            let name = words.next().and_then(|number| files.get(number));
            let line = words.next().and_then(|line| line.parse().ok());
            source = name.zip(line).map(|(name, line)| ((*name).to_owned(), line));
        } else if statement.starts_with("$L__BB") || statement.contains(".entry ") {
            block = 0;
        } else if statement.contains(';') && !statement.starts_with(['.', '/']) {
            if block == 0 {
                block = index + 1;
            }
            positions.insert(index + 1, SourcePosition { block, source: source.clone() });
            let words = statement.strip_prefix('@').and_then(|guarded| guarded.split_once(' '));
            let opcode = words.map_or(statement, |(_, rest)| rest.trim_start());
            if ["bra", "ret", "exit", "brx", "trap"].iter().any(|end| opcode.starts_with(end)) {
                block = 0;
            }
        }
    }
    positions
}

/// The PTX without what it says of its sources, two fifths of it, and the line of each line in it; 0 for those that are gone. What is assembled
/// of both is the same.
pub(super) fn without_positions(ptx: &str) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(ptx.len());
    let (mut places, mut line, mut in_section) = (vec![0], 0, false);
    for statement in ptx.lines() {
        let trimmed = statement.trim();
        let gone = in_section || [".loc", ".file", ".section"].iter().any(|word| trimmed.starts_with(word));
        // of names, which the positions of inlined functions point to
        in_section = (in_section || trimmed.starts_with(".section")) && trimmed != "}";
        if !gone {
            text.extend([statement, "\n"]);
            line += 1;
        }
        places.push(if gone { 0 } else { line });
    }
    (text.trim_end().to_owned() + "\n", places)
}

/// Number and name of a `.file 1 "name"`.
fn file(line: &str) -> Option<(&str, &str)> {
    let (number, name) = line.trim().strip_prefix(".file")?.trim().split_once(char::is_whitespace)?;
    Some((number, name.trim().trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use super::{portable, positions, with_version, without_positions};

    const PTX: &str = "\
.version 8.4
.visible .entry k()
{
\t.loc\t1 7 5
\tmov.u32 \t%r1, 0;
\t@%p1 bra \t$L__BB0_2;

\t.loc\t2 9 5, function_name $L__info_string0, inlined_at 1 8 5
\tadd.u32 \t%r1, %r1, 1;
$L__BB0_2:
\tret;
}
\t.file\t1 \"/home/me/kernels/k.cu\"
\t.file\t2 \"/elsewhere/include/cuda_fp16.hpp\"
";
    const INCLUDES: [&str; 2] = ["/home/me/kernels", "/elsewhere/include"];

    #[test]
    fn folders_of_this_machine_leave_it() {
        let ptx = portable(PTX, &INCLUDES).unwrap();
        assert!(ptx.ends_with("\t.file\t1 \"kernels/k.cu\"\n\t.file\t2 \"cuda/cuda_fp16.hpp\"\n"), "{ptx}");
        let refusal = portable(PTX, &INCLUDES[..1]).unwrap_err().to_string();
        assert!(refusal.contains("/elsewhere/include/cuda_fp16.hpp"), "{refusal}");
    }

    #[test]
    fn the_version_is_lowered_and_nothing_else_changes() {
        let ptx = with_version(PTX, "7.2").unwrap();
        assert_eq!(ptx, PTX.replace("8.4", "7.2"));
        assert!(with_version("", "7.2").is_err());
    }

    #[test]
    fn positions_are_left_out_and_lines_are_found_again() {
        let section = "\t.section\t.debug_str\n\t{\n$L__info_string0:\n.b8 95,0\n\n\t}\n";
        let (text, places) = without_positions(&(PTX.to_owned() + section));
        let left: Vec<&str> = PTX.lines().filter(|line| !line.contains(".loc") && !line.contains(".file")).collect();
        assert_eq!(text, left.join("\n") + "\n");
        // the first instruction, from line 5 to 4, the last from 11 to 9
        assert_eq!([places[1], places[4], places[5], places[11], places[13]], [1, 0, 4, 9, 0]);
        assert_eq!(text.lines().nth(places[11] - 1), Some("\tret;"));
    }

    #[test]
    fn an_instruction_belongs_to_a_block_and_a_source_line() {
        let positions = positions(&portable(PTX, &INCLUDES).unwrap());
        let found: Vec<_> =
            positions.iter().map(|(line, position)| (*line, position.block, position.source.clone())).collect();
        let source = |file: &str, line| Some((file.to_owned(), line));
        let (kernel, header) = (source("kernels/k.cu", 7), source("cuda/cuda_fp16.hpp", 9));
        assert_eq!(found, [(5, 5, kernel.clone()), (6, 5, kernel), (9, 9, header.clone()), (11, 11, header)]);
    }
}
