//! Bytes of one lane at a generic address, however aligned: what `printf` reads.

use super::{Accessor, Manner};
use crate::exec::grid::{Fault, LAUNCH_FAILED};
use crate::exec::op::{LOCAL_WINDOW, SHARED_WINDOW, WINDOW};
use crate::exec::registers::LANES;

impl Accessor<'_, '_> {
    /// Up to 8 bytes, the first lowest.
    pub(in crate::exec) fn peek(&mut self, lane: usize, address: u64, bytes: usize) -> Result<u64, Fault> {
        let mut bits = 0;
        for at in 0..bytes as u64 {
            let address = address.wrapping_add(at);
            let (mask, mut values, mut missing) = (1 << lane, [0; LANES], None);
            let within = |window: u64| (window..window + WINDOW).contains(&address);
            if within(LOCAL_WINDOW) {
                self.load_local(&[address - LOCAL_WINDOW; LANES], mask, 1, &mut values, &mut missing)?;
            } else if within(SHARED_WINDOW) {
                self.load_shared(
                    &[address - SHARED_WINDOW; LANES],
                    mask,
                    1,
                    Manner::default(),
                    &mut values,
                    &mut missing,
                )?;
            } else {
                self.load_global(&[address; LANES], mask, 1, Manner::default(), &mut values, &mut missing)?;
            }
            if let Some(missing) = missing {
                return Err(self.fault(lane, LAUNCH_FAILED, format!("unwritten: {}", missing.what)));
            }
            bits |= (values[lane] as u64) << (8 * at);
        }
        Ok(bits)
    }
}
