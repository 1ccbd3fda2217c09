"""What the device and its functions say about themselves: attributes, occupancy, limits, error names."""

import ctypes
import re
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint

from calls import DYNAMIC_SHARED, HEADER, case


@case
def cooperative(log):
    for blocks in (132, 132 * 16, 132 * 32, 132 * 32 + 1, 132 * 64):
        log.launch("empty", grid=(blocks, 1, 1), block=(64, 1, 1), note=f"{blocks} blocks of 64", call="cuLaunchCooperativeKernel")
    log("cuCtxSynchronize")


@case
def function_attributes(log):
    value = c_int()
    for name in ("empty", "dynamic", "static_16384", "many_registers", "most_64", "exactly_64", "local_far"):
        function = log.kernel(name)
        row = {}
        for attribute in range(16):
            code = log.cuda.cuFuncGetAttribute(byref(value), attribute, function)
            row[attribute] = value.value if code == 0 else f"error {code}"
        log.say(f"cuFuncGetAttribute {name}", row)


@case
def occupancy(log):
    count, grid, block, size = c_int(), c_int(), c_int(), c_size_t()
    for name in ("empty", "dynamic", "many_registers"):
        function = log.kernel(name)
        if name == "dynamic":
            log.quiet("cuFuncSetAttribute", function, DYNAMIC_SHARED, 232448)
        for threads in (32, 64, 96, 128, 256, 512, 1024):
            for shared in (0, 1024, 16384, 32768, 49152, 65536, 101376, 116736, 232448) if name == "dynamic" else (0,):
                code = log.cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(byref(count), function, threads, c_size_t(shared))
                log.say(f"blocks of {name}, {threads} threads, {shared} bytes", count.value if code == 0 else f"error {code}")
        code = log.cuda.cuOccupancyMaxPotentialBlockSize(byref(grid), byref(block), function, None, c_size_t(0), 0)
        log.say(f"cuOccupancyMaxPotentialBlockSize {name}", [code, grid.value, block.value])
        code = log.cuda.cuOccupancyAvailableDynamicSMemPerBlock(byref(size), function, 2, 128)
        log.say(f"cuOccupancyAvailableDynamicSMemPerBlock {name}, 2 blocks of 128", [code, size.value])


@case
def device(log):
    text, version, total, free = ctypes.create_string_buffer(128), c_int(), c_size_t(), c_size_t()
    log.quiet("cuDeviceGetName", text, 128, 0)
    log.say("cuDeviceGetName", text.value.decode())
    log.quiet("cuDriverGetVersion", byref(version))
    log.say("cuDriverGetVersion", version.value)
    log.quiet("cuDeviceTotalMem_v2", byref(total), 0)
    log.say("cuDeviceTotalMem_v2", total.value)
    log.quiet("cuMemGetInfo_v2", byref(free), byref(total))
    log.say("cuMemGetInfo_v2 total", total.value)
    log.say("cuMemGetInfo_v2 free, MiB, in an otherwise idle process", free.value >> 20)
    for limit in range(9):
        code = log.cuda.cuCtxGetLimit(byref(total), limit)
        log.say(f"cuCtxGetLimit {limit}", total.value if code == 0 else f"error {code}")
    low, high = c_int(), c_int()
    log("cuCtxGetStreamPriorityRange", byref(low), byref(high))
    log.say("stream priorities", [low.value, high.value])
    flags = c_uint()
    log("cuCtxGetFlags", byref(flags))
    log.say("context flags", flags.value)
    log("cuCtxGetApiVersion", log.context, byref(flags))
    log.say("context's API version", flags.value)


@case
def device_attributes(log):
    names = {}
    if HEADER.exists():
        for name, number in re.findall(r"\bCU_DEVICE_ATTRIBUTE_(\w+)\s*=\s*(\d+)", HEADER.read_text()):
            names.setdefault(int(number), name)
    value = c_int()
    for number in range(1, max([*names, 150]) + 1):
        code = log.cuda.cuDeviceGetAttribute(byref(value), number, 0)
        if code == 0 or number in names:
            log.say(f"{number} {names.get(number, '')}".strip(), value.value if code == 0 else f"error {code}")


@case
def error_names(log):
    name, text = c_char_p(), c_char_p()
    for code in range(1000):
        if log.cuda.cuGetErrorName(code, byref(name)) == 0:
            log.cuda.cuGetErrorString(code, byref(text))
            log.say(code, [name.value.decode(), text.value.decode()])
