//! Streams and their capture, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use std::ffi::c_void;

use super::super::capture::{Info, Mode};
use super::super::code::Code;
use super::super::handles::Handle;
use super::super::state::driver;
use super::super::work::Work;
use super::api;
use super::pointer::{Callback, In, Out};

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

fn info(stream: Handle, status: Out<u32>) -> Result<Info, Code> {
    let (mut state, context) = driver()?.enter()?;
    status.needed()?;
    let info = state.capture_info(context, stream)?;
    status.set(info.status)?;
    Ok(info)
}

/// `CU_STREAM_SET_CAPTURE_DEPENDENCIES`; 0 adds to them.
const INSTEAD: u32 = 1;

fn depend(stream: Handle, nodes: In<Handle>, count: usize, flags: u32) -> Result<(), Code> {
    let (mut state, context) = driver()?.enter()?;
    if flags > INSTEAD {
        return Err(Code::INVALID_VALUE);
    }
    let nodes = (0..count).map(|at| nodes.get(at).ok_or(Code::INVALID_VALUE)).collect::<Result<Vec<_>, _>>()?;
    state.depend(context, stream, &nodes, flags == INSTEAD)
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
        out.set(state.capture_info(context, stream)?.status)
    }

    fn cuStreamGetCaptureInfo(stream: Handle, status: Out<u32>, id: Out<u64>) {
        let told = info(stream, status)?;
        id.offer(told.id);
        Ok(())
    }

    fn cuStreamGetCaptureInfo_v2(
        stream: Handle, status: Out<u32>, id: Out<u64>, graph: Out<Handle>, nodes: Out<usize>, count: Out<usize>,
    ) {
        let told = info(stream, status)?;
        id.offer(told.id);
        graph.offer(told.graph);
        nodes.offer(told.nodes.0);
        count.offer(told.nodes.1);
        Ok(())
    }

    fn cuStreamGetCaptureInfo_v3(
        stream: Handle, status: Out<u32>, id: Out<u64>, graph: Out<Handle>, nodes: Out<usize>, edges: Out<usize>,
        count: Out<usize>,
    ) {
        let told = info(stream, status)?;
        id.offer(told.id);
        graph.offer(told.graph);
        nodes.offer(told.nodes.0);
        edges.offer(0); // nothing is said of them: all are plain
        count.offer(told.nodes.1);
        Ok(())
    }

    fn cuStreamUpdateCaptureDependencies(stream: Handle, nodes: In<Handle>, count: usize, flags: u32) {
        depend(stream, nodes, count, flags)
    }

    fn cuStreamUpdateCaptureDependencies_v2(
        stream: Handle, nodes: In<Handle>, edges: usize, count: usize, flags: u32,
    ) {
        if edges != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        depend(stream, nodes, count, flags)
    }

    fn cuStreamEndCapture(stream: Handle, out: Out<Handle>) {
        let (mut state, context) = driver()?.enter()?;
        out.needed()?;
        out.offer(Handle::NULL);
        out.set(state.end_capture(context, stream)?)
    }
}
