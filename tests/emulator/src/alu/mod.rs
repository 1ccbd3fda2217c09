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
mod video;

use crate::decode::Fault;
use crate::decode::names::Names;
use crate::decode::types::{Kind, Type};
use crate::exec::Lanes;
use crate::parse::syntax::{Instruction, Operand};
use reader::Reader;

/// Video instructions on one byte or half, which compute in every lane too, and which the emulator does not have.
const VIDEO: &[&str] = &["vadd", "vsub", "vabsdiff", "vmin", "vmax", "vshl", "vshr", "vmad", "vset"];

/// Decodes an instruction; None when it is of another family.
///
/// # Errors
/// When its modifiers or operands are none that it can have.
pub fn decode(instruction: &Instruction, names: &mut Names) -> Result<Option<Lanes>, Fault> {
    if let Some(sorted) = sorted(instruction) {
        return decode(&sorted, names);
    }
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
        (name, _) if name.starts_with('v') && has_fields(instruction) => Err(reader.unsupported()),
        (name, _) if VIDEO.contains(&name) => Err(reader.unsupported()),
        (name, _) if let Some((name, count)) = video::fields(name) => video::decode(reader, name, count),
        _ => return Ok(None),
    };
    lanes.map(Some)
}

/// Whether it takes only some bytes or halves of an operand.
fn has_fields(instruction: &Instruction) -> bool {
    instruction.operands.iter().any(|operand| matches!(operand, Operand::Fields(..)))
}

/// Instructions of fractions whose modifiers the assembler takes in any order.
const UNORDERED: &[&str] = &[
    "add", "sub", "mul", "fma", "mad", "div", "rcp", "sqrt", "rsqrt", "ex2", "lg2", "sin", "cos", "cvt", "set", "setp",
    "min", "max",
];

/// An instruction with its modifiers in the order in which the ISA writes them; None where they are.
fn sorted(instruction: &Instruction) -> Option<Instruction> {
    if !UNORDERED.contains(&instruction.name.as_str()) {
        return None;
    }
    let extreme = matches!(instruction.name.as_str(), "min" | "max");
    // of all others the order says something
    let rank = |word: &String| match word.as_str() {
        "ftz" => usize::from(!extreme),
        "sat" | "satfinite" | "relu" | "NaN" => 2,
        "xorsign" => 3,
        "abs" => 4,
        _ => 0,
    };
    let eights = |word: &str| word.starts_with("e4m3") || word.starts_with("e5m2");
    let is_type = |word: &String| Type::named(word).is_some() || eights(word) || word == "full";
    let end = instruction.modifiers.iter().position(is_type)?;
    if instruction.modifiers[..end].is_sorted_by_key(rank) {
        return None;
    }
    let mut sorted = instruction.clone();
    sorted.modifiers[..end].sort_by_key(rank);
    Some(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::names::Symbol;
    use crate::exec::registers::{LANES, Registers, Slot};
    use crate::parse::parse;
    use crate::parse::syntax::Statement;

    /// Names of a module for this target, with registers of all sizes, and an instruction.
    fn read(text: &str, target: u32) -> (Instruction, Names) {
        let module = parse(&format!(".version 8.1 .target sm_{target} .entry k() {{ {text} }}")).unwrap();
        let body = module.functions[0].body.clone().unwrap();
        let [Statement::Instruction(instruction)] = &body[..] else { panic!("{text}") };
        let mut names = Names::new(target, (8, 1));
        for (all, ty) in
            [("ph", Type::Pred), ("s", Type::B16), ("abcd", Type::B32), ("xy", Type::B64), ("f", Type::F32)]
        {
            for name in all.chars() {
                let slot = names.scratch(ty);
                names.declare(&format!("%{name}"), Symbol::Register(slot, ty)).unwrap();
            }
        }
        (instruction.clone(), names)
    }

    fn slot(names: &Names, name: &str) -> Slot {
        match names.find(name) {
            Ok(Symbol::Register(slot, _)) => *slot,
            other => panic!("{other:?}"),
        }
    }

    /// What is wrong with an instruction.
    fn fault(text: &str) -> Fault {
        let (instruction, mut names) = read(text, 90);
        decode(&instruction, &mut names).err().unwrap_or_else(|| panic!("{text} is an instruction"))
    }

    #[test]
    fn what_does_not_exist_is_unknown_by_its_whole_name() {
        for text in [
            "add.wide.u32 %a, %b, %c;",
            "add.rn.u32 %a, %b, %c;",
            "fma.f32 %f, %f, %f, %f;",
            "div.f32 %f, %f, %f;",
            "ex2.approx.ftz.f16x2 %a, %b;",
            "ex2.approx.bf16 %s, %s;",
            "cvt.rm.satfinite.f16.f32 %s, %f;",
            "cvt.rn.ftz.satfinite.f16.f32 %s, %f;",
            "div.ftz.full.f32 %f, %f, %f;",
            "add.ftz.f64 %x, %x, %y;",
            "add.rz.f16 %s, %s, %s;",
            "mul.u32 %a, %b, %c;",
            "mul.wide.u64 %x, %x, %y;",
            "setp.lo.s32 %p, %a, %b;",
            "setp.lt.b32 %p, %a, %b;",
            "cvt.u32.f32 %a, %f;",
            "cvt.rn.u32.u64 %a, %x;",
            "cvt.f16.f32 %s, %f;",
            "cvt.rna.f16.f32 %s, %f;",
            "ex2.f32 %f, %f;",
            "neg.u32 %a, %b;",
            "shl.u32 %a, %b, %c;",
            "prmt.b32.abc %a, %b, %c, %d;",
        ] {
            let name = text.split(' ').next().unwrap();
            assert_eq!(fault(text), Fault::Unknown(name.to_owned()));
        }
    }

    #[test]
    fn operands_must_be_as_many_and_of_the_size_that_the_type_says() {
        for text in [
            "add.u32 %a, %b;",
            "add.u32 %a, %b, %c, %d;",
            "add.u32 %x, %b, %c;",
            "add.u64 %x, %a, %y;",
            "add.f32 %f, %f, 1;",
            "add.s32 %f, %a, %b;",
            "lop3.b32 %a, %b, %c, %d, %a;",
            "lop3.b32 %a, %b, %c, %d, 256;",
            "selp.b32 %a, %b, %c, %d;",
            "mov.b64 {%a, %b, %c}, %x;",
            "mov.u32 %a, %x;",
            "cvt.u64.u32 %a, %b;",
            "mul.wide.u32 %a, %b, %c;",
        ] {
            assert!(matches!(fault(text), Fault::Arguments(_)), "{text}");
        }
    }

    #[test]
    fn what_the_isa_has_and_the_emulator_has_not_says_so_and_a_low_target_too() {
        for text in ["vadd.s32.s32.s32 %a, %b, %c;", "cvt.rn.satfinite.e2m1x2.f32 %s, %f, %f;", "add.f32x2 %x, %x, %y;"]
        {
            assert!(matches!(fault(text), Fault::Unsupported(_)), "{text}");
        }
        for (text, needs) in
            [("fma.rn.bf16 %s, %s, %s, %s;", 80), ("add.bf16 %s, %s, %s;", 90), ("max.f16 %s, %s, %s;", 80)]
        {
            let (instruction, mut names) = read(text, 75);
            let fault = decode(&instruction, &mut names).err();
            assert!(matches!(fault, Some(Fault::Target { needs: found, .. }) if found == needs), "{text}: {fault:?}");
        }
    }

    #[test]
    fn modifiers_of_fractions_stand_in_any_order() {
        for text in [
            "div.ftz.rn.f32 %f, %f, %f;",
            "add.sat.ftz.rn.f32 %f, %f, %f;",
            "ex2.ftz.approx.f32 %f, %f;",
            "cvt.sat.ftz.rn.f16.f32 %s, %f;",
            "cvt.rn.relu.satfinite.f16.f32 %s, %f;",
            "setp.ftz.lt.f32 %p, %f, %f;",
            "min.abs.xorsign.NaN.ftz.f32 %f, %f, %f;",
        ] {
            let (instruction, mut names) = read(text, 90);
            assert!(decode(&instruction, &mut names).unwrap().is_some(), "{text}");
        }
    }

    #[test]
    fn other_families_and_clocks_are_left_alone() {
        for text in ["ld.global.u32 %a, [%x];", "bra END;", "mov.u32 %a, %clock;", "mov.u64 %x, %clock64;"] {
            let (instruction, mut names) = read(text, 90);
            assert!(decode(&instruction, &mut names).unwrap().is_none(), "{text}");
        }
    }

    #[test]
    fn only_lanes_of_the_mask_are_written() {
        for (text, into) in [
            ("add.u32 %a, %a, 1;", "%a"),
            ("add.u64 %x, %x, 1;", "%x"),
            ("add.f32 %f, %f, 0f3F800000;", "%f"),
            ("bfi.b32 %a, %b, %c, 1, 2;", "%a"),
            ("setp.eq.u32 %p, %a, %a;", "%p"),
            ("not.pred %p, %p;", "%p"),
            ("ex2.approx.f32 %f, %f;", "%f"),
            ("mov.b32 %a, {%s, %s};", "%a"),
            ("cvt.u32.u8 %a, %x;", "%a"),
        ] {
            let (instruction, mut names) = read(text, 90);
            let lanes = decode(&instruction, &mut names).unwrap().unwrap();
            let into = slot(&names, into);
            let mut registers = Registers::new(names.sizes());
            for (slot, bits) in names.constants() {
                registers.write(slot, &[bits; LANES], !0);
            }
            let before = registers.clone();
            lanes(&mut registers, 0x8000_00F1);
            let changed = (0..LANES).filter(|lane| registers.lane(into, *lane) != before.lane(into, *lane));
            assert!(changed.into_iter().all(|lane| 0x8000_00F1_u32 >> lane & 1 == 1), "{text}");
            let mut all = before.clone();
            lanes(&mut all, !0);
            for lane in [0, 4, 7, 31] {
                assert_eq!(registers.lane(into, lane), all.lane(into, lane), "{text}");
            }
        }
    }
}
