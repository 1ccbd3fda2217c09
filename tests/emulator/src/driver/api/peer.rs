//! Access of one device to another's memory, as C calls it: there is none.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::state::driver;
use super::api;
use super::pointer::Out;

/// `CU_DEVICE_P2P_ATTRIBUTE_…`: rank of performance, access, atomics, arrays, and parts of atomics.
const ATTRIBUTES: std::ops::RangeInclusive<u32> = 1..=5;

/// Another context than the current one, which is there.
fn other(peer: Handle) -> Result<(), Code> {
    let (state, context) = driver()?.enter()?;
    if peer == context {
        return Err(Code::INVALID_CONTEXT);
    }
    state.usable(peer).map_err(|code| if code == Code::INVALID_HANDLE { Code::INVALID_CONTEXT } else { code })
}

api! {
    fn cuDeviceCanAccessPeer(out: Out<i32>, one: i32, other: i32) {
        let state = driver()?.lock();
        state.device(one)?;
        state.device(other)?;
        out.set(0)
    }

    fn cuDeviceGetP2PAttribute(out: Out<i32>, number: u32, one: i32, other: i32) {
        let state = driver()?.lock();
        state.device(one)?;
        state.device(other)?;
        if one == other {
            return Err(Code::INVALID_DEVICE);
        }
        if !ATTRIBUTES.contains(&number) {
            return Err(Code::INVALID_VALUE);
        }
        out.set(0)
    }

    fn cuCtxEnablePeerAccess(peer: Handle, flags: u32) {
        other(peer)?;
        if flags != 0 {
            return Err(Code::INVALID_VALUE);
        }
        Err(Code::PEER_ACCESS_UNSUPPORTED)
    }

    fn cuCtxDisablePeerAccess(peer: Handle) {
        other(peer)?;
        Err(Code::PEER_ACCESS_NOT_ENABLED)
    }
}
