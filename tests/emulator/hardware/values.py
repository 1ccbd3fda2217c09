"""Input values: the edges of each type, and a generator that a reader in any language can repeat. README.md defines both."""

import itertools

import numpy

U64 = numpy.uint64
GOLDEN = U64(0x9E3779B97F4A7C15)
SWEEP = 65536

# type: (exponent bits, mantissa bits)
FLOATS = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52)}
PAIRS = {"f16x2": "f16", "bf16x2": "bf16", "u16x2": "u16", "f16x2m": "f16m", "bf16x2m": "bf16m"}
# Finite ones for sums of products: exponents within this distance of the bias.
MATRIX = {"f16m": ("f16", 14), "bf16m": ("bf16", 15), "f32m": ("f32", 15), "f64m": ("f64", 60)}
WIDTHS = {"u8": 8, "s8": 8, "u16": 16, "s16": 16, "f16": 16, "bf16": 16, "u32": 32, "s32": 32, "f32": 32, "b16": 16}
WIDTHS |= {"b32": 32, "u64": 64, "s64": 64, "b64": 64, "f64": 64, "f16x2": 32, "bf16x2": 32, "u16x2": 32, "e8x2": 16}
WIDTHS |= {"shift": 32, "lane": 32, "f16m": 16, "bf16m": 16, "f32m": 32, "f64m": 64, "f16x2m": 32, "bf16x2m": 32}
DTYPES = {8: numpy.uint8, 16: numpy.uint16, 32: numpy.uint32, 64: numpy.uint64}


def float_edges(kind):
    """The most telling ones first, for products of few."""
    e, m = FLOATS[kind]
    bias, top = (1 << (e - 1)) - 1, (1 << e) - 1
    sign, one, infinity = 1 << (e + m), bias << m, top << m
    quiet = infinity | 1 << (m - 1)
    values = [sign, one, infinity, quiet | 5, 1, infinity - 1]
    values += [0, sign | one, sign | infinity, infinity | 3, 1 << m, sign | (1 << m) - 1]
    values += [sign | quiet | 2, sign | infinity | 1, sign | 1, (1 << m) - 1, sign | 1 << m, sign | infinity - 1]
    values += [one | 1, one - 1, one + (1 << m - 1), one - (1 << m), one - (1 << m) + 1, sign | one + (1 << m - 1)]
    values += [(bias + m << m) & infinity | 1, (bias + m - 1 << m) & infinity | 1, (bias + 1 << m) | (1 << m - 2)]
    # Where integers end: 2^7, 2^8, 2^15, 2^16, 2^31, 2^32, 2^63, 2^64, and just below.
    for power in (7, 8, 15, 16, 31, 32, 63, 64):
        if power <= bias:
            values += [bias + power << m, (bias + power << m) - 1, sign | bias + power << m]
    return values


def integer_edges(width, signed):
    top = 1 << width
    values = [0, 1, top - 1, top >> 1, (top >> 1) - 1, 2]
    values += [3, 7, top - 2, (top >> 1) + 1, width - 1, width]
    values += [width + 1, 255, 128, top - 128, 10, top - 10]
    return [v % top for v in values] + ([(0x0123456789ABCDEF) % top] if not signed else [0xFEDCBA9876543210 % top])


def edges(kind):
    if kind in FLOATS:
        return float_edges(kind)
    if kind in PAIRS:
        half = edges(PAIRS[kind])
        return [low | half[(7 * i + 3) % len(half)] << 16 for i, low in enumerate(half)]
    if kind == "shift":
        return [0, 1, 31, 32, 16, 63, 33, 64, 15, 0x80000000, 0xFFFFFFFF, 255, 8, 0x101]
    if kind == "lane":
        return list(range(32))
    if kind == "e8x2":
        return [0x7F7E, 0x807F, 0x0100, 0xFF01, 0x7B7C, 0x7D08, 0xFBFC, 0x3C38]
    return integer_edges(WIDTHS[kind], kind[0] == "s")


def mix(z):
    """splitmix64's finaliser."""
    with numpy.errstate(over="ignore"):
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        return z ^ (z >> U64(31))


def generate(kind, operand, count, first=0):
    """Elements first .. first+count of an operand's sweep, as an array of unsigned integers of the type's width."""
    if kind in PAIRS:
        low = generate(PAIRS[kind], operand, count, first).astype(numpy.uint32)
        high = generate(PAIRS[kind], operand, count, first + (1 << 20)).astype(numpy.uint32)
        return low | high << numpy.uint32(16)
    index = numpy.arange(first, first + count, dtype=U64)
    with numpy.errstate(over="ignore"):
        r = mix((index * U64(4) + U64(operand + 1)) * GOLDEN)
    s = mix(r)
    which, extra = s & U64(7), s >> U64(3)
    if kind == "shift":
        r = r & U64(63)
    elif kind == "lane":
        r = r & U64(31)
    if kind in MATRIX:
        return finite(*MATRIX[kind], r, which, extra)
    width = WIDTHS[kind]
    mask = U64((1 << width) - 1)
    bits = r & mask
    if kind in FLOATS:
        e, m = FLOATS[kind]
        bias = (1 << (e - 1)) - 1
        keep = bits & U64((1 << (e + m)) | ((1 << m) - 1))
        near = keep | (U64(bias - 4) + (extra & U64(7))) << U64(m)
        rim = numpy.array([0, 1, (1 << e) - 2, min(bias + m, (1 << e) - 2)], U64)[(extra & U64(3)).astype(int)]
        bits = numpy.where((which >= 3) & (which <= 5), near, bits)
        bits = numpy.where(which == 6, keep | rim << U64(m), bits)
    elif kind not in ("shift", "lane"):
        small = ((bits & U64(255)) - U64(128)) & mask
        power = ((U64(1) << (extra % U64(width))) - (extra >> U64(9) & U64(1))) & mask
        bits = numpy.where((which == 4) | (which == 5), small, bits)
        bits = numpy.where(which == 6, power, bits)
    if kind != "lane":
        table = numpy.array(edges(kind), U64)
        bits = numpy.where(which == 7, table[(extra % U64(len(table))).astype(int)], bits)
    return bits.astype(DTYPES[width])


def finite(kind, reach, r, which, extra):
    """Half of them within a factor of 16 of one, half within 2^reach."""
    e, m = FLOATS[kind]
    bias = (1 << (e - 1)) - 1
    keep = r & U64((1 << (e + m)) | ((1 << m) - 1))
    near = U64(bias - 4) + (extra & U64(7))
    far = U64(bias - reach) + extra % U64(2 * reach + 1)
    exponent = numpy.where(which < 4, near, far)
    return (keep | exponent << U64(m)).astype(DTYPES[1 + e + m])


def sample(kinds):
    """The listed inputs of a signature: products of edges, then 24 generated ones. One array an operand."""
    some = {1: 64, 2: 10, 3: 5, 4: 3}[len(kinds)]
    product = list(itertools.product(*[edges(kind)[:some] for kind in kinds]))
    columns = []
    for operand, kind in enumerate(kinds):
        head = numpy.array([row[operand] for row in product], U64).astype(DTYPES[WIDTHS[kind]])
        columns.append(numpy.concatenate([head, generate(kind, operand, 24, first=1 << 30)]))
    return columns


def digest(array):
    """Order-aware sum that numpy and Rust compute alike: sum of mix(value + (i + 1) * GOLDEN), modulo 2^64."""
    flat = array.reshape(-1).astype(U64)
    with numpy.errstate(over="ignore"):
        keys = flat + numpy.arange(1, len(flat) + 1, dtype=U64) * GOLDEN
        return f"{int(mix(keys).sum(dtype=U64)):016x}"


def hexes(array):
    """Fixed-width big-endian digits, run together."""
    return array.astype(array.dtype.newbyteorder(">")).tobytes().hex()


def unhex(text, width):
    return numpy.frombuffer(bytes.fromhex(text), numpy.dtype(DTYPES[width]).newbyteorder(">")).astype(DTYPES[width])
