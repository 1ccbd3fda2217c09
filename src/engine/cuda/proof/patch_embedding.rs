//! Cases of the stem.

use super::case::Case;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::norm::Norm;
use crate::engine::cuda::operations::patch_embedding::{Format, PatchEmbedding, image_offset, prepare, slot_bytes};
use crate::program::InputSpec;

/// Images, height, width, size of a patch, outputs.
type Shape = [usize; 5];

/// Stems as networks have them, with and without a norm; sides that are no multiple of the patch; patches that fill no tile; images of all
/// formats in one batch.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let shapes = [
        ([1, 224, 96, 4, 96], Some(true)),
        ([3, 32, 32, 4, 128], Some(true)),
        ([5, 20, 28, 4, 192], None),
        ([2, 36, 44, 4, 256], Some(false)),
        ([4, 19, 32, 4, 80], Some(true)),
        ([7, 4, 12, 4, 40], None),
        ([3, 30, 21, 4, 96], Some(true)),
        ([3, 16, 32, 8, 50], Some(true)),
        ([3, 35, 34, 16, 130], None),
        ([2, 9, 7, 2, 33], Some(false)),
        ([3, 8, 8, 4, 264], None),
        // so many patches that a warp takes several tiles
        ([700, 12, 20, 4, 96], Some(true)),
    ];
    shapes.into_iter().map(|(shape, norm)| case(shape, norm, ty)).collect()
}

/// `affine`: whether there is a norm, and whether it has scale and shift.
fn case([images, height, width, size, outputs]: Shape, affine: Option<bool>, ty: Type) -> Case {
    let input = InputSpec { height, width, ..InputSpec::imagenet(1) };
    let norm = match affine {
        None => "",
        Some(true) => " + norm",
        Some(false) => " + norm without scale and shift",
    };
    let name = format!("patches of {size}×{size} of {height}×{width} to {outputs}{norm}");
    let case = Case::new(name, ty, images, move |weights| {
        let depth = size * size * 3;
        let weight = weights.numbers(outputs * depth, 0.2, 0.01);
        let bias = weights.numbers(outputs, 0.5, 0.1);
        let (weight, bias) = prepare(&weight, &bias, &input);
        let (weight, bias) = (weights.upload(weight, Type::F32)?, weights.upload(bias, Type::F32)?);
        let norm = match affine {
            None => None,
            Some(false) => Some(Norm { affine: None, eps: 1e-6 }),
            Some(true) => {
                let scale = weights.array(outputs, Type::F32, 0.5, 1.0)?;
                let shift = weights.array(outputs, Type::F32, 0.25, 0.0)?;
                Some(Norm { affine: Some([scale, shift]), eps: 1e-6 })
            }
        };
        Ok(Box::new(PatchEmbedding { input, size, outputs, weight, bias, norm, ty }))
    });
    Case { input: Type::U8, stored: Some(slot(&input, images)), ..case }
}

/// A slot of images, each of the next format, with pixels that repeat nowhere near.
pub(super) fn slot(input: &InputSpec, images: usize) -> Vec<u8> {
    let mut slot = vec![0xff; slot_bytes(input, images)];
    let pixels = 3 * input.height * input.width;
    for image in 0..images {
        let format = [Format::Bytes, Format::F16, Format::F32][image % 3];
        // the low bits of a multiplicative sequence (Knuth)
        let byte = |at: usize| ((at + image * pixels).wrapping_mul(2_654_435_761) >> 16) as u8;
        let normalised = (0..pixels).map(|at| f32::from(byte(at)) / 48.0 - 2.5);
        let bytes = match format {
            Format::Bytes => (0..pixels).map(byte).collect(),
            Format::F32 => Type::F32.encode(normalised),
            Format::F16 => Type::F16.encode(normalised),
        };
        slot[4 * image..4 * image + 4].copy_from_slice(&(format as u32).to_le_bytes());
        let from = image_offset(input, images, image);
        slot[from..from + bytes.len()].copy_from_slice(&bytes);
    }
    slot
}
