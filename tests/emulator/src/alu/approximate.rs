//! Instructions that the ISA defines only up to an error: `ex2` to `tanh`, and `.approx` and `.full` of division and roots. The model is the
//! right value, rounded once, with the special values that a card gives; under noise it is anywhere within the error that the ISA allows, so that
//! a kernel that needs more than the promise shows. Not here: what any one card gives in the last bits.

use super::float::{Finish, Shape, quiet};
use super::reader::Reader;
use super::soft::{self, BF16, F16, F32, F64, Format, Rounding};
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Slot};

/// The error that a result may have, by its operand and the right result.
type Bound = fn(f64, f64) -> f64;

/// What is computed, of one or two operands, and how exactly.
#[derive(Clone, Copy)]
struct Function {
    of: fn(f64, f64) -> f64,
    bound: Bound,
}

/// Where every card is exact, and libraries count on it: NVIDIA's own take `ex2` of whole numbers for powers of two.
fn is_exact(name: &str, x: f64) -> bool {
    match name {
        "ex2" => x.fract() == 0.0,
        "tanh" => x.is_infinite() || x.abs() < f64::from(f32::MIN_POSITIVE),
        "cos" => x == 0.0,
        _ => false,
    }
}

/// Relative errors of the ISA.
fn relative(bits: f64, exact: f64) -> f64 {
    exact.abs() * (-bits).exp2()
}

/// So many units in the last place of f32, subnormal ones included.
fn ulps(count: f64, exact: f64) -> f64 {
    let exponent = (exact.abs().log2().floor()).max(-126.0);
    count * (exponent - 23.0).exp2()
}

fn base2(x: f64, _: f64) -> f64 {
    x.exp2()
}

/// Each with its error in f32, as the ISA's descriptions of the instructions give it.
const SINGLE: &[(&str, Function)] = &[
    ("ex2", Function { of: base2, bound: |_, exact| ulps(2.0, exact) }),
    ("lg2", Function { of: |x, _| x.log2(), bound: logarithm_error }),
    ("sin", Function { of: |x, _| x.sin(), bound: circle_error }),
    ("cos", Function { of: |x, _| x.cos(), bound: circle_error }),
    ("tanh", Function { of: |x, _| x.tanh(), bound: |_, exact| relative(11.0, exact) }),
    ("rcp", Function { of: |x, _| 1.0 / x, bound: |_, exact| ulps(1.0, exact) }),
    ("sqrt", Function { of: |x, _| x.sqrt(), bound: |_, exact| relative(23.0, exact) }),
    ("rsqrt", Function { of: |x, _| 1.0 / x.sqrt(), bound: |_, exact| relative(22.9, exact) }),
    ("div", Function { of: |x, y| x / y, bound: |_, exact| ulps(2.0, exact) }),
];

/// Relative but near one, where it is absolute.
fn logarithm_error(x: f64, exact: f64) -> f64 {
    if (0.5..2.0).contains(&x) { (-22.0_f64).exp2() } else { relative(22.0, exact) }
}

/// Absolute, and larger outside of two turns; nothing is promised beyond a hundred half turns.
fn circle_error(x: f64, _: f64) -> f64 {
    let turn = 2.0 * std::f64::consts::PI;
    if x.abs() <= turn { (-20.5_f64).exp2() } else { (-14.7_f64).exp2() }
}

pub(super) fn decode(reader: &mut Reader) -> Result<Lanes, Fault> {
    let name = reader.name();
    let full = name == "div" && reader.take("full");
    if !full && !reader.take("approx") {
        return Err(reader.unknown());
    }
    let ftz = reader.take("ftz");
    let ty = reader.ty()?;
    let shape = Shape::of(ty).ok_or_else(|| reader.unknown())?;
    let (_, function) = SINGLE.iter().find(|(own, _)| *own == name).ok_or_else(|| reader.unknown())?;
    let count = if name == "div" { 2 } else { 1 };
    let function = match shape.format {
        F32 => *function,
        F64 => return double(reader, ty, ftz),
        format => Function { bound: half_error(reader, format, ftz)?, ..*function },
    };
    match (shape.format, name) {
        (BF16, _) => reader.needs(90, (7, 8))?,
        (_, "tanh") | (F16, _) => reader.needs(75, (7, 0))?,
        _ => {}
    }
    if name == "tanh" && ftz {
        return Err(reader.unknown());
    }
    reader.end(1 + count)?;
    let into = reader.into(ty)?;
    let a = reader.source(1, ty)?;
    let b = if count == 2 { reader.source(2, ty)? } else { a };
    let model = Model {
        name: SINGLE.iter().find(|(own, _)| *own == name).map_or("", |(own, _)| own),
        operation: operation(&format!("{name}.{full}.{ftz}.{ty:?}")),
        function,
        format: shape.format,
        finish: Finish { ftz, ..Finish::NONE },
        far: name == "div" && !full,
    };
    Ok(noisy(into, [a, b], shape, model))
}

/// Of f16 and bf16 there are `tanh` and `ex2`, of which bf16 has the latter with `.ftz` only, and f16 without.
fn half_error(reader: &Reader, format: Format, ftz: bool) -> Result<Bound, Fault> {
    match (reader.name(), format, ftz) {
        ("tanh", F16, false) => Ok(|_, _| (-10.987_f64).exp2()),
        ("tanh", _, false) => Ok(|_, _| (-8.0_f64).exp2()),
        ("ex2", F16, false) => Ok(|_, exact| relative(9.9, exact)),
        ("ex2", BF16, true) => Ok(|_, exact| relative(7.0, exact)),
        _ => Err(reader.unknown()),
    }
}

/// A function in a format.
#[derive(Clone, Copy)]
struct Model {
    name: &'static str,
    /// Which instruction it is, for the noise.
    operation: u64,
    function: Function,
    format: Format,
    finish: Finish,
    /// `div.approx`, which goes by the reciprocal: of divisors whose reciprocal is subnormal that is 0.
    far: bool,
}

impl Model {
    fn of(&self, operands: [u64; 2], seed: u64) -> u64 {
        let (format, bits) = (self.format, operands);
        let operands = operands.map(|bits| self.finish.operand(format, bits));
        let [x, y] = operands.map(|bits| widened(format, bits));
        let round = |value: f64| self.finish.result(format, narrowed(format, value));
        if self.far && y.is_finite() && y.abs() > 126_f64.exp2() {
            // infinity · 0 is no number
            return if x.is_infinite() { format.nan } else { round(x * (0.0 * y)) };
        }
        let exact = (self.function.of)(x, y);
        let right = round(exact);
        if seed == 0 || exact == 0.0 || !exact.is_finite() || is_exact(self.name, x) {
            return right;
        }
        let noise = fraction(seed, self.operation, bits);
        let bound = (self.function.bound)(x, exact);
        let value = round(exact + noise * bound);
        // rounding must not take it past the bound, nor noise to zero or past it: no card errs so far that a power is negative
        let error = widened(format, value) - exact;
        let same_sign = value & format.sign() == right & format.sign();
        let vanishes = value & !format.sign() == 0 && right & !format.sign() != 0;
        if error.abs() <= bound && same_sign && !vanishes { value } else { right }
    }
}

fn widened(format: Format, bits: u64) -> f64 {
    match format {
        F32 => f64::from(f32::from_bits(bits as u32)),
        _ => f64::from_bits(soft::pack(F64, Rounding::Nearest, soft::unpack(format, bits))),
    }
}

fn narrowed(format: Format, value: f64) -> u64 {
    match format {
        F32 if value.is_nan() => F32.nan,
        F32 => u64::from((value as f32).to_bits()),
        _ => soft::pack(format, Rounding::Nearest, soft::unpack(F64, value.to_bits())),
    }
}

/// Of a seed, an operation and its operands a number between -1 and 1. One input gives one result, in whatever lane and launch: so it is on
/// a card, and threads that compute the same value count on it.
fn fraction(seed: u64, operation: u64, [a, b]: [u64; 2]) -> f64 {
    let mix = |bits: u64| {
        let bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ bits >> 31
    };
    let bits = mix(mix(mix(seed ^ a) ^ b) ^ operation);
    bits.cast_signed() as f64 / 63_f64.exp2()
}

/// A number for an instruction, by its words (FNV-1a).
fn operation(words: &str) -> u64 {
    words.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

fn noisy(into: Slot, from: [Slot; 2], shape: Shape, model: Model) -> Lanes {
    let ones = shape.format.sign() | (shape.format.sign() - 1);
    Box::new(move |registers, mask| {
        for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
            let operands = from.map(|slot| registers.lane(slot, lane));
            let one = |shift: u32| {
                let operands = operands.map(|bits| bits >> shift & ones);
                model.of(operands, registers.noise)
            };
            let bits = if shape.pair { one(0) | one(16) << 16 } else { one(0) };
            registers.set_lane(into, lane, bits);
        }
    })
}

/// `rcp.approx.ftz.f64` and `rsqrt.approx.ftz.f64` see and give only the upper words; `rsqrt.approx.f64` is right to the last place.
fn double(reader: &mut Reader, ty: Type, ftz: bool) -> Result<Lanes, Fault> {
    let reciprocal = match reader.name() {
        "rcp" if ftz => true,
        "rsqrt" => false,
        _ => return Err(reader.unknown()),
    };
    if !reciprocal && ftz {
        reader.needs(20, (7, 0))?;
    }
    reader.end(2)?;
    let (into, [a]) = (reader.into(ty)?, reader.sources(ty)?);
    let of = move |x: f64| if reciprocal { 1.0 / x } else { 1.0 / x.sqrt() };
    let shape = Shape { format: F64, pair: false };
    if !ftz {
        return Ok(shape.each(into, [a], move |[bits]| match F64.is_nan(bits) {
            true => quiet(bits),
            false => of(f64::from_bits(bits)).to_bits(),
        }));
    }
    Ok(shape.each(into, [a], move |[bits]| {
        // a NaN whose payload is in the lower word is an infinity
        let result = of(f64::from_bits(F64.flush(bits & !0xFFFF_FFFF)));
        if result.is_nan() {
            return F32.nan << 32;
        }
        let bits = F64.flush(result.to_bits());
        bits.wrapping_add(1 << 31) & !0xFFFF_FFFF
    }))
}
