#!/usr/bin/env python3
"""Runs single-instruction PTX on the first CUDA device and writes what came out, bit for bit, as `recordings/<group>.json`.
What is recorded, and the form of the files: README.md. It needs numpy and a driver, nothing else.

    record.py FOLDER [group ...]        record into FOLDER
    record.py --assemble PTXAS [group ...]   only assemble every program, without a device
"""

import collections
import ctypes
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

import values
from driver import STICKY, CudaError, Device
from frames import Case

DATE = "2026-11-24"
GROUPS = ("integers", "floats", "conversions", "comparisons", "warps", "memory", "control", "matrix", "approximations")
# Of a sweep, what is kept beside the recordings (in a .npz that nobody commits) to fit models of the sum.
RAW_THREADS = 1 << 14


def all_cases(group):
    return list(importlib.import_module(group).cases())


def run(device, function, case, inputs):
    """One launch over the inputs; the results as unsigned integers."""
    count = len(inputs[0])
    size = count * case.results * case.out // 8
    out = device.poison("out", max(size, 16))
    arguments = [ctypes.c_uint(count), out] + [device.upload(j, x) for j, x in enumerate(inputs)]
    grid = (-(-count // case.block), 1, 1)
    device.launch(function, grid, (case.block, 1, 1), 0, arguments)
    return device.download("out", size).view(values.DTYPES[case.out])


def record_case(device, case, raw):
    row = {"op": case.op, "frame": case.frame, "target": case.target, "version": case.version, "code": case.code, "block": case.block}
    row |= {key: value for key, value in case.extra.items() if key != "measure"}
    try:
        module = device.load(case.ptx())
    except CudaError as error:
        return row | {"refused": error.code, "log": error.log.strip()}
    function = device.function(module)
    listed = case.inputs or values.sample(case.ins)
    row["in"] = [",".join(case.ins), *map(values.hexes, listed)] if case.inputs else ",".join(case.ins)
    row["out"] = values.hexes(run(device, function, case, listed))
    if case.sweep:
        generated = [values.generate(kind, j, values.SWEEP) for j, kind in enumerate(case.ins)]
        swept = run(device, function, case, generated)
        row["sweep"] = values.digest(swept)
        if case.op.startswith("mma") and ".s32." not in case.op:
            raw[case.op] = swept[: RAW_THREADS * case.results]
    if "measure" in case.extra:
        exact, sweeps, kind = case.extra["measure"]
        row["errors"] = []
        errors = importlib.import_module("approximations").errors
        for name, make in sweeps:
            inputs = make()
            swept = run(device, function, case, inputs)
            row["errors"].append({"domain": name} | errors(inputs, swept, exact, kind))
    device.unload(module)
    return row


def record_program(device, program):
    row = {"op": program.op, "target": program.target, "version": program.version}
    row |= {"file": program.file} if program.file else {"frame": "raw", "code": program.code}
    row |= {"grid": program.grid, "block": program.block, "shared": program.shared} | program.extra
    row["scalars"] = [s.hex() for s in program.scalars]
    try:
        module = device.load(program.ptx())
    except CudaError as error:
        return row | {"refused": error.code, "log": error.log.strip()}
    function = device.function(module)
    pointers, row["buffers"] = [], []
    for slot, (role, content) in enumerate(program.buffers):
        if role == "out":
            pointers.append(device.poison(slot, content))
            row["buffers"].append({"out": content})
        else:
            pointers.append(device.upload(slot, numpy.frombuffer(content, numpy.uint8)))
            row["buffers"].append({role: content.hex()})
    if "parameters" in program.extra:
        block = bytes(pointers[0]) + b"".join(program.scalars)
        arguments = [(ctypes.c_ubyte * len(block)).from_buffer_copy(block)]
    else:
        arguments = pointers
    device.launch(function, program.grid, program.block, program.shared, arguments)
    row["results"] = []
    for slot, (role, content) in enumerate(program.buffers):
        if role != "in":
            row["results"].append(device.download(slot, content if role == "out" else len(content)).tobytes().hex())
    device.unload(module)
    return row


def record_group(group, path, first):
    """Appends a line a case to `path`. Leaves with the number of the next case when one killed the context."""
    device, raw = Device(), {}
    with path.open("a") as lines:
        for number, case in enumerate(all_cases(group)):
            if number < first:
                continue
            try:
                row = record_case(device, case, raw) if isinstance(case, Case) else record_program(device, case)
            except CudaError as error:
                row = {"op": case.op, "target": case.target, "code": case.code, "failed": [error.call, error.code]}
                if error.code in STICKY:
                    lines.write(json.dumps(row, separators=(",", ":")) + "\n")
                    lines.flush()
                    print(f"next {number + 1}")
                    return
            except Exception as error:
                row = {"op": case.op, "code": case.code, "failed": [repr(error)]}
            lines.write(json.dumps(row, separators=(",", ":")) + "\n")
            lines.flush()
    if raw:
        numpy.savez_compressed(path.with_suffix(".npz"), **raw)


def head(group):
    """What the cases' lines refer to: frames, listed inputs, the card."""
    cases = all_cases(group)
    frames, inputs, edges = {}, {}, {}
    for case in cases:
        if isinstance(case, Case):
            blank = Case(case.op, "{code}", case.out, case.ins, "{target}", "{version}", case.results)
            frames[case.frame] = blank.ptx()
            if not case.inputs:
                inputs[",".join(case.ins)] = [values.hexes(x) for x in values.sample(case.ins)]
            for kind in case.ins if case.sweep else ():
                single = values.PAIRS.get(kind, kind)
                if single not in values.MATRIX and single != "lane":
                    edges[single] = [f"{v:x}" for v in values.edges(single)]
        elif not case.file:
            from programs import RAW

            frames["raw"] = RAW
    device = Device()
    about = {"card": device.name(), "driver": device.driver_version(), "recorded": DATE}
    return {"about": about, "frames": frames, "edges": edges, "inputs": inputs}


def pool(rows):
    """Names long inputs that several cases share, and puts the names in their place."""
    places = []
    for row in rows:
        if isinstance(row.get("in"), list):
            places += [(row["in"], j) for j in range(1, len(row["in"]))]
        places += [(buffer, role) for buffer in row.get("buffers", []) for role in buffer if role != "out"]
    count = collections.Counter(holder[key] for holder, key in places)
    names = {}
    for holder, key in places:
        text = holder[key]
        if len(text) > 64 and count[text] > 1:
            holder[key] = names.setdefault(text, f"@{len(names)}")
    return {name: text for text, name in names.items()}


def assemble(lines, group, folder):
    """One JSON document, a case a line."""
    parts = []
    rows = [json.loads(line) for line in lines]
    shared = pool(rows)
    lines = [json.dumps(row, separators=(",", ":")) for row in rows]
    for key, value in (head(group) | {"shared": shared}).items():
        if key == "about":
            parts.append(f'"about":{json.dumps(value)}')
        else:
            rows = ",\n".join(f" {json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in value.items())
            parts.append(f'"{key}":{{\n{rows}\n}}')
    rows = ",\n".join(lines)
    (folder / f"{group}.json").write_text("{\n" + ",\n".join(parts) + f',\n"cases":[\n{rows}\n]\n}}\n')


def drive(group, folder):
    """Records a group in processes of its own: a context that dies takes only its case along."""
    path, first = folder / f"{group}.lines", 0
    path.unlink(missing_ok=True)
    while True:
        done = subprocess.run([sys.executable, __file__, "--group", group, str(path), str(first)], capture_output=True, text=True)
        sys.stderr.write(done.stderr[-3000:])
        following = [line for line in done.stdout.splitlines() if line.startswith("next ")]
        if not following:
            break
        first = int(following[-1].split()[1])
    lines = path.read_text().splitlines()
    assemble(lines, group, folder)
    path.unlink()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        if "failed" in row or "refused" in row:
            print(group, row["op"], row.get("failed"), row.get("refused"), row.get("log", "")[:300])
    print(f"{group}: {len(rows)} of {len(all_cases(group))} cases")


def check(assembler, groups):
    """Every program through ptxas, many entries a file where the headers allow it."""
    for group in groups:
        modules = {}
        for case in all_cases(group):
            key = (case.target, case.version) if isinstance(case, Case) or not case.file else (case.target, case.version, case.file)
            modules.setdefault(key, []).append(case)
        for key, cases in modules.items():
            if not assemble_one(assembler, key[0], together(cases)):
                for case in cases:
                    if not assemble_one(assembler, key[0], case.ptx()):
                        print(group, key, case.op, assemble_one.said)
        print(group, sum(map(len, modules.values())), "cases", flush=True)


def together(cases):
    texts = [case.ptx().replace(".visible .entry k(", f".visible .entry k{i}(") for i, case in enumerate(cases)]
    return "\n".join([texts[0], *("\n".join(text.splitlines()[3:]) for text in texts[1:])]) if len(texts) > 1 else texts[0]


def assemble_one(assembler, target, text):
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([assembler, f"-arch={target}", "-O0", "-o", "/dev/null", file.name], capture_output=True, text=True)
    assemble_one.said = "\n".join(done.stderr.splitlines()[:3])
    return done.returncode == 0


def main():
    if sys.argv[1] == "--assemble":
        check(sys.argv[2], sys.argv[3:] or GROUPS)
    elif sys.argv[1] == "--group":
        record_group(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        from concurrent.futures import ThreadPoolExecutor

        started = time.time()
        with ThreadPoolExecutor(len(GROUPS)) as pool:
            list(pool.map(lambda group: drive(group, folder), sys.argv[2:] or GROUPS))
        print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
