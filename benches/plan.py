#!/usr/bin/env python3
"""The simulation of `convnext plan` against a real server on this machine: the same arrivals, p50 and p99 of both, as a table in Markdown.

    cargo build --release && python3 benches/plan.py            # 3 minutes, on a machine that does nothing else

Two cores are needed. The engine's thread computes on one; the rest of the server and the load generator share the other, as a GPU's host does. Images come as
tensors, so that nothing is decoded. What the simulation is told is measured first, in the same run: what batches take (`convnext bench`), and what a single request
takes beyond its batch (`convnext load --clients 1`). Then the same seed gives `convnext load` and `convnext plan` the same arrivals at 30, 60 and 90 % of the capacity
that a closed loop finds. Not here: how it is simulated (src/service/simulation).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

MODEL = "convnext_atto"  # the demo model; bench knows its network by the same name at 64 pixels
SIDE = 64
BATCHES = [1, 2, 4, 8, 16, 32]
LOADS = [0.3, 0.6, 0.9]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--convnext", default="target/release/convnext", help="the binary")
    parser.add_argument("--seconds", type=float, default=20, help="of each load")
    parser.add_argument("--rounds", type=int, default=2, help="seeds, one after the other")
    args = parser.parse_args()
    binary = str(pathlib.Path(args.convnext).resolve())
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the engine's thread, one for the rest")
    engine, rest = cores[0], cores[1]

    def convnext(core, *words):
        done = subprocess.run(pinned(core, binary, *words), stdout=subprocess.PIPE, text=True, timeout=300, env=clean())
        if done.returncode:
            sys.exit(f"convnext {' '.join(words)} failed")
        return json.loads(done.stdout)

    with tempfile.TemporaryDirectory() as folder:
        bench_file = pathlib.Path(folder) / "bench.json"
        bench = convnext(engine, "bench", "--models", MODEL, "--size", str(SIDE), "--threads", "1", "--seconds", "2", "--json",
                         "--device", "cpu", "--batch", ",".join(map(str, BATCHES)))
        bench_file.write_text(json.dumps(bench))
        single = next(case["latency_ms"]["median"] for case in bench["results"] if case["batch"] == 1)
        with Server(binary, engine, rest) as server:
            def load(*words):
                return convnext(rest, "load", server.url, "--route", "oip", "--model", MODEL, "--json", *words)

            load("--clients", "4", "--seconds", "1")  # as a server that has served a while
            alone = load("--clients", "1", "--seconds", "4")["latency_ms"]["p50"]
            host = max(alone - single, 0.0)
            capacity = load("--clients", "64", "--seconds", "6")["images_per_second"]
            print(f"{bench['machine']['cpu']}; {MODEL} at {SIDE} × {SIDE} on one core: {single:.2f} ms alone, {host:.2f} ms of host, "
                  f"capacity {capacity:.0f} images/s\n")
            print("| load | seed | images/s | p50: real | simulated | ratio | p99: real | simulated | ratio |")
            print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
            worst = 0.0
            for seed in range(1, args.rounds + 1):
                for share in LOADS:
                    arrivals = ["--rate", f"{capacity * share:.1f}", "--arrivals", "poisson", "--seed", str(seed),
                                "--seconds", f"{args.seconds:g}", "--warm-up", "2s"]
                    real = load(*arrivals)
                    if real["failed"]:
                        sys.exit(f"{real['failed']} requests failed")
                    plan = convnext(rest, "plan", "--bench", str(bench_file), "--model", MODEL, "--replicas", "1", "--only", "--json",
                                    "--host-ms", f"{host:.3f}", *arrivals)
                    simulated = plan["cases"][0]["at_rate"]
                    cells = [f"{share:.0%}".replace("%", " %"), str(seed), f"{capacity * share:.0f}"]
                    for name in ["p50", "p99"]:
                        here, there = real["latency_ms"][name], simulated["latency_ms"][name]
                        cells += [f"{here:.2f} ms", f"{there:.2f} ms", f"{there / here:.2f}"]
                        worst = max(worst, abs(there / here - 1))
                    print("| " + " | ".join(cells) + " |", flush=True)
            print(f"\nThe worst is {worst:.0%} off.".replace("%", " %"))


class Server:
    """A server of the demo model: its engine's thread on one core, all its others on another."""

    def __init__(self, binary, engine, rest):
        words = ["serve", "--models", MODEL, "--device", "cpu", "--engine-threads", "1", "--calibrate", "off", "--log", "off", "--drain-delay", "0s"]
        ports = ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"]
        self.process = subprocess.Popen(pinned(rest, binary, *words, *ports), stdout=subprocess.PIPE, text=True, env=clean())
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.url = line.removeprefix("listening on ").strip()
            if line.startswith("grpc on "):
                break
        subprocess.run([binary, "health", self.url], check=False, stdout=subprocess.DEVNULL, timeout=30)
        self.pin(engine)

    def pin(self, core):
        """Moves the engine's threads, once there are any."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        for _ in range(200):
            engine = [task for task in tasks.iterdir() if (task / "comm").read_text().startswith("cpu-")]
            if engine:
                for task in engine:
                    os.sched_setaffinity(int(task.name), {core})
                return
            subprocess.run(["sleep", "0.05"], check=True)
        sys.exit("the server has no engine's thread")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)


def pinned(core, *words):
    return ["taskset", "-c", str(core), *words]


def clean():
    """The environment without the configuration of whoever runs this."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CONVNEXT_")}


if __name__ == "__main__":
    main()
