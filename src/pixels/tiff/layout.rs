//! What the directory of a TIFF says: how large it is, what its samples are, where its strips or tiles lie.
//!
//! Not here: decompression (`unpack`), colours (`colours`).

use super::super::directory::Directory;
use super::ycbcr::YCbCr;

/// Tags of TIFF 6.0 and its supplements.
mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const FAX_OPTIONS: u16 = 292;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOUR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTES: u16 = 325;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
}

/// How strips and tiles are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// Runs of one row, of CCITT.
    Runs,
    /// Group 3 of CCITT, in one or two dimensions.
    Group3 {
        in_two: bool,
    },
    /// Group 4 of CCITT.
    Group4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

/// What samples mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
}

/// What numbers samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Unsigned,
    Signed,
    Float,
}

/// The first image of a TIFF.
#[derive(Clone, Debug)]
pub(super) struct Layout<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) compression: Compression,
    pub(super) photometric: Photometric,
    pub(super) format: Format,
    /// Bits of a sample.
    pub(super) bits: usize,
    /// Samples of a pixel.
    pub(super) samples: usize,
    /// Whether a first sample beside the colours has been multiplied into them.
    pub(super) premultiplied: bool,
    /// Whether each sample has strips or tiles of its own.
    pub(super) planar: bool,
    /// Of how many the colours are made; 1 where they lie together.
    pub(super) planes: usize,
    /// 2 for differences, 3 for those of floats, else none.
    pub(super) predictor: u64,
    /// Whether the first pixel is in the lowest bit.
    pub(super) from_low_bit: bool,
    /// Columns and rows of a strip or a tile.
    pub(super) chunk: (usize, usize),
    pub(super) tiled: bool,
    /// Where they begin, and how long they are as far as that is said.
    pub(super) offsets: Vec<u64>,
    pub(super) lengths: Vec<u64>,
    /// The colours by index.
    pub(super) palette: Vec<[u8; 3]>,
    /// How Y'CbCr outside JPEGs is to be read.
    pub(super) ycbcr: Option<YCbCr>,
    /// A JPEG of tables only, or nothing.
    pub(super) jpeg_tables: &'a [u8],
}

/// Columns and rows.
pub(super) fn size(directory: &Directory) -> Result<(u32, u32), String> {
    let edge = |tag| {
        let edge = directory.unsigned_value(tag).ok_or("it does not say how large it is")?;
        u32::try_from(edge).map_err(|_| "its size is out of range".to_owned())
    };
    Ok((edge(tag::WIDTH)?, edge(tag::HEIGHT)?))
}

impl<'a> Layout<'a> {
    pub(super) fn new(directory: &Directory<'a>) -> Result<Self, String> {
        let (width, height) = size(directory)?;
        let value = |tag, otherwise| directory.unsigned_value(tag).unwrap_or(otherwise);
        let compression = compression(value(tag::COMPRESSION, 1), value(tag::FAX_OPTIONS, 0))?;
        let photometric = photometric(value(tag::PHOTOMETRIC, 0))?;
        let planar = value(tag::PLANAR, 1) == 2;
        let extra = directory.unsigned_values(tag::EXTRA_SAMPLES);

        let samples = value(tag::SAMPLES, 1);
        let bits = directory.unsigned_values(tag::BITS);
        let first_bits = bits.first().copied().unwrap_or(1);
        if bits.iter().zip(0..samples).any(|(&bits, _)| bits != first_bits) {
            return Err("its samples differ in their bits, which is not decoded; save it as RGB with 8 bits".to_owned());
        }
        let format = match value(tag::SAMPLE_FORMAT, 1) {
            1 => Format::Unsigned,
            2 => Format::Signed,
            3 => Format::Float,
            _ => return Err("its samples are complex or of no type, which is not decoded; save it as RGB".to_owned()),
        };
        let colours = match photometric {
            Photometric::Rgb | Photometric::YCbCr => 3,
            Photometric::Cmyk => 4,
            _ => 1,
        };
        let premultiplied = extra.first() == Some(&1) && samples > colours;
        if samples < colours || samples > MAX_SAMPLES || !matches!(first_bits, 1 | 2 | 4 | 8 | 12 | 16 | 32) {
            return Err(format!("it has {samples} samples of {first_bits} bits, which is not decoded; save it as RGB"));
        }

        if colours == 1 && samples > 1 + extra.len() as u64 {
            return Err(format!("it has {samples} samples without a colour, which is not decoded; save it as RGB"));
        }

        // some writers give tiles in the tags of strips
        let strips = directory.raw(tag::STRIP_OFFSETS).is_some();
        let tiled = directory.raw(tag::TILE_WIDTH).is_some() && (!strips || compression != Compression::None);
        let chunk = if tiled {
            (value(tag::TILE_WIDTH, 0), value(tag::TILE_HEIGHT, 0))
        } else {
            (width.into(), value(tag::ROWS_PER_STRIP, height.into()).min(height.into()))
        };
        let chunk = [chunk.0, chunk.1].map(|edge| usize::try_from(edge).unwrap_or(usize::MAX));
        if chunk.contains(&0) || chunk.iter().any(|&edge| edge > MAX_TILE_EDGE) {
            return Err("its strips or tiles are empty, or larger than any image".to_owned());
        }
        let ycbcr = match (photometric, compression) {
            (Photometric::YCbCr, Compression::Jpeg) => None,
            (Photometric::YCbCr, _) if planar || samples != 3 || first_bits != 8 => {
                return Err("its Y'CbCr is in planes or not of 8 bits, which is not decoded; save it as RGB".to_owned());
            }
            // where Pillow asks libtiff for nothing, it knows no tags
            (Photometric::YCbCr, Compression::None) => {
                Some(YCbCr::new(directory).ok().filter(|ycbcr| !ycbcr.is_whole()).unwrap_or_else(YCbCr::plain))
            }
            (Photometric::YCbCr, _) => Some(YCbCr::new(directory)?),
            _ => None,
        };
        let of_chunks = |tile, strip| directory.unsigned_values(if tiled && !strips { tile } else { strip });
        let map = directory.unsigned_values(tag::COLOUR_MAP);
        let third = map.len() / 3;
        Ok(Self {
            width,
            height,
            compression,
            photometric,
            format,
            bits: first_bits as usize,
            samples: samples as usize,
            premultiplied,
            planar: planar && samples > 1,
            planes: if !planar {
                1
            } else if premultiplied {
                colours + 1
            } else {
                colours
            } as usize,
            predictor: value(tag::PREDICTOR, 1),
            from_low_bit: value(tag::FILL_ORDER, 1) == 2,
            chunk: (chunk[0], chunk[1]),
            tiled,
            offsets: of_chunks(tag::TILE_OFFSETS, tag::STRIP_OFFSETS),
            lengths: of_chunks(tag::TILE_BYTES, tag::STRIP_BYTES),
            ycbcr,
            // all reds, then all greens, then all blues, of which Pillow keeps the high byte
            palette: (0..third).map(|i| [map[i], map[third + i], map[2 * third + i]].map(|v| (v >> 8) as u8)).collect(),
            jpeg_tables: directory.raw(tag::JPEG_TABLES).unwrap_or_default(),
        })
    }

    /// Samples of a pixel in one strip or tile.
    pub(super) fn samples_of_chunk(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Strips or tiles of one plane: from left to right, from top to bottom.
    pub(super) fn chunks(&self) -> (usize, usize) {
        ((self.width as usize).div_ceil(self.chunk.0), (self.height as usize).div_ceil(self.chunk.1))
    }

    /// Bytes of so many rows of a strip or tile as they are before compression.
    pub(super) fn stored_bytes(&self, rows: usize) -> usize {
        match &self.ycbcr {
            Some(ycbcr) => ycbcr.bytes(self.chunk.0, rows),
            None => self.row_bytes() * rows,
        }
    }

    /// Bytes of a row of a strip or tile.
    pub(super) fn row_bytes(&self) -> usize {
        (self.chunk.0 * self.samples_of_chunk() * self.bits).div_ceil(8)
    }
}

/// Samples of a pixel, at most, as Pillow has it.
const MAX_SAMPLES: u64 = 6;

/// Columns or rows of a tile, at most.
const MAX_TILE_EDGE: usize = 65_536;

fn compression(number: u64, fax_options: u64) -> Result<Compression, String> {
    let name = match number {
        1 => return Ok(Compression::None),
        2 => return Ok(Compression::Runs),
        3 => return Ok(Compression::Group3 { in_two: fax_options & 1 == 1 }),
        4 => return Ok(Compression::Group4),
        5 => return Ok(Compression::Lzw),
        7 => return Ok(Compression::Jpeg),
        8 | 32_946 => return Ok(Compression::Deflate),
        32_773 => return Ok(Compression::PackBits),
        6 => "JPEG of the old kind",
        34_925 => "LZMA",
        50_000 => "Zstandard",
        50_001 => "WebP",
        32_809 => "ThunderScan",
        33_003 | 33_005 | 34_712 => "JPEG 2000",
        _ => "of a kind that is not known",
    };
    Err(format!("its compression ({number}) is {name}, which is not decoded; save it with LZW or Deflate"))
}

fn photometric(number: u64) -> Result<Photometric, String> {
    Ok(match number {
        0 => Photometric::WhiteIsZero,
        1 => Photometric::BlackIsZero,
        2 => Photometric::Rgb,
        3 => Photometric::Palette,
        5 => Photometric::Cmyk,
        6 => Photometric::YCbCr,
        8..=10 => return Err("its colours are L*a*b*, which is not decoded; save it as RGB".to_owned()),
        _ => return Err(format!("its colours are of a kind that is not decoded ({number}); save it as RGB")),
    })
}
