//! TIFF: its first image, in strips or tiles, classic or big, grey, palette, RGB, CMYK, and what JPEGs and faxes it holds.
//!
//! Of our own, with crates for the compressions: the `tiff` crate panics at tiles in planes, takes FillOrder and associated alpha for
//! nothing, and gives the memory of faxes and JPEGs no bound.

mod colours;
mod fax;
mod layout;
mod unpack;
mod ycbcr;

use self::colours::Colours;
use self::layout::{Layout, size as size_of};
use super::directory::Directory;
use super::header::{Header, SIDE_BYTES, expect_size};
use super::orientation;
use super::rgb::{Rgb, rgb};

/// The tag of XMP.
const XMP: u16 = 700;

/// Columns and rows, from the head.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), String> {
    let directory = open(bytes)?;
    size_of(&directory)
}

/// Decodes the first image.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Rgb, String> {
    let directory = open(bytes)?;
    let layout = Layout::new(&directory)?;
    expect_size(header, layout.width, layout.height)?;
    let colours = Colours::of(&layout)?;
    let xmp = directory.raw(XMP);
    let little = directory.is_little();
    let turn = orientation::of_directory(Some(directory), xmp);
    expect_bounded(&layout, header)?;

    let (width, height) = (layout.width as usize, layout.height as usize);
    let (across, down) = layout.chunks();
    let mut pixels = vec![0; 3 * width * height];
    for row in 0..down {
        let top = row * layout.chunk.1;
        let rows = layout.chunk.1.min(height - top);
        for column in 0..across {
            let left = column * layout.chunk.0;
            let columns = layout.chunk.0.min(width - left);
            let chunk = |plane| {
                let index = (plane * down + row) * across + column;
                // a tile has all its rows, a last strip only those of the image
                unpack::chunk(bytes, little, &layout, index, if layout.tiled { layout.chunk.1 } else { rows })
            };
            let chunks: Vec<Vec<u8>> = (0..layout.planes).map(chunk).collect::<Result<_, _>>()?;
            for y in 0..rows {
                let row_bytes = layout.row_bytes();
                let rows: Vec<&[u8]> = chunks.iter().map(|chunk| &chunk[y * row_bytes..][..row_bytes]).collect();
                let onto = 3 * ((top + y) * width + left);
                colours.row(&layout, &rows, &mut pixels[onto..onto + 3 * columns]);
            }
        }
    }
    orientation::upright(rgb(layout.width, layout.height, pixels)?, turn)
}

fn open(bytes: &[u8]) -> Result<Directory<'_>, String> {
    Directory::first(bytes).ok_or_else(|| "it has no head".to_owned())
}

/// Whether strips and tiles are about as large as the image: one at a time is in memory, and the same bytes of the file may stand for
/// many that lie outside.
fn expect_bounded(layout: &Layout, header: &Header) -> Result<(), String> {
    /// Bytes of a pixel at most: four samples of 32 bits.
    const MOST: u64 = 16;
    let (across, down) = layout.chunks();
    let one = layout.row_bytes() as u64 * layout.chunk.1 as u64;
    let all = one.saturating_mul((across * down * layout.planes) as u64);
    let allowed = header.pixels().saturating_mul(MOST).saturating_add(SIDE_BYTES);
    if one.saturating_mul(layout.planes as u64) > allowed || all > 4 * allowed {
        return Err("its strips or tiles are far larger than it".to_owned());
    }
    Ok(())
}
