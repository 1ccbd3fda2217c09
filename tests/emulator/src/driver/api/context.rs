//! Contexts, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::context::{current, pop, push, set_current};
use super::super::handles::Handle;
use super::super::state::driver;
use super::super::stream::PRIORITIES;
use super::api;
use super::pointer::{In, Out};

/// What contexts say that they were made for.
const API_VERSION: u32 = 3020;

fn create(out: Out<Handle>, flags: u32, device: i32) -> Result<(), Code> {
    let mut state = driver()?.lock();
    state.device(device)?;
    out.needed()?;
    out.set(state.create_context(device, flags)?)
}

/// A context that is there, or was.
fn known(context: Handle) -> Result<(), Code> {
    let state = driver()?.lock();
    state.device_of(context).present()?;
    match state.contexts.get(context, Code::CONTEXT_IS_DESTROYED).err() {
        Some(Code::INVALID_HANDLE) => Err(Code::INVALID_CONTEXT),
        _ => Ok(()), // a destroyed one can be made current, as recorded: what is called then fails
    }
}

api! {
    fn cuDevicePrimaryCtxRetain(out: Out<Handle>, device: i32) {
        let mut state = driver()?.lock();
        state.device(device)?;
        out.needed()?;
        out.set(state.retain_primary(device)?)
    }

    fn cuDevicePrimaryCtxRelease_v2(device: i32) {
        driver()?.release_primary(device)
    }

    fn cuDevicePrimaryCtxReset_v2(device: i32) {
        driver()?.reset_primary(device)
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: i32, flags: u32) {
        let mut state = driver()?.lock();
        let primary = state.device(device)?.primary;
        state.set_flags(primary, flags)
    }

    fn cuDevicePrimaryCtxGetState(device: i32, flags: Out<u32>, active: Out<i32>) {
        let (now, live) = driver()?.lock().primary_state(device)?;
        flags.set(now)?;
        active.set(i32::from(live))
    }

    fn cuCtxCreate_v2(out: Out<Handle>, flags: u32, device: i32) {
        create(out, flags, device)
    }

    fn cuCtxCreate_v3(out: Out<Handle>, _affinities: usize, count: i32, flags: u32, device: i32) {
        if count != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        create(out, flags, device)
    }

    fn cuCtxCreate_v4(out: Out<Handle>, parameters: In<[usize; 3]>, flags: u32, device: i32) {
        // affinities, their number, parameters of graphics: none is understood
        if parameters.get(0).is_some_and(|given| given != [0; 3]) {
            return Err(Code::NOT_SUPPORTED);
        }
        create(out, flags, device)
    }

    fn cuCtxDestroy_v2(context: Handle) {
        driver()?.destroy_context(context)
    }

    fn cuCtxGetCurrent(out: Out<Handle>) {
        driver()?;
        out.set(current().unwrap_or(Handle::NULL))
    }

    fn cuCtxSetCurrent(context: Handle) {
        if context != Handle::NULL {
            known(context)?;
        }
        driver()?;
        set_current(context);
        Ok(())
    }

    fn cuCtxPushCurrent_v2(context: Handle) {
        known(context)?;
        push(context);
        Ok(())
    }

    fn cuCtxPopCurrent_v2(out: Out<Handle>) {
        driver()?;
        out.offer(pop()?);
        Ok(())
    }

    fn cuCtxGetDevice(out: Out<i32>) {
        let state = driver()?.lock();
        let context = current().ok_or(Code::INVALID_CONTEXT)?;
        out.set(state.ordinal_of(context) as i32)
    }

    fn cuCtxSynchronize() {
        driver()?.synchronise_context()
    }

    fn cuCtxGetFlags(out: Out<u32>) {
        let (state, context) = driver()?.enter()?;
        out.set(state.contexts.find(context).map_or(0, |context| context.flags))
    }

    fn cuCtxSetFlags(flags: u32) {
        let (mut state, context) = driver()?.enter()?;
        state.set_flags(context, flags)
    }

    fn cuCtxGetApiVersion(context: Handle, out: Out<u32>) {
        if context == Handle::NULL {
            driver()?.check()?;
        } else {
            known(context)?;
        }
        out.set(API_VERSION)
    }

    fn cuCtxGetLimit(out: Out<usize>, limit: u32) {
        let (state, context) = driver()?.enter()?;
        out.set(state.limit(context, limit)? as usize)
    }

    fn cuCtxSetLimit(limit: u32, value: usize) {
        let (mut state, context) = driver()?.enter()?;
        state.set_limit(context, limit, value as u64)
    }

    fn cuCtxGetCacheConfig(out: Out<u32>) {
        let (state, context) = driver()?.enter()?;
        out.set(state.contexts.find(context).map_or(0, |context| context.cache))
    }

    fn cuCtxSetCacheConfig(config: u32) {
        let (mut state, context) = driver()?.enter()?;
        state.contexts.get_mut(context, Code::CONTEXT_IS_DESTROYED)?.cache = config;
        Ok(())
    }

    fn cuCtxGetSharedMemConfig(out: Out<u32>) {
        driver()?.check()?;
        out.set(1) // banks of four bytes: cards of today have no others
    }

    fn cuCtxSetSharedMemConfig(_config: u32) {
        driver()?.check()
    }

    fn cuCtxResetPersistingL2Cache() {
        driver()?.check()
    }

    fn cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) {
        driver()?.check()?;
        least.offer(PRIORITIES.0);
        greatest.offer(PRIORITIES.1);
        Ok(())
    }
}
