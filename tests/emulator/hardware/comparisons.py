"""`setp`, `set`, `selp`, `slct` and predicate logic. All comparisons of one type make one case, a bit each."""

from frames import Case, simple

ORDERED = ("eq", "ne", "lt", "le", "gt", "ge")
UNORDERED = ("equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan")
FLOATS = {"f32": "sm_75", "f64": "sm_75", "f16": "sm_75", "bf16": "sm_90"}


def setp(kind, names, inputs, ftz="", target="sm_75"):
    code = "mov.u32 %r0, 0; "
    for bit, name in enumerate(names):
        code += f"setp.{name}{ftz}.{kind} %p0, %a, %b; selp.u32 %t0, {1 << bit}, 0, %p0; or.b32 %r0, %r0, %t0; "
    op = f"setp.*{ftz}.{kind}"
    return Case(op, code.strip(), 32, (inputs, inputs), target=target, extra={"bits": list(names)})


def predicates():
    for w in (16, 32, 64):
        yield setp(f"b{w}", ORDERED[:2], f"u{w}")
        yield setp(f"s{w}", ORDERED, f"s{w}")
        yield setp(f"u{w}", (*ORDERED, "lo", "ls", "hi", "hs"), f"u{w}")
    for kind, target in FLOATS.items():
        yield setp(kind, ORDERED + UNORDERED, kind, target=target)
    for kind in ("f32", "f16"):
        yield setp(kind, ORDERED + UNORDERED, kind, ".ftz")
    for kind, target in (("f16x2", "sm_75"), ("bf16x2", "sm_90")):
        names = ORDERED + UNORDERED
        code = "mov.u32 %r0, 0; "
        for bit, name in enumerate(names):
            code += f"setp.{name}.{kind} %p0|%p1, %a, %b; selp.u32 %t0, {1 << bit}, 0, %p0; or.b32 %r0, %r0, %t0; "
            code += f"selp.u32 %t0, {1 << bit + 16}, 0, %p1; or.b32 %r0, %r0, %t0; "
        yield Case(f"setp.*.{kind}", code.strip(), 32, (kind, kind), target=target, extra={"bits": list(names)})


def logic():
    give = "selp.u32 %r0, 1, 0, %p1; selp.u32 %t0, 2, 0, %p2; or.b32 %r0, %r0, %t0;"
    for op in ("and", "or", "xor"):
        code = f"setp.ne.u32 %p0, %c, 0; setp.lt.{op}.s32 %p1|%p2, %a, %b, %p0; {give}"
        yield Case(f"setp.lt.{op}.s32 p|q", code, 32, ("s32", "s32", "lane"))
        code = f"setp.ne.u32 %p0, %c, 0; setp.ltu.{op}.f32 %p1|%p2, %a, %b, !%p0; {give}"
        yield Case(f"setp.ltu.{op}.f32 p|q, !r", code, 32, ("f32", "f32", "lane"))
        code = f"setp.lt.s32 %p0, %a, 0; setp.lt.s32 %p3, %b, 0; {op}.pred %p1, %p0, %p3; not.pred %p2, %p1; {give}"
        yield Case(f"{op}.pred not.pred", code, 32, ("s32", "s32"))
    code = "setp.lt.s32 %p0, %a, %b; mov.u32 %r0, 7; @%p0 add.s32 %r0, %a, 1; @!%p0 sub.s32 %r0, %b, 1;"
    yield Case("@p, @!p", code, 32, ("s32", "s32"))
    yield Case("mov.pred", f"setp.lt.s32 %p0, %a, 0; mov.pred %p1, %p0; mov.pred %p2, 1; {give}", 32, ("s32",))


def sets():
    for to in ("u32", "s32", "f32"):
        for name, kind in (("lt", "s32"), ("ls", "u32"), ("gtu", "f32"), ("nan", "f32"), ("le", "f64"), ("ne", "u64"), ("neu", "f64")):
            yield simple(f"set.{name}.{to}.{kind}", 32, (kind, kind))
        code = f"setp.lt.s32 %p0, %c, 0; set.lt.xor.{to}.s32 %r0, %a, %b, %p0;"
        yield Case(f"set.lt.xor.{to}.s32", code, 32, ("s32",) * 3)
    for ftz in ("", ".ftz"):
        for name in ("lt", "geu", "nan"):
            yield simple(f"set.{name}{ftz}.f16x2.f16x2", 32, ("f16x2", "f16x2"))
            yield simple(f"set.{name}{ftz}.f16.f16", 16, ("f16", "f16"))
    for name in ("lt", "geu", "nan"):
        yield simple(f"set.{name}.u16.f16", 16, ("f16", "f16"))
        yield simple(f"set.{name}.u32.f16x2", 32, ("f16x2", "f16x2"))
        yield simple(f"set.{name}.bf16x2.bf16x2", 32, ("bf16x2", "bf16x2"), target="sm_90")
        yield simple(f"set.{name}.u32.bf16", 32, ("bf16", "bf16"), target="sm_90")


def selects():
    for kind in ("b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"):
        w = int(kind[1:])
        inputs = {"b16": "u16", "b32": "u32", "b64": "u64"}.get(kind, kind)
        code = f"setp.lt.s32 %p0, %c, 0; selp.{kind} %r0, %a, %b, %p0;"
        yield Case(f"selp.{kind}", code, w, (inputs, inputs, "s32"), sweep=False)
        yield simple(f"slct.{kind}.s32", w, (inputs, inputs, "s32"), sweep=False)
    for ftz in ("", ".ftz"):
        yield simple(f"slct{ftz}.b32.f32", 32, ("u32", "u32", "f32"))


def cases():
    for part in (predicates, logic, sets, selects):
        yield from part()
