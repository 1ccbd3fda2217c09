"""Floating-point instructions in f32, f64, f16 and bf16, one case each. Conversions are in `conversions.py`."""

from frames import Case, simple

ROUNDINGS = ("rn", "rz", "rm", "rp")
BF16 = {"target": "sm_80", "version": "7.0"}


def modifiers():
    for ftz in ("", ".ftz"):
        for sat in ("", ".sat"):
            yield ftz + sat


def f32():
    for rounding in ROUNDINGS:
        for more in modifiers():
            for op in ("add", "sub", "mul"):
                yield simple(f"{op}.{rounding}{more}.f32", 32, ("f32", "f32"))
            yield simple(f"fma.{rounding}{more}.f32", 32, ("f32",) * 3)
        for ftz in ("", ".ftz"):
            yield simple(f"div.{rounding}{ftz}.f32", 32, ("f32", "f32"))
            yield simple(f"rcp.{rounding}{ftz}.f32", 32, ("f32",))
            yield simple(f"sqrt.{rounding}{ftz}.f32", 32, ("f32",))
    for op in ("add", "sub", "mul"):
        yield simple(f"{op}.f32", 32, ("f32", "f32"))
    yield simple("mad.rn.f32", 32, ("f32",) * 3)
    for ftz in ("", ".ftz"):
        for op in ("div.full", "div.approx"):
            yield simple(f"{op}{ftz}.f32", 32, ("f32", "f32"))
        for op in ("rcp", "sqrt", "rsqrt", "ex2", "lg2", "sin", "cos"):
            yield simple(f"{op}.approx{ftz}.f32", 32, ("f32",))
        for op in ("abs", "neg"):
            yield simple(f"{op}{ftz}.f32", 32, ("f32",))
        for op in ("min", "max"):
            yield simple(f"{op}{ftz}.f32", 32, ("f32", "f32"))
            for more in (".NaN", ".xorsign.abs", ".NaN.xorsign.abs"):
                target = {"target": "sm_90" if "xorsign" in more else "sm_80", "version": "7.8" if "xorsign" in more else "7.0"}
                yield simple(f"{op}{ftz}{more}.f32", 32, ("f32", "f32"), **target)
    yield simple("tanh.approx.f32", 32, ("f32",), version="7.0")
    yield simple("copysign.f32", 32, ("f32", "f32"))
    yield tests("f32")


def tests(kind):
    """All of testp, one bit each from bit 0: finite, infinite, number, notanumber, normal, subnormal."""
    names = ("finite", "infinite", "number", "notanumber", "normal", "subnormal")
    code = "mov.u32 %r0, 0; "
    for bit, name in enumerate(names):
        code += f"testp.{name}.{kind} %p0, %a; selp.u32 %t0, {1 << bit}, 0, %p0; or.b32 %r0, %r0, %t0; "
    return Case(f"testp.*.{kind}", code.strip(), 32, (kind,))


def f64():
    for rounding in ROUNDINGS:
        for op in ("add", "sub", "mul"):
            yield simple(f"{op}.{rounding}.f64", 64, ("f64", "f64"))
        yield simple(f"fma.{rounding}.f64", 64, ("f64",) * 3)
        yield simple(f"div.{rounding}.f64", 64, ("f64", "f64"))
        yield simple(f"rcp.{rounding}.f64", 64, ("f64",))
        yield simple(f"sqrt.{rounding}.f64", 64, ("f64",))
    yield simple("rcp.approx.ftz.f64", 64, ("f64",))
    yield simple("rsqrt.approx.f64", 64, ("f64",))
    yield simple("rsqrt.approx.ftz.f64", 64, ("f64",), version="7.0")
    for op in ("min", "max", "copysign"):
        yield simple(f"{op}.f64", 64, ("f64", "f64"))
    for op in ("abs", "neg"):
        yield simple(f"{op}.f64", 64, ("f64",))
    yield tests("f64")


def halves():
    for kind, w in (("f16", 16), ("f16x2", 32)):
        for ftz in ("", ".ftz"):
            for sat in ("", ".sat"):
                for op in ("add", "sub", "mul"):
                    yield simple(f"{op}{ftz}{sat}.{kind}", w, (kind, kind))
                yield simple(f"fma.rn{ftz}{sat}.{kind}", w, (kind,) * 3)
            yield simple(f"fma.rn{ftz}.relu.{kind}", w, (kind,) * 3, target="sm_80")
            for op in ("abs", "neg"):
                yield simple(f"{op}{ftz}.{kind}", w, (kind,), version="6.5")
            for op in ("min", "max"):
                yield simple(f"{op}{ftz}.{kind}", w, (kind, kind), target="sm_80")
                yield simple(f"{op}{ftz}.NaN.{kind}", w, (kind, kind), target="sm_80")
                yield simple(f"{op}{ftz}.xorsign.abs.{kind}", w, (kind, kind), target="sm_90")
                yield simple(f"{op}{ftz}.NaN.xorsign.abs.{kind}", w, (kind, kind), target="sm_90")
        yield simple(f"add.rn.{kind}", w, (kind, kind))
        yield simple(f"mul.rn.{kind}", w, (kind, kind))
        yield simple(f"tanh.approx.{kind}", w, (kind,), version="7.0")
        yield simple(f"ex2.approx.{kind}", w, (kind,), version="7.0")


def brains():
    for kind, w in (("bf16", 16), ("bf16x2", 32)):
        yield simple(f"fma.rn.{kind}", w, (kind,) * 3, **BF16)
        yield simple(f"fma.rn.relu.{kind}", w, (kind,) * 3, **BF16)
        for op in ("abs", "neg"):
            yield simple(f"{op}.{kind}", w, (kind,), **BF16)
        for op in ("min", "max"):
            for more in ("", ".NaN"):
                yield simple(f"{op}{more}.{kind}", w, (kind, kind), **BF16)
            yield simple(f"{op}.xorsign.abs.{kind}", w, (kind, kind), target="sm_90")
        for op in ("add", "sub", "mul"):
            yield simple(f"{op}.rn.{kind}", w, (kind, kind), target="sm_90")
        yield simple(f"tanh.approx.{kind}", w, (kind,), target="sm_90")
        yield simple(f"ex2.approx.ftz.{kind}", w, (kind,), target="sm_90")


def cases():
    for part in (f32, f64, halves, brains):
        yield from part()
