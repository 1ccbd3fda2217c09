"""Trains the demo models: a ConvNeXt-Atto and a Swin of about its cost, which tell ten kinds of clothing apart.

Data: Fashion-MNIST (MIT licence), 60,000 training and 10,000 test images of 28x28 grey pixels, from Debian's package
dataset-fashion-mnist. Each is shown to the network as a photograph would be: grey to RGB, bicubic to 64x64, ImageNet's
mean and standard deviation.

    pip install torch timm safetensors numpy && python train.py convnext_atto OUT_DIR

OUT_DIR gets model.safetensors (float16, timm's names) and config.json (timm's hub format: architecture, model_args,
pretrained_cfg with preprocessing and label names).
"""
import argparse
import copy
import gzip
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.convnext import ConvNeXt
from timm.models.swin_transformer import SwinTransformer

LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 64
DEPTHS = (2, 2, 6, 2)
# class, its arguments, epochs and learning rate
ARCHITECTURES = {
    # timm's convnext_atto: 44.7 MMAC an image
    "convnext_atto": (ConvNeXt, dict(depths=DEPTHS, dims=(40, 80, 160, 320), conv_mlp=True), 11, 3e-3),
    # of about its cost, 40.9 MMAC: 16x16 places, windows of 4x4, heads of 32 channels as published; does not leave chance at 3e-3
    "swin_atto": (SwinTransformer, dict(img_size=SIDE, patch_size=4, window_size=4, embed_dim=32, depths=DEPTHS,
                                        num_heads=(1, 2, 4, 8)), 8, 1e-3),
}


def read_idx(path):
    """An IDX file of unsigned bytes as an array of its own shape."""
    raw = gzip.open(path).read()
    rank = raw[3]
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(split, data):
    """(images uint8 [n, 28, 28], labels int64 [n]) of 'train' or 't10k'."""
    return (torch.from_numpy(read_idx(data / f"{split}-images-idx3-ubyte.gz").copy()),
            torch.from_numpy(read_idx(data / f"{split}-labels-idx1-ubyte.gz").copy()).long())


def as_network_input(grey):
    """uint8 [b, 28, 28] -> float [b, 3, 64, 64], normalised."""
    x = grey[:, None].float()
    x = F.interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
    x = x.round_().clamp_(0, 255).div_(255).expand(-1, 3, -1, -1)
    mean, std = torch.tensor(MEAN)[None, :, None, None], torch.tensor(STD)[None, :, None, None]
    return (x - mean) / std


def augment(grey):
    """Random horizontal flip and a shift of up to 2 pixels."""
    flip = torch.rand(len(grey)) < 0.5
    grey = torch.where(flip[:, None, None], grey.flip(2), grey)
    dy, dx = (int(v) for v in torch.randint(-2, 3, (2,)))
    return torch.roll(grey, (dy, dx), (1, 2))


@torch.inference_mode()
def accuracy(model, images, labels, batch=500):
    hits = sum((model(as_network_input(images[i : i + batch])).argmax(1) == labels[i : i + batch]).sum().item()
               for i in range(0, len(images), batch))
    return hits / len(images)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("architecture", choices=ARCHITECTURES)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--epochs", type=int, help="default: by architecture")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, help="default: by architecture")
    p.add_argument("--data", type=pathlib.Path, default=DATA)
    a = p.parse_args()
    architecture, model_args, epochs, rate = ARCHITECTURES[a.architecture]
    epochs, rate = a.epochs or epochs, a.lr or rate
    a.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    model = architecture(num_classes=len(LABELS), drop_path_rate=0.05, **model_args)
    for name, q in model.named_parameters():
        if name.endswith("gamma"):
            q.data.fill_(0.2)  # layer scale: the published 1e-6 is for hundreds of epochs
    images, labels = load("train", a.data)
    test = load("t10k", a.data)
    decay = [q for q in model.parameters() if q.ndim > 1]
    plain = [q for q in model.parameters() if q.ndim <= 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=rate)
    steps = epochs * (len(images) // a.batch)
    warm = steps // 20
    sched = torch.optim.lr_scheduler.LambdaLR(
        opt, lambda s: (s + 1) / warm if s < warm else 0.5 * (1 + math.cos(math.pi * (s - warm) / (steps - warm))))
    mean_model = copy.deepcopy(model).eval()
    # an interrupted training goes on with the epoch that it was in
    settings = {"architecture": a.architecture, "epochs": epochs, "batch": a.batch, "rate": rate}
    state, parts = a.out / "state.pt", {"model": model, "mean": mean_model, "opt": opt, "sched": sched}
    step, first, began = 0, 0, time.time()
    if state.exists():
        saved = torch.load(state)
        if saved.get("settings", settings) != settings:
            raise SystemExit(f"{state} is of another training, {saved['settings']}: delete it to begin anew")
        step, first = saved["step"], saved["epoch"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    for epoch in range(first, epochs):
        torch.manual_seed(epoch)
        model.train()
        for idx in torch.randperm(len(images)).split(a.batch):
            if len(idx) < a.batch:
                continue
            loss = F.cross_entropy(model(as_network_input(augment(images[idx]))), labels[idx], label_smoothing=0.05)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            opt.step()
            sched.step()
            step += 1
            keep = min(0.998, (1 + step) / (10 + step))
            with torch.no_grad():
                for m, q in zip(mean_model.parameters(), model.parameters()):
                    m.lerp_(q, 1 - keep)
        print(f"epoch {epoch + 1}/{epochs} loss {loss.item():.3f} test {accuracy(mean_model, *test):.4f} "
              f"{time.time() - began:.0f} s", flush=True)
        torch.save({"settings": settings, "step": step, "epoch": epoch + 1} | {name: part.state_dict() for name, part in parts.items()}, state)

    save_file({name: tensor.half().contiguous() for name, tensor in mean_model.state_dict().items()},
              a.out / "model.safetensors", metadata={"format": "pt"})
    config = dict(architecture=a.architecture, num_classes=len(LABELS), num_features=model.num_features,
                  model_args=model_args,
                  pretrained_cfg=dict(input_size=[3, SIDE, SIDE], interpolation="bicubic", crop_pct=1.0,
                                      crop_mode="center", mean=MEAN, std=STD, num_classes=len(LABELS),
                                      label_names=LABELS, license="mit"))
    (a.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    state.unlink()
    print(f"{sum(q.numel() for q in model.parameters()):,} parameters, test top-1 {accuracy(mean_model, *test):.4f}")


if __name__ == "__main__":
    main()
