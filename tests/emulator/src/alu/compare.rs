//! `setp` and `set`: comparisons of integers and fractions, ordered or not, combined with a predicate. Not here: `testp`, which compares nothing.

use std::marker::PhantomData;

use super::float::{Finish, Shape};
use super::logic::{GATES, Gate, condition};
use super::map::{Body, filled, lanes, read};
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

/// A predicate that a comparison is combined with, perhaps negated.
type Gated = (Gate, (Slot, bool));

/// What becomes of the lanes, of the low and of the high elements, that a comparison holds for.
#[derive(Clone, Copy)]
struct Outcome {
    gate: Option<Gated>,
    pair: bool,
    into: Into,
}

#[derive(Clone, Copy)]
enum Into {
    /// `setp`
    Predicates(Slot, Option<Slot>),
    /// `set`, and what true is.
    Values(Slot, u64),
}

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
    fn lanes(&self, reader: &Reader, ty: Type, from: [Slot; 2], outcome: Outcome) -> Result<Lanes, Fault> {
        let shape = Shape::of(ty);
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
        let (comparison, ftz) = (self.comparison, self.ftz);
        Ok(match ty {
            Type::B16 | Type::U16 => whole::<u16>(comparison, from, outcome),
            Type::S16 => whole::<i16>(comparison, from, outcome),
            Type::B32 | Type::U32 => whole::<u32>(comparison, from, outcome),
            Type::S32 => whole::<i32>(comparison, from, outcome),
            Type::B64 | Type::U64 => whole::<u64>(comparison, from, outcome),
            Type::S64 => whole::<i64>(comparison, from, outcome),
            Type::F32 if ftz => related(comparison, Plain::<f32, true>(from, PhantomData), outcome),
            Type::F32 => related(comparison, Plain::<f32, false>(from, PhantomData), outcome),
            Type::F64 => related(comparison, Plain::<f64, false>(from, PhantomData), outcome),
            _ => match shape {
                Some(shape) => {
                    let finish = Finish { ftz, ..Finish::NONE };
                    related(comparison, Small(from, shape, finish), outcome)
                }
                None => return Err(reader.unknown()),
            },
        })
    }
}

/// From where operands come, as numbers that can be compared.
trait Source<const N: usize>: Send + Sync + 'static {
    type Of: Copy + PartialOrd;

    fn read(&self, registers: &Registers) -> [[Self::Of; N]; 2];

    fn swapped(self) -> Self;
}

/// Registers as they are; with `FTZ`, f32 without subnormals.
struct Plain<T, const FTZ: bool>([Slot; 2], PhantomData<fn() -> T>);

impl<T: Lane + PartialOrd + 'static> Source<LANES> for Plain<T, false> {
    type Of = T;

    #[inline(always)]
    fn read(&self, registers: &Registers) -> [[T; LANES]; 2] {
        [read(registers, self.0[0]), read(registers, self.0[1])]
    }

    fn swapped(self) -> Self {
        let Self([a, b], ty) = self;
        Self([b, a], ty)
    }
}

impl Source<LANES> for Plain<f32, true> {
    type Of = f32;

    #[inline(always)]
    fn read(&self, registers: &Registers) -> [[f32; LANES]; 2] {
        [read(registers, self.0[0]).map(flush::<true>), read(registers, self.0[1]).map(flush::<true>)]
    }

    fn swapped(self) -> Self {
        let Self([a, b], ty) = self;
        Self([b, a], ty)
    }
}

/// 16-bit fractions, as f32.
struct Small([Slot; 2], Shape, Finish);

impl Source<{ 2 * LANES }> for Small {
    type Of = f32;

    #[inline(always)]
    fn read(&self, registers: &Registers) -> [[f32; 2 * LANES]; 2] {
        let Self(from, Shape { format, pair }, finish) = self;
        from.map(|slot| {
            let bits = read_halves(registers, slot, *pair);
            let bits = bits.map(|bits| finish.operand(*format, u64::from(bits)) as u16);
            if *format == F16 { f16_to_f32(&bits) } else { bits.map(|bits| f32::from_bits(u32::from(bits) << 16)) }
        })
    }

    fn swapped(self) -> Self {
        let Self([a, b], shape, finish) = self;
        Self([b, a], shape, finish)
    }
}

/// Every relation by a few: the others are those with the operands changed, or the opposite of one.
fn related<const N: usize, S: Source<N>>((relation, opposite): Comparison, source: S, outcome: Outcome) -> Lanes {
    let swap = matches!(relation, Relation::Greater | Relation::GreaterOrEqual);
    let source = if swap { source.swapped() } else { source };
    match relation {
        Relation::Equal => asked(opposite, source, outcome, |a, b| a == b),
        // a NaN is not less and not greater: it is unordered, and so not unequal
        Relation::Unequal => asked(opposite, source, outcome, |a, b| (a < b) | (a > b)),
        Relation::Less | Relation::Greater => asked(opposite, source, outcome, |a, b| a < b),
        Relation::LessOrEqual | Relation::GreaterOrEqual => asked(opposite, source, outcome, |a, b| a <= b),
        Relation::Numbers => asked(opposite, source, outcome, |a, b| (a <= b) | (a > b)),
    }
}

/// The same with integers, of which one is less, equal or greater.
fn whole<T: Lane + Ord + 'static>((relation, _): Comparison, from: [Slot; 2], outcome: Outcome) -> Lanes {
    let forward = Plain::<T, false>(from, PhantomData);
    match relation {
        Relation::Equal => asked(false, forward, outcome, |a, b| a == b),
        Relation::Unequal => asked(true, forward, outcome, |a, b| a == b),
        Relation::Less => asked(false, forward, outcome, |a, b| a < b),
        Relation::GreaterOrEqual => asked(true, forward, outcome, |a, b| a < b),
        Relation::Greater => asked(false, forward.swapped(), outcome, |a, b| a < b),
        Relation::LessOrEqual | Relation::Numbers => asked(true, forward.swapped(), outcome, |a, b| a < b),
    }
}

/// A comparison of `N` elements, all of it.
struct Ask<const N: usize, S, F> {
    flip: Mask,
    source: S,
    outcome: Outcome,
    f: F,
}

fn asked<const N: usize, S: Source<N>>(
    opposite: bool,
    source: S,
    outcome: Outcome,
    f: impl Fn(S::Of, S::Of) -> bool + Send + Sync + 'static,
) -> Lanes {
    let flip = if opposite { Mask::MAX } else { 0 };
    lanes(Ask::<N, S, _> { flip, source, outcome, f })
}

impl<const N: usize, S, F> Body for Ask<N, S, F>
where
    S: Source<N>,
    F: Fn(S::Of, S::Of) -> bool + Send + Sync + 'static,
{
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let [a, b] = self.source.read(registers);
        let mut results = [self.flip; 2];
        for (half, bits) in results.iter_mut().enumerate().take(N / LANES) {
            // each lane's own bit or none, so that all of them are one vector
            let held: [Mask; LANES] = filled(|lane| {
                let at = half * LANES + lane;
                if (self.f)(a[at], b[at]) { 1 << lane } else { 0 }
            });
            *bits ^= held.into_iter().fold(0, |bits, held| bits | held);
        }
        self.outcome.give(registers, results, mask);
    }
}

impl Outcome {
    #[inline(never)]
    fn give(&self, registers: &mut Registers, [low, high]: [Mask; 2], mask: Mask) {
        let by = self.gate.map(|(gate, by)| (gate, condition(registers, by)));
        let gated = |bits: Mask| by.map_or(bits, |(gate, by)| gate.of(bits, by));
        match self.into {
            Into::Predicates(first, second) => {
                registers.write_predicate(first, gated(low), mask);
                if let Some(second) = second {
                    registers.write_predicate(second, gated(if self.pair { high } else { !low }), mask);
                }
            }
            Into::Values(into, yes) => {
                let [low, high] = [gated(low), gated(high)];
                let choose = |bits: Mask, lane: usize| if bits >> lane & 1 == 1 { yes } else { 0 };
                let values: [u64; LANES] = std::array::from_fn(|lane| match self.pair {
                    true => choose(low, lane) & 0xFFFF | (choose(high, lane) & 0xFFFF) << 16,
                    false => choose(low, lane),
                });
                registers.write(into, &values, mask);
            }
        }
    }
}

/// The predicate that a comparison is combined with.
fn gate(reader: &mut Reader, question: &Question) -> Result<Option<Gated>, Fault> {
    question.gate.map(|gate| Ok((gate, reader.predicate(3)?))).transpose()
}

/// `setp p|q, a, b, c`: q is the opposite comparison combined with c; of pairs, p is the low comparison and q the high one.
pub(super) fn predicates(reader: &mut Reader) -> Result<Lanes, Fault> {
    let question = question(reader)?;
    let ty = reader.ty()?;
    reader.end(if question.gate.is_some() { 4 } else { 3 })?;
    let from = reader.sources(ty)?;
    let gate = gate(reader, &question)?;
    let pair = matches!(ty, Type::F16x2 | Type::Bf16x2);
    let into = match reader.operand(0)? {
        Operand::Both(..) => {
            let (first, second) = reader.pair(Type::Pred)?;
            Into::Predicates(first, Some(second))
        }
        _ => Into::Predicates(reader.into(Type::Pred)?, None),
    };
    question.lanes(reader, ty, from, Outcome { gate, pair, into })
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
        Type::F16 => !pair && ty != Type::Bf16,
        Type::Bf16 => !pair,
        _ => to == ty && Shape::of(to).is_some_and(|shape| shape.format != F64),
    };
    if !right || to == Type::F32 && Shape::of(ty).is_some_and(|shape| !matches!(shape.format, F32 | F64)) {
        return Err(reader.unknown());
    }
    reader.end(if question.gate.is_some() { 4 } else { 3 })?;
    let (into, from) = (reader.into(to)?, reader.sources(ty)?);
    let gate = gate(reader, &question)?;
    question.lanes(reader, ty, from, Outcome { gate, pair, into: Into::Values(into, yes) })
}
