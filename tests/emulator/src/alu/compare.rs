//! `setp` and `set`: comparisons of integers and fractions, ordered or not, combined with a predicate. Not here: `testp`, which compares nothing.

use super::float::{Finish, Shape};
use super::logic::{GATES, Gate, condition};
use super::map::{read, write};
use super::native::{f16_to_f32, flush, read_halves};
use super::reader::Reader;
use super::soft::{BF16, F16, F32, F64};
use crate::decode::Fault;
use crate::decode::types::{Kind, Type};
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Lane, Mask, Registers, Slot};
use crate::parse::syntax::Operand;

/// What is asked of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Both are numbers, or not.
    Numbers,
}

/// A relation, and whether it is its opposite that is asked: that of unordered comparisons, which hold of NaN.
type Comparison = (Relation, bool);

const COMPARISONS: &[(&str, Comparison)] = &[
    ("eq", (Relation::Equal, false)),
    ("ne", (Relation::Unequal, false)),
    ("lt", (Relation::Less, false)),
    ("le", (Relation::LessOrEqual, false)),
    ("gt", (Relation::Greater, false)),
    ("ge", (Relation::GreaterOrEqual, false)),
];

/// Of unsigned integers by another name.
const UNSIGNED: &[(&str, Comparison)] = &[
    ("lo", (Relation::Less, false)),
    ("ls", (Relation::LessOrEqual, false)),
    ("hi", (Relation::Greater, false)),
    ("hs", (Relation::GreaterOrEqual, false)),
];

/// Of fractions: not less is greater, equal or unordered.
const UNORDERED: &[(&str, Comparison)] = &[
    ("equ", (Relation::Unequal, true)),
    ("neu", (Relation::Equal, true)),
    ("ltu", (Relation::GreaterOrEqual, true)),
    ("leu", (Relation::Greater, true)),
    ("gtu", (Relation::LessOrEqual, true)),
    ("geu", (Relation::Less, true)),
    ("num", (Relation::Numbers, false)),
    ("nan", (Relation::Numbers, true)),
];

/// Which lanes, of the low and of the high elements, a comparison holds for.
type Test = Box<dyn Fn(&Registers) -> [Mask; 2] + Send + Sync>;

/// What stands between the name and the types.
struct Question {
    comparison: Comparison,
    /// Only for integers without a sign, or only for fractions.
    unsigned: bool,
    fraction: bool,
    gate: Option<Gate>,
    ftz: bool,
}

fn question(reader: &mut Reader) -> Result<Question, Fault> {
    let common = reader.choose(COMPARISONS);
    let unsigned = reader.choose(UNSIGNED);
    let fraction = reader.choose(UNORDERED);
    let comparison = common.or(unsigned).or(fraction).ok_or_else(|| reader.unknown())?;
    let gate = reader.choose(GATES);
    let ftz = reader.take("ftz");
    Ok(Question { comparison, unsigned: unsigned.is_some(), fraction: fraction.is_some(), gate, ftz })
}

impl Question {
    /// The comparison of two registers of a type.
    fn test(&self, reader: &Reader, ty: Type, from: [Slot; 2]) -> Result<Test, Fault> {
        let shape = Shape::of(ty);
        let small = shape.is_some_and(|shape| matches!(shape.format, F16 | BF16));
        let equality = matches!(self.comparison.0, Relation::Equal | Relation::Unequal);
        let wrong = self.unsigned && ty.kind() != Kind::Unsigned
            || self.fraction && shape.is_none()
            || self.ftz && !shape.is_some_and(|shape| matches!(shape.format, F16 | F32))
            || ty.kind() == Kind::Bits && shape.is_none() && !equality;
        if wrong {
            return Err(reader.unknown());
        }
        if shape.is_some_and(|shape| shape.format == BF16) {
            reader.needs(90, (7, 8))?;
        }
        if let Some(shape) = shape.filter(|_| small) {
            return Ok(self.small(shape, from));
        }
        let (comparison, ftz) = (self.comparison, self.ftz);
        Ok(match ty {
            Type::B16 | Type::U16 => ordered::<u16>(comparison, from),
            Type::S16 => ordered::<i16>(comparison, from),
            Type::B32 | Type::U32 => ordered::<u32>(comparison, from),
            Type::S32 => ordered::<i32>(comparison, from),
            Type::B64 | Type::U64 => ordered::<u64>(comparison, from),
            Type::S64 => ordered::<i64>(comparison, from),
            Type::F32 if ftz => {
                related(comparison, move |registers| from.map(|slot| read(registers, slot).map(flush::<true>)))
            }
            Type::F32 => ordered::<f32>(comparison, from),
            Type::F64 => ordered::<f64>(comparison, from),
            _ => return Err(reader.unknown()),
        })
    }

    /// The comparison of 16-bit fractions, as f32.
    fn small(&self, Shape { format, pair }: Shape, from: [Slot; 2]) -> Test {
        let finish = Finish { ftz: self.ftz, ..Finish::NONE };
        related(self.comparison, move |registers| {
            from.map(|slot| {
                let bits =
                    read_halves(registers, slot, pair).map(|bits| finish.operand(format, u64::from(bits)) as u16);
                if format == F16 { f16_to_f32(&bits) } else { bits.map(|bits| f32::from_bits(u32::from(bits) << 16)) }
            })
        })
    }
}

fn ordered<T: Lane + PartialOrd + Send + Sync + 'static>(comparison: Comparison, from: [Slot; 2]) -> Test {
    related(comparison, move |registers| from.map(|slot| read::<T>(registers, slot)))
}

fn related<T: Copy + PartialOrd + 'static, const N: usize>(
    (relation, opposite): Comparison,
    read: impl Fn(&Registers) -> [[T; N]; 2] + Send + Sync + 'static,
) -> Test {
    // a NaN is not equal to itself
    #[expect(clippy::eq_op, reason = "a NaN is not equal to itself")]
    let number = |value: T| value == value;
    match relation {
        Relation::Equal => asked(opposite, read, |a, b| a == b),
        Relation::Unequal => asked(opposite, read, move |a, b| (a < b) | (a > b)),
        Relation::Less => asked(opposite, read, |a, b| a < b),
        Relation::LessOrEqual => asked(opposite, read, |a, b| a <= b),
        Relation::Greater => asked(opposite, read, |a, b| a > b),
        Relation::GreaterOrEqual => asked(opposite, read, |a, b| a >= b),
        Relation::Numbers => asked(opposite, read, move |a, b| number(a) & number(b)),
    }
}

fn asked<T: Copy + 'static, const N: usize>(
    opposite: bool,
    read: impl Fn(&Registers) -> [[T; N]; 2] + Send + Sync + 'static,
    f: impl Fn(T, T) -> bool + Send + Sync + 'static,
) -> Test {
    let flip = if opposite { Mask::MAX } else { 0 };
    Box::new(move |registers| {
        let [a, b] = read(registers);
        let held: [bool; N] = std::array::from_fn(|at| f(a[at], b[at]));
        let mut bits = [flip; 2];
        for (bits, held) in bits.iter_mut().zip(held.chunks(LANES)) {
            *bits ^= held.iter().enumerate().fold(0, |bits, (lane, held)| bits | Mask::from(*held) << lane);
        }
        bits
    })
}

/// `setp p|q, a, b, c`: q is the opposite comparison combined with c; of pairs, p is the low comparison and q the high one.
pub(super) fn predicates(reader: &mut Reader) -> Result<Lanes, Fault> {
    let question = question(reader)?;
    let ty = reader.ty()?;
    reader.end(if question.gate.is_some() { 4 } else { 3 })?;
    let from = reader.sources(ty)?;
    let test = question.test(reader, ty, from)?;
    let gate = match question.gate {
        Some(gate) => Some((gate, reader.predicate(3)?)),
        None => None,
    };
    let pair = matches!(ty, Type::F16x2 | Type::Bf16x2);
    let (first, second) = match reader.operand(0)? {
        Operand::Both(..) => {
            let (first, second) = reader.pair(Type::Pred)?;
            (first, Some(second))
        }
        _ => (reader.into(Type::Pred)?, None),
    };
    Ok(Box::new(move |registers, mask| {
        let [low, high] = test(registers);
        let mut results = [low, if pair { high } else { !low }];
        if let Some((gate, by)) = gate {
            let by = condition(registers, by);
            results = results.map(|bits| gate.of(bits, by));
        }
        registers.write_predicate(first, results[0], mask);
        if let Some(second) = second {
            registers.write_predicate(second, results[1], mask);
        }
    }))
}

/// `set d, a, b, c`: all ones or 0, or one or 0 in a fraction.
pub(super) fn values(reader: &mut Reader) -> Result<Lanes, Fault> {
    let question = question(reader)?;
    let (to, ty) = (reader.ty()?, reader.ty()?);
    let pair = matches!(ty, Type::F16x2 | Type::Bf16x2);
    let yes = match to {
        Type::U32 | Type::S32 => u64::from(u32::MAX),
        Type::U16 | Type::S16 => 0xFFFF,
        _ => Shape::of(to).map(|shape| shape.format.one()).ok_or_else(|| reader.unknown())?,
    };
    let small = matches!(ty, Type::F16 | Type::Bf16);
    let right = match to {
        Type::U32 | Type::S32 => true,
        Type::F32 => !pair && !small,
        Type::U16 | Type::S16 => small,
        _ => to == ty && Shape::of(to).is_some_and(|shape| shape.format != F64),
    };
    if !right || to == Type::F32 && Shape::of(ty).is_some_and(|shape| !matches!(shape.format, F32 | F64)) {
        return Err(reader.unknown());
    }
    reader.end(if question.gate.is_some() { 4 } else { 3 })?;
    let (into, from) = (reader.into(to)?, reader.sources(ty)?);
    let test = question.test(reader, ty, from)?;
    let gate = match question.gate {
        Some(gate) => Some((gate, reader.predicate(3)?)),
        None => None,
    };
    Ok(Box::new(move |registers, mask| {
        let mut results = test(registers);
        if let Some((gate, by)) = gate {
            let by = condition(registers, by);
            results = results.map(|bits| gate.of(bits, by));
        }
        let [low, high] = results;
        let choose = |bits: Mask, lane: usize| if bits >> lane & 1 == 1 { yes } else { 0 };
        let values: [u64; LANES] = std::array::from_fn(|lane| match pair {
            true => choose(low, lane) & 0xFFFF | (choose(high, lane) & 0xFFFF) << 16,
            false => choose(low, lane),
        });
        write(registers, into, &values, mask);
    }))
}
