//! Antialiased resize, as Pillow's `Image.resize`: support scaled with the reduction, 8 bits between the two passes.
//!
//! By fast_image_resize (SIMD), whose weights have 15 bits where Pillow's have 22: single values differ by one.

use fast_image_resize::images::{TypedCroppedImageMut, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::Rgb;
use super::part::Place;

/// The interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The pixel whose centre is nearest; the only one that averages nothing.
    Nearest,
    /// The mean of the pixels that a pixel covers.
    Box,
    /// Triangle.
    Bilinear,
    /// Hamming's window of a sinc, one lobe.
    Hamming,
    /// Cubic convolution with a = −0.5, as Pillow's.
    Bicubic,
    /// Lanczos' window of a sinc, three lobes.
    Lanczos,
}

/// What of a resized axis is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Length of the whole axis after the resize.
    pub(super) resized: u64,
    /// First pixel that is wanted.
    pub(super) start: u64,
    /// How many are wanted.
    pub(super) length: usize,
}

impl Window {
    /// What becomes the window of an axis of so many pixels that begins at `first` of them: start and length, neither whole in general.
    pub(super) fn source(self, first: f64, pixels: f64) -> (f64, f64) {
        let scale = pixels / self.resized as f64;
        (first + self.start as f64 * scale, self.length as f64 * scale)
    }

    /// As [`source`](Self::source), within so many pixels as were decoded.
    fn source_within(self, first: f64, pixels: f64, decoded: u32) -> (f64, f64) {
        let (start, length) = self.source(first, pixels);
        // rounding must not carry it past an edge
        let start = start.max(0.0);
        (start, length.min(f64::from(decoded) - start))
    }
}

/// Where a window is written: within an image `[height, width, 3]`, whose other pixels are left as they are.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// Rows of the image.
    pub(super) height: usize,
    /// Columns of the image.
    pub(super) width: usize,
    /// The row where the window begins.
    pub(super) top: usize,
    /// The column where the window begins.
    pub(super) left: usize,
    /// The image.
    pub(super) bytes: &'a mut [u8],
}

/// Writes the wanted window of the resized image, `[rows.length, columns.length, 3]`. What lies outside it is not computed, so that
/// time and memory are bounded by the window and the image, whatever the aspect ratio.
///
/// Columns first, as Pillow: each pass clips to 0..255, so the order shows at hard edges (by up to 9 when fast_image_resize
/// chooses it).
pub(super) fn resize(
    image: &Rgb,
    place: &Place,
    rows: Window,
    columns: Window,
    filter: Filter,
    target: Target<'_>,
) -> Result<(), String> {
    if filter == Filter::Nearest {
        nearest(image, rows, columns, target);
        return Ok(());
    }
    let (left, width) = columns.source_within(place.left, place.width, image.width());
    let (top, height) = rows.source_within(place.top, place.height, image.height());
    let (first, last) = filter.reach(top, height, rows.length, image.height());

    // by type: chosen at run time, every pixel type's code would be compiled into this crate, half of its whole
    let source = TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.bytes()).map_err(says)?;
    let mut narrow = TypedImage::<U8x3>::new(columns.length as u32, last - first);
    let options = filter.options().crop(left, first.into(), width, (last - first).into());
    let mut resizer = Resizer::new();
    resizer.resize_typed(&source, &mut narrow, &options).map_err(says)?;

    let whole =
        TypedImage::<U8x3>::from_buffer(target.width as u32, target.height as u32, target.bytes).map_err(says)?;
    let (left, top_row) = (target.left as u32, target.top as u32);
    let mut window =
        TypedCroppedImageMut::new(whole, left, top_row, columns.length as u32, rows.length as u32).map_err(says)?;
    let options = filter.options().crop(0.0, top - f64::from(first), columns.length as f64, height);
    resizer.resize_typed(&narrow, &mut window, &options).map_err(says)
}

/// Takes for each pixel that in which its centre lies, as Pillow does.
fn nearest(image: &Rgb, rows: Window, columns: Window, target: Target<'_>) {
    let stored_at = |window: Window, index: usize, stored: u32| {
        let scale = f64::from(stored) / window.resized as f64;
        let at = ((window.start + index as u64) as f64 + 0.5) * scale;
        (at as usize).min(stored as usize - 1)
    };
    let from: Vec<usize> = (0..columns.length).map(|column| 3 * stored_at(columns, column, image.width())).collect();
    let (stored_row, target_row) = (3 * image.width() as usize, 3 * target.width);
    for row in 0..rows.length {
        let source = &image.bytes()[stored_at(rows, row, image.height()) * stored_row..][..stored_row];
        let to = &mut target.bytes[(target.top + row) * target_row + 3 * target.left..][..3 * columns.length];
        for (pixel, from) in to.chunks_exact_mut(3).zip(&from) {
            pixel.copy_from_slice(&source[*from..from + 3]);
        }
    }
}

impl Filter {
    fn options(self) -> ResizeOptions {
        ResizeOptions::new().resize_alg(match self {
            Self::Nearest => ResizeAlg::Nearest,
            Self::Box => ResizeAlg::Convolution(FilterType::Box),
            Self::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Self::Hamming => ResizeAlg::Convolution(FilterType::Hamming),
            Self::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Self::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        })
    }

    /// Pixels beside it that a pixel is made of when as many become one, or a little more.
    pub(super) fn margin(self, scale: f64) -> f64 {
        let radius = match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        };
        radius * scale.max(1.0) + 1.0
    }

    /// The stored rows, first and past the last, that `resized` rows of the part from `top` are made of, or a little more.
    fn reach(self, top: f64, height: f64, resized: usize, stored: u32) -> (u32, u32) {
        let margin = self.margin(height / resized as f64);
        // `as` saturates at 0
        let first = (top - margin).floor() as u32;
        let last = (top + height + margin).ceil() as u32;
        (first, last.min(stored))
    }
}

fn says(error: impl std::error::Error) -> String {
    error.to_string()
}
