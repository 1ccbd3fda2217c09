//! What ptxas says of the kernels that it assembled, and the machine code that nvdisasm shows.
//!
//! Static counts: how often an instruction runs is not known here.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

/// What a kernel takes of the machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Resources {
    /// Registers a thread.
    pub(super) registers: u32,
    /// Static shared memory a block, in bytes.
    pub(super) shared: u32,
    /// Bytes of the constant bank, the parameters among them, where ptxas says it.
    pub(super) constant: u32,
    /// Bytes a thread of local memory.
    pub(super) stack: u32,
    /// Bytes a thread of registers that had to go to local memory.
    pub(super) spill_stores: u32,
    pub(super) spill_loads: u32,
}

/// The resources of each kernel, from what `ptxas -v` prints.
pub(super) fn resources(log: &str) -> Result<BTreeMap<String, Resources>> {
    let mut kernels: BTreeMap<String, Resources> = BTreeMap::new();
    let mut kernel = None;
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or(rest);
            kernel = Some(kernels.entry(name.to_owned()).or_default());
        }
        let Some(kernel) = kernel.as_mut() else { continue };
        let line = line.rsplit_once(" : Used ").map_or(line, |(_, used)| used);
        for part in line.split(',') {
            let Some((amount, what)) = part.trim().split_once(' ') else { continue };
            let Ok(amount) = amount.parse::<u32>() else { continue };
            // Summed: functions that a kernel calls are named after it, each with its own.
            match what {
                "registers" => kernel.registers = amount,
                "bytes smem" => kernel.shared = amount,
                "bytes cmem[0]" => kernel.constant = amount,
                "bytes stack frame" => kernel.stack += amount,
                "bytes spill stores" => kernel.spill_stores += amount,
                "bytes spill loads" => kernel.spill_loads += amount,
                _ => {}
            }
        }
    }
    if let Some((name, _)) = kernels.iter().find(|(_, kernel)| kernel.registers == 0) {
        bail!("ptxas does not say how many registers {name} uses, or no longer in words that are known here");
    }
    Ok(kernels)
}

/// An instruction.
#[derive(Debug, PartialEq)]
pub(super) struct Instruction {
    /// Without modifiers: `LDG` of `LDG.E.128`.
    pub(super) opcode: String,
    /// Its line in the PTX, unless it is of a library's function.
    pub(super) line: Option<usize>,
}

/// A kernel's machine code.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Function {
    /// How many of the block's barriers it uses.
    pub(super) barriers: u32,
    /// All but the NOPs that fill its end.
    pub(super) instructions: Vec<Instruction>,
}

/// The machine code of each kernel, from what nvdisasm prints with `--print-line-info-ptx`.
pub(super) fn functions(listing: &str) -> Result<BTreeMap<String, Function>> {
    let mut functions: BTreeMap<String, Function> = BTreeMap::new();
    let (mut function, mut line) = (None, None);
    for text in listing.lines().map(str::trim) {
        if let Some((_, name)) = text.split_once("- .text.") {
            let name = name.split_whitespace().next().unwrap_or(name);
            function = Some(functions.entry(name.to_owned()).or_default());
            line = None;
        }
        let Some(function) = function.as_mut() else { continue };
        if let Some((_, barriers)) = text.split_once("SHF_BARRIERS=") {
            let number = barriers.trim_end_matches('"').parse();
            function.barriers = number.with_context(|| format!("nvdisasm prints `{text}`"))?;
        } else if text.starts_with("$__internal") {
            line = None;
        } else if let Some((_, number)) = text.split_once("\".nv_debug_ptx_txt\", line ") {
            let number = number.split_whitespace().next().unwrap_or(number);
            line = Some(number.parse().with_context(|| format!("nvdisasm prints `{text}`"))?);
        } else if let Some((_, code)) = text.split_once("*/").filter(|_| text.starts_with("/*")) {
            let mut words = code.split_whitespace();
            let word = words.next().filter(|word| !word.starts_with('@')).or_else(|| words.next());
            let opcode = word.and_then(|word| word.split(['.', ';']).next()).unwrap_or_default();
            if !matches!(opcode, "" | "NOP") {
                function.instructions.push(Instruction { opcode: opcode.to_owned(), line });
            }
        }
    }
    if functions.values().any(|function| function.instructions.is_empty()) || functions.is_empty() {
        bail!("nvdisasm shows no instructions, or no longer in a form that is known here");
    }
    Ok(functions)
}

/// The classes of a SASS mix, in the order of the tables. Each instruction is of one.
pub(super) const CLASSES: [(&str, &[&str]); 17] = [
    ("fp32", &["FADD", "FMUL", "FFMA", "FADD32I", "FMUL32I", "FFMA32I"]),
    ("fp16", &["HADD2", "HMUL2", "HFMA2", "HADD2_32I", "HMUL2_32I", "HFMA2_32I"]),
    ("mma", &["HMMA", "IMMA", "HGMMA"]),
    ("mufu", &["MUFU"]),
    ("convert", &["F2F", "F2FP", "F2I", "I2F", "I2FP", "F2IP", "I2IP", "FRND"]),
    ("ldg", &["LDG"]),
    ("stg", &["STG"]),
    ("lds", &["LDS"]),
    ("sts", &["STS"]),
    ("ldsm", &["LDSM"]),
    ("ldgsts", &["LDGSTS"]),
    ("local", &["LDL", "STL"]),
    ("atomic", &["ATOM", "ATOMG", "ATOMS", "RED", "REDG"]),
    ("shfl", &["SHFL"]),
    ("bar", &["BAR"]),
    ("control", &["BRA", "BRX", "JMP", "CALL", "RET", "EXIT", "BSSY", "BSYNC", "BREAK", "BMOV", "WARPSYNC", "YIELD"]),
    // integers, predicates, moves, uniform registers, constants
    ("other", &[]),
];

/// The class of an opcode.
pub(super) fn class(opcode: &str) -> &'static str {
    CLASSES.iter().find(|(_, opcodes)| opcodes.contains(&opcode)).map_or("other", |(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::{Function, Instruction, Resources, class, functions, resources};

    #[test]
    fn resources_are_read_from_the_log() {
        let log = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'norm' for 'sm_80'
ptxas info    : Function properties for norm
    40 bytes stack frame, 24 bytes spill stores, 56 bytes spill loads
ptxas info    : Used 80 registers, used 1 barriers, 40 bytes cumulative stack size, 64 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'plain' for 'sm_90'
ptxas info    : Function properties for plain
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 9 registers";
        let found = resources(log).unwrap();
        let norm = Resources { registers: 80, shared: 64, constant: 400, stack: 40, spill_stores: 24, spill_loads: 56 };
        assert_eq!(found["norm"], norm);
        assert_eq!(found["plain"], Resources { registers: 9, ..Resources::default() });
        assert!(resources("ptxas info    : Compiling entry function 'k' for 'sm_80'").is_err());
    }

    #[test]
    fn instructions_are_read_with_their_lines() {
        let listing = "\
//--------------------- .text.norm      --------------------------
\t.sectionflags\t@\"SHF_BARRIERS=1\"
.text.norm:
\t//## File \".nv_debug_ptx_txt\", line 12
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/              @!P1 LDG.E.128.CONSTANT R12, [R2.64] ;
        .weak           $__internal_0_$__cuda_sm20_rcp_rn_f32_slowpath
$__internal_0_$__cuda_sm20_rcp_rn_f32_slowpath:
        /*0020*/                   EXIT;
        /*0030*/                   NOP;";
        let instruction = |opcode: &str, line| Instruction { opcode: opcode.to_owned(), line };
        let instructions = vec![instruction("MOV", Some(12)), instruction("LDG", Some(12)), instruction("EXIT", None)];
        assert_eq!(functions(listing).unwrap()["norm"], Function { barriers: 1, instructions });
        assert!(functions("").is_err());
    }

    #[test]
    fn every_opcode_has_a_class() {
        let classes = ["FFMA", "HMMA", "LDG", "IMAD", "ULDC"].map(class);
        assert_eq!(classes, ["fp32", "mma", "ldg", "other", "other"]);
    }
}
