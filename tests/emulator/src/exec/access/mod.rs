//! Loads, stores and atomics: from addresses of lanes to bytes, with every check on the way. Not here: what is known of bytes (`memory`,
//! `shared`).

mod atomic;
mod copy;
mod global;
mod local;
mod matrix;
mod mbarrier;
mod missing;
mod peek;
mod shared;

pub(in crate::exec) use mbarrier::Claim;

use super::clocks::Thread;
use super::grid::{Fault, Grid, ILLEGAL_ADDRESS, MISALIGNED, Team};
use super::local::lanes;
use super::op::{Address, CALL_PARAMETERS, LOCAL_WINDOW, Load, SHARED_WINDOW, Store, WINDOW};
use super::registers::{LANES, Lane, Mask, Registers, Slot};
use super::warp::Warp;
use crate::decode::types::{Kind, Type};
use crate::parse::syntax::Space;

/// The bytes of each lane's access, the first lowest.
type Values = [u128; LANES];

/// A bit for each byte of a lane's access that nothing has written.
type Missing = [u16; LANES];

/// A warp that accesses memory.
pub(in crate::exec) struct Accessor<'a, 'g> {
    pub(in crate::exec) grid: &'a Grid<'g>,
    pub(in crate::exec) team: &'a mut Team,
    pub(in crate::exec) warp: &'a mut Warp,
    /// The instruction.
    pub(in crate::exec) op: usize,
}

/// What an access is besides its direction.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// By the path that nothing written in the launch reaches.
    constant: bool,
    /// From constant memory.
    constants: bool,
    strong: bool,
    acquire: bool,
    release: bool,
}

impl Accessor<'_, '_> {
    fn fault(&self, lane: usize, code: u32, text: String) -> Fault {
        Fault { code, op: self.op, thread: Some(self.warp.number * LANES + lane), text }
    }

    fn thread(&self, lane: usize) -> Thread {
        Thread { warp: self.warp.number, lane }
    }

    fn addresses(&self, address: &Address) -> [u64; LANES] {
        let base: [u64; LANES] = self.warp.registers.read(address.base);
        let moved = base.map(|base| base.wrapping_add_signed(address.offset));
        // a sum with a register of 32 bits has 32 bits
        if matches!(address.base, Slot::Word(_)) { moved.map(|address| address & 0xFFFF_FFFF) } else { moved }
    }

    /// Lanes by the space that their addresses are in; what is left is global.
    fn spaces(&self, address: &Address, mask: Mask, addresses: &mut [u64; LANES]) -> [(Space, Mask); 3] {
        let mut spaces = [(Space::Global, mask), (Space::Shared, 0), (Space::Local, 0)];
        match address.space {
            Some(Space::Shared) => spaces = [(Space::Global, 0), (Space::Shared, mask), (Space::Local, 0)],
            Some(Space::Local) => spaces = [(Space::Global, 0), (Space::Shared, 0), (Space::Local, mask)],
            None => {
                for lane in lanes(mask) {
                    for (space, window) in [(1, SHARED_WINDOW), (2, LOCAL_WINDOW)] {
                        if (window..window + WINDOW).contains(&addresses[lane]) {
                            addresses[lane] -= window;
                            spaces[0].1 &= !(1 << lane);
                            spaces[space].1 |= 1 << lane;
                        }
                    }
                }
            }
            Some(_) => {}
        }
        spaces
    }

    fn aligned(&self, addresses: &[u64; LANES], mask: Mask, size: usize) -> Result<(), Fault> {
        let bits = size as u64 - 1;
        match lanes(mask).find(|lane| addresses[*lane] & bits != 0) {
            None => Ok(()),
            Some(lane) => {
                let text = format!("misaligned: {size} bytes at {:#x}", addresses[lane]);
                Err(self.fault(lane, MISALIGNED, text))
            }
        }
    }

    pub(in crate::exec) fn load(&mut self, load: &Load, mask: Mask) -> Result<(), Fault> {
        let size = load.ty.bytes() as usize * load.into.len();
        let mut addresses = self.addresses(&load.address);
        let mut values = [0; LANES];
        let mut missing = None;
        if load.address.space == Some(Space::Param) {
            self.parameters(&addresses, mask, size, &mut values, &mut missing)?;
        } else {
            let constants = load.address.space == Some(Space::Const);
            let manner = Manner {
                constant: load.constant,
                constants,
                strong: load.strong,
                acquire: load.acquire,
                release: false,
            };
            for (space, mask) in self.spaces(&load.address, mask, &mut addresses) {
                if mask != 0 {
                    self.aligned(&addresses, mask, size)?;
                    match space {
                        Space::Shared => {
                            self.load_shared(&addresses, mask, size, manner, &mut values, &mut missing)?;
                        }
                        Space::Local => self.load_local(&addresses, mask, size, &mut values, &mut missing)?,
                        _ => {
                            // constants come from a cache of their own
                            if load.address.space != Some(Space::Const) {
                                self.count_global(&addresses, mask, size);
                            }
                            self.load_global(&addresses, mask, size, manner, &mut values, &mut missing)?;
                        }
                    }
                }
            }
        }
        if let Some(missing) = missing {
            self.note_missing(load, mask, &missing);
        }
        for (element, into) in load.into.iter().enumerate() {
            unpack(&mut self.warp.registers, *into, &values, load.ty, element, mask);
        }
        Ok(())
    }

    pub(in crate::exec) fn store(&mut self, store: &Store, mask: Mask) -> Result<(), Fault> {
        let bits = store.ty.bits();
        let size = store.ty.bytes() as usize * store.from.len();
        let mut addresses = self.addresses(&store.address);
        let mut values = [0u128; LANES];
        for (element, from) in store.from.iter().enumerate() {
            let words: [u64; LANES] = self.warp.registers.read(*from);
            let keep = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
            for lane in 0..LANES {
                values[lane] |= u128::from(words[lane] & keep) << (element as u32 * bits);
            }
        }
        if store.address.space == Some(Space::Param) {
            // a call's parameters become registers, whatever their alignment
            addresses = addresses.map(|address| address.wrapping_sub(CALL_PARAMETERS));
            let stored = self.store_local(&addresses, mask, size, &values);
            self.forget(store, Space::Local, &addresses, mask);
            return stored;
        }
        let manner = Manner { strong: store.strong, release: store.release, ..Manner::default() };
        for (space, mask) in self.spaces(&store.address, mask, &mut addresses) {
            if mask != 0 {
                self.aligned(&addresses, mask, size)?;
                match space {
                    Space::Shared => self.store_shared(&addresses, mask, size, manner, &values)?,
                    Space::Local => self.store_local(&addresses, mask, size, &values)?,
                    _ => self.store_global(&addresses, mask, size, manner, &values)?,
                }
                self.forget(store, space, &addresses, mask);
            }
        }
        Ok(())
    }

    fn outside(&self, lane: usize, space: &str, at: u64, size: usize, end: usize) -> Fault {
        let text = format!("out of bounds: {size} bytes at {at:#x} of {end:#x} bytes of {space} memory");
        self.fault(lane, ILLEGAL_ADDRESS, text)
    }
}

/// Writes an element of each lane's bytes to a register, extended as its type says.
fn unpack(registers: &mut Registers, into: Slot, values: &Values, ty: Type, element: usize, mask: Mask) {
    fn write<T: Lane>(
        registers: &mut Registers,
        into: Slot,
        values: &Values,
        shift: u32,
        mask: Mask,
        narrow: impl Fn(u64) -> T,
    ) {
        let lanes: [T; LANES] = std::array::from_fn(|lane| narrow((values[lane] >> shift) as u64));
        registers.write(into, &lanes, mask);
    }
    let shift = element as u32 * ty.bits();
    let signed = ty.kind() == Kind::Signed;
    match (ty.bits(), signed) {
        (8, false) => write(registers, into, values, shift, mask, |bits| bits as u8),
        (8, true) => write(registers, into, values, shift, mask, |bits| bits as i8),
        (16, false) => write(registers, into, values, shift, mask, |bits| bits as u16),
        (16, true) => write(registers, into, values, shift, mask, |bits| bits as i16),
        (32, false) => write(registers, into, values, shift, mask, |bits| bits as u32),
        (32, true) => write(registers, into, values, shift, mask, |bits| bits as i32),
        _ => write(registers, into, values, shift, mask, |bits| bits),
    }
}
