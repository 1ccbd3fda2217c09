"""What an image costs before the engine sees it, beside Pillow, OpenCV and torchvision: file to 224x224 pixels of RGB, on one core, in turns.

    pip install pillow numpy opencv-python-headless torch torchvision
    python benches/front.py [--program target/release/deps/front-…] [--pillow-simd …/bin/python] [--rounds 5] [--seconds 0.5]

Pillow-SIMD takes Pillow's place, so that it needs an environment of its own (CC="cc -mavx2" pip install --no-cache-dir --no-binary pillow-simd pillow-simd), whose Python is named.

OpenCV's `linear` reads four pixels of many and is no antialiased resize; `area` is. Reduced decoding (Pillow's `draft`, OpenCV's
`IMREAD_REDUCED_COLOR_4`) is listed at 1/4, of which ours takes what its bounds allow (2, 3 or 4 eighths). Prints medians, and of each how far its pixels are from
what Pillow makes of the whole image.
"""
import argparse, base64, io, json, pathlib, statistics, subprocess, tempfile, time

import cv2
import numpy as np
import torch
import torchvision
import torchvision.transforms.v2.functional as F
from PIL import Image, __version__ as pillow_version
from torchvision.io import decode_image

SIDE, EDGE = 224, 256
ROOT = pathlib.Path(__file__).parent.parent


def files(folder):
    """Photos of the repository, and 12 megapixels of them: 8x8 times the same, which has as much detail as a sharp camera sends, and more."""
    photo = Image.open(ROOT / "benches/500x375.jpg").convert("RGB")
    coffee = Image.open(ROOT / "tests/images/coffee.webp").convert("RGB")
    large = Image.new("RGB", (4000, 3000))
    for y in range(8):
        for x in range(8):
            large.paste(photo, (500 * x, 375 * y))
    made = {"12mp.jpg": (large, {"quality": 85}), "12mp-progressive.jpg": (large, {"quality": 85, "progressive": True}),
            "600x400-lossless.webp": (coffee, {"lossless": True}), "600x400.png": (coffee, {})}
    paths = [ROOT / "benches/500x375.jpg", ROOT / "tests/images/coffee.webp"]
    for name, (image, options) in made.items():
        image.save(folder / name, **options)
        paths.append(folder / name)
    return paths


# What an environment of its own runs: it gets a file and a reduction, and answers with the median of a turn and the pixels.
OTHER = """
import base64, io, json, pathlib, statistics, sys, time
from PIL import Image, __version__
print(__version__, flush=True)
for line in sys.stdin:
    path, reduced, seconds = json.loads(line)
    data = pathlib.Path(path).read_bytes()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        began = time.perf_counter()
        image = Image.open(io.BytesIO(data))
        width, height = image.size
        if reduced > 1:
            image.draft("RGB", (width // reduced, height // reduced))
        image = image.convert("RGB")
        width, height = image.size
        size = (256, 256 * height // width) if width <= height else (256 * width // height, 256)
        image = image.resize(size, Image.BICUBIC)
        x, y = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
        image = image.crop((x, y, x + 224, y + 224))
        times.append(1e3 * (time.perf_counter() - began))
    print(json.dumps([statistics.median(times), base64.b64encode(image.tobytes()).decode()]), flush=True)
"""


class Other:
    """A Pillow in another environment."""

    def __init__(self, python):
        self.process = subprocess.Popen([python, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self.process.stdout.readline().strip()

    def turn(self, path, reduced, seconds):
        self.process.stdin.write(json.dumps([str(path), reduced, seconds]) + "\n")
        self.process.stdin.flush()
        time_of_one, pixels = json.loads(self.process.stdout.readline())
        return time_of_one, np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(SIDE, SIDE, 3)

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


def resized(width, height):
    return (EDGE, EDGE * height // width) if width <= height else (EDGE * width // height, EDGE)


def corner(width, height):
    return round((width - SIDE) / 2), round((height - SIDE) / 2)


def pillow(data, reduced=1):
    image = Image.open(io.BytesIO(data))
    width, height = image.size
    if reduced > 1:
        image.draft("RGB", (width // reduced, height // reduced))
    image = image.convert("RGB").resize(resized(width, height), Image.BICUBIC)
    x, y = corner(*image.size)
    return np.asarray(image.crop((x, y, x + SIDE, y + SIDE)))


def opencv(data, flag=cv2.IMREAD_COLOR, interpolation=cv2.INTER_AREA):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    image = cv2.resize(image, resized(image.shape[1], image.shape[0]), interpolation=interpolation)
    x, y = corner(image.shape[1], image.shape[0])
    return cv2.cvtColor(image[y : y + SIDE, x : x + SIDE], cv2.COLOR_BGR2RGB)


def vision(data):
    image = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode="RGB")
    width, height = resized(image.shape[2], image.shape[1])
    image = F.resize(image, [height, width], interpolation=F.InterpolationMode.BICUBIC, antialias=True)
    return F.center_crop(image, [SIDE, SIDE])


def rivals(path):
    jpeg = path.suffix == ".jpg"
    all = {"Pillow": pillow, "OpenCV, area": opencv, "OpenCV, linear": lambda data: opencv(data, interpolation=cv2.INTER_LINEAR),
           "torchvision": vision}
    if jpeg and "12mp" in path.name:
        all |= {"Pillow, draft 1/4": lambda data: pillow(data, 4), "OpenCV, 1/4, area": lambda data: opencv(data, cv2.IMREAD_REDUCED_COLOR_4),
                "OpenCV, 1/4, linear": lambda data: opencv(data, cv2.IMREAD_REDUCED_COLOR_4, cv2.INTER_LINEAR)}
    return all


def turn(work, seconds):
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        began = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", help="the built benchmark; without it cargo builds it")
    parser.add_argument("--pillow-simd", help="the Python of an environment that has it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    command = [arguments.program] if arguments.program else ["cargo", "bench", "--bench", "front", "--"]
    ours = subprocess.Popen([*command, "--seconds", str(arguments.seconds)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    other = Other(arguments.pillow_simd) if arguments.pillow_simd else None
    print(f"Pillow {pillow_version}, OpenCV {cv2.__version__}, torchvision {torchvision.__version__}", f"Pillow-SIMD {other.version}" if other else "")
    with tempfile.TemporaryDirectory() as folder:
        for path in files(pathlib.Path(folder)):
            data = path.read_bytes()
            rows = {"ours": [], **{name: [] for name in rivals(path)}}
            reductions = [1] + ([4] if path.suffix == ".jpg" and "12mp" in path.name else []) if other else []
            others = {reduced: [] for reduced in reductions}
            for _ in range(arguments.rounds):
                ours.stdin.write(f"{path}\n")
                ours.stdin.flush()
                rows["ours"].append(json.loads(ours.stdout.readline()))
                for name, work in rivals(path).items():
                    rows[name].append(turn(lambda: work(data), arguments.seconds))
                for reduced in reductions:
                    others[reduced].append(other.turn(path, reduced, arguments.seconds))
            parts = {part: statistics.median(row[part] for row in rows["ours"]) for part in ("decode", "transform", "whole")}
            own = [row["all"] for row in rows.pop("ours")]
            print(f"{path.name}, {len(data)} bytes: ours {statistics.median(own):.2f} ms "
                  + ", ".join(f"{part} {value:.2f}" for part, value in parts.items()))
            whole = pillow(data).astype(int)
            def tell(name, times, pixels):
                ratios = [theirs / mine for theirs, mine in zip(times, own)]
                off = abs((pixels if pixels.shape[2] == 3 else pixels.transpose(1, 2, 0)).astype(int) - whole)
                print(f"  {name}: {statistics.median(times):.2f} ms, {statistics.median(ratios):.2f} times ours "
                      f"({min(ratios):.2f} to {max(ratios):.2f}); from Pillow's {off.mean():.2f} on average, {100 * (off > 2).mean():.1f} % over 2", flush=True)

            for name, times in rows.items():
                tell(name, times, np.asarray(rivals(path)[name](data)))
            for reduced, turns in others.items():
                tell("Pillow-SIMD" if reduced == 1 else f"Pillow-SIMD, draft 1/{reduced}", [time_of_one for time_of_one, _ in turns], turns[-1][1])
    if other:
        other.end()
    ours.stdin.close()
    ours.wait(timeout=10)


main()
