//! Functions and occupancy, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::state::driver;
use super::api;
use super::pointer::{Out, SharedOfBlock, shared_of_block};

fn resident(out: Out<i32>, function: Handle, threads: i32, shared: usize) -> Result<(), Code> {
    let (state, _) = driver()?.enter()?;
    let threads = u32::try_from(threads).map_err(|_| Code::INVALID_VALUE)?;
    out.set(state.resident(function, threads, shared as u64)? as i32)
}

fn potential(
    (grid, block): (Out<i32>, Out<i32>),
    function: Handle,
    of_block: SharedOfBlock,
    shared: usize,
    limit: i32,
) -> Result<(), Code> {
    let (state, _) = driver()?.enter()?;
    let limit = u32::try_from(limit).map_err(|_| Code::INVALID_VALUE)?;
    let needed = |threads| shared_of_block(of_block, threads).unwrap_or(shared) as u64;
    let (blocks, threads) = state.potential_block(function, needed, limit)?;
    grid.set(blocks as i32)?;
    block.set(threads as i32)
}

api! {
    fn cuFuncGetAttribute(out: Out<i32>, number: u32, function: Handle) {
        let (state, _) = driver()?.enter()?;
        out.set(state.function_attribute(function, number)?)
    }

    fn cuFuncSetAttribute(function: Handle, number: u32, value: i32) {
        let (mut state, _) = driver()?.enter()?;
        state.set_function_attribute(function, number, value)
    }

    fn cuFuncSetCacheConfig(function: Handle, _config: u32) {
        let (state, _) = driver()?.enter()?;
        state.function(function).map(|_| ())
    }

    fn cuFuncSetSharedMemConfig(function: Handle, _config: u32) {
        let (state, _) = driver()?.enter()?;
        state.function(function).map(|_| ())
    }

    fn cuFuncGetModule(out: Out<Handle>, function: Handle) {
        let (state, _) = driver()?.enter()?;
        out.set(state.function(function)?.module)
    }

    fn cuFuncGetParamInfo(function: Handle, index: usize, offset: Out<usize>, size: Out<usize>) {
        let (state, _) = driver()?.enter()?;
        let kernel = &state.function(function)?.kernel;
        let (at, bytes) = kernel.parameters.get(index).ok_or(Code::INVALID_VALUE)?;
        offset.set(*at)?;
        size.offer(*bytes);
        Ok(())
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(out: Out<i32>, function: Handle, threads: i32, shared: usize) {
        resident(out, function, threads, shared)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        out: Out<i32>, function: Handle, threads: i32, shared: usize, _flags: u32,
    ) {
        resident(out, function, threads, shared)
    }

    fn cuOccupancyMaxPotentialBlockSize(
        grid: Out<i32>, block: Out<i32>, function: Handle, of_block: SharedOfBlock, shared: usize, limit: i32,
    ) {
        potential((grid, block), function, of_block, shared, limit)
    }

    fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: Out<i32>, block: Out<i32>, function: Handle, of_block: SharedOfBlock, shared: usize, limit: i32,
        _flags: u32,
    ) {
        potential((grid, block), function, of_block, shared, limit)
    }

    fn cuOccupancyAvailableDynamicSMemPerBlock(out: Out<usize>, function: Handle, blocks: i32, _threads: i32) {
        let (state, _) = driver()?.enter()?;
        let blocks = u32::try_from(blocks).map_err(|_| Code::INVALID_VALUE)?;
        out.set(state.available_shared(function, blocks)? as usize)
    }
}
