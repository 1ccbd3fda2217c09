"""Instructions that look across a warp: votes, matches, shuffles, reductions, barriers with a result."""

import numpy

from frames import Case
from values import generate

ALL = "0xffffffff"
# name, membermask, and the condition (on lane %t7) under which a lane takes part
MEMBERS = (("all", ALL, None), ("low", "0x0000ffff", "lt.u32 %p7, %t7, 16"), ("odd", "0xaaaaaaaa", "eq.u32 %p7, %t6, 1"))
PROLOGUE = "mov.u32 %t7, %laneid; and.b32 %t6, %t7, 1; mov.b32 %r0, 0xdeadbeef; "


def words(kind="u32", count=128, operand=0):
    return generate(kind, operand, count, first=1 << 31)


def few():
    """Values with many repeats, and floats that compare in odd ways."""
    table = numpy.array([0, 1, 0x7FC00000, 0x80000000], numpy.uint32)
    return table[words("u32", operand=1) % 4]


def case(op, code, out, ins, inputs, **more):
    return Case(op, PROLOGUE + code, out, ins, inputs=inputs, block=32, sweep=False, **more)


def votes():
    # Warps: none, all, some, one.
    flags = numpy.array([0] * 32 + [1] * 32 + [i % 3 == 0 for i in range(32)] + [i == 17 for i in range(32)], numpy.uint32)
    for name, mask, condition in MEMBERS:
        guard, test = ("@%p7 ", f"setp.{condition}; ") if condition else ("", "")
        for mode in ("all", "any", "uni"):
            for negate in ("", "!"):
                code = f"setp.ne.u32 %p0, %a, 0; {test}{guard}vote.sync.{mode}.pred %p1, {negate}%p0, {mask}; "
                code += f"{guard}selp.b32 %r0, 1, 0, %p1;"
                yield case(f"vote.sync.{mode}.pred {negate}p {name}", code, 32, ("u32",), [flags])
        code = f"setp.ne.u32 %p0, %a, 0; {test}{guard}vote.sync.ballot.b32 %r0, %p0, {mask};"
        yield case(f"vote.sync.ballot.b32 {name}", code, 32, ("u32",), [flags])
        code = f"{test}{guard}activemask.b32 %r0;"
        yield case(f"activemask.b32 {name}", code, 32, ("u32",), [flags])
        for w in (32, 64):
            wide = few() if w == 32 else few().astype(numpy.uint64) << numpy.uint64(31)
            code = f"{test}{guard}match.any.sync.b{w} %r0, %a, {mask};"
            yield case(f"match.any.sync.b{w} {name}", code, 32, (f"u{w}",), [wide])
            same = numpy.where(numpy.arange(128) < 64, wide[0], wide).astype(wide.dtype)
            code = f"mov.u32 %r1, 7; {test}{guard}match.all.sync.b{w} %r0|%p0, %a, {mask}; {guard}selp.u32 %r1, 1, 0, %p0;"
            yield case(f"match.all.sync.b{w} {name}", code, 32, (f"u{w}",), [same], results=2)


def shuffles():
    lanes = words("u32")
    for mode in ("up", "down", "bfly", "idx"):
        clamp = 0 if mode == "up" else 31
        for width in (32, 16, 8, 4, 2, 1):
            control = (32 - width) << 8 | clamp
            distances = numpy.array([n for n in (0, 1, 3, width // 2, width - 1, width, 31, 37) for _ in range(32)], numpy.uint32)
            data = words("u32", len(distances))
            code = f"shfl.sync.{mode}.b32 %r0|%p0, %a, %b, 0x{control:x}, {ALL}; selp.u32 %r1, 1, 0, %p0;"
            yield case(f"shfl.sync.{mode}.b32 width {width}", code, 32, ("u32", "u32"), [data, distances], results=2)
        # Each lane its own distance and clamp; the source lane may lie outside.
        own = words("lane", operand=2).astype(numpy.uint32)
        control = words("u32", operand=3) & numpy.uint32(0x1F1F)
        code = f"shfl.sync.{mode}.b32 %r0|%p0, %a, %b, %c, {ALL}; selp.u32 %r1, 1, 0, %p0;"
        yield case(f"shfl.sync.{mode}.b32 own", code, 32, ("u32",) * 3, [lanes, own, control], results=2)
        code = f"shfl.sync.{mode}.b32 %r0, %a, %b, 0x{clamp:x}, {ALL};"
        yield case(f"shfl.sync.{mode}.b32 no predicate", code, 32, ("u32", "u32"), [lanes, own])
    code = "setp.lt.u32 %p7, %t7, 16; @%p7 shfl.sync.bfly.b32 %r0, %a, 3, 0x1f, 0xffff;"
    yield case("shfl.sync.bfly.b32 half", code, 32, ("u32",), [lanes])


def reductions():
    data = words("u32")
    for name, mask, condition in MEMBERS:
        guard, test = ("@%p7 ", f"setp.{condition}; ") if condition else ("", "")
        for op in ("add.u32", "add.s32", "min.u32", "min.s32", "max.u32", "max.s32", "and.b32", "or.b32", "xor.b32"):
            sparse = data | numpy.uint32(0xF0F00000) if op[:3] == "and" else data
            code = f"{test}{guard}redux.sync.{op} %r0, %a, {mask};"
            yield case(f"redux.sync.{op} {name}", code, 32, ("u32",), [sparse], target="sm_80")
        code = f"{test}{guard}elect.sync %t0|%p0, {mask}; {guard}selp.u32 %r0, 1, 0, %p0; mov.u32 %r1, 7; {guard}mov.b32 %r1, %t0;"
        yield case(f"elect.sync {name}", code, 32, ("u32",), [data], results=2, target="sm_90", version="8.0")


def registers():
    for name in ("laneid", "lanemask_eq", "lanemask_le", "lanemask_lt", "lanemask_ge", "lanemask_gt", "tid.x", "ntid.x", "ctaid.x"):
        yield case(f"%{name}", f"mov.u32 %r0, %{name};", 32, ("u32",), [words()])
    code = "bar.warp.sync 0xffffffff; mov.b32 %r0, %a;"
    yield case("bar.warp.sync", code, 32, ("u32",), [words()])


def barriers():
    flags = numpy.array([1] * 128 + [0] * 128 + [i % 5 == 2 for i in range(128)], numpy.uint32)
    for mode in ("and", "or"):
        for negate in ("", "!"):
            code = f"setp.ne.u32 %p0, %a, 0; barrier.sync.aligned 0; barrier.red.{mode}.pred %p1, 1, {negate}%p0; selp.u32 %r0, 1, 0, %p1;"
            yield Case(f"barrier.red.{mode}.pred {negate}p", code, 32, ("u32",), inputs=[flags], sweep=False)
            code = f"setp.ne.u32 %p0, %a, 0; bar.sync 0; bar.red.{mode}.pred %p1, 1, {negate}%p0; selp.u32 %r0, 1, 0, %p1;"
            yield Case(f"bar.red.{mode}.pred {negate}p", code, 32, ("u32",), inputs=[flags], sweep=False)
    code = "setp.ne.u32 %p0, %a, 0; bar.red.popc.u32 %r0, 2, %p0;"
    yield Case("bar.red.popc.u32", code, 32, ("u32",), inputs=[flags], sweep=False)
    for op in ("membar.cta", "membar.gl", "membar.sys", "fence.acq_rel.cta", "fence.sc.gpu", "nanosleep.u32 20"):
        yield Case(op, f"{op}; mov.b32 %r0, %a;", 32, ("u32",), inputs=[flags], sweep=False)


def cases():
    for part in (votes, shuffles, reductions, registers, barriers):
        yield from part()
