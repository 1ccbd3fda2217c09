//! A LayerNorm at the end of another operation, over sums that were not rounded: its weights, and what it must compute. Not here: a norm
//! that is a launch of its own (`layer_norm`).

use super::Expected;
use crate::engine::cuda::array::{Array, Contents, address};
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::number::Type;

/// Half the distance of two neighbouring f32 at 1.
const UNIT: f64 = 1.0 / (1u64 << 24) as f64;

/// `(x − mean) / sqrt(var + eps) · scale + shift` over the channels of each position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Norm {
    /// Scale and shift in f32, `[channels]` each.
    pub(crate) affine: Option<[Array; 2]>,
    pub(crate) eps: f32,
}

impl Norm {
    /// Addresses of scale and shift, and eps, as kernels take them.
    pub(crate) fn arguments(norm: Option<Self>) -> ([u64; 2], f32) {
        let affine = norm.and_then(|norm| norm.affine);
        let addresses = affine.map_or([None, None], |arrays| arrays.map(Some)).map(address);
        (addresses, norm.map_or(0.0, |norm| norm.eps))
    }

    /// What `channels` must be of a position whose sums are these, each a value and how far an f32 sum may be from it.
    pub(crate) fn expected(
        &self,
        sums: &[Expected],
        channels: &[usize],
        ty: Type,
        memory: &dyn Contents,
    ) -> Result<Vec<Expected>, DriverError> {
        let count = sums.len() as f64;
        let mean = sums.iter().map(|sum| sum.value).sum::<f64>() / count;
        let variance = sums.iter().map(|sum| (sum.value - mean).powi(2)).sum::<f64>() / count;
        let deviation = (variance + f64::from(self.eps)).sqrt();
        // a kernel adds up at most a quarter of the row in one lane, then the lanes
        let adding = (count / 4.0 + 8.0) * UNIT;
        let mean_error = (sums.iter().map(|sum| sum.bound + adding * sum.value.abs()).sum::<f64>()) / count;
        // of the standard deviation, as a share of it: by errors of the deviations (at most their root mean square), and of adding squares
        let errors = sums.iter().map(|sum| (sum.bound + mean_error).powi(2)).sum::<f64>() / count;
        let share = errors.sqrt() / deviation + adding + 4.0 * UNIT;
        let affine = self.affine.map(|arrays| arrays.map(|array| memory.read(array, 0..sums.len())));
        let affine = match affine {
            Some([scale, shift]) => Some((scale?, shift?)),
            None => None,
        };
        let expected = channels.iter().map(|channel| {
            let sum = sums[*channel];
            let normed = (sum.value - mean) / deviation;
            let off = (sum.bound + mean_error + UNIT * mean.abs()) / deviation + normed.abs() * share;
            let (scale, shift) =
                affine.as_ref().map_or((1.0, 0.0), |(scale, shift)| (scale[*channel], shift[*channel]));
            let value = normed * scale + shift;
            let bound = off * scale.abs() + 2.0 * UNIT * ((normed * scale).abs() + shift.abs());
            rounded(Expected { value, bound }, ty)
        });
        Ok(expected.collect())
    }
}

/// A sum in f32 of `products.len()` products and a bias, in any order: each addition errs by at most a unit of what is added up so far.
pub(crate) fn sum(products: impl Iterator<Item = f64>, bias: f64) -> Expected {
    let (mut value, mut size, mut count) = (bias, bias.abs(), 1.0);
    for product in products {
        value += product;
        size += product.abs();
        count += 1.0;
    }
    Expected { value, bound: count * UNIT * size }
}

/// An f32 after it was rounded to a type.
pub(crate) fn rounded(exact: Expected, ty: Type) -> Expected {
    let Expected { value, bound } = exact;
    Expected { value, bound: bound + ty.unit() * (value.abs() + bound) + ty.smallest() }
}
