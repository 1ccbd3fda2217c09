//! Arithmetic of fractions: `add`, `sub`, `mul`, `fma`, `div`, `rcp`, `sqrt`, correctly rounded, in every format and rounding. Not here: the
//! fast twins of what rounds to nearest (`native`), and what only approximates (`approximate`).

use super::map::{halves, slow};
use super::native;
use super::reader::Reader;
use super::soft::{self, BF16, F16, F32, F64, Finite, Format, Number, Rounding};
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::Slot;

/// What the numbers of a register are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) format: Format,
    /// Two of them, 16 bits each.
    pub(super) pair: bool,
}

impl Shape {
    pub(super) fn of(ty: Type) -> Option<Self> {
        let (format, pair) = match ty {
            Type::F16 => (F16, false),
            Type::F16x2 => (F16, true),
            Type::Bf16 => (BF16, false),
            Type::Bf16x2 => (BF16, true),
            Type::F32 => (F32, false),
            Type::F64 => (F64, false),
            _ => return None,
        };
        Some(Self { format, pair })
    }

    /// A function of numbers on all that a register holds.
    pub(super) fn each<const N: usize>(
        self,
        into: Slot,
        from: [Slot; N],
        f: impl Fn([u64; N]) -> u64 + Send + Sync + 'static,
    ) -> Lanes {
        if self.pair {
            return slow(into, from, move |words| halves(words, &f));
        }
        let ones = self.format.sign() | (self.format.sign() - 1);
        slow(into, from, move |bits| f(bits.map(|bits| bits & ones)))
    }
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Fused,
    Divide,
    Reciprocal,
    Root,
}

/// What happens to operands and results beside the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finish {
    /// Subnormals are zeros, as operands and as results.
    pub(super) ftz: bool,
    /// Results are between 0 and 1; a NaN is 0.
    pub(super) sat: bool,
    /// Negative results are 0.
    pub(super) relu: bool,
}

impl Finish {
    pub(super) const NONE: Self = Self { ftz: false, sat: false, relu: false };

    /// What `ftz` makes of an operand.
    #[inline(always)]
    pub(super) fn operand(self, format: Format, bits: u64) -> u64 {
        if self.ftz { format.flush(bits) } else { bits }
    }

    /// What becomes of a result.
    #[inline(always)]
    pub(super) fn result(self, format: Format, bits: u64) -> u64 {
        let bits = if self.ftz { format.flush(bits) } else { bits };
        let negative = bits & format.sign() != 0;
        match format.is_nan(bits) {
            true if self.sat => 0,
            true => bits,
            false if negative && (self.sat || self.relu) => 0,
            false if self.sat => bits.min(format.one()),
            false => bits,
        }
    }
}

/// An operation with all that modifies it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arithmetic {
    pub(super) operation: Operation,
    pub(super) rounding: Rounding,
    pub(super) finish: Finish,
}

pub(super) fn decode(reader: &mut Reader) -> Result<Lanes, Fault> {
    let operation = match reader.name() {
        "add" => Operation::Add,
        "sub" => Operation::Subtract,
        "mul" => Operation::Multiply,
        "fma" | "mad" => Operation::Fused,
        "div" => Operation::Divide,
        "rcp" => Operation::Reciprocal,
        "sqrt" => Operation::Root,
        _ => return Err(reader.unknown()),
    };
    let rounding = reader.rounding();
    let finish = Finish { ftz: reader.take("ftz"), sat: reader.take("sat"), relu: reader.take("relu") };
    let ty = reader.ty()?;
    let shape = Shape::of(ty).ok_or_else(|| reader.unknown())?;
    allowed(reader, operation, rounding, finish, shape)?;
    let arithmetic = Arithmetic { operation, rounding: rounding.unwrap_or(Rounding::Nearest), finish };
    let count = match operation {
        Operation::Fused => 3,
        Operation::Reciprocal | Operation::Root => 1,
        _ => 2,
    };
    reader.end(1 + count)?;
    let into = reader.into(ty)?;
    let a = reader.source(1, ty)?;
    let b = if count > 1 { reader.source(2, ty)? } else { a };
    let c = if count > 2 { reader.source(3, ty)? } else { b };
    let from = [a, b, c];
    if let Some(fast) = native::decode(arithmetic, shape, into, from) {
        return Ok(fast);
    }
    Ok(shape.each(into, from, move |operands| arithmetic.of(shape.format, operands)))
}

/// Which modifiers go with which type.
fn allowed(
    reader: &Reader,
    operation: Operation,
    rounding: Option<Rounding>,
    finish: Finish,
    shape: Shape,
) -> Result<(), Fault> {
    let Finish { ftz, sat, relu } = finish;
    let simple = matches!(operation, Operation::Add | Operation::Subtract | Operation::Multiply);
    let fused = operation == Operation::Fused && reader.name() == "fma";
    let rounded = rounding.is_some() || simple;
    let small = matches!(shape.format, F16 | BF16);
    let right = match shape.format {
        F32 => rounded && !relu && (!sat || simple || operation == Operation::Fused),
        F64 => rounded && !ftz && !sat && !relu,
        F16 => !(relu && (sat || !fused)),
        _ => !ftz && !sat && (!relu || fused),
    };
    let nearest = matches!(rounding, None | Some(Rounding::Nearest));
    if !right || small && !(rounded && nearest && (simple || fused)) {
        return Err(reader.unknown());
    }
    match (shape.format, simple) {
        (BF16, true) => reader.needs(90, (7, 8)),
        (BF16, false) => reader.needs(80, (7, 0)),
        _ if relu => reader.needs(80, (7, 0)),
        _ => Ok(()),
    }
}

impl Arithmetic {
    /// The bits of the result.
    pub(super) fn of(self, format: Format, operands: [u64; 3]) -> u64 {
        let [a, b, c] = operands.map(|bits| self.finish.operand(format, bits));
        let number = |bits| soft::unpack(format, bits);
        let one = number(format.one());
        let exact = match self.operation {
            Operation::Add => soft::fma(number(a), one, number(b), self.rounding),
            Operation::Subtract if format.is_nan(b) => Number::Nan,
            Operation::Subtract => soft::fma(number(a), one, number(b ^ format.sign()), self.rounding),
            // a zero of the product's sign changes nothing
            Operation::Multiply => soft::fma(number(a), number(b), number((a ^ b) & format.sign()), self.rounding),
            Operation::Fused => soft::fma(number(a), number(b), number(c), self.rounding),
            Operation::Divide => soft::quotient(number(a), number(b)),
            Operation::Reciprocal => soft::quotient(one, number(a)),
            Operation::Root => soft::root(number(a)),
        };
        if format == F64 && exact == Number::Nan {
            return nan(self.operation, operands);
        }
        let bits = soft::pack(format, self.rounding, exact);
        // what rounding makes normal only for want of exponents is flushed too
        let tiny = |number: Finite| number.is_tiny(format, self.rounding);
        let flushed = self.finish.ftz && matches!(exact, Number::Finite(number) if tiny(number));
        self.finish.result(format, if flushed { bits & format.sign() } else { bits })
    }

    /// Whether a rounded result may be one that had to be flushed before.
    #[inline(always)]
    pub(super) fn is_doubtful(self, format: Format, bits: u64) -> bool {
        self.finish.ftz && format.magnitude(bits) == format.least()
    }
}

/// The NaN of a result in f64, which keeps an operand's payload where smaller formats do not: of many the one that the
/// card prefers (recorded). A division is a program there, not an instruction.
pub(super) fn nan(operation: Operation, [a, b, c]: [u64; 3]) -> u64 {
    let order = match operation {
        Operation::Fused => [b, c, a],
        Operation::Divide => [a, b, b],
        Operation::Reciprocal | Operation::Root => [a, a, a],
        _ => [b, a, a],
    };
    let found = order.into_iter().find(|bits| F64.is_nan(*bits));
    found.map_or(F64.nan, quiet)
}

/// A NaN of f64 as a result.
pub(super) fn quiet(bits: u64) -> u64 {
    bits | 1 << 51
}
