"""`mma.sync`: fragments built from matrices by the layouts of the PTX ISA, with values that show layout, order and rounding of the sum."""

from itertools import pairwise

import numpy

from frames import LETTERS, Case

LANES = numpy.arange(32)
G, T = LANES >> 2, LANES & 3


def a_place(k, bits):
    """[(row, column)] of A's elements, in a lane's order; per the ISA's tables for m16n8kX."""
    if bits == 32:
        return [(G + 8 * (i & 1), T + 4 * (i >> 1)) for i in range(k // 2)]
    per = 32 // bits
    return [(G + 8 * (i // per & 1), T * per + i % per + 4 * per * (i // per >> 1)) for i in range(16 * k // 32)]


def b_place(k, bits):
    """[(row, column)] of B's elements."""
    per = 32 // bits
    return [(T * per + i % per + 4 * per * (i // per), G) for i in range(k * 8 // 32)]


def c_place(rows=16):
    return [(G + 8 * (i >> 1), T * 2 + (i & 1)) for i in range(rows * 8 // 32)]


def fragment(matrix, place, bits):
    """A matrix of raw bits into registers: [lane][register]."""
    per = max(32 // bits, 1)
    elements = numpy.stack([matrix[row, column] for row, column in place], 1).astype(numpy.uint64)
    registers = numpy.zeros((32, elements.shape[1] // per), numpy.uint64)
    for i in range(elements.shape[1]):
        registers[:, i // per] |= elements[:, i] << numpy.uint64(bits * (i % per))
    return registers.astype(numpy.uint64 if bits == 64 else numpy.uint32)


def encode(values, kind):
    values = numpy.asarray(values, numpy.float64)
    if kind == "f16":
        return values.astype(numpy.float16).view(numpy.uint16)
    if kind == "f64":
        return values.view(numpy.uint64)
    word = values.astype(numpy.float32).view(numpy.uint32)
    if kind == "f32":
        return word
    drop = {"bf16": 16, "tf32": 13}[kind]
    rounded = (word.astype(numpy.uint64) + (1 << (drop - 1)) - 1 + (word >> drop & 1)) >> drop
    rounded = numpy.where(numpy.isfinite(values), rounded, word >> drop)
    return (rounded.astype(numpy.uint32) << 13) if kind == "tf32" else rounded.astype(numpy.uint16)


def families(k, kind, random):
    """(name, A, B, C): real matrices, whose rounding to the type is `encode`'s."""
    least = {"f16": -14, "bf16": -60, "tf32": -60, "f64": -60}[kind]
    high = {"f16": 14, "bf16": 20, "tf32": 20, "f64": 60}[kind]
    normal, zero = random.standard_normal, numpy.zeros
    small = lambda *shape: random.integers(-4, 5, shape).astype(float)
    wide = lambda *shape: normal(shape) * 2.0 ** random.integers(least, high, shape)
    yield "integers", small(16, k), small(k, 8), small(16, 8)
    yield "normal", normal((16, k)), normal((k, 8)), normal((16, 8))
    yield "wide", wide(16, k), wide(k, 8), wide(16, 8)
    # Large terms cancel and leave what was kept of the small ones.
    a, b = normal((16, k)), numpy.ones((k, 8))
    for row in range(16):
        i, j = random.choice(k, 2, replace=False)
        a[row] *= 2.0 ** random.integers(-12, 0)
        a[row, i], a[row, j] = 2.0**row, -(2.0**row)
    a = a if kind != "f16" else numpy.clip(a, -60000, 60000)
    yield "cancel", a, b, zero((16, 8))
    # One product of 1 at position `row`, and 2^-(20+column) elsewhere: what the alignment drops, and in which groups.
    a, b = numpy.full((16, k), 2.0**-12), numpy.full((k, 8), 1.0)
    b *= 2.0 ** -(8 + numpy.arange(8.0))
    for row in range(16):
        a[row, row % k] = 2.0**12
    yield "dominant", a, b, zero((16, 8))
    # The accumulator dominates: 2^(row+4) against a sum of ones and a fraction, both signs.
    c = 2.0 ** (numpy.arange(16)[:, None] + 12) * numpy.where(numpy.arange(8) % 2, -1, 1)
    yield "accumulator", numpy.abs(normal((16, k))), numpy.full((k, 8), 2.0**-3) * (1 + 2.0**-6 * numpy.arange(8)), c
    tiny = 2.0 ** (least - (10 if kind == "f16" else 0))
    yield "tiny", small(16, k) * tiny, small(k, 8), small(16, 8) * tiny * 2.0**-2
    a, b, c = normal((16, k)), normal((k, 8)), normal((16, 8))
    a[0, 0], a[1, 1], b[2, 2], c[3, 3] = numpy.inf, numpy.nan, -numpy.inf, numpy.nan
    a[4, 3], b[3, 4], c[5, 5], c[6, 6] = numpy.inf, 0, numpy.inf, -numpy.inf
    a[7, :], b[:, 5], a[8, :] = 60000.0, 60000.0, -0.0
    a[9, 0], a[9, 1], b[0, 6], b[1, 6] = numpy.inf, -numpy.inf, 1, 1
    c[10, :] = 3.0e38 if kind != "f64" else 1.0e308
    yield "special", a, b, c


def unify(cases):
    return [numpy.concatenate([case[i] for case in cases]) for i in range(len(cases[0]))]


def build(op, k, places, bits, matrices, kinds, registers, **more):
    columns = []
    for name, *three in matrices:
        lanes = [fragment(m, place, width) for m, place, width in zip(three, places, bits)]
        columns.append([f[:, r] for f in lanes for r in range(f.shape[1])])
    sizes = [columns_of(place, width) for place, width in zip(places, bits)]
    results = registers
    starts = numpy.cumsum([0, *sizes])
    groups = ["{" + ", ".join("%" + LETTERS[i] for i in range(low, high)) + "}" for low, high in pairwise(starts)]
    code = f"{op} {{{', '.join(f'%r{i}' for i in range(results))}}}, {', '.join(groups)};"
    ins = tuple(kind for kind, size in zip(kinds, sizes) for _ in range(size))
    width = 64 if bits[2] == 64 else 32
    names = [name for name, *_ in matrices]
    return Case(op, code, width, ins, inputs=unify(columns), results=results, block=32, extra={"warps": names}, **more)


def columns_of(place, width):
    return len(place) * width // 32 if width < 64 else len(place)


def floats():
    forms = [(8, "f16", "sm_75"), (16, "f16", "sm_80"), (8, "bf16", "sm_80"), (16, "bf16", "sm_80"), (4, "tf32", "sm_80"), (8, "tf32", "sm_80")]
    for k, kind, target in forms:
        bits = 32 if kind == "tf32" else 16
        for accumulate in ("f32", "f16") if kind == "f16" else ("f32",):
            random = numpy.random.default_rng(k)
            matrices = []
            for name, a, b, c in families(k, kind, random):
                with numpy.errstate(over="ignore"):
                    matrices.append((name, encode(a, kind), encode(b, kind), encode(c, accumulate)))
            op = f"mma.sync.aligned.m16n8k{k}.row.col.{accumulate}.{kind}.{kind}.{accumulate}"
            element = {"tf32": "f32m"}.get(kind, f"{kind}x2m")
            total = "f16x2m" if accumulate == "f16" else "f32m"
            places = (a_place(k, bits), b_place(k, bits), c_place())
            widths = (bits, bits, 16 if accumulate == "f16" else 32)
            registers = 2 if accumulate == "f16" else 4
            yield build(op, k, places, widths, matrices, (element, element, total), registers, target=target)


def doubles():
    random = numpy.random.default_rng(64)
    matrices = []
    for name, a, b, c in families(4, "f64", random):
        if name != "dominant":
            matrices.append((name, *(encode(m, "f64") for m in (a[:8], b, c[:8]))))
    places = ([(G, T)], [(T, G)], c_place(8))
    op = "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64"
    yield build(op, 4, places, (64, 64, 64), matrices, ("f64m",) * 3, 2, target="sm_80")


def integers():
    for m, k, target in ((8, 16, "sm_75"), (16, 16, "sm_80"), (16, 32, "sm_80")):
        for a_kind in ("s8", "u8"):
            for b_kind in ("s8", "u8"):
                for saturate in ("", ".satfinite"):
                    random = numpy.random.default_rng(k + m)
                    byte = lambda *shape: random.integers(0, 256, shape).astype(numpy.uint8)
                    c = random.integers(0, 2**32, (m, 8)).astype(numpy.uint32)
                    rim = numpy.where(numpy.arange(8) % 2, 0x7FFFFF00, 0x80000100).astype(numpy.uint32) + numpy.zeros((m, 8), numpy.uint32)
                    matrices = [("random", byte(m, k), byte(k, 8), c), ("rim", byte(m, k), byte(k, 8), rim)]
                    per_a = [(G, T * 4 + i) for i in range(4)] if m == 8 else a_place(k, 8)
                    places = (per_a, b_place(k, 8), c_place(m))
                    op = f"mma.sync.aligned.m{m}n8k{k}.row.col{saturate}.s32.{a_kind}.{b_kind}.s32"
                    kinds = ("u32", "u32", "s32")
                    yield build(op, k, places, (8, 8, 32), matrices, kinds, m // 4, target=target)


def cases():
    for part in (floats, doubles, integers):
        yield from part()
