//! Coded data of the scans of a progressive image to quantised coefficients.
//!
//! Of a block whose coefficients are not wanted only which of them are not 0 is kept, by which later scans are read.
//!
//! Not here: sequential scans (`scan`), what the coefficients become (`planes`).

use super::bits::Bits;
use super::frame::{Frame, Scan};
use super::planes::{Area, Plane};
use super::scan::{Block, MAX_BLOCKS, dc_codes, listed, mcus};
use super::segments::Tables;
use super::tables::{Huffman, Numbers, Quantisation, ZIGZAG};

/// The coefficients of a component, as the scans bring them.
pub(super) struct Layers {
    /// Of each block, row by row, with those that only fill an MCU: which coefficients but DC are not 0, in zigzag order from the lowest bit.
    filled: Vec<u64>,
    /// Blocks of a row of them.
    stride: usize,
    /// Blocks that the component itself has: columns, rows.
    own: (usize, usize),
    /// Blocks of an MCU of several components: columns, rows.
    of_mcu: (usize, usize),
    /// The first coefficients in zigzag order of the blocks of the area, row by row.
    kept: Vec<i16>,
    /// How many of each block.
    of_block: usize,
    /// Blocks of the area: columns, rows.
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
}

impl Layers {
    /// Of the component `index`, all 0: what its plane is made of.
    pub(super) fn new(frame: &Frame, index: usize, plane: &Plane, area: &Area) -> Self {
        let (component, (most_columns, most_rows)) = (&frame.components[index], frame.sampling());
        let of_mcu = (component.columns, component.rows);
        let (columns, rows) = mcus(frame);
        let stride = columns * of_mcu.0;
        let own = |edge: u32, factor: usize, most: usize| (edge as usize * factor).div_ceil(8 * most);
        let of_block = (plane.last_coefficient() + 1).next_power_of_two().max(8);
        let columns = area.columns.start * of_mcu.0..area.columns.end * of_mcu.0;
        let area_rows = area.rows.start * of_mcu.1..area.rows.end * of_mcu.1;
        Self {
            filled: vec![0; stride * rows * of_mcu.1],
            stride,
            own: (own(frame.width, of_mcu.0, most_columns), own(frame.height, of_mcu.1, most_rows)),
            of_mcu,
            kept: vec![0; columns.len() * area_rows.len() * of_block],
            of_block,
            columns,
            rows: area_rows,
        }
    }

    /// What is known of a block: which coefficients are not 0, and those that are kept.
    #[inline(always)]
    fn block(&mut self, column: usize, row: usize) -> (&mut u64, &mut [i16]) {
        let wanted = self.columns.contains(&column) && self.rows.contains(&row);
        let kept = if wanted {
            let at = (row - self.rows.start) * self.columns.len() + column - self.columns.start;
            &mut self.kept[at * self.of_block..][..self.of_block]
        } else {
            &mut []
        };
        (&mut self.filled[row * self.stride + column], kept)
    }

    /// How many blocks from one on have nothing in a band, of `most` of a row.
    fn empty(&self, column: usize, row: usize, most: usize, band: u64) -> usize {
        self.filled[row * self.stride + column..][..most].iter().take_while(|filled| *filled & band == 0).count()
    }

    /// Makes the samples of a plane of them.
    pub(super) fn fill(&self, plane: &mut Plane, steps: &Quantisation, area: &Area) {
        let of_row = self.columns.len() * self.of_mcu.1;
        let mut blocks: Vec<Block> = vec![[0; 64]; of_row];
        for (row, kept) in area.rows.clone().zip(self.kept.chunks_exact((of_row * self.of_block).max(1))) {
            let first = row * self.of_mcu.1 * self.stride;
            let filled = self.filled[first..].chunks(self.stride).take(self.of_mcu.1);
            let filled = filled.flat_map(|filled| &filled[self.columns.clone()]);
            for ((block, kept), &filled) in blocks.iter_mut().zip(kept.chunks_exact(self.of_block)).zip(filled) {
                *block = [0; 64];
                block[0] = kept[0];
                let mut places = filled;
                while places != 0 {
                    let k = places.trailing_zeros() as usize;
                    let Some(&coefficient) = kept.get(k) else { break };
                    block[usize::from(ZIGZAG[k & 63])] = coefficient;
                    places &= places - 1;
                }
            }
            plane.fill(row, area.columns.start, &blocks, steps, area);
        }
    }
}

/// Reads a scan into the layers of all components; how many bytes of coded data it took.
pub(super) fn read(bytes: &[u8], scan: &Scan, tables: &Tables, layers: &mut [Layers]) -> Result<usize, String> {
    let mut coder = Coder { bits: Bits::new(bytes), predicted: [0; 4], run: 0 };
    #[cfg(target_arch = "x86_64")]
    if let Some(instructions) = pulp::x86::V3::try_new() {
        // not for its vectors: there are better shifts
        return instructions.vectorize(
            #[inline(always)]
            || coder.read(scan, tables, layers),
        );
    }
    coder.read(scan, tables, layers)
}

/// The coefficients of a scan, as [`Layers`] has them.
#[inline(always)]
fn band(scan: &Scan) -> u64 {
    u64::MAX << scan.band.0 & u64::MAX >> (63 - scan.band.1)
}

/// The state from block to block.
struct Coder<'a> {
    bits: Bits<'a>,
    /// The last DC of each component of the scan.
    predicted: [i32; 4],
    /// Blocks of which the band is empty, to come.
    run: usize,
}

/// What a scan sends of a block.
enum Sent {
    /// DC for the first time, by the codes of each component.
    Dc(Vec<Huffman>),
    /// A bit of DC.
    DcBit,
    /// A band for the first time.
    Band(Box<Numbers>),
    /// A bit of a band.
    BandBit(Box<Numbers>),
}

impl Sent {
    fn new(scan: &Scan, tables: &Tables) -> Result<Self, String> {
        let ac = |&(_, _, ac): &(usize, usize, usize)| listed(&tables.ac[ac]);
        Ok(match (scan.band.0 == 0, scan.before > 0, scan.components.first()) {
            (true, false, _) => {
                let codes = scan.components.iter().map(|&(_, dc, _)| dc_codes(&listed(&tables.dc[dc])?));
                Self::Dc(codes.collect::<Result<_, _>>()?)
            }
            (true, true, _) | (.., None) => Self::DcBit,
            (false, false, Some(component)) => Self::Band(Box::new(Numbers::new(&ac(component)?))),
            (false, true, Some(component)) => Self::BandBit(Box::new(Numbers::new(&ac(component)?.of_bits()))),
        })
    }
}

impl Coder<'_> {
    #[inline(always)]
    fn read(&mut self, scan: &Scan, tables: &Tables, layers: &mut [Layers]) -> Result<usize, String> {
        let sent = Sent::new(scan, tables)?;
        let interleaved = scan.components.len() > 1;
        let (columns, rows) = match scan.components[..] {
            [(index, ..)] => layers[index].own,
            // as many MCUs as of any component
            _ => {
                let blocks: usize =
                    scan.components.iter().map(|&(index, ..)| layers[index].of_mcu).map(|(w, h)| w * h).sum();
                if blocks > MAX_BLOCKS {
                    return Err(format!("it interleaves more than {MAX_BLOCKS} blocks"));
                }
                let layers = &layers[scan.components[0].0];
                (layers.stride / layers.of_mcu.0, layers.filled.len() / layers.stride / layers.of_mcu.1)
            }
        };
        let (mut to_restart, mut restarts) = (tables.restart, 0);
        for row in 0..rows {
            let mut column = 0;
            while column < columns {
                if tables.restart > 0 && to_restart == 0 {
                    self.bits.restart(restarts)?;
                    (self.predicted, self.run) = ([0; 4], 0);
                    (to_restart, restarts) = (tables.restart, (restarts + 1) % 8);
                }
                if self.run > 0 {
                    // many empty blocks are a few bits: they are to take little time as well
                    let most = if tables.restart > 0 { to_restart } else { usize::MAX };
                    let most = most.min(self.run).min(columns - column);
                    let layers = &layers[scan.components[0].0];
                    let passed = match sent {
                        Sent::BandBit(_) => layers.empty(column, row, most, band(scan)),
                        _ => most,
                    };
                    (self.run, column) = (self.run - passed, column + passed);
                    to_restart = to_restart.saturating_sub(passed);
                    if passed > 0 {
                        continue;
                    }
                }
                for (number, &(index, ..)) in scan.components.iter().enumerate() {
                    let layers = &mut layers[index];
                    let (wide, high) = if interleaved { layers.of_mcu } else { (1, 1) };
                    for y in row * high..(row + 1) * high {
                        for x in column * wide..(column + 1) * wide {
                            let (filled, kept) = layers.block(x, y);
                            self.block(&sent, scan, number, filled, kept)?;
                        }
                    }
                }
                to_restart = to_restart.saturating_sub(1);
                column += 1;
            }
            self.bits.check()?;
        }
        Ok(self.bits.read())
    }

    #[inline(always)]
    fn block(
        &mut self,
        sent: &Sent,
        scan: &Scan,
        number: usize,
        filled: &mut u64,
        kept: &mut [i16],
    ) -> Result<(), String> {
        self.bits.ready()?;
        match sent {
            Sent::Dc(codes) => {
                let length = self.bits.symbol(&codes[number])?;
                self.predicted[number] = self.predicted[number].wrapping_add(self.bits.number(length.into()));
                if let Some(dc) = kept.first_mut() {
                    *dc = self.predicted[number].wrapping_shl(scan.after.into()) as i16;
                }
            }
            Sent::DcBit => {
                if let (true, Some(dc)) = (self.bits.bit(), kept.first_mut()) {
                    *dc |= 1 << scan.after;
                }
            }
            Sent::Band(numbers) => self.first(numbers, scan, filled, kept)?,
            Sent::BandBit(numbers) => self.refine(numbers, scan, filled, kept)?,
        }
        Ok(())
    }

    /// Coefficients of a band that come for the first time (T.81, G.1.2.2), of a block in no run.
    #[inline(always)]
    fn first(&mut self, numbers: &Numbers, scan: &Scan, filled: &mut u64, kept: &mut [i16]) -> Result<(), String> {
        let mut k = scan.band.0 - 1; // the last one that was read
        while k < scan.band.1 {
            let (number, advance) = self.bits.number_of_band(numbers)?;
            if advance == 0 {
                self.run = number as usize;
                break;
            }
            k += advance;
            if number != 0 {
                // beyond the last one is the last one, as to libjpeg
                let (at, coefficient) = (k.min(63), (number << scan.after) as i16);
                *filled = *filled & !(1 << at) | u64::from(coefficient != 0) << at;
                if let Some(kept) = kept.get_mut(at) {
                    *kept = coefficient;
                }
            }
        }
        Ok(())
    }

    /// One more bit of the coefficients of a band (T.81, G.1.2.3).
    #[inline(always)]
    fn refine(&mut self, numbers: &Numbers, scan: &Scan, filled: &mut u64, kept: &mut [i16]) -> Result<(), String> {
        let bit = 1_i16 << scan.after;
        // those that are still to come
        let mut left = band(scan);
        while self.run == 0 && left != 0 {
            let (number, advance) = self.bits.number_of_band(numbers)?;
            if advance == 0 {
                self.run = number as usize + 1; // this one too
                break;
            }
            // past so many coefficients that are still 0, each other one on the way with its next bit
            let mut empty = left & !*filled;
            for _ in 1..advance {
                empty &= empty.wrapping_sub(1);
            }
            let place = empty & empty.wrapping_neg(); // none at the end of the band
            let before = place.wrapping_sub(1);
            self.correct(left & *filled & before, kept, bit);
            if number != 0 {
                *filled |= place;
                if let Some(kept) = kept.get_mut(place.trailing_zeros() as usize) {
                    *kept = number as i16 * bit;
                }
            }
            left &= !(before | place);
        }
        if self.run > 0 {
            self.correct(left & *filled, kept, bit);
            self.run -= 1;
        }
        Ok(())
    }

    /// The next bit of each of some coefficients.
    #[inline(always)]
    fn correct(&mut self, mut places: u64, kept: &mut [i16], bit: i16) {
        let mut left = places.count_ones();
        while left > 0 {
            let some = left.min(32);
            let mut bits = self.bits.some(some);
            left -= some;
            for _ in 0..some {
                // those behind it are not kept either
                let Some(coefficient) = kept.get_mut(places.trailing_zeros() as usize) else { break };
                // bits of photos are noise: no branches
                let is_new = (bits >> 63) as i16 & i16::from(*coefficient & bit == 0);
                let away = if *coefficient >= 0 { bit } else { -bit };
                *coefficient = coefficient.wrapping_add(is_new * away);
                (places, bits) = (places & places.wrapping_sub(1), bits << 1);
            }
        }
    }
}
