"""JPEGs that are larger than what is made of them, and the pixels that Pillow makes of them, decoded whole.

    pip install pillow numpy
    python tests/images/parts.py

Writes tests/images/parts/NAME.jpg, and in NAME.rgb behind each other its resizes and centre crops to the sides of expected.json, by
torchvision's geometry and bicubic. Sizes are odd, and sides are such that a decoder may reduce not at all, or to 4, 3 and 2 eighths.
"""
import io, json, pathlib, shutil

from PIL import Image, ImageOps

import writers
from generate import exif, transformed

HERE = pathlib.Path(__file__).parent
OUT = HERE / "parts"
SIZE = WIDTH, HEIGHT = 205, 163
CASES = [dict(edge=40, side=32), dict(edge=18, side=15), dict(edge=11, side=10), dict(edge=10, side=9), dict(edge=7, side=7)]


def saved(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80, **options)
    return buffer.getvalue()


def jpegs(photo):
    files = {name: saved(photo, subsampling=subsampling) for name, subsampling in (("444", 0), ("422", 1), ("420", 2))}
    files["420-progressive"] = saved(photo, subsampling=2, progressive=True)
    files["444-restarts"] = saved(photo, subsampling=0, restart_marker_rows=2)
    files["rgb"] = saved(photo, keep_rgb=True)
    files["grey"] = saved(photo.convert("L"))
    files["cmyk"] = saved(photo.convert("CMYK"))
    files["narrow"] = saved(photo.crop((40, 0, 80, HEIGHT)).resize((37, HEIGHT * 3)), subsampling=2)
    planes = photo.convert("YCbCr").split()
    for name, luma in (("440", (1, 2)), ("411", (4, 1)), ("311", (3, 1))):
        files[name] = writers.jpeg(writers.with_sampling(planes, [luma, (1, 1), (1, 1)]), SIZE, step=8)
    files["420-apart"] = writers.jpeg(writers.with_sampling(planes, [(2, 2), (1, 1), (1, 1)]), SIZE, [[0], [1, 2]], step=8)
    for orientation in range(2, 9):
        files[f"orientation-{orientation}"] = saved(photo.crop((7, 5, 120, 98)), subsampling=2, exif=exif(orientation))
    return files


def main():
    photo = Image.open(HERE / "cat.jpg").convert("RGB").crop((20, 0, 20 + 2 * WIDTH, 300)).resize(SIZE, Image.BICUBIC)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    files = jpegs(photo)
    for name, data in files.items():
        (OUT / f"{name}.jpg").write_bytes(data)
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        made = [transformed(image, case["side"], case["side"], case["edge"], "half_to_even", "bicubic") for case in CASES]
        (OUT / f"{name}.rgb").write_bytes(b"".join(image.tobytes() for image in made))
    (OUT / "expected.json").write_text(json.dumps(dict(files=sorted(files), cases=CASES)) + "\n")
    print(f"{len(files)} images, {sum(file.stat().st_size for file in OUT.iterdir()):,} bytes, by Pillow {Image.__version__}")


if __name__ == "__main__":
    main()
