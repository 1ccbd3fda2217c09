"""Programs that are about flow, calls, parameters and scopes; their text is in `ptx/`."""

import struct

import numpy

from programs import Program
from values import generate


def cases():
    words = generate("u32", 0, 512, first=1 << 32)
    start = (words[:128] % 1000).tobytes()
    yield Program("divergent loop", [("out", 512), ("in", start)], file="divergent_loop.ptx", block=(128, 1, 1))
    yield Program("nested divergence", [("out", 1024), ("in", words[:64].tobytes())], file="nested_divergence.ptx", block=(64, 1, 1))
    yield Program("calls", [("out", 1280)], file="calls.ptx")
    choice = (words[:64] % 6).astype(numpy.uint32)
    yield Program("brx.idx", [("out", 256), ("in", choice.tobytes())], file="branch_table.ptx", block=(64, 1, 1))
    fields = struct.pack("<fhBB4Id", 1.5, -7, 200, 9, 10, 11, 12, 13, -2.25) + bytes(8)
    extra = {"parameters": "one structure: the address of out, then the scalars"}
    yield Program("structure parameter", [("out", 4 * 48)], file="structure_parameter.ptx", block=(4, 1, 1), scalars=[fields], extra=extra)
    for threads, dynamic in ((64, 256), (128, 1024)):
        data = words[:16].repeat(2 * threads // 16).astype(numpy.uint32)
        data += numpy.arange(len(data), dtype=numpy.uint32)
        buffers = [("out", 2 * threads * 16), ("in", data.tobytes())]
        yield Program(f"shared memory {threads}", buffers, file="shared_memory.ptx", grid=(2, 1, 1), block=(threads, 1, 1), shared=dynamic)
    yield Program("named barriers", [("out", 512)], file="named_barriers.ptx", block=(128, 1, 1))
    card = {"not compared": "words 13 and 14 of each 16: %warpid and %nwarpid belong to the multiprocessor"}
    yield Program("special registers", [("out", 6 * 30 * 64)], file="special_registers.ptx", grid=(3, 1, 2), block=(5, 3, 2), extra=card)
    yield Program("special registers 70", [("out", 70 * 64)], file="special_registers.ptx", block=(70, 1, 1), extra=card)
    yield Program("module scope", [("out", 1024)], file="module_scope.ptx")
    yield Program("syntax", [("out", 1024), ("in", bytes(16))], file="syntax.ptx")
    numbers = generate("f32m", 0, 1024, first=1 << 32)
    yield Program("block sum", [("out", 16), ("in", numbers.tobytes())], file="block_sum.ptx", grid=(4, 1, 1), block=(256, 1, 1))
