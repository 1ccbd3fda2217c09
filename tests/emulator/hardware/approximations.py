"""Approximate instructions: dense samples bit for bit, and the greatest error over a large sweep, so that tolerances have a ground."""

import numpy

from frames import simple
from values import FLOATS, mix

SWEEP = 1 << 21
SAMPLES = 512


def uniform(low, high, count, salt=0):
    """f32 evenly spread from low to high."""
    fraction = mix(numpy.arange(1 + salt, count + 1 + salt, dtype=numpy.uint64)).astype(numpy.float64) / 2.0**64
    return (low + (high - low) * fraction).astype(numpy.float32)


def logarithmic(low, high, count, signs=False, salt=0):
    """f32 whose logarithm is evenly spread from 2^low to 2^high."""
    values = numpy.exp2(uniform(low, high, count, salt).astype(numpy.float64)).astype(numpy.float32)
    odd = mix(numpy.arange(count, dtype=numpy.uint64)) & numpy.uint64(1)
    return numpy.where(odd == 1, -values, values).astype(numpy.float32) if signs else values


# op: (exact function on f64, [(domain's words, generator)])
UNARY = {
    "ex2.approx": (numpy.exp2, [("[-126, 128)", lambda n: uniform(-126, 127.99, n)), ("[-1, 1]", lambda n: uniform(-1, 1, n)), ("|x| in 2^[-40, -1]", lambda n: logarithmic(-40, -1, n, True)), ("[-150, -126] (subnormal results)", lambda n: uniform(-150, -126, n))]),
    "lg2.approx": (numpy.log2, [("2^[-126, 128)", lambda n: logarithmic(-126, 127.99, n)), ("[0.5, 2]", lambda n: uniform(0.5, 2, n)), ("[0.999, 1.001]", lambda n: uniform(0.999, 1.001, n)), ("2^[-149, -126] (subnormal)", lambda n: logarithmic(-148, -126, n))]),
    "rcp.approx": (lambda x: 1 / x, [("|x| in 2^[-126, 126]", lambda n: logarithmic(-126, 126, n, True)), ("[1, 2]", lambda n: uniform(1, 2, n)), ("2^[126, 128) (subnormal results)", lambda n: logarithmic(126.01, 127.99, n))]),
    "rsqrt.approx": (lambda x: 1 / numpy.sqrt(x), [("2^[-126, 128)", lambda n: logarithmic(-126, 127.99, n)), ("[1, 4]", lambda n: uniform(1, 4, n)), ("2^[-149, -126] (subnormal)", lambda n: logarithmic(-148, -126, n))]),
    "sqrt.approx": (numpy.sqrt, [("2^[-126, 128)", lambda n: logarithmic(-126, 127.99, n)), ("[1, 4]", lambda n: uniform(1, 4, n)), ("2^[-149, -126] (subnormal)", lambda n: logarithmic(-148, -126, n))]),
    "sin.approx": (numpy.sin, [("[-pi, pi]", lambda n: uniform(-3.1415925, 3.1415925, n)), ("[-100, 100]", lambda n: uniform(-100, 100, n)), ("|x| in 2^[-40, 0]", lambda n: logarithmic(-40, 0, n, True))]),
    "cos.approx": (numpy.cos, [("[-pi, pi]", lambda n: uniform(-3.1415925, 3.1415925, n)), ("[-100, 100]", lambda n: uniform(-100, 100, n))]),
    "tanh.approx": (numpy.tanh, [("[-10, 10]", lambda n: uniform(-10, 10, n)), ("|x| in 2^[-40, 0]", lambda n: logarithmic(-40, 0, n, True))]),
}
DIVISIONS = [
    ("a in 2^[-60, 60], b in 2^[-60, 60]", lambda n: (logarithmic(-60, 60, n, True), logarithmic(-60, 60, n, False, 1 << 22))),
    ("a in [1, 2], b in [1, 2]", lambda n: (uniform(1, 2, n), uniform(1, 2, n, 1 << 22))),
    ("a in 2^[0, 60], b in 2^[126, 128)", lambda n: (logarithmic(0, 60, n), logarithmic(126.01, 127.99, n, False, 1 << 22))),
]


def value(bits, kind):
    """Raw bits as f64."""
    if kind == "f64":
        return bits.view(numpy.float64)
    if kind == "f32":
        return bits.view(numpy.float32).astype(numpy.float64)
    if kind == "f16":
        return bits.view(numpy.float16).astype(numpy.float64)
    return (bits.astype(numpy.uint32) << 16).view(numpy.float32).astype(numpy.float64)


def errors(inputs, outputs, exact, kind):
    """Over finite results: greatest |err| in ulp of the exact value, relative, and absolute, each with the input where it is."""
    e, m = FLOATS[kind]
    with numpy.errstate(all="ignore"):
        wanted = exact(*[value(x, kind) for x in inputs])
        got = value(outputs, kind)
        difference = numpy.abs(got - wanted)
        lowest = 2 - (1 << (e - 1))
        exponent = numpy.maximum(numpy.floor(numpy.log2(numpy.maximum(numpy.abs(wanted), 1e-320))), lowest)
        measures = {"ulp": difference / numpy.exp2(exponent - m), "relative": difference / numpy.abs(wanted), "absolute": difference}
    row = {"count": len(got)}
    usable = numpy.isfinite(wanted) & numpy.isfinite(got) & (wanted != 0)
    row["not finite where exact is"] = int((numpy.isfinite(wanted) & (wanted != 0) & ~numpy.isfinite(got)).sum())
    for name, measure in measures.items():
        at = int(numpy.where(usable, measure, -1).argmax())
        row[name] = float(f"{measure[at]:.6g}")
        row[f"{name} at"] = [f"{int(x[at]):x}" for x in inputs]
    return row


def bits(array):
    return array.view({4: numpy.uint32, 8: numpy.uint64}[array.itemsize])


def spread(domains, arrays):
    """Listed samples: some of each domain."""
    each = SAMPLES // len(domains)
    parts = [[bits(a)[: each] for a in arrays(d)] for d in domains]
    return [numpy.concatenate([p[i] for p in parts]) for i in range(len(parts[0]))]


def cases():
    for op, (exact, domains) in UNARY.items():
        for ftz in ("",) if op == "tanh.approx" else ("", ".ftz"):
            inputs = spread(domains, lambda d: (d[1](SAMPLES),))
            sweeps = [(name, (lambda make=make: [bits(make(SWEEP))])) for name, make in domains]
            version = {"version": "7.0"} if op == "tanh.approx" else {}
            yield simple(f"{op}{ftz}.f32", 32, ("f32",), inputs=inputs, sweep=False, extra={"measure": (exact, sweeps, "f32")}, **version)
    for op in ("div.approx", "div.full"):
        for ftz in ("", ".ftz"):
            inputs = spread(DIVISIONS, lambda d: d[1](SAMPLES))
            sweeps = [(name, (lambda make=make: [bits(a) for a in make(SWEEP)])) for name, make in DIVISIONS]
            divide = lambda a, b: a / b
            yield simple(f"{op}{ftz}.f32", 32, ("f32", "f32"), inputs=inputs, sweep=False, extra={"measure": (divide, sweeps, "f32")})
    every = numpy.arange(65536, dtype=numpy.uint16)
    listed = [every[:: 65536 // SAMPLES]]
    for op, kind, exact, target, version in (
        ("tanh.approx.f16", "f16", numpy.tanh, "sm_75", "7.0"),
        ("ex2.approx.f16", "f16", numpy.exp2, "sm_75", "7.0"),
        ("tanh.approx.bf16", "bf16", numpy.tanh, "sm_90", "7.8"),
        ("ex2.approx.ftz.bf16", "bf16", numpy.exp2, "sm_90", "7.8"),
    ):
        sweeps = [("every value", lambda: [every])]
        yield simple(op, 16, (kind,), target=target, version=version, inputs=listed, sweep=False, extra={"measure": (exact, sweeps, kind)})
    wide = lambda n: [bits(numpy.exp2(uniform(-1000, 1000, n).astype(numpy.float64)) * (1 + mix(numpy.arange(n, dtype=numpy.uint64)).astype(numpy.float64) * 2.0**-64))]
    for op, exact in (("rcp.approx.ftz.f64", lambda x: 1 / x), ("rsqrt.approx.f64", lambda x: 1 / numpy.sqrt(x))):
        sweeps = [("2^[-1000, 1000]", lambda: wide(SWEEP // 4))]
        yield simple(op, 64, ("f64",), inputs=[wide(128)[0]], sweep=False, extra={"measure": (exact, sweeps, "f64")})
