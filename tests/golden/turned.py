"""Write turned.safetensors beside each golden case: what its library computes of the case's images in four orientations.

    pip install torch timm transformers safetensors
    python turned.py [FOLDER...]          default: every case beside this file

    logits    [images, 4, classes] float32 of the library's own model in float32; orientation k is turned by k quarters counterclockwise
    float16   [images, 4]          how far torch's own run in that type is from these, ‖out − logits‖ / ‖logits‖
    bfloat16  [images, 4]

Rounding noise moves the logits of one image by anything between a fifth and three times of what is usual: three images say little of what a type costs.
Orientations are further images for which no pixel must be stored, and none is rounded.
"""
import json, pathlib, sys

import torch
from safetensors.torch import load_file, save_file
from timm.models.convnext import ConvNeXt
from timm.models.swin_transformer import SwinTransformer
from transformers import AutoModelForImageClassification

TURNS = 4


def opened(folder):
    """The case's model in float32, and a function from it and pixels to logits."""
    config = json.loads((folder / "config.json").read_text())
    if "architecture" not in config:
        return AutoModelForImageClassification.from_pretrained(folder, dtype=torch.float32).eval(), lambda model, x: model(x).logits
    cls = SwinTransformer if config["architecture"].startswith("swin") else ConvNeXt
    model = cls(num_classes=config["num_classes"], **config["model_args"])
    model.load_state_dict({k: v.float() if v.dtype.is_floating_point else v for k, v in load_file(folder / "model.safetensors").items()})
    return model.eval(), lambda model, x: model(x)


def main():
    here = pathlib.Path(__file__).parent
    torch.set_num_threads(1)
    for folder in map(pathlib.Path, sys.argv[1:]) if sys.argv[1:] else sorted(p.parent for p in here.glob("*/expected.json")):
        model, forward = opened(folder)
        expected = load_file(folder / "expected.safetensors")
        images = sum(name.startswith("pixels.") for name in expected)
        turned = [[torch.rot90(expected[f"pixels.{i}"], turn, (-2, -1))[None].contiguous() for turn in range(TURNS)] for i in range(images)]

        def run(dtype):
            model.to(dtype)
            with torch.inference_mode():
                return torch.stack([torch.stack([forward(model, x.to(dtype))[0].float() for x in image]) for image in turned])

        logits = run(torch.float32)
        stored = torch.stack([expected[f"logits.{i}"] for i in range(images)])
        assert torch.allclose(logits[:, 0], stored, rtol=1e-4, atol=1e-4), "not the network that made the case"
        tensors = {"logits": logits}
        for dtype in (torch.float16, torch.bfloat16):
            tensors[str(dtype).removeprefix("torch.")] = (run(dtype) - logits).norm(dim=-1) / logits.norm(dim=-1)
        save_file(tensors, folder / "turned.safetensors")
        usual = {name: f"{tensors[name].square().mean().sqrt():.1e}" for name in ("float16", "bfloat16")}
        print(f"{folder.name}: torch's root mean square error over {images * TURNS} images: {usual}", flush=True)


if __name__ == "__main__":
    main()
