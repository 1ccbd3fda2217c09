//! Fax: one row after the other as lengths of white and black (ITU-T T.4), or as changes against the row above (T.6).
//!
//! By the code tables of the `fax` crate; its decoders know neither two dimensions in Group 3 nor rows that end early.

use std::convert::Infallible;

use ::fax::maps::{Mode, black, mode, white};
use ::fax::{BitReader, ByteReader};

use super::layout::Compression;

/// Rows of `width` pixels, a bit each, 1 for black, padded to whole bytes.
pub(super) fn decode(stored: &[u8], compression: Compression, width: usize, rows: usize) -> Result<Vec<u8>, String> {
    // the code tables look ahead by up to 13 bits
    let bytes = stored.iter().copied().chain([0; 4]);
    let Ok(reader) = ByteReader::new(bytes.map(Ok::<u8, Infallible>));
    let mut fax = Fax { bits: reader, width };
    // pixels at which the colour changes, white first; beyond the last one all is `width`
    let mut above: Vec<usize> = Vec::new();
    let mut packed = Vec::new();
    for _ in 0..rows {
        let row = match compression {
            Compression::Group4 => fax.row_in_two(&above)?,
            Compression::Group3 { in_two } => {
                let by_itself = fax.end_of_line(in_two);
                if by_itself { fax.row_in_one()? } else { fax.row_in_two(&above)? }
            }
            _ => {
                let row = fax.row_in_one()?;
                fax.skip_to_byte();
                row
            }
        };
        pack(&row, width, &mut packed);
        above = row;
    }
    Ok(packed)
}

struct Fax<R> {
    bits: R,
    width: usize,
}

impl<R: BitReader> Fax<R> {
    /// A row of runs, white first.
    fn row_in_one(&mut self) -> Result<Vec<usize>, String> {
        let (mut changes, mut at, mut is_white) = (Vec::new(), 0, true);
        while at < self.width {
            at += self.run(is_white)?;
            changes.push(at.min(self.width));
            is_white = !is_white;
        }
        Ok(changes)
    }

    /// A row of changes against the one above (T.6, 2.2).
    fn row_in_two(&mut self, above: &[usize]) -> Result<Vec<usize>, String> {
        let mut changes: Vec<usize> = Vec::new();
        let (mut at, mut is_white) = (0, true);
        // the first change of the row above that is right of `at`, to the other colour than the present one
        let mut index = 0;
        while at < self.width {
            let first = changes.is_empty() && at == 0;
            index = index.min(above.len());
            while index > 0 && above.get(index - 1).is_some_and(|&change| change > at) {
                index -= 1;
            }
            while above.get(index).is_some_and(|&change| change < at || change == at && !first)
                || (index % 2 == 0) != is_white
            {
                index += 1;
            }
            let change = |index: usize| above.get(index).copied().unwrap_or(self.width);
            // empty runs may be sent for ever
            if changes.len() > self.width + 2 {
                return Err(broken());
            }
            let (b1, b2) = (change(index), change(index + 1));
            match mode::decode(&mut self.bits).ok_or_else(broken)? {
                Mode::Pass => at = b2,
                Mode::Vertical(by) => {
                    let to = b1.checked_add_signed(by.into()).filter(|&to| to >= at && to <= self.width);
                    at = to.ok_or_else(broken)?;
                    changes.push(at);
                    is_white = !is_white;
                }
                Mode::Horizontal => {
                    for white in [is_white, !is_white] {
                        at += self.run(white)?;
                        changes.push(at.min(self.width));
                    }
                }
                Mode::Extension => {
                    return Err("it is a fax with extensions, which is not decoded; save it with LZW".to_owned());
                }
                Mode::EOF => return Err("it is truncated".to_owned()),
            }
        }
        Ok(changes)
    }

    /// Pixels of one colour: codes for multiples of 64, then one for the rest.
    fn run(&mut self, is_white: bool) -> Result<usize, String> {
        let mut length = 0;
        loop {
            let code = if is_white { white::decode(&mut self.bits) } else { black::decode(&mut self.bits) };
            let code = usize::from(code.ok_or_else(broken)?);
            length += code;
            if code < 64 {
                return Ok(length);
            }
            if length > self.width {
                return Err(broken());
            }
        }
    }

    /// Goes behind an end of line with its fill bits, if one comes; whether the next row stands by itself.
    fn end_of_line(&mut self, in_two: bool) -> bool {
        const ZEROS: u8 = 11;
        if self.bits.peek(ZEROS) == Some(0) {
            while self.bits.peek(1) == Some(0) {
                let _ = self.bits.consume(1);
            }
            let _ = self.bits.consume(1);
            if in_two {
                let by_itself = self.bits.peek(1) != Some(0);
                let _ = self.bits.consume(1);
                return by_itself;
            }
        }
        true
    }

    fn skip_to_byte(&mut self) {
        let left = self.bits.bits_to_byte_boundary();
        let _ = self.bits.consume(left);
    }
}

fn broken() -> String {
    "its fax data is broken".to_owned()
}

/// Appends a row of bits.
fn pack(changes: &[usize], width: usize, packed: &mut Vec<u8>) {
    let start = packed.len();
    packed.resize(start + width.div_ceil(8), 0);
    let row = &mut packed[start..];
    for black in changes.chunks(2) {
        let to = black.get(1).copied().unwrap_or(width);
        (black[0]..to).for_each(|pixel| row[pixel / 8] |= 0x80 >> (pixel % 8));
    }
}
