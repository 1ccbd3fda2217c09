"""Kernels that go wrong, and what every later call answers."""

import ctypes
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64, c_void_p

from calls import CASES, HERE, THREAD_LOCAL, case


def afterwards(log):
    """What still works, and what each call says now."""
    pointer, pinned, stream, event, module = c_uint64(), c_void_p(), c_void_p(), c_void_p(), c_void_p()
    byte, size, value = ctypes.create_string_buffer(16), c_size_t(), c_int()
    for _ in range(2):
        log("cuCtxSynchronize")
    log("cuMemAlloc_v2", byref(pointer), c_size_t(256))
    log("cuMemAllocHost_v2", byref(pinned), c_size_t(256))
    log("cuMemcpyDtoH_v2", byte, log.good, c_size_t(16))
    log("cuMemcpyHtoD_v2", log.good, byte, c_size_t(16))
    log("cuMemsetD8_v2", log.good, ctypes.c_ubyte(0), c_size_t(16))
    log("cuMemGetInfo_v2", byref(size), byref(size))
    log.launch(log.store, log.good, c_uint(1), note="a good launch")
    log("cuStreamCreate", byref(stream), c_uint(1))
    log("cuStreamQuery", log.other)
    log("cuStreamSynchronize", log.other)
    log("cuEventCreate", byref(event), c_uint(0))
    log("cuEventRecord", log.mark, log.other)
    log("cuEventQuery", log.mark, note="(0 or 600 where nothing failed)")
    log("cuModuleLoadData", byref(module), (HERE / "ptx" / "faults.ptx").read_bytes() + b"\0")
    log("cuModuleGetFunction", byref(c_void_p()), log.module, b"store")
    log("cuDeviceGetAttribute", byref(value), 16, 0)
    log("cuCtxGetCurrent", byref(c_void_p()))
    log("cuCtxSetCurrent", log.context)
    log("cuStreamBeginCapture_v2", log.other, THREAD_LOCAL)
    log("cuEventDestroy_v2", log.mark)
    log("cuStreamDestroy_v2", log.other)
    log("cuModuleUnload", log.module)
    log("cuMemFree_v2", log.good)
    log("cuDevicePrimaryCtxReset_v2", 0)
    log("cuDevicePrimaryCtxRetain", byref(c_void_p()), 0)
    log("cuMemAlloc_v2", byref(pointer), c_size_t(256), note="after the reset")


def fault(kernel, *arguments, **more):
    def run(log):
        log.good, log.other, log.mark, log.store = log.alloc(), log.stream(), log.event(), log.kernel("store")
        log.quiet("cuEventRecord", log.mark, log.other)
        given = [log.good if a == "good" else a for a in arguments]
        log.launch(kernel, *given, **more)
        afterwards(log)

    return run


CASES |= {
    "store_to_unmapped": fault("store", c_uint64(0x10), c_uint(1)),
    "store_to_null": fault("store", c_uint64(0), c_uint(1)),
    "store_past_allocation_by_1_gib": fault("store_far", "good"),
    "load_from_unmapped": fault("load", c_uint64(0x7F0000000000), "good"),
    "store_misaligned": fault("store_misaligned", "good"),
    "load_misaligned_vector": fault("load_misaligned_vector", "good"),
    "shared_out_of_bounds": fault("shared_far"),
    "shared_misaligned": fault("shared_misaligned"),
    "local_out_of_bounds": fault("local_far"),
    "trap": fault("trap"),
    "breakpoint": fault("breakpoint"),
    "assertion": fault("assertion"),
    "atomic_on_local": fault("atomic_on_local"),
    "atomic_on_unmapped": fault("atomic", c_uint64(0x7F0000000000)),
    "cp_async_from_unmapped": fault("copy", c_uint64(0x7F0000000000)),
    "cp_async_misaligned": fault("copy_misaligned", "good"),
    "ldmatrix_misaligned": fault("ldmatrix_misaligned", block=(32, 1, 1)),
    "barrier_with_exited_threads": fault("barrier_exited", block=(64, 1, 1)),
}


@case
def store_just_past_allocation(log):
    """Within the page that holds a small allocation the hardware sees nothing."""
    pointer = log.alloc(256)
    log.launch("store", c_uint64(pointer.value + 256), c_uint(1), note="at +256")
    log("cuCtxSynchronize")
    log.launch("store", c_uint64(pointer.value + 65536), c_uint(1), note="at +65536")
    log("cuCtxSynchronize")


@case
def use_after_free(log):
    pointer = log.alloc(4096)
    log("cuMemFree_v2", pointer)
    log.launch("store", pointer, c_uint(1), note="to freed memory")
    log("cuCtxSynchronize")


@case
def use_after_free_of_a_large_one(log):
    pointer = log.alloc(64 << 20)
    log("cuMemFree_v2", pointer)
    log.launch("store", pointer, c_uint(1), note="to freed memory")
    log("cuCtxSynchronize")
