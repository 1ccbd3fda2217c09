"""The few calls of the CUDA driver that the recorders need, through ctypes. Not a binding: `calls.py` calls the raw library."""

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_void_p

import numpy

SUCCESS = 0
# Those that leave a context dead: every later call in the process answers the same.
STICKY = {700, 702, 710, 714, 715, 716, 717, 718, 719}
JIT_ERROR_LOG, JIT_ERROR_LOG_BYTES = 5, 6


class CudaError(Exception):
    def __init__(self, call, code, log=""):
        super().__init__(f"{call}: {code} {log}".strip())
        self.call, self.code, self.log = call, code, log


def library():
    return ctypes.CDLL("libcuda.so.1")


class Device:
    """The first device, its primary context current."""

    def __init__(self):
        self.cuda = library()
        self.call("cuInit", 0)
        self.device = c_int()
        self.call("cuDeviceGet", byref(self.device), 0)
        self.context = c_void_p()
        self.call("cuDevicePrimaryCtxRetain", byref(self.context), self.device)
        self.call("cuCtxSetCurrent", self.context)
        self.buffers = {}

    def call(self, name, *arguments):
        code = getattr(self.cuda, name)(*arguments)
        if code != SUCCESS:
            raise CudaError(name, code)

    def name(self):
        text = ctypes.create_string_buffer(128)
        self.call("cuDeviceGetName", text, 128, self.device)
        return text.value.decode()

    def driver_version(self):
        version = c_int()
        self.call("cuDriverGetVersion", byref(version))
        return version.value

    def load(self, ptx):
        """A module from PTX text; the JIT's log is in the error."""
        log = ctypes.create_string_buffer(8192)
        options = (c_int * 2)(JIT_ERROR_LOG, JIT_ERROR_LOG_BYTES)
        values = (c_void_p * 2)(ctypes.cast(log, c_void_p).value, 8192)
        module = c_void_p()
        text = c_char_p(ptx.encode())
        code = self.cuda.cuModuleLoadDataEx(byref(module), text, 2, options, values)
        if code != SUCCESS:
            raise CudaError("cuModuleLoadDataEx", code, log.value.decode(errors="replace"))
        return module

    def unload(self, module):
        self.call("cuModuleUnload", module)

    def function(self, module, name="k"):
        function = c_void_p()
        self.call("cuModuleGetFunction", byref(function), module, name.encode())
        return function

    def buffer(self, slot, size):
        """A device buffer, kept by slot and grown when too small."""
        pointer, capacity = self.buffers.get(slot, (None, 0))
        if capacity < size:
            if pointer:
                self.call("cuMemFree_v2", pointer)
            pointer = ctypes.c_uint64()
            self.call("cuMemAlloc_v2", byref(pointer), c_size_t(size))
            self.buffers[slot] = (pointer, size)
        return pointer

    def upload(self, slot, array):
        array = numpy.ascontiguousarray(array)
        pointer = self.buffer(slot, max(array.nbytes, 16))
        if array.nbytes:
            self.call("cuMemcpyHtoD_v2", pointer, array.ctypes.data_as(c_void_p), c_size_t(array.nbytes))
        return pointer

    def poison(self, slot, size, byte=0xA5):
        pointer = self.buffer(slot, size)
        self.call("cuMemsetD8_v2", pointer, ctypes.c_ubyte(byte), c_size_t(size))
        return pointer

    def download(self, slot, size):
        array = numpy.empty(size, numpy.uint8)
        self.call("cuMemcpyDtoH_v2", array.ctypes.data_as(c_void_p), self.buffers[slot][0], c_size_t(size))
        return array

    def launch(self, function, grid, block, shared, arguments):
        """Launches and waits. Arguments are ctypes values in the order of the parameters."""
        pointers = (c_void_p * len(arguments))(*[ctypes.cast(byref(a), c_void_p) for a in arguments])
        sizes = [c_uint(x) for x in (*grid, *block)]
        self.call("cuLaunchKernel", function, *sizes, c_uint(shared), None, pointers, None)
        self.call("cuCtxSynchronize")
