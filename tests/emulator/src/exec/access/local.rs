//! Parameters and local memory.

use super::missing::{Found, note};
use super::{Accessor, Values};
use crate::exec::grid::{Fault, ILLEGAL_ADDRESS};
use crate::exec::local::lanes;
use crate::exec::op::CALL_PARAMETERS;
use crate::exec::registers::{LANES, Mask};

impl Accessor<'_, '_> {
    /// The kernel's parameters, or those of a call.
    pub(super) fn parameters(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        values: &mut Values,
        missing: &mut Option<Box<Found>>,
    ) -> Result<(), Fault> {
        let first = mask.trailing_zeros() as usize % LANES;
        if addresses[first] >= CALL_PARAMETERS {
            return self.load_local(
                &addresses.map(|address| address.wrapping_sub(CALL_PARAMETERS)),
                mask,
                size,
                values,
                missing,
            );
        }
        for lane in lanes(mask) {
            let at = addresses[lane] as usize;
            let Some(bytes) = self.grid.parameters.get(at..at.saturating_add(size)) else {
                let text = format!("{size} bytes at {at} of {} bytes of parameters", self.grid.parameters.len());
                return Err(self.fault(lane, ILLEGAL_ADDRESS, text));
            };
            values[lane] = from_bytes(bytes);
        }
        Ok(())
    }

    pub(super) fn load_local(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        values: &mut Values,
        missing: &mut Option<Box<Found>>,
    ) -> Result<(), Fault> {
        for lane in lanes(mask) {
            let at = addresses[lane];
            match self.warp.local.load(lane, at, size) {
                Some(value) => values[lane] = value,
                None => return Err(self.outside(lane, "local", at, size, self.warp.local.size())),
            }
            if self.grid.checks && !self.warp.local.written(lane, at, size) {
                note(missing, lane, self.warp.local.missing(lane, at, size), || {
                    format!("read of {size} bytes of local memory at {at:#x} that nothing has written")
                });
            }
        }
        Ok(())
    }

    pub(super) fn store_local(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        values: &Values,
    ) -> Result<(), Fault> {
        for lane in lanes(mask) {
            let at = addresses[lane];
            if self.warp.local.store(lane, at, size, values[lane]).is_none() {
                return Err(self.outside(lane, "local", at, size, self.warp.local.size()));
            }
        }
        Ok(())
    }
}

fn from_bytes(bytes: &[u8]) -> u128 {
    let mut all = [0; 16];
    all[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(all)
}
