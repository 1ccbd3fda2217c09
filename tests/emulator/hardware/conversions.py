"""`cvt` between all types, with every rounding and saturation that assembles."""

from frames import Case, simple
from values import WIDTHS

INTEGERS = ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64")


def out(kind):
    """Results of 8 bits are stored in 16, to show how the register is filled."""
    return max(WIDTHS[kind], 16)


def contains(to, source):
    """Whether every value of `source` is one of `to`: there is nothing to saturate, and `.sat` does not assemble."""
    wider = WIDTHS[to] > WIDTHS[source]
    return wider and (to[0] == source[0] or source[0] == "u")


def between_integers():
    for to in INTEGERS:
        for source in INTEGERS:
            if to != source:
                yield simple(f"cvt.{to}.{source}", out(to), (source,))
                if not contains(to, source):
                    yield simple(f"cvt.sat.{to}.{source}", out(to), (source,))


def from_integers():
    for source in INTEGERS:
        for to in ("f16", "f32", "f64"):
            for rounding in ("rn", "rz", "rm", "rp"):
                yield simple(f"cvt.{rounding}.{to}.{source}", out(to), (source,))
        yield simple(f"cvt.rn.sat.f32.{source}", 32, (source,))
        for rounding in ("rn", "rz", "rm", "rp") if WIDTHS[source] > 8 else ():
            yield simple(f"cvt.{rounding}.bf16.{source}", 16, (source,), target="sm_90")


def to_integers():
    for source in ("f16", "f32", "f64", "bf16"):
        more = {"target": "sm_90"} if source == "bf16" else {}
        for to in INTEGERS[2:] if source == "bf16" else INTEGERS:
            for rounding in ("rni", "rzi", "rmi", "rpi"):
                yield simple(f"cvt.{rounding}.{to}.{source}", out(to), (source,), **more)
            if source == "f32":
                yield simple(f"cvt.rzi.ftz.{to}.f32", out(to), (source,))
                yield simple(f"cvt.rpi.ftz.sat.{to}.f32", out(to), (source,))
            if source != "bf16":
                yield simple(f"cvt.rni.sat.{to}.{source}", out(to), (source,))


def between_floats():
    for rounding in ("rni", "rzi", "rmi", "rpi"):
        for kind in ("f16", "f32", "f64"):
            yield simple(f"cvt.{rounding}.{kind}.{kind}", out(kind), (kind,))
            yield simple(f"cvt.{rounding}.sat.{kind}.{kind}", out(kind), (kind,))
        yield simple(f"cvt.{rounding}.bf16.bf16", 16, ("bf16",), target="sm_90")
        yield simple(f"cvt.{rounding}.ftz.f32.f32", 32, ("f32",))
    for to, source in (("f16", "f32"), ("f16", "f64"), ("f32", "f64")):
        for rounding in ("rn", "rz", "rm", "rp"):
            for sat in ("", ".sat"):
                yield simple(f"cvt.{rounding}{sat}.{to}.{source}", out(to), (source,))
                if "f32" in (to, source):
                    yield simple(f"cvt.{rounding}.ftz{sat}.{to}.{source}", out(to), (source,))
    for to, source in (("f32", "f16"), ("f64", "f16"), ("f64", "f32"), ("f32", "f32"), ("f16", "f16"), ("f64", "f64")):
        yield simple(f"cvt.{to}.{source}", out(to), (source,))
        yield simple(f"cvt.sat.{to}.{source}", out(to), (source,))
    for to, source in (("f32", "f16"), ("f64", "f32"), ("f32", "f32")):
        yield simple(f"cvt.ftz.{to}.{source}", out(to), (source,))
    for source in ("f16", "f64"):
        for rounding in ("rn", "rz", "rm", "rp") if WIDTHS[source] > 8 else ():
            yield simple(f"cvt.{rounding}.bf16.{source}", 16, (source,), target="sm_90")
    yield simple("cvt.f32.bf16", 32, ("bf16",), target="sm_90")
    yield simple("cvt.f64.bf16", 64, ("bf16",), target="sm_90")
    yield simple("cvt.rn.f16.bf16", 16, ("bf16",), target="sm_90")
    for rounding in ("rm", "rp"):
        yield simple(f"cvt.{rounding}.bf16.f32", 16, ("f32",), target="sm_90")
    for rounding in ("rn", "rz"):
        for relu in ("", ".relu"):
            yield simple(f"cvt.{rounding}{relu}.bf16.f32", 16, ("f32",), target="sm_80")
            yield simple(f"cvt.{rounding}{relu}.f16.f32", 16, ("f32",), target="sm_80")
            for pair in ("f16x2", "bf16x2"):
                yield simple(f"cvt.{rounding}{relu}.{pair}.f32", 32, ("f32", "f32"), target="sm_80")
            yield simple(f"cvt.{rounding}{relu}.tf32.f32", 32, ("f32",), target="sm_90")
    yield simple("cvt.rna.tf32.f32", 32, ("f32",), target="sm_80")


def eights():
    for kind in ("e4m3x2", "e5m2x2"):
        for relu in ("", ".relu"):
            more = {"target": "sm_89", "version": "8.1"}
            yield simple(f"cvt.rn.satfinite{relu}.{kind}.f32", 16, ("f32", "f32"), **more)
            yield simple(f"cvt.rn.satfinite{relu}.{kind}.f16x2", 16, ("f16x2",), **more)
            yield simple(f"cvt.rn{relu}.f16x2.{kind}", 32, ("e8x2",), **more)


def packs():
    for to in ("s8", "u8"):
        yield simple(f"cvt.pack.sat.{to}.s32.b32", 32, ("s32", "s32", "u32"), version="6.5")
    for to in ("s16", "u16"):
        yield simple(f"cvt.pack.sat.{to}.s32", 32, ("s32", "s32"), version="6.5")


def wide_registers():
    """A source narrower than its register is cut, a destination narrower than its register is extended."""
    for to in ("u8", "s8", "u16", "s16"):
        yield Case(f"cvt.{to}.u32 into b32", f"cvt.{to}.u32 %r0, %a;", 32, ("u32",))
        yield Case(f"cvt.rzi.{to}.f32 into b32", f"cvt.rzi.{to}.f32 %r0, %a;", 32, ("f32",))
        yield Case(f"cvt.s32.{to} from b32", f"cvt.s32.{to} %r0, %a;", 32, ("u32",))
        yield Case(f"cvt.rn.f32.{to} from b32", f"cvt.rn.f32.{to} %r0, %a;", 32, ("u32",))


def cases():
    for part in (between_integers, from_integers, to_integers, between_floats, eights, packs, wide_registers):
        yield from part()
