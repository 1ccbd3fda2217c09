//! BMP in runs, whose gaps are the first colour as Pillow has it, and the head of OS/2; all others are `raster`'s.

use std::borrow::Cow;

use super::header::{Header, expect_size};
use super::rgb::{Rgb, rgb};
use super::samples::palette_to_rgb;

const FILE_HEAD: usize = 14;
/// Where the file's head says that pixels begin.
const PIXELS_AT: usize = 10;
/// Bytes of the head that most files have.
const HEAD: usize = 40;
/// Bytes of the head of OS/2 2.x, which begins like the common one.
const OS2_HEAD: usize = 64;

/// The head of a BMP, as far as runs need it.
struct Head {
    bytes: usize,
    width: u32,
    height: u32,
    from_top: bool,
    bits: u16,
    compression: u32,
    colours: usize,
    pixels_at: usize,
}

impl Head {
    /// None for another head than the common one, which may be longer.
    fn new(file: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?));
        let bytes = long(FILE_HEAD)? as usize;
        let height = long(FILE_HEAD + 8)?.cast_signed();
        let bits = u16::from_le_bytes(*file.get(FILE_HEAD + 14..)?.first_chunk()?);
        (bytes >= HEAD).then_some(())?;
        Some(Self {
            bytes,
            width: long(FILE_HEAD + 4)?,
            height: height.unsigned_abs(),
            from_top: height < 0,
            bits,
            compression: long(FILE_HEAD + 16)?,
            colours: long(FILE_HEAD + 32)? as usize,
            pixels_at: long(PIXELS_AT)? as usize,
        })
    }

    /// Where the pixels begin: behind the palette even if the head forgets it, as Pillow reads it.
    fn pixels(&self) -> usize {
        match self.pixels_at {
            at if at == FILE_HEAD + self.bytes && self.bits <= 8 => at + 4 * self.palette(),
            at => at,
        }
    }

    /// Colours of the palette.
    fn palette(&self) -> usize {
        if self.colours == 0 { 1 << self.bits.min(8) } else { self.colours.min(256) }
    }

    /// Bits of an index in runs, if the pixels are such.
    fn runs(&self) -> Option<u16> {
        matches!((self.compression, self.bits), (1, 8) | (2, 4)).then_some(self.bits)
    }
}

/// A file as its decoder knows it: the common head for that of OS/2, and pixels behind the palette where they are said to begin with it.
pub(super) fn mended(file: &[u8]) -> Cow<'_, [u8]> {
    let Some(head) = Head::new(file).filter(|head| file.len() >= FILE_HEAD + head.bytes) else {
        return Cow::Borrowed(file);
    };
    let is_os2 = head.bytes == OS2_HEAD && head.compression == 0;
    let at = head.pixels();
    if !is_os2 && at == head.pixels_at {
        return Cow::Borrowed(file);
    }
    let (start, rest) = file.split_at(FILE_HEAD);
    let (kept, gone) = if is_os2 { (HEAD, OS2_HEAD - HEAD) } else { (head.bytes, 0) };
    let at = (at.saturating_sub(gone) as u32).to_le_bytes();
    Cow::Owned([&start[..PIXELS_AT], &at, &(kept as u32).to_le_bytes(), &rest[4..kept], &rest[kept + gone..]].concat())
}

/// Columns and rows of a BMP in runs; None for another.
pub(super) fn size_of_runs(file: &[u8]) -> Option<(u32, u32)> {
    Head::new(file).filter(|head| head.runs().is_some()).map(|head| (head.width, head.height))
}

/// Decodes a BMP in runs.
pub(super) fn decode_runs(file: &[u8], header: &Header) -> Result<Rgb, String> {
    let head = Head::new(file).ok_or("its head is broken")?;
    let bits = head.runs().ok_or("it has no runs")?;
    expect_size(header, head.width, head.height)?;
    let palette = file.get(FILE_HEAD + head.bytes..).unwrap_or_default().as_chunks::<4>().0;
    let palette: Vec<[u8; 3]> = palette.iter().take(head.palette()).map(|&[b, g, r, _]| [r, g, b]).collect();
    let (width, height) = (head.width as usize, head.height as usize);
    let rows = indices(file, head.pixels(), bits, width, height)?;
    let indices = if head.from_top { rows } else { rows.chunks_exact(width).rev().flatten().copied().collect() };
    rgb(head.width, head.height, palette_to_rgb(indices.into_iter(), &palette))
}

/// The indices, in the order in which they are sent. What no run reaches is 0, as to Pillow.
fn indices(file: &[u8], mut at: usize, bits: u16, width: usize, height: usize) -> Result<Vec<u8>, String> {
    let truncated = || "it is truncated".to_owned();
    let mut sent = vec![0; width * height];
    // the pixel that is next, and how many of its row came before
    let (mut next, mut column) = (0, 0);
    let pixel = |bytes: &[u8], index: usize| match bits {
        8 => bytes[index],
        _ => (bytes[index / 2] >> (4 - 4 * (index % 2))) & 15,
    };
    while next < sent.len() {
        let &[count, value] = file.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(truncated)?;
        at += 2;
        match (count, value) {
            (0, 0) => {
                next = next.next_multiple_of(width);
                column = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let &[right, up] = file.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(truncated)?;
                at += 2;
                next += usize::from(right) + usize::from(up) * width;
                column = next % width;
            }
            (0, count) => {
                let count = usize::from(count);
                let bytes = if bits == 8 { count } else { count.div_ceil(2) };
                let stored = file.get(at..at + bytes).ok_or_else(truncated)?;
                let room = sent.get_mut(next..).unwrap_or_default();
                room.iter_mut().take(count).enumerate().for_each(|(index, sent)| *sent = pixel(stored, index));
                next += count;
                column += count;
                at += bytes;
                at += at % 2; // to a whole word of the file
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(column));
                let stored = [value; 2];
                let room = sent.get_mut(next..).unwrap_or_default();
                room.iter_mut().take(count).enumerate().for_each(|(index, sent)| *sent = pixel(&stored, index % 2));
                next += count;
                column += count;
            }
        }
    }
    Ok(sent)
}
