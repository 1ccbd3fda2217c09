"""PTX around the instruction under test. A frame loads a thread's operands, runs the code, stores the result."""

from dataclasses import dataclass, field

from values import WIDTHS

VERSIONS = {"sm_75": "6.5", "sm_80": "7.0", "sm_89": "7.8", "sm_90": "7.8"}
LETTERS = "abcdefghij"


@dataclass
class Case:
    """One recorded program. `ins` are types of `values`, `out` the width of a result, `results` how many a thread stores;
    `inputs` replace the listed inputs of the types, and `sweep` asks for the digest over generated ones."""

    op: str
    code: str
    out: int
    ins: tuple
    target: str = "sm_75"
    version: str = ""
    results: int = 1
    block: int = 128
    sweep: bool = True
    shared: int = 0
    frame: str = ""
    inputs: list = None
    extra: dict = field(default_factory=dict)

    def __post_init__(self):
        self.version = self.version or VERSIONS[self.target]
        widths = ",".join(f"b{register(WIDTHS[kind])}" for kind in self.ins)
        self.frame = self.frame or f"b{self.out}" + (f"x{self.results}" if self.results > 1 else "") + f"({widths})"

    def ptx(self):
        text = frame(self.out, self.results, [WIDTHS[kind] for kind in self.ins], self.shared)
        return text.replace("{version}", self.version).replace("{target}", self.target).replace("{code}", self.code)


def register(width):
    """There is no register of 8 bits."""
    return max(width, 16)


def frame(out, results, ins, shared=0):
    """The text with {version}, {target} and {code} left open. Code finds operands in %a, %b, %c, %d, puts results in %r0, %r1, ...,
    and has %s0-%s7 (b16), %t0-%t7 (b32), %x0-%x7 (b64), %p0-%p7 (pred) to itself, %thread (b32) being the thread's index."""
    names = "".join(f", .param .u64 in{j}" for j in range(len(ins)))
    lines = [
        ".version {version}",
        ".target {target}",
        ".address_size 64",
        f".visible .entry k(.param .u32 n, .param .u64 out{names})",
        "{",
        "  .reg .pred %p<8>, %over;",
        "  .reg .b16 %s<8>;",
        "  .reg .b32 %t<8>, %thread, %block, %size, %count;",
        "  .reg .b64 %x<8>, %at;",
        f"  .reg .b{register(out)} %r<{results}>;",
    ]
    lines += [f"  .reg .b{register(w)} %{LETTERS[j]};" for j, w in enumerate(ins)]
    if shared:
        lines.append(f"  .shared .align 16 .b8 tile[{shared}];")
    lines += [
        "  mov.u32 %thread, %tid.x;",
        "  mov.u32 %block, %ctaid.x;",
        "  mov.u32 %size, %ntid.x;",
        "  mad.lo.u32 %thread, %block, %size, %thread;",
        "  ld.param.u32 %count, [n];",
        "  setp.ge.u32 %over, %thread, %count;",
        "  @%over bra END;",
    ]
    for j, w in enumerate(ins):
        lines += [
            f"  ld.param.u64 %at, [in{j}];",
            f"  mad.wide.u32 %at, %thread, {w // 8}, %at;",
            f"  ld.global.{'u' if w == 8 else 'b'}{w} %{LETTERS[j]}, [%at];",
        ]
    lines += ["  {code}"]
    lines += ["  ld.param.u64 %at, [out];", f"  mad.wide.u32 %at, %thread, {results * out // 8}, %at;"]
    lines += [f"  st.global.b{out} [%at+{j * out // 8}], %r{j};" for j in range(results)]
    lines += ["END:", "  ret;", "}", ""]
    return "\n".join(lines)


def simple(op, out, ins, **more):
    """One instruction: `op %r0, %a, %b, ...;`."""
    operands = ", ".join(f"%{LETTERS[j]}" for j in range(len(ins)))
    return Case(op, f"{op} %r0, {operands};", out, tuple(ins), **more)
