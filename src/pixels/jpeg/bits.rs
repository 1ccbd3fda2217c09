//! Bits of coded data: symbols found by their Huffman codes, up to the next marker.
//!
//! Not here: taking stuffed bytes out (`plain`), what the codes are (`tables`).

use super::plain::{MOST_OF_A_BLOCK, Plain};
use super::scan::Block;
use super::tables::{Alternating, Entry, Huffman, LOOK, Numbers, WIDE, ZIGZAG_AND_BEYOND, signed};

/// Reads the coded data between two markers.
pub(super) struct Bits<'a> {
    plain: Plain<'a>,
    held: Held,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { plain: Plain::new(bytes), held: Held::default() }
    }

    /// Bytes behind which the next marker is looked for, bits that were not taken left out.
    pub(super) fn read(&self) -> usize {
        self.plain.read()
    }

    /// Fails if more was taken than there is.
    pub(super) fn check(&self) -> Result<(), String> {
        // bits that are held are of bytes before
        if 8 * self.held.at > 8 * self.plain.end() + self.held.count as usize {
            return Err("its coded data ends early, it is truncated or broken".to_owned());
        }
        Ok(())
    }

    /// Asked before each block: then what the block takes is there, or zeros are where there is no more.
    #[inline(always)]
    pub(super) fn ready(&mut self) -> Result<(), String> {
        if self.held.at + MOST_OF_A_BLOCK > self.plain.end() { self.more() } else { Ok(()) }
    }

    #[inline(never)]
    fn more(&mut self) -> Result<(), String> {
        self.held.at = self.plain.more(self.held.at);
        self.check()
    }

    /// The next `length` bits, 0 to 16.
    #[inline(always)]
    pub(super) fn take(&mut self, length: u32) -> i32 {
        self.held.fill_to_32(self.plain.bytes());
        let taken = (self.held.bits >> 1 >> (63 - length)) as i32;
        self.held.take(length);
        taken
    }

    /// The next `length` bits, 1 to 32, the first on top, others behind them.
    #[inline(always)]
    pub(super) fn some(&mut self, length: u32) -> u64 {
        self.held.fill_to_32(self.plain.bytes());
        let bits = self.held.bits;
        self.held.take(length);
        bits
    }

    /// The next bit.
    #[inline(always)]
    pub(super) fn bit(&mut self) -> bool {
        self.take(1) == 1
    }

    /// A number of `length` bits, 0 to 15, whose first bit is its sign (T.81, F.2.2.1).
    #[inline(always)]
    pub(super) fn number(&mut self, length: u32) -> i32 {
        let bits = self.take(length);
        if length > 0 { signed(bits, length) } else { 0 }
    }

    /// The symbol of the next code.
    #[inline(always)]
    pub(super) fn symbol(&mut self, codes: &Huffman) -> Result<u8, String> {
        self.held.fill_to_32(self.plain.bytes());
        let (mut length, mut symbol) = codes.short[(self.held.bits >> (64 - LOOK)) as usize];
        if length == 0 {
            (length, symbol) = self.long(self.held.bits, codes)?;
        }
        self.held.take(length.into());
        Ok(symbol)
    }

    /// The next number of a band of a progressive scan, and coefficients to it; or 0 of these, and so many blocks behind this one of which
    /// the band is empty.
    #[inline(always)]
    pub(super) fn number_of_band(&mut self, numbers: &Numbers) -> Result<(i32, usize), String> {
        self.held.fill_to_32(self.plain.bytes());
        let entry = numbers.wide[self.held.look()];
        if entry.is_whole() {
            self.held.take(entry.bits());
            return Ok((entry.number(), entry.advance()));
        }
        let (length, symbol) = match entry.end() {
            Some(code) => code,
            None => self.next(self.held.bits, entry, &numbers.codes)?,
        };
        self.held.take(length);
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size > 0 || zeros == 15 {
            return Ok((self.number(size), zeros as usize + 1));
        }
        Ok(((1 << zeros) - 1 + self.take(zeros), 0))
    }

    /// The coefficients of a block of a sequential scan, by the codes of DC and AC and the DC of the block before: those up to the one that
    /// is `last` in zigzag order, and maybe more. Most of decoding's time is spent here.
    #[inline(always)]
    pub(super) fn block(
        &mut self,
        (dc, ac): (&Huffman, &Alternating),
        predicted: &mut i32,
        block: &mut Block,
        last: usize,
    ) -> Result<(), String> {
        self.ready()?;
        // in registers while the block lasts
        let mut held = self.held;
        held.fill(self.plain.bytes());
        let (mut length, mut size) = dc.short[(held.bits >> (64 - LOOK)) as usize];
        if length == 0 {
            (length, size) = self.long(held.bits, dc)?;
        }
        let (length, size) = (u32::from(length), u32::from(size));
        if size > 0 {
            // lengths over 15 were refused with their table
            *predicted = predicted.wrapping_add(signed((held.bits << length >> (64 - size)) as i32, size));
        }
        held.take(length + size);
        block[0] = *predicted as i16;

        let mut k = 0; // the last one that was read
        while k < last {
            held.fill(self.plain.bytes());
            // two looks at whole numbers leave as many bits as any code and its number have
            for _ in 0..3 {
                let entry = ac.numbers.wide[held.look()];
                let number = if entry.is_whole() {
                    held.take(entry.bits());
                    k += entry.advance();
                    entry.number()
                } else if entry.is_end() {
                    held.take(entry.bits());
                    k = 64;
                    break;
                } else {
                    let (length, symbol) = self.next(held.bits, entry, &ac.numbers.codes)?;
                    let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
                    let bits = (held.bits << length >> 1 >> (63 - size)) as i32;
                    held.take(length + size);
                    if size == 0 {
                        // all of no number but fifteen zeros end the block, as to libjpeg
                        k += if zeros == 15 { 16 } else { 64 };
                        break;
                    }
                    k += zeros as usize + 1;
                    signed(bits, size)
                };
                // one too far is the last one, as to libjpeg: there are encoders that write so
                block[usize::from(ZIGZAG_AND_BEYOND[k & 127] & 63)] = number as i16;
                if k >= last || !entry.is_whole() {
                    break;
                }
            }
        }
        self.pass(&mut held, ac, k)?;
        self.held = held;
        Ok(())
    }

    /// Passes the coefficients of a block behind the `k`th.
    #[inline(always)]
    fn pass(&self, held: &mut Held, ac: &Alternating, mut k: usize) -> Result<(), String> {
        while k < 63 {
            held.fill(self.plain.bytes());
            for _ in 0..3 {
                let several = ac.several[held.look()];
                let past = k + usize::from(several >> 8);
                // all of them in this block, and none of the next: behind the last coefficient no end is sent
                if past + usize::from(several >> 7 & 1) < 64 && several > 0 {
                    held.take(u32::from(several & 0x7F));
                    if several & 0x80 > 0 {
                        return Ok(());
                    }
                    k = past;
                    if k == 63 {
                        break;
                    }
                    continue;
                }
                let entry = ac.numbers.wide[held.look()];
                if entry.is_whole() || entry.is_end() {
                    held.take(entry.bits());
                    k += if entry.is_end() { 64 } else { entry.advance() };
                } else {
                    let (length, symbol) = self.next(held.bits, entry, &ac.numbers.codes)?;
                    held.take(length + u32::from(symbol & 15));
                    // all of no number but fifteen zeros end the block, as to libjpeg
                    k += if symbol & 15 == 0 && symbol >> 4 != 15 { 64 } else { usize::from(symbol >> 4) + 1 };
                }
                break;
            }
        }
        Ok(())
    }

    /// The length of a code whose entry has no whole number, and its symbol.
    #[inline(always)]
    fn next(&self, bits: u64, entry: Entry, codes: &Huffman) -> Result<(u32, u8), String> {
        if let Some((length, symbol)) = entry.code() {
            return Ok((length, symbol));
        }
        self.long(bits, codes).map(|(length, symbol)| (length.into(), symbol))
    }

    /// The length of a code that is longer than one look, and its symbol.
    #[inline(never)]
    fn long(&self, bits: u64, codes: &Huffman) -> Result<(u8, u8), String> {
        for length in LOOK + 1..=16 {
            let code = (bits >> (64 - length)) as i32;
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
        self.plain.restart(number)?;
        self.held = Held::default();
        Ok(())
    }
}

/// Bits that were read and not taken.
#[derive(Clone, Copy, Default)]
struct Held {
    /// The byte that is read next.
    at: usize,
    /// The next bit on top. Behind the last there may be some of the next byte, which are read again.
    bits: u64,
    /// How many of them are held, 63 at most.
    count: u32,
}

impl Held {
    /// Holds 56 bits or more.
    #[inline(always)]
    fn fill(&mut self, bytes: &[u8]) {
        let word = bytes.get(self.at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        self.bits |= u64::from_be_bytes(word) >> self.count;
        self.at += (63 - self.count as usize) / 8;
        self.count |= 56;
    }

    /// Holds 32 bits or more.
    #[inline(always)]
    fn fill_to_32(&mut self, bytes: &[u8]) {
        if self.count < 32 {
            self.fill(bytes);
        }
    }

    /// What tables of AC are looked up by.
    #[inline(always)]
    fn look(&self) -> usize {
        (self.bits >> (64 - WIDE)) as usize
    }

    /// Takes bits that are held.
    #[inline(always)]
    fn take(&mut self, length: u32) {
        self.bits <<= length;
        self.count -= length;
    }
}

fn no_code() -> String {
    "its coded data is broken".to_owned()
}
