//! Which colours the components of a JPEG are, by libjpeg's rules, and their conversion to RGB, bit for bit as libjpeg and Pillow do it.

use crate::pixels::samples::cmyk_to_rgb;

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    /// Y'CbCr of what remains of each colour, and black.
    Ycck,
}

impl Colours {
    /// By the ids of the components, of which there are 1, 3 or 4, and by the segments that were there (libjpeg's
    /// `default_decompress_parms`): JFIF before Adobe, Adobe before the ids.
    pub(super) fn of(ids: &[u8], jfif: bool, adobe: Option<u8>) -> Self {
        match (ids, adobe) {
            ([_], _) => Self::Grey,
            (&[_, _, _, _], Some(0) | None) => Self::Cmyk,
            (&[_, _, _, _], Some(_)) => Self::Ycck,
            _ if jfif => Self::YCbCr,
            (_, Some(0)) => Self::Rgb,
            (b"RGB", None) => Self::Rgb,
            _ => Self::YCbCr,
        }
    }

    /// RGB of a row. Inks are taken for inverted, Adobe's way, as Pillow takes them.
    pub(super) fn to_rgb(self, rows: &[Vec<u8>], onto: &mut [u8]) {
        let pixels = onto.as_chunks_mut::<3>().0.iter_mut();
        match (self, rows) {
            (Self::Grey, [grey, ..]) => pixels.zip(grey).for_each(|(pixel, &grey)| *pixel = [grey; 3]),
            (Self::Rgb, [r, g, b, ..]) => {
                pixels.zip(r).zip(g).zip(b).for_each(|(((pixel, &r), &g), &b)| *pixel = [r, g, b]);
            }
            (Self::YCbCr, [y, cb, cr, ..]) => {
                pixels.zip(y).zip(cb).zip(cr).for_each(|(((pixel, &y), &cb), &cr)| *pixel = ycbcr(y, cb, cr));
            }
            (Self::Cmyk, [c, m, y, k, ..]) => pixels.enumerate().for_each(|(x, pixel)| {
                *pixel = cmyk_to_rgb([c[x], m[x], y[x], k[x]].map(|ink| 255 - ink));
            }),
            (Self::Ycck, [y, cb, cr, k, ..]) => pixels.enumerate().for_each(|(x, pixel)| {
                let [c, m, y] = ycbcr(y[x], cb[x], cr[x]);
                *pixel = cmyk_to_rgb([c, m, y, 255 - k[x]]);
            }),
            _ => {}
        }
    }
}

/// Y'CbCr to RGB, with 16 bits of the factors of BT.601.
fn ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}
