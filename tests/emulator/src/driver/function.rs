//! Kernels as clients see them: their attributes, and how many of their blocks a multiprocessor holds. Registers are not known: only the
//! assembler says how many a kernel needs, so that none is counted, and none bounds anything.

use std::ffi::CString;
use std::sync::Arc;

use super::card::{SHARED_DEFAULT, THREADS};
use super::code::Code;
use super::handles::Handle;
use super::state::State;
use crate::program::Kernel;

pub(super) struct Function {
    pub(super) context: Handle,
    pub(super) module: Handle,
    pub(super) kernel: Arc<Kernel>,
    /// As C reads it.
    pub(super) name: CString,
    /// The architecture of its PTX.
    target: u32,
    /// The most dynamic shared memory that a launch may ask for.
    pub(super) dynamic: u32,
    carveout: i32,
}

/// Attributes of functions that can be set.
const MAX_DYNAMIC_SHARED: u32 = 8;
const CARVEOUT: u32 = 9;

impl Function {
    pub(super) fn new(context: Handle, module: Handle, kernel: Arc<Kernel>, target: u32) -> Self {
        let dynamic = u64::from(SHARED_DEFAULT).saturating_sub(kernel.static_shared) as u32;
        let name = CString::new(kernel.name.as_str()).unwrap_or_default();
        Self { context, module, kernel, name, target, dynamic, carveout: -1 }
    }

    /// The most threads of a block. `.reqntid` does not lower the attribute, as recorded.
    fn threads(&self) -> u32 {
        let bound = self.kernel.max_threads.filter(|_| self.kernel.required.is_none());
        bound.map_or(THREADS, |bound| bound.min(THREADS))
    }
}

impl State {
    /// A function; of null, or of a module that was unloaded, `INVALID_HANDLE`.
    pub(super) fn function(&self, function: Handle) -> Result<&Function, Code> {
        self.functions.get(function, Code::INVALID_HANDLE)
    }

    /// `cuFuncGetAttribute`.
    pub(super) fn function_attribute(&self, function: Handle, number: u32) -> Result<i32, Code> {
        let function = self.function(function)?;
        let value = match number {
            0 => u64::from(function.threads()),
            1 => function.kernel.static_shared,
            3 => function.kernel.local,
            5 => u64::from(function.target),
            6 => u64::from(self.card().sm),
            MAX_DYNAMIC_SHARED => u64::from(function.dynamic),
            CARVEOUT => return Ok(function.carveout),
            // constants, registers, caching, clusters
            2 | 4 | 7 | 10..=15 => 0,
            _ => return Err(Code::INVALID_VALUE),
        };
        i32::try_from(value).map_err(|_| Code::INVALID_VALUE)
    }

    /// `cuFuncSetAttribute`.
    pub(super) fn set_function_attribute(&mut self, handle: Handle, number: u32, value: i32) -> Result<(), Code> {
        let most = u64::from(self.card().shared_block);
        let function = self.functions.get_mut(handle, Code::INVALID_HANDLE)?;
        match number {
            MAX_DYNAMIC_SHARED => {
                let dynamic = u32::try_from(value).map_err(|_| Code::INVALID_VALUE)?;
                if u64::from(dynamic) + function.kernel.static_shared > most {
                    return Err(Code::INVALID_VALUE);
                }
                function.dynamic = dynamic;
            }
            CARVEOUT if (-1..=100).contains(&value) => function.carveout = value,
            _ => return Err(Code::INVALID_VALUE),
        }
        Ok(())
    }

    /// Blocks that a multiprocessor holds at once.
    pub(super) fn resident(&self, function: Handle, threads: u32, dynamic: u64) -> Result<u32, Code> {
        let function = self.function(function)?;
        if threads == 0 {
            return Err(Code::INVALID_VALUE);
        }
        let shared = function.kernel.static_shared + dynamic;
        if threads > function.threads() || dynamic > u64::from(function.dynamic) {
            return Ok(0);
        }
        Ok(self.card().resident(threads, u32::try_from(shared).unwrap_or(u32::MAX / 2)))
    }

    /// `cuOccupancyMaxPotentialBlockSize`: the blocks that fill the device, of the size of which most threads are resident, the greatest of
    /// several. `shared` is what a block of so many threads needs.
    pub(super) fn potential_block(
        &self,
        function: Handle,
        shared: impl Fn(u32) -> u64,
        limit: u32,
    ) -> Result<(u32, u32), Code> {
        let most = self.function(function)?.threads();
        let limit = if limit == 0 { most } else { limit.min(most) };
        let mut best = (0, 0);
        for threads in (1..=limit.div_ceil(32)).rev().map(|warps| (warps * 32).min(limit)) {
            let blocks = self.resident(function, threads, shared(threads))?;
            if blocks * threads > best.0 * best.1 {
                best = (blocks, threads);
            }
        }
        Ok((best.0 * self.card().multiprocessors, best.1))
    }

    /// `cuOccupancyAvailableDynamicSMemPerBlock`.
    pub(super) fn available_shared(&self, function: Handle, blocks: u32) -> Result<u64, Code> {
        let function = self.function(function)?;
        // Recorded: the bytes that the system keeps of each block are not taken off, though blocks of that much do not fit.
        let share = u64::from(self.card().shared).checked_div(u64::from(blocks)).ok_or(Code::INVALID_VALUE)?;
        Ok(share.saturating_sub(function.kernel.static_shared).min(u64::from(function.dynamic)))
    }
}
