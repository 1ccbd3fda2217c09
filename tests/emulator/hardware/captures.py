"""Stream capture and graphs: what ends a capture, what goes unnoticed, and what a fault inside a graph does."""

import ctypes
import threading
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64, c_void_p

from calls import CASES, DYNAMIC_SHARED, GLOBAL, HEAD, NON_BLOCKING, RELAXED, THREAD_LOCAL, case


def capture(log, mode=THREAD_LOCAL, flags=NON_BLOCKING):
    stream = log.stream(flags)
    log("cuStreamBeginCapture_v2", stream, mode)
    return stream


def finish(log, *streams):
    for stream in streams:
        status = c_int(-1)
        log("cuStreamIsCapturing", stream, byref(status))
        log.say("capture status", status.value)
        graph = c_void_p()
        log("cuStreamEndCapture", stream, byref(graph))
        log.say("a graph came back", bool(graph.value))


def during(name, act, mode=THREAD_LOCAL, flags=NON_BLOCKING):
    """A case that does one thing while a stream is captured."""

    def run(log):
        log.good, log.function, log.early = log.alloc(), log.kernel("empty"), log.event()
        stream = capture(log, mode, flags)
        log.launch("empty", stream=stream)
        act(log, stream)
        finish(log, stream)
        log("cuCtxSynchronize")

    CASES[f"capture_{name}"] = run


BYTE = ctypes.create_string_buffer(64)
during("and_nothing_else", lambda log, s: None)
during("and_stream_synchronize", lambda log, s: log("cuStreamSynchronize", s))
during("and_stream_query", lambda log, s: log("cuStreamQuery", s))
during("and_begin_again", lambda log, s: log("cuStreamBeginCapture_v2", s, THREAD_LOCAL))
for MODE, WORD in ((GLOBAL, "global"), (THREAD_LOCAL, "thread_local"), (RELAXED, "relaxed")):
    during(f"{WORD}_and_context_synchronize", lambda log, s: log("cuCtxSynchronize"), MODE)
    during(f"{WORD}_and_alloc", lambda log, s: log("cuMemAlloc_v2", byref(c_uint64()), c_size_t(16)), MODE)
    during(f"{WORD}_and_free", lambda log, s: log("cuMemFree_v2", log.good), MODE)
    during(f"{WORD}_and_synchronous_copy", lambda log, s: log("cuMemcpyHtoD_v2", log.good, BYTE, c_size_t(16)), MODE)
    during(f"{WORD}_and_load_module", lambda log, s: log("cuModuleLoadData", byref(c_void_p()), HEAD + b"\0"), MODE)
    during(f"{WORD}_and_get_function", lambda log, s: log("cuModuleGetFunction", byref(c_void_p()), log.module, b"store"), MODE)
    during(f"{WORD}_and_null_stream_launch", lambda log, s: log.launch("empty", note="on the null stream"), MODE)
    during(f"{WORD}_blocking_and_null_stream_launch", lambda log, s: log.launch("empty", note="on the null stream"), MODE, 0)
    during(f"{WORD}_and_event_query_of_another", lambda log, s: log("cuEventQuery", log.early), MODE)
during("and_pageable_copy", lambda log, s: log("cuMemcpyHtoDAsync_v2", log.good, BYTE, c_size_t(16), s))
during("and_memset", lambda log, s: log("cuMemsetD8Async", log.good, ctypes.c_ubyte(0), c_size_t(16), s))
during("and_bad_launch", lambda log, s: log.launch("empty", block=(2048, 1, 1), stream=s, note="2048 threads"))
during("and_destroy_stream", lambda log, s: log("cuStreamDestroy_v2", s))
during("and_alloc_async", lambda log, s: log("cuMemAllocAsync", byref(c_uint64()), c_size_t(16), s))


@case
def capture_null_stream(log):
    log("cuStreamBeginCapture_v2", None, THREAD_LOCAL)


@case
def capture_end_without_begin(log):
    log("cuStreamEndCapture", log.stream(), byref(c_void_p()))


@case
def capture_unjoined(log):
    log.kernel("empty")
    other, event = log.stream(), log.event()
    stream = capture(log)
    log.launch("empty", stream=stream)
    log("cuEventRecord", event, stream)
    log("cuStreamWaitEvent", other, event, c_uint(0))
    log.launch("empty", stream=other, note="on the forked stream")
    finish(log, stream, other)


@case
def capture_joined(log):
    log.kernel("empty")
    other, event, back = log.stream(), log.event(), log.event()
    stream = capture(log)
    log.launch("empty", stream=stream)
    log("cuEventRecord", event, stream)
    log("cuStreamWaitEvent", other, event, c_uint(0))
    log.launch("empty", stream=other, note="on the forked stream")
    log("cuEventRecord", back, other)
    log("cuStreamWaitEvent", stream, back, c_uint(0))
    finish(log, stream)


@case
def capture_ended_on_the_forked_stream(log):
    log.kernel("empty")
    other, event = log.stream(), log.event()
    stream = capture(log)
    log("cuEventRecord", event, stream)
    log("cuStreamWaitEvent", other, event, c_uint(0))
    log("cuStreamEndCapture", other, byref(c_void_p()), note="on the forked stream")
    finish(log, stream)


def captured_event(name, act):
    """A case that uses an event recorded in a capture, or before it, while the capture goes on."""

    def run(log):
        log.kernel("empty")
        event, early, fresh = log.event(), log.event(), log.stream()
        log("cuEventRecord", early, fresh)
        log("cuStreamSynchronize", fresh)
        stream = capture(log)
        log.launch("empty", stream=stream)
        log("cuEventRecord", event, stream)
        act(log, stream, event, early, fresh)
        finish(log, stream)
        log("cuEventQuery", event, note="captured, after the capture")
        log("cuEventSynchronize", event, note="captured, after the capture")

    CASES[f"capture_{name}"] = run


captured_event("and_event_query", lambda log, s, event, early, fresh: log("cuEventQuery", event, note="captured"))
captured_event("and_event_synchronize", lambda log, s, event, early, fresh: log("cuEventSynchronize", event, note="captured"))
captured_event("and_wait_for_an_early_event", lambda log, s, event, early, fresh: log("cuStreamWaitEvent", s, early, c_uint(0), note="recorded before the capture"))
captured_event("and_query_of_another_stream", lambda log, s, event, early, fresh: log("cuStreamQuery", fresh, note="not captured"))
captured_event("and_synchronize_another_stream", lambda log, s, event, early, fresh: log("cuStreamSynchronize", fresh, note="not captured"))
captured_event("and_launch_on_another_stream", lambda log, s, event, early, fresh: log.launch("empty", stream=fresh, note="not captured"))
captured_event("and_event_destroy", lambda log, s, event, early, fresh: log("cuEventDestroy_v2", early, note="recorded before the capture"))
captured_event("and_event_create", lambda log, s, event, early, fresh: log("cuEventCreate", byref(c_void_p()), c_uint(0)))
captured_event("and_stream_create", lambda log, s, event, early, fresh: log("cuStreamCreate", byref(c_void_p()), c_uint(1)))
captured_event("and_pinned_alloc", lambda log, s, event, early, fresh: log("cuMemHostAlloc", byref(c_void_p()), c_size_t(64), c_uint(0)))
captured_event("and_mem_get_info", lambda log, s, event, early, fresh: log("cuMemGetInfo_v2", byref(c_size_t()), byref(c_size_t())))
captured_event("and_function_attribute", lambda log, s, event, early, fresh: log("cuFuncSetAttribute", log.kernel("dynamic"), DYNAMIC_SHARED, 65536))


@case
def capture_two_merged(log):
    log.kernel("empty")
    event = log.event()
    one, two = capture(log), capture(log)
    log.launch("empty", stream=one)
    log("cuEventRecord", event, one)
    log("cuStreamWaitEvent", two, event, c_uint(0), note="of another capture")
    finish(log, one, two)


@case
def capture_from_another_thread(log):
    log.kernel("empty")
    stream = capture(log)

    def other():
        log("cuCtxSetCurrent", log.context)
        log.launch("empty", stream=stream, note="from another thread")
        log("cuStreamEndCapture", stream, byref(c_void_p()), note="from another thread")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    finish(log, stream)


@case
def capture_while_another_thread_allocates(log):
    for mode in (GLOBAL, THREAD_LOCAL, RELAXED):
        stream = capture(log, mode)

        def other():
            log("cuCtxSetCurrent", log.context)
            log("cuMemAlloc_v2", byref(c_uint64()), c_size_t(16), note="in another thread")
            log("cuCtxSynchronize", note="in another thread")

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        finish(log, stream)


@case
def graphs(log):
    log.kernel("empty")
    stream, graph, executable, count = log.stream(), c_void_p(), c_void_p(), c_size_t()
    log("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)
    for _ in range(3):
        log.launch("empty", stream=stream)
    log("cuStreamEndCapture", stream, byref(graph))
    log("cuGraphGetNodes", graph, None, byref(count))
    log.say("nodes", count.value)
    log("cuGraphInstantiateWithFlags", byref(executable), graph, c_uint64(0))
    log("cuGraphLaunch", executable, stream)
    log("cuGraphLaunch", executable, stream, note="again, before the first is done")
    log("cuGraphLaunch", executable, None, note="on the null stream")
    log("cuGraphUpload", executable, stream)
    log("cuGraphDestroy", graph)
    log("cuGraphLaunch", executable, stream, note="after its graph is destroyed")
    log("cuGraphLaunch", None, stream, note="null")
    log("cuStreamSynchronize", stream)
    log("cuGraphExecDestroy", executable)
    empty = c_void_p()
    log("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)
    log("cuStreamEndCapture", stream, byref(empty), note="of nothing")
    log.say("a graph came back", bool(empty.value))
    log("cuGraphInstantiateWithFlags", byref(executable), empty, c_uint64(0), note="of nothing")
    log("cuGraphLaunch", executable, stream, note="of nothing")
    log("cuGraphInstantiateWithFlags", byref(executable), None, c_uint64(0), note="null graph")
    log("cuCtxSynchronize")


@case
def graph_that_faults(log):
    log.kernel("store")
    stream, graph, executable = log.stream(), c_void_p(), c_void_p()
    log("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)
    log.launch("store", c_uint64(0x10), c_uint(1), stream=stream)
    log("cuStreamEndCapture", stream, byref(graph))
    log("cuGraphInstantiateWithFlags", byref(executable), graph, c_uint64(0))
    log("cuGraphLaunch", executable, stream)
    log("cuStreamSynchronize", stream)
    log("cuGraphLaunch", executable, stream, note="again")
    log("cuGraphExecDestroy", executable)
    log("cuGraphDestroy", graph)
