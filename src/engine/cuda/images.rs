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
    let mut random = fastrand::Rng::with_seed(seed as u64);
    let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
    let normalised = |byte: &u8| f32::from(*byte) / 64.0 - 2.0;
    match seed % 3 {
        0 => Image::new(PixelFormat::Rgb8, bytes),
        1 => {
            let single = |byte| normalised(byte).to_le_bytes();
            Image::new(PixelFormat::F32, bytes.iter().flat_map(single).collect::<Vec<u8>>())
        }
        _ => {
            let half = |byte| f16::from_f32(normalised(byte)).to_le_bytes();
            Image::new(PixelFormat::F16, bytes.iter().flat_map(half).collect::<Vec<u8>>())
        }
    }
}
