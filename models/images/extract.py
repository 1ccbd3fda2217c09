"""Writes the PNG files beside it: the first of Fashion-MNIST's 10,000 test images of each class, 28x28 grey, named by class.

    apt-get install dataset-fashion-mnist && pip install pillow && python extract.py
"""
import gzip
import json
import pathlib

from PIL import Image

HERE = pathlib.Path(__file__).parent
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
LABELS = json.loads((HERE.parent / "convnext_atto" / "config.json").read_text())["pretrained_cfg"]["label_names"]

images = gzip.open(DATA / "t10k-images-idx3-ubyte.gz").read()[16:]
classes = gzip.open(DATA / "t10k-labels-idx1-ubyte.gz").read()[8:]
for index, label in enumerate(LABELS):
    first = classes.index(index)
    pixels = images[first * 784 : (first + 1) * 784]
    name = label.lower().replace("/", "-").replace(" ", "-")
    Image.frombytes("L", (28, 28), pixels).save(HERE / f"{name}.png", optimize=True)
    print(f"{name}.png is test image {first}")
