"""Makes the folders of variants of networks, and writes what their libraries answer for cat.png into models.json.

    pip install torch timm transformers pillow safetensors
    python variants.py

Small, with random weights under which the image matters (as ../golden/generate.py), stored in float16. Each folder is loaded again by its library before it answers.
"""
import json
import pathlib
import shutil
import sys

import timm
import torch
import transformers
from PIL import Image
from timm.data.model_config import resolve_input_data_config
from timm.models.hub import save_for_hf

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "golden"))
from generate import calibrate_head, randomise  # noqa: E402

LABELS = 7  # as many as calibrate_head looks for
CONVNEXT = dict(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
SWIN = dict(embed_dim=8, depths=(1, 2, 2, 1), num_heads=(1, 2, 2, 4))

TIMM = {
    "t_zepto_ols": ("convnext_zepto_rms_ols", CONVNEXT, "simple norms, stem overlap_act"),
    "t_atto_rms": ("convnext_atto_rms", CONVNEXT, "RMS norms"),
    "t_atto_ols": ("convnext_atto_ols", dict(CONVNEXT, dims=(20, 24, 32, 40)), "stem overlap_tiered, whose first width is rounded"),
    "t_tiny_hnf": ("convnext_tiny_hnf", CONVNEXT, "norm before the pooling"),
    "t_mlp": ("convnext_large_mlp", dict(CONVNEXT, head_hidden_size=12), "hidden layer of the head"),
    "t_xxlarge": ("convnext_xxlarge", CONVNEXT, "eps 1e-5"),
    "t_act_tanh": ("test_convnext2", CONVNEXT, "gelu_tanh"),
    "t_act_silu": ("test_convnext3", CONVNEXT, "silu, kernels 7, 5, 5, 3"),
    "t_act_relu": ("convnextv2_atto", dict(CONVNEXT, act_layer="relu"), "relu, GRN"),
    "t_patch2": ("convnext_atto", dict(CONVNEXT, patch_size=2), "patch_size 2: the first stage halves too"),
    "t_patch8": ("convnext_atto", dict(CONVNEXT, patch_size=8), "patch_size 8: the last stage is dilated"),
    "t_patch16": ("convnext_atto", dict(CONVNEXT, patch_size=16), "patch_size 16: two stages are dilated"),
    "t_stride8": ("convnext_atto", dict(CONVNEXT, output_stride=8, kernel_sizes=(7, 5, 3, 3)), "output_stride 8"),
    "t_grey": ("convnext_atto", dict(CONVNEXT, in_chans=1), "one channel"),
    "t_grey_ols": ("convnext_atto_ols", dict(CONVNEXT, in_chans=1), "one channel, stem overlap_tiered"),
    "t_grey_swin": ("swin_tiny_patch4_window7_224", dict(SWIN, in_chans=1), "one channel"),
    "t_s3_tiny": ("swin_s3_tiny_224", SWIN, "windows 7, 7, 14, 7"),
    "t_s3_small": ("swin_s3_small_224", SWIN, "windows 14, 14, 14, 7"),
    "t_swin_patch8": ("swin_tiny_patch4_window7_224", dict(SWIN, patch_size=8), "patch_size 8"),
}
POSITIONS = dict(use_absolute_embeddings=True, image_size=64, window_size=4)
SMALL_SWIN = dict(embed_dim=8, depths=[1, 2, 2], num_heads=[1, 2, 2])
SMALL = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
HF = {
    "h_positions": ("Swin", dict(SMALL_SWIN, **POSITIONS), 64, "use_absolute_embeddings"),
    "h_swin_filled": ("Swin", dict(SMALL_SWIN, image_size=66, window_size=4), 66, "an image of no whole number of patches"),
    "h_swin_patch2": ("Swin", dict(SMALL_SWIN, patch_size=2, image_size=64, window_size=4), 64, "patch_size 2"),
    "h_swin_tanh": ("Swin", dict(SMALL_SWIN, hidden_act="gelu_new", image_size=64, window_size=4), 64, "hidden_act gelu_new"),
    "h_patch2": ("ConvNext", dict(SMALL, patch_size=2), 64, "patch_size 2"),
    "h_patch8": ("ConvNext", dict(SMALL, patch_size=8), 224, "patch_size 8, not dilated"),
    "h_relu": ("ConvNextV2", dict(SMALL, hidden_act="relu"), 64, "hidden_act relu"),
}


def crops(photo):
    xs, ys = range(0, photo.width // 2, photo.width // 8), range(0, photo.height // 2, photo.height // 8)
    return [photo.crop((x, y, x + photo.width // 2, y + photo.height // 2)) for x in xs for y in ys]


def prepared(model, gain, forward, pixels, photo):
    model.eval()
    randomise(model, gain, torch.Generator().manual_seed(1))
    calibrate_head(model, forward, torch.stack([pixels(crop) for crop in crops(photo)]))
    for p in model.parameters():
        p.data.copy_(p.data.half())
    return model


def top(scores, name):
    best = scores.argsort(descending=True)[:3].tolist()
    return [[name(k), round(scores[k].item(), 4)] for k in best]


def timm_model(folder, architecture, args, photo):
    def pixels_of(model):
        config = resolve_input_data_config(model)
        mode = "RGB" if config["input_size"][0] == 3 else "L"
        transform = timm.data.create_transform(**config)
        return lambda image: transform(image.convert(mode))

    model = timm.create_model(architecture, num_classes=LABELS, **args)
    model = prepared(model, 1.5 if "swin" in architecture else 2.0, model, pixels_of(model), photo)
    save_for_hf(model.half(), folder, model_args=args, safe_serialization=True)
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval().float()
    with torch.inference_mode():
        scores = loaded(pixels_of(loaded)(photo)[None])[0].softmax(-1)
    return top(scores, lambda k: f"class_{k}")


def transformers_model(folder, family, config, side, photo):
    config = getattr(transformers, f"{family}Config")(**config)
    config.num_labels = LABELS
    cls = getattr(transformers, f"{family}ForImageClassification")
    model = cls(config)
    if family == "Swin":
        processor = transformers.ViTImageProcessor(size={"height": side, "width": side})
    else:
        processor = transformers.ConvNextImageProcessor(size={"shortest_edge": side}, crop_pct=0.875)
    pixels = lambda image: processor(images=image, return_tensors="pt")["pixel_values"][0]
    model = prepared(model, 1.5 if family == "Swin" else 2.0, lambda x: model(x).logits, pixels, photo)
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    pipeline = transformers.pipeline("image-classification", str(folder), dtype=torch.float32)
    return [[row["label"], round(row["score"], 4)] for row in pipeline(photo, top_k=3)]


def main():
    torch.set_num_threads(1)
    photo = Image.open(HERE / "cat.png").convert("RGB")
    answers = json.loads((HERE / "models.json").read_text())
    for name in [*TIMM, *HF]:
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        folder = HERE / "models" / name
        shutil.rmtree(folder, ignore_errors=True)
        if name in TIMM:
            architecture, args, what = TIMM[name]
            library, best = f"timm {timm.__version__}", timm_model(folder, architecture, args, photo)
        else:
            family, config, side, what = HF[name]
            version = ".".join(transformers.__version__.split(".")[:2])
            library, best = f"transformers {version}", transformers_model(folder, family, config, side, photo)
        (folder / "README.md").unlink(missing_ok=True)
        (folder / "model.safetensors").chmod(0o644)
        answers[name] = dict(what=f"{what}.", by=f"{library}, softmax", top=best)
        print(name, best, flush=True)
    (HERE / "models.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
