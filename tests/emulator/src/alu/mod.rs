//! Instructions that compute in every lane by itself: integers, fractions, conversions, comparisons, bits. Each becomes a closure over slots that
//! computes 32 lanes in one loop. Not here: what touches memory, other lanes, or the order of execution.

mod approximate;
mod carry;
mod compare;
mod convert;
mod field;
mod float;
mod integer;
mod logic;
mod map;
mod mov;
mod native;
mod order;
mod packed;
mod reader;
mod round;
mod select;
mod small;
mod soft;

use crate::decode::Fault;
use crate::decode::names::Names;
use crate::decode::types::Kind;
use crate::exec::Lanes;
use crate::parse::syntax::Instruction;
use reader::Reader;

/// Video instructions, which compute in every lane too, and which the emulator does not have.
const VIDEO: &[&str] = &[
    "vadd",
    "vsub",
    "vabsdiff",
    "vmin",
    "vmax",
    "vshl",
    "vshr",
    "vmad",
    "vset",
    "vadd2",
    "vsub2",
    "vavrg2",
    "vabsdiff2",
    "vmin2",
    "vmax2",
    "vset2",
    "vadd4",
    "vsub4",
    "vavrg4",
    "vabsdiff4",
    "vmin4",
    "vmax4",
    "vset4",
];

/// Decodes an instruction; None when it is of another family.
///
/// # Errors
/// When its modifiers or operands are none that it can have.
pub fn decode(instruction: &Instruction, names: &mut Names) -> Result<Option<Lanes>, Fault> {
    let reader = &mut Reader::new(instruction, names);
    let has = |modifier: &str| instruction.modifiers.iter().any(|own| own == modifier);
    let packed = |modifier: &str| matches!(modifier, "f16x2" | "bf16" | "bf16x2");
    let fraction = instruction.modifiers.last().is_some_and(|last| packed(last))
        || reader.last_type().is_some_and(|ty| ty.kind() == Kind::Float);
    let approximate = has("approx") || has("full");
    let lanes = match (instruction.name.as_str(), fraction) {
        ("add" | "sub" | "addc" | "subc" | "mad" | "madc", false) if has("cc") || instruction.name.ends_with('c') => {
            carry::decode(reader)
        }
        ("div" | "rcp" | "sqrt", true) if approximate => approximate::decode(reader),
        ("ex2" | "lg2" | "sin" | "cos" | "tanh" | "rsqrt", _) => approximate::decode(reader),
        ("add" | "sub" | "mul" | "mad" | "div", true) | ("fma" | "rcp" | "sqrt", _) => float::decode(reader),
        ("min" | "max", true) => order::extreme(reader),
        ("abs" | "neg", true) => order::sign(reader),
        ("add" | "sub" | "div" | "rem" | "min" | "max" | "abs" | "neg" | "sad", _) => integer::arithmetic(reader),
        ("mul" | "mad", false) => integer::product(reader),
        ("mul24" | "mad24", _) => integer::product24(reader),
        ("dp2a" | "dp4a", _) => packed::dot(reader),
        ("and" | "or" | "xor" | "not" | "cnot", _) => logic::bitwise(reader),
        ("lop3", _) => logic::lop3(reader),
        ("shl" | "shr", _) => logic::shift(reader),
        ("shf", _) => logic::funnel(reader),
        ("bfe", _) => field::extract(reader),
        ("bfi", _) => field::insert(reader),
        ("bfind", _) => field::find(reader),
        ("brev" | "clz" | "popc", _) => field::count(reader),
        ("bmsk", _) => field::mask(reader),
        ("szext", _) => field::extend(reader),
        ("fns", _) => field::nth_set(reader),
        ("prmt", _) => field::permute(reader),
        ("copysign", _) => order::copy(reader),
        ("testp", _) => order::test(reader),
        ("setp", _) => compare::predicates(reader),
        ("set", _) => compare::values(reader),
        ("selp", _) => select::by_predicate(reader),
        ("slct", _) => select::by_sign(reader),
        ("cvt", _) => convert::decode(reader),
        ("mov", _) => return mov::decode(reader),
        (name, _) if VIDEO.contains(&name) => Err(reader.unsupported()),
        _ => return Ok(None),
    };
    lanes.map(Some)
}
