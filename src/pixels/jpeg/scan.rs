//! Coded data of the scans of a sequential image to quantised coefficients, interleaved or a component at a time.
//!
//! Not here: progressive images (`progressive`), what the coefficients become (`planes`), arithmetic coding, which is refused.

use std::sync::Arc;

use super::bits::Bits;
use super::frame::{Component, Frame, Scan};
use super::planes::Area;
use super::segments::Tables;
use super::tables::{Alternating, Huffman, Listed};

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
pub(super) const MAX_BLOCKS: usize = 10;

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
    take_rows: Option<TakeRows<'_>>,
) -> Result<usize, String> {
    let coder = Coder { bits: Bits::new(bytes), predicted: [0; 4], codes: codes(scan, tables)? };
    #[cfg(target_arch = "x86_64")]
    if let Some(instructions) = pulp::x86::V3::try_new() {
        // not for its vectors: there are better shifts
        return instructions.vectorize(
            #[inline(always)]
            || coder.read(scan, tables.restart, frame, coefficients, take_rows),
        );
    }
    coder.read(scan, tables.restart, frame, coefficients, take_rows)
}

/// The state from block to block.
struct Coder<'a> {
    bits: Bits<'a>,
    /// The last DC of each component of the scan.
    predicted: [i32; 4],
    /// Of each component of the scan.
    codes: Vec<(Huffman, Arc<Alternating>)>,
}

impl Coder<'_> {
    #[inline(always)]
    fn read(
        mut self,
        scan: &Scan,
        restart: usize,
        frame: &Frame,
        coefficients: &mut [Coefficients],
        mut take_rows: Option<TakeRows<'_>>,
    ) -> Result<usize, String> {
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
        let (mut to_restart, mut restarts) = (restart, 0);
        for row in 0..rows {
            for column in 0..columns {
                if restart > 0 {
                    if to_restart == 0 {
                        self.bits.restart(restarts)?;
                        self.predicted = [0; 4];
                        (to_restart, restarts) = (restart, (restarts + 1) % 8);
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
                for ((&(index, ..), (dc, ac)), predicted) in
                    scan.components.iter().zip(&self.codes).zip(&mut self.predicted)
                {
                    let (wide, high) = of_mcu(index, coefficients);
                    let component = &mut coefficients[index];
                    for number in 0..wide * high {
                        let (block, last) = match place {
                            Some((column, row)) => {
                                let (x, y) = (column * wide + number % wide, row * high + number / wide);
                                (&mut component.blocks[y * component.stride + x], component.last)
                            }
                            None => (&mut unwanted, 0),
                        };
                        self.bits.block((dc, ac), predicted, block, last)?;
                    }
                }
            }
            self.bits.check()?;
            if let Some(TakeRows { area, take }) = &mut take_rows
                && area.rows.contains(&row)
            {
                take(row, coefficients);
            }
        }
        Ok(self.bits.read())
    }
}

/// The codes of DC and AC of each component in a scan.
fn codes(scan: &Scan, tables: &Tables) -> Result<Vec<(Huffman, Arc<Alternating>)>, String> {
    let find = |table: &Option<Listed>, alternating: bool, id: usize| match table {
        // as libjpeg-turbo: of sequential images only, and of the two that there are
        None if id < 2 => Ok(Listed::standard(alternating, id)),
        table => listed(table),
    };
    let mut known: [Option<Arc<Alternating>>; 4] = Default::default();
    let of_component = |&(_, dc, ac): &(usize, usize, usize)| {
        let dc = dc_codes(&find(&tables.dc[dc], false, dc)?)?;
        let codes = match &known[ac] {
            Some(codes) => codes.clone(),
            None => known[ac].insert(Alternating::of(&find(&tables.ac[ac], true, ac)?)).clone(),
        };
        Ok((dc, codes))
    };
    scan.components.iter().map(of_component).collect()
}

/// The codes of a table that a scan names.
pub(super) fn listed(table: &Option<Listed>) -> Result<Listed, String> {
    table.ok_or_else(|| "a Huffman table of it is missing".to_owned())
}

/// To be found by their bits, of DC.
pub(super) fn dc_codes(listed: &Listed) -> Result<Huffman, String> {
    if listed.symbols().iter().any(|&length| length > 15) {
        return Err("a Huffman table of it is broken".to_owned());
    }
    Ok(Huffman::new(listed))
}
