//! What instructions need of a module's `.target` and `.version`, from the "Target ISA Notes" and "PTX ISA Notes" of the PTX ISA 8.8; each rule
//! agrees with what ptxas 12.9 says of an instruction (`tests/features.txt`). Not here: whether there is such an instruction, nor what holds of all
//! that sm_75 and PTX 6.3 have, which is older than any module that the emulator loads.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Fault;
use super::names::written;
use crate::parse::syntax::{Instruction, Operand};

/// An instruction, its modifiers, the least target and the least version.
///
/// Of names, `a|b` is each. Modifiers are words that must all hold: `a|b` that one of them is there, `a.b` that they are neighbours, `!a|b` that
/// none is there, `#3` that there are so many operands, `<90` that the target is below.
type Rule = (&'static str, &'static str, u32, (u32, u32));

const RULES: &[Rule] = &[
    // integers
    ("add|min|max", "u16x2|s16x2", 90, (8, 0)),
    ("min|max", "relu s32|s16x2", 90, (8, 0)),
    ("bmsk|szext", "", 70, (7, 6)),
    ("lop3", "and|or|xor", 70, (8, 2)),
    // fractions
    ("abs", "f16|f16x2", 53, (6, 5)),
    ("set", "u16.f16|s16.f16|u32.f16|s32.f16", 53, (6, 5)),
    ("abs|neg|fma|min|max", "bf16|bf16x2", 80, (7, 0)),
    ("add|sub|mul|set|setp|ex2|tanh", "bf16|bf16x2", 90, (7, 8)),
    ("min|max", "f16|f16x2|NaN", 80, (7, 0)),
    ("min|max", "xorsign", 86, (7, 2)),
    ("min|max", "#4", 100, (8, 8)),
    ("fma", "relu", 80, (7, 0)),
    ("fma", "oob", 90, (8, 1)),
    ("add|sub|fma", "f32.f16|f32.bf16", 100, (8, 6)),
    ("add|sub|mul|fma", "f32x2", 100, (8, 6)),
    ("tanh", "", 75, (7, 0)),
    ("ex2", "f16|f16x2", 75, (7, 0)),
    // conversions
    ("cvt", "pack", 72, (6, 5)),
    ("cvt", "relu", 80, (7, 0)),
    ("cvt", "f16x2.f32|bf16.f32|bf16x2.f32|tf32.f32", 80, (7, 0)),
    ("cvt", "f32.bf16", 80, (7, 1)),
    ("cvt", "bf16 !bf16.f32|f32.bf16", 90, (7, 8)),
    ("cvt", "rn|rz tf32", 90, (7, 8)),
    ("cvt", "satfinite f16.f32|f16x2.f32|bf16.f32|bf16x2.f32|tf32.f32", 70, (8, 1)),
    ("cvt", "rn|rz satfinite tf32", 100, (8, 6)),
    ("cvt", "e4m3x2|e5m2x2", 89, (7, 8)),
    ("cvt", "e4m3x2|e5m2x2 <90", 89, (8, 1)),
    // warps and barriers
    ("redux", "", 80, (7, 0)),
    ("redux", "f32", 100, (8, 6)),
    ("elect", "", 90, (8, 0)),
    ("griddepcontrol", "", 90, (7, 8)),
    ("setmaxnreg", "", 90, (8, 0)),
    ("bar|barrier", "cta", 50, (7, 8)),
    ("barrier|fence|ld|st|atom|red", "cluster", 90, (7, 8)),
    ("barrier", "cluster acquire|release|relaxed", 90, (8, 0)),
    ("fence", "alias", 70, (7, 5)),
    ("fence", "async|mbarrier_init", 90, (8, 0)),
    // matrices
    ("movmatrix", "", 75, (7, 8)),
    ("ldmatrix", "", 75, (6, 5)),
    ("stmatrix", "", 90, (7, 8)),
    ("mma", "m8n8k4", 70, (6, 4)),
    ("mma", "m16n8k8|m8n8k16|m8n8k32", 75, (6, 5)),
    ("mma", "m16n8k4|m16n8k16|m16n8k32|m16n8k64|m16n8k128|m16n8k256|bf16|tf32|f64", 80, (7, 0)),
    ("mma", "m16n8k4|m16n8k8|m16n8k16 f64", 90, (7, 8)),
    ("mma", "b1", 75, (7, 0)),
    ("mma", "b1 and", 80, (7, 1)),
    ("mma", "e4m3|e5m2", 89, (8, 4)),
    ("mma", "e4m3|e5m2 m16n8k16", 89, (8, 7)),
    ("mma", "sp|sp::ordered_metadata", 80, (7, 1)),
    ("wmma", "bf16|tf32|f64", 80, (7, 0)),
    ("wgmma", "", 90, (8, 0)),
    // state spaces and addresses
    ("ld|st|atom|red|cvta|isspacep|ldmatrix|stmatrix|mbarrier", "shared::cta", 50, (7, 8)),
    ("ld|st|atom|red|cvta|isspacep|mapa|mbarrier", "shared::cluster", 90, (7, 8)),
    ("isspacep|cvta", "param", 70, (7, 7)),
    ("isspacep|cvta|ld", "param::entry", 50, (8, 3)),
    ("mapa|getctarank", "", 90, (7, 8)),
    ("alloca|stacksave|stackrestore", "", 52, (7, 3)),
    // loads, stores and what they leave in caches
    ("ld|st|mov", "b128", 70, (8, 3)),
    ("ld|st", "v8", 100, (8, 8)),
    ("ld|st", "mmio", 70, (8, 2)),
    ("ld|st", "L1::evict_first|L1::evict_last|L1::evict_normal|L1::evict_unchanged|L1::no_allocate", 70, (7, 4)),
    ("ld", "L2::64B|L2::128B", 75, (7, 4)),
    ("ld", "L2::256B", 80, (7, 4)),
    ("ld|st|atom|red|cp", "L2::cache_hint", 80, (7, 4)),
    ("st", "async", 90, (8, 1)),
    ("st", "bulk", 100, (8, 6)),
    ("prefetch", "tensormap", 90, (8, 0)),
    ("prefetch", "L2::evict_last|L2::evict_normal", 80, (7, 4)),
    ("applypriority|createpolicy|discard", "", 80, (7, 4)),
    // asynchronous copies
    ("cp", "async", 80, (7, 0)),
    ("cp", "L2::64B|L2::128B|L2::256B", 80, (7, 4)),
    ("cp", "bulk", 90, (8, 0)),
    ("mbarrier", "", 80, (7, 0)),
    ("mbarrier", "parity", 80, (7, 1)),
    ("mbarrier", "acquire|release|relaxed", 80, (8, 0)),
    ("mbarrier", "arrive|arrive_drop|test_wait|try_wait relaxed", 80, (8, 5)),
    ("mbarrier", "cluster|expect_tx|complete_tx", 90, (8, 0)),
    ("mbarrier", "try_wait", 90, (7, 8)),
    ("mbarrier", "arrive|arrive_drop !noComplete|expect_tx #3", 90, (7, 8)),
    ("multimem", "", 90, (8, 1)),
    ("tensormap", "", 90, (8, 3)),
    ("clusterlaunchcontrol", "", 100, (8, 6)),
    // atomics
    ("atom|red", "bf16|bf16x2", 90, (7, 8)),
    ("atom|red", "v2|v4|v8", 90, (8, 1)),
    ("atom", "b128", 90, (8, 3)),
    ("red", "async", 90, (8, 1)),
];

/// The rules of each instruction.
static OF_NAMES: LazyLock<HashMap<&str, Vec<&Rule>>> = LazyLock::new(|| {
    let mut of_names = HashMap::<_, Vec<_>>::new();
    for rule in RULES {
        rule.0.split('|').for_each(|name| of_names.entry(name).or_default().push(rule));
    }
    of_names
});

/// Special registers by how their names begin.
const SPECIALS: &[(&str, u32, (u32, u32))] = &[
    ("%cluster", 90, (7, 8)),
    ("%nclusterid", 90, (7, 8)),
    ("%is_explicit_cluster", 90, (7, 8)),
    ("%reserved_smem_offset", 80, (7, 6)),
    ("%aggr_smem_size", 90, (8, 1)),
    ("%current_graph_exec", 50, (8, 0)),
];

/// Whether a module of this target (80) and version may hold the instruction.
///
/// # Errors
/// When either is too low.
pub fn check(instruction: &Instruction, target: u32, version: (u32, u32)) -> Result<(), Fault> {
    let rules = OF_NAMES.get(instruction.name.as_str()).into_iter().flatten();
    let hold = |modifiers: &str| modifiers.split_whitespace().all(|word| holds(word, instruction, target));
    for (.., least, since) in rules.filter(|(_, modifiers, ..)| hold(modifiers)) {
        enough(&written(instruction), (target, *least), (version, *since))?;
    }
    for operand in &instruction.operands {
        let (Operand::Name { name, .. } | Operand::Part(name, _)) = operand else { continue };
        if let Some((_, least, since)) = SPECIALS.iter().find(|(special, ..)| name.starts_with(special)) {
            enough(name, (target, *least), (version, *since))?;
        }
    }
    Ok(())
}

/// The least version of PTX that knows a target.
pub fn version_of(target: u32) -> (u32, u32) {
    match target {
        ..=75 => (6, 3),
        76..=80 => (7, 0),
        81..=86 => (7, 1),
        87 => (7, 4),
        88..=90 => (7, 8),
        _ => (8, 6),
    }
}

fn enough(what: &str, target: (u32, u32), version: ((u32, u32), (u32, u32))) -> Result<(), Fault> {
    if target.0 < target.1 {
        Err(Fault::Target { what: what.to_owned(), needs: target.1 })
    } else if version.0 < version.1 {
        Err(Fault::Version { what: what.to_owned(), needs: version.1 })
    } else {
        Ok(())
    }
}

/// Whether a word of a rule's modifiers holds.
fn holds(word: &str, instruction: &Instruction, target: u32) -> bool {
    let has = |sequence: &str| {
        let sought: Vec<&str> = sequence.split('.').collect();
        instruction.modifiers.windows(sought.len()).any(|window| window == sought)
    };
    if let Some(none) = word.strip_prefix('!') {
        !one_of(none, has)
    } else if let Some(count) = word.strip_prefix('#') {
        count.parse() == Ok(instruction.operands.len())
    } else if let Some(above) = word.strip_prefix('<') {
        above.parse().is_ok_and(|above: u32| target < above)
    } else {
        one_of(word, has)
    }
}

fn one_of(alternatives: &str, is: impl Fn(&str) -> bool) -> bool {
    alternatives.split('|').any(is)
}
