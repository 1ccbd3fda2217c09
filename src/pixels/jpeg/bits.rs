//! Bits of coded data: stuffed bytes taken out, symbols found by their Huffman codes, up to the next marker.

use super::tables::{Huffman, LOOK};

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
        if let Some(&eight) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(eight);
            // no byte of them is 0xFF: a byte of the complement is zero where it is
            let inverse = !word;
            if inverse.wrapping_sub(0x0101_0101_0101_0101) & !inverse & 0x8080_8080_8080_8080 == 0 {
                let whole = (64 - self.count) / 8;
                self.held |= word >> self.count;
                self.at += whole as usize;
                self.count += 8 * whole;
                // bits of a byte that was taken in part stay for the next time
                self.held &= u64::MAX.checked_shl(64 - self.count).unwrap_or(0);
                return;
            }
        }
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
        self.held <<= length;
        match self.count.checked_sub(length) {
            Some(left) => self.count = left,
            None => {
                self.missing += length - self.count;
                self.count = 0;
            }
        }
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
        if length > 0 && bits >> (length - 1) == 0 { bits - (1 << length) + 1 } else { bits }
    }

    /// The symbol of the next code.
    pub(super) fn symbol(&mut self, codes: &Huffman) -> Result<u8, String> {
        if self.count < 32 {
            self.fill();
        }
        let (length, symbol) = codes.short[(self.held >> (64 - LOOK)) as usize];
        if length > 0 {
            self.drop(length.into());
            return Ok(symbol);
        }
        for length in LOOK + 1..=16 {
            let code = (self.held >> (64 - length)) as i32;
            let (past, first) = codes.long[length as usize];
            if code < past {
                self.drop(length);
                let index = usize::try_from(code + first).ok();
                return index.and_then(|index| codes.symbols.get(index)).copied().ok_or_else(no_code);
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

fn no_code() -> String {
    "its coded data is broken".to_owned()
}
