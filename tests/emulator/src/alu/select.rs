//! `selp` and `slct`: one of two values. Not here: what makes predicates (`compare`).

use std::marker::PhantomData;

use super::logic::condition;
use super::map::{Body, choose, filled, lanes, read, ternary, write};
use super::reader::Reader;
use super::soft::F32;
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Lane, Mask, Registers, Slot};

fn is_selectable(ty: Type) -> bool {
    use Type::{B16, B32, B64, F32, F64, S16, S32, S64, U16, U32, U64};
    matches!(ty, B16 | B32 | B64 | U16 | U32 | U64 | S16 | S32 | S64 | F32 | F64)
}

/// `selp d, a, b, p`
pub(super) fn by_predicate(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ty = reader.ty()?;
    if !is_selectable(ty) {
        return Err(reader.unknown());
    }
    reader.end(4)?;
    let (into, from, by) = (reader.into(ty)?, reader.sources(ty)?, reader.predicate(3)?);
    Ok(if ty.bits() == 64 {
        lanes(Choice::<u64> { into, from, by, width: PhantomData })
    } else {
        lanes(Choice::<u32> { into, from, by, width: PhantomData })
    })
}

/// `selp` on registers of one width.
struct Choice<T> {
    into: Slot,
    from: [Slot; 2],
    by: (Slot, bool),
    width: PhantomData<fn() -> T>,
}

impl<T: Lane + 'static> Body for Choice<T> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let by = condition(registers, self.by);
        let (a, b): ([T; LANES], [T; LANES]) = (read(registers, self.from[0]), read(registers, self.from[1]));
        let values: [T; LANES] = filled(|lane| choose(by, lane, a[lane], b[lane]));
        write(registers, self.into, &values, mask);
    }
}

/// `slct d, a, b, c`: a where c is not negative; -0 is not, a NaN is.
pub(super) fn by_sign(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ftz = reader.take("ftz");
    let (ty, by) = (reader.ty()?, reader.ty()?);
    if !is_selectable(ty) || !matches!(by, Type::S32 | Type::F32) || ftz && by != Type::F32 {
        return Err(reader.unknown());
    }
    reader.end(4)?;
    let (into, [a, b]) = (reader.into(ty)?, reader.sources(ty)?);
    let from = [a, b, reader.source(3, by)?];
    let flushed = move |bits: u32| if ftz { F32.flush(u64::from(bits)) as u32 } else { bits };
    let positive = move |bits: u32| f32::from_bits(flushed(bits)) >= 0.0;
    Ok(match (ty.bits(), by) {
        (64, Type::S32) => ternary(into, from, |a: u64, b: u64, c: i32| if c >= 0 { a } else { b }),
        (64, _) => ternary(into, from, move |a: u64, b: u64, c| if positive(c) { a } else { b }),
        (_, Type::S32) => ternary(into, from, |a: u32, b: u32, c: i32| if c >= 0 { a } else { b }),
        _ => ternary(into, from, move |a: u32, b: u32, c| if positive(c) { a } else { b }),
    })
}
