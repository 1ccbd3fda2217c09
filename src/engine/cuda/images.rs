//! Images for a self-check: noise by a seed, in every format. Not here: what is done with them (`self_check`).

use half::f16;

use crate::engine::{Image, PixelFormat};
use crate::program::Program;

/// So many images that a program takes, the first as bytes, others also as tensors.
pub(super) fn noise(program: &Program, count: usize) -> Vec<Image> {
    (0..count).map(|seed| image(program, seed)).collect()
}

fn image(program: &Program, seed: usize) -> Image {
    let len = program.input.height * program.input.width * 3;
    // splitmix64 (Steele et al. 2014) of seed and place
    let byte = |place: usize| {
        let mut z = ((seed as u64) << 32 | place as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 56) as u8
    };
    let normalised = |place: usize| f32::from(byte(place)) / 64.0 - 2.0;
    match seed % 3 {
        0 => Image::new(PixelFormat::Rgb8, (0..len).map(byte).collect::<Vec<u8>>()),
        1 => Image::new(
            PixelFormat::F32,
            (0..len).flat_map(|place| normalised(place).to_le_bytes()).collect::<Vec<u8>>(),
        ),
        _ => {
            let half = |place| f16::from_f32(normalised(place)).to_le_bytes();
            Image::new(PixelFormat::F16, (0..len).flat_map(half).collect::<Vec<u8>>())
        }
    }
}
