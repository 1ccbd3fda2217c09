//! Copies and memsets, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::copy::{Copy, End, Fill};
use super::super::handles::Handle;
use super::super::state::driver;
use super::api;
use super::pointer::Client;

fn copy(to: End, from: End, size: usize) -> Result<(), Code> {
    driver()?.copy(&Copy { from, to, size: size as u64 })
}

fn copy_async(to: End, from: End, size: usize, stream: Handle) -> Result<(), Code> {
    driver()?.copy_async(&Copy { from, to, size: size as u64 }, stream)
}

fn fill(address: u64, value: u32, width: u64, count: usize, stream: Option<Handle>) -> Result<(), Code> {
    driver()?.fill(&Fill { address, value, width, count: count as u64 }, stream)
}

api! {
    fn cuMemcpy(to: u64, from: u64, size: usize) {
        copy(End::Either(to), End::Either(from), size)
    }

    fn cuMemcpyAsync(to: u64, from: u64, size: usize, stream: Handle) {
        copy_async(End::Either(to), End::Either(from), size, stream)
    }

    fn cuMemcpyHtoD_v2(to: u64, from: Client, size: usize) {
        copy(End::Device(to), End::Host(from), size)
    }

    fn cuMemcpyHtoDAsync_v2(to: u64, from: Client, size: usize, stream: Handle) {
        copy_async(End::Device(to), End::Host(from), size, stream)
    }

    fn cuMemcpyDtoH_v2(to: Client, from: u64, size: usize) {
        copy(End::Host(to), End::Device(from), size)
    }

    fn cuMemcpyDtoHAsync_v2(to: Client, from: u64, size: usize, stream: Handle) {
        copy_async(End::Host(to), End::Device(from), size, stream)
    }

    fn cuMemcpyDtoD_v2(to: u64, from: u64, size: usize) {
        copy(End::Device(to), End::Device(from), size)
    }

    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, size: usize, stream: Handle) {
        copy_async(End::Device(to), End::Device(from), size, stream)
    }

    fn cuMemcpyPeer(to: u64, _to_context: Handle, from: u64, _from_context: Handle, size: usize) {
        copy(End::Device(to), End::Device(from), size)
    }

    fn cuMemcpyPeerAsync(
        to: u64, _to_context: Handle, from: u64, _from_context: Handle, size: usize, stream: Handle,
    ) {
        copy_async(End::Device(to), End::Device(from), size, stream)
    }

    fn cuMemsetD8_v2(address: u64, value: u8, count: usize) {
        fill(address, value.into(), 1, count, None)
    }

    fn cuMemsetD16_v2(address: u64, value: u16, count: usize) {
        fill(address, value.into(), 2, count, None)
    }

    fn cuMemsetD32_v2(address: u64, value: u32, count: usize) {
        fill(address, value, 4, count, None)
    }

    fn cuMemsetD8Async(address: u64, value: u8, count: usize, stream: Handle) {
        fill(address, value.into(), 1, count, Some(stream))
    }

    fn cuMemsetD16Async(address: u64, value: u16, count: usize, stream: Handle) {
        fill(address, value.into(), 2, count, Some(stream))
    }

    fn cuMemsetD32Async(address: u64, value: u32, count: usize, stream: Handle) {
        fill(address, value, 4, count, Some(stream))
    }
}
