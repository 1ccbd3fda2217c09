//! Samples of any depth to 8-bit RGB, as Pillow's decoders and its `convert("RGB")` do.
//!
//! Not here: which samples a format has.

/// Grey of three equal samples.
pub(super) fn grey_to_rgb(grey: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(grey.len() * 3);
    for value in grey {
        rgb.extend_from_slice(&[value; 3]);
    }
    rgb
}

/// 16-bit grey. Pillow clips it to 255 rather than scale it (mode `I;16` to `RGB`), so most such images turn out white.
pub(super) fn clip_16(sample: u16) -> u8 {
    sample.min(255) as u8
}

/// 16-bit samples of colours. Pillow takes their high byte (raw mode `RGB;16B`).
pub(super) fn high_byte(sample: u16) -> u8 {
    (sample >> 8) as u8
}

/// The first three of every `channels` samples.
pub(super) fn drop_alpha(samples: &[u8], channels: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(samples.len() / channels * 3);
    for pixel in samples.chunks_exact(channels) {
        rgb.extend_from_slice(&pixel[..3]);
    }
    rgb
}

/// Colours by index; a missing one is the grey of its index, as in Pillow's palettes.
pub(super) fn palette_to_rgb(indices: impl ExactSizeIterator<Item = u8>, colours: &[[u8; 3]]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(indices.len() * 3);
    for index in indices {
        rgb.extend_from_slice(colours.get(usize::from(index)).unwrap_or(&[index; 3]));
    }
    rgb
}

/// CMYK to RGB: `(255 − ink)(255 − black) / 255`, rounded as Pillow's `cmyk2rgb`.
pub(super) fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = u32::from(255 - black);
    [cyan, magenta, yellow].map(|ink| {
        let scaled = u32::from(255 - ink) * light + 128;
        ((scaled + (scaled >> 8)) >> 8) as u8
    })
}
