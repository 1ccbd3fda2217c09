//! Orientation, as Pillow's `ImageOps.exif_transpose` finds it: EXIF of any type of number, then XMP. One reader for all formats.
//!
//! Not here: where a format keeps its EXIF and XMP.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::Rgb;
use super::directory::Directory;
use super::part::Place;
use super::rgb::rgb;

/// The tag of TIFF 6.0 and of EXIF.
pub(super) const TAG: u16 = 274;

/// The orientation that a block of EXIF or else XMP has; none where there is no sense in either.
pub(super) fn found(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    of_directory(exif.and_then(of_exif), xmp)
}

/// As [`found`], of the directory that the EXIF is.
pub(super) fn of_directory(exif: Option<Directory<'_>>, xmp: Option<&[u8]>) -> Orientation {
    let number = match exif.and_then(|directory| directory.number(TAG)) {
        // the tag is there, and XMP is not asked even where it says nothing
        Some(number) => number,
        None => xmp.and_then(of_xmp).map(f64::from),
    };
    let whole = number.filter(|number| (1.0..=8.0).contains(number) && number.fract() == 0.0);
    whole.and_then(|number| Orientation::from_exif(number as u8)).unwrap_or(Orientation::NoTransforms)
}

/// The directory of a block of EXIF, with up to two `Exif\0\0` in front as Pillow takes it.
fn of_exif(exif: &[u8]) -> Option<Directory<'_>> {
    const NAME: &[u8] = b"Exif\0\0";
    let tiff = exif.strip_prefix(NAME).unwrap_or(exif);
    Directory::first(tiff.strip_prefix(NAME).unwrap_or(tiff))
}

/// The digit of `tiff:Orientation="6"` or `<tiff:Orientation>6<`, the first.
fn of_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    xmp.windows(NAME.len()).enumerate().filter(|(_, name)| *name == NAME).find_map(|(at, _)| {
        let rest = &xmp[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        value.first().filter(|digit| digit.is_ascii_digit()).map(|digit| digit - b'0')
    })
}

/// Columns and rows of an image that was turned upright.
pub(super) fn turned(turn: Orientation, (width, height): (u32, u32)) -> (u32, u32) {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    if matches!(turn, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH) {
        (height, width)
    } else {
        (width, height)
    }
}

/// Where an image lies in pixels that were turned upright, of which there were so many columns and rows.
pub(super) fn upright_place(place: Place, (columns, rows): (u32, u32), turn: Orientation) -> Place {
    use Orientation::{
        FlipHorizontal, FlipVertical, NoTransforms, Rotate90, Rotate90FlipH, Rotate180, Rotate270, Rotate270FlipH,
    };
    let Place { left, top, width, height, size } = place;
    let right = f64::from(columns) - left - width;
    let bottom = f64::from(rows) - top - height;
    let (left, top, swapped) = match turn {
        NoTransforms => (left, top, false),
        FlipHorizontal => (right, top, false),
        Rotate180 => (right, bottom, false),
        FlipVertical => (left, bottom, false),
        Rotate90FlipH => (top, left, true),
        Rotate90 => (bottom, left, true),
        Rotate270FlipH => (bottom, right, true),
        Rotate270 => (top, right, true),
    };
    let (width, height) = if swapped { (height, width) } else { (width, height) };
    Place { left, top, width, height, size }
}

/// Turns the image upright.
pub(super) fn upright(image: Rgb, orientation: Orientation) -> Result<Rgb, String> {
    if orientation == Orientation::NoTransforms {
        return Ok(image);
    }
    let (width, height) = (image.width(), image.height());
    let stored = RgbImage::from_raw(width, height, image.into_bytes()).ok_or("its size and its pixels disagree")?;
    let mut turned = DynamicImage::ImageRgb8(stored);
    turned.apply_orientation(orientation);
    rgb(turned.width(), turned.height(), turned.into_bytes())
}
