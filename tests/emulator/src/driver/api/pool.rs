//! Memory pools, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::memory::Pool;
use super::super::state::driver;
use super::api;
use super::pointer::{Client, In, Out};

/// `CU_MEM_LOCATION_TYPE_DEVICE`: what a pool's properties say third; its ordinal is next.
const DEVICE: i32 = 1;

/// Attributes 1 to 3 are ints, the others 64 bits.
fn size(number: u32) -> Result<usize, Code> {
    match number {
        1..=3 => Ok(4),
        4..=8 => Ok(8),
        _ => Err(Code::INVALID_VALUE),
    }
}

fn default(out: Out<Handle>, device: i32) -> Result<(), Code> {
    out.set(driver()?.lock().device(device)?.default_pool)
}

api! {
    fn cuDeviceGetDefaultMemPool(out: Out<Handle>, device: i32) {
        default(out, device)
    }

    fn cuDeviceGetMemPool(out: Out<Handle>, device: i32) {
        default(out, device)
    }

    fn cuDeviceSetMemPool(device: i32, pool: Handle) {
        let state = driver()?.lock();
        let ordinal = state.device(device)?.device.ordinal;
        let own = state.pools.get(pool, Code::INVALID_VALUE)?.device == ordinal;
        if own { Ok(()) } else { Err(Code::INVALID_VALUE) }
    }

    fn cuMemPoolCreate(out: Out<Handle>, properties: In<[i32; 4]>) {
        out.needed()?;
        let mut state = driver()?.lock();
        let pool = match properties.get(0) {
            Some([_, _, DEVICE, ordinal]) => Pool::of(state.device(ordinal)?.device.ordinal),
            _ => Pool::of(0),
        };
        out.set(state.pools.add(pool))
    }

    fn cuMemPoolDestroy(pool: Handle) {
        let mut state = driver()?.lock();
        if state.devices.iter().any(|installed| installed.default_pool == pool) {
            return Err(Code::INVALID_VALUE);
        }
        state.pools.remove(pool, Code::INVALID_VALUE).map(|_| ())
    }

    fn cuMemPoolTrimTo(pool: Handle, _keep: usize) {
        driver()?.lock().pools.get(pool, Code::INVALID_VALUE).map(|_| ())
    }

    fn cuMemPoolGetAttribute(pool: Handle, number: u32, place: Client) {
        let size = size(number)?;
        let value = driver()?.lock().pool_attribute(pool, number)?;
        if place.address() == 0 {
            return Err(Code::INVALID_VALUE);
        }
        place.write(&value.to_le_bytes()[..size]);
        Ok(())
    }

    fn cuMemPoolSetAttribute(pool: Handle, number: u32, place: Client) {
        let size = size(number)?;
        if place.address() == 0 {
            return Err(Code::INVALID_VALUE);
        }
        let mut bytes = [0; 8];
        place.read(&mut bytes[..size]);
        let mut state = driver()?.lock();
        state.pools.get_mut(pool, Code::INVALID_VALUE)?.attributes.insert(number, u64::from_le_bytes(bytes));
        Ok(())
    }

    fn cuMemAllocFromPoolAsync(out: Out<u64>, size: usize, pool: Handle, stream: Handle) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        let owner = state.stream(context, stream).and_then(|stream| state.context_of(stream))?;
        if state.pools.get(pool, Code::INVALID_VALUE)?.device != state.ordinal_of(owner) {
            return Err(Code::NOT_SUPPORTED); // of memory of another device nobody is given access
        }
        out.set(state.allocate_async(context, size as u64, stream)?)
    }
}
