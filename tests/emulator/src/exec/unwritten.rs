//! Bytes in registers that nothing has written: a load of them is no fault, for a struct is copied with its padding, and neither is moving or
//! storing them; they are unwritten where they go to. Their use is the fault. Not here: which instruction uses what (`decode::touched`).

use std::collections::HashMap;

use super::grid::{Fault, Grid, LAUNCH_FAILED};
use super::local::lanes;
use super::op::{Moves, Op};
use super::registers::{LANES, Mask, Slot};
use super::warp::Warp;

/// The registers of a warp that hold such.
#[derive(Default)]
pub struct Unwritten {
    registers: HashMap<Slot, Entry>,
}

/// One of them.
#[derive(Clone)]
struct Entry {
    /// A bit a byte, of each lane.
    bytes: [u8; LANES],
    from: Origin,
}

/// The load that they came by.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The instruction.
    pub op: usize,
    /// What was read, as messages say it.
    pub what: String,
}

impl Unwritten {
    /// Whether no register holds any.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.registers.is_empty()
    }

    /// The bytes of a lane's register that nothing has written.
    pub fn of(&self, slot: Slot, lane: usize) -> u8 {
        self.registers.get(&slot).map_or(0, |entry| entry.bytes[lane])
    }

    /// Notes what a load has brought into lanes of a register.
    pub fn note(&mut self, slot: Slot, bytes: &[u8; LANES], mask: Mask, from: &Origin) {
        let entry = self.registers.entry(slot).or_insert_with(|| Entry { bytes: [0; LANES], from: from.clone() });
        lanes(mask).for_each(|lane| entry.bytes[lane] = bytes[lane]);
        if entry.bytes == [0; LANES] {
            self.registers.remove(&slot);
        }
    }

    fn clear(&mut self, slot: Slot, mask: Mask) {
        if let Some(entry) = self.registers.get_mut(&slot) {
            lanes(mask).for_each(|lane| entry.bytes[lane] = 0);
            if entry.bytes == [0; LANES] {
                self.registers.remove(&slot);
            }
        }
    }
}

/// A bit for each of so many bytes.
fn ones(bytes: usize) -> u64 {
    (1 << bytes) - 1
}

/// Bytes of a register.
fn width(slot: Slot) -> usize {
    match slot {
        Slot::Long(_) => 8,
        _ => 4,
    }
}

impl Warp {
    /// Follows such bytes through an instruction that is about to execute.
    ///
    /// # Errors
    /// When it uses one.
    #[cold]
    pub(super) fn follow(&mut self, grid: &Grid<'_>, pc: usize, op: &Op, mask: Mask) -> Result<(), Fault> {
        let (touched, unwritten) = (&op.touched, &mut self.unwritten);
        if touched.moves == Moves::Uses {
            for (slot, used) in &touched.reads {
                let Some(entry) = unwritten.registers.get(slot) else { continue };
                if let Some(lane) = lanes(mask).find(|lane| entry.bytes[*lane] & used != 0) {
                    let line = grid.code.ops.get(entry.from.op).map_or(0, |op| op.line);
                    let text = format!("unwritten: {}, by line {line}, and is used here", entry.from.what);
                    return Err(self.fault(pc, 1 << lane, LAUNCH_FAILED, text));
                }
            }
            touched.writes.iter().for_each(|slot| unwritten.clear(*slot, mask));
            return Ok(());
        }
        let selected =
            if let Moves::Selects(predicate) = touched.moves { self.registers.predicate(predicate) } else { 0 };
        let selects = matches!(touched.moves, Moves::Selects(_));
        // bytes of each operand's place in the whole that is moved: of a vector to one register, the other way round, or of one to one
        let whole = match (touched.writes.as_slice(), touched.reads.as_slice()) {
            ([into], _) => width(*into),
            (_, [(from, _)]) => width(*from),
            (many, _) => 8 * many.len(),
        };
        let part = |count: usize| if count <= 1 || selects { 8 } else { whole / count };
        let (part_in, part_out) = (part(touched.reads.len()), part(touched.writes.len()));
        let mut moved = [0u64; LANES];
        let mut from = None;
        for (at, (slot, used)) in touched.reads.iter().enumerate() {
            let Some(entry) = unwritten.registers.get(slot) else { continue };
            let place = if selects { 0 } else { at * part_in };
            for lane in lanes(mask).filter(|lane| !selects || (at == 0) == (selected >> lane & 1 == 1)) {
                moved[lane] |= (u64::from(entry.bytes[lane] & used) & ones(part_in)) << place;
            }
            from = Some(entry.from.clone());
        }
        for (at, slot) in touched.writes.iter().enumerate() {
            unwritten.clear(*slot, mask);
            if let Some(from) = &from {
                let bytes = moved.map(|bytes| (bytes >> (at * part_out) & ones(part_out.min(width(*slot)))) as u8);
                unwritten.note(*slot, &bytes, mask, from);
            }
        }
        Ok(())
    }
}
