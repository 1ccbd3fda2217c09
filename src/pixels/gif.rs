//! GIF: the first frame on its screen, as Pillow shows it.

use std::num::NonZeroU64;

use ::gif::{ColorOutput, DecodeOptions, Decoder, MemoryLimit};

use super::header::{Header, SIDE_BYTES, expect_size};
use super::rgb::{Rgb, rgb};
use super::samples::palette_to_rgb;

/// Columns and rows, from the head of the file and of its first frame.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), String> {
    Ok(open(bytes, SIDE_BYTES)?.1.screen)
}

/// Decodes the first frame. Transparent pixels keep their palette's colour; what the frame leaves of the screen is the transparent
/// colour, or the first one.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Rgb, String> {
    let (mut decoder, frame) = open(bytes, header.pixels() + SIDE_BYTES)?;
    let (width, height) = frame.screen;
    expect_size(header, width, height)?;

    let mut indices = vec![0; frame.width * frame.height];
    decoder.read_into_buffer(&mut indices).map_err(|error| error.to_string())?;
    let (screen_width, screen_height) = (width as usize, height as usize);
    if indices.len() != screen_width * screen_height {
        let mut screen = vec![frame.background; screen_width * screen_height];
        let rows = screen.chunks_exact_mut(screen_width).skip(frame.top);
        for (onto, row) in rows.zip(indices.chunks_exact(frame.width)) {
            onto[frame.left..frame.left + frame.width].copy_from_slice(row);
        }
        indices = screen;
    }
    let palette = decoder.palette().map_err(|error| error.to_string())?;
    rgb(width, height, palette_to_rgb(indices.into_iter(), palette.as_chunks().0))
}

/// Where the first frame lies.
struct FirstFrame {
    /// Columns and rows of the screen, which grows to hold the frame.
    screen: (u32, u32),
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    /// Index of the colour beside the frame.
    background: u8,
}

/// A decoder that has read the head of the first frame.
fn open(bytes: &[u8], memory: u64) -> Result<(Decoder<&[u8]>, FirstFrame), String> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(NonZeroU64::new(memory).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    let mut decoder = options.read_info(bytes).map_err(|error| error.to_string())?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let frame = decoder.next_frame_info().map_err(|error| error.to_string())?.ok_or("it has no frame")?;
    let (right, bottom) =
        (u32::from(frame.left) + u32::from(frame.width), u32::from(frame.top) + u32::from(frame.height));
    let first = FirstFrame {
        screen: (width.max(right), height.max(bottom)),
        left: frame.left.into(),
        top: frame.top.into(),
        width: frame.width.into(),
        height: frame.height.into(),
        background: frame.transparent.unwrap_or(0),
    };
    if first.width == 0 || first.height == 0 {
        return Err("its first frame is empty".to_owned());
    }
    Ok((decoder, first))
}
