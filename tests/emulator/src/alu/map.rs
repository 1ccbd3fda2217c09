//! From a function of one lane to what 32 lanes do: a loop over all of them, which the compiler turns into vector instructions, and a write
//! under the mask. Not here: any function of a lane.

use crate::exec::Lanes;
use crate::exec::registers::{LANES, Lane, Mask, Registers, Slot};

/// All lanes of a register. That it is as wide as the type is the rule, and compiled into every instruction; the rest is written once a type.
#[inline(always)]
pub(super) fn read<T: Lane>(registers: &Registers, slot: Slot) -> [T; LANES] {
    match slot {
        Slot::Word(_) if size_of::<T>() <= 4 => registers.read(slot),
        Slot::Long(_) if size_of::<T>() == 8 => registers.read(slot),
        _ => read_other(registers, slot),
    }
}

#[inline(never)]
fn read_other<T: Lane>(registers: &Registers, slot: Slot) -> [T; LANES] {
    registers.read(slot)
}

/// Writes the lanes of a mask.
#[inline(always)]
pub(super) fn write<T: Lane>(registers: &mut Registers, slot: Slot, values: &[T; LANES], mask: Mask) {
    match slot {
        Slot::Word(_) if size_of::<T>() <= 4 => registers.write(slot, values, mask),
        Slot::Long(_) if size_of::<T>() == 8 => registers.write(slot, values, mask),
        _ => write_other(registers, slot, values, mask),
    }
}

#[inline(never)]
fn write_other<T: Lane>(registers: &mut Registers, slot: Slot, values: &[T; LANES], mask: Mask) {
    registers.write(slot, values, mask);
}

/// `into = f(a)`
pub(super) fn unary<A: Lane, R: Lane>(into: Slot, a: Slot, f: impl Fn(A) -> R + Send + Sync + 'static) -> Lanes {
    Box::new(move |registers, mask| {
        let a: [A; LANES] = read(registers, a);
        let values: [R; LANES] = std::array::from_fn(|lane| f(a[lane]));
        write(registers, into, &values, mask);
    })
}

/// `into = f(a, b)`
pub(super) fn binary<A: Lane, B: Lane, R: Lane>(
    into: Slot,
    [a, b]: [Slot; 2],
    f: impl Fn(A, B) -> R + Send + Sync + 'static,
) -> Lanes {
    Box::new(move |registers, mask| {
        let a: [A; LANES] = read(registers, a);
        let b: [B; LANES] = read(registers, b);
        let values: [R; LANES] = std::array::from_fn(|lane| f(a[lane], b[lane]));
        write(registers, into, &values, mask);
    })
}

/// `into = f(a, b, c)`
pub(super) fn ternary<A: Lane, B: Lane, C: Lane, R: Lane>(
    into: Slot,
    [a, b, c]: [Slot; 3],
    f: impl Fn(A, B, C) -> R + Send + Sync + 'static,
) -> Lanes {
    Box::new(move |registers, mask| {
        let a: [A; LANES] = read(registers, a);
        let b: [B; LANES] = read(registers, b);
        let c: [C; LANES] = read(registers, c);
        let values: [R; LANES] = std::array::from_fn(|lane| f(a[lane], b[lane], c[lane]));
        write(registers, into, &values, mask);
    })
}

/// `into = f([…])` on zero-extended bits, only in the lanes of the mask: for what is slow.
pub(super) fn slow<const N: usize>(
    into: Slot,
    from: [Slot; N],
    f: impl Fn([u64; N]) -> u64 + Send + Sync + 'static,
) -> Lanes {
    Box::new(move |registers, mask| {
        for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
            let bits = f(from.map(|slot| registers.lane(slot, lane)));
            registers.set_lane(into, lane, bits);
        }
    })
}

/// A function of 16 bits on both halves of a word.
pub(super) fn halves<const N: usize>(words: [u64; N], f: impl Fn([u64; N]) -> u64) -> u64 {
    let low = f(words.map(|word| word & 0xFFFF)) & 0xFFFF;
    let high = f(words.map(|word| word >> 16 & 0xFFFF));
    low | high << 16
}
