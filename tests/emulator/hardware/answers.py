#!/usr/bin/env python3
"""Records what the driver answers, call by call, as `recordings/driver.json`. Each case runs in its own process, since some end it.

    answers.py FILE             record all cases into FILE, one a line
    answers.py --case NAME      run one and print its line
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import captures
import faults
import launches
import limits
import resources
from calls import CASES, Log

DATE = "2026-11-24"
# Importing them registered their cases.
PARTS = (faults, launches, resources, captures, limits)


def run(name):
    if name == "uninitialised":
        log = resources.uninitialised()
    else:
        log = Log()
        CASES[name](log)
    return {"case": name, "calls": log.calls}


def in_process(name):
    try:
        done = subprocess.run([sys.executable, __file__, "--case", name], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return json.dumps({"case": name, "ended": "after 60 s"})
    lines = done.stdout.splitlines()
    whole = [line for line in lines if line.startswith('{"case"')]
    if whole:
        return whole[-1]
    calls = [json.loads(line[4:]) for line in lines if line.startswith("did ")]
    last = [line[4:] for line in lines if line.startswith("try ")][-1:]
    row = {"case": name, "calls": calls, "ended": done.returncode, "in": last}
    return json.dumps(row | ({"said": done.stderr[-300:]} if done.returncode > 0 else {}), separators=(",", ":"))


def main():
    if sys.argv[1] == "--case":
        print(json.dumps(run(sys.argv[2]), separators=(",", ":")), flush=True)
        return
    names = ["uninitialised", *CASES]
    # Faults disturb kernels of other processes' timing, not their results: a few at a time.
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(in_process, names))
    Path(sys.argv[1]).write_text(f'{{"about":{{"recorded":"{DATE}"}},\n"cases":[\n' + ",\n".join(rows) + "\n]}\n")
    print(len(rows), "cases of the driver,", sum('"ended"' in row for row in rows), "ended early")


if __name__ == "__main__":
    main()
