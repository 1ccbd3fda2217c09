#!/usr/bin/env python3
"""The simulation of `convnext plan` against a real server on this machine: the same arrivals, p50 and p99 of both, as a table in Markdown.

    cargo build --release && python3 benches/plan.py            # 3 minutes, on a machine that does nothing else

Two cores are needed. The engine's thread computes on one; the rest of the server and the load generator share the other, as a GPU's host does. Images come as
tensors, so that nothing is decoded. What a single request takes beyond its batch is measured first, at a light pace. Then the same seed gives `convnext load` and
`convnext plan` the same arrivals at 30, 60 and 90 % of the capacity that a closed loop finds. What batches take is an input of the simulation, and is told to it
twice: as the server's own statistics had it for batches of each size at that very load, which judges the simulation alone, its arrivals, queue and scheduler; and as
`convnext bench` measured it without a pause, which judges a forecast from a benchmark. The spread is the benchmark's in both. Not here: how it is simulated (src/service/simulation).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

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
    for name, core in [("engine", engine), ("rest", rest)]:
        lost, longest = taken_away(core)
        print(f"The core of the {name}: others had it {lost:.1%} of the time, {longest * 1e3:.1f} ms at once.")
        if lost > 0.02:
            print("That is no quiet machine: what follows compares its stalls with a simulation that has none.")
    print()

    def convnext(core, *words):
        done = subprocess.run(pinned(core, binary, *words), stdout=subprocess.PIPE, text=True, timeout=300, env=clean())
        if done.returncode:
            sys.exit(f"convnext {' '.join(words)} failed")
        return json.loads(done.stdout)

    with tempfile.TemporaryDirectory() as folder:
        bench_file, served_file = pathlib.Path(folder) / "bench.json", pathlib.Path(folder) / "served.json"
        bench = convnext(engine, "bench", "--models", MODEL, "--size", str(SIDE), "--threads", "1", "--seconds", "2", "--json",
                         "--device", "cpu", "--batch", ",".join(map(str, BATCHES)))
        bench_file.write_text(json.dumps(bench))
        with Server(binary, engine, rest) as server:
            def load(*words):
                """A report of the load generator, and the batches that the server ran meanwhile."""
                before = server.batches()
                report = convnext(rest, "load", server.url, "--route", "oip", "--model", MODEL, "--json", *words)
                return report, since(before, server.batches())

            load("--clients", "4", "--seconds", "1")  # as a server that has served a while
            alone, batches = load("--rate", "50", "--arrivals", "poisson", "--seed", "9", "--seconds", "6")
            host = alone["latency_ms"]["p50"] - 1e3 * batches[1][1] / batches[1][0]
            capacity = load("--clients", "64", "--seconds", "6")[0]["images_per_second"]
            print(f"{bench['machine']['cpu']}; {MODEL} at {SIDE} × {SIDE} on one core: {1e3 * batches[1][1] / batches[1][0]:.2f} ms alone, "
                  f"{host:.2f} ms of host, capacity {capacity:.0f} images/s\n")
            print("| load | seed | images/s | | real | simulated, times of this load | ratio | simulated, times of bench | ratio |")
            print("|--:|--:|--:|---|--:|--:|--:|--:|--:|")
            worst = [0.0, 0.0]
            for seed in range(1, args.rounds + 1):
                for share in LOADS:
                    arrivals = ["--rate", f"{capacity * share:.1f}", "--arrivals", "poisson", "--seed", str(seed),
                                "--seconds", f"{args.seconds:g}", "--warm-up", "2s"]
                    real, batches = load(*arrivals)
                    if real["failed"]:
                        sys.exit(f"{real['failed']} requests failed")
                    served_file.write_text(json.dumps(served(bench, batches)))

                    def plan(file):
                        found = convnext(rest, "plan", "--bench", str(file), "--model", MODEL, "--replicas", "1", "--only", "--json",
                                         "--host-ms", f"{host:.3f}", *arrivals)
                        return found["cases"][0]["at_rate"]

                    simulated = [plan(served_file), plan(bench_file)]
                    for name in ["p50", "p99"]:
                        here = real["latency_ms"][name]
                        cells = [f"{share:.0%}".replace("%", " %"), str(seed), f"{capacity * share:.0f}", name, f"{here:.2f} ms"]
                        for index, one in enumerate(simulated):
                            there = one["latency_ms"][name]
                            cells += [f"{there:.2f} ms", f"{there / here:.2f}"]
                            worst[index] = max(worst[index], abs(there / here - 1))
                        print("| " + " | ".join(cells) + " |", flush=True)
            print(f"\nThe worst is {worst[0]:.0%} off with the times of the load, {worst[1]:.0%} with those of bench.".replace("%", " %"))


def since(before, after):
    """Batches of each size, and their seconds, from one look at the statistics to the next."""
    counts = {size: (count - before.get(size, (0, 0))[0], seconds - before.get(size, (0, 0))[1]) for size, (count, seconds) in after.items()}
    return {size: (count, seconds) for size, (count, seconds) in counts.items() if count}


def served(bench, batches):
    """The report of the benchmark with the times that the server's batches had; sizes that it hardly ran get the benchmark's, as much longer as the others were."""
    # by size, each row of quantiles with the mean before it
    known = {case["batch"]: [1e3 * case["batch"] / case["images_per_second"], *case["quantiles_ms"]] for case in bench["results"]}

    def between(size):
        below, above = max(one for one in known if one <= size), min(one for one in known if one >= size)
        share = (size - below) / max(above - below, 1)
        return [low + (high - low) * share for low, high in zip(known[below], known[above])]

    means = {}
    for size, (runs, took) in batches.items():
        if runs >= 20 and size <= max(known):
            means[size] = (took / runs * 1e3, runs)
    longer = sum(runs * mean / between(size)[0] for size, (mean, runs) in means.items()) / sum(runs for _, runs in means.values())
    results = []
    for size in sorted(set(means) | set(known)):
        mean, *quantiles = between(size)
        factor = means[size][0] / mean if size in means else longer
        results.append({"model": MODEL, "batch": size, "quantiles_ms": [one * factor for one in quantiles]})
    return {"device": bench["device"], "results": results}


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

    def batches(self):
        """By size: how many batches there were, and their seconds on the device."""
        with urllib.request.urlopen(f"{self.url}/v2/models/{MODEL}/stats", timeout=10) as answer:
            [model] = json.load(answer)["model_stats"]
        return {one["batch_size"]: (one["compute_infer"]["count"], one["compute_infer"]["ns"] / 1e9) for one in model["batch_stats"]}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)


def taken_away(core, seconds=2.0):
    """The share of the time that a program which only computes does not have a core, and the longest such time."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    began = last = time.perf_counter()
    lost = longest = 0.0
    while last - began < seconds:
        now = time.perf_counter()
        if now - last > 2e-4:
            lost, longest = lost + now - last, max(longest, now - last)
        last = now
    os.sched_setaffinity(0, allowed)
    return lost / (last - began), longest


def pinned(core, *words):
    return ["taskset", "-c", str(core), *words]


def clean():
    """The environment without the configuration of whoever runs this."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CONVNEXT_")}


if __name__ == "__main__":
    main()
