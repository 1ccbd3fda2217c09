//! Events, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::state::driver;
use super::api;
use super::pointer::Out;

fn elapsed(out: Out<f32>, start: Handle, end: Handle) -> Result<(), Code> {
    let (state, _) = driver()?.enter()?;
    out.set(state.elapsed(start, end)?)
}

fn record(event: Handle, stream: Handle) -> Result<(), Code> {
    let (mut state, context) = driver()?.enter()?;
    state.record_event(context, event, stream)
}

api! {
    fn cuEventCreate(out: Out<Handle>, flags: u32) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        out.set(state.create_event(context, flags)?)
    }

    fn cuEventDestroy_v2(event: Handle) {
        let (mut state, _) = driver()?.enter()?;
        state.destroy_event(event)
    }

    fn cuEventRecord(event: Handle, stream: Handle) {
        record(event, stream)
    }

    fn cuEventRecordWithFlags(event: Handle, stream: Handle, _flags: u32) {
        record(event, stream)
    }

    fn cuEventQuery(event: Handle) {
        driver()?.query_event(event)
    }

    fn cuEventSynchronize(event: Handle) {
        driver()?.synchronise_event(event)
    }

    fn cuEventElapsedTime(out: Out<f32>, start: Handle, end: Handle) {
        elapsed(out, start, end)
    }

    fn cuEventElapsedTime_v2(out: Out<f32>, start: Handle, end: Handle) {
        elapsed(out, start, end)
    }
}
