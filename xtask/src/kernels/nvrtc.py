"""CUDA C++ to PTX by NVRTC, which is a library and no program.

    python nvrtc.py LIBRARY SOURCE OUTPUT OPTION...

Not here: which options, and what becomes of the PTX.
"""

import ctypes
import pathlib
import sys


def text(get_size, get, program):
    """One of NVRTC's two answers, the log and the PTX."""
    size = ctypes.c_size_t()
    get_size(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    get(program, buffer)
    return buffer.value.decode()


def main(library, source, output, *options):
    nvrtc = ctypes.CDLL(library)
    code = pathlib.Path(source).read_bytes()
    program = ctypes.c_void_p()
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), code, source.encode(), 0, None, None):
        sys.exit(f"NVRTC takes no {source}")
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
    log = text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
    if failed or log.strip():  # a warning is an error
        sys.exit(log.strip() or f"NVRTC fails with {failed}")
    pathlib.Path(output).write_text(text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program))


main(*sys.argv[1:])
