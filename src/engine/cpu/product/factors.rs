//! How a kernel multiplies: what stands in the place of a float in rows and panels, and what becomes of its sums. Not here: the loop (`multiply`), bytes (`int8`).

use pulp::{Simd, WithSimd};

use crate::engine::cpu::simd::amx::{Amx, Operands};
use crate::engine::cpu::simd::bf16::Pairs;
use crate::engine::cpu::simd::vector::multiply_add;

/// What a product's rows and panels are made of.
pub(crate) trait Factors: Copy {
    /// Floats before the factors of a row, and rows of floats before those of a panel.
    const HEAD: usize = 0;
    /// Cache lines that a step of the kernel prefetches.
    const LINES: usize = 1;

    /// The most rows of a kernel, whose sums and factors fit the registers.
    fn most_rows<S: Simd>() -> usize;

    /// AMX, where it multiplies them, and how.
    fn amx(self) -> Option<(Amx, Operands)> {
        None
    }

    /// Runs a kernel that is compiled for the instructions that multiply them.
    fn vectorize<S: Simd, K: WithSimd>(self, simd: S, kernel: K) -> K::Output;

    /// `a · b + sum`, of all factors that take the place of one float.
    fn multiply_add<S: Simd>(self, simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s;

    /// The product that a sum stands for. `row` begins with its head; `columns` are the first row of the panel's.
    fn product<S: Simd>(self, _simd: S, sum: S::f32s, _row: &[f32], _columns: S::f32s) -> S::f32s {
        sum
    }
}

/// Rows of the largest kernel of 32 registers. With 11 and more too few are left for the factors: the compiler then loads those of several depths ahead and
/// keeps them on the stack, which halves the speed.
pub(crate) const MAX_ROWS: usize = 10;

/// One float.
#[derive(Clone, Copy)]
pub(crate) struct Floats;

impl Factors for Floats {
    #[inline(always)]
    fn most_rows<S: Simd>() -> usize {
        if S::REGISTER_COUNT >= 32 { MAX_ROWS } else { 6 }
    }

    #[inline(always)]
    fn vectorize<S: Simd, K: WithSimd>(self, simd: S, kernel: K) -> K::Output {
        simd.vectorize(kernel)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(self, simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        multiply_add(simd, a, b, sum)
    }
}

/// Two numbers of bf16.
impl Factors for Pairs {
    #[inline(always)]
    fn most_rows<S: Simd>() -> usize {
        MAX_ROWS
    }

    #[inline(always)]
    fn amx(self) -> Option<(Amx, Operands)> {
        Pairs::amx(self).map(|amx| (amx, Operands::Pairs))
    }

    #[inline(always)]
    fn vectorize<S: Simd, K: WithSimd>(self, _simd: S, kernel: K) -> K::Output {
        Pairs::vectorize(self, kernel)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(self, _simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        Pairs::multiply_add::<S>(self, a, b, sum)
    }
}
