#!/usr/bin/env python3
"""Measures what our kernels will be judged by: torch's ConvNeXt and Swin, cuBLAS, bandwidth and launches on this card.

    peers.py FILE [SECONDS [latency|bandwidth|products|models|compiled ...]]      a line of JSON a number
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

MODELS = ("convnext_tiny", "convnext_base", "swin_tiny_patch4_window7_224", "swin_base_patch4_window7_224")
BATCHES = (1, 8, 32, 64, 128, 256)
ROUNDS = 5
# (model, batch): compiled side by side, then measured one after the other.
COMPILED = [("convnext_tiny", 64), ("convnext_tiny", 1), ("convnext_base", 64), ("swin_tiny_patch4_window7_224", 64)]


class Card:
    """Clocks and power while something runs."""

    def __init__(self):
        import pynvml

        self.nvml = pynvml
        pynvml.nvmlInit()
        self.handle = pynvml.nvmlDeviceGetHandleByIndex(0)

    def __enter__(self):
        self.samples, self.done = [], threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        n, h = self.nvml, self.handle
        while not self.done.wait(0.02):
            clock = n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM)
            self.samples.append((clock, n.nvmlDeviceGetPowerUsage(h) / 1000, n.nvmlDeviceGetPerformanceState(h)))

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def state(self):
        if not self.samples:
            return {}
        clocks, watts, states = zip(*self.samples)
        return {"MHz": statistics.median(clocks), "W": round(statistics.median(watts)), "P": max(states)}


def measure(work, least=0.06):
    """Seconds of one call: the median of ROUNDS, each at least so long on the device."""
    work()
    torch.cuda.synchronize()
    start, end = torch.cuda.Event(True), torch.cuda.Event(True)

    def timed(count):
        start.record()
        for _ in range(count):
            work()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1000 / count

    count = max(1, int(least / max(timed(3), 1e-6)))
    times = [timed(count) for _ in range(ROUNDS)]
    return statistics.median(times), max(times) / min(times)


def graphed(work):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(2):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def write(file, row):
    file.write(json.dumps(row) + "\n")
    file.flush()


def build(name, dtype):
    import timm

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval().cuda().to(dtype)
    return model.to(memory_format=torch.channels_last)


def images(batch, dtype):
    return torch.randn(batch, 3, 224, 224, device="cuda", dtype=dtype).to(memory_format=torch.channels_last)


@torch.inference_mode()
def models(file, card):
    torch.backends.cudnn.benchmark = True
    for name in MODELS:
        for dtype, word in ((torch.float16, "f16"), (torch.bfloat16, "bf16"), (torch.float32, "tf32")):
            model = build(name, dtype)
            for batch in BATCHES if word != "tf32" else (64,):
                torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = word == "tf32"
                x = images(batch, dtype)
                work = lambda: model(x)
                for mode in ("eager", "graph"):
                    try:
                        with card:
                            seconds, spread = measure(work if mode == "eager" else graphed(work))
                        row = {"model": name, "type": word, "batch": batch, "mode": mode, "images/s": round(batch / seconds, 1), "ms": round(seconds * 1000, 4), "spread": round(spread, 3)}
                        write(file, row | card.state())
                    except Exception as error:
                        write(file, {"model": name, "type": word, "batch": batch, "mode": mode, "failed": repr(error)[:300]})
            model = None
            torch.cuda.empty_cache()


@torch.inference_mode()
def compiled(file, name, batch, gate):
    """torch.compile's best mode, in a process of its own; waits at the gate until all others are compiled too."""
    import fcntl

    import torch._inductor.config as inductor

    inductor.compile_threads = 4
    torch.backends.cudnn.benchmark = True
    started = time.time()
    model, x = build(name, torch.float16), images(batch, torch.float16)
    model = torch.compile(model, mode="max-autotune")
    for _ in range(3):
        model(x)
    torch.cuda.synchronize()
    took = time.time() - started
    (gate / f"{name}.{batch}").touch()
    while not (gate / "open").exists():
        time.sleep(0.2)
    with open(gate / "turn", "w") as turn, Card() as card:
        fcntl.flock(turn, fcntl.LOCK_EX)
        seconds, spread = measure(lambda: model(x))
        row = {"model": name, "type": "f16", "batch": batch, "mode": "max-autotune", "images/s": round(batch / seconds, 1), "ms": round(seconds * 1000, 4), "spread": round(spread, 3)}
        write(file, row | {"compiled in s": round(took)} | card.state())


def compile_all(path, until):
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder)
        commands = [[sys.executable, __file__, "--compiled", path, name, str(batch), folder] for name, batch in COMPILED]
        said = [open(gate / f"said.{i}", "w+") for i in range(len(commands))]
        children = [subprocess.Popen(c, start_new_session=True, stderr=log, stdout=log) for c, log in zip(commands, said)]
        ready = lambda: sum((gate / f"{name}.{batch}").exists() for name, batch in COMPILED)
        while ready() < sum(c.poll() in (None, 0) for c in children) and time.time() < until - 20:
            time.sleep(0.5)
        print(ready(), "of", len(children), "compiled", flush=True)
        names = {p.name for p in gate.iterdir()}
        for child, (name, batch), log in zip(children, COMPILED, said):
            if f"{name}.{batch}" not in names:
                log.seek(0)
                print(name, batch, "not compiled", child.poll(), log.read()[-600:], flush=True)
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
        (gate / "open").touch()
        for child in children:
            try:
                child.wait(max(5, until - time.time()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)


@torch.inference_mode()
def products(file, card):
    """Linear layers of ConvNeXt-T in a graph of 16 over rotating operands; with bias, as cuBLASLt fuses it."""
    for dtype, word in ((torch.float16, "f16"), (torch.bfloat16, "bf16")):
        for batch in (1, 8, 64, 256) if word == "f16" else (64,):
            for side, width in ((56, 96), (28, 192), (14, 384), (7, 768)):
                for layer, n, k in (("fc1", 4 * width, width), ("fc2", width, 4 * width)):
                    m = batch * side * side
                    copies = max(1, min(8, (256 << 20) // (2 * (m * k + n * k + m * n))))
                    sets = [(torch.randn(m, k, device="cuda", dtype=dtype), torch.randn(n, k, device="cuda", dtype=dtype), torch.randn(n, device="cuda", dtype=dtype)) for _ in range(copies)]

                    def work():
                        for i in range(16):
                            a, b, bias = sets[i % copies]
                            torch.nn.functional.linear(a, b, bias)

                    with card:
                        seconds, spread = measure(graphed(work), 0.03)
                    seconds /= 16
                    row = {"product": layer, "type": word, "batch": batch, "m": m, "n": n, "k": k, "us": round(seconds * 1e6, 2)}
                    moved = 2 * (m * k + n * k + m * n)
                    write(file, row | {"TFLOP/s": round(2 * m * n * k / seconds / 1e12, 1), "GB/s": round(moved / seconds / 1e9), "spread": round(spread, 3)} | card.state())
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    with card:
        seconds, _ = measure(lambda: a @ a, 0.2)
    write(file, {"product": "8192 cubed", "type": "f16", "TFLOP/s": round(2 * 8192**3 / seconds / 1e12, 1)} | card.state())


def bandwidth(file, card):
    for mib in (16, 64, 256, 2048):
        a, b = (torch.empty(mib << 20, dtype=torch.uint8, device="cuda") for _ in range(2))
        with card:
            seconds, _ = measure(lambda: b.copy_(a))
        write(file, {"device-to-device copy": f"{mib} MiB", "GB/s read and written": round(2 * (mib << 20) / seconds / 1e9)} | card.state())


def latency(file):
    source = Path(__file__).parent / "latency.cu"
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/latency"
        subprocess.run(["nvcc", "-O2", "-std=c++17", "-arch=sm_90", "-o", program, str(source)], check=True)
        write(file, json.loads(subprocess.run([program], capture_output=True, text=True, check=True).stdout))


def main():
    if sys.argv[1] == "--compiled":
        with open(sys.argv[2], "a") as file:
            compiled(file, sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
        return
    until = time.time() + float(sys.argv[2] if len(sys.argv) > 2 else 600)
    card = Card()
    parts = {"latency": lambda: latency(file), "bandwidth": lambda: bandwidth(file, card), "products": lambda: products(file, card), "models": lambda: models(file, card), "compiled": lambda: compile_all(sys.argv[1], until)}
    with open(sys.argv[1], "w") as file:
        about = {"card": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        write(file, about)
        for name in sys.argv[3:] or parts:
            try:
                started = time.time()
                parts[name]()
                print(name, round(time.time() - started), "s", flush=True)
            except Exception as error:
                write(file, {"failed": repr(error)[:500]})
                print(name, "failed", repr(error)[:500], flush=True)


if __name__ == "__main__":
    main()
