//! Launches, as C calls them: parameters are copied out of the client's memory here.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::launch::Shape;
use super::super::state::driver;
use super::api;
use super::pointer::{Client, In};

/// Where parameters are: a pointer to each, or all in one buffer.
pub(super) struct Parameters {
    pub(super) each: In<Client>,
    pub(super) extra: In<usize>,
}

/// Keys of `extra`: what follows is the buffer, or a pointer to its size.
const END: usize = 0;
const BUFFER: usize = 1;
const BUFFER_SIZE: usize = 2;

impl Parameters {
    /// The block of parameters, laid out as the kernel wants them.
    pub(super) fn block(&self, layout: &[(usize, usize)], size: usize) -> Option<Vec<u8>> {
        let mut block = vec![0; size];
        if layout.is_empty() {
            return Some(block);
        }
        if self.each.get(0).is_none() {
            self.buffer()?.read(&mut block);
            return Some(block);
        }
        for (at, (offset, size)) in layout.iter().enumerate() {
            let pointer = self.each.get(at).filter(|pointer| pointer.address() != 0)?;
            pointer.read(&mut block[*offset..offset + size]);
        }
        Some(block)
    }

    fn buffer(&self) -> Option<Client> {
        let mut buffer = None;
        for at in (0..).step_by(2) {
            match self.extra.get(at)? {
                END => break,
                BUFFER => buffer = Some(Client::at(self.extra.get(at + 1)?)),
                BUFFER_SIZE => {}
                _ => return None,
            }
        }
        buffer.filter(|buffer| buffer.address() != 0)
    }
}

fn launch(function: Handle, shape: Shape, stream: Handle, parameters: &Parameters) -> Result<(), Code> {
    let (mut state, context) = driver()?.enter()?;
    state.launch(context, function, shape, stream, |layout, size| parameters.block(layout, size))
}

/// `CUlaunchConfig`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LaunchConfig {
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    stream: Handle,
    attributes: In<LaunchAttribute>,
    count: u32,
}

/// `CUlaunchAttribute`: a number and a union of 64 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct LaunchAttribute {
    number: u32,
    pad: u32,
    value: [u32; 16],
}

/// Numbers of attributes that change what a launch does. Others are hints.
const COOPERATIVE: u32 = 2;
const CLUSTER: u32 = 4;

api! {
    fn cuLaunchKernel(
        function: Handle, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32,
        shared: u32, stream: Handle, each: In<Client>, extra: In<usize>,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        launch(function, Shape { grid, block, shared, cooperative: false }, stream, &Parameters { each, extra })
    }

    fn cuLaunchCooperativeKernel(
        function: Handle, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32,
        shared: u32, stream: Handle, each: In<Client>,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let parameters = Parameters { each, extra: In::NULL };
        launch(function, Shape { grid, block, shared, cooperative: true }, stream, &parameters)
    }

    fn cuLaunchKernelEx(config: In<LaunchConfig>, function: Handle, each: In<Client>, extra: In<usize>) {
        let config = config.get(0).ok_or(Code::INVALID_VALUE)?;
        let mut cooperative = false;
        for at in 0..config.count as usize {
            let attribute = config.attributes.get(at).ok_or(Code::INVALID_VALUE)?;
            match attribute.number {
                COOPERATIVE => cooperative = attribute.value[0] != 0,
                CLUSTER if attribute.value[..3] != [1; 3] => return Err(Code::NOT_SUPPORTED),
                _ => {}
            }
        }
        let shape = Shape { grid: config.grid, block: config.block, shared: config.shared, cooperative };
        launch(function, shape, config.stream, &Parameters { each, extra })
    }
}
