//! A directory of TIFF, which is what EXIF is: tags and their numbers, of classic TIFF and of BigTIFF.
//!
//! Not here: what the tags mean (`orientation`, `tiff`).

/// The entries of a directory.
#[derive(Clone, Debug)]
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
    entries: Vec<Entry<'a>>,
}

/// A tag and its values as they are stored.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    tag: u16,
    kind: u16,
    values: &'a [u8],
}

/// Numbers of one tag that anybody asks for.
const MAX_NUMBERS: usize = 6;

/// Entries of one directory, at most: what classic TIFF can count.
const MAX_ENTRIES: u64 = 65_535;

impl<'a> Directory<'a> {
    /// The first directory of a file. Of a broken one the entries before the break, as Pillow reads it; None where there is no head.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.first_chunk()? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let mut directory = Self { bytes, little, big: false, entries: Vec::new() };
        directory.big = match directory.unsigned(2, 2)? {
            42 => false,
            43 => true,
            _ => return None,
        };
        let start = if directory.big { directory.unsigned(8, 8)? } else { directory.unsigned(4, 4)? };
        directory.entries = directory.read(start).unwrap_or_default();
        Some(directory)
    }

    /// Whether numbers begin with their low byte.
    pub(super) fn is_little(&self) -> bool {
        self.little
    }

    /// The first value of a tag, a number; `Some(None)` where the tag has none, None without the tag.
    pub(super) fn number(&self, tag: u16) -> Option<Option<f64>> {
        let entry = self.entry(tag)?;
        Some(self.numbers_of(entry, 1).first().copied())
    }

    /// The values of a tag that are numbers; empty without the tag.
    pub(super) fn numbers(&self, tag: u16) -> Vec<f64> {
        self.entry(tag).map(|entry| self.numbers_of(entry, MAX_NUMBERS)).unwrap_or_default()
    }

    /// The values of a tag as whole numbers; empty without the tag or where they are none.
    pub(super) fn unsigned_values(&self, tag: u16) -> Vec<u64> {
        let Some(entry) = self.entry(tag) else { return Vec::new() };
        let bytes = match entry.kind {
            1 => 1,
            3 => 2,
            4 | 13 => 4,
            16 => 8,
            _ => return Vec::new(),
        };
        entry.values.chunks_exact(bytes).map(|value| self.whole(value)).collect()
    }

    /// The first value of a tag as a whole number.
    pub(super) fn unsigned_value(&self, tag: u16) -> Option<u64> {
        self.unsigned_values(tag).first().copied()
    }

    /// The bytes of a tag, as they are stored.
    pub(super) fn raw(&self, tag: u16) -> Option<&'a [u8]> {
        self.entry(tag).map(|entry| entry.values)
    }

    fn entry(&self, tag: u16) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    fn read(&self, start: u64) -> Option<Vec<Entry<'a>>> {
        let (count_bytes, entry_bytes, inline) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let start = usize::try_from(start).ok()?;
        let count = self.unsigned(start, count_bytes)?.min(MAX_ENTRIES);
        let mut entries = Vec::new();
        for number in 0..count as usize {
            let at = start.checked_add(count_bytes + number * entry_bytes)?;
            let Some(value_at) = at.checked_add(entry_bytes - inline).filter(|&at| at + inline <= self.bytes.len())
            else {
                break;
            };
            let (Some(tag), Some(kind)) = (self.unsigned(at, 2), self.unsigned(at + 2, 2)) else { break };
            let Some(values) = self.unsigned(at + 4, inline) else { break };
            let Some(size) = bytes_of(kind as u16).and_then(|bytes| values.checked_mul(bytes)) else { continue };
            let from = if size <= inline as u64 { Some(value_at as u64) } else { self.unsigned(value_at, inline) };
            let from = from.and_then(|from| usize::try_from(from).ok());
            let size = usize::try_from(size).ok();
            let stored = from.zip(size).and_then(|(from, size)| self.bytes.get(from..from.checked_add(size)?));
            // Pillow stops where a value lies behind the end
            let Some(stored) = stored else { break };
            entries.push(Entry { tag: tag as u16, kind: kind as u16, values: stored });
        }
        Some(entries)
    }

    /// A whole number of `bytes` bytes that stands there.
    fn unsigned(&self, at: usize, bytes: usize) -> Option<u64> {
        Some(self.whole(self.bytes.get(at..at.checked_add(bytes)?)?))
    }

    fn whole(&self, bytes: &[u8]) -> u64 {
        let next = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        if self.little { bytes.iter().rev().fold(0, next) } else { bytes.iter().fold(0, next) }
    }

    /// The values of an entry as Pillow compares them with numbers: its bytes and its text are none.
    fn numbers_of(&self, entry: &Entry, most: usize) -> Vec<f64> {
        let width = bytes_of(entry.kind).unwrap_or(1) as usize;
        let number = |value: &[u8]| {
            let signed = |bits: u32| (self.whole(value) << (64 - bits)).cast_signed() >> (64 - bits);
            let halves = |value: &[u8]| (self.whole(&value[..4]), self.whole(&value[4..]));
            Some(match entry.kind {
                3 | 4 | 13 | 16 => self.whole(value) as f64,
                5 => {
                    let (above, below) = halves(value);
                    above as f64 / below as f64
                }
                6 => signed(8) as f64,
                8 => signed(16) as f64,
                9 => signed(32) as f64,
                10 => {
                    let (above, below) = halves(value);
                    f64::from((above as u32).cast_signed()) / f64::from((below as u32).cast_signed())
                }
                11 => f64::from(f32::from_bits(self.whole(value) as u32)),
                12 => f64::from_bits(self.whole(value)),
                _ => return None,
            })
        };
        entry.values.chunks_exact(width).take(most).filter_map(number).collect()
    }
}

/// Bytes of a value of a kind (TIFF 6.0, section 2; BigTIFF); None for one that there is not.
fn bytes_of(kind: u16) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 => 8,
        _ => return None,
    })
}
