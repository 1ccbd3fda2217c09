//! Resize and crop to a model's input, with the geometry of torchvision (for timm) and transformers.
//!
//! Not here: what a checkpoint's configuration means (`checkpoint`), and normalisation (the engine's).

use super::resize::{Window, resize};
use super::{Filter, Rgb};

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
}

/// What is done with the aspect ratio, before the centre is cropped to the size of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The shorter edge becomes this long, the other in proportion, rounded down.
    ShortestEdge(usize),
    /// Warped to these rows and columns.
    Exact(usize, usize),
}

/// Where a centre crop starts when an odd number of pixels is left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropRounding {
    /// To the even one of two, as torchvision's `round((edge − crop) / 2)`: timm.
    HalfToEven,
    /// To the smaller one, as `int((edge − crop) / 2)`: transformers.
    Down,
}

/// Pixels `[height, width, 3]` of exactly a model's input, 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels(Vec<u8>);

impl Pixels {
    /// Pixels of these bytes; None unless there are `height · width · 3` of them.
    #[must_use]
    pub fn from_bytes(height: usize, width: usize, bytes: Vec<u8>) -> Option<Self> {
        let length = height.checked_mul(width)?.checked_mul(3)?;
        (bytes.len() == length).then_some(Self(bytes))
    }

    /// Middle grey, as for a warm-up.
    #[must_use]
    pub fn grey(height: usize, width: usize) -> Self {
        Self(vec![128; height * width * 3])
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Transform {
    /// Brings an image to the size of the input. Where the resized image is smaller than that, it is centred on black, as
    /// torchvision's `center_crop` does.
    #[must_use]
    pub fn apply(&self, image: &Rgb) -> Pixels {
        let (resized_height, resized_width) = self.fit.resized(image);
        let rows = Placement::centred(resized_height, self.height, self.rounding);
        let columns = Placement::centred(resized_width, self.width, self.rounding);
        #[expect(
            clippy::expect_used,
            reason = "sizes of an Rgb are checked, windows lie inside it: only a bug here can fail"
        )]
        let window = resize(image, rows.window, columns.window, self.filter).expect("a window inside the image");
        if rows.before == 0 && columns.before == 0 && window.len() == self.height * self.width * 3 {
            return Pixels(window);
        }
        let mut padded = vec![0; self.height * self.width * 3];
        let rows_of_window = window.chunks_exact(columns.window.length * 3);
        let rows_of_result = padded.chunks_exact_mut(self.width * 3).skip(rows.before);
        for (onto, row) in rows_of_result.zip(rows_of_window) {
            onto[columns.before * 3..][..row.len()].copy_from_slice(row);
        }
        Pixels(padded)
    }
}

impl Fit {
    /// Rows and columns after the resize, before the crop.
    fn resized(self, image: &Rgb) -> (u64, u64) {
        let (height, width) = (u64::from(image.height()), u64::from(image.width()));
        let (height, width) = match self {
            Self::Exact(height, width) => (height as u64, width as u64),
            Self::ShortestEdge(edge) if width <= height => (edge as u64 * height / width, edge as u64),
            Self::ShortestEdge(edge) => (edge as u64, edge as u64 * width / height),
        };
        (height.max(1), width.max(1))
    }
}

/// Where along one axis the resized image and the result overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placement {
    window: Window,
    /// Black pixels of the result before the image.
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

    /// Python: `[int((edge - 4) / 2.0) for edge in range(4, 13)]`.
    #[test]
    fn down_is_pythons_int() {
        let starts = (4..13).map(|edge| Placement::centred(edge, 4, CropRounding::Down).window.start);
        assert_eq!(starts.collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 3, 3, 4]);
    }
}
