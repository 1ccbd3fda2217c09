//! Where a batch's images lie in the memory that they are copied to. Not here: who writes them.

use crate::engine::PixelFormat;
use crate::program::InputSpec;

/// To what the table and each image are rounded up, in bytes.
const ALIGNMENT: usize = 256;

/// How an image comes, as the table at the slot's start says it, a u32 per image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `[height, width, 3]` of u8.
    Bytes = 0,
    /// `[3, height, width]` of f32, normalised.
    F32 = 1,
    /// `[3, height, width]` of f16, normalised.
    F16 = 2,
}

impl From<PixelFormat> for Format {
    fn from(format: PixelFormat) -> Self {
        match format {
            PixelFormat::Rgb8 => Self::Bytes,
            PixelFormat::F32 => Self::F32,
            PixelFormat::F16 => Self::F16,
        }
    }
}

/// Bytes of the slot of a batch: the table of formats, then room for each image in any format.
pub(crate) fn slot_bytes(input: &InputSpec, images: usize) -> usize {
    image_offset(input, images, images)
}

/// Where an image of a batch of `images` begins, in bytes.
pub(crate) fn image_offset(input: &InputSpec, images: usize, image: usize) -> usize {
    let table = (images * size_of::<u32>()).next_multiple_of(ALIGNMENT);
    let largest = 3 * input.height * input.width * size_of::<f32>();
    table + image * largest.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_follow_the_table_at_multiples_of_256_bytes() {
        let input = InputSpec { height: 3, width: 5, ..InputSpec::imagenet(1) };
        assert_eq!([0, 1, 2].map(|image| image_offset(&input, 2, image)), [256, 512, 768]);
        assert_eq!(slot_bytes(&input, 2), 768);
        assert_eq!(image_offset(&input, 65, 0), 512);
        assert_eq!(slot_bytes(&InputSpec::imagenet(224), 1), 256 + 12 * 224 * 224);
    }
}
