#!/usr/bin/env python3
"""Records what the CUDA engine does on this machine's GPU, beside torch on the same card.

    record.py CONVNEXT GOLDEN OUT [--steps card,verify,compare,sanitize,profile] [--minutes 9] [--rounds 3] [--device cuda]

    CONVNEXT   the binary; nothing else of the project is needed
    GOLDEN     the folder tests/golden
    OUT        a folder for the results:

    card.json       the card, its driver and clocks, and torch's version
    verify.json     `convnext verify --device cuda --golden GOLDEN`: kernels, golden cases, computed beside measured times
    compare.json    images/s of our engine and of torch's CUDA graph in f16, round by round, and their ratio
    kernels.csv     time of each kernel of ConvNeXt-T at 64 images, by Nsight Compute
    slowest.csv     all of Nsight Compute's figures of the three that take longest together
    sanitizer.txt   compute-sanitizer's memcheck, racecheck and initcheck on golden cases
    SUMMARY.md      what the README quotes

Each step is bounded in time and fails alone: what went wrong stands in SUMMARY.md. Needs Python 3; torch and timm for the comparison, ncu and
compute-sanitizer for their steps.
"""
import argparse
import csv
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

# ours, timm's
MODELS = {"convnext_tiny": "convnext_tiny", "convnext_base": "convnext_base",
          "swin_tiny": "swin_tiny_patch4_window7_224", "swin_base": "swin_base_patch4_window7_224"}
BATCHES = (1, 8, 64, 256)
SANITIZED = ("timm-convnextv2", "transformers-swin-padded")


class Failed(Exception):
    """A step that did not end as it should."""


def call(command, seconds, **keywords):
    """The output of a command that must succeed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(seconds, 1), **keywords)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} was still running after {seconds:.0f} s") from None
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}: {(done.stderr + done.stdout)[-2000:]}")
    return done.stdout


def needed(program):
    found = shutil.which(program) or shutil.which(program, path="/usr/local/cuda/bin:/opt/nvidia/nsight-compute")
    if not found:
        raise Failed(f"{program} is not on this machine")
    return found


def card(run):
    fields = "name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.mem,power.limit,pstate"
    told = call([needed("nvidia-smi"), f"--query-gpu={fields}", "--format=csv,noheader", "-i", "0"], 20)
    described = dict(zip(fields.split(","), (value.strip() for value in told.split(","))))
    try:
        import torch
        described["torch"] = torch.__version__
    except ImportError:
        described["torch"] = None
    run.write("card.json", described)
    return f"{described['name']}, driver {described['driver_version']}, torch {described['torch']}"


def verify(run):
    told = call([run.convnext, "verify", "--device", run.device, "--golden", run.golden, "--json"], run.left(240))
    report = json.loads(told)
    run.write("verify.json", report)
    golden = report["golden"]
    shares = [case["of_torch"] for case in golden if case["of_torch"]]
    lines = [f"{len(report['kernels'])} kernels proved; {sum(case['passed'] for case in golden)} of {len(golden)} golden cases within bounds"
             + (f", the worst loses {max(shares):.2f} times what torch loses" if shares else "")]
    for timed in report["times"]:
        low, high = timed["predicted_us"] or (float("nan"),) * 2
        lines.append(f"{timed['network']} at {timed['batch']}: {timed['measured_us']:.0f} µs measured with copies, {low:.0f} … {high:.0f} computed without")
    return "\n".join(lines)


def ours(run, rounds_seconds):
    """Images/s by model and batch."""
    command = [run.convnext, "bench", "--device", run.device, "--models", ",".join(run.models), "--batch", ",".join(map(str, run.batches)),
               "--seconds", str(rounds_seconds), "--json"]
    if run.device != "cpu":
        command += ["--precision", "f16"]
    report = json.loads(call(command, run.left(240)))
    if "results" not in report:
        raise Failed("no times were measured: is this the emulator?")
    return {(result["model"], result["batch"]): result["images_per_second"] for result in report["results"]}


class Torch:
    """torch's networks as CUDA graphs in f16, channels last, input on the device."""

    def __init__(self, run):
        import timm
        import torch

        if not torch.cuda.is_available():
            raise Failed("torch sees no GPU")
        self.torch, self.graphs = torch, {}
        torch.backends.cudnn.benchmark = True
        with torch.inference_mode():
            for name in run.models:
                torch.manual_seed(0)
                model = timm.create_model(MODELS[name], pretrained=False).eval().cuda().half().to(memory_format=torch.channels_last)
                for batch in run.batches:
                    x = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.float16).to(memory_format=torch.channels_last)
                    stream = torch.cuda.Stream()
                    with torch.cuda.stream(stream):
                        for _ in range(3):
                            model(x)
                    torch.cuda.synchronize()
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph):
                        output = model(x)
                    self.graphs[name, batch] = (graph, model, x, output)

    def rates(self, seconds):
        rates = {}
        for (name, batch), (graph, *_) in self.graphs.items():
            start, end = self.torch.cuda.Event(True), self.torch.cuda.Event(True)
            graph.replay()
            self.torch.cuda.synchronize()
            began, count = time.time(), 0
            start.record()
            while time.time() - began < seconds:
                for _ in range(8):
                    graph.replay()
                count += 8
                self.torch.cuda.synchronize()
            end.record()
            self.torch.cuda.synchronize()
            rates[name, batch] = batch * count / (start.elapsed_time(end) / 1000)
        return rates


def compare(run):
    rounds = []
    try:
        torch, without = Torch(run), None
    except (Failed, ImportError) as why:
        torch, without = None, str(why)
    for _ in range(run.rounds):
        both = {"convnext": ours(run, 0.5)}
        if torch:
            both["torch"] = torch.rates(0.5)
        rounds.append(both)
    rows = []
    for name in run.models:
        for batch in run.batches:
            mine = [each["convnext"][name, batch] for each in rounds]
            row = {"model": name, "batch": batch, "convnext": round(statistics.median(mine), 1), "rounds": mine}
            if torch:
                others = [each["torch"][name, batch] for each in rounds]
                row |= {"torch": round(statistics.median(others), 1), "torch_rounds": others,
                        "ratio": round(statistics.median(a / b for a, b in zip(mine, others)), 3)}
            rows.append(row)
    run.write("compare.json", {"rounds": run.rounds, "without_torch": without, "cases": rows})
    lines = ["| model | batch | convnext, images/s | torch graph, images/s | ratio |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {row['model']} | {row['batch']} | {row['convnext']:,.0f} | {row.get('torch', float('nan')):,.0f} | {row.get('ratio', float('nan')):.2f} |" for row in rows]
    return "\n".join(lines + ([f"torch was not measured: {without}"] if without else []))


def profiled(run, options, name, batch):
    command = [needed("ncu"), "--clock-control", "none", "--graph-profiling", "node", "--csv", *options,
               run.convnext, "bench", "--device", run.device, "--precision", "f16", "--models", name, "--batch", str(batch), "--seconds", "0.1", "--json"]
    told = call(command, run.left(120))
    lines = told.splitlines()
    head = next((at for at, line in enumerate(lines) if line.startswith('"ID"')), None)
    if head is None:
        raise Failed(f"ncu told no table: {told[-1000:]}")
    return "\n".join(line for line in lines[head:] if line.startswith('"'))


def profile(run):
    times = profiled(run, ["--metrics", "gpu__time_duration.sum", "--launch-count", "400"], "convnext_tiny", 64)
    (run.out / "kernels.csv").write_text(times)
    spent = {}
    for row in csv.DictReader(times.splitlines()):
        value = float(row["Metric Value"].replace(",", "")) * {"ns": 1e-3, "us": 1, "usecond": 1, "nsecond": 1e-3, "ms": 1e3}.get(row["Metric Unit"], 1)
        spent[row["Kernel Name"]] = spent.get(row["Kernel Name"], 0) + value
    slowest = sorted(spent, key=spent.get, reverse=True)[:3]
    names = "|".join(re.escape(name.split("(")[0]) for name in slowest)
    full = profiled(run, ["--set", "full", "--page", "raw", "-k", f"regex:^({names})$", "--launch-count", "6"], "convnext_tiny", 64)
    (run.out / "slowest.csv").write_text(full)
    return "slowest, of all launches profiled: " + ", ".join(f"{name} {spent[name]:.0f} µs" for name in slowest)


def sanitize(run):
    sanitizer, told, lines = needed("compute-sanitizer"), [], []
    for tool in ("memcheck", "racecheck", "initcheck"):
        for case in SANITIZED:
            command = [sanitizer, "--tool", tool, "--error-exitcode", "9", run.convnext, "verify", "--device", run.device,
                       "--kernels", "none", "--images", "1", "--golden", os.path.join(run.golden, case)]
            try:
                said, word = call(command, run.left(90)), "nothing found"
            except Failed as why:
                said, word = str(why), str(why)[:300]
            told.append(f"== {tool} on {case}\n{said}")
            lines.append(f"{tool} on {case}: {word}")
    (run.out / "sanitizer.txt").write_text("\n".join(told))
    return "\n".join(lines)


class Run:
    def __init__(self, options):
        self.convnext, self.golden, self.device = os.path.abspath(options.convnext), os.path.abspath(options.golden), options.device
        self.out, self.rounds = options.out, options.rounds
        self.models, self.batches = options.models, options.batches
        self.ends = time.time() + 60 * options.minutes
        self.out.mkdir(parents=True, exist_ok=True)

    def left(self, most):
        """Seconds that a command may take."""
        left = self.ends - time.time()
        if left < 5:
            raise Failed("no time was left")
        return min(most, left)

    def write(self, name, value):
        (self.out / name).write_text(json.dumps(value, indent=1) + "\n")


def main():
    steps = {"card": card, "verify": verify, "compare": compare, "sanitize": sanitize, "profile": profile}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("convnext")
    parser.add_argument("golden")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--steps", type=lambda text: text.split(","), default=list(steps))
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(MODELS))
    parser.add_argument("--batches", type=lambda text: [int(batch) for batch in text.split(",")], default=list(BATCHES))
    options = parser.parse_args()
    run = Run(options)
    failed, summary = False, []
    for name, step in steps.items():
        if name not in options.steps:
            continue
        began = time.time()
        try:
            said = step(run)
        except Exception as why:  # a step must not take the others with it
            failed, said = True, f"FAILED: {type(why).__name__}: {why}"
        summary.append(f"## {name}, {time.time() - began:.0f} s\n\n{said}\n")
        print(summary[-1], flush=True)
        (run.out / "SUMMARY.md").write_text("\n".join(summary))
    sys.exit(failed)


if __name__ == "__main__":
    main()
