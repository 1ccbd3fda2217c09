//! Memory, streams, events and contexts: `hardware/resources.py`.

use cuda_emulator::driver::code::Code;
use cuda_emulator::driver::pointer::{Client, Image, Out, Static};

use crate::Case;
use crate::log::{FAKE, HEAD, Log, NON_BLOCKING, NULL, call, nowhere};
use cuda_emulator::driver::handles::Handle;

pub(crate) const CASES: &[Case] = &[
    ("memory", memory),
    ("memory_async", memory_async),
    ("busy", busy),
    ("null_stream", null_stream),
    ("handles", |log| {
        call!(log, cuStreamCreate(nowhere(), 77), "flags 77");
        call!(log, cuEventCreate(nowhere(), 0x1000), "flags 0x1000");
        call!(log, cuStreamDestroy_v2(NULL), "null");
        call!(log, cuEventDestroy_v2(NULL), "null");
        call!(log, cuEventRecord(NULL, NULL), "null event");
        call!(log, cuEventQuery(NULL), "null event");
        call!(log, cuStreamWaitEvent(NULL, NULL, 0), "null event");
        let stream = log.stream(NON_BLOCKING);
        log.spin(stream, 50);
        call!(log, cuStreamDestroy_v2(stream), "busy");
        call!(log, cuCtxSynchronize());
    }),
    ("stream_destroyed_twice", |log| {
        let stream = log.stream(NON_BLOCKING);
        call!(log, cuStreamDestroy_v2(stream));
        call!(log, cuStreamDestroy_v2(stream));
    }),
    ("stream_used_after_destroy", |log| {
        let stream = log.stream(NON_BLOCKING);
        call!(log, cuStreamDestroy_v2(stream));
        call!(log, cuStreamSynchronize(stream));
    }),
    ("event_destroyed_twice", |log| {
        let event = log.event(0);
        call!(log, cuEventDestroy_v2(event));
        call!(log, cuEventDestroy_v2(event));
    }),
    ("context_released", |log| {
        let (address, stream) = (log.alloc(4096), log.stream(NON_BLOCKING));
        call!(log, cuDevicePrimaryCtxRelease_v2(0));
        call!(log, cuCtxSynchronize());
        call!(log, cuMemAlloc_v2(Out::from(&mut 0), 16));
        call!(log, cuMemFree_v2(address));
        call!(log, cuStreamSynchronize(stream));
    }),
    ("context_destroyed", |log| {
        let (mut context, mut address, mut stream) = (NULL, 0, NULL);
        call!(log, cuCtxCreate_v2(Out::from(&mut context), 0, 0));
        call!(log, cuMemAlloc_v2(Out::from(&mut address), 16));
        call!(log, cuStreamCreate(Out::from(&mut stream), 1));
        call!(log, cuCtxDestroy_v2(context));
        call!(log, cuCtxSynchronize());
        call!(log, cuMemFree_v2(address));
        call!(log, cuStreamSynchronize(stream));
        call!(log, cuCtxSetCurrent(context), "destroyed");
        call!(log, cuCtxDestroy_v2(context), "twice");
    }),
];

pub(crate) fn uninitialised(log: &mut Log) {
    let (mut number, mut size, mut text) = (0, 0usize, Static::NULL);
    call!(log, cuDeviceGet(Out::from(&mut number), 0), "before cuInit");
    call!(log, cuDeviceGetCount(Out::from(&mut number)), "before cuInit");
    call!(log, cuDriverGetVersion(Out::from(&mut number)), "before cuInit");
    call!(log, cuMemAlloc_v2(Out::from(&mut 0), 16), "before cuInit");
    call!(log, cuGetErrorName(Code(700), Out::from(&mut text)), "before cuInit");
    call!(log, cuInit(1), "flags 1");
    call!(log, cuInit(0));
    call!(log, cuInit(0), "again");
    call!(log, cuDeviceGet(Out::from(&mut number), 1), "device 1 of 1");
    call!(log, cuDeviceGet(Out::from(&mut number), -1), "device -1");
    call!(log, cuDeviceGetAttribute(Out::from(&mut number), 9999, 0), "attribute 9999");
    call!(log, cuDeviceGetAttribute(Out::from(&mut number), 1, 5), "device 5");
    call!(log, cuGetErrorName(Code(12345), Out::from(&mut text)), "12345");
    call!(log, cuCtxSynchronize(), "no context");
    call!(log, cuMemAlloc_v2(Out::from(&mut 0), 16), "no context");
    call!(log, cuMemGetInfo_v2(Out::from(&mut size), Out::NULL), "no context");
    call!(log, cuStreamCreate(nowhere(), 0), "no context");
    let text = format!("{HEAD}\0");
    call!(log, cuModuleLoadData(nowhere(), Image::from(text.as_bytes())), "no context");
    call!(log, cuCtxGetCurrent(nowhere()), "no context");
    call!(log, cuCtxGetDevice(Out::from(&mut number)), "no context");
    call!(log, cuCtxPopCurrent_v2(nowhere()), "no context");
    call!(log, cuDevicePrimaryCtxGetState(0, Out::from(&mut 0), Out::from(&mut number)));
    call!(log, cuDevicePrimaryCtxRelease_v2(0), "never retained");
}

fn memory(log: &mut Log) {
    let (mut address, mut pinned, mut size, mut word) = (0u64, 0usize, 0usize, [0u32; 1]);
    let (mut bytes, mut large) = ([0u8; 64], vec![0u8; 4 << 20]);
    let byte = Client::from(bytes.as_mut_slice());
    call!(log, cuMemAlloc_v2(Out::from(&mut address), 1 << 50), "2^50");
    call!(log, cuMemAlloc_v2(Out::from(&mut address), 0), "0 bytes");
    call!(log, cuMemAlloc_v2(Out::NULL, 16), "null result");
    call!(log, cuMemAlloc_v2(Out::from(&mut address), 16), "after the refusals");
    let alignment = 1u64 << address.trailing_zeros();
    log.say("alignment of an allocation, a power of two at least", alignment.min(512));
    call!(log, cuMemFree_v2(address + 4), "inside an allocation");
    call!(log, cuMemFree_v2(FAKE), "never allocated");
    call!(log, cuMemFree_v2(0), "null");
    call!(log, cuMemFree_v2(address));
    call!(log, cuMemFree_v2(address), "twice");
    let good = log.alloc(64);
    call!(log, cuMemcpyHtoD_v2(good, byte, 0), "0 bytes");
    call!(log, cuMemcpyHtoD_v2(FAKE, byte, 16), "to unknown");
    call!(log, cuMemcpyDtoH_v2(byte, FAKE, 16), "from unknown");
    call!(log, cuMemcpyDtoD_v2(good, FAKE, 16), "from unknown");
    call!(log, cuMemcpyHtoD_v2(good, Client::NULL, 16), "from null");
    let large = Client::from(large.as_mut_slice());
    call!(log, cuMemcpyDtoH_v2(large, good, 4096), "4096 of an allocation of 64");
    call!(log, cuMemcpyDtoH_v2(large, good, 4 << 20), "4 MiB of an allocation of 64");
    call!(log, cuMemsetD8_v2(FAKE, 0, 16), "unknown");
    call!(log, cuMemsetD32_v2(good + 2, 0, 4), "misaligned");
    call!(log, cuMemcpyHtoDAsync_v2(FAKE, byte, 16, NULL), "to unknown");
    call!(log, cuMemAllocHost_v2(Out::from(&mut pinned), 0), "0 bytes");
    call!(log, cuMemHostAlloc(Out::from(&mut pinned), 64, 4), "write-combined");
    call!(log, cuMemFreeHost(pinned));
    call!(log, cuMemFreeHost(pinned), "twice");
    call!(log, cuMemFreeHost(byte.address()), "never pinned");
    call!(log, cuMemGetAddressRange_v2(Out::from(&mut address), Out::from(&mut size), good + 5), "inside");
    call!(log, cuMemGetAddressRange_v2(Out::from(&mut address), Out::from(&mut size), FAKE), "unknown");
    call!(log, cuPointerGetAttribute(Client::from(word.as_mut_slice()), 2, good), "memory type");
    call!(log, cuPointerGetAttribute(Client::from(word.as_mut_slice()), 2, FAKE), "memory type of unknown");
    call!(log, cuCtxSynchronize());
}

fn memory_async(log: &mut Log) {
    let (stream, mut address) = (log.stream(NON_BLOCKING), 0);
    call!(log, cuMemAllocAsync(Out::from(&mut address), 4096, stream));
    call!(log, cuMemFreeAsync(address, stream));
    call!(log, cuMemFreeAsync(address, stream), "twice");
    call!(log, cuMemFreeAsync(FAKE, stream), "unknown");
    call!(log, cuMemAllocAsync(Out::from(&mut address), 1 << 50, stream), "2^50");
    call!(log, cuMemAllocAsync(Out::from(&mut address), 0, stream), "0 bytes");
    call!(log, cuMemAllocAsync(Out::from(&mut address), 4096, stream));
    call!(log, cuMemFree_v2(address), "of an asynchronous allocation");
    call!(log, cuStreamSynchronize(stream));
}

fn busy(log: &mut Log) {
    let (stream, other) = (log.stream(NON_BLOCKING), log.stream(NON_BLOCKING));
    let (before, after, untimed, never) = (log.event(0), log.event(0), log.event(2), log.event(0));
    let mut elapsed = 0f32;
    call!(log, cuEventRecord(before, stream));
    log.spin(stream, 300);
    call!(log, cuEventRecord(after, stream));
    call!(log, cuStreamQuery(stream));
    call!(log, cuStreamQuery(other), "idle one");
    call!(log, cuEventQuery(after));
    call!(log, cuEventQuery(never), "never recorded");
    call!(log, cuEventSynchronize(never), "never recorded");
    call!(log, cuEventElapsedTime(Out::from(&mut elapsed), before, after), "not finished");
    call!(log, cuEventElapsedTime(Out::from(&mut elapsed), before, never), "never recorded");
    call!(log, cuEventRecord(untimed, other));
    call!(log, cuEventElapsedTime(Out::from(&mut elapsed), before, untimed), "without timing");
    call!(log, cuStreamWaitEvent(other, never, 0), "never recorded");
    call!(log, cuStreamQuery(other), "after waiting for an event never recorded");
    call!(log, cuStreamWaitEvent(other, after, 0));
    call!(log, cuStreamQuery(other), "waiting");
    call!(log, cuEventSynchronize(after));
    call!(log, cuStreamSynchronize(other));
    call!(log, cuStreamQuery(other));
    call!(log, cuEventElapsedTime(Out::from(&mut elapsed), before, after), "finished");
    call!(log, cuEventElapsedTime(Out::from(&mut elapsed), after, before), "the wrong way round");
    log.say("negative", elapsed < 0.);
}

fn null_stream(log: &mut Log) {
    let (blocking, free, mut copy) = (log.stream(0), log.stream(NON_BLOCKING), [0u8; 16]);
    let (copy, address) = (Client::from(copy.as_mut_slice()), log.alloc(4096));
    log.spin(blocking, 300);
    log.launch("empty").note("on the null stream").run();
    call!(log, cuStreamQuery(NULL), "null stream, behind a blocking stream");
    call!(log, cuStreamSynchronize(NULL));
    call!(log, cuStreamQuery(blocking), "after the null stream was waited for");
    log.spin(free, 300);
    log.launch("empty").note("on the null stream").run();
    call!(log, cuStreamSynchronize(NULL));
    call!(log, cuStreamQuery(free), "non-blocking, after the null stream was waited for");
    call!(log, cuCtxSynchronize());
    log.spin(free, 300);
    call!(log, cuMemcpyDtoH_v2(copy, address, 16));
    call!(log, cuStreamQuery(free), "non-blocking, after a synchronous copy");
    call!(log, cuCtxSynchronize());
    log.spin(blocking, 300);
    call!(log, cuMemcpyDtoH_v2(copy, address, 16));
    call!(log, cuStreamQuery(blocking), "blocking, after a synchronous copy");
    log.spin(free, 300);
    call!(log, cuMemFree_v2(address));
    call!(log, cuStreamQuery(free), "non-blocking, after cuMemFree");
    call!(log, cuCtxSynchronize());
    log.spin(Handle(1), 50);
    call!(log, cuStreamQuery(Handle(2)), "per-thread stream, legacy one busy");
    call!(log, cuCtxSynchronize());
}
