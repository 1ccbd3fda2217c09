//! Constant expressions, computed while they are read: 64-bit integers with C's operators and precedence (PTX ISA, "Constant
//! Expressions"). Not here: fractions, which stand alone.

use super::lexer::Kind;
use super::syntax::Number;
use super::{Error, Fault, Parser};

/// Operators by precedence, the weakest first.
const LEVELS: &[&[&str]] = &[
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

/// An integer, of which it is known whether it is unsigned.
#[derive(Clone, Copy)]
struct Value {
    bits: u64,
    unsigned: bool,
}

impl Parser {
    /// A number: an integer expression, or a fraction with its sign.
    pub(super) fn number(&mut self) -> Result<Number, Error> {
        let signs = usize::from(self.at_sign("-"));
        if let Some(Kind::Number(number @ (Number::Single(_) | Number::Double(_)))) = self.peek(signs) {
            let number = match *number {
                Number::Single(bits) if signs == 1 => Number::Single(bits ^ (1 << 31)),
                Number::Double(bits) if signs == 1 => Number::Double(bits ^ (1 << 63)),
                other => other,
            };
            (0..=signs).for_each(|_| self.skip());
            return Ok(number);
        }
        let Value { bits, unsigned } = self.choice()?;
        Ok(if unsigned { Number::Unsigned(bits) } else { Number::Int(bits.cast_signed()) })
    }

    /// An integer that must not be negative.
    pub(super) fn count(&mut self) -> Result<u64, Error> {
        let line = self.line();
        match self.number()? {
            Number::Unsigned(value) => Ok(value),
            Number::Int(value) if value >= 0 => Ok(value.cast_unsigned()),
            other => Err(Error { line, fault: Fault::Unexpected(format!("{other:?} for a count")) }),
        }
    }

    /// Bytes that are added to an address.
    pub(super) fn offset(&mut self) -> Result<i64, Error> {
        let line = self.line();
        match self.number()? {
            Number::Int(value) => Ok(value),
            Number::Unsigned(value) => Ok(value.cast_signed()),
            other => Err(Error { line, fault: Fault::Unexpected(format!("{other:?} for an offset")) }),
        }
    }

    /// `a ? b : c`
    fn choice(&mut self) -> Result<Value, Error> {
        let condition = self.nested(|parser| parser.binary(0))?;
        if !self.take_sign("?") {
            return Ok(condition);
        }
        let [then, otherwise] = [self.choice()?, {
            self.sign(":")?;
            self.choice()?
        }];
        Ok(if condition.bits == 0 { otherwise } else { then })
    }

    fn binary(&mut self, level: usize) -> Result<Value, Error> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = operators.iter().find(|operator| self.at_sign(operator)) {
            let line = self.line();
            self.skip();
            let right = self.binary(level + 1)?;
            left = apply(operator, left, right)
                .ok_or(Error { line, fault: Fault::Unexpected("a division by zero".into()) })?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Value, Error> {
        for sign in ["-", "+", "~", "!"] {
            if self.take_sign(sign) {
                let Value { bits, unsigned } = self.nested(Self::unary)?;
                return Ok(match sign {
                    "-" => Value { bits: bits.wrapping_neg(), unsigned },
                    "~" => Value { bits: !bits, unsigned },
                    "!" => Value { bits: u64::from(bits == 0), unsigned: false },
                    _ => Value { bits, unsigned },
                });
            }
        }
        if self.take_sign("(") {
            // a cast, `(.s64)` or `(.u64)`
            for (name, unsigned) in [("s64", false), ("u64", true)] {
                if self.take_dot(name) {
                    self.sign(")")?;
                    return Ok(Value { unsigned, ..self.nested(Self::unary)? });
                }
            }
            let value = self.choice()?;
            self.sign(")")?;
            return Ok(value);
        }
        match self.peek(0).cloned() {
            Some(Kind::Number(Number::Int(value))) => {
                self.skip();
                Ok(Value { bits: value.cast_unsigned(), unsigned: false })
            }
            Some(Kind::Number(Number::Unsigned(bits))) => {
                self.skip();
                Ok(Value { bits, unsigned: true })
            }
            Some(Kind::Word(name)) if name == "WARP_SZ" => {
                self.skip();
                Ok(Value { bits: 32, unsigned: false })
            }
            _ => Err(self.unexpected("a number")),
        }
    }
}

/// None for a division by zero. Operands of which one is unsigned are taken as unsigned, as in C.
fn apply(operator: &str, left: Value, right: Value) -> Option<Value> {
    let unsigned = left.unsigned || right.unsigned;
    let (a, b) = (left.bits, right.bits);
    let (c, d) = (a.cast_signed(), b.cast_signed());
    let truth = |truth: bool| Some(Value { bits: u64::from(truth), unsigned: false });
    let bits = match operator {
        "||" => return truth(a != 0 || b != 0),
        "&&" => return truth(a != 0 && b != 0),
        "==" => return truth(a == b),
        "!=" => return truth(a != b),
        "<=" => return truth(if unsigned { a <= b } else { c <= d }),
        ">=" => return truth(if unsigned { a >= b } else { c >= d }),
        "<" => return truth(if unsigned { a < b } else { c < d }),
        ">" => return truth(if unsigned { a > b } else { c > d }),
        "|" => a | b,
        "^" => a ^ b,
        "&" => a & b,
        // a shift has the type of what is shifted
        "<<" => {
            return Some(Value { bits: a.checked_shl(u32::try_from(b).ok()?).unwrap_or(0), unsigned: left.unsigned });
        }
        ">>" => {
            let by = u32::try_from(b).ok()?.min(63);
            let bits = if left.unsigned { a >> by } else { (c >> by).cast_unsigned() };
            return Some(Value { bits, unsigned: left.unsigned });
        }
        "+" => a.wrapping_add(b),
        "-" => a.wrapping_sub(b),
        "*" => a.wrapping_mul(b),
        _ if b == 0 => return None,
        "/" if unsigned => a / b,
        "/" => c.wrapping_div(d).cast_unsigned(),
        _ if unsigned => a % b,
        _ => c.wrapping_rem(d).cast_unsigned(),
    };
    Some(Value { bits, unsigned })
}
