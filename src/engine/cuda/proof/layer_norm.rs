//! Cases of norms.

use super::case::Case;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::layer_norm::LayerNorm;
use crate::program::NormKind;

/// Rows as ConvNeXt and Swin have them, among them patch merging's 4 C, and lengths that no vector divides or that are odd, about a mean that is far from
/// zero: a variance by E[x²] − mean² would lose all digits.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let channels = [1, 2, 3, 19, 40, 77, 66, 80, 96, 192, 320, 384, 768, 1536, 2048, 3072, 4096];
    let case = |kind: NormKind, channels: usize, affine: bool| Case {
        spread: (6.0, 20.0),
        ..Case::new(format!("{kind:?} norm of {channels} channels, affine: {affine}"), ty, 3, move |weights| {
            let affine = if affine {
                let scale = weights.array(channels, Type::F32, 0.5, 1.0)?;
                Some([scale, weights.array(channels, Type::F32, 0.25, 0.0)?])
            } else {
                None
            };
            Ok(Box::new(LayerNorm { rows: 7, channels, kind, affine, eps: 1e-6, ty }))
        })
    };
    let layer = channels.into_iter().map(|channels| case(NormKind::Layer, channels, true));
    let others = [2, 19, 32, 40, 320, 2048]
        .into_iter()
        .flat_map(|channels| [NormKind::Rms, NormKind::Simple].map(|kind| case(kind, channels, channels != 40)));
    layer.chain([case(NormKind::Layer, 96, false)]).chain(others).collect()
}
