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
    #[inline(always)]
    pub(super) fn to_rgb(self, rows: &[Vec<u8>], onto: &mut [u8]) {
        if let (Self::YCbCr, [y, cb, cr, ..]) = (self, rows) {
            return ycbcr_row(y, cb, cr, onto);
        }
        let pixels = onto.as_chunks_mut::<3>().0.iter_mut();
        match (self, rows) {
            (Self::Grey, [grey, ..]) => pixels.zip(grey).for_each(|(pixel, &grey)| *pixel = [grey; 3]),
            (Self::Rgb, [r, g, b, ..]) => {
                pixels.zip(r).zip(g).zip(b).for_each(|(((pixel, &r), &g), &b)| *pixel = [r, g, b]);
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

/// Pixels that are converted at a time.
const TOGETHER: usize = 16;

#[inline(always)]
fn ycbcr_row(y: &[u8], cb: &[u8], cr: &[u8], onto: &mut [u8]) {
    let (groups, rest) = onto.as_chunks_mut::<{ 3 * TOGETHER }>();
    let (ys, cbs, crs) = (y.as_chunks::<TOGETHER>().0, cb.as_chunks::<TOGETHER>().0, cr.as_chunks::<TOGETHER>().0);
    let done = TOGETHER * groups.len();
    for (((group, y), cb), cr) in groups.iter_mut().zip(ys).zip(cbs).zip(crs) {
        let mut colours = [[0; TOGETHER]; 3];
        for at in 0..TOGETHER {
            let [red, green, blue] = ycbcr(y[at], cb[at], cr[at]);
            (colours[0][at], colours[1][at], colours[2][at]) = (red, green, blue);
        }
        interleave(&colours, group);
    }
    let rest = rest.as_chunks_mut::<3>().0.iter_mut().zip(&y[done..]).zip(&cb[done..]).zip(&cr[done..]);
    rest.for_each(|(((pixel, &y), &cb), &cr)| *pixel = ycbcr(y, cb, cr));
}

/// Colours one behind the other, pixel by pixel.
#[inline(always)]
fn interleave(colours: &[[u8; TOGETHER]; 3], onto: &mut [u8; 3 * TOGETHER]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(vectors) = pulp::x86::V3::try_new() {
        /// From where in a colour the bytes of a third of the pixels come; none for those of other colours.
        const FROM: [[[u8; 16]; 3]; 3] = {
            let mut from = [[[0x80; 16]; 3]; 3];
            let mut byte = 0;
            while byte < 48 {
                from[byte / 16][byte % 3][byte % 16] = (byte / 3) as u8;
                byte += 1;
            }
            from
        };
        for (third, from) in onto.as_chunks_mut::<16>().0.iter_mut().zip(FROM) {
            let mut pixels = bytemuck::cast([0_u8; 16]);
            for (colour, from) in colours.iter().zip(from) {
                let bytes = vectors.ssse3._mm_shuffle_epi8(bytemuck::cast(*colour), bytemuck::cast(from));
                pixels = vectors.sse2._mm_or_si128(pixels, bytes);
            }
            *third = bytemuck::cast(pixels);
        }
        return;
    }
    for (at, pixel) in onto.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        *pixel = [colours[0][at], colours[1][at], colours[2][at]];
    }
}

/// Y'CbCr to RGB, with 16 bits of the factors of BT.601.
#[inline(always)]
fn ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}
