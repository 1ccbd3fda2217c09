"""Memory, streams, events and contexts: what is refused, what is forgiven, what waits for what."""

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p

from calls import FAKE, HEAD, NON_BLOCKING, Log, case


@case
def memory(log):
    pointer, pinned, byte, size = c_uint64(), c_void_p(), ctypes.create_string_buffer(64), c_size_t()
    log("cuMemAlloc_v2", byref(pointer), c_size_t(1 << 50), note="2^50")
    log("cuMemAlloc_v2", byref(pointer), c_size_t(0), note="0 bytes")
    log("cuMemAlloc_v2", None, c_size_t(16), note="null result")
    log("cuMemAlloc_v2", byref(pointer), c_size_t(16), note="after the refusals")
    log.say("alignment of an allocation, a power of two at least", min(pointer.value & -pointer.value, 512))
    log("cuMemFree_v2", c_uint64(pointer.value + 4), note="inside an allocation")
    log("cuMemFree_v2", FAKE, note="never allocated")
    log("cuMemFree_v2", c_uint64(0), note="null")
    log("cuMemFree_v2", pointer)
    log("cuMemFree_v2", pointer, note="twice")
    good = log.alloc(64)
    log("cuMemcpyHtoD_v2", good, byte, c_size_t(0), note="0 bytes")
    log("cuMemcpyHtoD_v2", FAKE, byte, c_size_t(16), note="to unknown")
    log("cuMemcpyDtoH_v2", byte, FAKE, c_size_t(16), note="from unknown")
    log("cuMemcpyDtoD_v2", good, FAKE, c_size_t(16), note="from unknown")
    log("cuMemcpyHtoD_v2", good, None, c_size_t(16), note="from null")
    log("cuMemcpyDtoH_v2", ctypes.create_string_buffer(4096), good, c_size_t(4096), note="4096 of an allocation of 64")
    log("cuMemcpyDtoH_v2", ctypes.create_string_buffer(4 << 20), good, c_size_t(4 << 20), note="4 MiB of an allocation of 64")
    log("cuMemsetD8_v2", FAKE, ctypes.c_ubyte(0), c_size_t(16), note="unknown")
    log("cuMemsetD32_v2", c_uint64(good.value + 2), c_uint(0), c_size_t(4), note="misaligned")
    log("cuMemcpyHtoDAsync_v2", FAKE, byte, c_size_t(16), None, note="to unknown")
    log("cuMemAllocHost_v2", byref(pinned), c_size_t(0), note="0 bytes")
    log("cuMemHostAlloc", byref(pinned), c_size_t(64), c_uint(4), note="write-combined")
    log("cuMemFreeHost", pinned)
    log("cuMemFreeHost", pinned, note="twice")
    log("cuMemFreeHost", byte, note="never pinned")
    log("cuMemGetAddressRange_v2", byref(pointer), byref(size), c_uint64(good.value + 5), note="inside")
    log("cuMemGetAddressRange_v2", byref(pointer), byref(size), FAKE, note="unknown")
    log("cuPointerGetAttribute", byref(c_int()), 2, good, note="memory type")
    log("cuPointerGetAttribute", byref(c_int()), 2, FAKE, note="memory type of unknown")
    log("cuCtxSynchronize")


@case
def memory_async(log):
    stream, pointer = log.stream(), c_uint64()
    log("cuMemAllocAsync", byref(pointer), c_size_t(4096), stream)
    log("cuMemFreeAsync", pointer, stream)
    log("cuMemFreeAsync", pointer, stream, note="twice")
    log("cuMemFreeAsync", FAKE, stream, note="unknown")
    log("cuMemAllocAsync", byref(pointer), c_size_t(1 << 50), stream, note="2^50")
    log("cuMemAllocAsync", byref(pointer), c_size_t(0), stream, note="0 bytes")
    log("cuMemAllocAsync", byref(pointer), c_size_t(4096), stream)
    log("cuMemFree_v2", pointer, note="of an asynchronous allocation")
    log("cuStreamSynchronize", stream)


@case
def busy(log):
    """Answers while a kernel runs."""
    stream, other, before, after = log.stream(), log.stream(), log.event(), log.event()
    untimed, never, elapsed = log.event(2), log.event(), ctypes.c_float()
    log("cuEventRecord", before, stream)
    log.spin(stream)
    log("cuEventRecord", after, stream)
    log("cuStreamQuery", stream)
    log("cuStreamQuery", other, note="idle one")
    log("cuEventQuery", after)
    log("cuEventQuery", never, note="never recorded")
    log("cuEventSynchronize", never, note="never recorded")
    log("cuEventElapsedTime", byref(elapsed), before, after, note="not finished")
    log("cuEventElapsedTime", byref(elapsed), before, never, note="never recorded")
    log("cuEventRecord", untimed, other)
    log("cuEventElapsedTime", byref(elapsed), before, untimed, note="without timing")
    log("cuStreamWaitEvent", other, never, c_uint(0), note="never recorded")
    log("cuStreamQuery", other, note="after waiting for an event never recorded")
    log("cuStreamWaitEvent", other, after, c_uint(0))
    log("cuStreamQuery", other, note="waiting")
    log("cuEventSynchronize", after)
    log("cuStreamSynchronize", other)
    log("cuStreamQuery", other)
    log("cuEventElapsedTime", byref(elapsed), before, after, note="finished")
    log.say("elapsed time within 10 ms of 300", abs(elapsed.value - 300) < 10)
    log("cuEventElapsedTime", byref(elapsed), after, before, note="the wrong way round")
    log.say("negative", elapsed.value < 0)


@case
def null_stream(log):
    blocking, free, copy = log.stream(0), log.stream(NON_BLOCKING), ctypes.create_string_buffer(16)
    pointer = log.alloc()
    log.spin(blocking)
    log.launch("empty", stream=None, note="on the null stream")
    log("cuStreamQuery", None, note="null stream, behind a blocking stream")
    log("cuStreamSynchronize", None)
    log("cuStreamQuery", blocking, note="after the null stream was waited for")
    log.spin(free)
    log.launch("empty", stream=None, note="on the null stream")
    log("cuStreamSynchronize", None)
    log("cuStreamQuery", free, note="non-blocking, after the null stream was waited for")
    log("cuCtxSynchronize")
    log.spin(free)
    log("cuMemcpyDtoH_v2", copy, pointer, c_size_t(16))
    log("cuStreamQuery", free, note="non-blocking, after a synchronous copy")
    log("cuCtxSynchronize")
    log.spin(blocking)
    log("cuMemcpyDtoH_v2", copy, pointer, c_size_t(16))
    log("cuStreamQuery", blocking, note="blocking, after a synchronous copy")
    log.spin(free)
    log("cuMemFree_v2", pointer)
    log("cuStreamQuery", free, note="non-blocking, after cuMemFree")
    log("cuCtxSynchronize")
    log.spin(c_void_p(1), 50)
    log("cuStreamQuery", c_void_p(2), note="per-thread stream, legacy one busy")
    log("cuCtxSynchronize")


@case
def handles(log):
    log("cuStreamCreate", byref(c_void_p()), c_uint(77), note="flags 77")
    log("cuEventCreate", byref(c_void_p()), c_uint(0x1000), note="flags 0x1000")
    log("cuStreamDestroy_v2", None, note="null")
    log("cuEventDestroy_v2", None, note="null")
    log("cuEventRecord", None, None, note="null event")
    log("cuEventQuery", None, note="null event")
    log("cuStreamWaitEvent", None, None, c_uint(0), note="null event")
    stream = log.stream()
    log.spin(stream, 50)
    log("cuStreamDestroy_v2", stream, note="busy")
    log("cuCtxSynchronize")


@case
def stream_destroyed_twice(log):
    stream = log.stream()
    log("cuStreamDestroy_v2", stream)
    log("cuStreamDestroy_v2", stream)


@case
def stream_used_after_destroy(log):
    stream = log.stream()
    log("cuStreamDestroy_v2", stream)
    log("cuStreamSynchronize", stream)


@case
def event_destroyed_twice(log):
    event = log.event()
    log("cuEventDestroy_v2", event)
    log("cuEventDestroy_v2", event)


def uninitialised():
    log = Log(start=False)
    log("cuDeviceGet", byref(c_int()), 0, note="before cuInit")
    log("cuDeviceGetCount", byref(c_int()), note="before cuInit")
    log("cuDriverGetVersion", byref(c_int()), note="before cuInit")
    log("cuMemAlloc_v2", byref(c_uint64()), c_size_t(16), note="before cuInit")
    log("cuGetErrorName", 700, byref(c_char_p()), note="before cuInit")
    log("cuInit", c_uint(1), note="flags 1")
    log("cuInit", c_uint(0))
    log("cuInit", c_uint(0), note="again")
    log("cuDeviceGet", byref(c_int()), 1, note="device 1 of 1")
    log("cuDeviceGet", byref(c_int()), -1, note="device -1")
    log("cuDeviceGetAttribute", byref(c_int()), 9999, 0, note="attribute 9999")
    log("cuDeviceGetAttribute", byref(c_int()), 1, 5, note="device 5")
    log("cuGetErrorName", 12345, byref(c_char_p()), note="12345")
    for name in ("cuCtxSynchronize",):
        log(name, note="no context")
    log("cuMemAlloc_v2", byref(c_uint64()), c_size_t(16), note="no context")
    log("cuMemGetInfo_v2", byref(c_size_t()), byref(c_size_t()), note="no context")
    log("cuStreamCreate", byref(c_void_p()), c_uint(0), note="no context")
    log("cuModuleLoadData", byref(c_void_p()), HEAD + b"\0", note="no context")
    log("cuCtxGetCurrent", byref(c_void_p()), note="no context")
    log("cuCtxGetDevice", byref(c_int()), note="no context")
    log("cuCtxPopCurrent_v2", byref(c_void_p()), note="no context")
    log("cuDevicePrimaryCtxGetState", 0, byref(c_uint()), byref(c_int()))
    log("cuDevicePrimaryCtxRelease_v2", 0, note="never retained")
    return log


@case
def context_released(log):
    pointer, stream, event, function = log.alloc(), log.stream(), log.event(), log.kernel("empty")
    log("cuDevicePrimaryCtxRelease_v2", 0)
    log("cuCtxSynchronize")
    log("cuMemAlloc_v2", byref(c_uint64()), c_size_t(16))
    log("cuMemFree_v2", pointer)
    log("cuStreamSynchronize", stream)
    log("cuEventQuery", event)
    log("cuDevicePrimaryCtxRelease_v2", 0, note="twice")
    log("cuCtxSetCurrent", log.context, note="released")
    log("cuDevicePrimaryCtxRetain", byref(log.context), 0)
    log("cuCtxSetCurrent", log.context)
    log("cuMemAlloc_v2", byref(c_uint64()), c_size_t(16))
    log.launch(function, note="of the context released before")


@case
def context_destroyed(log):
    context, pointer, stream = c_void_p(), c_uint64(), c_void_p()
    log("cuCtxCreate_v2", byref(context), c_uint(0), 0)
    log("cuMemAlloc_v2", byref(pointer), c_size_t(16))
    log("cuStreamCreate", byref(stream), c_uint(1))
    log("cuCtxDestroy_v2", context)
    log("cuCtxSynchronize")
    log("cuMemFree_v2", pointer)
    log("cuStreamSynchronize", stream)
    log("cuCtxSetCurrent", context, note="destroyed")
    log("cuCtxDestroy_v2", context, note="twice")
