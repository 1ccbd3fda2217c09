#!/usr/bin/env python3
"""The simulation of `convnext plan` against a real server on this machine: the same arrivals, p50 and p99 of both, as a table in Markdown.

    cargo build --release && python3 benches/plan.py            # 5 minutes, on a machine that does nothing else
    python3 benches/plan.py --write deploy/CAPACITY.md          # the same, and puts it there

A priority of real time does not make a machine quiet: Linux gives others 50 ms of every second in one piece (its fair server), of which the simulation knows nothing.

Two cores are needed. The engine's thread computes on one; the rest of the server and the load generator share the other, as a GPU's host does. The model is a
ConvNeXt-T with random weights at 64 × 64: a batch takes 10 ms and more, beside which what the host does for a request is little, as on a GPU. Images come as tensors, so
that nothing is decoded.

Before each load the benchmark and a closed loop run, so that the load is a share of what the machine can do in that minute, and behind it the benchmark once
more, so that a machine which becomes slower meanwhile does so for it too. The same seed gives `convnext load` and `convnext plan` the same arrivals. What
batches take is an input of the simulation, and is told to it twice: as the server's own statistics, read many times a second, had it for batches of each size
at that very load, and by how much all of them were slower in each second, which judges the simulation alone, its arrivals, queue and scheduler; and as
`convnext bench --pauses` measured it, which judges a forecast from a benchmark. A machine that others share is slow for seconds at a time, and slow batches in
a row make longer queues than as many that are spread evenly. In the report for the simulation the slowness stands beside the results: `slowness` with
`every_s`, seconds of a stretch, and `factors`, one for each stretch since the first request, by which the times of `results` are multiplied. It passes when
each ratio is within 20 %. Beside it stands what the simulation gives with the arrivals of other seeds: how much such a run says by itself.
Not here: how it is simulated (src/service/simulation).
"""

import argparse
import collections
import http.client
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import served
from served import MODEL, clean, random_weights

SIDE = 64
BATCHES = [1, 2, 4, 8, 16, 32]
# shares of the capacity, and of the time: near saturation a queue takes long to forget
LOADS = {0.3: 0.5, 0.6: 0.75, 0.9: 1.75}
# of the runs whose times a report tells, as src/service/simulation/speed.rs has them
SHARES = [0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0]
# sizes that ran less often have no spread of their own
FEWEST_RUNS = 20
# between two looks at the statistics: about a batch
LOOK_EVERY = 0.02
# seconds in which a machine is equally slow: long enough for many batches
STRETCH = 1.0
# turns of finding what sizes take and how slow stretches are from each other; neither changes then any more
TURNS = 20
# how far off a percentile may be
TOLERANCE = 0.2
OTHER_SEEDS = range(101, 111)
MARKS = "<!-- measured by benches/plan.py -->\n", "<!-- end of what was measured -->\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--convnext", default="target/release/convnext", help="the binary")
    parser.add_argument("--demo", action="store_true", help="the demo model instead, whose batches take no longer than its requests take of the host")
    parser.add_argument("--seconds", type=float, default=60, help="of a load, on average")
    parser.add_argument("--rounds", type=int, default=1, help="seeds, one after the other")
    parser.add_argument("--keep", help="a folder for all reports")
    parser.add_argument("--write", metavar="FILE", help="the document to put it in, between its two marks")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the engine's thread, one for the rest")
    machine = Machine(str(pathlib.Path(args.convnext).resolve()), cores[0], cores[1])
    for name, core in [("engine", machine.engine), ("rest", machine.rest)]:
        lost, longest = taken_away(core)
        print(f"The core of the {name}: others had it {lost:.1%} of the time, {longest * 1e3:.1f} ms at once.")
        if lost > 0.02:
            print("That is no quiet machine: what follows compares its stalls with a simulation that has none.")
    print()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(args.keep or folder)
        folder.mkdir(exist_ok=True, parents=True)
        if args.demo:
            subject = Subject("convnext_atto", "convnext_atto", "convnext_atto", SIDE)
        else:
            random_weights(folder / "model", SIDE)
            subject = Subject(MODEL, f"{MODEL}={folder / 'model'}", f"{MODEL}={folder / 'model'}", SIDE)
        with Server(machine, subject) as server:
            # what looks at the server's statistics shares its core
            os.sched_setaffinity(0, {machine.rest})
            off = compare(machine, server, subject, folder, args, lambda line: lines.append(line) or print(line, flush=True))
    if args.write:
        write(pathlib.Path(args.write), lines)
    sys.exit(1 if off else 0)


def write(document, lines):
    text = document.read_text()
    before, rest = text.split(MARKS[0])
    _, behind = rest.split(MARKS[1])
    document.write_text(before + MARKS[0] + "\n" + "\n".join(lines) + "\n" + MARKS[1] + behind)


def compare(machine, server, subject, folder, args, tell):
    """Tells a row for each percentile of each load; how many are off."""

    def load(*words):
        """A report of the load generator, and what each batch took that the server ran meanwhile."""
        with Watch(server) as watch:
            report = machine.json(machine.rest, "load", server.url, "--route", "oip", "--model", subject.name, "--json", *words)
        if report["failed"]:
            sys.exit(f"{report['failed']} requests failed")
        return report, watch.took

    load("--clients", "64", "--seconds", "2")  # as a server that has served a while
    # so far apart that none waits for another
    alone, took = load("--rate", "15", "--seconds", "8")
    single = mean([ms for _, size, ms in took if size == 1])
    # of a machine that is disturbed the difference may be none
    host = max(alone["latency_ms"]["mean"] - single, 0.0)
    verdicts = []
    for seed in range(1, args.rounds + 1):
        for share, longer in LOADS.items():
            stem = f"{seed}-{share:.0%}"

            def bench():
                return machine.json(machine.engine, "bench", "--models", subject.bench, *subject.size, "--threads", "1", "--seconds", "1", "--json",
                                    "--device", "cpu", "--batch", ",".join(map(str, BATCHES)), "--pauses")

            before = bench()
            capacity = load("--clients", "64", "--seconds", "6")[0]["images_per_second"]
            if not verdicts:
                tell(f"{before['machine']['cpu']}; {subject.name} at {subject.side} × {subject.side} on one core: {single:.1f} ms alone, "
                      f"{host:.2f} ms of host\n")
                tell("| load | images/s | | real, ms | simulated, times of this load, ms | ratio | simulated, times of bench, ms | ratio | other arrivals, ms | |")
                tell("|--:|--:|---|--:|--:|--:|--:|--:|--:|---|")
            rate = ["--rate", f"{capacity * share:.2f}", "--arrivals", "poisson", "--seconds", f"{args.seconds * longer:g}", "--warm-up", "2s"]
            real, took_there = load(*rate, "--seed", str(seed))
            both = middle(before, bench())
            files = {"bench": both, "served": with_times_of(subject.name, both, took_there), "real": real,
                     "took": took_there, "capacity": capacity, "host": host}
            for name, content in files.items():
                (folder / f"{stem}-{name}.json").write_text(json.dumps(content))

            def plan(name, seed):
                found = machine.json(machine.rest, "plan", "--bench", str(folder / f"{stem}-{name}.json"), "--model", subject.name, "--replicas", "1",
                                     "--only", "--json", "--host-ms", f"{host:.3f}", *rate, "--seed", str(seed))
                return found["cases"][0]["at_rate"]["latency_ms"]

            of_load, of_bench = plan("served", seed), plan("bench", seed)
            others = [plan("served", other) for other in OTHER_SEEDS]
            for name in ["p50", "p99"]:
                here = real["latency_ms"][name]
                ratios = [one[name] / here for one in [of_load, of_bench]]
                verdicts.append([abs(ratio - 1) <= TOLERANCE for ratio in ratios])
                other = sorted(one[name] for one in others)
                cells = [f"{share * 100:.0f} %", f"{capacity * share:.0f}", name, f"{here:.1f}", f"{of_load[name]:.1f}", f"{ratios[0]:.2f}",
                         f"{of_bench[name]:.1f}", f"{ratios[1]:.2f}", f"{other[0]:.1f} to {other[-1]:.1f}", said(verdicts[-1])]
                tell("| " + " | ".join(cells) + " |")
    off = [sum(not one[index] for one in verdicts) for index in range(2)]
    tell(f"\nOf {len(verdicts)} percentiles {off[0]} are more than {TOLERANCE * 100:.0f} % off with the times of the load, {off[1]} with those of bench.")
    return sum(off)


def said(verdict):
    match verdict:
        case [True, True]:
            return "pass"
        case [False, False]:
            return "fail"
        case [False, True]:
            return "fail with the times of the load"
        case _:
            return "fail with the times of bench"


class Subject:
    """The model, as the server and as the benchmark are told of it."""

    def __init__(self, name, served, bench, side):
        self.name, self.served, self.bench, self.side = name, served, bench, side
        # the benchmark knows the demo model's network by its name, at 224 pixels
        self.size = ["--size", str(side)] if bench == name else []


class Machine:
    """The binary and the cores that it runs on."""

    def __init__(self, binary, engine, rest):
        self.binary, self.engine, self.rest = binary, engine, rest

    def words(self, core, *words):
        return ["taskset", "-c", str(core), self.binary, *words]

    def json(self, core, *words):
        done = subprocess.run(self.words(core, *words), stdout=subprocess.PIPE, text=True, timeout=300, env=clean())
        if done.returncode:
            sys.exit(f"convnext {' '.join(words)} failed")
        return json.loads(done.stdout)


class Watch(threading.Thread):
    """Looks at the server's statistics so often that nearly every batch is seen by itself; of two of a size between two looks each has half of their time."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended = server, threading.Event()
        # of each batch in turn: seconds since the first began, images, milliseconds
        self.took = []

    def __enter__(self):
        self.last = self.server.batches()
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
        self.look()
        # requests begin to come when the first batch begins, but for the way there
        first = self.took[0][0] if self.took else 0.0
        self.took = [(began - first, size, ms) for began, size, ms in self.took]

    def run(self):
        while not self.ended.wait(LOOK_EVERY):
            self.look()

    def look(self):
        now, ended = self.server.batches(), time.monotonic()
        for size, (count, seconds) in now.items():
            count_before, seconds_before = self.last.get(size, (0, 0.0))
            for _ in range(count - count_before):
                took = (seconds - seconds_before) / (count - count_before)
                self.took.append((ended - took, size, 1e3 * took))
        self.last = now


def mean(values):
    return sum(values) / len(values)


def middle(one, other):
    """A report whose times are in the middle of two of the same cases."""
    if isinstance(one, dict):
        return {key: middle(value, other[key]) for key, value in one.items()}
    if isinstance(one, list) and len(one) == len(other):
        return [middle(*pair) for pair in zip(one, other)]
    return (one + other) / 2 if isinstance(one, float) else one


def in_stretches(took, often, expected):
    """How slow the machine was in each stretch, as a factor, and by size what batches took divided by that. Sizes that ran `often` take what they take; the others as much
    longer than `expected` as those do on average, for a size that ran in a slow stretch alone would hide it.

    Logarithms of times are a sum of one figure for the size and one for the stretch, by least squares: larger batches come where the machine is slow, and a stretch has
    the sizes that it has, so that neither is known without the other. A stretch of few batches is slow or quick by chance too, and queues would grow that never did: what
    chance alone may be of it is left out (the non-negative garrote; Breiman, 1995), which a stretch of twice the time hardly notices."""
    rows = [(int(began / STRETCH), size, math.log(ms / expected(size))) for began, size, ms in took]
    slow = {}
    for _ in range(TURNS):
        usual = means((size, log - slow.get(stretch, 0.0)) for stretch, size, log in rows if size in often)
        on_average = mean([usual[size] for _, size, _ in rows if size in often])
        usual.update({size: on_average for _, size, _ in rows if size not in often})
        slow = means((stretch, log - usual[size]) for stretch, size, log in rows)
    counts = collections.Counter(stretch for stretch, *_ in rows)
    variance = mean([(log - usual[size] - slow[stretch]) ** 2 for stretch, size, log in rows])
    usually = statistics.median(slow.values())
    factors = []
    for stretch in range(max(slow) + 1):
        if stretch in slow:
            beside, chance = slow[stretch] - usually, variance / counts[stretch]
            factors.append(math.exp(beside * (1 - chance / beside**2)) if beside**2 > chance else 1.0)
        else:
            # without a batch it is as slow as before
            factors.append(factors[-1])
    without = {}
    for began, size, ms in took:
        without.setdefault(size, []).append(ms / factors[int(began / STRETCH)])
    return factors, without


def means(pairs):
    """Of the values of each key."""
    found = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: mean(values) for key, values in found.items()}


def with_times_of(model, bench, took):
    """The report of the benchmark with the times that the server's batches had, and when they were slow; sizes that it hardly ran get the benchmark's times, as much
    longer as the others were."""
    # by size, each row of quantiles with the mean before it
    known = {case["batch"]: [1e3 * case["batch"] / case["images_per_second"], *case["quantiles_ms"]] for case in bench["results"]}

    def between(size):
        below, above = max(one for one in known if one <= size), min(one for one in known if one >= size)
        share = (size - below) / max(above - below, 1)
        return [low + (high - low) * share for low, high in zip(known[below], known[above])]

    counts = collections.Counter(size for _, size, _ in took)
    often = {size for size, count in counts.items() if count >= FEWEST_RUNS and size <= max(known)}
    factors, without = in_stretches(took, often, lambda size: between(size)[0])
    often = {size: sorted(without[size]) for size in often}
    longer = mean([mean(times) / between(size)[0] for size, times in often.items() for _ in times])
    results = []
    for size in sorted(set(often) | set(known)):
        times = often.get(size)
        # the nearest rank, as the benchmark has it
        quantiles = [times[max(math.ceil(share * len(times)), 1) - 1] for share in SHARES] if times else [one * longer for one in between(size)[1:]]
        results.append({"model": model, "batch": size, "quantiles_ms": quantiles})
    return {"device": bench["device"], "results": results, "slowness": {"every_s": STRETCH, "factors": factors}}


class Server(served.Server):
    """A server of the model: its engine's thread on one core, all its others on another."""

    def __init__(self, machine, subject):
        super().__init__(machine.words(machine.rest), [subject.served], "--engine-threads", "1", "--log", "off")
        self.model, self.connection = subject.name, None
        subprocess.run([machine.binary, "health", self.url], check=False, stdout=subprocess.DEVNULL, timeout=30)
        self.pin(machine.engine)

    def pin(self, core):
        """Moves the engine's threads, once there are any."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        for _ in range(200):
            engine = [task for task in tasks.iterdir() if (task / "comm").read_text().startswith("cpu-")]
            if engine:
                for task in engine:
                    os.sched_setaffinity(int(task.name), {core})
                return
            time.sleep(0.05)
        sys.exit("the server has no engine's thread")

    def batches(self):
        """By size: how many batches there were, and their seconds on the device."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        self.connection.request("GET", f"/v2/models/{self.model}/stats")
        [model] = json.load(self.connection.getresponse())["model_stats"]
        return {one["batch_size"]: (one["compute_infer"]["count"], one["compute_infer"]["ns"] / 1e9) for one in model["batch_stats"]}


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


if __name__ == "__main__":
    main()
