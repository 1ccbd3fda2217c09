//! Coded data between two markers, a few kB at a time, stuffed bytes taken out: whoever reads bits of it looks neither for markers nor for its
//! end.
//!
//! Not here: the bits (`bits`), the segments between coded data (`segments`).

use super::segments::truncated;

/// Bytes that the coded data of a block take, at most: 64 codes of 16 bits with numbers of 15, and a word that is read ahead.
pub(super) const MOST_OF_A_BLOCK: usize = 64 * 31 / 8 + 8;
/// Bytes of coded data that are held.
const ROOM: usize = 4096;
/// Zeros behind the last byte: for a block that begins up to a word behind it, and a word that is read ahead.
const BEHIND: usize = MOST_OF_A_BLOCK + 16;

pub(super) struct Plain<'a> {
    source: &'a [u8],
    /// Bytes of the source that were taken over.
    read: usize,
    /// Whether the source has no more.
    ended: bool,
    bytes: Box<[u8; ROOM + BEHIND]>,
    /// Bytes of them that are coded data.
    end: usize,
}

impl<'a> Plain<'a> {
    pub(super) fn new(source: &'a [u8]) -> Self {
        Self { source, read: 0, ended: false, bytes: Box::new([0; ROOM + BEHIND]), end: 0 }
    }

    /// Bytes of the source that were taken over, none of them behind the next marker.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..]
    }

    /// How many of the bytes are coded data.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Takes more over, in place of the bytes before `at`; where that byte then is.
    pub(super) fn more(&mut self, at: usize) -> usize {
        if self.ended {
            return at;
        }
        self.bytes.copy_within(at..self.end, 0);
        self.end -= at;
        let onto = &mut self.bytes[self.end..ROOM];
        let (read, written) = unstuff(&self.source[self.read..], onto);
        self.ended = written < onto.len();
        self.read += read;
        self.end += written;
        if self.ended {
            self.bytes[self.end..][..BEHIND].fill(0);
        }
        0
    }

    /// Goes to the restart marker `number`, 0 to 7, and behind it.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), String> {
        let mut at = self.read;
        loop {
            let rest = self.source.get(at..).unwrap_or_default();
            at += rest.iter().position(|&byte| byte == 0xFF).ok_or_else(truncated)?;
            match self.source.get(at + 1) {
                None => return Err(truncated()),
                Some(0) => at += 2,
                Some(0xFF) => at += 1,
                Some(&code) if code == 0xD0 + number => break,
                Some(_) => return Err("a restart marker in it is missing, its data is broken".to_owned()),
            }
        }
        (self.read, self.end, self.ended) = (at + 2, 0, false);
        Ok(())
    }
}

/// Copies coded data up to a marker, its zeros behind 0xFF left out; how many bytes were read and written. Fewer than there is room for are
/// written only where no more follow.
fn unstuff(source: &[u8], onto: &mut [u8]) -> (usize, usize) {
    let (mut read, mut written) = (0, 0);
    while let Some(room) = onto.get_mut(written..).filter(|room| !room.is_empty()) {
        let from = &source[read..];
        let chunks = from.as_chunks::<32>().0.iter().zip(room.as_chunks_mut::<32>().0);
        let mut copied = 0;
        for (from, to) in chunks {
            *to = *from;
            if from.iter().fold(false, |found, &byte| found | (byte == 0xFF)) {
                break;
            }
            copied += 32;
        }
        for (&byte, to) in from[copied..].iter().zip(&mut room[copied..]).take(32) {
            if byte == 0xFF {
                break;
            }
            *to = byte;
            copied += 1;
        }
        (read, written) = (read + copied, written + copied);
        match (source.get(read), source.get(read + 1), onto.get_mut(written)) {
            (Some(0xFF), Some(0), Some(byte)) => {
                *byte = 0xFF;
                (read, written) = (read + 2, written + 1);
            }
            (Some(0xFF) | None, ..) => break,
            _ => {}
        }
    }
    (read, written)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte by byte.
    fn plainly(source: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut at = 0;
        while let Some(&byte) = source.get(at) {
            if byte == 0xFF && source.get(at + 1) != Some(&0) {
                break;
            }
            plain.push(byte);
            at += if byte == 0xFF { 2 } else { 1 };
        }
        plain
    }

    #[test]
    fn stuffed_bytes_are_taken_out_up_to_a_marker_wherever_they_lie() {
        let random = &mut fastrand::Rng::with_seed(1);
        for length in (0..200).chain([5_000, 20_000]) {
            for rate in [0.0, 0.02, 0.5, 1.0] {
                let mut source = Vec::new();
                while source.len() < length {
                    if random.f64() < rate { source.extend([0xFF, 0]) } else { source.push(random.u8(..0xFF)) }
                }
                for behind in [&[][..], &[0xFF], &[0xFF, 0xD9], &[0xFF, 0xFF, 0]] {
                    let source = [&source, behind].concat();
                    let mut plain = Plain::new(&source);
                    let mut all = Vec::<u8>::new();
                    loop {
                        // as bits are read: some bytes stay for the next time
                        let at = plain.end().saturating_sub(random.usize(..9));
                        all.extend(&plain.bytes()[..at]);
                        plain.more(at);
                        if plain.ended {
                            break;
                        }
                    }
                    all.extend(&plain.bytes()[..plain.end()]);
                    assert_eq!(all, plainly(&source), "{length} bytes, {rate}");
                    assert_eq!(plain.bytes()[plain.end()..][..BEHIND], [0; BEHIND]);
                    assert!(source[plain.read()..].len() <= behind.len());
                }
            }
        }
    }
}
