//! Cases of the depthwise convolution.

use super::case::Case;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::depthwise::Depthwise;
use crate::engine::cuda::operations::norm::Norm;

/// What a case is of: images, height, width, channels, kernel.
type Shape = [usize; 5];

/// Maps as ConvNeXt has them, with few images, and small ones with so many that a block takes several; maps that no tile divides; kernels larger
/// than the map, and of other sizes; channels that no vector divides.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let alone = [
        [1, 56, 56, 96, 7],
        [1, 14, 14, 384, 7],
        [2, 7, 7, 768, 7],
        [3, 28, 28, 64, 7],
        [9000, 1, 2, 16, 7],
        [1, 15, 9, 40, 7],
        [2, 1, 1, 72, 7],
        [1, 2, 33, 136, 7],
        [2, 31, 5, 16, 7],
        [1, 9, 10, 24, 13],
        [2, 5, 4, 8, 11],
        [1, 6, 7, 33, 7],
        [2, 8, 3, 5, 3],
        [1, 4, 4, 20, 1],
    ];
    let normed = [
        [1, 56, 28, 96, 7],
        [1, 14, 28, 192, 7],
        [2, 14, 14, 128, 7],
        [1, 9, 14, 384, 7],
        [1, 7, 7, 768, 7],
        [2000, 1, 3, 32, 7],
        [2, 9, 15, 32, 7],
        [1, 1, 5, 160, 7],
        [1, 7, 9, 40, 7],
        // blocks that share several tiles; positions as wide as a warp can hold, and wider
        [1500, 2, 3, 48, 7],
        [3, 7, 7, 136, 7],
        [1, 3, 4, 1024, 7],
        [2, 2, 3, 2048, 7],
        [1, 2, 3, 2056, 7],
        [2, 5, 6, 30, 5],
        [1, 3, 2, 33, 13],
    ];
    // f32 has the plain kernel alone, for which small maps are as good
    let taken = |shape: &Shape| ty != Type::F32 || shape[..4].iter().product::<usize>() < 100_000;
    let alone = alone.into_iter().filter(taken).map(|shape| case(shape, ty, None));
    let normed = normed.into_iter().filter(taken).enumerate();
    alone.chain(normed.map(|(index, shape)| case(shape, ty, Some(index % 3 != 1)))).collect()
}

/// `affine`: whether the norm, where there is one, has scale and shift.
fn case([images, height, width, channels, kernel]: Shape, ty: Type, affine: Option<bool>) -> Case {
    let norm = match affine {
        None => "",
        Some(true) => " + norm",
        Some(false) => " + norm without scale and shift",
    };
    let name = format!("depthwise {kernel}×{kernel} of {height}×{width}×{channels}{norm}");
    Case::new(name, ty, images, move |weights| {
        let weight = weights.array(kernel * kernel * channels, Type::F32, 0.3, 0.02)?;
        let bias = weights.array(channels, Type::F32, 0.5, 0.1)?;
        let norm = match affine {
            None => None,
            Some(false) => Some(Norm { affine: None, eps: 1e-6 }),
            Some(true) => {
                let scale = weights.array(channels, Type::F32, 0.5, 1.0)?;
                let shift = weights.array(channels, Type::F32, 0.25, 0.0)?;
                Some(Norm { affine: Some([scale, shift]), eps: 1e-6 })
            }
        };
        Ok(Box::new(Depthwise { height, width, channels, kernel, weight, bias, norm, ty }))
    })
}
