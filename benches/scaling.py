#!/usr/bin/env python3
"""How a ConvNeXt-T's images per second grow with threads, and what several models make together, as a table in Markdown.

    cargo build --release && python3 benches/scaling.py         # 4 minutes on two cores that do nothing else

The engine: one model on one thread and on all (`convnext bench`), and as many models at once as there are threads, each a process with one thread. The server: one model
with all clients, and as many models as threads, with as many clients in sum (`convnext load`, tensors, so that nothing is decoded). Models of a server take turns on
its engine's threads. All cases take turns in every round, and ratios are taken round by round. Not here: what the products cost (benches/product.rs).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from served import MODEL, Server, clean, random_weights

SIDE = 224


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--convnext", default="target/release/convnext", help="the binary")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of the largest case, and its models")
    parser.add_argument("--batch", default="1,8", help="of the engine")
    parser.add_argument("--clients", type=int, default=8, help="of the server")
    parser.add_argument("--seconds", type=float, default=2, help="of each case in a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    binary = str(pathlib.Path(args.convnext).resolve())
    batches = [int(batch) for batch in args.batch.split(",")]
    count = args.threads
    found = {}

    def note(case, rate):
        found.setdefault(case, []).append(rate)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        random_weights(folder / "model", SIDE)
        names = [f"model{index}" for index in range(count)]
        with Server([binary], [f"{name}={folder / 'model'}" for name in names], "--log", "warn") as server:
            for number in range(args.rounds):
                for batch in batches:
                    bench = ["bench", "--device", "cpu", "--models", MODEL, "--batch", str(batch), "--seconds", str(args.seconds), "--json"]
                    for case, processes, threads in [("one", 1, 1), ("all", 1, count), ("many", count, 1)]:
                        reports = together([[binary, *bench, "--threads", str(threads)]] * processes)
                        note((batch, case), sum(report["results"][0]["images_per_second"] for report in reports))
                        cpu = reports[0]["machine"]["cpu"]
                load = [binary, "load", server.url, "--route", "oip", "--seconds", str(args.seconds), "--warm-up", "1s", "--json"]
                for case, models in [("one", names[:1]), ("many", names)]:
                    clients = ["--clients", str(max(args.clients // len(models), 1))]
                    reports = together([[*load, *clients, "--model", model] for model in models])
                    if any(report["failed"] for report in reports):
                        sys.exit("requests failed")
                    note(("served", case), sum(report["images_per_second"] for report in reports))
                print(f"round {number + 1} of {args.rounds}", file=sys.stderr)

    print(f"{cpu}; {MODEL} at {SIDE} × {SIDE} in f32; medians of {args.rounds} rounds of {args.seconds:g} s\n")
    print("| | images/s | times | in rounds |\n|---|--:|--:|--:|")

    def row(name, case, of):
        ratios = sorted(rate / other for rate, other in zip(found[case], found[of]))
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"| {name} | {statistics.median(found[case]):.1f} | {statistics.median(ratios):.2f} | {spread} |")

    for batch in batches:
        row(f"batch {batch}: one model on 1 thread", (batch, "one"), (batch, "one"))
        row(f"batch {batch}: one model on {count} threads", (batch, "all"), (batch, "one"))
        row(f"batch {batch}: {count} models at once on 1 thread each", (batch, "many"), (batch, "one"))
    row(f"served to {args.clients} clients: one model on {count} threads", ("served", "one"), ("served", "one"))
    row(f"served to {args.clients} clients: {count} models in turns on {count} threads", ("served", "many"), ("served", "one"))


def together(commands):
    """The reports of programs that run at the same time."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean()) for command in commands]
    outputs = [process.communicate(timeout=300)[0] for process in running]
    if any(process.returncode for process in running):
        sys.exit(f"{commands[0]} failed")
    return [json.loads(output) for output in outputs]


if __name__ == "__main__":
    main()
