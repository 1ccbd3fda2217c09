#!/usr/bin/env python3
"""The precisions of the CPU engine side by side: images per second, memory and accuracy, as a table in Markdown and as a chart (SVG).

    cargo build --release && python3 benches/precisions.py --svg docs/precisions.svg            # 3 minutes, on a machine that does nothing else

Every round runs `convnext bench` once for each model and precision, in turns; figures are medians of rounds, ratios are of the same round. Memory is the peak of the process that measured.
Accuracy is of the demo models on Fashion-MNIST's 10,000 test images, by the test that measures it, which builds it first; `--no-accuracy` leaves it out. Not here: what is measured (`src/cli/bench`,
`tests/fashion_mnist.rs`).
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys

PRECISIONS = ["f32", "bf16", "int8"]
COLOURS = {"f32": "#9aa5b1", "bf16": "#4c78a8", "int8": "#e4572e"}
TEST = ["cargo", "nextest", "run", "--workspace", "--test", "fashion_mnist", "--run-ignored", "only", "--no-capture"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--convnext", default="target/release/convnext", help="the binary")
    parser.add_argument("--models", default="convnext_tiny,swin_tiny,convnext_atto")
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="of each model and batch in a round")
    parser.add_argument("--svg", type=pathlib.Path, help="file of the chart")
    parser.add_argument("--no-accuracy", action="store_true")
    args = parser.parse_args()
    speeds, memory, machine = {}, {}, None
    for _ in range(args.rounds):
        for model in args.models.split(","):
            for precision in PRECISIONS:
                report = bench(args, model, precision)
                machine = f"{report['machine']['cpu']}, {report['threads']} threads, convnext {report['version']}"
                memory.setdefault((model, precision), []).append(report["peak_memory_bytes"])
                for case in report["results"]:
                    speeds.setdefault((model, case["batch"]), {}).setdefault(precision, []).append(case["images_per_second"])
    print(f"{machine}; medians of {args.rounds} rounds of {args.seconds:g} s\n")
    print(table(speeds, memory))
    if not args.no_accuracy:
        print(accuracy())
    if args.svg:
        args.svg.write_text(chart(speeds, machine))


def bench(args, model, precision):
    words = [args.convnext, "bench", "--device", "cpu", "--models", model, "--batch", args.batch, "--seconds", str(args.seconds),
             "--precision", precision, "--json"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=600)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed")
    return json.loads(done.stdout)


def table(speeds, memory):
    lines = ["| model, batch | f32 | bf16 | int8 | bf16 / f32 | int8 / f32 | int8 / bf16 | memory, MB |", "|---|---|---|---|---|---|---|---|"]
    for (model, batch), of in speeds.items():
        rate = [f"{statistics.median(of[precision]):.1f}" for precision in PRECISIONS]
        ratios = [ratio(of, *pair) for pair in [("bf16", "f32"), ("int8", "f32"), ("int8", "bf16")]]
        peaks = [f"{statistics.median(memory[model, precision]) / 1e6:.0f}" for precision in PRECISIONS]
        lines.append(f"| {model}, {batch} | {' | '.join(rate)} | {' | '.join(ratios)} | {', '.join(peaks)} |")
    return "\n".join(lines) + "\n"


def ratio(of, above, below):
    return f"{statistics.median(a / b for a, b in zip(of[above], of[below])):.2f}"


def accuracy():
    """The lines that the test tells."""
    done = subprocess.run(TEST, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3600)
    if done.returncode:
        sys.exit(f"{' '.join(TEST)} failed:\n{done.stdout}")
    told = re.findall(r"^(\w+) in (\w+): (\d+) of (\d+) where f32 has (\d+), (\d+) answers are kept", done.stdout, re.MULTILINE)
    lines = ["| model | precision | right | in f32 | answers kept |", "|---|---|---|---|---|"]
    for model, precision, right, images, before, kept in told:
        lines.append(f"| {model} | {precision} | {int(right) / int(images):.2%} | {int(before) / int(images):.2%} | {int(kept) / int(images):.2%} |")
    return "\n".join(lines) + "\n"


def chart(speeds, machine):
    """A group of bars for each model and batch: times f32."""
    top, left, group, width, height = 48, 44, 108, 28, 180
    most = max(statistics.median(rates) / statistics.median(of["f32"]) for of in speeds.values() for rates in of.values())
    scale = height / (most * 1.1)
    whole = left + group * len(speeds) + 12
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{top + height + 60}" font-family="sans-serif" font-size="11">',
             f'<rect width="100%" height="100%" fill="white"/>',
             f'<text x="8" y="16" font-size="13">Images per second, times f32</text><text x="8" y="32" fill="#555">{machine}</text>']
    for line in range(int(most * 1.1) + 1):
        y = top + height - line * scale
        parts.append(f'<path d="M{left} {y:.1f}H{whole - 8}" stroke="#ddd"/><text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{line}×</text>')
    for index, ((model, batch), of) in enumerate(speeds.items()):
        x = left + index * group + 8
        for bar, precision in enumerate(PRECISIONS):
            rate = statistics.median(of[precision])
            size = rate / statistics.median(of["f32"]) * scale
            at, y = x + bar * (width + 2), top + height - size
            parts.append(f'<rect x="{at}" y="{y:.1f}" width="{width}" height="{size:.1f}" fill="{COLOURS[precision]}"/>'
                         f'<text x="{at + width / 2}" y="{y - 4:.1f}" text-anchor="middle">{rate:.0f}</text>')
        parts.append(f'<text x="{x + 1.5 * width}" y="{top + height + 16}" text-anchor="middle">{model}</text>'
                     f'<text x="{x + 1.5 * width}" y="{top + height + 30}" text-anchor="middle">batch {batch}</text>')
    for index, precision in enumerate(PRECISIONS):
        x, y = left + index * 70, top + height + 44
        parts.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{COLOURS[precision]}"/><text x="{x + 14}" y="{y + 9}">{precision}</text>')
    return "\n".join(parts) + "\n</svg>\n"


main()
