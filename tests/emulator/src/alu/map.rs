//! From a function of one lane to what 32 lanes do: a loop over all of them, which the compiler turns into vector instructions, and a write
//! under the mask. Not here: any function of a lane.

use std::marker::PhantomData;

use crate::exec::Lanes;
use crate::exec::registers::{LANES, Lane, Mask, Registers, Slot};

/// An instruction as a loop over lanes.
pub(super) trait Body: Send + Sync + 'static {
    /// Executes it. Always inlined, so that it is compiled for the processor of its caller.
    fn run(&self, registers: &mut Registers, mask: Mask);

    /// The same for whatever processor and registers, slower where that saves compiling it twice.
    fn general(&self, registers: &mut Registers, mask: Mask) {
        self.run(registers, mask);
    }
}

/// What an instruction does, compiled for AVX2 and FMA where processors may have them: the 32 lanes of a warp are then four vectors, and `mul_add`
/// is an instruction and no call of a library.
#[cfg(target_arch = "x86_64")]
pub(super) fn lanes(body: impl Body) -> Lanes {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return Box::new(move |registers, mask| body.general(registers, mask));
    }
    Box::new(move |registers, mask| {
        // SAFETY: the processor has both features, as was found just before
        #[expect(unsafe_code, reason = "a function for some processors only can be called only so")]
        unsafe {
            wide(&body, registers, mask);
        }
    })
}

/// What an instruction does.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn lanes(body: impl Body) -> Lanes {
    Box::new(move |registers, mask| body.run(registers, mask))
}

/// Inlines what it calls.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn wide(body: &impl Body, registers: &mut Registers, mask: Mask) {
    body.run(registers, mask);
}

/// The lanes of a register where they lie, which is as wide as the type: the rule, and what is compiled into every instruction.
#[derive(Clone, Copy)]
enum View<'a> {
    Words(&'a [u32; LANES]),
    Longs(&'a [u64; LANES]),
}

impl<'a> View<'a> {
    #[inline(always)]
    fn of<T: Lane>(registers: &'a Registers, slot: Slot) -> Option<Self> {
        if size_of::<T>() == 8 {
            registers.longs(slot).map(Self::Longs)
        } else {
            registers.words(slot).map(Self::Words)
        }
    }

    #[inline(always)]
    fn lane<T: Lane>(self, lane: usize) -> T {
        match self {
            Self::Words(words) => T::from_word(words[lane]),
            Self::Longs(longs) => T::from_bits64(longs[lane]),
        }
    }
}

/// An array of what a function says of every lane. `std::array::from_fn` is not always inlined.
#[inline(always)]
pub(super) fn filled<T: Lane>(f: impl Fn(usize) -> T) -> [T; LANES] {
    let mut values = [T::default(); LANES];
    for (lane, value) in values.iter_mut().enumerate() {
        *value = f(lane);
    }
    values
}

/// All lanes of a register.
#[inline(always)]
pub(super) fn read<T: Lane>(registers: &Registers, slot: Slot) -> [T; LANES] {
    match View::of::<T>(registers, slot) {
        Some(view) => filled(|lane| view.lane(lane)),
        None => read_other(registers, slot),
    }
}

#[inline(never)]
fn read_other<T: Lane>(registers: &Registers, slot: Slot) -> [T; LANES] {
    registers.read(slot)
}

/// The first where a bit of the mask is set, else the second. Of bits, for of two places in memory the compiler would choose the place.
#[inline(always)]
pub(super) fn choose<T: Lane>(mask: Mask, lane: usize, first: T, second: T) -> T {
    let held = mask & 1 << lane != 0;
    if size_of::<T>() == 8 {
        let (ones, first, second) = (if held { u64::MAX } else { 0 }, first.to_bits64(), second.to_bits64());
        T::from_bits64(second ^ (first ^ second) & ones)
    } else {
        let (ones, first, second) = (if held { u32::MAX } else { 0 }, first.to_word(), second.to_word());
        T::from_word(second ^ (first ^ second) & ones)
    }
}

/// Writes the lanes of a mask: all of them, as a rule, and that alone is compiled into every instruction.
#[inline(always)]
pub(super) fn write<T: Lane>(registers: &mut Registers, slot: Slot, values: &[T; LANES], mask: Mask) {
    if mask != Mask::MAX {
        return write_some(registers, slot, values, mask);
    }
    if size_of::<T>() == 8
        && let Some(longs) = registers.longs_mut(slot)
    {
        for lane in 0..LANES {
            longs[lane] = values[lane].to_bits64();
        }
    } else if size_of::<T>() < 8
        && let Some(words) = registers.words_mut(slot)
    {
        for lane in 0..LANES {
            words[lane] = values[lane].to_word();
        }
    } else {
        write_some(registers, slot, values, mask);
    }
}

#[inline(never)]
fn write_some<T: Lane>(registers: &mut Registers, slot: Slot, values: &[T; LANES], mask: Mask) {
    if let Some(longs) = registers.longs_mut(slot) {
        for lane in 0..LANES {
            longs[lane] = choose(mask, lane, values[lane].to_bits64(), longs[lane]);
        }
    } else if let Some(words) = registers.words_mut(slot) {
        for lane in 0..LANES {
            words[lane] = choose(mask, lane, values[lane].to_word(), words[lane]);
        }
    } else {
        registers.write(slot, values, mask);
    }
}

struct Unary<A, R, F> {
    into: Slot,
    a: Slot,
    f: F,
    types: PhantomData<fn(A) -> R>,
}

impl<A: Lane + 'static, R: Lane + 'static, F: Fn(A) -> R + Send + Sync + 'static> Body for Unary<A, R, F> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let values: [R; LANES] = match View::of::<A>(registers, self.a) {
            Some(a) => filled(|lane| (self.f)(a.lane(lane))),
            None => return self.general(registers, mask),
        };
        write(registers, self.into, &values, mask);
    }

    fn general(&self, registers: &mut Registers, mask: Mask) {
        general(registers, mask, self.into, [self.a; 3], &|a: A, _: A, _: A| (self.f)(a));
    }
}

/// An instruction on registers of any kind: compiled once for the types, not for every function.
#[inline(never)]
fn general<A: Lane, B: Lane, C: Lane, R: Lane>(
    registers: &mut Registers,
    mask: Mask,
    into: Slot,
    [a, b, c]: [Slot; 3],
    f: &dyn Fn(A, B, C) -> R,
) {
    let (a, b, c) = (registers.read::<A>(a), registers.read::<B>(b), registers.read::<C>(c));
    let values: [R; LANES] = std::array::from_fn(|lane| f(a[lane], b[lane], c[lane]));
    registers.write(into, &values, mask);
}

/// `into = f(a)`
pub(super) fn unary<A: Lane + 'static, R: Lane + 'static>(
    into: Slot,
    a: Slot,
    f: impl Fn(A) -> R + Send + Sync + 'static,
) -> Lanes {
    lanes(Unary { into, a, f, types: PhantomData })
}

struct Ternary<A, B, C, R, F> {
    into: Slot,
    from: [Slot; 3],
    f: F,
    types: PhantomData<fn(A, B, C) -> R>,
}

impl<A: Lane + 'static, B: Lane + 'static, C: Lane + 'static, R: Lane + 'static, F> Body for Ternary<A, B, C, R, F>
where
    F: Fn(A, B, C) -> R + Send + Sync + 'static,
{
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let [a, b, c] = self.from;
        let views = (View::of::<A>(registers, a), View::of::<B>(registers, b), View::of::<C>(registers, c));
        let (Some(a), Some(b), Some(c)) = views else { return self.general(registers, mask) };
        let values: [R; LANES] = filled(|lane| (self.f)(a.lane(lane), b.lane(lane), c.lane(lane)));
        write(registers, self.into, &values, mask);
    }

    fn general(&self, registers: &mut Registers, mask: Mask) {
        general(registers, mask, self.into, self.from, &self.f);
    }
}

/// `into = f(a, b)`
pub(super) fn binary<A: Lane + 'static, B: Lane + 'static, R: Lane + 'static>(
    into: Slot,
    [a, b]: [Slot; 2],
    f: impl Fn(A, B) -> R + Send + Sync + 'static,
) -> Lanes {
    ternary(into, [a, b, b], move |a: A, b: B, _: B| f(a, b))
}

/// `into = f(a, b, c)`
pub(super) fn ternary<A: Lane + 'static, B: Lane + 'static, C: Lane + 'static, R: Lane + 'static>(
    into: Slot,
    from: [Slot; 3],
    f: impl Fn(A, B, C) -> R + Send + Sync + 'static,
) -> Lanes {
    lanes(Ternary { into, from, f, types: PhantomData })
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
