//! What the PTX ISA has and the emulator has not: so that a refusal says which of both it is. Not here: what a target or a version lacks
//! (`features`).

use super::Fault;
use super::names::written;
use crate::parse::syntax::{Instruction, Operand};

/// Instructions by name, and one of the modifiers that make them such; any where none is said.
const INSTRUCTIONS: &[(&str, &[&str])] = &[
    // Hopper's and later ones
    ("wgmma", &[]),
    ("setmaxnreg", &[]),
    ("mapa", &[]),
    ("getctarank", &[]),
    ("multimem", &[]),
    ("tensormap", &[]),
    ("tcgen05", &[]),
    ("clusterlaunchcontrol", &[]),
    ("st", &["async", "bulk"]),
    ("red", &["async"]),
    ("cp", &["bulk", "reduce"]),
    ("barrier", &["cluster"]),
    // textures and surfaces
    ("tex", &[]),
    ("tld4", &[]),
    ("txq", &[]),
    ("istypep", &[]),
    ("suld", &[]),
    ("sust", &[]),
    ("sured", &[]),
    ("suq", &[]),
    // the stack
    ("alloca", &[]),
    ("stacksave", &[]),
    ("stackrestore", &[]),
    // matrices
    ("wmma", &[]),
    ("mma", &["sp", "sp::ordered_metadata", "e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "kind::f8f6f4", "s4", "u4", "b1"]),
    ("ldmatrix", &["b8", "m16n16", "m8n16"]),
    ("stmatrix", &["b8", "m16n8"]),
    // registers of 128 bits
    ("ld", &["b128", "v8"]),
    ("st", &["b128", "v8"]),
    ("mov", &["b128"]),
    ("atom", &["b128"]),
];

/// Special registers that only a card has, by how their names begin.
const SPECIALS: &[&str] = &["%envreg", "%reserved_smem", "%pm", "%current_graph_exec"];

/// A fault as it is said: of what the ISA has, that it is not emulated.
pub(super) fn named(fault: Fault, instruction: &Instruction) -> Fault {
    if !matches!(fault, Fault::Unknown(_) | Fault::Arguments(_) | Fault::Symbol(_)) {
        return fault;
    }
    let special = instruction.operands.iter().find_map(|operand| match operand {
        Operand::Name { name, .. } | Operand::Part(name, _) => {
            SPECIALS.iter().any(|begin| name.starts_with(begin)).then_some(name)
        }
        _ => None,
    });
    if let Some(name) = special {
        return Fault::Unsupported(name.clone());
    }
    let has = |words: &[&str]| {
        words.is_empty() || instruction.modifiers.iter().any(|modifier| words.contains(&modifier.as_str()))
    };
    let refused = INSTRUCTIONS.iter().any(|(name, words)| *name == instruction.name && has(words));
    if refused { Fault::Unsupported(written(instruction)) } else { fault }
}
