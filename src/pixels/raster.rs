//! PNG, WebP and BMP, by the decoders of the `image` crate.

use std::borrow::Cow;
use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::ImageError as DecoderError;
use image::{ColorType, ImageDecoder, ImageFormat, ImageResult, Limits};

use super::bmp;
use super::chunks::{self, Metadata};
use super::header::{Header, SIDE_BYTES, expect_size};
use super::orientation;
use super::rgb::{Rgb, rgb};
use super::samples::{clip_16, drop_alpha, grey_to_rgb, high_byte};

/// Columns and rows, from the head.
pub(super) fn size(bytes: &[u8], format: ImageFormat) -> Result<(u32, u32), String> {
    if let Some(size) = bmp::size_of_runs(bytes).filter(|_| format == ImageFormat::Bmp) {
        return Ok(size);
    }
    open(&mended(bytes, format), format, SIDE_BYTES).map(|decoder| decoder.dimensions()).map_err(says)
}

/// The file as its decoder wants it.
fn mended(bytes: &[u8], format: ImageFormat) -> Cow<'_, [u8]> {
    match format {
        ImageFormat::Png => chunks::png_with_end(bytes),
        ImageFormat::WebP => chunks::webp_mended(bytes),
        _ => bmp::mended(bytes),
    }
}

/// Decodes, of an animation the first frame.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Rgb, String> {
    if header.format == ImageFormat::Bmp && bmp::size_of_runs(bytes).is_some() {
        return bmp::decode_runs(bytes, header);
    }
    let metadata = match header.format {
        ImageFormat::Png => chunks::of_png(bytes),
        ImageFormat::WebP => chunks::of_webp(bytes),
        _ => Metadata::default(),
    };
    let turn = orientation::found(metadata.exif.as_deref(), metadata.xmp.as_deref());
    if header.format == ImageFormat::WebP && !chunks::webp_is_whole(bytes) {
        return Err("it is truncated".to_owned());
    }
    let bytes = &mended(bytes, header.format);
    // at most four 16-bit samples per pixel, in the buffer here and in one of the decoder's
    let decoder = open(bytes, header.format, header.pixels() * 16 + SIDE_BYTES).map_err(says)?;
    let (width, height) = decoder.dimensions();
    expect_size(header, width, height)?;
    if header.format == ImageFormat::WebP && !webp_frames_fit(bytes, width, height) {
        return Err("a frame in it is larger than its canvas".to_owned());
    }
    let colour = decoder.color_type();
    let clips = header.format == ImageFormat::Png && is_wide_grey(bytes);

    let length = usize::try_from(decoder.total_bytes()).map_err(|_| "its size is out of range")?;
    let mut samples = vec![0; length];
    decoder.read_image_boxed(&mut samples).map_err(says)?;
    let image = rgb(width, height, to_rgb(samples, colour, clips)?)?;
    orientation::upright(image, turn)
}

/// A decoder that has read the head and allocates no more than `memory` bytes.
fn open(bytes: &[u8], format: ImageFormat, memory: u64) -> ImageResult<Box<dyn ImageDecoder + '_>> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory);
    let reader = Cursor::new(bytes);
    let mut decoder: Box<dyn ImageDecoder> = match format {
        ImageFormat::Png => return Ok(Box::new(PngDecoder::with_limits(reader, limits)?)),
        ImageFormat::WebP => Box::new(WebPDecoder::new(reader)?),
        _ => Box::new(BmpDecoder::new(reader)?),
    };
    // whether the output fits was decided by `probe`, in pixels
    limits.max_alloc = Some(memory.max(decoder.total_bytes()));
    decoder.set_limits(limits)?;
    Ok(decoder)
}

/// Whether no lossy frame is larger than the canvas, which `probe` has limited: the decoder decodes it whole before it compares. (RFC
/// 9649: chunks of a name, a length, and data padded to an even length; RFC 6386, 9.1: the frame's head.)
fn webp_frames_fit(bytes: &[u8], width: u32, height: u32) -> bool {
    const RIFF_HEAD: usize = 12;
    const FRAME_OF_ANIMATION: usize = 16;
    const SIZE_AT: usize = 6;
    let mut rest = bytes.get(RIFF_HEAD..).unwrap_or_default();
    while let Some((&[n, a, m, e, size @ ..], data)) = rest.split_first_chunk::<8>() {
        let name = &[n, a, m, e];
        let size = u32::from_le_bytes(size) as usize;
        if name == b"VP8 " {
            let Some(&[w0, w1, h0, h1]) = data.get(SIZE_AT..).and_then(|size| size.first_chunk()) else { return true };
            let edge = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF); // two bits are a scale
            if edge(w0, w1) > width || edge(h0, h1) > height {
                return false;
            }
        }
        // the chunks of a frame of an animation are walked like those around it
        let step = if name == b"ANMF" { FRAME_OF_ANIMATION } else { size.saturating_add(size % 2) };
        rest = data.get(step..).unwrap_or_default();
    }
    true
}

/// Whether a PNG has 16-bit grey without an alpha channel: the decoder makes one of a transparent value, which Pillow does not.
fn is_wide_grey(bytes: &[u8]) -> bool {
    /// Bit depth and colour type: behind signature, length and name of the first chunk, width, height.
    const IHDR_DEPTH_AND_COLOUR: std::ops::Range<usize> = 24..26;
    bytes.get(IHDR_DEPTH_AND_COLOUR) == Some(&[16, 0])
}

/// Samples as the decoder wrote them to RGB as Pillow has it; `clips` wide grey rather than scale it.
fn to_rgb(samples: Vec<u8>, colour: ColorType, clips: bool) -> Result<Vec<u8>, String> {
    let wide = || samples.as_chunks().0.iter().map(|&sample| u16::from_ne_bytes(sample));
    Ok(match colour {
        ColorType::Rgb8 => samples,
        ColorType::Rgba8 => drop_alpha(&samples, 4),
        ColorType::L8 => grey_to_rgb(samples.into_iter()),
        ColorType::La8 => grey_to_rgb(samples.as_chunks::<2>().0.iter().map(|&[grey, _]| grey)),
        ColorType::L16 => grey_to_rgb(wide().map(clip_16)),
        ColorType::La16 if clips => grey_to_rgb(wide().step_by(2).map(clip_16)),
        ColorType::La16 => grey_to_rgb(wide().step_by(2).map(high_byte)),
        ColorType::Rgb16 => wide().map(high_byte).collect(),
        ColorType::Rgba16 => drop_alpha(&wide().map(high_byte).collect::<Vec<_>>(), 4),
        other => return Err(format!("its colours are {other:?}, which is not supported")),
    })
}

fn says(error: DecoderError) -> String {
    error.to_string()
}
