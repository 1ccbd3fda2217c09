//! Bits of coded data: stuffed bytes taken out, symbols found by their Huffman codes, up to the next marker.

use super::scan::Block;
use super::tables::{Huffman, LOOK, ZIGZAG_AND_BEYOND, signed};

/// Reads the coded data between two markers.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The byte that is read next.
    at: usize,
    /// Bits that were read and not taken, the next one on top.
    held: u64,
    count: u32,
    /// Bits that were taken though there were none.
    missing: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, held: 0, count: 0, missing: 0 }
    }

    /// Bytes behind which the next marker is looked for, bits that were not taken left out.
    pub(super) fn read(&self) -> usize {
        self.at
    }

    /// Fails if more was taken than there is. Asked once in a while: until then there are zeros.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.missing > 0 { Err("its coded data ends early, it is truncated or broken".to_owned()) } else { Ok(()) }
    }

    /// Holds 48 bits or more, unless there are no more.
    fn fill(&mut self) {
        match self.held().filled(self.bytes) {
            Some(held) => self.hold(held),
            None => self.fill_by_bytes(),
        }
    }

    /// As [`fill`](Self::fill), where bytes may be stuffed or are the last ones.
    #[inline(never)]
    fn fill_by_bytes(&mut self) {
        while self.count <= 56 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.at += 2;
                    0xFF
                }
                (Some(0xFF) | None, _) => return,
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn drop(&mut self, length: u32) {
        let mut held = self.held();
        self.missing += held.take(length);
        self.hold(held);
    }

    /// The next `length` bits, 0 to 16.
    pub(super) fn take(&mut self, length: u32) -> i32 {
        if self.count < length {
            self.fill();
        }
        let taken = if length == 0 { 0 } else { (self.held >> (64 - length)) as i32 };
        self.drop(length);
        taken
    }

    /// The next bit.
    pub(super) fn bit(&mut self) -> bool {
        self.take(1) == 1
    }

    /// A number of `length` bits, 0 to 15, whose first bit is its sign (T.81, F.2.2.1).
    pub(super) fn number(&mut self, length: u32) -> i32 {
        let bits = self.take(length);
        if length > 0 { signed(bits, length) } else { 0 }
    }

    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, codes: &Huffman) -> Result<u8, String> {
        if self.count < 32 {
            self.fill();
        }
        let (mut length, mut symbol) = codes.short[(self.held >> (64 - LOOK)) as usize];
        if length == 0 {
            (length, symbol) = self.long(codes)?;
        }
        self.drop(length.into());
        Ok(symbol)
    }

    fn held(&self) -> Held {
        Held { at: self.at, bits: self.held, count: self.count }
    }

    fn hold(&mut self, held: Held) {
        (self.at, self.held, self.count) = (held.at, held.bits, held.count);
    }

    /// The coefficients of a block of a sequential scan, by the codes of DC and AC and the DC of the block before. Most of decoding's time is
    /// spent here, with the bits in registers.
    pub(super) fn block(
        &mut self,
        codes: (&Huffman, &Huffman),
        predicted: &mut i32,
        block: &mut Block,
    ) -> Result<(), String> {
        #[cfg(target_arch = "x86_64")]
        if let Some(instructions) = pulp::x86::V3::try_new() {
            // not for its vectors: there are better shifts
            return instructions.vectorize(
                #[inline(always)]
                || self.block_plain(codes, predicted, block),
            );
        }
        self.block_plain(codes, predicted, block)
    }

    #[inline(always)]
    fn block_plain(
        &mut self,
        (dc, codes): (&Huffman, &Huffman),
        predicted: &mut i32,
        block: &mut Block,
    ) -> Result<(), String> {
        if self.count < 32 {
            self.fill();
        }
        let (mut held, mut missing) = (self.held(), 0);
        let (mut length, mut size) = dc.short[(held.bits >> (64 - LOOK)) as usize];
        if length == 0 {
            (length, size) = self.long(dc)?;
        }
        let size = u32::from(size);
        if size > 0 {
            // lengths over 15 were refused with their table
            let bits = (held.bits << length >> (64 - size)) as i32;
            *predicted = predicted.wrapping_add(signed(bits, size));
        }
        missing += held.take(u32::from(length) + size);
        block[0] = *predicted as i16;
        let mut k = 1;
        while k < 64 {
            if held.count < 32 {
                held = match held.filled(self.bytes) {
                    Some(held) => held,
                    None => {
                        self.hold(held);
                        self.fill_by_bytes();
                        self.held()
                    }
                };
            }
            let look = (held.bits >> (64 - LOOK)) as usize;
            let whole = codes.whole[look];
            let (number, zeros, taken) = if whole > 0xFF {
                (whole.cast_signed() >> 16, (whole >> 8 & 15) as usize, whole & 0xFF)
            } else if whole > 0 {
                missing += held.take(whole);
                break;
            } else {
                let (mut length, mut symbol) = codes.short[look];
                if length == 0 {
                    self.hold(held);
                    self.missing += std::mem::take(&mut missing);
                    (length, symbol) = self.long(codes)?;
                }
                let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
                if size == 0 {
                    missing += held.take(length.into());
                    // all of these but fifteen end the block, as to libjpeg
                    k += if zeros == 15 { 16 } else { 64 };
                    continue;
                }
                let bits = (held.bits << length >> (64 - size)) as i32;
                (signed(bits, size), zeros, u32::from(length) + size)
            };
            missing += held.take(taken);
            k += zeros;
            // one too far is the last one, as to libjpeg: there are encoders that write so
            block[usize::from(ZIGZAG_AND_BEYOND[k] & 63)] = number as i16;
            k += 1;
        }
        self.hold(held);
        self.missing += missing;
        Ok(())
    }

    /// The length of a code that is longer than one look, and its symbol.
    #[inline(never)]
    fn long(&self, codes: &Huffman) -> Result<(u8, u8), String> {
        for length in LOOK + 1..=16 {
            let code = (self.held >> (64 - length)) as i32;
            let (past, first) = codes.long[length as usize];
            if code < past {
                let index = usize::try_from(code + first).ok();
                let symbol = index.and_then(|index| codes.symbols.get(index)).copied().ok_or_else(no_code)?;
                return Ok((length as u8, symbol));
            }
        }
        self.check()?;
        Err(no_code())
    }

    /// Goes to the restart marker `number`, 0 to 7, and behind it.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), String> {
        self.check()?;
        let mut at = self.at;
        loop {
            at += self
                .bytes
                .get(at..)
                .and_then(|rest| rest.iter().position(|&byte| byte == 0xFF))
                .unwrap_or(usize::MAX / 2);
            match self.bytes.get(at + 1) {
                None => return Err(super::segments::truncated()),
                Some(0) => at += 2,
                Some(0xFF) => at += 1,
                Some(&code) if code == 0xD0 + number => break,
                Some(_) => return Err("a restart marker in it is missing, its data is broken".to_owned()),
            }
        }
        *self = Self { bytes: self.bytes, at: at + 2, held: 0, count: 0, missing: 0 };
        Ok(())
    }
}

/// Bits that were read and not taken, for a while in registers.
#[derive(Clone, Copy)]
struct Held {
    at: usize,
    bits: u64,
    count: u32,
}

impl Held {
    /// With 57 bits or more; None where a byte of the next eight is stuffed or there are no eight.
    #[inline(always)]
    fn filled(self, bytes: &[u8]) -> Option<Self> {
        let word = u64::from_be_bytes(*bytes.get(self.at..)?.first_chunk()?);
        // no byte of them is 0xFF: a byte of the complement is zero where it is
        let inverse = !word;
        if inverse.wrapping_sub(0x0101_0101_0101_0101) & !inverse & 0x8080_8080_8080_8080 != 0 || self.count > 56 {
            return None;
        }
        let whole = (64 - self.count) / 8;
        let count = self.count + 8 * whole;
        // bits of a byte that was taken in part stay for the next time
        let bits = (self.bits | word >> self.count) & u64::MAX << (64 - count);
        Some(Self { at: self.at + whole as usize, bits, count })
    }

    /// Takes bits; how many of them there were not.
    #[inline(always)]
    fn take(&mut self, length: u32) -> u32 {
        self.bits <<= length;
        let missing = length.saturating_sub(self.count);
        self.count = self.count.saturating_sub(length);
        missing
    }
}

fn no_code() -> String {
    "its coded data is broken".to_owned()
}
