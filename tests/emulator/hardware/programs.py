"""Whole programs with buffers, for what one thread's operands and result cannot show. The text is a frame with code, or a file of `ptx/`."""

from dataclasses import dataclass, field
from pathlib import Path

from frames import VERSIONS

FOLDER = Path(__file__).parent / "ptx"
TILE = 8192
# %from, %to and %tile point at the 16 bytes of the thread in the input, the output and shared memory, %at is their offset.
RAW = f"""\
.version {{version}}
.target {{target}}
.address_size 64
.visible .entry k(.param .u64 out, .param .u64 in, .param .u64 aux)
{{
  .reg .pred %p<8>;
  .reg .b16 %s<16>;
  .reg .b32 %t<16>, %thread, %at, %tile;
  .reg .b64 %x<8>, %out, %in, %aux, %from, %to;
  .shared .align 128 .b8 tile[{TILE}];
  .local .align 16 .b8 stack[64];
  mov.u32 %thread, %tid.x;
  ld.param.u64 %out, [out];
  ld.param.u64 %in, [in];
  ld.param.u64 %aux, [aux];
  mad.wide.u32 %from, %thread, 16, %in;
  mad.wide.u32 %to, %thread, 16, %out;
  shl.b32 %at, %thread, 4;
  mov.u32 %tile, tile;
  add.u32 %tile, %tile, %at;
  {{code}}
  ret;
}}
"""


@dataclass
class Program:
    """`buffers` are (role, bytes): `in` is only uploaded, `out` is poisoned with a5, `inout` uploaded; the last two are recorded.
    `scalars` are the bytes of parameters that follow the buffers."""

    op: str
    buffers: list
    code: str = ""
    file: str = ""
    target: str = "sm_75"
    version: str = ""
    grid: tuple = (1, 1, 1)
    block: tuple = (32, 1, 1)
    shared: int = 0
    scalars: list = field(default_factory=list)
    extra: dict = field(default_factory=dict)

    def __post_init__(self):
        self.version = self.version or VERSIONS[self.target]

    def ptx(self):
        text = (FOLDER / self.file).read_text() if self.file else RAW
        return text.replace("{version}", self.version).replace("{target}", self.target).replace("{code}", self.code)
