//! Loads of what nothing has written, and stores of it: where such bytes come to registers, and where they go to.

use super::{Accessor, Missing, Space};
use crate::exec::grid::Team;
use crate::exec::local::lanes;
use crate::exec::op::{Load, Store};
use crate::exec::registers::{LANES, Mask};
use crate::exec::unwritten::Origin;

/// What a load found that nothing has written: of each lane its bytes, and how the first is said.
pub(super) struct Found {
    pub(super) bytes: Missing,
    pub(super) what: String,
}

/// Notes bytes of a lane; what is said of the first stays.
#[cold]
pub(super) fn note(found: &mut Option<Box<Found>>, lane: usize, bytes: u16, what: impl FnOnce() -> String) {
    found.get_or_insert_with(|| Box::new(Found { bytes: [0; LANES], what: what() })).bytes[lane] = bytes;
}

impl Accessor<'_, '_> {
    /// Notes in the registers of a load what of it nothing has written.
    #[cold]
    pub(super) fn note_missing(&mut self, load: &Load, mask: Mask, found: &Found) {
        let size = load.ty.bytes() as usize;
        let from = Origin { op: self.op, what: found.what.clone() };
        for (element, into) in load.into.iter().enumerate() {
            let bytes = found.bytes.map(|bytes| {
                let own = (bytes >> (element * size)) as u8 & ((1u16 << size) - 1) as u8;
                // an extended value depends on all of its bytes
                if own != 0 && size < 4 { 0xFF } else { own }
            });
            self.warp.unwritten.note(*into, &bytes, mask, &from);
        }
    }

    /// Says of what was stored what of it nothing has written.
    pub(super) fn forget(&mut self, store: &Store, space: Space, addresses: &[u64; LANES], mask: Mask) {
        if self.warp.unwritten.is_empty() {
            return;
        }
        let size = store.ty.bytes() as usize;
        for lane in lanes(mask) {
            let element = |(at, slot)| {
                let own = u16::from(self.warp.unwritten.of(slot, lane)) & ((1 << size) - 1);
                own << (at * size)
            };
            let bytes = store.from.iter().copied().enumerate().map(element).fold(0, |all, own| all | own);
            if bytes == 0 {
                continue;
            }
            let at = addresses[lane];
            match space {
                Space::Shared => {
                    let Team { shared, .. } = &mut *self.team;
                    shared.forget(at as usize, bytes);
                }
                Space::Local => self.warp.local.forget(lane, at, size * store.from.len(), bytes),
                _ => {
                    if let Some(allocation) = self.grid.find(at, 1) {
                        allocation.written.unset((at - allocation.address) as usize, bytes);
                    }
                }
            }
        }
    }
}
