//! Stream capture and graphs: `hardware/captures.py`.

use cuda_emulator::driver::handles::Handle;
use cuda_emulator::driver::pointer::{Client, Image, Out, Text};

use crate::Case;
use crate::log::{DYNAMIC_SHARED, GLOBAL, HEAD, Log, NON_BLOCKING, NULL, RELAXED, THREAD_LOCAL, call, nowhere};

/// What is done while a stream is captured; the allocation and the event were there before.
type During = fn(&mut Log, Handle, u64, Handle);

/// What is done with an event of the capture, one recorded before it, and a stream that is not captured.
type WithEvent = fn(&mut Log, Handle, Handle, Handle, Handle);

const MODES: [(u32, &str); 3] = [(GLOBAL, "global"), (THREAD_LOCAL, "thread_local"), (RELAXED, "relaxed")];

/// Done in captures of each mode.
const IN_EACH_MODE: &[(&str, u32, During)] = &[
    ("and_context_synchronize", NON_BLOCKING, |log, _, _, _| {
        call!(log, cuCtxSynchronize());
    }),
    ("and_alloc", NON_BLOCKING, |log, _, _, _| {
        call!(log, cuMemAlloc_v2(Out::from(&mut 0), 16));
    }),
    ("and_free", NON_BLOCKING, |log, _, good, _| {
        call!(log, cuMemFree_v2(good));
    }),
    ("and_synchronous_copy", NON_BLOCKING, |log, _, good, _| {
        call!(log, cuMemcpyHtoD_v2(good, bytes(), 16));
    }),
    ("and_load_module", NON_BLOCKING, |log, _, _, _| {
        call!(log, cuModuleLoadData(nowhere(), Image::from(format!("{HEAD}\0").as_bytes())));
    }),
    ("and_get_function", NON_BLOCKING, |log, _, _, _| {
        call!(log, cuModuleGetFunction(nowhere(), log.module, Text::from(c"store")));
    }),
    ("and_null_stream_launch", NON_BLOCKING, |log, _, _, _| {
        log.launch("empty").note("on the null stream").run();
    }),
    ("blocking_and_null_stream_launch", 0, |log, _, _, _| {
        log.launch("empty").note("on the null stream").run();
    }),
    ("and_event_query_of_another", NON_BLOCKING, |log, _, _, early| {
        call!(log, cuEventQuery(early));
    }),
];

const IN_ONE: &[(&str, During)] = &[
    ("and_nothing_else", |_, _, _, _| {}),
    ("and_stream_synchronize", |log, stream, _, _| {
        call!(log, cuStreamSynchronize(stream));
    }),
    ("and_stream_query", |log, stream, _, _| {
        call!(log, cuStreamQuery(stream));
    }),
    ("and_begin_again", |log, stream, _, _| {
        call!(log, cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
    }),
    ("and_pageable_copy", |log, stream, good, _| {
        call!(log, cuMemcpyHtoDAsync_v2(good, bytes(), 16, stream));
    }),
    ("and_memset", |log, stream, good, _| {
        call!(log, cuMemsetD8Async(good, 0, 16, stream));
    }),
    ("and_bad_launch", |log, stream, _, _| {
        log.launch("empty").threads(2048).on(stream).note("2048 threads").run();
    }),
    ("and_destroy_stream", |log, stream, _, _| {
        call!(log, cuStreamDestroy_v2(stream));
    }),
    ("and_alloc_async", |log, stream, _, _| {
        call!(log, cuMemAllocAsync(Out::from(&mut 0), 16, stream));
    }),
];

const WITH_EVENT: &[(&str, WithEvent)] = &[
    ("and_event_query", |log, _, event, _, _| {
        call!(log, cuEventQuery(event), "captured");
    }),
    ("and_event_synchronize", |log, _, event, _, _| {
        call!(log, cuEventSynchronize(event), "captured");
    }),
    ("and_wait_for_an_early_event", |log, stream, _, early, _| {
        call!(log, cuStreamWaitEvent(stream, early, 0), "recorded before the capture");
    }),
    ("and_query_of_another_stream", |log, _, _, _, fresh| {
        call!(log, cuStreamQuery(fresh), "not captured");
    }),
    ("and_synchronize_another_stream", |log, _, _, _, fresh| {
        call!(log, cuStreamSynchronize(fresh), "not captured");
    }),
    ("and_launch_on_another_stream", |log, _, _, _, fresh| {
        log.launch("empty").on(fresh).note("not captured").run();
    }),
    ("and_event_destroy", |log, _, _, early, _| {
        call!(log, cuEventDestroy_v2(early), "recorded before the capture");
    }),
    ("and_event_create", |log, _, _, _, _| {
        call!(log, cuEventCreate(nowhere(), 0));
    }),
    ("and_stream_create", |log, _, _, _, _| {
        call!(log, cuStreamCreate(nowhere(), 1));
    }),
    ("and_pinned_alloc", |log, _, _, _, _| {
        call!(log, cuMemHostAlloc(Out::from(&mut 0), 64, 0));
    }),
    ("and_mem_get_info", |log, _, _, _, _| {
        call!(log, cuMemGetInfo_v2(Out::NULL, Out::NULL));
    }),
    ("and_function_attribute", |log, _, _, _, _| {
        let dynamic = log.kernel("dynamic");
        call!(log, cuFuncSetAttribute(dynamic, DYNAMIC_SHARED, 65536));
    }),
];

/// The case of a name, if it is one of these.
pub(crate) fn run(log: &mut Log, name: &str) -> bool {
    let Some(short) = name.strip_prefix("capture_") else { return false };
    if let Some((_, act)) = IN_ONE.iter().find(|(one, _)| *one == short) {
        during(log, THREAD_LOCAL, NON_BLOCKING, *act);
    } else if let Some((_, act)) = WITH_EVENT.iter().find(|(one, _)| *one == short) {
        with_event(log, *act);
    } else {
        let each = MODES.iter().flat_map(|mode| IN_EACH_MODE.iter().map(move |case| (mode, case)));
        let mut each = each.filter(|((_, mode), (one, _, _))| format!("{mode}_{one}") == short);
        let Some(((mode, _), (_, flags, act))) = each.next() else { return false };
        during(log, *mode, *flags, *act);
    }
    true
}

fn bytes() -> Client {
    Client::from(Box::leak(Box::new([0u8; 64])).as_mut_slice())
}

fn begin(log: &mut Log, mode: u32, flags: u32) -> Handle {
    let stream = log.stream(flags);
    call!(log, cuStreamBeginCapture_v2(stream, mode));
    stream
}

fn finish(log: &mut Log, streams: &[Handle]) {
    for stream in streams.iter().copied() {
        let (mut status, mut graph) = (u32::MAX, NULL);
        call!(log, cuStreamIsCapturing(stream, Out::from(&mut status)));
        log.say("capture status", status as i32);
        call!(log, cuStreamEndCapture(stream, Out::from(&mut graph)));
        log.say("a graph came back", graph != NULL);
    }
}

fn during(log: &mut Log, mode: u32, flags: u32, act: During) {
    let (good, _, early) = (log.alloc(4096), log.kernel("empty"), log.event(0));
    let stream = begin(log, mode, flags);
    log.launch("empty").on(stream).run();
    act(log, stream, good, early);
    finish(log, &[stream]);
    call!(log, cuCtxSynchronize());
}

fn with_event(log: &mut Log, act: WithEvent) {
    log.kernel("empty");
    let (event, early, fresh) = (log.event(0), log.event(0), log.stream(NON_BLOCKING));
    call!(log, cuEventRecord(early, fresh));
    call!(log, cuStreamSynchronize(fresh));
    let stream = begin(log, THREAD_LOCAL, NON_BLOCKING);
    log.launch("empty").on(stream).run();
    call!(log, cuEventRecord(event, stream));
    act(log, stream, event, early, fresh);
    finish(log, &[stream]);
    call!(log, cuEventQuery(event), "captured, after the capture");
    call!(log, cuEventSynchronize(event), "captured, after the capture");
}

pub(crate) const CASES: &[Case] = &[
    ("capture_null_stream", |log| {
        call!(log, cuStreamBeginCapture_v2(NULL, THREAD_LOCAL));
    }),
    ("capture_end_without_begin", |log| {
        let stream = log.stream(NON_BLOCKING);
        call!(log, cuStreamEndCapture(stream, nowhere()));
    }),
    ("capture_unjoined", |log| {
        log.kernel("empty");
        let (other, event) = (log.stream(NON_BLOCKING), log.event(0));
        let stream = begin(log, THREAD_LOCAL, NON_BLOCKING);
        log.launch("empty").on(stream).run();
        call!(log, cuEventRecord(event, stream));
        call!(log, cuStreamWaitEvent(other, event, 0));
        log.launch("empty").on(other).note("on the forked stream").run();
        finish(log, &[stream, other]);
    }),
    ("capture_joined", |log| {
        log.kernel("empty");
        let (other, event, back) = (log.stream(NON_BLOCKING), log.event(0), log.event(0));
        let stream = begin(log, THREAD_LOCAL, NON_BLOCKING);
        log.launch("empty").on(stream).run();
        call!(log, cuEventRecord(event, stream));
        call!(log, cuStreamWaitEvent(other, event, 0));
        log.launch("empty").on(other).note("on the forked stream").run();
        call!(log, cuEventRecord(back, other));
        call!(log, cuStreamWaitEvent(stream, back, 0));
        finish(log, &[stream]);
    }),
    ("capture_ended_on_the_forked_stream", |log| {
        log.kernel("empty");
        let (other, event) = (log.stream(NON_BLOCKING), log.event(0));
        let stream = begin(log, THREAD_LOCAL, NON_BLOCKING);
        call!(log, cuEventRecord(event, stream));
        call!(log, cuStreamWaitEvent(other, event, 0));
        call!(log, cuStreamEndCapture(other, nowhere()), "on the forked stream");
        finish(log, &[stream]);
    }),
    ("capture_two_merged", |log| {
        log.kernel("empty");
        let event = log.event(0);
        let (one, two) = (begin(log, THREAD_LOCAL, NON_BLOCKING), begin(log, THREAD_LOCAL, NON_BLOCKING));
        log.launch("empty").on(one).run();
        call!(log, cuEventRecord(event, one));
        call!(log, cuStreamWaitEvent(two, event, 0), "of another capture");
        finish(log, &[one, two]);
    }),
    ("capture_from_another_thread", |log| {
        log.kernel("empty");
        let stream = begin(log, THREAD_LOCAL, NON_BLOCKING);
        elsewhere(log, |log| {
            call!(log, cuCtxSetCurrent(log.context));
            log.launch("empty").on(stream).note("from another thread").run();
            call!(log, cuStreamEndCapture(stream, nowhere()), "from another thread");
        });
        finish(log, &[stream]);
    }),
    ("capture_while_another_thread_allocates", |log| {
        for (mode, _) in MODES {
            let stream = begin(log, mode, NON_BLOCKING);
            elsewhere(log, |log| {
                call!(log, cuCtxSetCurrent(log.context));
                call!(log, cuMemAlloc_v2(Out::from(&mut 0), 16), "in another thread");
                call!(log, cuCtxSynchronize(), "in another thread");
            });
            finish(log, &[stream]);
        }
    }),
    ("graphs", graphs),
    ("graph_that_faults", |log| {
        log.kernel("store");
        let (stream, mut graph, mut executable) = (log.stream(NON_BLOCKING), NULL, NULL);
        call!(log, cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
        log.launch("store").with(0x10).with(1).on(stream).run();
        call!(log, cuStreamEndCapture(stream, Out::from(&mut graph)));
        call!(log, cuGraphInstantiateWithFlags(Out::from(&mut executable), graph, 0));
        call!(log, cuGraphLaunch(executable, stream));
        call!(log, cuStreamSynchronize(stream));
        call!(log, cuGraphLaunch(executable, stream), "again");
        call!(log, cuGraphExecDestroy(executable));
        call!(log, cuGraphDestroy(graph));
    }),
];

/// Does it in another thread, and waits for that.
fn elsewhere(log: &mut Log, act: impl FnOnce(&mut Log) + Send) {
    std::thread::scope(|scope| scope.spawn(|| act(log)).join().unwrap());
}

fn graphs(log: &mut Log) {
    log.kernel("empty");
    let (stream, mut graph, mut executable, mut count) = (log.stream(NON_BLOCKING), NULL, NULL, 0usize);
    call!(log, cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
    for _ in 0..3 {
        log.launch("empty").on(stream).run();
    }
    call!(log, cuStreamEndCapture(stream, Out::from(&mut graph)));
    call!(log, cuGraphGetNodes(graph, Out::NULL, Out::from(&mut count)));
    log.say("nodes", count);
    call!(log, cuGraphInstantiateWithFlags(Out::from(&mut executable), graph, 0));
    call!(log, cuGraphLaunch(executable, stream));
    call!(log, cuGraphLaunch(executable, stream), "again, before the first is done");
    call!(log, cuGraphLaunch(executable, NULL), "on the null stream");
    call!(log, cuGraphUpload(executable, stream));
    call!(log, cuGraphDestroy(graph));
    call!(log, cuGraphLaunch(executable, stream), "after its graph is destroyed");
    call!(log, cuGraphLaunch(NULL, stream), "null");
    call!(log, cuStreamSynchronize(stream));
    call!(log, cuGraphExecDestroy(executable));
    let mut empty = NULL;
    call!(log, cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
    call!(log, cuStreamEndCapture(stream, Out::from(&mut empty)), "of nothing");
    log.say("a graph came back", empty != NULL);
    call!(log, cuGraphInstantiateWithFlags(Out::from(&mut executable), empty, 0), "of nothing");
    call!(log, cuGraphLaunch(executable, stream), "of nothing");
    call!(log, cuGraphInstantiateWithFlags(Out::from(&mut executable), NULL, 0), "null graph");
    call!(log, cuCtxSynchronize());
}
