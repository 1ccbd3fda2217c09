//! `vprintf`, to which compilers turn `printf`: the format and its arguments out of memory, and what is printed until the launch ends. Not here:
//! how values are written (`format`).

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use super::access::Accessor;
use super::format::{Kind, Piece, Size, pieces};
use super::grid::{Fault, Grid, Team};
use super::local::lanes;
use super::op::{Place, Print};
use super::registers::Mask;
use super::warp::Warp;

/// What a launch has printed. Of more than a card's buffer holds, the first is lost, as there.
#[derive(Default)]
pub struct Printed {
    bytes: Mutex<Vec<u8>>,
}

/// The buffer of a recorded H100 (`CU_LIMIT_PRINTF_FIFO_SIZE`).
const BUFFER: usize = 8_650_752;

/// The longest text that is read.
const LONGEST: u64 = 1 << 16;

impl Printed {
    fn add(&self, text: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(text);
        if bytes.len() > 2 * BUFFER {
            let lost = bytes.len() - BUFFER;
            bytes.drain(..lost);
        }
    }

    /// Gives it to the client's standard output.
    pub fn flush(&self) {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if !bytes.is_empty() {
            let mut out = std::io::stdout().lock();
            // what cannot be printed is lost, and no fault of the kernel's
            let _ = out.write_all(&bytes[bytes.len().saturating_sub(BUFFER)..]).and_then(|()| out.flush());
        }
    }
}

/// Where a lane's arguments are, one behind the other.
struct Arguments {
    address: u64,
    offset: u64,
}

impl Arguments {
    /// The next one, at a multiple of its size.
    fn next(&mut self, from: &mut Accessor<'_, '_>, lane: usize, bytes: usize) -> Result<u64, Fault> {
        let at = self.offset.next_multiple_of(bytes as u64);
        self.offset = at + bytes as u64;
        from.peek(lane, self.address.wrapping_add(at), bytes)
    }
}

impl Warp {
    /// `vprintf` of lanes, one after the other.
    pub(super) fn print(
        &mut self,
        grid: &Grid<'_>,
        team: &mut Team,
        pc: usize,
        print: &Print,
        mask: Mask,
    ) -> Result<(), Fault> {
        let mut all = Vec::new();
        for lane in lanes(mask) {
            let [format, arguments] = [print.format, print.arguments].map(|place| self.pointer(place, lane));
            let count = if format == 0 { -1 } else { self.write(grid, team, pc, lane, [format, arguments], &mut all)? };
            match print.result {
                Some(Place::Local(to, size)) => {
                    self.local.store(lane, to as u64, size.min(4), u128::from(count.cast_unsigned()));
                }
                Some(Place::Register(slot)) => self.registers.set_lane(slot, lane, u64::from(count.cast_unsigned())),
                None => {}
            }
        }
        grid.printed.add(&all);
        Ok(())
    }

    fn pointer(&self, place: Place, lane: usize) -> u64 {
        match place {
            Place::Local(from, size) => self.local.load(lane, from as u64, size.min(8)).unwrap_or(0) as u64,
            Place::Register(slot) => self.registers.lane(slot, lane),
        }
    }

    /// What one lane prints; how many values.
    fn write(
        &mut self,
        grid: &Grid<'_>,
        team: &mut Team,
        pc: usize,
        lane: usize,
        [format, arguments]: [u64; 2],
        all: &mut Vec<u8>,
    ) -> Result<i32, Fault> {
        let from = &mut self.accessor(grid, team, pc);
        let format = text(from, lane, format)?;
        let mut arguments = Arguments { address: arguments, offset: 0 };
        let mut count = 0;
        for piece in pieces(&format) {
            let mut conversion = match piece {
                Piece::Text(text) => {
                    all.extend(text);
                    continue;
                }
                Piece::Value(conversion) => conversion,
            };
            if conversion.width == Size::Argument {
                conversion.set_width(arguments.next(from, lane, 4)? as i32);
            }
            if conversion.precision == Size::Argument {
                conversion.set_precision(arguments.next(from, lane, 4)? as i32);
            }
            let bits = arguments.next(from, lane, conversion.bytes())?;
            match conversion.kind() {
                Kind::Text if bits == 0 => all.extend(conversion.text(b"(null)")),
                Kind::Text => all.extend(conversion.text(&text(from, lane, bits)?)),
                Kind::Integer | Kind::Fraction => all.extend(conversion.number(bits)),
            }
            count += 1;
        }
        Ok(count)
    }
}

/// The text at an address, up to the zero that ends it.
fn text(from: &mut Accessor<'_, '_>, lane: usize, address: u64) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    for at in 0..LONGEST {
        match from.peek(lane, address.wrapping_add(at), 1)? {
            0 => break,
            byte => text.push(byte as u8),
        }
    }
    Ok(text)
}
