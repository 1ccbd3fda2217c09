"""Integer and bit instructions, one case each."""

from frames import Case, simple


def widths(kind):
    return int(kind[1:])


def arithmetic():
    for kind in ("u16", "s16", "u32", "s32", "u64", "s64"):
        w = widths(kind)
        for op in ("add", "sub", "mul.lo", "mul.hi", "div", "rem", "min", "max"):
            yield simple(f"{op}.{kind}", w, (kind, kind))
        for op in ("mad.lo", "mad.hi"):
            yield simple(f"{op}.{kind}", w, (kind,) * 3)
        if w < 64:
            wide = kind[0] + str(2 * w)
            yield simple(f"mul.wide.{kind}", 2 * w, (kind, kind))
            yield simple(f"mad.wide.{kind}", 2 * w, (kind, kind, wide))
        if kind[0] == "s":
            yield simple(f"abs.{kind}", w, (kind,))
            yield simple(f"neg.{kind}", w, (kind,))
    for kind in ("u32", "s32"):
        for half in ("lo", "hi"):
            yield simple(f"mul24.{half}.{kind}", 32, (kind, kind))
            yield simple(f"mad24.{half}.{kind}", 32, (kind,) * 3)
        yield simple(f"sad.{kind}", 32, (kind,) * 3)
    for kind in ("u16", "s16", "u64", "s64"):
        yield simple(f"sad.{kind}", widths(kind), (kind,) * 3)
    yield simple("mad24.hi.sat.s32", 32, ("s32",) * 3)
    yield simple("mad.hi.sat.s32", 32, ("s32",) * 3)
    yield simple("add.sat.s32", 32, ("s32", "s32"))
    yield simple("sub.sat.s32", 32, ("s32", "s32"))
    for op in ("add", "min", "max"):
        for kind in ("u16x2", "s16x2"):
            yield simple(f"{op}.{kind}", 32, ("u16x2", "u16x2"), target="sm_90", version="8.0")
    for op in ("min", "max"):
        yield simple(f"{op}.relu.s32", 32, ("s32", "s32"), target="sm_90", version="8.0")


def carries():
    for w in (32, 64):
        kind = f"u{w}"
        for first, second in (("add", "addc"), ("sub", "subc")):
            code = f"{first}.cc.{kind} %r0, %a, %b; {second}.{kind} %r1, %c, %d;"
            yield Case(f"{first}.cc.{kind} {second}.{kind}", code, w, (kind,) * 4, results=2)
            code = f"{first}.cc.{kind} %r0, %a, %b; {second}.cc.{kind} %r1, %c, %d; {second}.{kind} %r2, 0, 0;"
            yield Case(f"{first}.cc.{kind} {second}.cc.{kind}", code, w, (kind,) * 4, results=3)
        code = f"mad.lo.cc.{kind} %r0, %a, %b, %c; madc.hi.{kind} %r1, %a, %b, 0;"
        yield Case(f"mad.lo.cc.{kind} madc.hi.{kind}", code, w, (kind,) * 3, results=2)
    code = "mad.hi.cc.u32 %r0, %a, %b, %c; madc.lo.cc.u32 %r1, %a, %b, %c; addc.u32 %r2, 0, 0;"
    yield Case("mad.hi.cc.u32 madc.lo.cc.u32", code, 32, ("u32",) * 3, results=3)


def bits():
    for w in (16, 32, 64):
        for op in ("and", "or", "xor"):
            yield simple(f"{op}.b{w}", w, (f"u{w}",) * 2)
        for op in ("not", "cnot"):
            yield simple(f"{op}.b{w}", w, (f"u{w}",))
        yield simple(f"shl.b{w}", w, (f"u{w}", "shift"))
        yield simple(f"shr.u{w}", w, (f"u{w}", "shift"))
        yield simple(f"shr.s{w}", w, (f"s{w}", "shift"))
    for w in (32, 64):
        for op in ("brev",):
            yield simple(f"{op}.b{w}", w, (f"u{w}",))
        for op in ("clz", "popc"):
            yield simple(f"{op}.b{w}", 32, (f"u{w}",))
        for sign in "us":
            yield simple(f"bfind.{sign}{w}", 32, (f"{sign}{w}",))
            yield simple(f"bfind.shiftamt.{sign}{w}", 32, (f"{sign}{w}",))
            yield simple(f"bfe.{sign}{w}", w, (f"{sign}{w}", "shift", "shift"))
        yield simple(f"bfi.b{w}", w, (f"u{w}", f"u{w}", "shift", "shift"))
    yield simple("fns.b32", 32, ("u32", "lane", "s32"), sweep=False)
    for mode in ("", ".f4e", ".b4e", ".rc8", ".ecl", ".ecr", ".rc16"):
        yield simple(f"prmt.b32{mode}", 32, ("u32",) * 3)
    for side in "lr":
        for mode in ("wrap", "clamp"):
            yield simple(f"shf.{side}.{mode}.b32", 32, ("u32", "u32", "shift"))
    for table in (0x00, 0x1B, 0x3C, 0x6A, 0x80, 0x96, 0xCA, 0xE8, 0xFE, 0xFF):
        yield Case(f"lop3.b32 0x{table:02x}", f"lop3.b32 %r0, %a, %b, %c, 0x{table:02x};", 32, ("u32",) * 3)
    for mode in ("wrap", "clamp"):
        yield simple(f"bmsk.{mode}.b32", 32, ("shift", "shift"), version="7.6")
        for sign in "us":
            yield simple(f"szext.{mode}.{sign}32", 32, (f"{sign}32", "shift"), version="7.6")


def dots():
    for a in "us":
        for b in "us":
            kinds = ("u32", "u32", "s32")
            yield simple(f"dp4a.{a}32.{b}32", 32, kinds)
            for half in ("lo", "hi"):
                yield simple(f"dp2a.{half}.{a}32.{b}32", 32, kinds)


def moves():
    yield Case("mov.b64 {lo,hi}", "mov.b64 {%r0, %r1}, %a; ", 32, ("u64",), results=2)
    yield Case("mov.b64 pack", "mov.b64 %r0, {%a, %b};", 64, ("u32", "u32"))
    yield Case("mov.b32 pack", "mov.b32 %r0, {%a, %b};", 32, ("u16", "u16"))
    yield Case("mov.b32 {lo,hi}", "mov.b32 {%r0, %r1}, %a;", 16, ("u32",), results=2)
    yield Case("mov.b64 quarters", "mov.b64 {%r0, %r1, %r2, %r3}, %a;", 16, ("u64",), results=4)


def cases():
    for part in (arithmetic, carries, bits, dots, moves):
        yield from part()
