//! The strips and tiles of a TIFF, decompressed: each to the bytes that its size says and no more.
//!
//! Not here: what the samples mean (`colours`), the codes of fax (`fax`).

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::ZlibDecoder;
use weezl::BitOrder;

use super::fax;
use super::layout::{Compression, Layout, Photometric};
use crate::pixels::jpeg;

/// The samples of strip or tile number `index`, of which `rows` rows are wanted: rows of [`Layout::row_bytes`], samples of several bytes
/// low byte first.
pub(super) fn chunk(file: &[u8], little: bool, layout: &Layout, index: usize, rows: usize) -> Result<Vec<u8>, String> {
    let stored = stored(file, layout, index, rows)?;
    let length = layout.stored_bytes(rows);
    let stored = match layout.compression {
        Compression::Jpeg => return jpeg(stored, layout, rows),
        _ if layout.from_low_bit => Cow::Owned(stored.iter().map(|byte| byte.reverse_bits()).collect()),
        _ => Cow::Borrowed(stored),
    };
    let mut samples = match layout.compression {
        Compression::None | Compression::Jpeg => stored.into_owned(),
        Compression::Deflate => inflate(&stored, length)?,
        Compression::Lzw => lzw(&stored, length)?,
        Compression::PackBits => unpack_bits(&stored, length),
        Compression::Runs | Compression::Group3 { .. } | Compression::Group4 => {
            fax::decode(&stored, layout.compression, layout.chunk.0, rows)?
        }
    };
    if samples.len() < length {
        return Err("it is truncated".to_owned());
    }
    samples.truncate(length);
    if let Some(ycbcr) = &layout.ycbcr {
        return Ok(ycbcr.to_rgb(&samples, layout.chunk.0, rows));
    }
    let predicted = matches!(layout.compression, Compression::Deflate | Compression::Lzw);
    match layout.predictor {
        3 if predicted => undo_float_differences(&mut samples, layout)?,
        predictor => {
            if !little && layout.bits > 8 && layout.bits.is_multiple_of(8) {
                samples.chunks_exact_mut(layout.bits / 8).for_each(<[u8]>::reverse);
            }
            if predictor == 2 && predicted {
                undo_differences(&mut samples, layout)?;
            }
        }
    }
    Ok(samples)
}

/// The bytes of a strip or tile as they lie in the file.
fn stored<'a>(file: &'a [u8], layout: &Layout, index: usize, rows: usize) -> Result<&'a [u8], String> {
    let truncated = || "it is truncated".to_owned();
    let from = usize::try_from(*layout.offsets.get(index).ok_or("some of its strips or tiles are missing")?).ok();
    let behind = from.and_then(|from| file.get(from..)).ok_or_else(truncated)?;
    // of uncompressed ones the size is known, and writers of long ago did not say it
    let length = match layout.compression {
        Compression::None => Some(layout.stored_bytes(rows)),
        _ => layout.lengths.get(index).and_then(|&length| usize::try_from(length).ok()),
    };
    behind.get(..length.unwrap_or(behind.len())).ok_or_else(truncated)
}

fn inflate(stored: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let mut samples = Vec::new();
    let read = ZlibDecoder::new(stored).take(length as u64).read_to_end(&mut samples);
    read.map_err(|error| format!("its Deflate data is broken: {error}"))?;
    Ok(samples)
}

fn lzw(stored: &[u8], length: usize) -> Result<Vec<u8>, String> {
    // a first code of 256 with its low bits first is of before TIFF 6.0
    let mut decoder = if matches!(stored, [0, second, ..] if second & 1 == 1) {
        weezl::decode::Decoder::new(BitOrder::Lsb, 8)
    } else {
        weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8)
    };
    let (mut samples, mut read, mut written) = (vec![0; length], 0, 0);
    while written < length {
        let step = decoder.decode_bytes(&stored[read..], &mut samples[written..]);
        (read, written) = (read + step.consumed_in, written + step.consumed_out);
        match step.status {
            Err(_) => return Err("its LZW data is broken".to_owned()),
            Ok(weezl::LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
        }
    }
    samples.truncate(written);
    Ok(samples)
}

/// Runs of bytes (TIFF 6.0, section 9).
fn unpack_bits(mut stored: &[u8], length: usize) -> Vec<u8> {
    let mut samples = Vec::new();
    while let Some((&head, rest)) = stored.split_first() {
        if samples.len() >= length {
            break;
        }
        stored = match (head.cast_signed(), rest.split_first()) {
            (-128, _) => rest,
            (count @ 0.., _) => {
                let (literal, rest) = rest.split_at(rest.len().min(count as usize + 1));
                samples.extend_from_slice(literal);
                rest
            }
            (_, None) => rest,
            (count, Some((&byte, rest))) => {
                samples.resize(samples.len() + 1 + usize::from(count.unsigned_abs()), byte);
                rest
            }
        };
    }
    samples
}

/// Sums of what are differences from left to right (TIFF 6.0, section 14).
fn undo_differences(samples: &mut [u8], layout: &Layout) -> Result<(), String> {
    let pixel = layout.samples_of_chunk() * layout.bits / 8;
    for row in samples.chunks_exact_mut(layout.row_bytes()) {
        match layout.bits {
            8 => (pixel..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - pixel])),
            16 => {
                add_up::<2>(row, pixel, |a, b| u16::from_le_bytes(a).wrapping_add(u16::from_le_bytes(b)).to_le_bytes())
            }
            32 => {
                add_up::<4>(row, pixel, |a, b| u32::from_le_bytes(a).wrapping_add(u32::from_le_bytes(b)).to_le_bytes())
            }
            bits => {
                return Err(format!(
                    "it has differences of {bits} bits, which is not decoded; save it without predictor"
                ));
            }
        }
    }
    Ok(())
}

/// Adds to each number of `N` bytes that which lies `pixel` bytes before.
fn add_up<const N: usize>(row: &mut [u8], pixel: usize, add: impl Fn([u8; N], [u8; N]) -> [u8; N]) {
    let (numbers, _) = row.as_chunks_mut::<N>();
    let before = pixel / N;
    (before..numbers.len()).for_each(|at| numbers[at] = add(numbers[at], numbers[at - before]));
}

/// Floats of which a row has all high bytes first, then the next ones, each as a difference from the one before (TIFF, technical note 3).
fn undo_float_differences(samples: &mut [u8], layout: &Layout) -> Result<(), String> {
    let (bytes, step) = (layout.bits / 8, layout.samples_of_chunk());
    if !layout.bits.is_multiple_of(8) || bytes == 0 {
        return Err("its predictor is of floats, and its samples are none".to_owned());
    }
    for row in samples.chunks_exact_mut(layout.row_bytes()) {
        (step..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - step]));
        let planes = row.to_vec();
        let count = row.len() / bytes;
        for (number, value) in row.chunks_exact_mut(bytes).enumerate() {
            // low byte first
            value.iter_mut().rev().enumerate().for_each(|(plane, byte)| *byte = planes[plane * count + number]);
        }
    }
    Ok(())
}

/// A strip or tile that is a JPEG. Y'CbCr becomes RGB, all else stays what it is.
fn jpeg(stored: &[u8], layout: &Layout, rows: usize) -> Result<Vec<u8>, String> {
    let samples = layout.samples_of_chunk();
    if layout.bits != 8 {
        return Err(format!("it holds JPEGs of {} bits, and those of 8 are decoded; save it with 8 bits", layout.bits));
    }
    let to_rgb = layout.photometric == Photometric::YCbCr && !layout.planar;
    let (width, height) = layout.chunk;
    let image = jpeg::decode_embedded(stored, layout.jpeg_tables, (width as u32, height as u32), samples, to_rgb)?;
    if image.width != width || image.height < rows {
        return Err("a JPEG in it is smaller than its strip or tile".to_owned());
    }
    let mut bytes = image.bytes;
    bytes.truncate(layout.row_bytes() * rows);
    Ok(bytes)
}
