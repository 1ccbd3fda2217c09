//! EXIF orientation, as Pillow's `ImageOps.exif_transpose`.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::Rgb;
use super::rgb::rgb;

/// The orientation in a block of EXIF, with or without its `Exif\0\0` in front; none where it cannot be read.
pub(super) fn of_exif(exif: &[u8]) -> Orientation {
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Orientation::from_exif_chunk(tiff).unwrap_or(Orientation::NoTransforms)
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
