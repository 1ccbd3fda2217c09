#!/usr/bin/env python3
"""Reads Nsight Compute's counters for the kernels of `ptx/counted.ptx`, to compare the emulator's with. Nothing is timed here.

    counters.py FILE         profile every launch with ncu, write FILE
    counters.py --launch     the launches themselves
"""

import csv
import ctypes
import io
import json
import subprocess
import sys
from pathlib import Path

from driver import Device

HERE = Path(__file__).parent
SIZE = 16 << 20
# (kernel, grid, block, stride)
LAUNCHES = [
    ("copy_coalesced", (64, 1, 1), (256, 1, 1), 1),
    ("copy_vector", (64, 1, 1), (256, 1, 1), 1),
    *(("copy_strided", (64, 1, 1), (256, 1, 1), stride) for stride in (2, 4, 8, 32)),
    *(("copy_shifted", (64, 1, 1), (256, 1, 1), shift) for shift in (1, 8)),
    ("transpose_conflicts", (8, 8, 1), (32, 32, 1), 256),
    ("transpose_padded", (8, 8, 1), (32, 32, 1), 256),
    *(("shared_words", (1, 1, 1), (32, 1, 1), stride) for stride in (0, 4, 8, 16, 32, 64, 128, 132, 1024)),
    *(("shared_pairs", (1, 1, 1), (32, 1, 1), stride) for stride in (0, 8, 16, 32, 128, 136, 264, 1024)),
    *(("shared_quads", (1, 1, 1), (32, 1, 1), stride) for stride in (0, 16, 32, 64, 128, 144, 272, 1024)),
    ("tile_conflicts", (1, 1, 1), (32, 1, 1), 0),
    ("tile_swizzled", (1, 1, 1), (32, 1, 1), 0),
]
METRICS = """
smsp__inst_executed smsp__thread_inst_executed smsp__inst_issued sm__warps_launched
l1tex__t_requests_pipe_lsu_mem_global_op_ld l1tex__t_requests_pipe_lsu_mem_global_op_st
l1tex__t_sectors_pipe_lsu_mem_global_op_ld l1tex__t_sectors_pipe_lsu_mem_global_op_st
l1tex__t_sectors_pipe_lsu_mem_global_op_ld_lookup_hit l1tex__t_output_wavefronts_pipe_lsu_mem_global_op_ld
lts__t_sectors_srcunit_tex_op_read lts__t_sectors_srcunit_tex_op_write lts__t_requests_srcunit_tex
l1tex__data_bank_conflicts_pipe_lsu l1tex__data_bank_conflicts_pipe_lsu_mem_shared
l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st
l1tex__data_pipe_lsu_wavefronts l1tex__data_pipe_lsu_wavefronts_mem_shared
l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st
smsp__inst_executed_op_shared_ld smsp__inst_executed_op_shared_st smsp__inst_executed_op_ldsm
smsp__inst_executed_op_global_ld smsp__inst_executed_op_global_st smsp__inst_executed_pipe_lsu
smsp__sass_inst_executed_op_shared_ld smsp__sass_inst_executed_op_shared_st smsp__sass_inst_executed_op_ldsm
smsp__sass_l1tex_data_pipe_lsu_wavefronts_mem_shared_op_ld smsp__sass_l1tex_data_pipe_lsu_wavefronts_mem_shared_op_st
smsp__sass_l1tex_data_bank_conflicts_pipe_lsu_mem_shared_op_ldsm smsp__sass_l1tex_data_pipe_lsu_wavefronts_mem_shared_op_ldsm
smsp__inst_executed_pipe_tensor sm__inst_executed_pipe_tensor_op_hmma smsp__inst_executed_pipe_tensor_op_hmma
dram__sectors_read dram__sectors_write
""".split()


def launch():
    device = Device()
    module = device.load((HERE / "ptx" / "counted.ptx").read_text())
    for kernel, grid, block, stride in LAUNCHES:
        out, source = device.poison("out", SIZE), device.poison("in", SIZE, 0)
        device.launch(device.function(module, kernel), grid, block, 0, [out, source, ctypes.c_uint(stride)])


def available():
    """Of METRICS, those that this profiler knows."""
    said = subprocess.run(["ncu", "--query-metrics"], capture_output=True, text=True).stdout
    known = {line.split()[0] for line in said.splitlines() if "__" in line}
    missing = [m for m in METRICS if m not in known]
    return [m for m in METRICS if m in known], missing


def main():
    if sys.argv[1] == "--launch":
        launch()
        return
    metrics, missing = available()
    command = ["ncu", "--csv", "--page", "raw", "--metrics", ",".join(f"{m}.sum" for m in metrics)]
    done = subprocess.run([*command, sys.executable, __file__, "--launch"], capture_output=True, text=True)
    table = done.stdout[done.stdout.find('"ID"') :]
    rows = list(csv.DictReader(io.StringIO(table)))[1:]
    lines = []
    for (kernel, grid, block, stride), row in zip(LAUNCHES, rows):
        counts = {name.removesuffix(".sum"): float(row[name].replace(",", "")) for name in row if name and name.endswith(".sum") and row[name].strip()}
        counts = {name: int(counts[name]) for name in metrics}
        assert row["Kernel Name"].split("(")[0] == kernel, row["Kernel Name"]
        lines.append(json.dumps({"kernel": kernel, "grid": grid, "block": block, "stride": stride, "counts": counts}, separators=(",", ":")))
    Path(sys.argv[1]).write_text('{"recorded":"2026-11-24","file":"counted.ptx","unknown":' + json.dumps(missing) + ',\n"launches":[\n' + ",\n".join(lines) + "\n]}\n")
    print(len(lines), "of", len(LAUNCHES), "launches counted;", done.stderr[-500:], done.stdout[:300] if not lines else "")


if __name__ == "__main__":
    main()
