"""Kernels that we did not write: Triton's PTX for sm_75 and sm_80, compiled without a GPU.

    pip install triton==3.9.0 && python generate.py

Writes NAME.sm_NN.ptx and kernels.json: of each its entry, its launch (warps, shared bytes) and its parameters in order. Triton's kernels take
their pointers and numbers, then two pointers of scratch memory that these do not use.
"""
import json
import pathlib

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

HERE = pathlib.Path(__file__).parent


@triton.jit
def matmul(a, b, c, m, n, k, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """c[m, n] = a[m, k] · b[k, n], row-major, sums in f32, any sizes."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    depth = tl.arange(0, BK)
    sums = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, k, BK):
        at = start + depth
        x = tl.load(a + rows[:, None] * k + at[None, :], mask=(rows[:, None] < m) & (at[None, :] < k), other=0.0)
        y = tl.load(b + at[:, None] * n + columns[None, :], mask=(at[:, None] < k) & (columns[None, :] < n), other=0.0)
        sums = tl.dot(x, y, sums)
    tl.store(c + rows[:, None] * n + columns[None, :], sums, mask=(rows[:, None] < m) & (columns[None, :] < n))


@triton.jit
def whole_matmul(a, b, c, m, n, k, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """The same for sizes that are multiples of the tile: nothing is masked, and copies go through cp.async."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    depth = tl.arange(0, BK)
    left = a + rows[:, None] * k + depth[None, :]
    right = b + depth[:, None] * n + columns[None, :]
    sums = tl.zeros((BM, BN), dtype=tl.float32)
    for _ in range(0, k, BK):
        sums = tl.dot(tl.load(left), tl.load(right), sums)
        left += BK
        right += BK * n
    tl.store(c + rows[:, None] * n + columns[None, :], sums)


@triton.jit
def layer_norm(x, scale, shift, y, channels, eps, BLOCK: tl.constexpr):
    """A row a program."""
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < channels
    values = tl.load(x + row * channels + at, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(values, axis=0) / channels
    centred = tl.where(inside, values - mean, 0.0)
    variance = tl.sum(centred * centred, axis=0) / channels
    normed = centred / tl.sqrt(variance + eps)
    out = normed * tl.load(scale + at, mask=inside) + tl.load(shift + at, mask=inside)
    tl.store(y + row * channels + at, out, mask=inside)


@triton.jit
def softmax(x, y, columns, BLOCK: tl.constexpr):
    """A row a program."""
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    values = tl.load(x + row * columns + at, mask=at < columns, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, axis=0))
    tl.store(y + row * columns + at, powers / tl.sum(powers, axis=0), mask=at < columns)


@triton.jit
def gelu(x, y, count, BLOCK: tl.constexpr):
    """By the error function."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + at, mask=at < count)
    tl.store(y + at, 0.5 * values * (1.0 + tl.math.erf(values * 0.7071067811865476)), mask=at < count)


@triton.jit
def histogram(x, counts, largest, count, BLOCK: tl.constexpr):
    """Atomics: how often each value from 0 to 255 comes, and the largest value."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + at, mask=at < count, other=0)
    tl.atomic_add(counts + values, 1, mask=at < count)
    tl.atomic_max(largest, tl.max(tl.where(at < count, values, 0), axis=0))


SIZES = {"m": "i32", "n": "i32", "k": "i32"}
TILES = {"BM": 64, "BN": 64, "BK": 32}
# name, kernel, signature of its parameters, constants, warps, stages
KERNELS = [
    (f"{kernel.__name__}_{kind}", kernel, {"a": f"*{kind}", "b": f"*{kind}", "c": "*fp32", **SIZES}, TILES, 4, 3)
    for kernel in (matmul, whole_matmul)
    for kind in ("fp16", "bf16")
] + [
    ("layer_norm", layer_norm, dict(x="*fp32", scale="*fp32", shift="*fp32", y="*fp32", channels="i32", eps="fp32"), {"BLOCK": 1024}, 4, 1),
    ("softmax", softmax, dict(x="*fp32", y="*fp32", columns="i32"), {"BLOCK": 1024}, 4, 1),
    ("gelu", gelu, dict(x="*fp32", y="*fp32", count="i32"), {"BLOCK": 512}, 4, 1),
    ("histogram", histogram, dict(x="*i32", counts="*i32", largest="*i32", count="i32"), {"BLOCK": 512}, 4, 1),
]


def main():
    listed = {}
    for name, kernel, signature, constants, warps, stages in KERNELS:
        for target in (75, 80):
            if target == 75 and "bf16" in name:
                continue  # Turing has none
            # pointers are of cudaMalloc's alignment, sizes of whole_matmul multiples of 16: so loads become vectors and cp.async
            divisible = [i for i, (at, ty) in enumerate(signature.items()) if ty.startswith("*") or "whole" in name and at in SIZES]
            attributes = {(i,): [["tt.divisibility", 16]] for i in divisible}
            types = signature | {constant: "constexpr" for constant in constants}
            source = ASTSource(kernel, types, constexprs=constants, attrs=attributes)
            compiled = triton.compile(source, target=GPUTarget("cuda", target, 32), options={"num_warps": warps, "num_stages": stages})
            # file and line numbers of this script would change with every edit
            lines = [line for line in compiled.asm["ptx"].splitlines() if not line.lstrip().startswith((".loc", "//"))]
            text = "\n".join(lines).split("\t.section\t.debug")[0].rstrip() + "\n"
            text = "".join(line + "\n" for line in text.splitlines() if not line.startswith("\t.file")).replace(", debug", "")
            (HERE / f"{name}.sm_{target}.ptx").write_text(text)
            listed[f"{name}.sm_{target}"] = {
                "entry": compiled.metadata.name, "warps": warps, "shared": compiled.metadata.shared,
                "parameters": list(signature.values()), "constants": constants,
            }
    (HERE / "kernels.json").write_text(json.dumps(listed, indent=1) + "\n")


if __name__ == "__main__":
    main()
