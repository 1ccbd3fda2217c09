//! The tables of a JPEG: quantisation, Huffman codes, and the codes of a stream that brings none.
//!
//! Not here: reading bits by them (`bits`).

use std::sync::{Arc, LazyLock};

/// Where the coefficients of a block lie, in the order in which they are sent (T.81, figure 5).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// As [`ZIGZAG`], and for those that a broken or careless encoder sends behind the last one the last, as to libjpeg.
pub(super) const ZIGZAG_AND_BEYOND: [u8; 128] = {
    let mut all = [63; 128];
    let mut k = 0;
    while k < 64 {
        all[k] = ZIGZAG[k];
        k += 1;
    }
    all
};

/// Steps of quantisation, row by row.
pub(super) type Quantisation = [u16; 64];

/// Codes of 1 to 16 bits (T.81, annex C) as a file lists them, found to be possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// How many there are of each length from 1 to 16.
    counts: [u8; 16],
    /// What they stand for, in their order; zeros behind the last.
    symbols: [u8; 256],
}

impl Listed {
    /// The codes of so many of each length from 1 to 16, in order of their symbols, which others may follow.
    pub(super) fn new(counts: [u8; 16], symbols: &[u8]) -> Result<Self, String> {
        let mut listed = Self { counts, symbols: [0; 256] };
        let total = listed.total();
        let onto = listed.symbols.get_mut(..total).zip(symbols.get(..total));
        let (onto, symbols) = onto.ok_or("a Huffman table in it has too many codes")?;
        onto.copy_from_slice(symbols);
        let mut past = 0_u32;
        for (length, count) in (1..=16).zip(counts) {
            past = 2 * past + u32::from(count);
            if past > 1 << length {
                return Err("a Huffman table in it has codes that overlap".to_owned());
            }
        }
        Ok(listed)
    }

    /// The codes of a stream that brings none, as a webcam's (T.81, annex K): for the first table luma's, for the second chroma's. Most
    /// encoders have them too unless they are asked to make a file small.
    pub(super) fn standard(alternating: bool, id: usize) -> Self {
        let (counts, listed): (_, &[u8]) = match (alternating, id) {
            (false, 0) => (DC_LUMA, &DC_SYMBOLS),
            (false, _) => (DC_CHROMA, &DC_SYMBOLS),
            (true, 0) => (AC_LUMA, &AC_LUMA_SYMBOLS),
            (true, _) => (AC_CHROMA, &AC_CHROMA_SYMBOLS),
        };
        let mut symbols = [0; 256];
        symbols.iter_mut().zip(listed).for_each(|(symbol, listed)| *symbol = *listed);
        Self { counts, symbols }
    }

    /// How many codes there are.
    pub(super) fn total(&self) -> usize {
        self.counts.iter().copied().map(usize::from).sum()
    }

    /// What they stand for.
    pub(super) fn symbols(&self) -> &[u8] {
        &self.symbols[..self.total()]
    }

    /// The same with numbers of one bit where there are numbers: of a scan that sends bits, whatever it says, as libjpeg reads them.
    pub(super) fn of_bits(mut self) -> Self {
        self.symbols.iter_mut().for_each(|symbol| *symbol = *symbol & 0xF0 | u8::from(*symbol & 15 > 0));
        self
    }

    /// Calls `each` with every code, its length and its symbol.
    fn for_each(&self, mut each: impl FnMut(u32, u32, u8)) {
        let mut symbols = self.symbols.iter();
        let mut code = 0;
        for (length, &count) in (1..).zip(&self.counts) {
            for &symbol in symbols.by_ref().take(count.into()) {
                each(code, length, symbol);
                code += 1;
            }
            code <<= 1;
        }
    }
}

/// Bits that one look finds a code by.
pub(super) const LOOK: u32 = 9;

/// Codes, to be found by the bits that they are.
#[derive(Debug)]
pub(super) struct Huffman {
    /// By the next [`LOOK`] bits: length of the code and its symbol; length 0 where it is longer.
    pub(super) short: [(u8, u8); 1 << LOOK],
    /// Past the last code of each length, and what to add to a code for the index of its symbol.
    pub(super) long: [(i32, i32); 17],
    /// By index.
    pub(super) symbols: [u8; 256],
}

impl Huffman {
    pub(super) fn new(listed: &Listed) -> Self {
        let mut short = [(0, 0); 1 << LOOK];
        listed.for_each(|code, length, symbol| {
            if length <= LOOK {
                let spare = LOOK - length;
                short[(code as usize) << spare..(code as usize + 1) << spare].fill((length as u8, symbol));
            }
        });
        let mut long = [(0, 0); 17];
        let (mut past, mut index) = (0, 0);
        for (long, count) in long[1..].iter_mut().zip(listed.counts) {
            let first = index - past;
            (past, index) = (past + i32::from(count), index + i32::from(count));
            *long = (past, first);
            past <<= 1;
        }
        Self { short, long, symbols: listed.symbols }
    }
}

/// Bits that one look finds numbers of AC by.
pub(super) const WIDE: u32 = 11;

/// Sixteen zeros and no number: where a component is sent again, what is there stays, as to libjpeg.
const ZEROS: u8 = 0xF0;

/// Codes of AC, and the numbers behind them.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) codes: Huffman,
    /// By the next [`WIDE`] bits: what they begin with.
    pub(super) wide: [Entry; 1 << WIDE],
}

impl Numbers {
    pub(super) fn new(listed: &Listed) -> Self {
        let mut wide = [Entry(Entry::NONE); 1 << WIDE];
        listed.for_each(|code, length, symbol| {
            let Some(spare) = WIDE.checked_sub(length) else { return };
            let of_code = &mut wide[(code as usize) << spare..(code as usize + 1) << spare];
            let (size, zeros) = (u32::from(symbol & 15), u32::from(symbol >> 4));
            if size > spare || symbol == ZEROS {
                of_code.fill(Entry::of_code(length, symbol));
            } else if size == 0 {
                of_code.fill(Entry::end_of(length, symbol));
            } else {
                for (bits, entries) in (0..).zip(of_code.chunks_exact_mut(1 << (spare - size))) {
                    entries.fill(Entry::whole(length + size, zeros, signed(bits, size)));
                }
            }
        });
        Self { codes: Huffman::new(listed), wide }
    }
}

/// Codes of AC of a sequential scan.
#[derive(Debug)]
pub(super) struct Alternating {
    pub(super) numbers: Numbers,
    /// By the next [`WIDE`] bits: how many of them are codes and numbers of one block, 0x80 if with its end, and from 8 on coefficients that
    /// these pass.
    pub(super) several: [u16; 1 << WIDE],
}

impl Alternating {
    /// Of the standard ones there is one for all images.
    pub(super) fn of(listed: &Listed) -> Arc<Self> {
        static STANDARD: LazyLock<[(Listed, Arc<Alternating>); 2]> = LazyLock::new(|| {
            [0, 1].map(|id| {
                let listed = Listed::standard(true, id);
                (listed, Arc::new(Alternating::new(&listed)))
            })
        });
        let known = STANDARD.iter().find(|(known, _)| known == listed);
        known.map_or_else(|| Arc::new(Self::new(listed)), |(_, codes)| codes.clone())
    }

    fn new(listed: &Listed) -> Self {
        let numbers = Numbers::new(listed);
        let mut several = [0; 1 << WIDE];
        for (look, several) in several.iter_mut().enumerate() {
            let (mut taken, mut past, mut end) = (0, 0, 0);
            while end == 0 {
                let entry = numbers.wide[look << taken & ((1 << WIDE) - 1)];
                if !entry.is_whole() && !entry.is_end() || taken + entry.bits() > WIDE {
                    break;
                }
                taken += entry.bits();
                past += entry.advance();
                end = if entry.is_end() { 0x80 } else { 0 };
            }
            *several = (past as u16) << 8 | end | taken as u16;
        }
        Self { numbers, several }
    }
}

/// What the next bits begin with: a code with its whole number, the end of a block, or a code alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    /// Below: bits of code and number.
    const BITS: u32 = 0x1F;
    const END: u32 = 0x20;
    /// A code whose number does not follow as a whole; a length of 0 where it is longer than a look.
    const NONE: u32 = 0x40;

    /// A number and zeros before it.
    const fn whole(bits: u32, zeros: u32, number: i32) -> Self {
        Self((number as u32) << 16 | (zeros + 1) << 8 | bits)
    }

    /// The end of a block, or of several of a progressive scan.
    const fn end_of(length: u32, symbol: u8) -> Self {
        Self((symbol as u32) << 16 | Self::END | length)
    }

    const fn of_code(length: u32, symbol: u8) -> Self {
        Self((symbol as u32) << 16 | Self::NONE | length)
    }

    #[inline(always)]
    pub(super) fn is_whole(self) -> bool {
        self.0 & (Self::END | Self::NONE) == 0
    }

    #[inline(always)]
    pub(super) fn is_end(self) -> bool {
        self.0 & Self::END != 0
    }

    /// Bits of the code, and of the number if it is whole.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & Self::BITS
    }

    /// Coefficients to the number's; 0 of an end.
    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        (self.0 >> 8 & 0x1F) as usize
    }

    #[inline(always)]
    pub(super) fn number(self) -> i32 {
        self.0.cast_signed() >> 16
    }

    /// Length of the code of an end, and its symbol.
    #[inline(always)]
    pub(super) fn end(self) -> Option<(u32, u8)> {
        if self.is_end() { self.code() } else { None }
    }

    /// Length of a code, and its symbol.
    #[inline(always)]
    pub(super) fn code(self) -> Option<(u32, u8)> {
        (self.bits() > 0).then_some((self.bits(), (self.0 >> 16) as u8))
    }
}

/// A number of `length` bits, 1 to 15, whose first bit is its sign (T.81, F.2.2.1).
pub(super) fn signed(bits: i32, length: u32) -> i32 {
    // all ones where the first bit is 0
    let negative = (bits - (1 << (length - 1))) >> 31;
    bits + (negative & (1 - (1 << length)))
}

const DC_LUMA: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_CHROMA: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const DC_SYMBOLS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const AC_LUMA: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D];
const AC_CHROMA: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77];
const AC_LUMA_SYMBOLS: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14,
    0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09,
    0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A,
    0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65,
    0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
    0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9,
    0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA,
    0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA,
    0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
];
const AC_CHROMA_SYMBOLS: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32,
    0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0, 0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16,
    0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39,
    0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64,
    0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86,
    0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
    0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8,
    0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9,
    0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
];
