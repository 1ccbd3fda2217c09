"""Loads, stores, atomics, copies and matrix loads."""

import numpy

from programs import TILE, Program
from values import WIDTHS, edges, generate

INPUT = generate("u32", 0, 512, first=1 << 32).tobytes()
OUT = ("out", 512)
NONE = ("in", bytes(16))


def through(op, code, **more):
    """Each lane moves its 16 bytes from the input to the output."""
    return Program(op, [OUT, ("in", INPUT[:512]), NONE], code, **more)


def registers(count, width):
    letter = {8: "s", 16: "s", 32: "t", 64: "x"}[width]
    names = [f"%{letter}{i}" for i in range(count)]
    return names[0] if count == 1 else "{" + ", ".join(names) + "}"


def vectors():
    for count in (1, 2, 4):
        for kind in ("b8", "u8", "s8", "b16", "u16", "b32", "u32", "f32", "b64", "f64", "s64"):
            if int(kind[1:]) * count <= 128:
                suffix = f"v{count}.{kind}" if count > 1 else kind
                regs = registers(count, int(kind[1:]))
                yield through(f"ld/st.global.{suffix}", f"ld.global.{suffix} {regs}, [%from]; st.global.{suffix} [%to], {regs};")
                code = f"ld.global.{suffix} {regs}, [%from]; st.shared.{suffix} [%tile], {regs}; bar.sync 0; "
                code += f"xor.b32 %tile, %tile, 496; ld.shared.{suffix} {regs}, [%tile]; st.global.{suffix} [%to], {regs};"
                yield through(f"ld/st.shared.{suffix}", code)
    for kind in ("u8", "s8", "u16", "s16"):
        code = f"ld.global.{kind} %t0, [%from+3]; st.global.b32 [%to], %t0; ld.global.{kind} %x0, [%from+6]; st.global.b64 [%to+8], %x0;"
        yield through(f"ld.global.{kind} into wider", code.replace("+3", "+2"))
    for kind in ("u8", "b8", "u16", "b16"):
        yield through(f"st.global.{kind} from wider", f"ld.global.b32 %t0, [%from]; st.global.{kind} [%to+2], %t0;")
    yield through("ld.global.v4.u8 into b32", "ld.global.v4.u8 {%t0, %t1, %t2, %t3}, [%from]; st.global.v4.b32 [%to], {%t0, %t1, %t2, %t3};")
    yield through("ld.global.v4.s8 into b32", "ld.global.v4.s8 {%t0, %t1, %t2, %t3}, [%from]; st.global.v4.b32 [%to], {%t0, %t1, %t2, %t3};")
    yield through("negative offset", "add.s64 %from, %from, 16; ld.global.b32 %t0, [%from+-16]; ld.global.b32 %t1, [%from+-4]; st.global.v2.b32 [%to+8], {%t0, %t1};")


def qualifiers():
    for name in ("ca", "cg", "cs", "lu", "cv", "nc", "volatile", "relaxed.gpu", "relaxed.sys", "acquire.gpu", "acquire.cta"):
        space = {"volatile": "ld.volatile.global", "nc": "ld.global.nc"}.get(name) or (f"ld.{name}.global" if "." in name else f"ld.global.{name}")
        yield through(f"{space}.b32", f"{space}.b32 %t0, [%from]; st.global.b32 [%to], %t0;")
    yield through("ld.global.nc.v4.b32", "ld.global.nc.v4.b32 {%t0, %t1, %t2, %t3}, [%from]; st.global.v4.b32 [%to], {%t0, %t1, %t2, %t3};")
    hint = "L1::no_allocate.L2::128B"
    code = f"ld.global.nc.{hint}.v4.b32 {{%t0, %t1, %t2, %t3}}, [%from]; st.global.v4.b32 [%to], {{%t0, %t1, %t2, %t3}};"
    yield through(f"ld.global.nc.{hint}.v4.b32", code, version="7.4")
    yield through("ldu.global.b32", "ldu.global.b32 %t0, [%in]; st.global.b32 [%to], %t0;")
    for name in ("st.global.wb", "st.global.cg", "st.global.cs", "st.global.wt", "st.volatile.global", "st.release.gpu.global", "st.relaxed.sys.global"):
        yield through(f"{name}.b32", f"ld.global.b32 %t0, [%from]; {name}.b32 [%to+4], %t0;")
    yield through("prefetch", "prefetch.global.L1 [%from]; prefetch.global.L2 [%from]; prefetchu.L1 [%from]; ld.global.b32 %t0, [%from]; st.global.b32 [%to], %t0;")
    code = "createpolicy.fractional.L2::evict_last.b64 %x0, 1.0; ld.global.L2::cache_hint.b32 %t0, [%from], %x0; st.global.L2::cache_hint.b32 [%to], %t0, %x0;"
    yield through("createpolicy L2::cache_hint", code, target="sm_80", version="7.4")


def spaces():
    code = "ld.global.b32 %t0, [%from]; cvt.u64.u32 %x0, %tile; cvta.shared.u64 %x0, %x0; st.b32 [%x0], %t0; bar.sync 0; ld.shared.b32 %t1, [%tile]; st.global.b32 [%to], %t1;"
    yield through("cvta.shared, st generic", code)
    yield through("cvta.to.global", "cvta.global.u64 %x0, %from; cvta.to.global.u64 %x1, %x0; ld.global.b32 %t0, [%x1]; ld.b32 %t1, [%x0]; st.global.v2.b32 [%to], {%t0, %t1};")
    code = "mov.u64 %x0, tile; cvta.shared.u64 %x1, %x0; cvta.to.shared.u64 %x2, %x1; setp.eq.u64 %p0, %x0, %x2; selp.u32 %t0, 1, 0, %p0; st.global.b32 [%to], %t0;"
    yield through("cvta.to.shared", code)
    test = "mov.u32 %t0, 0; "
    for bit, space in enumerate(("global", "shared", "local", "const")):
        test += f"isspacep.{space} %p0, %x0; selp.u32 %t1, {1 << bit}, 0, %p0; or.b32 %t0, %t0, %t1; "
    for name, address in (("global", "mov.u64 %x0, %in; "), ("shared", "cvta.shared.u64 %x0, tile; "), ("local", "cvta.local.u64 %x0, stack; "), ("zero", "mov.u64 %x0, 0; ")):
        yield through(f"isspacep of {name}", address + test + "st.global.b32 [%to], %t0;")
    code = "ld.global.v4.b32 {%t0, %t1, %t2, %t3}, [%from]; st.local.v4.b32 [stack], {%t0, %t1, %t2, %t3}; and.b32 %t4, %thread, 3; mul.lo.u32 %t4, %t4, 4; mov.u32 %t5, stack; add.u32 %t5, %t5, %t4; ld.local.b32 %t6, [%t5]; st.global.b32 [%to], %t6;"
    yield through("ld.local by index", code)


ATOMICS = {
    "u32": ("add", "min", "max", "inc", "dec"),
    "s32": ("add", "min", "max"),
    "b32": ("and", "or", "xor", "exch"),
    "u64": ("add", "min", "max"),
    "s64": ("min", "max"),
    "b64": ("and", "or", "xor", "exch"),
    "f32": ("add",),
    "f64": ("add",),
    "noftz.f16": ("add",),
    "noftz.f16x2": ("add",),
    "noftz.bf16": ("add",),
    "noftz.bf16x2": ("add",),
}


def atomics():
    """Each lane has its own word: memory holds the type's edges, the operand is generated; old values come back beside."""
    for suffix, ops in ATOMICS.items():
        kind = suffix.removeprefix("noftz.")
        source = {"b32": "u32", "b64": "u64"}.get(kind, kind)
        width = WIDTHS[source]
        table = edges(source)
        memory = numpy.zeros((32, 16), numpy.uint8)
        for lane in range(32):
            memory[lane, : width // 8] = list(table[(lane * 5) % len(table)].to_bytes(width // 8, "little"))
        operand = numpy.zeros((32, 16), numpy.uint8)
        operand[:, : width // 8] = generate(source, 1, 32, first=1 << 33).view(numpy.uint8).reshape(32, -1)
        more = {"target": "sm_90"} if "bf16" in kind else {}
        register, load = registers(1, width), f"b{width}"
        old = registers(1, width).replace("0", "1")
        buffers = [("inout", memory.tobytes()), ("in", operand.tobytes()), NONE]
        for op in ops:
            scope = ".gpu" if "bf16" in kind else ""
            code = f"ld.global.{load} {register}, [%from]; atom{scope}.global.{op}.{suffix} {old}, [%to], {register}; st.global.{load} [%to+8], {old};"
            yield Program(f"atom.global.{op}.{suffix}", buffers, code, **more)
            code = f"ld.global.v2.b64 {{%x2, %x3}}, [%to]; st.shared.v2.b64 [%tile], {{%x2, %x3}}; ld.global.{load} {register}, [%from]; "
            code += f"atom.shared.{op}.{suffix} {old}, [%tile], {register}; st.shared.{load} [%tile+8], {old}; ld.shared.v2.b64 {{%x2, %x3}}, [%tile]; st.global.v2.b64 [%to], {{%x2, %x3}};"
            yield Program(f"atom.shared.{op}.{suffix}", buffers, code, **more)
            if op != "exch":
                code = f"ld.global.{load} {register}, [%from]; red.global.{op}.{suffix} [%to], {register};"
                yield Program(f"red.global.{op}.{suffix}", buffers, code, **more)
                # All lanes on one word, with the lane's number: the same in any order (for and/or/min/max/add/xor).
                if op not in ("inc", "dec") and "f" not in kind:
                    wide = "cvt.u64.u32 %x0, %thread;" if width == 64 else "mov.b32 %t0, %thread;"
                    yield Program(f"red.global.{op}.{suffix} one word", buffers, f"{wide} red.global.{op}.{suffix} [%out], {register};")
    for kind, smallest, normal in (("f32", 1, 0x00800000), ("noftz.f16", 1, 0x0400), ("noftz.bf16", 1, 0x0080), ("f64", 1, 1 << 52)):
        # Subnormal operands, and a subnormal difference of normal ones.
        width = WIDTHS[kind.removeprefix("noftz.")]
        sign = 1 << (width - 1)
        pairs = [(smallest, smallest), (sign | smallest, sign | 3), (normal - 1, smallest), (normal + 1, sign | normal), (normal - 5, 0), (smallest, normal)]
        memory, operand = (b"".join(pair[i].to_bytes(width // 8, "little").ljust(16, b"\0") for pair in pairs) for i in (0, 1))
        register, load = registers(1, width), f"b{width}"
        for space in ("global", "shared"):
            at = "%tile" if space == "shared" else "%to"
            code = f"ld.global.{load} {register}, [%from]; "
            code += f"ld.global.v2.b64 {{%x2, %x3}}, [%to]; st.shared.v2.b64 [%tile], {{%x2, %x3}}; red.{space}.add.{kind} [{at}], {register}; "
            code += "ld.shared.v2.b64 {%x2, %x3}, [%tile]; st.global.v2.b64 [%to], {%x2, %x3};" if space == "shared" else ""
            more = {"target": "sm_90"} if "bf16" in kind else {}
            yield Program(f"red.{space}.add.{kind} subnormal", [("inout", memory), ("in", operand), NONE], code.strip(), block=(len(pairs), 1, 1), **more)
    for width, target in ((16, "sm_75"), (32, "sm_75"), (64, "sm_75")):
        memory = generate(f"u{width}", 2, 32 * 128 // width, first=1 << 34).copy()
        operand = memory.copy()
        operand[:: 256 // width] ^= 1
        register, load = registers(1, width), f"b{width}"
        one, two = register.replace("0", "1"), register.replace("0", "2")
        code = f"ld.global.{load} {register}, [%from]; not.b{width} {one}, {register}; atom.global.cas.b{width} {two}, [%to], {register}, {one}; st.global.{load} [%to+8], {two};"
        yield Program(f"atom.global.cas.b{width}", [("inout", memory.tobytes()), ("in", operand.tobytes()), NONE], code, target=target)
    code = "atom.global.add.u32 %t0, [%out], 1; atom.global.inc.u32 %t1, [%out+4], 9; atom.global.dec.u32 %t1, [%out+8], 9; cvt.rn.f32.u32 %t2, %thread; red.global.add.f32 [%out+12], %t2;"
    yield Program("atomics on one word", [("inout", bytes(16)), NONE, NONE], code, block=(256, 1, 1), grid=(4, 1, 1))


def copies():
    fill = "st.shared.v2.b64 [%tile], {0xeeeeeeeeeeeeeeee, 0xeeeeeeeeeeeeeeee}; bar.sync 0; "
    back = "bar.sync 0; ld.shared.v2.b64 {%x0, %x1}, [%tile]; st.global.v2.b64 [%to], {%x0, %x1};"
    wait = "cp.async.commit_group; cp.async.wait_group 0; "
    for mode, sizes in (("ca", (4, 8, 16)), ("cg", (16,))):
        for size in sizes:
            op = f"cp.async.{mode}.shared.global"
            yield through(f"{op} {size}", f"{fill}{op} [%tile], [%from], {size}; {wait}{back}", target="sm_80")
            yield through(f"{op}.L2::128B {size}", f"{fill}{op}.L2::128B [%tile], [%from], {size}; cp.async.wait_all; {back}", target="sm_80", version="7.4")
            lengths = numpy.array([lane % (size + 1) for lane in range(32)], numpy.uint32)
            code = f"{fill}mad.wide.u32 %x2, %thread, 4, %aux; ld.global.b32 %t0, [%x2]; {op} [%tile], [%from], {size}, %t0; {wait}{back}"
            yield Program(f"{op} {size}, src-size", [OUT, ("in", INPUT[:512]), ("in", lengths.tobytes())], code, target="sm_80")
            code = f"{fill}and.b32 %t0, %thread, 1; setp.eq.u32 %p0, %t0, 1; {op} [%tile], [%from], {size}, %p0; {wait}{back}"
            yield through(f"{op} {size}, ignore-src", code, target="sm_80", version="7.5")
    code = fill + "setp.lt.u32 %p0, %thread, 10; @%p0 cp.async.cg.shared.global [%tile], [%from], 16; cp.async.commit_group; "
    code += "setp.lt.u32 %p1, %thread, 20; @!%p0 cp.async.ca.shared.global [%tile+8], [%from+8], 8; cp.async.commit_group; cp.async.wait_group 1; cp.async.wait_group 0; " + back
    yield through("cp.async groups, predicated", code, target="sm_80")


def matrix_loads():
    values = numpy.arange(TILE // 2, dtype=numpy.uint16).tobytes()
    fill = "mov.u32 %t0, 0; FILL: mad.lo.u32 %t1, %t0, 512, %at; cvt.u64.u32 %x0, %t1; add.u64 %x0, %x0, %in; ld.global.v2.b64 {%x1, %x2}, [%x0]; "
    fill += f"mad.lo.u32 %t1, %t0, 512, %tile; st.shared.v2.b64 [%t1], {{%x1, %x2}}; add.u32 %t0, %t0, 1; setp.lt.u32 %p0, %t0, {TILE // 512}; @%p0 bra FILL; bar.sync 0; "
    fill += "mad.wide.u32 %x3, %thread, 4, %aux; ld.global.b32 %t8, [%x3]; mov.u32 %t9, tile; add.u32 %t9, %t9, %t8; "
    lane = numpy.arange(32)
    random = numpy.random.default_rng(7)
    patterns = {
        "rows of 16 bytes": lane * 16,
        "rows of 128 bytes": lane * 128,
        "swizzled": lane % 16 * 128 + ((lane // 16) ^ (lane % 8)) * 16,
        "scattered": random.permutation(512)[:32] * 16,
        "one row": lane * 0 + 48,
    }
    for name, offsets in patterns.items():
        buffers = [("out", 512), ("in", values), ("in", offsets.astype(numpy.uint32).tobytes())]
        for count in (1, 2, 4):
            names = "{" + ", ".join(f"%t{i}" for i in range(count)) + "}"
            zero = "".join(f"mov.u32 %t{i}, 0; " for i in range(count, 4))
            for trans in ("", ".trans"):
                code = f"{fill}ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {names}, [%t9]; {zero}st.global.v4.b32 [%to], {{%t0, %t1, %t2, %t3}};"
                yield Program(f"ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {name}", buffers, code)
                if name == "swizzled":
                    back = "bar.sync 0; mov.u32 %t0, tile; add.u32 %t1, %t0, %t8; ld.shared.v4.b32 {%t2, %t3, %t4, %t5}, [%t1]; st.global.v4.b32 [%to], {%t2, %t3, %t4, %t5};"
                    code = f"{fill}ld.global.v4.b32 {{%t0, %t1, %t2, %t3}}, [%from+4096]; stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 [%t9], {names}; {back}"
                    yield Program(f"stmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16", buffers, code, target="sm_90")
    code = "ld.global.b32 %t0, [%from]; movmatrix.sync.aligned.m8n8.trans.b16 %t1, %t0; st.global.b32 [%to], %t1;"
    yield Program("movmatrix.sync.aligned.m8n8.trans.b16", [("out", 512), ("in", values[:512]), NONE], code, version="7.8")


def cases():
    for part in (vectors, qualifiers, spaces, atomics, copies, matrix_loads):
        yield from part()
