"""Writes weights.json: what Python's safetensors reads of the golden checkpoints and of the demo model, as float32.

    pip install numpy safetensors && python weights.py

For each tensor: its type and shape, its first three values, and a fingerprint, the sum over i of (i + 1) · (the bits of
element i) modulo 2^64, which sees every bit and its place.
"""
import json
import pathlib
import struct

import numpy as np
from safetensors import safe_open

HERE = pathlib.Path(__file__).parent
FOLDERS = [HERE / name for name in ("timm-convnext", "timm-convnext-wide-norm", "timm-convnextv2",
                                    "transformers-convnext", "transformers-convnextv2",
                                    "timm-swin", "timm-swin-window4", "timm-swin-padded",
                                    "transformers-swin", "transformers-swin-padded")]
FOLDERS.append(HERE.parent.parent / "models" / "convnext_atto")


def bfloats(path, name):
    """numpy has no bfloat16, nor has safetensors for it: the upper halves of float32, from the file's own header."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8 : 8 + length])[name]
    begin, end = (8 + length + offset for offset in entry["data_offsets"])
    halves = np.frombuffer(raw[begin:end], "<u2").astype(np.uint32) << 16
    return halves.view(np.float32).reshape(entry["shape"])


def describe(path):
    with safe_open(path, "np") as file:
        for name in sorted(file.keys()):
            dtype, shape = file.get_slice(name).get_dtype(), file.get_slice(name).get_shape()
            values = bfloats(path, name) if dtype == "BF16" else file.get_tensor(name).astype(np.float32)
            bits = values.ravel().view(np.uint32).astype(np.uint64)
            weights = np.arange(1, bits.size + 1, dtype=np.uint64)
            fingerprint = int((bits * weights).sum(dtype=np.uint64))
            yield name, dict(dtype=dtype, shape=shape, first=[float(v) for v in values.ravel()[:3]],
                             fingerprint=f"{fingerprint:016x}")


tables = {folder.name: dict(describe(folder / "model.safetensors")) for folder in FOLDERS}
lines = ",\n".join(f'"{case}": {{\n' + ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
                   + "\n}" for case, table in tables.items())
(HERE / "weights.json").write_text("{\n" + lines + "\n}\n")
