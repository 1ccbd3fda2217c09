//! `cp.async`: read when it is issued, landed when it is waited for (`copies`).

use super::missing::note;
use super::{Accessor, Manner};
use crate::count::Access;
use crate::exec::grid::{Fault, Team};
use crate::exec::local::lanes;
use crate::exec::op::Copy;
use crate::exec::registers::{LANES, Mask};

impl Accessor<'_, '_> {
    pub(in crate::exec) fn copy(&mut self, copy: &Copy, mask: Mask) -> Result<(), Fault> {
        let to = self.addresses(&copy.to);
        let from = self.addresses(&copy.from);
        self.aligned(&to, mask, copy.size)?;
        self.aligned(&from, mask, copy.size)?;
        let offsets = self.shared_offsets(&to, mask, copy.size, Access::CopyAsync)?;
        let ignored = copy.ignore.map_or(0, |(slot, negated)| {
            let bits = self.warp.registers.predicate(slot);
            if negated { !bits } else { bits }
        });
        let read: [u32; LANES] = match copy.read {
            Some(slot) => self.warp.registers.read(slot),
            None => [copy.size as u32; LANES],
        };
        let mut values = [0; LANES];
        let mut missing = None;
        let full = lanes(mask & !ignored).filter(|lane| read[*lane] as usize >= copy.size);
        let full = full.fold(0, |mask, lane| mask | 1 << lane);
        if mask & !ignored != 0 {
            self.count_global(&from, mask & !ignored, copy.size);
        }
        if full != 0 {
            self.load_global(&from, full, copy.size, Manner::default(), &mut values, &mut missing)?;
        }
        for lane in lanes(mask & !ignored & !full) {
            // fewer bytes than are written: one by one, for nothing says that they are a power of two
            for byte in 0..read[lane] as usize {
                let at = from.map(|address| address.wrapping_add(byte as u64));
                let mut one = [0; LANES];
                let mut lacks = None;
                self.load_global(&at, 1 << lane, 1, Manner::default(), &mut one, &mut lacks)?;
                values[lane] |= one[lane] << (8 * byte);
                if let Some(lacks) = lacks {
                    let before = missing.as_ref().map_or(0, |found| found.bytes[lane]);
                    note(&mut missing, lane, before | 1 << byte, || lacks.what);
                }
            }
        }
        for lane in lanes(mask) {
            let (thread, offset) = (self.thread(lane), offsets[lane] as usize);
            let Team { shared, clocks, .. } = &mut *self.team;
            let noted = shared.issue(thread, offset, copy.size, clocks);
            noted.map_err(|why| self.conflict(lane, "copy", offsets[lane], copy.size, why))?;
            let unwritten = missing.as_ref().map_or(0, |found| found.bytes[lane]);
            self.warp.copies.issue(lane, offset, copy.size, (values[lane], unwritten));
        }
        Ok(())
    }
}
