"""What the benchmarks of a server share: a server that lives as long as they do, and a checkpoint of noise for it. Not here: what is measured (`plan.py`, `scaling.py`)."""

import array
import json
import math
import os
import random
import struct
import subprocess
import sys

MODEL = "convnext_tiny"
DEPTHS, WIDTHS = [3, 3, 9, 3], [96, 192, 384, 768]


class Server:
    """A server of these models on the CPU, which measures none of them by itself; `command` starts the binary."""

    def __init__(self, command, models, *flags):
        words = ["serve", "--models", ",".join(models), "--device", "cpu", "--calibrate", "off", "--drain-delay", "0s"]
        ports = ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"]
        self.process = subprocess.Popen([*command, *words, *ports, *flags], stdout=subprocess.PIPE, text=True, env=clean())
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.url = line.removeprefix("listening on ").strip()
            if line.startswith("grpc on "):
                return
        sys.exit("the server has not started")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)


def random_weights(folder, side):
    """A checkpoint of MODEL as timm writes it, whose weights are noise that repeats: what a batch takes does not depend on them."""
    shapes = {}

    def layer(name, *shape):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    layer("stem.0", WIDTHS[0], 3, 4, 4)
    layer("stem.1", WIDTHS[0])
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS)):
        if stage:
            layer(f"stages.{stage}.downsample.0", WIDTHS[stage - 1])
            layer(f"stages.{stage}.downsample.1", width, WIDTHS[stage - 1], 2, 2)
        for block in (f"stages.{stage}.blocks.{index}" for index in range(depth)):
            shapes[f"{block}.gamma"] = (width,)
            layer(f"{block}.conv_dw", width, 1, 7, 7)
            layer(f"{block}.norm", width)
            layer(f"{block}.mlp.fc1", 4 * width, width)
            layer(f"{block}.mlp.fc2", width, 4 * width)
    layer("head.norm", WIDTHS[-1])
    layer("head.fc", 1000, WIDTHS[-1])
    lot = random.Random(1)
    noise = array.array("f", [lot.gauss(0, 0.02) for _ in range(1 << 16)]).tobytes()
    head, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(head).encode()
    folder.mkdir(exist_ok=True)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for at in range(0, end, len(noise)):
            file.write(noise[: end - at])
    config = {"input_size": [3, side, side], "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1.0}
    (folder / "config.json").write_text(json.dumps({"architecture": MODEL, "num_classes": 1000, "pretrained_cfg": config}))


def clean():
    """The environment without the configuration of whoever runs this."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CONVNEXT_")}
