//! JPEG, bit for bit as libjpeg-turbo decodes it and Pillow shows it; for a transform no more of it than that reads, and reduced.
//!
//! Strictly: a file that ends early is an error, as it is to Pillow, and no picture that is grey below, though the crop that is wanted were
//! there. Not decoded, and named: arithmetic, lossless and hierarchical coding, 12 bits, heights behind the image, progressive images
//! without all their scans.
//!
//! Why of our own: no decoder that builds with Rust and a C compiler alone is faster (libjpeg-turbo's vectors need nasm, jpeg-decoder and
//! zune-jpeg have none for part of an image or a reduced one), and of 112 JPEGs of all kinds (`tests/images/kinds.py`) zune-jpeg 0.5.15
//! decodes 20 wrongly without a word and refuses 18, its 0.5.16-rc3 10 and 20, jpeg-decoder 0.3.2 25 and 8; here they are Pillow's.
//!
//! How far an image may be reduced is `transform`'s to say. By fewer cosines than a block has (`reduced`), as libjpeg does it, and then a
//! resize, pixels are not quite those of the whole image resized. In Pillow, of 255, on average and the share that is off by more than 2:
//!
//! | pixels left for one of the result | photos | 64 photos in one, of 12 megapixels |
//! |---|---|---|
//! | 1.0 to 1.5 | 0.38 to 1.98, to 26 % | 2.27, 33 % |
//! | 1.8 to 2.4 | 0.46 to 0.92, to 9 % | |
//! | 2.9 to 3.0 | 0.18 to 0.31, 0.2 % | 0.50, 0.9 % |
//! | 3.4 to 3.8 | 0.18 to 0.25, 0.04 % | 0.54, 0.5 % |
//! | 4.4 | 0.16, none | 0.26, 0.2 % |
//! | 5.6 and more | 0.15 at most, none | 0.25 at most, none |

mod bits;
mod colour;
mod cosine;
mod frame;
mod plain;
mod planes;
mod progressive;
mod reduced;
mod scan;
mod segments;
mod tables;

use std::ops::Range;

use image::metadata::Orientation;

use self::colour::Colours;
use self::frame::{Frame, Scan};
use self::planes::{Area, Plane};
use self::progressive::Layers;
use self::scan::{Coefficients, TakeRows, mcus};
use self::segments::{Segments, Tables};
use self::tables::Quantisation;
use super::header::{Header, expect_size};
use super::orientation;
use super::part::{Part, Place};
use super::rgb::{Rgb, rgb};
use super::transform::Transform;

/// Columns and rows, from the head.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), String> {
    let mut segments = Segments::new(bytes)?;
    segments.next_scan()?.ok_or_else(no_scan)?;
    let frame = segments.frame.as_ref().ok_or_else(no_scan)?;
    Ok((frame.width, frame.height))
}

/// Decodes; CMYK is taken for inverted, Adobe's way, as Pillow takes it.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Rgb, String> {
    let Opened { segments, first, frame, colours, turn } = Opened::new(bytes, header)?;
    let planes = decode_scans(segments, first, &frame, &Area::whole(&frame))?;
    let pixels = to_rgb(&planes, 0..frame.width as usize, 0..frame.height as usize, colours);
    orientation::upright(rgb(frame.width, frame.height, pixels)?, turn)
}

/// What is known of a file before its coded data is read.
struct Opened<'a> {
    /// Behind the head of the first scan.
    segments: Segments<'a>,
    first: Scan,
    frame: Frame,
    colours: Colours,
    turn: Orientation,
}

impl<'a> Opened<'a> {
    /// Of a file that has all its scans.
    fn new(bytes: &'a [u8], header: &Header) -> Result<Self, String> {
        let mut segments = Segments::new(bytes)?;
        let first = segments.next_scan()?.ok_or_else(no_scan)?;
        let frame = segments.frame.clone().ok_or_else(no_scan)?;
        expect_size(header, frame.width, frame.height)?;
        expect_all_scans(segments.clone(), &first, &frame)?;
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        let colours = Colours::of(&ids, segments.jfif, segments.adobe);
        let turn = orientation::found(Some(&segments.exif.concat()[..]).filter(|exif| !exif.is_empty()), segments.xmp);
        Ok(Self { segments, first, frame, colours, turn })
    }
}

/// Decodes what a transform reads, reduced as far as it may be.
pub(super) fn decode_for(bytes: &[u8], header: &Header, transform: &Transform) -> Result<Part, String> {
    let Opened { segments, first, frame, colours, turn } = Opened::new(bytes, header)?;
    let turned = orientation::turned(turn, (frame.width, frame.height));
    let wanted = transform.wanted(turned);
    let whole = (0..frame.width as usize, 0..frame.height as usize);
    // of what is turned all is decoded
    let (columns, rows) = if turn == Orientation::NoTransforms { (wanted.columns, wanted.rows) } else { whole };
    let eighths = wanted.eighths;
    let of_mcu = frame.sampling();
    let (most_columns, most_rows) = mcus(&frame);
    let area = Area {
        eighths,
        columns: with_neighbours(&columns, 8 * of_mcu.0, most_columns),
        rows: with_neighbours(&rows, 8 * of_mcu.1, most_rows),
    };
    let scaled = |edge: &Range<usize>| (edge.start * eighths / 8) & !1..(edge.end * eighths).div_ceil(8);
    let (columns, rows) = (scaled(&columns), scaled(&rows));
    let planes = decode_scans(segments, first, &frame, &area)?;
    let pixels = to_rgb(&planes, columns.clone(), rows.clone(), colours);
    let image = rgb(columns.len() as u32, rows.len() as u32, pixels)?;
    let left = |edge: u32| f64::from(edge) * eighths as f64 / 8.0;
    let place = Place {
        left: -(columns.start as f64),
        top: -(rows.start as f64),
        width: left(frame.width),
        height: left(frame.height),
        size: turned,
    };
    let place = orientation::upright_place(place, (image.width(), image.height()), turn);
    Ok(Part { image: orientation::upright(image, turn)?, place })
}

/// MCUs of so many samples that hold a part of an edge, and those beside it, whose chroma is seen in it.
fn with_neighbours(part: &Range<usize>, samples: usize, most: usize) -> Range<usize> {
    (part.start / samples).saturating_sub(1)..(part.end.div_ceil(samples) + 1).min(most)
}

/// Samples of a JPEG within another file, as TIFF has them: `[height, width, components]`.
#[derive(Debug)]
pub(super) struct Embedded {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bytes: Vec<u8>,
}

/// Decodes a JPEG within another file, of no more than `most` columns and rows and of so many components. `tables` is a JPEG that holds
/// nothing but tables, or empty. Y'CbCr becomes RGB if `to_rgb` says that it is that; whatever else components are, they stay.
pub(super) fn decode_embedded(
    bytes: &[u8],
    tables: &[u8],
    most: (u32, u32),
    components: usize,
    to_rgb: bool,
) -> Result<Embedded, String> {
    let tables = if tables.is_empty() {
        Tables::default()
    } else {
        let mut segments = Segments::new(tables)?;
        if segments.next_scan()?.is_some() {
            return Err("its JPEG tables are an image".to_owned());
        }
        segments.tables
    };
    let mut segments = Segments::with_tables(bytes, tables)?;
    let first = segments.next_scan()?.ok_or_else(no_scan)?;
    let frame = segments.frame.clone().ok_or_else(no_scan)?;
    if frame.width > most.0 || frame.height > most.1 || frame.components.len() != components {
        return Err("a JPEG in it is larger than its strip or tile, or of other colours".to_owned());
    }
    expect_all_scans(segments.clone(), &first, &frame)?;
    let planes = decode_scans(segments, first, &frame, &Area::whole(&frame))?;
    let colours = if to_rgb && components == 3 { Some(Colours::YCbCr) } else { None };
    let (width, height) = (frame.width as usize, frame.height as usize);
    let bytes = join(&planes, 0..width, 0..height, components, |rows, onto| match colours {
        Some(colours) => colours.to_rgb(rows, onto),
        None => onto.chunks_exact_mut(components).enumerate().for_each(|(x, pixel)| {
            pixel.iter_mut().zip(rows).for_each(|(sample, row)| *sample = row[x]);
        }),
    });
    Ok(Embedded { width, height, bytes })
}

fn no_scan() -> String {
    "it has no scan".to_owned()
}

/// Whether all is there: an end of the image, and of a progressive one the first coefficients to their last bit, without which libjpeg
/// guesses them from the blocks around.
fn expect_all_scans(mut segments: Segments, first: &Scan, frame: &Frame) -> Result<(), String> {
    /// Coefficients in zigzag order that libjpeg guesses (`smoothing_ok`), and the first.
    const GUESSED: usize = 10;
    /// Bits of which none has come.
    const ALL: u8 = u8::MAX;
    let mut missing = vec![[ALL; GUESSED]; frame.components.len()];
    let mut see = |scan: &Scan| {
        for &(index, ..) in &scan.components {
            let band = scan.band.0.min(GUESSED)..(scan.band.1 + 1).min(GUESSED);
            missing[index][band].fill(scan.after);
        }
        Ok(())
    };
    see(first)?;
    segments.each_scan(see)?;
    if missing.iter().flatten().any(|&bits| bits > 0) {
        return Err("some of its scans are missing; save it anew".to_owned());
    }
    Ok(())
}

/// Decodes the scans from the `first` on as libjpeg does, to the planes of the components; of their samples only those of an area.
fn decode_scans(segments: Segments, first: Scan, frame: &Frame, area: &Area) -> Result<Vec<Plane>, String> {
    let all = first.components.len() == frame.components.len();
    // of a component alone blocks that only fill an MCU are not sent
    let usual = first.components.len() > 1 || frame.sampling() == (1, 1);
    if frame.progressive {
        decode_progressive(segments, first, frame, area)
    } else if !all || !usual {
        decode_each(segments, first, frame, area)
    } else {
        decode_one(&segments, &first, frame, area)
    }
}

/// Planes of a frame, without samples yet.
fn planes_of(frame: &Frame, area: &Area) -> Vec<Plane> {
    (0..frame.components.len()).map(|index| Plane::new(frame, index, area)).collect()
}

/// Notes the quantisation of the components of a scan: their first one decides.
fn note_steps(scan: &Scan, frame: &Frame, tables: &Tables, steps: &mut [Option<Quantisation>]) -> Result<(), String> {
    for &(index, ..) in &scan.components {
        steps[index] = steps[index].or(tables.quantisation[frame.components[index].quantisation]);
        steps[index].ok_or("a quantisation table of it is missing")?;
    }
    Ok(())
}

/// Of a sequential image in one scan, one row of MCUs after the other.
fn decode_one(segments: &Segments, scan: &Scan, frame: &Frame, area: &Area) -> Result<Vec<Plane>, String> {
    let mut planes = planes_of(frame, area);
    let mut steps = vec![None; planes.len()];
    note_steps(scan, frame, &segments.tables, &mut steps)?;
    let mut row = Coefficients::of_one_row(frame, area.columns.len());
    row.iter_mut().zip(&planes).for_each(|(row, plane)| row.last = plane.last_coefficient());
    let mut finish = |row: usize, coefficients: &mut [Coefficients]| {
        for ((plane, coefficients), steps) in planes.iter_mut().zip(coefficients).zip(&steps) {
            if let Some(steps) = steps {
                plane.fill(row, area.columns.start, &coefficients.blocks, steps, area);
            }
            coefficients.blocks.fill([0; 64]);
        }
    };
    let take_rows = TakeRows { area, take: &mut finish };
    scan::read(segments.rest(), scan, &segments.tables, frame, &mut row, Some(take_rows))?;
    Ok(planes)
}

/// Of a sequential image in several scans, all coefficients first.
fn decode_each(segments: Segments, first: Scan, frame: &Frame, area: &Area) -> Result<Vec<Plane>, String> {
    let mut planes = planes_of(frame, area);
    let mut coefficients = Coefficients::of_frame(frame);
    let steps = each_scan(segments, first, frame, |rest, scan, tables| {
        scan::read(rest, scan, tables, frame, &mut coefficients, None)
    })?;
    for ((plane, coefficients), steps) in planes.iter_mut().zip(coefficients).zip(steps) {
        let mcu_row = coefficients.blocks.len() / mcus(frame).1;
        let rows = coefficients.blocks.chunks_exact(mcu_row).enumerate();
        rows.for_each(|(row, blocks)| plane.fill(row, 0, blocks, &steps, area));
    }
    Ok(planes)
}

/// Of a progressive image, all coefficients first that the area is made of.
fn decode_progressive(segments: Segments, first: Scan, frame: &Frame, area: &Area) -> Result<Vec<Plane>, String> {
    let mut planes = planes_of(frame, area);
    let layers = planes.iter().enumerate().map(|(index, plane)| Layers::new(frame, index, plane, area));
    let mut layers: Vec<Layers> = layers.collect();
    let steps =
        each_scan(segments, first, frame, |rest, scan, tables| progressive::read(rest, scan, tables, &mut layers))?;
    planes.iter_mut().zip(layers).zip(steps).for_each(|((plane, layers), steps)| layers.fill(plane, &steps, area));
    Ok(planes)
}

/// Reads scan after scan; the quantisation of the components.
fn each_scan(
    mut segments: Segments,
    first: Scan,
    frame: &Frame,
    mut read: impl FnMut(&[u8], &Scan, &Tables) -> Result<usize, String>,
) -> Result<Vec<Quantisation>, String> {
    let mut steps = vec![None; frame.components.len()];
    let mut next = Some(first);
    while let Some(scan) = next {
        note_steps(&scan, frame, &segments.tables, &mut steps)?;
        let taken = read(segments.rest(), &scan, &segments.tables)?;
        segments.skip(taken);
        // libjpeg looks for no more
        let whole = !frame.progressive && scan.components.len() == frame.components.len();
        next = if whole { None } else { segments.next_scan()? };
    }
    let steps: Option<Vec<Quantisation>> = steps.into_iter().collect();
    steps.ok_or_else(|| "a component of it has no scan".to_owned())
}

/// Pixels of a part of an image.
fn to_rgb(planes: &[Plane], columns: Range<usize>, rows: Range<usize>, colours: Colours) -> Vec<u8> {
    join(
        planes,
        columns,
        rows,
        3,
        #[inline(always)]
        |rows, onto| colours.to_rgb(rows, onto),
    )
}

/// Rows of `channels` samples of a pixel, each made of a row of every plane.
fn join(
    planes: &[Plane],
    columns: Range<usize>,
    rows: Range<usize>,
    channels: usize,
    convert: impl Fn(&[Vec<u8>], &mut [u8]),
) -> Vec<u8> {
    let mut pixels = vec![0; channels * columns.len() * rows.len()];
    let mut of_planes = vec![vec![0; columns.len()]; planes.len()];
    let mut scratch = Vec::new();
    // with the processor's own vectors, which the compiler then makes of these loops
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (y, onto) in rows.zip(pixels.chunks_exact_mut(channels * columns.len())) {
                // no closure, which would be compiled without these vectors
                for (plane, row) in planes.iter().zip(&mut of_planes) {
                    plane.row(y, columns.start, row, &mut scratch);
                }
                convert(&of_planes, onto);
            }
        },
    );
    pixels
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
