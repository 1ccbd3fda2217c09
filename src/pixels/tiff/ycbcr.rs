//! Y'CbCr of a TIFF to RGB, as libtiff's `TIFFReadRGBAImage`: blocks of luma with one chroma each, coefficients and levels by their tags.
//!
//! Not here: Y'CbCr in JPEGs, which is JFIF's (`jpeg`).

use super::super::directory::Directory;

const COEFFICIENTS: u16 = 529;
const SUBSAMPLING: u16 = 530;
const BLACK_AND_WHITE: u16 = 532;

/// How the samples are to be read.
#[derive(Clone, Debug)]
pub(super) struct YCbCr {
    /// Columns and rows of luma for one chroma.
    block: (usize, usize),
    /// Of red, green and blue in luma.
    coefficients: [f64; 3],
    /// Black and white of luma, then zero and the most of Cb and of Cr.
    levels: [f64; 6],
}

impl YCbCr {
    /// By the tags, if they have any sense.
    pub(super) fn new(directory: &Directory) -> Result<Self, String> {
        let numbers = |tag| Some(directory.numbers(tag)).filter(|numbers| !numbers.is_empty());
        let all = |tag, otherwise: &[f64]| numbers(tag).unwrap_or_else(|| otherwise.to_vec());
        let broken = || "its Y'CbCr is of no sense; save it as RGB".to_owned();
        let coefficients = all(COEFFICIENTS, &[0.299, 0.587, 0.114]).try_into().map_err(|_| broken())?;
        let levels =
            all(BLACK_AND_WHITE, &[0.0, 255.0, 128.0, 255.0, 128.0, 255.0]).try_into().map_err(|_| broken())?;
        let [columns, rows] = all(SUBSAMPLING, &[2.0, 2.0])[..] else { return Err(broken()) };
        let ycbcr = Self { block: (columns as usize, rows as usize), coefficients, levels };
        let finite = ycbcr.coefficients.iter().chain(&ycbcr.levels).all(|number| number.is_finite());
        let block = matches!(ycbcr.block, (1 | 2 | 4, 1 | 2 | 4));
        if finite && block && ycbcr.coefficients[1] != 0.0 { Ok(ycbcr) } else { Err(broken()) }
    }

    /// As whoever wrote it meant that knew no tags: JFIF's, with a chroma for each luma.
    pub(super) fn plain() -> Self {
        Self { block: (1, 1), coefficients: [0.299, 0.587, 0.114], levels: [0.0, 255.0, 128.0, 255.0, 128.0, 255.0] }
    }

    /// Whether each luma has a chroma of its own.
    pub(super) fn is_whole(&self) -> bool {
        self.block == (1, 1)
    }

    /// Bytes of so many columns and rows.
    pub(super) fn bytes(&self, columns: usize, rows: usize) -> usize {
        let (wide, high) = self.block;
        columns.div_ceil(wide) * rows.div_ceil(high) * (wide * high + 2)
    }

    /// RGB of so many columns and rows.
    pub(super) fn to_rgb(&self, stored: &[u8], columns: usize, rows: usize) -> Vec<u8> {
        let tables = Tables::new(self);
        let (wide, high) = self.block;
        let mut pixels = vec![0; 3 * columns * rows];
        for (number, block) in stored.chunks_exact(wide * high + 2).enumerate() {
            let (left, top) = (number % columns.div_ceil(wide) * wide, number / columns.div_ceil(wide) * high);
            let (luma, chroma) = block.split_at(wide * high);
            for (at, &y) in luma.iter().enumerate() {
                let (x, row) = (left + at % wide, top + at / wide);
                if x < columns && row < rows {
                    let onto = 3 * (row * columns + x);
                    pixels[onto..onto + 3].copy_from_slice(&tables.rgb(y, chroma[0], chroma[1]));
                }
            }
        }
        pixels
    }
}

/// What each value adds, with 16 bits of fraction in that of green.
struct Tables {
    luma: Vec<i32>,
    red: Vec<i32>,
    green: (Vec<i32>, Vec<i32>),
    blue: Vec<i32>,
}

impl Tables {
    fn new(of: &YCbCr) -> Self {
        const ONE: f64 = 65_536.0;
        const HALF: i32 = 1 << 15;
        let [red, green, blue] = of.coefficients;
        let fixed = |factor: f64| (factor.clamp(0.0, 2.0) * ONE + 0.5) as i32;
        let (to_red, to_blue) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let level = |value: f64, black: f64, white: f64, range: f64| {
            let span = if white == black { 1.0 } else { white - black };
            ((value - black.trunc()) * range / span).clamp(-4096.0, 4096.0) as i32
        };
        let [y0, y1, b0, b1, r0, r1] = of.levels;
        let chroma =
            |zero: f64, most: f64| move |value: i32| level(f64::from(value - 128), zero - 128.0, most - 128.0, 127.0);
        let each = |f: &dyn Fn(i32) -> i32| (0..256).map(f).collect::<Vec<i32>>();
        let (cb, cr) = (chroma(b0, b1), chroma(r0, r1));
        Self {
            luma: each(&|value| level(f64::from(value), y0, y1, 255.0)),
            red: each(&|value| (fixed(to_red) * cr(value) + HALF) >> 16),
            green: (
                each(&|value| -fixed(blue * to_blue / green) * cb(value) + HALF),
                each(&|value| -fixed(red * to_red / green) * cr(value)),
            ),
            blue: each(&|value| (fixed(to_blue) * cb(value) + HALF) >> 16),
        }
    }

    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (y, cb, cr) = (self.luma[usize::from(y)], usize::from(cb), usize::from(cr));
        let green = y + ((self.green.0[cb] + self.green.1[cr]) >> 16);
        [y + self.red[cr], green, y + self.blue[cb]].map(|value| value.clamp(0, 255) as u8)
    }
}
