//! Streams and their capture, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use std::ffi::c_void;

use super::super::capture::Mode;
use super::super::code::Code;
use super::super::handles::Handle;
use super::super::state::driver;
use super::super::work::Work;
use super::api;
use super::pointer::{Callback, Out};

fn begin(stream: Handle, mode: u32) -> Result<(), Code> {
    let (mut state, context) = driver()?.enter()?;
    state.begin_capture(context, stream, Mode::new(mode)?)
}

fn call(stream: Handle, callback: Callback) -> Result<(), Code> {
    let (mut state, context) = driver()?.enter()?;
    let stream = state.stream(context, stream)?;
    state.submit(stream, Work::Call(callback), &[]).map(|_| ())
}

fn create(out: Out<Handle>, flags: u32, priority: i32) -> Result<(), Code> {
    let (mut state, context) = driver()?.enter()?;
    out.needed()?;
    out.set(state.create_stream(context, flags, priority)?)
}

api! {
    fn cuStreamCreate(out: Out<Handle>, flags: u32) {
        create(out, flags, 0)
    }

    fn cuStreamCreateWithPriority(out: Out<Handle>, flags: u32, priority: i32) {
        create(out, flags, priority)
    }

    fn cuStreamDestroy_v2(stream: Handle) {
        let (mut state, context) = driver()?.enter()?;
        state.destroy_stream(context, stream)
    }

    fn cuStreamQuery(stream: Handle) {
        driver()?.query_stream(stream)
    }

    fn cuStreamSynchronize(stream: Handle) {
        driver()?.synchronise_stream(stream)
    }

    fn cuStreamWaitEvent(stream: Handle, event: Handle, _flags: u32) {
        let (mut state, context) = driver()?.enter()?;
        state.wait_for_event(context, stream, event)
    }

    fn cuStreamGetPriority(stream: Handle, out: Out<i32>) {
        let (mut state, context) = driver()?.enter()?;
        let stream = state.stream(context, stream)?;
        out.set(state.streams.find(stream).map_or(0, |stream| stream.priority))
    }

    fn cuStreamGetFlags(stream: Handle, out: Out<u32>) {
        let (mut state, context) = driver()?.enter()?;
        let stream = state.stream(context, stream)?;
        out.set(state.streams.find(stream).map_or(0, |stream| stream.flags()))
    }

    fn cuStreamGetCtx(stream: Handle, out: Out<Handle>) {
        let (mut state, context) = driver()?.enter()?;
        let stream = state.stream(context, stream)?;
        out.set(state.streams.find(stream).map_or(Handle::NULL, |stream| stream.context))
    }

    fn cuStreamGetId(stream: Handle, out: Out<u64>) {
        let (mut state, context) = driver()?.enter()?;
        out.set(state.stream(context, stream)?.0 as u64)
    }

    fn cuLaunchHostFunc(stream: Handle, function: Option<unsafe extern "C" fn(*mut c_void)>, data: usize) {
        call(stream, Callback::host(function, data)?)
    }

    fn cuStreamAddCallback(
        stream: Handle,
        function: Option<unsafe extern "C" fn(usize, Code, *mut c_void)>,
        data: usize,
        _flags: u32,
    ) {
        call(stream, Callback::stream(function, stream.0, data)?)
    }

    fn cuStreamBeginCapture(stream: Handle) {
        begin(stream, 0)
    }

    fn cuStreamBeginCapture_v2(stream: Handle, mode: u32) {
        begin(stream, mode)
    }

    fn cuThreadExchangeStreamCaptureMode(mode: Out<u32>) {
        driver()?;
        let wanted = Mode::new(mode.read().get(0).ok_or(Code::INVALID_VALUE)?)?;
        mode.set(wanted.exchange())
    }

    fn cuStreamIsCapturing(stream: Handle, out: Out<u32>) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        out.set(state.capture_status(context, stream)?.0)
    }

    fn cuStreamGetCaptureInfo_v2(
        stream: Handle, status: Out<u32>, id: Out<u64>, graph: Out<Handle>, nodes: Out<usize>, count: Out<usize>,
    ) {
        let (mut state, context) = driver()?.enter()?;
        let (now, capture) = state.capture_status(context, stream)?;
        status.set(now)?;
        id.offer(capture);
        // The graph comes to be when the capture ends.
        graph.offer(Handle::NULL);
        nodes.offer(0);
        count.offer(0);
        Ok(())
    }

    fn cuStreamEndCapture(stream: Handle, out: Out<Handle>) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        out.offer(Handle::NULL);
        out.set(state.end_capture(context, stream)?)
    }
}
