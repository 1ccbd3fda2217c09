//! Samples of a TIFF to RGB, as Pillow unpacks and converts them.
//!
//! Not here: decompression (`unpack`).

use super::layout::{Compression, Format, Layout, Photometric};
use crate::pixels::samples::{clip_16, cmyk_to_rgb, high_byte};

/// How a row of samples becomes RGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    /// Of 1, 2, 4 or 8 bits; the flag is whether 0 is white.
    Grey(usize, bool),
    /// Of 1, 2, 4 or 8 bits.
    Palette(usize),
    /// Wider grey, which Pillow clips to a byte, fractions cut off, and of which it knows no white 0.
    Wide(Wide),
    /// Of bytes, or of the high bytes of 16 bits.
    Rgb,
    Cmyk,
}

/// Grey of more than 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wide {
    Of12,
    Of16,
    Signed16,
    Of32,
    Float,
}

impl Colours {
    /// Of a layout; an error names what is not decoded.
    pub(super) fn of(layout: &Layout) -> Result<Self, String> {
        use Photometric::{BlackIsZero, Cmyk, Palette, Rgb, WhiteIsZero, YCbCr};
        let made_rgb = layout.ycbcr.is_some() || layout.compression == Compression::Jpeg && !layout.planar;
        Ok(match (layout.photometric, layout.format, layout.bits) {
            (WhiteIsZero, Format::Unsigned, bits @ (1 | 2 | 4 | 8)) => Self::Grey(bits, true),
            (BlackIsZero, Format::Unsigned, bits @ (1 | 2 | 4 | 8)) => Self::Grey(bits, false),
            (BlackIsZero, Format::Signed, 8) => Self::Grey(8, false), // as if they had no sign
            (Palette, _, bits @ (1 | 2 | 4 | 8)) if !layout.palette.is_empty() => Self::Palette(bits),
            (BlackIsZero, Format::Unsigned, 12) => Self::Wide(Wide::Of12),
            (WhiteIsZero | BlackIsZero, Format::Unsigned, 16) => Self::Wide(Wide::Of16),
            (WhiteIsZero | BlackIsZero, Format::Signed, 16) => Self::Wide(Wide::Signed16),
            (WhiteIsZero | BlackIsZero, Format::Unsigned | Format::Signed, 32) => Self::Wide(Wide::Of32),
            (WhiteIsZero | BlackIsZero, Format::Float, 32) => Self::Wide(Wide::Float),
            (Rgb, Format::Unsigned, 8 | 16) => Self::Rgb,
            (Cmyk, Format::Unsigned, 8 | 16) => Self::Cmyk,
            (YCbCr, Format::Unsigned, 8) if made_rgb => Self::Rgb,
            (photometric, format, bits) => {
                return Err(format!(
                    "its samples are {photometric:?} of {bits} bits, {format:?}, which is not decoded; save it as RGB with 8 bits"
                ));
            }
        })
    }

    /// Writes RGB of a row. `planes` has the row of each sample where those lie apart, else one.
    pub(super) fn row(self, layout: &Layout, planes: &[&[u8]], onto: &mut [u8]) {
        let pixels = onto.as_chunks_mut::<3>().0.iter_mut().enumerate();
        let first = planes.first().copied().unwrap_or_default();
        let samples = layout.samples_of_chunk();
        // the sample of a pixel, in a byte
        let byte = |x: usize, sample: usize| {
            let (plane, at) = if layout.planar { (planes[sample], x) } else { (first, x * samples + sample) };
            match layout.bits {
                16 => high_byte(u16::from_le_bytes([plane[2 * at], plane[2 * at + 1]])),
                _ => plane[at],
            }
        };
        // that of the first sample, of as many bits
        let few = |x: usize, bits: usize| {
            let bit = x * if layout.planar { 1 } else { samples } * bits;
            (first[bit / 8] >> (8 - bits - bit % 8)) & (255 >> (8 - bits))
        };
        match self {
            Self::Grey(bits, white_is_zero) => pixels.for_each(|(x, pixel)| {
                let grey = few(x, bits) * (255 / (255 >> (8 - bits)));
                let grey = if white_is_zero { 255 - grey } else { grey };
                *pixel = [if layout.premultiplied && bits == 8 { divided(grey, byte(x, 1)) } else { grey }; 3];
            }),
            Self::Palette(bits) => pixels.for_each(|(x, pixel)| {
                let index = few(x, bits);
                *pixel = layout.palette.get(usize::from(index)).copied().unwrap_or([index; 3]);
            }),
            Self::Wide(wide) => pixels.for_each(|(x, pixel)| *pixel = [wide.byte(first, x * samples); 3]),
            Self::Rgb if layout.premultiplied => {
                pixels.for_each(|(x, pixel)| *pixel = [0, 1, 2].map(|sample| divided(byte(x, sample), byte(x, 3))));
            }
            Self::Rgb => pixels.for_each(|(x, pixel)| *pixel = [0, 1, 2].map(|sample| byte(x, sample))),
            Self::Cmyk => {
                pixels.for_each(|(x, pixel)| *pixel = cmyk_to_rgb([0, 1, 2, 3].map(|sample| byte(x, sample))));
            }
        }
    }
}

impl Wide {
    /// The value at index `at` of a row, clipped to a byte (`as` saturates and cuts fractions off).
    fn byte(self, row: &[u8], at: usize) -> u8 {
        let four = || row[4 * at..].first_chunk().copied().unwrap_or_default();
        let two = || row[2 * at..].first_chunk().copied().unwrap_or_default();
        match self {
            Self::Of12 => {
                let pair = [row[at * 12 / 8], row[at * 12 / 8 + 1]];
                let value = u16::from_be_bytes(pair);
                clip_16(if at.is_multiple_of(2) { value >> 4 } else { value & 0x0FFF })
            }
            Self::Of16 => clip_16(u16::from_le_bytes(two())),
            Self::Signed16 => i16::from_le_bytes(two()).clamp(0, 255) as u8,
            // Pillow has no unsigned numbers of 32 bits
            Self::Of32 => i32::from_le_bytes(four()).clamp(0, 255) as u8,
            Self::Float => f32::from_le_bytes(four()) as u8,
        }
    }
}

/// A colour into which `alpha` was multiplied, without it, as Pillow's `RGBa` to `RGBA`.
fn divided(colour: u8, alpha: u8) -> u8 {
    match alpha {
        0 => 0,
        alpha => (u32::from(colour) * 255 / u32::from(alpha)).min(255) as u8,
    }
}
