//! Norms in two passes: the mean, then the variance about it. A mean of squares would lose digits far from zero. An RMS norm needs one.
//!
//! Not here: which rows are normed (`fused/source`).

use pulp::Simd;

use crate::engine::cpu::simd::vector::multiply_add;
use crate::program::NormKind;

/// Vectors of partial sums, so that an addition does not wait for the one before.
const SUMS: usize = 4;

/// A norm over the channels of each row.
pub(crate) struct Norm {
    kind: NormKind,
    eps: f32,
    /// Scale and shift, each `[c]`, where they were not folded.
    affine: Option<(Vec<f32>, Vec<f32>)>,
}

impl Norm {
    /// A norm, with its scale and shift where they were not folded.
    pub(crate) fn new(kind: NormKind, eps: f32, affine: Option<(Vec<f32>, Vec<f32>)>) -> Self {
        Self { kind, eps, affine }
    }

    /// Norms one row, in place.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(&self, simd: S, channels: &mut [f32]) {
        let count = channels.len() as f32;
        // what is squared is about one number, what is divided about another
        let (mean, variance) = match self.kind {
            NormKind::Layer => {
                let mean = sum::<S, false>(simd, channels, 0.0) / count;
                (mean, sum::<S, true>(simd, channels, mean) / count)
            }
            NormKind::Rms => (0.0, sum::<S, true>(simd, channels, 0.0) / count),
            NormKind::Simple => {
                let mean = sum::<S, false>(simd, channels, 0.0) / count;
                (0.0, sum::<S, true>(simd, channels, mean) / (count - 1.0))
            }
        };
        let factor = 1.0 / (variance + self.eps).sqrt();
        let (means, factors) = (simd.splat_f32s(mean), simd.splat_f32s(factor));
        let (vectors, rest) = S::as_mut_simd_f32s(channels);
        let whole = vectors.len() * S::F32_LANES;
        for x in vectors.iter_mut() {
            *x = simd.mul_f32s(simd.sub_f32s(*x, means), factors);
        }
        for x in rest.iter_mut() {
            *x = (*x - mean) * factor;
        }
        if let Some((scale, shift)) = &self.affine {
            let affine = S::as_simd_f32s(scale).0.iter().zip(S::as_simd_f32s(shift).0);
            for (x, (scale, shift)) in vectors.iter_mut().zip(affine) {
                *x = multiply_add(simd, *x, *scale, *shift);
            }
            for (x, (scale, shift)) in rest.iter_mut().zip(scale[whole..].iter().zip(&shift[whole..])) {
                *x = *x * scale + shift;
            }
        }
    }
}

/// `Σ (x − mean)`, or `Σ (x − mean)²`.
#[inline(always)]
fn sum<S: Simd, const SQUARES: bool>(simd: S, values: &[f32], mean: f32) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(values);
    let means = simd.splat_f32s(mean);
    let mut sums = [simd.splat_f32s(0.0); SUMS];
    let add = |sum: S::f32s, x: S::f32s| {
        let x = simd.sub_f32s(x, means);
        if SQUARES { multiply_add(simd, x, x, sum) } else { simd.add_f32s(sum, x) }
    };
    let (chunks, last) = vectors.as_chunks::<SUMS>();
    for chunk in chunks {
        for part in 0..SUMS {
            sums[part] = add(sums[part], chunk[part]);
        }
    }
    // by constant indices: sums that are found by a variable one would be kept in memory
    for part in 0..SUMS {
        if let Some(x) = last.get(part) {
            sums[part] = add(sums[part], *x);
        }
    }
    let all = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    let mut total = simd.reduce_sum_f32s(all);
    for x in rest {
        let x = x - mean;
        total += if SQUARES { x * x } else { x };
    }
    total
}
