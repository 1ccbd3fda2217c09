//! Kernels that go wrong, and what every later call answers: `hardware/faults.py`.

use cuda_emulator::driver::handles::Handle;
use cuda_emulator::driver::pointer::{Client, Image, Out, Text};

use crate::Case;
use crate::log::{Launch, Log, NON_BLOCKING, NULL, THREAD_LOCAL, call, faults, nowhere, quiet};

/// The kernel, its arguments (`GOOD` an allocation), threads.
fn fault(log: &mut Log, kernel: &str, arguments: &[u64], threads: u32) {
    let (good, other, mark, store) = (log.alloc(4096), log.stream(NON_BLOCKING), log.event(0), log.kernel("store"));
    quiet!(cuEventRecord(mark, other));
    let given = arguments.iter().map(|argument| if *argument == GOOD { good } else { *argument });
    given.fold(log.launch(kernel).threads(threads), Launch::with).run();
    afterwards(log, good, other, mark, store);
}

const GOOD: u64 = u64::MAX;
const UNMAPPED: u64 = 0x7F00_0000_0000;

fn afterwards(log: &mut Log, good: u64, other: Handle, mark: Handle, store: Handle) {
    let (mut address, mut pinned, mut module, mut value, mut size) = (0u64, 0usize, NULL, 0, 0usize);
    let mut bytes = [0u8; 16];
    call!(log, cuCtxSynchronize());
    call!(log, cuCtxSynchronize());
    call!(log, cuMemAlloc_v2(Out::from(&mut address), 256));
    call!(log, cuMemAllocHost_v2(Out::from(&mut pinned), 256));
    call!(log, cuMemcpyDtoH_v2(Client::from(bytes.as_mut_slice()), good, 16));
    call!(log, cuMemcpyHtoD_v2(good, Client::from(bytes.as_mut_slice()), 16));
    call!(log, cuMemsetD8_v2(good, 0, 16));
    call!(log, cuMemGetInfo_v2(Out::from(&mut size), Out::NULL));
    log.launch_function(store).with(good).with(1).note("a good launch").run();
    call!(log, cuStreamCreate(nowhere(), 1));
    call!(log, cuStreamQuery(other));
    call!(log, cuStreamSynchronize(other));
    call!(log, cuEventCreate(nowhere(), 0));
    call!(log, cuEventRecord(mark, other));
    call!(log, cuEventQuery(mark), "(0 or 600 where nothing failed)");
    call!(log, cuModuleLoadData(Out::from(&mut module), Image::from(faults().as_slice())));
    call!(log, cuModuleGetFunction(nowhere(), log.module, Text::from(c"store")));
    call!(log, cuDeviceGetAttribute(Out::from(&mut value), 16, 0));
    call!(log, cuCtxGetCurrent(nowhere()));
    call!(log, cuCtxSetCurrent(log.context));
    call!(log, cuStreamBeginCapture_v2(other, THREAD_LOCAL));
    call!(log, cuEventDestroy_v2(mark));
    call!(log, cuStreamDestroy_v2(other));
    call!(log, cuModuleUnload(log.module));
    call!(log, cuMemFree_v2(good));
    call!(log, cuDevicePrimaryCtxReset_v2(0));
    call!(log, cuDevicePrimaryCtxRetain(nowhere(), 0));
    call!(log, cuMemAlloc_v2(Out::from(&mut address), 256), "after the reset");
}

pub(crate) const CASES: &[Case] = &[
    ("store_to_unmapped", |log| fault(log, "store", &[0x10, 1], 1)),
    ("store_to_null", |log| fault(log, "store", &[0, 1], 1)),
    ("store_past_allocation_by_1_gib", |log| fault(log, "store_far", &[GOOD], 1)),
    ("load_from_unmapped", |log| fault(log, "load", &[UNMAPPED, GOOD], 1)),
    ("store_misaligned", |log| fault(log, "store_misaligned", &[GOOD], 1)),
    ("load_misaligned_vector", |log| fault(log, "load_misaligned_vector", &[GOOD], 1)),
    ("shared_out_of_bounds", |log| fault(log, "shared_far", &[], 1)),
    ("shared_misaligned", |log| fault(log, "shared_misaligned", &[], 1)),
    ("local_out_of_bounds", |log| fault(log, "local_far", &[], 1)),
    ("trap", |log| fault(log, "trap", &[], 1)),
    ("breakpoint", |log| fault(log, "breakpoint", &[], 1)),
    ("assertion", |log| fault(log, "assertion", &[], 1)),
    ("atomic_on_local", |log| fault(log, "atomic_on_local", &[], 1)),
    ("atomic_on_unmapped", |log| fault(log, "atomic", &[UNMAPPED], 1)),
    ("cp_async_from_unmapped", |log| fault(log, "copy", &[UNMAPPED], 1)),
    ("cp_async_misaligned", |log| fault(log, "copy_misaligned", &[GOOD], 1)),
    ("ldmatrix_misaligned", |log| fault(log, "ldmatrix_misaligned", &[], 32)),
    ("barrier_with_exited_threads", |log| fault(log, "barrier_exited", &[], 64)),
    ("store_just_past_allocation", |log| {
        let (address, store) = (log.alloc(256), log.kernel("store"));
        for past in [256, 65536] {
            log.launch_function(store).with(address + past).with(1).note(format!("at +{past}")).run();
            call!(log, cuCtxSynchronize());
        }
    }),
    ("use_after_free", |log| use_after_free(log, 4096)),
    ("use_after_free_of_a_large_one", |log| use_after_free(log, 64 << 20)),
];

fn use_after_free(log: &mut Log, size: usize) {
    let (address, store) = (log.alloc(size), log.kernel("store"));
    call!(log, cuMemFree_v2(address));
    log.launch_function(store).with(address).with(1).note("to freed memory").run();
    call!(log, cuCtxSynchronize());
}
