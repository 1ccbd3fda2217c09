//! Resize and crop to a model's input, with the geometry of torchvision (for timm) and transformers.
//!
//! Not here: what a checkpoint's configuration means (`checkpoint`), and normalisation (the engine's).

use std::ops::Range;

use super::part::{Part, Place};
use super::resize::{Target, Window, resize};
use super::{Filter, Pixels, Rgb};

/// How an image is brought to the size of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Rows of the result.
    pub height: usize,
    /// Columns of the result.
    pub width: usize,
    /// What is done with the aspect ratio.
    pub fit: Fit,
    /// Where the centre is when it falls between two pixels.
    pub rounding: CropRounding,
    /// Interpolation.
    pub filter: Filter,
    /// The colour where the resized image does not reach.
    pub fill: [u8; 3],
    /// Whether the image becomes grey first, as Pillow's `convert("L")` does: each pixel three times the same.
    pub grey: bool,
}

/// What is done with the aspect ratio, before the centre is cropped to the size of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The shorter edge becomes this long, the other in proportion, rounded down.
    ShortestEdge(usize),
    /// Warped to these rows and columns.
    Exact(usize, usize),
    /// As large as covers these rows and columns, in proportion, rounded half to even: timm's `ResizeKeepRatio` of the shorter edge.
    Around(usize, usize),
    /// As large as fits into these rows and columns, in proportion, rounded half to even: timm's `ResizeKeepRatio` of the longer edge.
    Within(usize, usize),
    /// As it is.
    Keep,
}

/// Where a centre crop starts when an odd number of pixels is left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropRounding {
    /// To the even one of two, as torchvision's `round((edge − crop) / 2)`: timm.
    HalfToEven,
    /// To the smaller one, as `int((edge − crop) / 2)`: transformers.
    Down,
}

/// Memory that was given for the pixels of an input is not as long as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} bytes were given for {height}×{width} pixels of three bytes each")]
pub struct WrongLength {
    /// Bytes given.
    pub given: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
}

impl Transform {
    /// Bytes of the result: `height · width · 3`.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(3)
    }

    /// Brings an image to the size of the input. Where the resized image is smaller than that, it is centred, as torchvision's `center_crop` does.
    #[must_use]
    pub fn apply(&self, image: &Rgb) -> Pixels {
        let mut bytes = vec![0; self.bytes()];
        self.write(image, &Place::of(image), &mut bytes);
        Pixels(bytes)
    }

    /// As [`apply`](Self::apply), with the pixels `[height, width, 3]` written straight into memory of the caller's, all of it.
    ///
    /// # Errors
    /// [`WrongLength`] unless there are [`bytes`](Self::bytes) of it; nothing is written then.
    pub fn apply_into(&self, image: &Rgb, into: &mut [u8]) -> Result<(), WrongLength> {
        self.checked_write(image, &Place::of(image), into)
    }

    /// As [`apply_into`](Self::apply_into), of what [`decode_for`](super::decode_for) decoded for this transform: where that is less than the
    /// whole, or reduced, values differ by at most 0.5 on average and 99 % of them by at most 2.
    ///
    /// # Errors
    /// As [`apply_into`](Self::apply_into).
    pub fn apply_part_into(&self, part: &Part, into: &mut [u8]) -> Result<(), WrongLength> {
        self.checked_write(&part.image, &part.place, into)
    }

    fn checked_write(&self, image: &Rgb, place: &Place, into: &mut [u8]) -> Result<(), WrongLength> {
        if into.len() != self.bytes() {
            return Err(WrongLength { given: into.len(), height: self.height, width: self.width });
        }
        self.write(image, place, into);
        Ok(())
    }

    /// What of an image of so many columns and rows its pixels are made of.
    pub(super) fn wanted(&self, (width, height): (u32, u32)) -> Wanted {
        /// Pixels that are left for one of the result, at least, when the image is reduced (the table in `jpeg`).
        const LEFT: f64 = 4.0;
        /// Eighths to which it is. One alone, the means of blocks, was off by up to 0.55 on average where four pixels were left.
        const EIGHTHS: [usize; 3] = [2, 3, 4];
        let whole = Wanted { eighths: 8, columns: 0..width as usize, rows: 0..height as usize };
        if self.filter == Filter::Nearest {
            return whole; // which takes single pixels
        }
        let (resized_height, resized_width) = self.fit.resized(width, height);
        let scale = f64::min(f64::from(width) / resized_width as f64, f64::from(height) / resized_height as f64);
        let eighths = EIGHTHS.into_iter().find(|&eighths| scale * eighths as f64 / 8.0 >= LEFT).unwrap_or(8);
        let part = |edge: u32, resized: u64, target: usize| {
            let window = Placement::centred(resized, target, self.rounding).window;
            let (start, length) = window.source(0.0, edge.into());
            // a pixel of a reduced image is several of the whole
            let margin = (self.filter.margin(f64::from(edge) / resized as f64) + 1.0) * 8.0 / eighths as f64;
            // `as` saturates at 0
            (start - margin) as usize..((start + length + margin).ceil() as usize).min(edge as usize)
        };
        Wanted {
            eighths,
            columns: part(width, resized_width, self.width),
            rows: part(height, resized_height, self.height),
        }
    }

    /// Writes the pixels into memory of their length.
    fn write(&self, image: &Rgb, place: &Place, into: &mut [u8]) {
        match self.grey.then(|| grey(image)).flatten() {
            Some(grey) => self.write_resized(&grey, place, into),
            None => self.write_resized(image, place, into),
        }
    }

    fn write_resized(&self, image: &Rgb, place: &Place, into: &mut [u8]) {
        let (resized_height, resized_width) = self.fit.resized(place.size.0, place.size.1);
        let rows = Placement::centred(resized_height, self.height, self.rounding);
        let columns = Placement::centred(resized_width, self.width, self.rounding);
        if rows.window.length < self.height || columns.window.length < self.width {
            into.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&self.fill));
        }
        let (top, left) = (rows.before, columns.before);
        let target = Target { height: self.height, width: self.width, top, left, bytes: into };
        #[expect(
            clippy::expect_used,
            reason = "sizes of an Rgb are checked, windows lie inside it: only a bug here can fail"
        )]
        resize(image, place, rows.window, columns.window, self.filter, target).expect("a window inside the image");
    }
}

/// The luma of each pixel, three times: ITU-R 601 in units of 2⁻¹⁶, as Pillow's `L24` has it.
fn grey(image: &Rgb) -> Option<Rgb> {
    let luma = |pixel: &[u8]| {
        let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
        ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8
    };
    let bytes = image.bytes().chunks_exact(3).flat_map(|pixel| [luma(pixel); 3]).collect();
    Rgb::new(image.width(), image.height(), bytes)
}

impl Fit {
    /// Rows and columns after the resize, before the crop.
    fn resized(self, width: u32, height: u32) -> (u64, u64) {
        let (height, width) = (u64::from(height), u64::from(width));
        let (height, width) = match self {
            Self::Exact(height, width) => (height as u64, width as u64),
            Self::ShortestEdge(edge) if width <= height => (edge as u64 * height / width, edge as u64),
            Self::ShortestEdge(edge) => (edge as u64, edge as u64 * width / height),
            Self::Around(rows, columns) => {
                by_ratio(height, width, f64::min(height as f64 / rows as f64, width as f64 / columns as f64))
            }
            Self::Within(rows, columns) => {
                by_ratio(height, width, f64::max(height as f64 / rows as f64, width as f64 / columns as f64))
            }
            Self::Keep => (height, width),
        };
        (height.max(1), width.max(1))
    }
}

/// Python's `round(edge / ratio)`.
fn by_ratio(height: u64, width: u64, ratio: f64) -> (u64, u64) {
    let divided = |edge: u64| (edge as f64 / ratio).round_ties_even() as u64;
    (divided(height), divided(width))
}

/// What of an image is decoded for a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Eighths of its columns and rows to which it may be reduced.
    pub(super) eighths: usize,
    /// Columns of the whole image.
    pub(super) columns: Range<usize>,
    /// Rows of the whole image.
    pub(super) rows: Range<usize>,
}

/// Where along one axis the resized image and the result overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placement {
    window: Window,
    /// Pixels of the result before the image.
    before: usize,
}

impl Placement {
    fn centred(resized: u64, target: usize, rounding: CropRounding) -> Self {
        let Some(surplus) = resized.checked_sub(target as u64) else {
            let length = resized as usize; // less than `target`
            return Self { window: Window { resized, start: 0, length }, before: (target - length) / 2 };
        };
        let down = surplus / 2;
        let start = match rounding {
            CropRounding::HalfToEven if surplus % 2 == 1 => down + down % 2,
            _ => down,
        };
        Self { window: Window { resized, start, length: target }, before: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python: `[int(round((edge - 4) / 2.0)) for edge in range(4, 13)]`.
    #[test]
    fn half_to_even_is_pythons_round() {
        let starts = (4..13).map(|edge| Placement::centred(edge, 4, CropRounding::HalfToEven).window.start);
        assert_eq!(starts.collect::<Vec<_>>(), [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }

    /// `Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))`.
    #[test]
    fn grey_is_pillows() {
        for (colour, expected) in [
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([1, 1, 1], 1),
            ([254, 254, 254], 254),
            ([200, 100, 50], 124),
            ([12, 34, 56], 30),
        ] {
            let image = Rgb::new(1, 1, colour.to_vec()).and_then(|image| grey(&image));
            assert_eq!(image.map(Rgb::into_bytes), Some(vec![expected; 3]), "{colour:?}");
        }
    }

    /// Python: `[int((edge - 4) / 2.0) for edge in range(4, 13)]`.
    #[test]
    fn down_is_pythons_int() {
        let starts = (4..13).map(|edge| Placement::centred(edge, 4, CropRounding::Down).window.start);
        assert_eq!(starts.collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 3, 3, 4]);
    }
}
