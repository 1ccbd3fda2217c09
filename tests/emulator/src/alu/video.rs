//! Video instructions on the bytes or halves of a word, `vabsdiff4` and its like, without selectors. Not here: those on one byte or half, which
//! the emulator does not have.

use super::map::ternary;
use super::reader::Reader;
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;

/// What becomes of a pair of fields.
type Operation = fn(i64, i64) -> i64;

const OPERATIONS: &[(&str, Operation)] = &[
    ("vadd", |a, b| a + b),
    ("vsub", |a, b| a - b),
    // halves are rounded away from zero
    ("vavrg", |a, b| (a + b + i64::from(a + b >= 0)) >> 1),
    ("vabsdiff", |a, b| (a - b).abs()),
    ("vmin", |a, b| a.min(b)),
    ("vmax", |a, b| a.max(b)),
];

const COMPARISONS: &[(&str, Operation)] = &[
    ("eq", |a, b| i64::from(a == b)),
    ("ne", |a, b| i64::from(a != b)),
    ("lt", |a, b| i64::from(a < b)),
    ("le", |a, b| i64::from(a <= b)),
    ("gt", |a, b| i64::from(a > b)),
    ("ge", |a, b| i64::from(a >= b)),
];

/// Those of this file, by their names without the number of fields.
pub(super) fn fields(name: &str) -> Option<(&str, u32)> {
    let (name, count) =
        name.strip_suffix('4').map(|name| (name, 4)).or(name.strip_suffix('2').map(|name| (name, 2)))?;
    (name == "vset" || OPERATIONS.iter().any(|(own, _)| *own == name)).then_some((name, count))
}

pub(super) fn decode(reader: &mut Reader, name: &str, count: u32) -> Result<Lanes, Fault> {
    const SIGNS: &[(&str, bool)] = &[("u32", false), ("s32", true)];
    let (operation, result, signs);
    if name == "vset" {
        signs = [reader.one_of(SIGNS)?, reader.one_of(SIGNS)?];
        (operation, result) = (reader.one_of(COMPARISONS)?, false);
    } else {
        result = reader.one_of(SIGNS)?;
        signs = [reader.one_of(SIGNS)?, reader.one_of(SIGNS)?];
        operation =
            OPERATIONS.iter().find(|(own, _)| *own == name).map(|(_, of)| *of).ok_or_else(|| reader.unknown())?;
    }
    let sat = name != "vset" && reader.take("sat");
    let add = !sat && reader.take("add");
    reader.end(4)?;
    let (into, from) = (reader.into(Type::B32)?, reader.sources::<3>(Type::B32)?);
    let width = 32 / count;
    let ones = (1_i64 << width) - 1;
    let bounds = if result { (-1 - (ones >> 1), ones >> 1) } else { (0, ones) };
    Ok(ternary(into, from, move |a: u32, b: u32, c: u32| {
        let mut whole = if add { i64::from(c) } else { 0 };
        for at in 0..count {
            let value = operation(field(a, at, width, signs[0]), field(b, at, width, signs[1]));
            let value = if sat { value.clamp(bounds.0, bounds.1) } else { value };
            whole = if add { whole + value } else { whole | (value & ones) << (at * width) };
        }
        whole as u32
    }))
}

/// A field of a word, extended.
#[inline(always)]
fn field(word: u32, at: u32, width: u32, signed: bool) -> i64 {
    let up = word << (32 - width - at * width);
    if signed { i64::from(up.cast_signed() >> (32 - width)) } else { i64::from(up >> (32 - width)) }
}
