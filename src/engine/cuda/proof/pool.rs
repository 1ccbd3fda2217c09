//! Cases of pooling.

use super::case::Case;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::pool::{Pool, PoolNorm};

/// What follows the means.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Norm,
    NormAndAffine,
}

/// Heads of ConvNeXt and Swin, few rows and many, widths that no vector divides, and f32 from 16 bits; means that are far from zero.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let case = |rows: usize, channels: usize, then: Then, output: Type| Case {
        output,
        spread: (6.0, 20.0),
        ..Case::new(format!("pool {rows} × {channels}, then {then:?}, to {}", output.name()), ty, 3, move |weights| {
            let norm = match then {
                Then::Nothing => None,
                Then::Norm => Some(PoolNorm { affine: None, eps: 1e-5 }),
                Then::NormAndAffine => {
                    let scale = weights.array(channels, Type::F32, 0.5, 1.0)?;
                    let shift = weights.array(channels, Type::F32, 0.25, 0.0)?;
                    Some(PoolNorm { affine: Some([scale, shift]), eps: 1e-6 })
                }
            };
            Ok(Box::new(Pool { rows, channels, norm, ty, output }))
        })
    };
    vec![
        case(49, 768, Then::NormAndAffine, ty),
        case(49, 768, Then::Nothing, ty),
        case(49, 1536, Then::Norm, ty),
        case(144, 320, Then::NormAndAffine, Type::F32),
        case(49, 768, Then::Nothing, Type::F32),
        case(1, 64, Then::Nothing, ty),
        case(7, 1, Then::Nothing, ty),
        case(1000, 40, Then::NormAndAffine, ty),
        case(10, 33, Then::NormAndAffine, ty),
        case(9, 1023, Then::Norm, ty),
        case(13, 66, Then::Nothing, Type::F32),
    ]
}
