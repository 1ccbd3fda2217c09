//! Which part of a multiprocessor an instruction of PTX keeps busy. Not here: how often, or how it is executed; nor what the assembler makes
//! of it, which fuses some instructions, drops others, and turns a division into a dozen.

use std::fmt;

use crate::parse::syntax::Instruction;

/// A kind of instruction, by what limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Sums, products and both together of fractions up to 32 bits.
    Fma,
    /// Integers, bits, comparisons, selections and moves.
    Alu,
    /// What the unit for functions does: `ex2`, `lg2`, `rcp`, `rsqrt`, `sqrt`, `sin`, `cos`, `tanh`, and a division of fractions for its reciprocal.
    Special,
    /// `mma`
    Mma(Tile),
    /// `cvt`
    Convert,
    /// `ld` from global, local or generic memory.
    GlobalLoad,
    /// `st` to global, local or generic memory.
    GlobalStore,
    /// `ld.shared`
    SharedLoad,
    /// `st.shared`
    SharedStore,
    /// `ldmatrix`, `stmatrix`
    Matrix,
    /// `cp.async`, the copies themselves.
    CopyAsync,
    /// `atom`, `red`
    Atomic,
    /// Waiting for other threads, for memory, and for copies.
    Barrier,
    /// What lanes of a warp tell each other: `shfl`, `vote`, `redux`.
    Shuffle,
    /// Branches, calls and ends.
    Branch,
    /// Parameters, constants, f64, and all else.
    Other,
}

/// The product of an `mma`: `m` × `k` by `k` × `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Rows of the first factor.
    pub m: u16,
    /// Columns of the second factor.
    pub n: u16,
    /// Products in a sum.
    pub k: u16,
    /// What is multiplied.
    pub factor: Element,
    /// Whether sums are f16, for which some cards are twice as fast.
    pub half: bool,
}

/// What an `mma` multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// `f16`
    F16,
    /// `bf16`
    Bf16,
    /// `tf32`
    Tf32,
    /// `f64`
    F64,
    /// `s8`, `u8`
    Byte,
    /// `s4`, `u4`
    Nibble,
    /// `b1`
    Bit,
}

impl Tile {
    /// Products of one instruction of a warp.
    pub fn products(self) -> u64 {
        u64::from(self.m) * u64::from(self.n) * u64::from(self.k)
    }

    /// From modifiers as `m16n8k16` and the types of result, factors and summand.
    fn named(modifiers: &[String]) -> Option<Self> {
        let [m, n, k] = modifiers.iter().find_map(|name| shape(name))?;
        let mut types = modifiers
            .iter()
            .filter(|name| ["s32", "f64", "f32", "f16"].contains(&name.as_str()) || factor(name).is_some());
        let result = types.next()?;
        let factor = factor(types.next()?)?;
        Some(Self { m, n, k, factor, half: result == "f16" })
    }
}

/// The numbers of `m16n8k16`.
fn shape(name: &str) -> Option<[u16; 3]> {
    let (m, rest) = name.strip_prefix('m')?.split_once('n')?;
    let (n, k) = rest.split_once('k')?;
    Some([m.parse().ok()?, n.parse().ok()?, k.parse().ok()?])
}

fn factor(name: &str) -> Option<Element> {
    Some(match name {
        "f16" => Element::F16,
        "bf16" => Element::Bf16,
        "tf32" => Element::Tf32,
        "f64" => Element::F64,
        "s8" | "u8" => Element::Byte,
        "s4" | "u4" => Element::Nibble,
        "b1" => Element::Bit,
        _ => return None,
    })
}

/// What an instruction is counted as.
pub fn class(instruction: &Instruction) -> Class {
    let has = |modifier: &str| instruction.modifiers.iter().any(|name| name == modifier);
    let of = |types: &[&str]| types.iter().any(|ty| has(ty));
    let fraction = of(&["f32", "f32x2", "f16", "f16x2", "bf16", "bf16x2"]);
    // The space of shared memory may say whose: `shared::cta`.
    let shared = instruction.modifiers.iter().any(|name| name == "shared" || name.starts_with("shared::"));
    match instruction.name.as_str() {
        "mma" => Tile::named(&instruction.modifiers).map_or(Class::Other, Class::Mma),
        "ld" | "ldu" if of(&["param", "const"]) => Class::Other,
        "ld" | "ldu" if shared => Class::SharedLoad,
        "ld" | "ldu" => Class::GlobalLoad,
        "st" if has("param") => Class::Other,
        "st" if shared => Class::SharedStore,
        "st" => Class::GlobalStore,
        "ldmatrix" | "stmatrix" => Class::Matrix,
        "cp" if instruction.modifiers.iter().any(|name| name.contains("group") || name.starts_with("wait")) => {
            Class::Barrier
        }
        "cp" => Class::CopyAsync,
        "atom" | "red" => Class::Atomic,
        "bar" | "barrier" | "membar" | "fence" | "mbarrier" => Class::Barrier,
        "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" | "movmatrix" => Class::Shuffle,
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" => Class::Branch,
        "cvt" => Class::Convert,
        _ if has("f64") => Class::Other,
        "ex2" | "lg2" | "rcp" | "rsqrt" | "sqrt" | "sin" | "cos" | "tanh" => Class::Special,
        "div" if fraction => Class::Special,
        "add" | "sub" | "mul" | "fma" | "mad" if fraction => Class::Fma,
        "prefetch" | "prefetchu" | "nanosleep" | "pmevent" | "brkpt" | "createpolicy" | "discard" | "applypriority" => {
            Class::Other
        }
        _ => Class::Alu,
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fma => "fma",
            Self::Alu => "alu",
            Self::Special => "special",
            Self::Mma(tile) => return tile.fmt(f),
            Self::Convert => "convert",
            Self::GlobalLoad => "global load",
            Self::GlobalStore => "global store",
            Self::SharedLoad => "shared load",
            Self::SharedStore => "shared store",
            Self::Matrix => "matrix",
            Self::CopyAsync => "copy async",
            Self::Atomic => "atomic",
            Self::Barrier => "barrier",
            Self::Shuffle => "shuffle",
            Self::Branch => "branch",
            Self::Other => "other",
        })
    }
}

/// By its name, as in tables.
impl serde::Serialize for Class {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let factor = match self.factor {
            Element::F16 => "f16",
            Element::Bf16 => "bf16",
            Element::Tf32 => "tf32",
            Element::F64 => "f64",
            Element::Byte => "s8",
            Element::Nibble => "s4",
            Element::Bit => "b1",
        };
        let sum = if self.half { " to f16" } else { "" };
        write!(f, "mma m{}n{}k{} {factor}{sum}", self.m, self.n, self.k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let mut parts = text.split('.').map(str::to_owned);
        let name = parts.next().unwrap();
        let modifiers = parts.collect();
        class(&Instruction { line: 1, guard: None, name, modifiers, operands: Vec::new() }).to_string()
    }

    #[test]
    fn instructions_are_what_they_keep_busy() {
        for (text, class) in [
            ("fma.rn.f32", "fma"),
            ("add.f16x2", "fma"),
            ("mad.lo.s32", "alu"),
            ("add.f64", "other"),
            ("max.f32", "alu"),
            ("ex2.approx.ftz.f32", "special"),
            ("div.full.f32", "special"),
            ("div.u32", "alu"),
            ("cvt.rn.f16.f32", "convert"),
            ("ld.param.u64", "other"),
            ("ld.global.nc.v4.f32", "global load"),
            ("ld.u32", "global load"),
            ("st.volatile.shared.u32", "shared store"),
            ("ld.shared::cta.u32", "shared load"),
            ("ldmatrix.sync.aligned.m8n8.x4.shared.b16", "matrix"),
            ("cp.async.cg.shared.global", "copy async"),
            ("cp.async.wait_group", "barrier"),
            ("cp.async.commit_group", "barrier"),
            ("atom.global.add.u32", "atomic"),
            ("bar.sync", "barrier"),
            ("shfl.sync.bfly.b32", "shuffle"),
            ("bra.uni", "branch"),
            ("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "mma m16n8k16 bf16"),
            ("mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16", "mma m16n8k8 f16 to f16"),
            ("mma.sync.aligned.m16n8k32.row.col.satfinite.s32.u8.s8.s32", "mma m16n8k32 s8"),
            ("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64", "mma m8n8k4 f64"),
        ] {
            assert_eq!(of(text), class, "{text}");
        }
    }
}
