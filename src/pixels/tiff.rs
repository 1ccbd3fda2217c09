//! TIFF: its first image, in strips or tiles, grey, palette, RGB or CMYK, by the `tiff` crate.
//!
//! Not JPEG or fax inside a TIFF: the crate gives these decoders no limits, and what they decode may be larger than the head says.

use std::borrow::Cow;
use std::io::Cursor;

use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::{PhotometricInterpretation, Tag};
use ::tiff::{ColorType, TiffError};
use image::metadata::Orientation;

use super::header::{Header, SIDE_BYTES, expect_size};
use super::orientation;
use super::rgb::{Rgb, rgb};
use super::samples::{clip_16, cmyk_to_rgb, grey_to_rgb, high_byte, palette_to_rgb};

/// Columns and rows, from the head.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), String> {
    open(bytes)?.dimensions().map_err(says)
}

/// Decodes the first image.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Rgb, String> {
    let mut decoder = open(bytes)?;
    let (width, height) = decoder.dimensions().map_err(says)?;
    expect_size(header, width, height)?;
    let turn = decoder.find_tag_unsigned::<u8>(Tag::Orientation).map_err(says)?.and_then(Orientation::from_exif);
    let palette = palette(&mut decoder)?;
    let bytes = if palette.is_some() { Cow::Owned(with_indices_as_grey(bytes)?) } else { Cow::Borrowed(bytes) };

    let mut limits = Limits::default();
    let memory = header.pixels().saturating_mul(16).saturating_add(SIDE_BYTES); // four 32-bit samples per pixel at most
    limits.decoding_buffer_size = usize::try_from(memory).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    let mut decoder = open(&bytes)?.with_limits(limits);
    let samples = Samples::read(&mut decoder, width as usize, height as usize)?;
    let image = rgb(width, height, samples.to_rgb(palette.as_deref())?)?;
    orientation::upright(image, turn.unwrap_or(Orientation::NoTransforms))
}

fn open(bytes: &[u8]) -> Result<Decoder<Cursor<&[u8]>>, String> {
    Decoder::new(Cursor::new(bytes)).map_err(says)
}

fn says(error: TiffError) -> String {
    error.to_string()
}

/// The colours, if pixels are indices of them: all reds, then all greens, then all blues, of which Pillow keeps the high byte.
fn palette(decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Option<Vec<[u8; 3]>>, String> {
    let photometric = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).map_err(says)?;
    if photometric != Some(PhotometricInterpretation::RGBPalette.to_u16()) {
        return Ok(None);
    }
    let map = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(says)?;
    let count = map.len() / 3;
    Ok(Some((0..count).map(|i| [map[i], map[count + i], map[2 * count + i]].map(high_byte)).collect()))
}

/// A copy of the file which says that its pixels are grey where it said that they are indices: the crate does not read these.
fn with_indices_as_grey(bytes: &[u8]) -> Result<Vec<u8>, String> {
    const ENTRY_BYTES: usize = 12;
    const VALUE_AT: usize = 8;
    let little = bytes.starts_with(b"II");
    let short = |at: usize| {
        let pair = *bytes.get(at..)?.first_chunk::<2>()?;
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let long = |at: usize| {
        let four = *bytes.get(at..)?.first_chunk::<4>()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    };
    let find_value = || {
        let classic = short(2)? == 42;
        let directory = usize::try_from(long(4)?).ok().filter(|_| classic)?;
        let entries = usize::from(short(directory)?);
        let mut entries = (0..entries).map(|i| directory + 2 + i * ENTRY_BYTES);
        let entry = entries.find(|&at| short(at) == Some(Tag::PhotometricInterpretation.to_u16()))?;
        Some(entry + VALUE_AT)
    };
    let at = find_value().ok_or("its palette is in a form that is not supported")?;
    let grey = PhotometricInterpretation::BlackIsZero.to_u16();
    let mut patched = bytes.to_vec();
    let value = patched.get_mut(at..at + 2).ok_or("it is truncated")?;
    value.copy_from_slice(&if little { grey.to_le_bytes() } else { grey.to_be_bytes() });
    Ok(patched)
}

/// Samples as the crate reads them.
struct Samples {
    values: DecodingResult,
    colour: ColorType,
    width: usize,
    height: usize,
    /// Whether all of a channel come before all of the next.
    planar: bool,
}

impl Samples {
    fn read(decoder: &mut Decoder<Cursor<&[u8]>>, width: usize, height: usize) -> Result<Self, String> {
        let colour = decoder.colortype().map_err(says)?;
        let mut values = DecodingResult::U8(Vec::new());
        let layout = decoder.read_image_to_buffer(&mut values).map_err(says)?;
        if values.as_buffer(0).as_bytes().len() < layout.complete_len {
            return Err("it takes more memory than its size allows".to_owned());
        }
        Ok(Self { values, colour, width, height, planar: layout.planes > 1 })
    }

    fn to_rgb(&self, palette: Option<&[[u8; 3]]>) -> Result<Vec<u8>, String> {
        use DecodingResult::{F32, I16, I32, U8, U16, U32};
        let count = self.width * self.height;
        Ok(match (self.colour, &self.values) {
            (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), U8(packed)) => {
                let samples = self.unpack(packed, bits);
                match palette {
                    Some(colours) => palette_to_rgb(samples.into_iter(), colours),
                    None => grey_to_rgb(samples.into_iter().map(|sample| sample * (255 / (255 >> (8 - bits))))),
                }
            }
            _ if palette.is_some() => return Err(format!("its palette has indices of {:?}", self.colour)),
            // wider grey is clipped to a byte, fractions cut off (`as` does both), as by Pillow
            (ColorType::Gray(16), U16(grey)) => grey_to_rgb(grey.iter().map(|&sample| clip_16(sample))),
            (ColorType::Gray(16), I16(grey)) => grey_to_rgb(grey.iter().map(|&sample| sample.clamp(0, 255) as u8)),
            (ColorType::Gray(32), U32(grey)) => grey_to_rgb(grey.iter().map(|&sample| sample.min(255) as u8)),
            (ColorType::Gray(32), I32(grey)) => grey_to_rgb(grey.iter().map(|&sample| sample.clamp(0, 255) as u8)),
            (ColorType::Gray(32), F32(grey)) => grey_to_rgb(grey.iter().map(|&sample| sample as u8)),
            (ColorType::Multiband { bit_depth: 8, num_samples: 2 }, U8(values)) => {
                grey_to_rgb(self.pixels::<_, 2>(values, count)?.map(|[grey, _]| grey))
            }
            (ColorType::RGB(8), U8(values)) => self.pixels::<_, 3>(values, count)?.flatten().collect(),
            (ColorType::RGBA(8), U8(values)) => {
                self.pixels::<_, 4>(values, count)?.flat_map(|[r, g, b, _]| [r, g, b]).collect()
            }
            (ColorType::RGB(16), U16(values)) => {
                self.pixels::<_, 3>(values, count)?.flat_map(|pixel| pixel.map(high_byte)).collect()
            }
            (ColorType::RGBA(16), U16(values)) => {
                self.pixels::<_, 4>(values, count)?.flat_map(|[r, g, b, _]| [r, g, b].map(high_byte)).collect()
            }
            (ColorType::CMYK(8), U8(values)) => self.pixels::<_, 4>(values, count)?.flat_map(cmyk_to_rgb).collect(),
            (ColorType::CMYK(16), U16(values)) => {
                self.pixels::<_, 4>(values, count)?.flat_map(|inks| cmyk_to_rgb(inks.map(high_byte))).collect()
            }
            (colour, _) => return Err(format!("its colours are {colour:?}, which is not supported")),
        })
    }

    /// Samples of `bits` bits, of which a row fills whole bytes.
    fn unpack(&self, packed: &[u8], bits: u8) -> Vec<u8> {
        let mut samples = Vec::with_capacity(self.width * self.height);
        let row_bytes = (self.width * usize::from(bits)).div_ceil(8).max(1);
        for row in packed.chunks_exact(row_bytes).take(self.height) {
            let shifts = || (0..8 / bits).rev().map(|sample| sample * bits);
            let row = row.iter().flat_map(|byte| shifts().map(move |shift| (byte >> shift) & (255 >> (8 - bits))));
            samples.extend(row.take(self.width));
        }
        samples
    }

    /// `count` pixels of `N` channels.
    fn pixels<T: Copy, const N: usize>(
        &self,
        values: &[T],
        count: usize,
    ) -> Result<impl ExactSizeIterator<Item = [T; N]>, String> {
        if values.len() < count * N {
            return Err(format!("it has {} samples where {count} pixels of {N} were promised", values.len()));
        }
        let (step, stride) = if self.planar { (1, count) } else { (N, 1) };
        Ok((0..count).map(move |pixel| std::array::from_fn(|channel| values[pixel * step + channel * stride])))
    }
}
