//! Memory of the device and pinned memory, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::memory::Origin;
use super::super::state::driver;
use super::api;
use super::pointer::{Client, In, Out};

/// Flags of `cuMemHostAlloc`: portable, mapped, write-combined. Memory is always all of the first two, and reading the third is only slow.
const HOST_FLAGS: u32 = 7;

fn pinned(out: Out<usize>, size: usize, flags: u32) -> Result<(), Code> {
    let (mut state, context) = driver()?.enter()?;
    out.needed()?;
    if flags & !HOST_FLAGS != 0 {
        return Err(Code::INVALID_VALUE);
    }
    out.set(state.allocate_now(context, size as u64, Origin::Pinned)? as usize)
}

/// Stores an attribute in as many bytes as it has.
fn store(place: Client, (value, size): (u64, usize)) -> Result<(), Code> {
    if place.address() == 0 {
        return Err(Code::INVALID_VALUE);
    }
    place.write(&value.to_le_bytes()[..size]);
    Ok(())
}

api! {
    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) {
        let (state, context) = driver()?.enter()?;
        let (now, all) = state.memory_info(context);
        free.offer(now as usize);
        total.offer(all as usize);
        Ok(())
    }

    fn cuMemAlloc_v2(out: Out<u64>, size: usize) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        out.set(state.allocate_now(context, size as u64, Origin::Device)?)
    }

    fn cuMemAllocPitch_v2(out: Out<u64>, pitch: Out<usize>, width: usize, height: usize, _element: u32) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        pitch.needed()?;
        let row = width.checked_next_multiple_of(512).ok_or(Code::INVALID_VALUE)?;
        let size = row.checked_mul(height).ok_or(Code::INVALID_VALUE)?;
        out.set(state.allocate_now(context, size as u64, Origin::Device)?)?;
        pitch.set(row)
    }

    fn cuMemFree_v2(address: u64) {
        driver()?.free(address)
    }

    fn cuMemAllocManaged(out: Out<u64>, size: usize, flags: u32) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        if !(1..=4).contains(&flags) {
            return Err(Code::INVALID_VALUE);
        }
        out.set(state.allocate_now(context, size as u64, Origin::Managed)?)
    }

    fn cuMemAllocAsync(out: Out<u64>, size: usize, stream: Handle) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        out.set(state.allocate_async(context, size as u64, stream)?)
    }

    fn cuMemFreeAsync(address: u64, stream: Handle) {
        let (mut state, context) = driver()?.enter()?;
        state.free_async(context, address, stream)
    }

    fn cuMemAllocHost_v2(out: Out<usize>, size: usize) {
        pinned(out, size, 0)
    }

    fn cuMemHostAlloc(out: Out<usize>, size: usize, flags: u32) {
        pinned(out, size, flags)
    }

    fn cuMemFreeHost(address: usize) {
        let (mut state, _) = driver()?.enter()?;
        state.free_host(address as u64)
    }

    fn cuMemHostGetDevicePointer_v2(out: Out<u64>, address: usize, flags: u32) {
        let (state, _) = driver()?.enter()?;
        if flags != 0 {
            return Err(Code::INVALID_VALUE);
        }
        if state.is_registered(address as u64, 1) {
            return Err(Code::NOT_SUPPORTED); // copies use it; kernels cannot
        }
        let found = state.range(address as u64).filter(|(_, owner)| owner.origin == Origin::Pinned);
        found.ok_or(Code::INVALID_VALUE)?;
        out.set(address as u64)
    }

    fn cuMemHostGetFlags(out: Out<u32>, address: usize) {
        let (state, _) = driver()?.enter()?;
        let found = state.range(address as u64).filter(|(_, owner)| owner.origin == Origin::Pinned);
        found.ok_or(Code::INVALID_VALUE)?;
        out.set(2) // mapped
    }

    fn cuMemHostRegister_v2(address: usize, size: usize, _flags: u32) {
        let (mut state, context) = driver()?.enter()?;
        state.register(context, address as u64, size as u64)
    }

    fn cuMemHostUnregister(address: usize) {
        let (mut state, _) = driver()?.enter()?;
        state.unregister(address as u64)
    }

    fn cuMemGetAddressRange_v2(base: Out<u64>, size: Out<usize>, address: u64) {
        let (state, _) = driver()?.enter()?;
        let (start, owner) = state.range(address).ok_or(Code::NOT_FOUND)?;
        base.offer(start);
        size.offer(owner.size as usize);
        Ok(())
    }

    fn cuPointerGetAttribute(place: Client, number: u32, address: u64) {
        let (state, _) = driver()?.enter()?;
        store(place, state.pointer_attribute(number, address)?)
    }

    fn cuPointerGetAttributes(count: u32, numbers: In<u32>, places: In<Client>, address: u64) {
        let (state, _) = driver()?.enter()?;
        for at in 0..count as usize {
            let (number, place) = numbers.get(at).zip(places.get(at)).ok_or(Code::INVALID_VALUE)?;
            // Of memory that it does not know, the driver says nothing is true, and no error.
            store(place, state.pointer_attribute(number, address).unwrap_or((0, 4)))?;
        }
        Ok(())
    }

    fn cuPointerSetAttribute(_value: usize, _number: u32, _address: u64) {
        driver()?.check()
    }

    fn cuMemAdvise(_address: u64, _count: usize, _advice: u32, _device: i32) {
        driver()?.check()
    }

    fn cuMemAdvise_v2(_address: u64, _count: usize, _advice: u32, _location: u64) {
        driver()?.check()
    }

    fn cuMemPrefetchAsync(_address: u64, _count: usize, _device: i32, _stream: Handle) {
        driver()?.check()
    }

    fn cuMemPrefetchAsync_v2(_address: u64, _count: usize, _location: u64, _flags: u32, _stream: Handle) {
        driver()?.check()
    }

    fn cuStreamAttachMemAsync(_stream: Handle, _address: u64, _length: usize, _flags: u32) {
        driver()?.check()
    }
}
