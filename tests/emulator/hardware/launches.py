"""Launches that the driver refuses, shared memory beyond the default, modules and their lookups."""

import ctypes
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64, c_void_p

from calls import DYNAMIC_SHARED, HEAD, HERE, case


@case
def launch_shapes(log):
    for grid, block in (
        ((1, 1, 1), (1024, 1, 1)),
        ((1, 1, 1), (1025, 1, 1)),
        ((1, 1, 1), (32, 33, 1)),
        ((1, 1, 1), (1, 1, 64)),
        ((1, 1, 1), (1, 1, 65)),
        ((0, 1, 1), (32, 1, 1)),
        ((1, 1, 1), (0, 1, 1)),
        ((1, 65535, 1), (1, 1, 1)),
        ((1, 65536, 1), (1, 1, 1)),
        ((1, 1, 65536), (1, 1, 1)),
        ((2147483648, 1, 1), (1, 1, 1)),
    ):
        log.launch("empty", grid=grid, block=block, note=f"grid {grid} block {block}")
        log("cuCtxSynchronize")
    log.launch("most_64", block=(64, 1, 1), note=".maxntid 64, block 64")
    log.launch("most_64", block=(65, 1, 1), note=".maxntid 64, block 65")
    log.launch("exactly_64", block=(64, 1, 1), note=".reqntid 64, block 64")
    log.launch("exactly_64", block=(32, 1, 1), note=".reqntid 64, block 32")
    pointer = log.alloc(1 << 20)
    log.launch("many_registers", pointer, block=(256, 1, 1), note="many registers, block 256")
    log.launch("many_registers", pointer, block=(1024, 1, 1), note="many registers, block 1024")
    log("cuCtxSynchronize")


@case
def launch_handles(log):
    sizes = [c_uint(1)] * 6
    log("cuLaunchKernel", None, *sizes, c_uint(0), None, None, None, note="null function")
    log("cuLaunchKernel", log.kernel("empty"), *sizes, c_uint(0), None, None, None, note="no parameters, none wanted")
    log("cuCtxSynchronize")


@case
def launch_without_parameters(log):
    log("cuLaunchKernel", log.kernel("store"), *[c_uint(1)] * 6, c_uint(0), None, None, None, note="null parameters, two wanted")
    log("cuCtxSynchronize")


@case
def shared_limits(log):
    function = log.kernel("dynamic")
    for size in (49152, 49153):
        log.launch("dynamic", shared=size, note=f"{size} bytes, no attribute")
    for size in (101376, 166912, 232448, 232449):
        log("cuFuncSetAttribute", function, DYNAMIC_SHARED, size, note=f"dynamic {size}")
        log.launch(function, shared=size, note=f"{size} bytes")
        log("cuCtxSynchronize")
    log.launch(function, shared=232448, note="232448 bytes after the refusal")
    log("cuFuncSetAttribute", function, DYNAMIC_SHARED, 65536, note="dynamic 65536")
    log.launch(function, shared=65537, note="65537 bytes")
    log("cuFuncSetAttribute", function, DYNAMIC_SHARED, -1, note="dynamic -1")
    log("cuFuncSetAttribute", log.kernel("static_16384"), DYNAMIC_SHARED, 232448, note="static 16384, dynamic 232448")
    log("cuFuncSetAttribute", log.kernel("static_16384"), DYNAMIC_SHARED, 232448 - 16384, note="static 16384, dynamic 216064")
    log.launch("static_16384", shared=32768, note="static 16384, dynamic 32768")
    log("cuFuncSetAttribute", function, 0, 1, note="read-only attribute")
    log("cuFuncSetAttribute", function, 9, 50, note="carveout 50")
    log("cuFuncSetAttribute", function, 9, 101, note="carveout 101")
    log("cuCtxSynchronize")


def load(log, text, note):
    buffer, info = ctypes.create_string_buffer(4096), ctypes.create_string_buffer(4096)
    options = (c_int * 4)(5, 6, 3, 4)
    values = (c_void_p * 4)(ctypes.cast(buffer, c_void_p).value, 4096, ctypes.cast(info, c_void_p).value, 4096)
    module = c_void_p()
    log("cuModuleLoadDataEx", byref(module), text, 4, options, values, note=note)
    if buffer.value:
        log.say("error log", buffer.value.decode(errors="replace"))
    log("cuModuleLoadData", byref(module), text, note=note)
    return module


@case
def module_loading(log):
    body = b".visible .entry k() { ret; }\n\0"
    load(log, HEAD + body, "good")
    load(log, HEAD + b".visible .entry k() { add.u32 %a, %b; ret; }\n\0", "bad instruction")
    load(log, HEAD + b".visible .entry k() { .reg .b32 %r; frobnicate.b32 %r, %r; ret; }\n\0", "unknown opcode")
    load(log, HEAD + b".visible .entry k() {\n\0", "unbalanced")
    load(log, b"hello\0", "no PTX")
    load(log, b"\0", "empty")
    load(log, HEAD.replace(b"sm_75", b"sm_100") + body, "target sm_100 (.version 7.0)")
    load(log, HEAD.replace(b"7.0", b"8.6").replace(b"sm_75", b"sm_100") + body, "target sm_100")
    load(log, HEAD.replace(b"7.0", b"8.0").replace(b"sm_75", b"sm_90a") + body, "target sm_90a")
    load(log, HEAD.replace(b"sm_75", b"sm_12") + body, "target sm_12")
    load(log, HEAD.replace(b"7.0", b"9.9") + body, "version 9.9")
    load(log, HEAD.replace(b"7.0", b"99.0") + body, "version 99.0")
    load(log, HEAD.replace(b"64", b"32") + body, "32-bit addresses")
    load(log, HEAD + b".visible .entry k() { .reg .b32 %r; cp.async.wait_all; ret; }\n\0", "cp.async for sm_75")
    load(log, HEAD + b".extern .func f(); .visible .entry k() { call f, (); ret; }\n\0", "unresolved function")
    load(log, HEAD + b".extern .global .u32 g; .visible .entry k() { .reg .b32 %r; ld.global.u32 %r, [g]; st.global.u32 [g], %r; ret; }\n\0", "unresolved variable")
    load(log, HEAD + b".visible .entry k() { .shared .b8 t[49153]; .reg .b32 %r; ld.shared.u32 %r, [t]; st.shared.u32 [t+49148], %r; ret; }\n\0", "49153 bytes of static shared memory")
    load(log, HEAD + body[:-1] + body, "a name twice")
    load(log, b"\x7fELF" + bytes(200), "an empty ELF")
    for cubin in sorted((HERE / "ptx").glob("*.cubin")):
        load(log, cubin.read_bytes(), cubin.name)


@case
def module_of_too_much_static_shared_memory(log):
    text = HEAD + b".visible .entry k() { .shared .b8 t[49153]; .reg .b32 %r; ld.volatile.shared.u32 %r, [t]; st.volatile.shared.u32 [t+49148], %r; ret; }\n\0"
    module, function = load(log, text, "49153 bytes"), c_void_p()
    log("cuModuleGetFunction", byref(function), module, b"k")
    log.launch(function)
    log("cuCtxSynchronize")


@case
def module_null(log):
    log("cuModuleLoadData", byref(c_void_p()), None, note="null")


@case
def module_lookups(log):
    function, pointer, size = c_void_p(), c_uint64(), c_size_t()
    log.kernel("empty")
    log("cuModuleGetFunction", byref(function), log.module, b"absent")
    log("cuModuleGetFunction", byref(function), log.module, b"")
    log("cuModuleGetGlobal_v2", byref(pointer), byref(size), log.module, b"absent")
    log("cuModuleGetGlobal_v2", byref(pointer), byref(size), log.module, b"table")
    log.say("size of table", size.value)
    log("cuModuleGetFunction", byref(function), None, b"empty", note="null module")
    log("cuModuleUnload", log.module)


@case
def module_unload_twice(log):
    log.kernel("empty")
    log("cuModuleUnload", log.module)
    log("cuModuleUnload", log.module)


@case
def function_after_unload(log):
    function = log.kernel("empty")
    log("cuModuleUnload", log.module)
    log.launch(function)
