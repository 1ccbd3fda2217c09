//! Instructions that multiply bytes: four unsigned by four signed, added to one sum of 32 bits. Not here: what the bytes mean (`product/int8`).
//!
//! Four bytes, and a sum, take the place of one float. Such a float is only moved, never computed with.

#![cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "pulp has no kernels of these instructions"))]

use pulp::{Simd, WithSimd};

use crate::engine::cpu::simd::amx::Amx;

/// Proof that this machine has certain instructions, and what they compute.
pub(crate) trait Quads: Copy + Send + Sync {
    /// The largest unsigned byte that may be multiplied.
    const MOST: f32;
    /// Whether numbers beyond the bytes, as far as rounding takes them, become the nearest byte.
    const SATURATES: bool;
    /// Rows of the largest kernel whose sums, factors and intermediate results fit the registers.
    const ROWS: usize;

    /// AMX, where it multiplies the same bytes.
    fn amx(self) -> Option<Amx> {
        None
    }

    /// Runs a kernel that is compiled for these instructions. `simd` has the length of their vectors.
    fn vectorize<S: Simd, K: WithSimd>(self, simd: S, kernel: K) -> K::Output;

    /// `sum + Σ of four products` in each lane, of unsigned and signed bytes. It does not overflow where no unsigned byte is above [`Quads::MOST`].
    fn dot<S: Simd>(self, unsigned: S::f32s, signed: S::f32s, sums: S::f32s) -> S::f32s;

    /// Sums of 32 bits as floats.
    fn floats<S: Simd>(self, sums: S::f32s) -> S::f32s;

    /// Floats from 0 to [`Quads::MOST`] to the nearest bytes, in their order; with [`Quads::SATURATES`] also those beyond.
    fn bytes<S: Simd>(self, numbers: [S::f32s; 4]) -> S::f32s;
}

/// What every machine can: 8 bits, one number at a time, in vectors where the compiler finds them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Quads for Portable {
    const MOST: f32 = 255.0;
    const SATURATES: bool = true;
    const ROWS: usize = 4;

    #[inline(always)]
    fn vectorize<S: Simd, K: WithSimd>(self, simd: S, kernel: K) -> K::Output {
        simd.vectorize(kernel)
    }

    #[inline(always)]
    fn dot<S: Simd>(self, unsigned: S::f32s, signed: S::f32s, mut sums: S::f32s) -> S::f32s {
        let unsigned: &[[u8; 4]] = bytemuck::cast_slice(std::slice::from_ref(&unsigned));
        let signed: &[[i8; 4]] = bytemuck::cast_slice(std::slice::from_ref(&signed));
        let lanes: &mut [i32] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut sums));
        for (sum, (a, b)) in lanes.iter_mut().zip(unsigned.iter().zip(signed)) {
            for (a, b) in a.iter().zip(b) {
                *sum += i32::from(*a) * i32::from(*b);
            }
        }
        sums
    }

    #[inline(always)]
    fn floats<S: Simd>(self, mut sums: S::f32s) -> S::f32s {
        let lanes: &mut [f32] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut sums));
        for lane in lanes {
            *lane = (lane.to_bits() as i32) as f32;
        }
        sums
    }

    #[inline(always)]
    fn bytes<S: Simd>(self, numbers: [S::f32s; 4]) -> S::f32s {
        let mut bytes = numbers[0];
        let numbers: &[f32] = bytemuck::cast_slice(&numbers);
        let into: &mut [u8] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut bytes));
        for (byte, number) in into.iter_mut().zip(numbers) {
            *byte = number.round_ties_even() as u8;
        }
        bytes
    }
}

#[cfg(target_arch = "aarch64")]
mod arm;

#[cfg(target_arch = "aarch64")]
pub(crate) use arm::{Dotprod, I8mm, Neon};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Vnni};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m256i, __m512, __m512i, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_cvtps_epi32, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permutevar8x32_epi32, _mm256_set1_epi16,
        _mm256_setr_epi32, _mm512_add_epi32, _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_dpbusd_epi32,
        _mm512_madd_epi16, _mm512_maddubs_epi16, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_permutexvar_epi32,
        _mm512_set1_epi16, _mm512_setr_epi32,
    };
    use std::mem::transmute;

    use pulp::x86::{V3, V4};
    use pulp::{Simd, WithSimd};

    use super::Quads;
    use crate::engine::cpu::simd::amx::Amx;

    /// AVX512-VNNI: one instruction multiplies, and adds without a limit; and AMX, which multiplies the same bytes, where that is used beside it.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Vnni(V4, Option<Amx>);

    /// AVX-512 without VNNI. Products are added in pairs of 16 bits, which 7 bits by 8 cannot overflow.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx512(V4);

    /// AVX2. Products are added in pairs of 16 bits, which 7 bits by 8 cannot overflow.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx2(V3);

    impl Vnni {
        /// The proof, if it is true.
        pub(crate) fn available(amx: Option<Amx>) -> Option<Self> {
            let there = is_x86_feature_detected!("avx512vnni");
            V4::try_new().filter(|_| there).map(|simd| Self(simd, amx))
        }

        pub(crate) fn without_amx(self) -> Self {
            Self(self.0, None)
        }
    }

    impl Avx512 {
        /// The proof, if it is true.
        pub(crate) fn available() -> Option<Self> {
            V4::try_new().map(Self)
        }
    }

    impl Avx2 {
        /// The proof, if it is true.
        pub(crate) fn available() -> Option<Self> {
            V3::try_new().map(Self)
        }
    }

    #[inline(always)]
    fn long<T: bytemuck::Pod>(vector: T) -> __m512i {
        // SAFETY: both are 64 bytes of which any bits are a value; AVX-512 is proven by whoever has a vector of that length.
        unsafe { transmute::<pulp::f32x16, __m512i>(pulp::cast(vector)) }
    }

    #[inline(always)]
    fn short<T: bytemuck::Pod>(vector: T) -> __m256i {
        // SAFETY: both are 32 bytes of which any bits are a value.
        unsafe { transmute::<pulp::f32x8, __m256i>(pulp::cast(vector)) }
    }

    #[inline(always)]
    fn of_long<T: bytemuck::Pod>(vector: __m512i) -> T {
        // SAFETY: as in `long`.
        pulp::cast(unsafe { transmute::<__m512i, pulp::f32x16>(vector) })
    }

    #[inline(always)]
    fn of_short<T: bytemuck::Pod>(vector: __m256i) -> T {
        // SAFETY: as in `short`.
        pulp::cast(unsafe { transmute::<__m256i, pulp::f32x8>(vector) })
    }

    /// Sums of 32 bits as floats, in vectors of 16.
    #[inline(always)]
    fn long_floats<T: bytemuck::Pod>(sums: T) -> T {
        // SAFETY: callers have a proof of AVX-512; the rest as in `long`.
        pulp::cast(unsafe { transmute::<__m512, pulp::f32x16>(_mm512_cvtepi32_ps(long(sums))) })
    }

    /// Floats to bytes, in vectors of 16.
    #[inline(always)]
    fn long_bytes<T: bytemuck::Pod>(numbers: [T; 4]) -> T {
        // SAFETY: callers have a proof of AVX-512; the rest as in `long`.
        unsafe {
            let [a, b, c, d] = numbers.map(|x| _mm512_cvtps_epi32(transmute::<pulp::f32x16, __m512>(pulp::cast(x))));
            // packs take turns in each quarter of a vector
            let packed = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            of_long(_mm512_permutexvar_epi32(order, packed))
        }
    }

    impl Quads for Vnni {
        const MOST: f32 = 255.0;
        const SATURATES: bool = true;
        const ROWS: usize = 9;

        #[inline(always)]
        fn amx(self) -> Option<Amx> {
            self.1
        }

        #[inline(always)]
        fn vectorize<S: Simd, K: WithSimd>(self, _simd: S, kernel: K) -> K::Output {
            // those of pulp's V4, so that its functions are inlined, and our own
            #[target_feature(enable = "sse,sse2,fxsr,sse3,ssse3,sse4.1,sse4.2,popcnt,avx,avx2,bmi1,bmi2,fma,lzcnt")]
            #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni")]
            fn compiled<K: WithSimd>(simd: V4, kernel: K) -> K::Output {
                kernel.with_simd(simd)
            }
            // SAFETY: `self` is the proof that the machine has all of these; only `available` makes one.
            unsafe { compiled(self.0, kernel) }
        }

        #[inline(always)]
        fn dot<S: Simd>(self, unsigned: S::f32s, signed: S::f32s, sums: S::f32s) -> S::f32s {
            // SAFETY: `self` is the proof that the machine has the instruction.
            of_long(unsafe { _mm512_dpbusd_epi32(long(sums), long(unsigned), long(signed)) })
        }

        #[inline(always)]
        fn floats<S: Simd>(self, sums: S::f32s) -> S::f32s {
            long_floats(sums)
        }

        #[inline(always)]
        fn bytes<S: Simd>(self, numbers: [S::f32s; 4]) -> S::f32s {
            long_bytes(numbers)
        }
    }

    impl Quads for Avx512 {
        const MOST: f32 = 127.0;
        const SATURATES: bool = false; // a byte above 127 would be one
        const ROWS: usize = 9;

        #[inline(always)]
        fn vectorize<S: Simd, K: WithSimd>(self, _simd: S, kernel: K) -> K::Output {
            Simd::vectorize(self.0, kernel)
        }

        #[inline(always)]
        fn dot<S: Simd>(self, unsigned: S::f32s, signed: S::f32s, sums: S::f32s) -> S::f32s {
            // SAFETY: `self` is the proof that the machine has the instructions.
            of_long(unsafe {
                let pairs = _mm512_maddubs_epi16(long(unsigned), long(signed));
                _mm512_add_epi32(long(sums), _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
            })
        }

        #[inline(always)]
        fn floats<S: Simd>(self, sums: S::f32s) -> S::f32s {
            long_floats(sums)
        }

        #[inline(always)]
        fn bytes<S: Simd>(self, numbers: [S::f32s; 4]) -> S::f32s {
            long_bytes(numbers)
        }
    }

    impl Quads for Avx2 {
        const MOST: f32 = 127.0;
        const SATURATES: bool = false; // a byte above 127 would be one
        const ROWS: usize = 5;

        #[inline(always)]
        fn vectorize<S: Simd, K: WithSimd>(self, _simd: S, kernel: K) -> K::Output {
            Simd::vectorize(self.0, kernel)
        }

        #[inline(always)]
        fn dot<S: Simd>(self, unsigned: S::f32s, signed: S::f32s, sums: S::f32s) -> S::f32s {
            // SAFETY: `self` is the proof that the machine has the instructions.
            of_short(unsafe {
                let pairs = _mm256_maddubs_epi16(short(unsigned), short(signed));
                _mm256_add_epi32(short(sums), _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            })
        }

        #[inline(always)]
        fn floats<S: Simd>(self, sums: S::f32s) -> S::f32s {
            // SAFETY: `self` is the proof that the machine has the instruction; the rest as in `short`.
            pulp::cast(unsafe { transmute::<__m256, pulp::f32x8>(_mm256_cvtepi32_ps(short(sums))) })
        }

        #[inline(always)]
        fn bytes<S: Simd>(self, numbers: [S::f32s; 4]) -> S::f32s {
            // SAFETY: as in `floats`.
            unsafe {
                let [a, b, c, d] = numbers.map(|x| _mm256_cvtps_epi32(transmute::<pulp::f32x8, __m256>(pulp::cast(x))));
                // packs take turns in each half of a vector
                let packed = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
                of_short(_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::cpu::simd::instructions::Instructions;
    use crate::engine::cpu::simd::vector::{load, store};

    /// Runs each operation on a few vectors of bytes and compares it with arithmetic.
    struct Check<Q>(Q);

    impl<Q: Quads> WithSimd for Check<Q> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let lanes = S::F32_LANES;
            let mut random = fastrand::Rng::with_seed(1);
            for round in 0..200 {
                // the first rounds are the extremes
                let unsigned: Vec<u8> = (0..4 * lanes)
                    .map(|_| if round < 2 { Q::MOST as u8 } else { random.u8(0..=Q::MOST as u8) })
                    .collect();
                let signed: Vec<i8> =
                    (0..4 * lanes).map(|_| [-127, 127].get(round).copied().unwrap_or(random.i8(-127..=127))).collect();
                let sums: Vec<i32> = (0..lanes).map(|_| random.i32(-50_000_000..50_000_000)).collect();
                let floats = |bytes: Vec<u8>| -> Vec<f32> { bytemuck::pod_collect_to_vec(&bytes) };
                let vector = |floats: Vec<f32>| load(simd, &floats);
                let found = self.0.dot::<S>(
                    vector(floats(unsigned.clone())),
                    vector(bytemuck::pod_collect_to_vec(&signed)),
                    vector(bytemuck::pod_collect_to_vec(&sums)),
                );
                let mut bits = vec![0.0; lanes];
                store(simd, &mut bits, found);
                for lane in 0..lanes {
                    let products = (4 * lane..4 * lane + 4).map(|i| i32::from(unsigned[i]) * i32::from(signed[i]));
                    assert_eq!(bits[lane].to_bits() as i32, sums[lane] + products.sum::<i32>());
                }
                store(simd, &mut bits, self.0.floats::<S>(found));
                let expected: Vec<f32> = (0..lanes)
                    .map(|lane| {
                        (4 * lane..4 * lane + 4).map(|i| i32::from(unsigned[i]) * i32::from(signed[i])).sum::<i32>()
                            + sums[lane]
                    })
                    .map(|sum| sum as f32)
                    .collect();
                assert_eq!(bits, expected);

                let beyond = if Q::SATURATES { 2.0 } else { 0.0 };
                let numbers: Vec<f32> =
                    (0..4 * lanes).map(|_| random.f32() * (Q::MOST + 2.0 * beyond) - beyond).collect();
                let of: [S::f32s; 4] = std::array::from_fn(|i| load(simd, &numbers[i * lanes..]));
                store(simd, &mut bits, self.0.bytes::<S>(of));
                let found: &[u8] = bytemuck::cast_slice(&bits);
                let expected: Vec<u8> = numbers.iter().map(|x| x.round_ties_even() as u8).collect();
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn each_machine_multiplies_and_narrows_bytes_as_arithmetic_does() {
        struct OfPortable;
        impl WithSimd for OfPortable {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                Portable.vectorize(simd, Check(Portable));
            }
        }
        Instructions::available().into_iter().for_each(|instructions| instructions.run(OfPortable));
        #[cfg(target_arch = "x86_64")]
        {
            let simd = pulp::Scalar128b; // the proofs have vectors of their own
            Vnni::available(None).into_iter().for_each(|quads| quads.vectorize(simd, Check(quads)));
            Avx512::available().into_iter().for_each(|quads| quads.vectorize(simd, Check(quads)));
            Avx2::available().into_iter().for_each(|quads| quads.vectorize(simd, Check(quads)));
        }
        #[cfg(target_arch = "aarch64")]
        {
            let simd = pulp::Scalar128b; // the proofs have vectors of their own
            I8mm::available().into_iter().for_each(|quads| quads.vectorize(simd, Check(quads)));
            Dotprod::available().into_iter().for_each(|quads| quads.vectorize(simd, Check(quads)));
            Neon::available().into_iter().for_each(|quads| quads.vectorize(simd, Check(quads)));
        }
    }
}
