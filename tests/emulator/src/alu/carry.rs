//! Arithmetic of many words: `add.cc`, `addc` and their like, which write or read the carry flag, a predicate of its own. For `sub` it says
//! that something was borrowed. Not here: arithmetic without the flag (`integer`).

use super::integer::{PARTS, Part};
use super::map::{read, write};
use super::reader::Reader;
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Lane, Mask, Slot};

/// An unsigned word whose sums say what they carry. Signed ones have the same bits.
trait Word: Lane + Send + Sync + 'static {
    fn add(self, other: Self, carry: bool) -> (Self, bool);
    fn subtract(self, other: Self, borrow: bool) -> (Self, bool);
    fn product(self, other: Self, high: bool, signed: bool) -> Self;
}

macro_rules! words {
    ($($ty:ty, $signed:ty, $twice:ty, $signed_twice:ty;)*) => {
        $(impl Word for $ty {
            #[inline(always)]
            fn add(self, other: Self, carry: bool) -> (Self, bool) { self.carrying_add(other, carry) }
            #[inline(always)]
            fn subtract(self, other: Self, borrow: bool) -> (Self, bool) { self.borrowing_sub(other, borrow) }
            #[inline(always)]
            fn product(self, other: Self, high: bool, signed: bool) -> Self {
                if !high {
                    self.wrapping_mul(other)
                } else if signed {
                    ((self as $signed as $signed_twice * other as $signed as $signed_twice) >> <$ty>::BITS) as $ty
                } else {
                    ((self as $twice * other as $twice) >> <$ty>::BITS) as $ty
                }
            }
        })*
    };
}

words! { u32, i32, u64, i64; u64, i64, u128, i128; }

/// Which flags an instruction reads and writes.
#[derive(Clone, Copy)]
struct Flag {
    slot: Slot,
    reads: bool,
    writes: bool,
}

/// `add.cc`, `addc{.cc}`, `sub.cc`, `subc{.cc}`, `mad{.hi,.lo}.cc`, `madc{.hi,.lo}{.cc}`
pub(super) fn decode(reader: &mut Reader) -> Result<Lanes, Fault> {
    let name = reader.name();
    let part = if name.starts_with("mad") { Some(reader.one_of(&PARTS[..2])?) } else { None };
    let reads = name.ends_with('c');
    let writes = reader.take("cc");
    let ty = reader.ty()?;
    if !matches!(ty, Type::U32 | Type::S32 | Type::U64 | Type::S64) || !(reads || writes) {
        return Err(reader.unknown());
    }
    reader.end(if part.is_some() { 4 } else { 3 })?;
    let flag = Flag { slot: reader.names.carry(), reads, writes };
    let (into, [a, b]) = (reader.into(ty)?, reader.sources(ty)?);
    let signed = matches!(ty, Type::S32 | Type::S64);
    let long = ty.bits() == 64;
    if let Some(part) = part {
        let from = [a, b, reader.source(3, ty)?];
        let high = part == Part::High;
        return Ok(if long {
            chained::<u64>(into, from, flag, move |[a, b, c], carry| a.product(b, high, signed).add(c, carry))
        } else {
            chained::<u32>(into, from, flag, move |[a, b, c], carry| a.product(b, high, signed).add(c, carry))
        });
    }
    let from = [a, b, b];
    Ok(match (name.starts_with("add"), long) {
        (true, false) => chained::<u32>(into, from, flag, |[a, b, _], carry| a.add(b, carry)),
        (true, true) => chained::<u64>(into, from, flag, |[a, b, _], carry| a.add(b, carry)),
        (false, false) => chained::<u32>(into, from, flag, |[a, b, _], carry| a.subtract(b, carry)),
        (false, true) => chained::<u64>(into, from, flag, |[a, b, _], carry| a.subtract(b, carry)),
    })
}

fn chained<T: Word>(
    into: Slot,
    from: [Slot; 3],
    flag: Flag,
    f: impl Fn([T; 3], bool) -> (T, bool) + Send + Sync + 'static,
) -> Lanes {
    Box::new(move |registers, mask| {
        let [a, b, c] = from.map(|slot| read::<T>(registers, slot));
        let before = if flag.reads { registers.predicate(flag.slot) } else { 0 };
        let mut after: Mask = 0;
        let values: [T; LANES] = std::array::from_fn(|lane| {
            let (value, carry) = f([a[lane], b[lane], c[lane]], before >> lane & 1 == 1);
            after |= Mask::from(carry) << lane;
            value
        });
        write(registers, into, &values, mask);
        if flag.writes {
            registers.write_predicate(flag.slot, after, mask);
        }
    })
}
