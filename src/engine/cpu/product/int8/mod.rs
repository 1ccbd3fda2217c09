//! Products of bytes: rows of unsigned bytes by a weight of signed ones, in sums of 32 bits, which are exact.
//!
//! A row is quantised where it is made, to a step and a zero of its own (`rows`); a weight when it is loaded, to a step per column
//! (`packed`). What comes of a product are floats, in steps of their column, which the epilogue multiplies; so that everything beside products is what it is in f32. Not here: the instructions (`simd/int8`).
//!
//! A deep row is cut as its weight is: each block of its depth has a step of its own. So the hidden layer of a block need not be whole
//! before a part of it is multiplied, and one large number spoils the digits of its block alone.

pub(crate) mod packed;
pub(crate) mod rows;

use pulp::{Simd, WithSimd};

use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::product::factors::Factors;
use crate::engine::cpu::product::multiply::Product;
use crate::engine::cpu::simd::amx::{Amx, Operands, SIDE};
use crate::engine::cpu::simd::instructions::Instructions;
#[cfg(target_arch = "x86_64")]
use crate::engine::cpu::simd::int8::{Avx2, Avx512, Vnni};
#[cfg(target_arch = "aarch64")]
use crate::engine::cpu::simd::int8::{Dotprod, I8mm, Neon};
use crate::engine::cpu::simd::int8::{Portable, Quads};
use crate::engine::cpu::simd::vector::multiply_add;

/// Bytes in the place of a float.
pub(crate) const PER_FLOAT: usize = 4;
/// Floats before the bytes of a row, and rows of floats before those of a panel: of a row its step and its offset, of a panel the sums of its columns and their steps.
pub(crate) const HEAD: usize = 2;

/// The instructions that multiply bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bytes {
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    I8mm(I8mm),
    #[cfg(target_arch = "aarch64")]
    Dotprod(Dotprod),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

/// Evaluates an expression with the instructions of a [`Bytes`].
macro_rules! with {
    ($bytes:expr, $quads:ident => $result:expr) => {
        match $bytes {
            #[cfg(target_arch = "x86_64")]
            Bytes::Vnni($quads) => $result,
            #[cfg(target_arch = "x86_64")]
            Bytes::Avx512($quads) => $result,
            #[cfg(target_arch = "x86_64")]
            Bytes::Avx2($quads) => $result,
            #[cfg(target_arch = "aarch64")]
            Bytes::I8mm($quads) => $result,
            #[cfg(target_arch = "aarch64")]
            Bytes::Dotprod($quads) => $result,
            #[cfg(target_arch = "aarch64")]
            Bytes::Neon($quads) => $result,
            Bytes::Portable($quads) => $result,
        }
    };
}

impl Bytes {
    /// The fastest with the vectors of an instruction set.
    pub(crate) fn of(instructions: Instructions) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let found = match instructions.lanes() {
                16 => Vnni::available(instructions.amx()).map(Self::Vnni).or(Avx512::available().map(Self::Avx512)),
                8 => Avx2::available().map(Self::Avx2),
                _ => None,
            };
            if let Some(found) = found {
                return found;
            }
        }
        #[cfg(target_arch = "aarch64")]
        if instructions.has_neon() {
            let dot = I8mm::available().map(Self::I8mm).or(Dotprod::available().map(Self::Dotprod));
            if let Some(found) = dot.or(Neon::available().map(Self::Neon)) {
                return found;
            }
        }
        let _ = instructions;
        Self::Portable(Portable)
    }

    /// AMX, where it multiplies.
    pub(crate) fn amx(self) -> Option<Amx> {
        with!(self, quads => quads.amx())
    }

    /// Floats before the bytes of each block: a step and an offset, or a step of the weight and sums. AMX reads 16 rows at once, which are to start with cache lines.
    pub(crate) fn head(self) -> usize {
        self.amx().map_or(HEAD, |_| SIDE)
    }

    /// The same instructions without AMX.
    pub(crate) fn without_amx(self) -> Self {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni(vnni) => Self::Vnni(vnni.without_amx()),
            _ => self,
        }
    }

    /// Whether these instructions are faster than floats.
    pub(crate) fn is_fast(self) -> bool {
        !matches!(self, Self::Portable(_))
    }

    /// The largest byte of a quantised row.
    pub(crate) fn largest(self) -> u8 {
        fn of<Q: Quads>(_: Q) -> u8 {
            Q::MOST as u8
        }
        with!(self, quads => of(quads))
    }

    /// Quantises each row of a tile, in its own place.
    #[inline(always)]
    pub(crate) fn quantize<S: Simd>(self, simd: S, tile: &mut Tile<'_>) {
        with!(self, quads => quads.vectorize(simd, rows::QuantizeRows { quads, tile }));
    }

    /// Multiplies rows by a weight, both of bytes.
    #[inline(always)]
    pub(super) fn multiply<S: Simd>(self, simd: S, product: Product<'_, '_>) {
        with!(self, quads => product.run(simd, Dots(quads)));
    }

    /// Runs a kernel of vectors, with what multiplies their bytes.
    pub(crate) fn vectorize<K: WithBytes>(self, instructions: Instructions, kernel: K) -> K::Output {
        with!(self, quads => instructions.run(Outer { quads, kernel }))
    }
}

/// A kernel over instructions that multiply bytes.
pub(crate) trait WithBytes {
    type Output;
    /// Runs it, compiled for these instructions.
    fn with_bytes<S: Simd, F: Factors>(self, simd: S, bytes: F) -> Self::Output;
}

struct Outer<Q, K> {
    quads: Q,
    kernel: K,
}

impl<Q: Quads, K: WithBytes> WithSimd for Outer<Q, K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> K::Output {
        self.quads.vectorize(simd, Inner(self))
    }
}

struct Inner<Q, K>(Outer<Q, K>);

impl<Q: Quads, K: WithBytes> WithSimd for Inner<Q, K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> K::Output {
        let Outer { quads, kernel } = self.0;
        kernel.with_bytes(simd, Dots(quads))
    }
}

/// Four bytes.
#[derive(Clone, Copy)]
struct Dots<Q>(Q);

impl<Q: Quads> Factors for Dots<Q> {
    const HEAD: usize = HEAD;
    const LINES: usize = 2; // few rows have few steps

    #[inline(always)]
    fn most_rows<S: Simd>() -> usize {
        Q::ROWS
    }

    #[inline(always)]
    fn amx(self) -> Option<(Amx, Operands)> {
        self.0.amx().map(|amx| (amx, Operands::Quads))
    }

    #[inline(always)]
    fn vectorize<S: Simd, K: WithSimd>(self, simd: S, kernel: K) -> K::Output {
        self.0.vectorize(simd, kernel)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(self, _simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        self.0.dot::<S>(a, b, sum)
    }

    #[inline(always)]
    fn product<S: Simd>(self, simd: S, sum: S::f32s, row: &[f32], column_sums: S::f32s) -> S::f32s {
        let (step, offset) = (simd.splat_f32s(row[0]), simd.splat_f32s(row[1]));
        multiply_add(simd, self.0.floats::<S>(sum), step, simd.mul_f32s(offset, column_sums))
    }
}
