//! The segments of a JPEG, walked as libjpeg does: bytes between them are skipped, and what they say is kept until a scan needs it.
//!
//! Not here: what the headers of frames and scans say (`frame`), the coded data of a scan (`scan`), what its samples mean (`colour`).

use super::frame::{Frame, Scan};
use super::tables::{Listed, Quantisation, ZIGZAG};

/// Markers of ITU-T T.81, table B.1.
mod marker {
    use std::ops::RangeInclusive;

    pub(super) const STUFFED: u8 = 0x00;
    pub(super) const TEMPORARY: u8 = 0x01;
    pub(super) const FRAMES: RangeInclusive<u8> = 0xC0..=0xCF; // but for the next three
    pub(super) const HUFFMAN: u8 = 0xC4;
    pub(super) const EXTENSION: u8 = 0xC8;
    pub(super) const ARITHMETIC: u8 = 0xCC;
    pub(super) const RESTART: RangeInclusive<u8> = 0xD0..=0xD7;
    pub(super) const START_OF_IMAGE: u8 = 0xD8;
    pub(super) const END_OF_IMAGE: u8 = 0xD9;
    pub(super) const SCAN: u8 = 0xDA;
    pub(super) const QUANTISATION: u8 = 0xDB;
    pub(super) const LINES: u8 = 0xDC;
    pub(super) const RESTART_INTERVAL: u8 = 0xDD;
    pub(super) const JFIF: u8 = 0xE0;
    pub(super) const EXIF: u8 = 0xE1;
    pub(super) const ADOBE: u8 = 0xEE;
    pub(super) const APPLICATION: RangeInclusive<u8> = 0xE0..=0xEF;
    pub(super) const COMMENT: u8 = 0xFE;
}

/// Scans of one image, at most, as zune-jpeg has it: each may cost a pass over all coefficients for a few bytes.
const MAX_SCANS: usize = 100;

/// What stands in front of scans and may change between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) quantisation: [Option<Quantisation>; 4],
    pub(super) dc: [Option<Listed>; 4],
    pub(super) ac: [Option<Listed>; 4],
    /// MCUs from restart to restart; 0 for no restarts.
    pub(super) restart: usize,
}

/// A walk over the segments.
#[derive(Clone, Debug)]
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    scans: usize,
    pub(super) tables: Tables,
    pub(super) frame: Option<Frame>,
    /// Whether there was a whole JFIF segment.
    pub(super) jfif: bool,
    /// The transform of a whole Adobe segment.
    pub(super) adobe: Option<u8>,
    /// Blocks of EXIF, which Pillow joins.
    pub(super) exif: Vec<&'a [u8]>,
    /// The last XMP.
    pub(super) xmp: Option<&'a [u8]>,
}

impl<'a> Segments<'a> {
    /// At the start of a file.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        Self::with_tables(bytes, Tables::default())
    }

    /// At the start of a stream for which tables came before.
    pub(super) fn with_tables(bytes: &'a [u8], tables: Tables) -> Result<Self, String> {
        if bytes.first_chunk() != Some(&[0xFF, marker::START_OF_IMAGE]) {
            return Err("it has no start of image".to_owned());
        }
        let (frame, adobe, exif, xmp) = (None, None, Vec::new(), None);
        Ok(Self { bytes, at: 2, scans: 0, tables, frame, jfif: false, adobe, exif, xmp })
    }

    /// Bytes behind what was walked.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes on behind `read` bytes of coded data.
    pub(super) fn skip(&mut self, read: usize) {
        self.at += read;
    }

    /// Reads up to the coded data of the next scan; None at the end of the image.
    pub(super) fn next_scan(&mut self) -> Result<Option<Scan>, String> {
        loop {
            let code = self.next_marker()?;
            match code {
                marker::END_OF_IMAGE => return Ok(None),
                marker::START_OF_IMAGE => return Err("it has a second start of image".to_owned()),
                marker::TEMPORARY => {}
                code if marker::RESTART.contains(&code) => {}
                marker::SCAN => {
                    let segment = self.segment()?;
                    return self.scan(segment).map(Some);
                }
                marker::LINES => {
                    self.segment()?;
                }
                marker::HUFFMAN => {
                    let segment = self.segment()?;
                    self.huffman(segment)?;
                }
                marker::QUANTISATION => {
                    let segment = self.segment()?;
                    self.quantisation(segment)?;
                }
                marker::RESTART_INTERVAL => {
                    let segment = self.segment()?;
                    let interval = segment.first_chunk().filter(|_| segment.len() == 2).ok_or_else(broken)?;
                    self.tables.restart = u16::from_be_bytes(*interval).into();
                }
                marker::EXTENSION => return Err(reserved(code)),
                marker::ARITHMETIC => {
                    self.segment()?; // conditioning of arithmetic codes, whose frame is refused
                }
                code if marker::FRAMES.contains(&code) => {
                    let segment = self.segment()?;
                    self.frame(code, segment)?;
                }
                code if marker::APPLICATION.contains(&code) => {
                    let segment = self.segment()?;
                    self.application(code, segment);
                }
                marker::COMMENT => {
                    self.segment()?;
                }
                _ => return Err(reserved(code)),
            }
        }
    }

    /// Walks over the coded data of all scans to the end of the image, calling `seen` with each: None of them may be missing.
    pub(super) fn each_scan(&mut self, mut seen: impl FnMut(&Scan) -> Result<(), String>) -> Result<(), String> {
        while let Some(scan) = self.next_scan()? {
            seen(&scan)?;
        }
        Ok(())
    }

    /// The next marker, libjpeg's way: other bytes in front of it are skipped, fill bytes may precede it.
    fn next_marker(&mut self) -> Result<u8, String> {
        loop {
            self.at += first_mark(self.rest()).ok_or_else(truncated)?;
            let fill = self.rest().iter().position(|&byte| byte != 0xFF).ok_or_else(truncated)?;
            self.at += fill + 1;
            match self.bytes[self.at - 1] {
                marker::STUFFED => {}
                code => return Ok(code),
            }
        }
    }

    /// The bytes of a segment behind its length.
    fn segment(&mut self) -> Result<&'a [u8], String> {
        let length = usize::from(u16::from_be_bytes(*self.rest().first_chunk().ok_or_else(truncated)?));
        let segment = self.rest().get(..length).ok_or_else(truncated)?.get(2..).ok_or_else(broken)?;
        self.at += length;
        Ok(segment)
    }

    fn application(&mut self, code: u8, segment: &'a [u8]) {
        const EXIF: &[u8] = b"Exif\0\0";
        const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
        /// The transform of an Adobe segment.
        const TRANSFORM_AT: usize = 11;
        /// Bytes of a JFIF segment without its thumbnail.
        const JFIF_BYTES: usize = 14;
        let before_scans = self.scans == 0;
        match code {
            marker::JFIF if segment.starts_with(b"JFIF\0") => self.jfif |= segment.len() >= JFIF_BYTES,
            marker::ADOBE if segment.starts_with(b"Adobe") => {
                self.adobe = segment.get(TRANSFORM_AT).copied().or(self.adobe);
            }
            marker::EXIF if before_scans && segment.starts_with(EXIF) => {
                self.exif.push(if self.exif.is_empty() { segment } else { &segment[EXIF.len()..] });
            }
            marker::EXIF if before_scans => self.xmp = segment.strip_prefix(XMP).or(self.xmp),
            _ => {}
        }
    }

    fn frame(&mut self, code: u8, segment: &[u8]) -> Result<(), String> {
        if self.frame.is_some() {
            return Err("it has a second frame header".to_owned());
        }
        self.frame = Some(Frame::new(code, segment)?);
        Ok(())
    }

    fn scan(&mut self, segment: &[u8]) -> Result<Scan, String> {
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(format!("it has more than {MAX_SCANS} scans"));
        }
        let frame = self.frame.as_ref().ok_or("it has no frame header")?;
        Scan::new(segment, frame)
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Result<(), String> {
        while let Some((&head, rest)) = segment.split_first() {
            let (wide, id) = (head >> 4 != 0, usize::from(head & 15));
            let (steps, rest) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or_else(broken)?;
            let mut table = [0; 64];
            for (i, &at) in ZIGZAG.iter().enumerate() {
                table[usize::from(at)] =
                    if wide { u16::from_be_bytes([steps[2 * i], steps[2 * i + 1]]) } else { steps[i].into() };
            }
            *self.tables.quantisation.get_mut(id).ok_or_else(broken)? = Some(table);
            segment = rest;
        }
        Ok(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Result<(), String> {
        while let Some((&head, rest)) = segment.split_first() {
            let (counts, symbols) = rest.split_first_chunk::<16>().ok_or_else(broken)?;
            let listed = Listed::new(*counts, symbols)?;
            segment = &symbols[listed.total()..];
            let of_class = if head & 0x10 == 0 { &mut self.tables.dc } else { &mut self.tables.ac };
            *of_class.get_mut(usize::from(head & !0x10)).ok_or_else(broken)? = Some(listed);
        }
        Ok(())
    }
}

/// Where the first 0xFF is.
fn first_mark(bytes: &[u8]) -> Option<usize> {
    // looked for in so many bytes at a time: all coded data is gone through
    let is_plain = |chunk: &&[u8; 32]| !chunk.iter().fold(false, |found, &byte| found | (byte == 0xFF));
    let plain = 32 * bytes.as_chunks().0.iter().take_while(is_plain).count();
    bytes[plain..].iter().position(|&byte| byte == 0xFF).map(|at| plain + at)
}

pub(super) fn truncated() -> String {
    "it is truncated".to_owned()
}

pub(super) fn broken() -> String {
    "a segment of it is broken".to_owned()
}

fn reserved(code: u8) -> String {
    format!("it has a marker that is reserved (0xFF{code:02X})")
}
