//! Launches: what is refused before anything is queued. Not here: running a kernel (`crate::launch`).

use std::sync::Arc;

use super::card::THREADS;
use super::code::Code;
use super::function::Function;
use super::handles::Handle;
use super::state::State;
use super::work::Work;
use crate::launch::Launch;

/// The sizes of a launch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    /// Dynamic shared memory, bytes.
    pub(super) shared: u32,
    /// Whether all blocks must be resident at once.
    pub(super) cooperative: bool,
}

const GRID: [u32; 3] = [i32::MAX as u32, 65535, 65535];
const BLOCK: [u32; 3] = [THREADS, THREADS, 64];

impl Shape {
    fn threads(&self) -> u32 {
        self.block.iter().fold(1, |all, threads| all.saturating_mul(*threads))
    }

    fn blocks(&self) -> u64 {
        self.grid.iter().map(|blocks| u64::from(*blocks)).product()
    }

    fn check(&self, function: &Function) -> Result<(), Code> {
        let within =
            |sizes: [u32; 3], most: [u32; 3]| sizes.iter().zip(most).all(|(size, most)| (1..=most).contains(size));
        let kernel = &function.kernel;
        let allowed = within(self.grid, GRID)
            && within(self.block, BLOCK)
            && self.threads() <= THREADS.min(kernel.max_threads.unwrap_or(THREADS))
            && kernel.required.is_none_or(|required| required == self.block)
            && self.shared <= function.dynamic;
        if allowed { Ok(()) } else { Err(Code::INVALID_VALUE) }
    }
}

impl State {
    /// `cuLaunchKernel`. `parameters` makes the block of parameters of a kernel, from what the client passed.
    pub(super) fn launch(
        &mut self,
        context: Handle,
        function: Handle,
        shape: Shape,
        named: Handle,
        parameters: impl Fn(&[(usize, usize)], usize) -> Option<Vec<u8>>,
    ) -> Result<(), Code> {
        let own = self.ordinal_of(self.function(function)?.context);
        let stream = self.stream(context, named)?;
        if self.ordinal_of(self.context_of(stream)?) != own {
            return Err(Code::INVALID_HANDLE); // the kernel is on another device
        }
        let launched = self.checked(function, shape, parameters).and_then(|work| self.submit(stream, work, &[]));
        // A graph without what was refused would not be what was meant.
        if let (Err(_), Some(capture)) = (&launched, self.captures.of(stream)) {
            self.captures.invalidate(capture);
        }
        launched.map(|_| ())
    }

    /// A launch as work, its function and sizes checked.
    pub(super) fn checked(
        &self,
        handle: Handle,
        shape: Shape,
        parameters: impl Fn(&[(usize, usize)], usize) -> Option<Vec<u8>>,
    ) -> Result<Work, Code> {
        let function = self.function(handle)?;
        shape.check(function)?;
        if shape.cooperative {
            let resident = self.resident(handle, shape.threads(), u64::from(shape.shared))?;
            if shape.blocks() > u64::from(resident) * u64::from(self.card().multiprocessors) {
                return Err(Code::COOPERATIVE_LAUNCH_TOO_LARGE);
            }
        }
        let kernel = Arc::clone(&function.kernel);
        let parameters = parameters(&kernel.parameters, kernel.parameter_bytes).ok_or(Code::INVALID_VALUE)?;
        let launch = Launch {
            grid: shape.grid,
            block: shape.block,
            shared: shape.shared,
            parameters,
            cooperative: shape.cooperative,
        };
        Ok(Work::Kernel { function: handle, kernel, launch })
    }
}
