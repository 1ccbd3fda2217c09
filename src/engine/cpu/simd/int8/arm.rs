//! The instructions of ARM that multiply bytes. Not here: what every machine can, and that of x86 (`int8`).
//!
//! The dot products are written as assembly, for their intrinsics are not stable.

#![allow(unsafe_code, reason = "pulp has no kernels of these instructions")]

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, uint8x16_t, vcombine_u8, vcombine_u16, vcvtnq_u32_f32, vcvtq_f32_s32,
    vget_low_s8, vmovn_u16, vmovn_u32, vmull_high_s8, vmull_s8, vpadalq_s16, vpaddq_s16,
};
use std::arch::{asm, is_aarch64_feature_detected};
use std::mem::transmute;

use pulp::{Simd, WithSimd, f32x4};

use super::Quads;

type Vectors = pulp::aarch64::Neon;

/// I8MM: one instruction multiplies unsigned by signed, and adds without a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct I8mm(Vectors);

/// The dot product without I8MM: one instruction, of signed bytes only, which 7 bits are too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dotprod(Vectors);

/// NEON alone. Products are added in pairs of 16 bits, which 7 bits by 8 cannot overflow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(Vectors);

impl I8mm {
    /// The proof, if it is true.
    pub(crate) fn available() -> Option<Self> {
        let there = is_aarch64_feature_detected!("i8mm");
        Vectors::try_new().filter(|_| there).map(Self)
    }
}

impl Dotprod {
    /// The proof, if it is true.
    pub(crate) fn available() -> Option<Self> {
        let there = is_aarch64_feature_detected!("dotprod");
        Vectors::try_new().filter(|_| there).map(Self)
    }
}

impl Neon {
    /// The proof, if it is true.
    pub(crate) fn available() -> Option<Self> {
        Vectors::try_new().map(Self)
    }
}

#[inline(always)]
fn signed<T: bytemuck::Pod>(vector: T) -> int8x16_t {
    // SAFETY: both are 16 bytes of which any bits are a value.
    unsafe { transmute::<f32x4, int8x16_t>(pulp::cast(vector)) }
}

#[inline(always)]
fn sums<T: bytemuck::Pod>(vector: T) -> int32x4_t {
    // SAFETY: as in `signed`.
    unsafe { transmute::<f32x4, int32x4_t>(pulp::cast(vector)) }
}

#[inline(always)]
fn of_sums<T: bytemuck::Pod>(vector: int32x4_t) -> T {
    // SAFETY: as in `signed`.
    pulp::cast(unsafe { transmute::<int32x4_t, f32x4>(vector) })
}

/// Sums of 32 bits as floats.
#[inline(always)]
fn floats<T: bytemuck::Pod>(vector: T) -> T {
    // SAFETY: every processor of this architecture has NEON; the rest as in `signed`.
    pulp::cast(unsafe { transmute::<float32x4_t, f32x4>(vcvtq_f32_s32(sums(vector))) })
}

/// Floats to bytes.
#[inline(always)]
fn bytes<T: bytemuck::Pod>(numbers: [T; 4]) -> T {
    // SAFETY: as in `floats`.
    unsafe {
        let [a, b, c, d] = numbers.map(|x| vmovn_u32(vcvtnq_u32_f32(transmute::<f32x4, float32x4_t>(pulp::cast(x)))));
        let halves = [vcombine_u16(a, b), vcombine_u16(c, d)].map(|half| vmovn_u16(half));
        pulp::cast(transmute::<uint8x16_t, f32x4>(vcombine_u8(halves[0], halves[1])))
    }
}

impl Quads for I8mm {
    const MOST: f32 = 255.0;
    const SATURATES: bool = false;
    const ROWS: usize = 9;

    #[inline(always)]
    fn vectorize<S: Simd, K: WithSimd>(self, _simd: S, kernel: K) -> K::Output {
        #[target_feature(enable = "neon,i8mm")]
        fn compiled<K: WithSimd>(simd: Vectors, kernel: K) -> K::Output {
            kernel.with_simd(simd)
        }
        // SAFETY: `self` is the proof that the machine has both; only `available` makes one.
        unsafe { compiled(self.0, kernel) }
    }

    #[inline(always)]
    fn dot<S: Simd>(self, unsigned: S::f32s, signed: S::f32s, sums: S::f32s) -> S::f32s {
        #[inline]
        #[target_feature(enable = "neon,i8mm")]
        fn usdot(mut sums: int32x4_t, unsigned: int8x16_t, signed: int8x16_t) -> int32x4_t {
            // SAFETY: it reads and writes these registers only.
            unsafe {
                asm!("usdot {sums:v}.4s, {unsigned:v}.16b, {signed:v}.16b",
                    sums = inout(vreg) sums, unsigned = in(vreg) unsigned, signed = in(vreg) signed,
                    options(pure, nomem, nostack, preserves_flags));
            }
            sums
        }
        // SAFETY: `self` is the proof that the machine has the instruction.
        of_sums(unsafe { usdot(self::sums(sums), self::signed(unsigned), self::signed(signed)) })
    }

    #[inline(always)]
    fn floats<S: Simd>(self, sums: S::f32s) -> S::f32s {
        floats(sums)
    }

    #[inline(always)]
    fn bytes<S: Simd>(self, numbers: [S::f32s; 4]) -> S::f32s {
        bytes(numbers)
    }
}

impl Quads for Dotprod {
    const MOST: f32 = 127.0;
    const SATURATES: bool = false;
    const ROWS: usize = 9;

    #[inline(always)]
    fn vectorize<S: Simd, K: WithSimd>(self, _simd: S, kernel: K) -> K::Output {
        #[target_feature(enable = "neon,dotprod")]
        fn compiled<K: WithSimd>(simd: Vectors, kernel: K) -> K::Output {
            kernel.with_simd(simd)
        }
        // SAFETY: `self` is the proof that the machine has both; only `available` makes one.
        unsafe { compiled(self.0, kernel) }
    }

    #[inline(always)]
    fn dot<S: Simd>(self, unsigned: S::f32s, signed: S::f32s, sums: S::f32s) -> S::f32s {
        #[inline]
        #[target_feature(enable = "neon,dotprod")]
        fn sdot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
            // SAFETY: it reads and writes these registers only.
            unsafe {
                asm!("sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
                    sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
                    options(pure, nomem, nostack, preserves_flags));
            }
            sums
        }
        // SAFETY: `self` is the proof that the machine has the instruction.
        of_sums(unsafe { sdot(self::sums(sums), self::signed(unsigned), self::signed(signed)) })
    }

    #[inline(always)]
    fn floats<S: Simd>(self, sums: S::f32s) -> S::f32s {
        floats(sums)
    }

    #[inline(always)]
    fn bytes<S: Simd>(self, numbers: [S::f32s; 4]) -> S::f32s {
        bytes(numbers)
    }
}

impl Quads for Neon {
    const MOST: f32 = 127.0;
    const SATURATES: bool = false;
    const ROWS: usize = 9;

    #[inline(always)]
    fn vectorize<S: Simd, K: WithSimd>(self, _simd: S, kernel: K) -> K::Output {
        Simd::vectorize(self.0, kernel)
    }

    #[inline(always)]
    fn dot<S: Simd>(self, unsigned: S::f32s, signed: S::f32s, sums: S::f32s) -> S::f32s {
        let (a, b) = (self::signed(unsigned), self::signed(signed));
        // SAFETY: every processor of this architecture has NEON.
        of_sums(unsafe {
            let products = [vmull_s8(vget_low_s8(a), vget_low_s8(b)), vmull_high_s8(a, b)];
            vpadalq_s16(self::sums(sums), vpaddq_s16(products[0], products[1]))
        })
    }

    #[inline(always)]
    fn floats<S: Simd>(self, sums: S::f32s) -> S::f32s {
        floats(sums)
    }

    #[inline(always)]
    fn bytes<S: Simd>(self, numbers: [S::f32s; 4]) -> S::f32s {
        bytes(numbers)
    }
}
