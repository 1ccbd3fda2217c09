//! Coded data of scans to quantised coefficients: sequential and progressive, interleaved or a component at a time.
//!
//! Not here: what the coefficients become (`planes`), arithmetic coding, which is refused.

use std::sync::Arc;

use super::bits::Bits;
use super::frame::{Component, Frame, Scan};
use super::planes::Area;
use super::segments::Tables;
use super::tables::{Alternating, Huffman, Listed, ZIGZAG};

/// Coefficients of a block, row by row.
pub(super) type Block = [i16; 64];

/// The coefficients of a component.
#[derive(Debug)]
pub(super) struct Coefficients {
    /// Row by row, with those that only fill an MCU.
    pub(super) blocks: Vec<Block>,
    /// Blocks of a row of them.
    pub(super) stride: usize,
    /// Blocks that the component itself has: columns, rows.
    own: (usize, usize),
    /// Blocks of an MCU of several components: columns, rows.
    of_mcu: (usize, usize),
    /// The last coefficient that is wanted, in zigzag order.
    pub(super) last: usize,
}

impl Coefficients {
    /// Of each component of a frame, all 0. At most 31 pixels are added to an edge, 2 bytes per sample.
    pub(super) fn of_frame(frame: &Frame) -> Vec<Self> {
        let (columns, rows) = mcus(frame);
        Self::of_mcus(frame, columns, rows)
    }

    /// Of so many MCUs of a row of a frame.
    pub(super) fn of_one_row(frame: &Frame, columns: usize) -> Vec<Self> {
        Self::of_mcus(frame, columns, 1)
    }

    fn of_mcus(frame: &Frame, columns: usize, rows: usize) -> Vec<Self> {
        let (most_columns, most_rows) = frame.sampling();
        let of_component = |component: &Component| {
            let stride = columns * component.columns;
            let own = |edge: u32, factor: usize, most: usize| (edge as usize * factor).div_ceil(8 * most);
            Self {
                blocks: vec![[0; 64]; stride * rows * component.rows],
                stride,
                own: (own(frame.width, component.columns, most_columns), own(frame.height, component.rows, most_rows)),
                of_mcu: (component.columns, component.rows),
                last: 63,
            }
        };
        frame.components.iter().map(of_component).collect()
    }
}

/// Columns and rows of MCUs of several components.
pub(super) fn mcus(frame: &Frame) -> (usize, usize) {
    let (columns, rows) = frame.sampling();
    ((frame.width as usize).div_ceil(8 * columns), (frame.height as usize).div_ceil(8 * rows))
}

/// Blocks of an MCU, at most (T.81, B.2.3).
const MAX_BLOCKS: usize = 10;

/// Takes the MCUs of an area one row after the other.
pub(super) struct TakeRows<'a> {
    pub(super) area: &'a Area,
    /// Takes a row out of the coefficients, by its number, and leaves zeros.
    pub(super) take: &'a mut dyn FnMut(usize, &mut [Coefficients]),
}

/// Reads a scan into the coefficients; how many bytes of coded data it took. With `take_rows` they hold one row of MCUs of its area.
pub(super) fn read(
    bytes: &[u8],
    scan: &Scan,
    tables: &Tables,
    frame: &Frame,
    coefficients: &mut [Coefficients],
    mut take_rows: Option<TakeRows<'_>>,
) -> Result<usize, String> {
    let mut coder = Coder { bits: Bits::new(bytes), predicted: [0; 4], run: 0 };
    let codes = codes(scan, tables, frame)?;
    let interleaved = scan.components.len() > 1;
    let (columns, rows) = match scan.components[..] {
        [(index, ..)] => coefficients[index].own,
        _ => mcus(frame),
    };
    let of_mcu = |index: usize, all: &[Coefficients]| if interleaved { all[index].of_mcu } else { (1, 1) };
    let blocks = scan.components.iter().map(|&(index, ..)| of_mcu(index, coefficients)).map(|(w, h)| w * h);
    if interleaved && blocks.sum::<usize>() > MAX_BLOCKS {
        return Err(format!("it interleaves more than {MAX_BLOCKS} blocks"));
    }
    let mut unwanted: Block = [0; 64];
    let mut to_restart = tables.restart;
    let mut restarts = 0;
    for row in 0..rows {
        for column in 0..columns {
            if tables.restart > 0 {
                if to_restart == 0 {
                    coder.bits.restart(restarts)?;
                    (coder.predicted, coder.run) = ([0; 4], 0);
                    (to_restart, restarts) = (tables.restart, (restarts + 1) % 8);
                }
                to_restart -= 1;
            }
            // where in the coefficients the MCU lies
            let place = match &take_rows {
                None => Some((column, row)),
                Some(TakeRows { area, .. }) => {
                    let wanted = area.columns.contains(&column) && area.rows.contains(&row);
                    wanted.then(|| (column - area.columns.start, 0))
                }
            };
            for (number, &(index, ..)) in scan.components.iter().enumerate() {
                let (wide, high) = of_mcu(index, coefficients);
                let component = &mut coefficients[index];
                let Some((column, row)) = place else {
                    for _ in 0..wide * high {
                        coder.block(&mut unwanted, scan, &codes[number], number, 0)?;
                    }
                    continue;
                };
                for y in row * high..(row + 1) * high {
                    for x in column * wide..(column + 1) * wide {
                        let block = &mut component.blocks[y * component.stride + x];
                        coder.block(block, scan, &codes[number], number, component.last)?;
                    }
                }
            }
        }
        coder.bits.check()?;
        if let Some(TakeRows { area, take }) = &mut take_rows
            && area.rows.contains(&row)
        {
            take(row, coefficients);
        }
    }
    coder.bits.check()?;
    Ok(coder.bits.read())
}

/// The codes of a component in a scan, those that it needs.
enum Codes {
    Sequential(Huffman, Arc<Alternating>),
    Progressive { dc: Option<Huffman>, ac: Option<Huffman> },
}

fn codes(scan: &Scan, tables: &Tables, frame: &Frame) -> Result<Vec<Codes>, String> {
    let find = |table: &Option<Listed>, alternating: bool, id: usize| match table {
        Some(listed) => Ok(*listed),
        // as libjpeg-turbo: of sequential images only, and of the two that there are
        None if !frame.progressive && id < 2 => Ok(Listed::standard(alternating, id)),
        None => Err("a Huffman table of it is missing".to_owned()),
    };
    let find_dc = |id: usize| {
        let listed = find(&tables.dc[id], false, id)?;
        if listed.symbols().iter().any(|&length| length > 15) {
            return Err("a Huffman table of it is broken".to_owned());
        }
        Ok(Huffman::new(&listed))
    };
    let mut alternating: [Option<Arc<Alternating>>; 4] = Default::default();
    let mut of_component = |&(_, dc, ac): &(usize, usize, usize)| {
        if frame.progressive {
            let dc = if scan.band.0 == 0 && scan.before == 0 { Some(find_dc(dc)?) } else { None };
            let ac = if scan.band.1 > 0 { Some(Huffman::new(&find(&tables.ac[ac], true, ac)?)) } else { None };
            return Ok(Codes::Progressive { dc, ac });
        }
        let dc = find_dc(dc)?;
        let codes = match &alternating[ac] {
            Some(codes) => codes.clone(),
            None => alternating[ac].insert(Alternating::of(&find(&tables.ac[ac], true, ac)?)).clone(),
        };
        Ok(Codes::Sequential(dc, codes))
    };
    scan.components.iter().map(&mut of_component).collect()
}

/// The state from block to block.
struct Coder<'a> {
    bits: Bits<'a>,
    /// The last DC of each component of the scan.
    predicted: [i32; 4],
    /// Blocks of which the band is empty, to come.
    run: u32,
}

impl Coder<'_> {
    fn block(
        &mut self,
        block: &mut Block,
        scan: &Scan,
        codes: &Codes,
        number: usize,
        last: usize,
    ) -> Result<(), String> {
        let (dc, ac) = match codes {
            Codes::Sequential(dc, ac) => return self.bits.block((dc, ac), &mut self.predicted[number], block, last),
            Codes::Progressive { dc, ac } => (dc, ac),
        };
        self.bits.ready()?;
        if let Some(dc) = dc {
            let length = self.bits.symbol(dc)?;
            self.predicted[number] = self.predicted[number].wrapping_add(self.bits.number(length.into()));
            block[0] = self.predicted[number].wrapping_shl(scan.after.into()) as i16;
        } else if scan.band.0 == 0 && self.bits.bit() {
            block[0] |= 1 << scan.after;
        }
        match ac {
            Some(ac) if scan.before > 0 => self.refine(block, scan, ac),
            Some(ac) => self.first(block, scan, ac),
            None => Ok(()),
        }
    }

    /// Coefficients of a band that come for the first time (T.81, G.1.2.2).
    fn first(&mut self, block: &mut Block, scan: &Scan, ac: &Huffman) -> Result<(), String> {
        if self.run > 0 {
            self.run -= 1;
            return Ok(());
        }
        let mut k = scan.band.0.max(1);
        while k <= scan.band.1 {
            let symbol = self.bits.symbol(ac)?;
            let (zeros, length) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            k += zeros;
            if length > 0 {
                let at = ZIGZAG.get(k).copied().unwrap_or(63);
                block[usize::from(at)] = (self.bits.number(length) << scan.after) as i16;
            } else if zeros < 15 {
                self.run = (1 << zeros) + self.bits.take(zeros as u32) as u32 - 1;
                break;
            }
            k += 1;
        }
        Ok(())
    }

    /// One more bit of the coefficients of a band (T.81, G.1.2.3).
    fn refine(&mut self, block: &mut Block, scan: &Scan, ac: &Huffman) -> Result<(), String> {
        if self.run > 0 && block[1..] == [0; 63] {
            self.run -= 1; // nothing to refine: the usual case of scans that are sent to take time
            return Ok(());
        }
        let bit = 1_i16 << scan.after;
        let mut k = scan.band.0;
        while self.run == 0 && k <= scan.band.1 {
            let symbol = self.bits.symbol(ac)?;
            let (mut zeros, length) = (u32::from(symbol >> 4), symbol & 15);
            let new = match length {
                0 if zeros < 15 => {
                    self.run = (1 << zeros) + self.bits.take(zeros) as u32;
                    break;
                }
                0 => None,
                _ if self.bits.bit() => Some(bit),
                _ => Some(-bit),
            };
            // past so many coefficients that are still 0, each other one on the way with its next bit
            while k <= scan.band.1 {
                let coefficient = &mut block[usize::from(ZIGZAG[k])];
                if *coefficient != 0 {
                    self.correct(coefficient, bit);
                } else if zeros == 0 {
                    *coefficient = new.unwrap_or(0);
                    break;
                } else {
                    zeros -= 1;
                }
                k += 1;
            }
            k += 1;
        }
        if self.run > 0 {
            for &at in &ZIGZAG[k..=scan.band.1] {
                let coefficient = &mut block[usize::from(at)];
                if *coefficient != 0 {
                    self.correct(coefficient, bit);
                }
            }
            self.run -= 1;
        }
        Ok(())
    }

    fn correct(&mut self, coefficient: &mut i16, bit: i16) {
        if self.bits.bit() && *coefficient & bit == 0 {
            *coefficient = coefficient.wrapping_add(if *coefficient >= 0 { bit } else { -bit });
        }
    }
}
