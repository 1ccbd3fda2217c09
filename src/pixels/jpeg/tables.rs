//! The tables of a JPEG: quantisation, Huffman codes, and the codes of a stream that brings none.
//!
//! Not here: reading bits by them (`bits`).

/// Where the coefficients of a block lie, in the order in which they are sent (T.81, figure 5).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// As [`ZIGZAG`], and for those that a broken or careless encoder sends behind the last one the last, as to libjpeg.
pub(super) const ZIGZAG_AND_BEYOND: [u8; 80] = {
    let mut all = [63; 80];
    let mut k = 0;
    while k < 64 {
        all[k] = ZIGZAG[k];
        k += 1;
    }
    all
};

/// Steps of quantisation, row by row.
pub(super) type Quantisation = [u16; 64];

/// Bits that one look finds a code by.
pub(super) const LOOK: u32 = 9;

/// Codes of 1 to 16 bits (T.81, annex C).
#[derive(Clone, Debug)]
pub(super) struct Huffman {
    /// By the next [`LOOK`] bits: length of the code and its symbol; length 0 where it is longer.
    pub(super) short: Box<[(u8, u8); 1 << LOOK]>,
    /// By the same bits, where they hold a code of AC and its whole number: the number, zeros before it, bits of both. Where they hold the end
    /// of a block only its bits, and else 0.
    pub(super) whole: Box<[u32; 1 << LOOK]>,
    /// Past the last code of each length, and what to add to a code for the index of its symbol.
    pub(super) long: [(i32, i32); 17],
    /// By index.
    pub(super) symbols: Vec<u8>,
}

impl Huffman {
    /// The codes of so many of each length from 1 to 16, in order of their symbols.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, String> {
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        if total > 256 || total > symbols.len() {
            return Err("a Huffman table in it has too many codes".to_owned());
        }
        let mut short = Box::new([(0, 0); 1 << LOOK]);
        let mut long = [(0, 0); 17];
        let (mut code, mut index) = (0_i32, 0);
        for (length, &count) in (1..=16_u32).zip(counts) {
            let first = index as i32 - code;
            for _ in 0..count {
                if code >> length != 0 {
                    return Err("a Huffman table in it has codes that overlap".to_owned());
                }
                if length <= LOOK {
                    let (from, to) = ((code as usize) << (LOOK - length), (code as usize + 1) << (LOOK - length));
                    short[from..to].fill((length as u8, symbols[index]));
                }
                code += 1;
                index += 1;
            }
            long[length as usize] = (code, first);
            code <<= 1;
        }
        let whole = Box::new(std::array::from_fn(|look| whole(look as u32, short[look])));
        Ok(Self { short, whole, long, symbols: symbols[..total].to_vec() })
    }

    /// The codes of a stream that brings none, as a webcam's (T.81, annex K): for the first table luma's, for the second chroma's.
    pub(super) fn standard(alternating: bool, id: usize) -> Result<Self, String> {
        let (counts, symbols): (_, &[u8]) = match (alternating, id) {
            (false, 0) => (&DC_LUMA, &DC_SYMBOLS),
            (false, _) => (&DC_CHROMA, &DC_SYMBOLS),
            (true, 0) => (&AC_LUMA, &AC_LUMA_SYMBOLS),
            (true, _) => (&AC_CHROMA, &AC_CHROMA_SYMBOLS),
        };
        Self::new(counts, symbols)
    }
}

/// The entry of [`Huffman::whole`] for so many bits, of which a code is the beginning.
fn whole(look: u32, (length, symbol): (u8, u8)) -> u32 {
    let (length, size, zeros) = (u32::from(length), u32::from(symbol & 15), u32::from(symbol >> 4));
    if length == 0 || length + size > LOOK || size == 0 && zeros == 15 {
        return 0;
    }
    if size == 0 {
        return length; // whatever the zeros are: a sequential scan has no more ends than one
    }
    let bits = (look >> (LOOK - length - size)) & ((1 << size) - 1);
    (signed(bits as i32, size) as u32) << 16 | zeros << 8 | (length + size)
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
