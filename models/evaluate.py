"""Top-1 of a demo model on Fashion-MNIST's 10,000 test images, as the server sees them: an 8-bit image through timm's own
evaluation transform (Pillow's bicubic to 64x64), the stored weights, float32 arithmetic.

    pip install torch timm pillow safetensors numpy && python evaluate.py convnext_atto
"""
import json
import pathlib
import sys

import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from train import ARCHITECTURES, DATA, load

folder = pathlib.Path(sys.argv[1])
config = json.loads((folder / "config.json").read_text())
architecture = ARCHITECTURES[config["architecture"]][0]
model = architecture(num_classes=config["num_classes"], **config["model_args"]).eval()
model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
transform = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=config["pretrained_cfg"]))
images, labels = load("t10k", DATA)
hits = 0
with torch.inference_mode():
    for i in range(0, len(images), 250):
        x = torch.stack([transform(Image.fromarray(grey.numpy()).convert("RGB")) for grey in images[i : i + 250]])
        hits += (model(x).argmax(1) == labels[i : i + 250]).sum().item()
print(f"{config['architecture']}: top-1 {hits / len(images):.4f} ({hits} of {len(images)})")
