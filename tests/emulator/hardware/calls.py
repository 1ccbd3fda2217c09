"""The raw library with every answer written down, and the register of cases. The cases are in the files that import this."""

import ctypes
import json
from ctypes import byref, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path

HERE = Path(__file__).parent
HEADER = Path("/usr/local/cuda/include/cuda.h")
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2
NON_BLOCKING = 1
DYNAMIC_SHARED = 8
FAKE = c_uint64(0x7F0000001000)
HEAD = b".version 7.0\n.target sm_75\n.address_size 64\n"


class Log:
    """The library, with every answer written down."""

    def __init__(self, start=True):
        self.cuda = ctypes.CDLL("libcuda.so.1")
        self.calls = []
        if start:
            self.cuda.cuInit(0)
            self.context = c_void_p()
            self.cuda.cuDevicePrimaryCtxRetain(byref(self.context), 0)
            self.cuda.cuCtxSetCurrent(self.context)

    def __call__(self, name, *arguments, note=""):
        # Said before the call too: some calls end the process.
        print(f"try {name} {note}".strip(), flush=True)
        code = getattr(self.cuda, name)(*arguments)
        self.say(f"{name} {note}".strip(), code)
        return code

    def say(self, what, value):
        self.calls.append([what, value])
        print("did", json.dumps([what, value]), flush=True)

    # Preparations that must succeed, and are not part of the case.
    def quiet(self, name, *arguments):
        code = getattr(self.cuda, name)(*arguments)
        assert code == 0, (name, code)

    def alloc(self, size=4096):
        pointer = c_uint64()
        self.quiet("cuMemAlloc_v2", byref(pointer), c_size_t(size))
        return pointer

    def kernel(self, name):
        if not hasattr(self, "module"):
            self.module = c_void_p()
            self.quiet("cuModuleLoadData", byref(self.module), (HERE / "ptx" / "faults.ptx").read_bytes() + b"\0")
        function = c_void_p()
        self.quiet("cuModuleGetFunction", byref(function), self.module, name.encode())
        return function

    def stream(self, flags=NON_BLOCKING):
        stream = c_void_p()
        self.quiet("cuStreamCreate", byref(stream), c_uint(flags))
        return stream

    def event(self, flags=0):
        event = c_void_p()
        self.quiet("cuEventCreate", byref(event), c_uint(flags))
        return event

    def launch(self, kernel, *arguments, grid=(1, 1, 1), block=(1, 1, 1), shared=0, stream=None, note="", call="cuLaunchKernel"):
        function = kernel if isinstance(kernel, c_void_p) else self.kernel(kernel)
        pointers = (c_void_p * max(len(arguments), 1))(*[ctypes.cast(byref(a), c_void_p) for a in arguments])
        self.keep = arguments
        sizes = [c_uint(x) for x in (*grid, *block)]
        last = [pointers] if "Cooperative" in call else [pointers, None]
        note = note or (kernel if isinstance(kernel, str) else "")
        return self(call, function, *sizes, c_uint(shared), stream, *last, note=note)

    def spin(self, stream=None, milliseconds=300):
        return self.launch("spin", c_uint64(milliseconds * 1_000_000), stream=stream)


CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function
