//! Cases of layer norm.

use super::case::Case;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::layer_norm::LayerNorm;

/// Rows as ConvNeXt and Swin have them, among them patch merging's 4 C, and lengths that no vector divides or that are odd, about a mean that is far from
/// zero: a variance by E[x²] − mean² would lose all digits.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let channels = [1, 2, 3, 19, 40, 77, 66, 80, 96, 192, 320, 384, 768, 1536, 2048, 3072, 4096];
    let case = |channels: usize, affine: bool| Case {
        spread: (6.0, 20.0),
        ..Case::new(format!("layer norm of {channels} channels, affine: {affine}"), ty, 3, move |weights| {
            let affine = if affine {
                let scale = weights.array(channels, Type::F32, 0.5, 1.0)?;
                Some([scale, weights.array(channels, Type::F32, 0.25, 0.0)?])
            } else {
                None
            };
            Ok(Box::new(LayerNorm { rows: 7, channels, affine, eps: 1e-6, ty }))
        })
    };
    channels.into_iter().map(|channels| case(channels, true)).chain([case(96, false)]).collect()
}
