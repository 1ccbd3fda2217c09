//! Calls of functions: parameters in, results out, and what a function that calls itself must find again.

use super::grid::{Fault, Grid, ILLEGAL_ADDRESS};
use super::local::lanes;
use super::op::{Call, Callable, Place};
use super::registers::{LANES, Mask, Sizes, Slot};
use super::warp::{Frame, Warp};

/// Bytes of each lane, and whether they were written.
type Bytes = Vec<Vec<(u8, bool)>>;

/// A parameter on its way: a lane's bytes or bits.
enum Moved {
    Bytes(Bytes),
    Bits(Box<[u64; LANES]>),
}

/// What a recursive function held before it was called again.
#[derive(Clone, Debug)]
pub struct Kept {
    registers: Vec<(Slot, [u64; LANES])>,
    local: Vec<(usize, Bytes)>,
}

impl Kept {
    /// Takes the lanes of a mask from another.
    pub(super) fn merge(&mut self, other: &Self, mask: Mask) {
        for lane in lanes(mask) {
            self.registers.iter_mut().zip(&other.registers).for_each(|((_, own), (_, other))| own[lane] = other[lane]);
            self.local
                .iter_mut()
                .zip(&other.local)
                .for_each(|((_, own), (_, other))| own[lane].clone_from(&other[lane]));
        }
    }
}

impl Warp {
    fn take(&self, place: Place) -> Moved {
        match place {
            Place::Local(from, size) => {
                Moved::Bytes((0..LANES).map(|lane| self.local.copy_out(lane, from, size)).collect())
            }
            Place::Register(slot) => Moved::Bits(Box::new(self.registers.read(slot))),
        }
    }

    fn put(&mut self, place: Place, moved: &Moved, mask: Mask) {
        for lane in lanes(mask) {
            match (place, moved) {
                (Place::Local(to, size), Moved::Bytes(bytes)) => {
                    self.local.copy_in(lane, to, &bytes[lane][..size.min(bytes[lane].len())]);
                }
                (Place::Local(to, size), Moved::Bits(bits)) => {
                    self.local.store(lane, to as u64, size.min(8), u128::from(bits[lane]));
                }
                (Place::Register(slot), Moved::Bits(bits)) => self.registers.set_lane(slot, lane, bits[lane]),
                (Place::Register(slot), Moved::Bytes(bytes)) => {
                    let bits = bytes[lane].iter().take(8).rev().fold(0, |bits, (byte, _)| bits << 8 | u64::from(*byte));
                    self.registers.set_lane(slot, lane, bits);
                }
            }
        }
    }

    /// Registers and local memory of a function.
    fn keep(&self, function: &Callable) -> Kept {
        let mut kept = Kept { registers: Vec::new(), local: Vec::new() };
        for [(from, first), (to, last)] in function.taken {
            kept.registers.extend(slots(from, to).map(|slot| (slot, self.registers.read(slot))));
            let (first, size) = (first as usize, (last - first) as usize);
            let bytes = (0..LANES).map(|lane| self.local.copy_out(lane, first, size)).collect();
            kept.local.push((first, bytes));
        }
        kept
    }

    fn restore(&mut self, kept: &Kept, mask: Mask) {
        for lane in lanes(mask) {
            kept.registers.iter().for_each(|(slot, values)| self.registers.set_lane(*slot, lane, values[lane]));
            kept.local.iter().for_each(|(at, bytes)| self.local.copy_in(lane, *at, &bytes[lane]));
        }
    }

    /// Enters the function that the first lane of a mask calls; gives the lanes that go with it.
    pub(super) fn enter(
        &mut self,
        grid: &Grid<'_>,
        op: usize,
        call: &Call,
        mask: Mask,
    ) -> Result<(Mask, usize, Frame), Fault> {
        let numbers: [u64; LANES] = self.registers.read(call.function);
        let first = mask.trailing_zeros() as usize % LANES;
        let number = numbers[first];
        let function = usize::try_from(number).ok().and_then(|number| grid.code.functions.get(number)?.as_ref());
        let fits = |function: &&Callable| {
            function.parameters.len() == call.arguments.len() && function.results.len() == call.results.len()
        };
        let Some(function) = function.filter(fits) else {
            let text = format!("call of {number:#x}, where no function with such parameters is");
            let thread = Some(self.number * LANES + first);
            return Err(Fault { code: ILLEGAL_ADDRESS, op, thread, text });
        };
        let going = lanes(mask).filter(|lane| numbers[*lane] == number).fold(0, |going, lane| going | 1 << lane);
        let arguments: Vec<Moved> = call.arguments.iter().map(|place| self.take(*place)).collect();
        let kept = function.recursive.then(|| Box::new(self.keep(function)));
        for (place, moved) in function.parameters.iter().zip(&arguments) {
            self.put(*place, moved, going);
        }
        Ok((going, function.entry, Frame { call: op, function: number as usize, kept }))
    }

    /// Leaves a function: its results go where the call wants them.
    pub(super) fn leave(&mut self, function: &Callable, call: &Call, frame: &Frame, mask: Mask) {
        let results: Vec<Moved> = function.results.iter().map(|place| self.take(*place)).collect();
        if let Some(kept) = &frame.kept {
            self.restore(kept, mask);
        }
        for (place, moved) in call.results.iter().zip(&results) {
            self.put(*place, moved, mask);
        }
    }
}

fn slots(from: Sizes, to: Sizes) -> impl Iterator<Item = Slot> {
    let words = (from.words..to.words).map(Slot::Word);
    let longs = (from.longs..to.longs).map(Slot::Long);
    words.chain(longs).chain((from.predicates..to.predicates).map(Slot::Predicate))
}
