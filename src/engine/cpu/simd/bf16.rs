//! bf16: rounding to it, and the instructions of AVX512-BF16, which multiply pairs of it. Not here: who multiplies them (`product`).
//!
//! A pair takes the place of one float: its first number is the lower half. Such a float is only moved, never computed with.

use pulp::{Simd, WithSimd};

use crate::engine::cpu::simd::amx::Amx;
use crate::engine::cpu::simd::instructions::Instructions;

/// The nearest bf16, widened; of two that are as near, the one that ends with a zero bit. A NaN stays a NaN.
#[inline(always)]
pub(crate) fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    // a carry out of the digits raises the exponent: beyond the largest number lies infinity
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    // the digits of a NaN may all lie in the half that goes
    let bits = if x.is_nan() { bits | 0x0040_0000 } else { nearest };
    f32::from_bits(bits & 0xffff_0000)
}

/// Two numbers, rounded, in the place of one float.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(rounded(first).to_bits() >> 16 | rounded(second).to_bits())
}

/// Proof that this machine has AVX512-BF16, whose vectors are of 16 pairs, and AMX where that is used beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs(Vectors, Option<Amx>);

#[cfg(target_arch = "x86_64")]
type Vectors = pulp::x86::V4;
#[cfg(not(target_arch = "x86_64"))]
type Vectors = std::convert::Infallible;

#[cfg(not(target_arch = "x86_64"))]
impl Pairs {
    pub(crate) fn of(_instructions: Instructions) -> Option<Self> {
        None
    }

    pub(crate) fn amx(self) -> Option<Amx> {
        match self.0 {}
    }

    pub(crate) fn without_amx(self) -> Self {
        match self.0 {}
    }

    pub(crate) fn vectorize<K: WithSimd>(self, _kernel: K) -> K::Output {
        match self.0 {}
    }

    pub(crate) fn multiply_add<S: Simd>(self, _a: S::f32s, _b: S::f32s, _sum: S::f32s) -> S::f32s {
        match self.0 {}
    }

    pub(crate) fn narrow<S: Simd>(self, _first: S::f32s, _second: S::f32s) -> S::f32s {
        match self.0 {}
    }

    pub(crate) fn interleave<S: Simd>(self, _first: S::f32s, _second: S::f32s) -> S::f32s {
        match self.0 {}
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "pulp has no kernels of these instructions")]
impl Pairs {
    /// The proof, if it is true, for an instruction set with vectors of that length.
    pub(crate) fn of(instructions: Instructions) -> Option<Self> {
        let there = is_x86_feature_detected!("avx512bf16") && instructions.lanes() == 16;
        pulp::x86::V4::try_new().filter(|_| there).map(|simd| Self(simd, instructions.amx()))
    }

    /// AMX, where it multiplies.
    pub(crate) fn amx(self) -> Option<Amx> {
        self.1
    }

    pub(crate) fn without_amx(self) -> Self {
        Self(self.0, None)
    }

    /// Runs a kernel that is compiled for these instructions beside AVX-512.
    #[inline(always)]
    pub(crate) fn vectorize<K: WithSimd>(self, kernel: K) -> K::Output {
        // those of pulp's V4, so that its functions are inlined, and our own
        #[target_feature(enable = "sse,sse2,fxsr,sse3,ssse3,sse4.1,sse4.2,popcnt,avx,avx2,bmi1,bmi2,fma,lzcnt")]
        #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16")]
        fn compiled<K: WithSimd>(simd: Vectors, kernel: K) -> K::Output {
            kernel.with_simd(simd)
        }
        // SAFETY: `self` is the proof that the machine has all of these; only `available` makes one.
        unsafe { compiled(self.0, kernel) }
    }

    /// `sum + first · first + second · second` of each pair; numbers below the smallest normal one are zero. Within [`Pairs::vectorize`] this is one instruction.
    #[inline(always)]
    pub(crate) fn multiply_add<S: Simd>(self, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};
        use std::mem::transmute;
        let [a, b, sum]: [pulp::f32x16; 3] = [pulp::cast(a), pulp::cast(b), pulp::cast(sum)];
        // SAFETY: `self` is the proof that the machine has the instruction; all types are 64 bytes of which any bits are a value.
        let sum = unsafe {
            transmute::<__m512, pulp::f32x16>(_mm512_dpbf16_ps(
                transmute::<pulp::f32x16, __m512>(sum),
                transmute::<pulp::f32x16, __m512bh>(a),
                transmute::<pulp::f32x16, __m512bh>(b),
            ))
        };
        pulp::cast(sum)
    }

    /// 32 numbers as 16 pairs, in their order; numbers below the smallest normal one become zero. Within [`Pairs::vectorize`] this is one instruction.
    #[inline(always)]
    pub(crate) fn narrow<S: Simd>(self, first: S::f32s, second: S::f32s) -> S::f32s {
        use std::arch::x86_64::{__m512, __m512bh, _mm512_cvtne2ps_pbh};
        use std::mem::transmute;
        let [first, second]: [pulp::f32x16; 2] = [pulp::cast(first), pulp::cast(second)];
        // SAFETY: as in `multiply_add`.
        let pairs = unsafe {
            transmute::<__m512bh, pulp::f32x16>(_mm512_cvtne2ps_pbh(
                transmute::<pulp::f32x16, __m512>(second),
                transmute::<pulp::f32x16, __m512>(first),
            ))
        };
        pulp::cast(pairs)
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "pulp has no kernels of these instructions")]
impl Pairs {
    /// 16 pairs, each of a number of the first vector and the one in its place of the second; rounded as [`Pairs::narrow`] does. Two instructions within [`Pairs::vectorize`].
    #[inline(always)]
    pub(crate) fn interleave<S: Simd>(self, first: S::f32s, second: S::f32s) -> S::f32s {
        use std::arch::x86_64::{__m512i, _mm512_permutexvar_epi16};
        use std::mem::transmute;
        const ORDER: [u16; 32] = {
            let mut order = [0; 32];
            let mut lane = 0;
            while lane < 32 {
                order[lane] = (lane / 2 + 16 * (lane % 2)) as u16;
                lane += 1;
            }
            order
        };
        let narrowed: pulp::f32x16 = pulp::cast(self.narrow::<S>(first, second));
        // SAFETY: `self` is the proof of AVX-512 with words, which `V4` needs; all types are 64 bytes of which any bits are a value.
        pulp::cast(unsafe {
            transmute::<__m512i, pulp::f32x16>(_mm512_permutexvar_epi16(
                transmute::<[u16; 32], __m512i>(ORDER),
                transmute::<pulp::f32x16, __m512i>(narrowed),
            ))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use half::bf16;

    use super::*;

    /// Numbers of every kind: near and between those of bf16, of both signs, subnormal, infinite, not numbers.
    fn numbers() -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(1);
        let any = (0..100_000).map(|_| random.u32(..));
        let halves = (0..=u16::MAX)
            .flat_map(|upper| [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|lower| u32::from(upper) << 16 | lower));
        halves.chain(any).map(f32::from_bits).collect()
    }

    #[test]
    fn rounds_to_the_nearest_and_a_tie_to_even() {
        let bits = |bits: u32| rounded(f32::from_bits(bits)).to_bits();
        assert_eq!([0x3f80_7fff, 0x3f80_8000, 0x3f80_8001].map(bits), [0x3f80_0000, 0x3f80_0000, 0x3f81_0000]);
        assert_eq!([0x3f81_8000, 0x0000_8000, 0x0001_8000].map(bits), [0x3f82_0000, 0x0000_0000, 0x0002_0000]);
        assert_eq!(
            [f32::MAX, f32::INFINITY, f32::NEG_INFINITY].map(rounded),
            [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY]
        );
        assert!([0x7f80_0001, 0xffff_ffff, 0x7fc0_0000].into_iter().all(|nan| rounded(f32::from_bits(nan)).is_nan()));
    }

    #[test]
    fn rounds_every_number_as_the_library_does() {
        for x in numbers() {
            let expected = bf16::from_f32(x).to_f32();
            let found = rounded(x);
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{x:e}: {found:e}, {expected:e}"
            );
        }
    }

    /// Narrows numbers and gives the bits of the pairs.
    struct Narrow<'a>(Pairs, &'a [f32]);

    impl WithSimd for Narrow<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _simd: S) -> Vec<f32> {
            let (vectors, _) = S::as_simd_f32s(self.1);
            let (twos, _) = vectors.as_chunks::<2>();
            twos.iter()
                .flat_map(|[first, second]| pulp::cast::<_, [f32; 16]>(self.0.narrow::<S>(*first, *second)))
                .collect()
        }
    }

    #[test]
    fn the_instruction_rounds_alike_and_keeps_the_order() {
        let Some(pairs) = Pairs::of(Instructions::best()) else { return };
        let numbers = numbers();
        let found = pairs.vectorize(Narrow(pairs, &numbers));
        assert_eq!(found.len(), numbers.len() / 32 * 16);
        for (index, found) in found.iter().enumerate() {
            let halves = [found.to_bits() << 16, found.to_bits() & 0xffff_0000].map(f32::from_bits);
            for (found, x) in halves.into_iter().zip(&numbers[2 * index..]) {
                // the instruction takes what is below the smallest normal number for zero
                let expected = if x.is_subnormal() { 0.0_f32.copysign(*x) } else { rounded(*x) };
                assert!(
                    found.to_bits() == expected.to_bits() || found.is_nan() && x.is_nan(),
                    "{x:e}: {found:e}, {expected:e}"
                );
            }
        }
    }

    /// Interleaves two vectors.
    struct Interleave(Pairs, [[f32; 16]; 2]);

    impl WithSimd for Interleave {
        type Output = [f32; 16];

        #[inline(always)]
        fn with_simd<S: Simd>(self, _simd: S) -> [f32; 16] {
            let [first, second] = self.1.map(pulp::cast);
            pulp::cast(self.0.interleave::<S>(first, second))
        }
    }

    #[test]
    fn numbers_of_two_vectors_become_pairs_lane_by_lane() {
        let Some(pairs) = Pairs::of(Instructions::best()) else { return };
        let mut random = fastrand::Rng::with_seed(1);
        let [first, second] = [0; 2].map(|_| std::array::from_fn(|_| random.f32() - 0.5));
        let expected: [f32; 16] = std::array::from_fn(|lane| pair(first[lane], second[lane]));
        let found = pairs.vectorize(Interleave(pairs, [first, second]));
        assert_eq!(found.map(f32::to_bits), expected.map(f32::to_bits));
    }

    /// One vector of sums of products.
    struct Product(Pairs, [[f32; 16]; 3]);

    impl WithSimd for Product {
        type Output = [f32; 16];

        #[inline(always)]
        fn with_simd<S: Simd>(self, _simd: S) -> [f32; 16] {
            let [a, b, sum] = self.1.map(pulp::cast);
            pulp::cast(self.0.multiply_add::<S>(a, b, sum))
        }
    }

    #[test]
    fn a_pair_is_multiplied_first_by_first_and_second_by_second() {
        let Some(pairs) = Pairs::of(Instructions::best()) else { return };
        let lane = |f: fn(f32) -> f32| std::array::from_fn(|lane| f(lane as f32));
        let operands = [lane(|i| pair(i, 2.0)), lane(|i| pair(0.5, i + 1.0)), lane(|i| 100.0 * i)];
        assert_eq!(pairs.vectorize(Product(pairs, operands)), lane(|i| 100.0 * i + 0.5 * i + 2.0 * (i + 1.0)));
        let infinite = [[pair(f32::INFINITY, 0.0); 16], [pair(1.0, 0.0); 16], [0.0; 16]];
        assert_eq!(pairs.vectorize(Product(pairs, infinite)), [f32::INFINITY; 16]);
        let no_number = [[pair(0.0, f32::NAN); 16], [pair(1.0, 0.0); 16], [0.0; 16]];
        assert!(pairs.vectorize(Product(pairs, no_number)).iter().all(|x| x.is_nan()));
    }
}
