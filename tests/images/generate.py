"""Make small images of every format and mode that is served, and what Pillow decodes of each.

    pip install pillow numpy
    python tests/images/generate.py

Writes tests/images/formats/NAME.EXT and beside it NAME.rgb: `ImageOps.exif_transpose(image).convert("RGB")`, rows of R, G, B.
expected.json lists them with their sizes. What Pillow cannot write is written by hand, here and in `writers.py`; `kinds.py` has the
cases of what decoders read differently.

Writes tests/images/field/expected.json: of the files there the size, and a grid of 12×12 means of Pillow's pixels.

Writes tests/images/transforms/N.rgb: resizes and centre crops of formats/png-rgb-8.png by Pillow with torchvision's geometry, as
listed in expected.json there.
"""
import io, json, pathlib, shutil, struct, zlib

import numpy as np
from PIL import Image, ImageOps

import kinds

HERE = pathlib.Path(__file__).parent
OUT = HERE / "formats"
WIDTH, HEIGHT = 31, 21  # odd, so that rows of packed samples and blocks of chroma end inside a byte, a block
PHOTO = Image.open(HERE / "cat.jpg").convert("RGB").crop((60, 0, 430, 230)).resize((WIDTH, HEIGHT), Image.BICUBIC)
GREY = PHOTO.convert("L")
WIDE = (np.asarray(PHOTO).astype(np.uint16) * 257 + np.arange(WIDTH, dtype=np.uint16)[None, :, None] * 5).astype(np.uint16)  # 16 bits
ALPHA = Image.fromarray(np.linspace(0, 255, WIDTH * HEIGHT).astype(np.uint8).reshape(HEIGHT, WIDTH))
RGBA = PHOTO.copy()
RGBA.putalpha(ALPHA)
PALETTE = PHOTO.quantize(16, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
files = {}


def pillow(name, image, **options):
    """As Pillow writes it."""
    buffer = io.BytesIO()
    extension = name.rsplit(".", 1)[1]
    image.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(extension, extension.upper()), **options)
    files[name] = buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def jpeg():
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        pillow(f"jpeg-{name}.jpg", PHOTO, quality=90, subsampling=subsampling)
        pillow(f"jpeg-{name}-progressive.jpg", PHOTO, quality=90, subsampling=subsampling, progressive=True)
    pillow("jpeg-grey.jpg", GREY, quality=90)
    pillow("jpeg-grey-progressive.jpg", GREY, quality=90, progressive=True)
    pillow("jpeg-rgb.jpg", PHOTO, quality=90, keep_rgb=True)
    pillow("jpeg-restarts.jpg", PHOTO, quality=90, restart_marker_blocks=2)
    pillow("jpeg-cmyk.jpg", PHOTO.convert("CMYK"), quality=90)
    adobe = files["jpeg-cmyk.jpg"].index(b"Adobe")
    ycck = bytearray(files["jpeg-cmyk.jpg"])
    ycck[adobe + 11] = 2  # the transform: the same numbers now read as YCCK
    files["jpeg-ycck.jpg"] = bytes(ycck)
    for orientation in range(1, 9):
        pillow(f"jpeg-orientation-{orientation}.jpg", PHOTO, quality=90, subsampling=0, exif=exif(orientation))
    thumbnail = io.BytesIO()  # an image in a segment of the image: its end is not the end
    PHOTO.resize((8, 8)).save(thumbnail, "JPEG")
    segment = b"JFXX\0\x10" + thumbnail.getvalue()
    photo = files["jpeg-444.jpg"]
    files["jpeg-thumbnail.jpg"] = photo[:2] + b"\xff\xe0" + struct.pack(">H", len(segment) + 2) + segment + photo[2:]
    files["jpeg-trailing-bytes.jpg"] = photo + b"\0" * 100


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(name, samples, depth, colour, palette=b"", transparency=b"", interlaced=False):
    """Samples [height, width, channels] of `depth` bits, unfiltered; palette and transparency are the chunks' bytes."""
    def scanlines(part):
        rows = b""
        for row in part:
            if depth == 16:
                packed = row.astype(">u2").tobytes()
            else:
                bits = np.unpackbits(row.reshape(-1, 1).astype(np.uint8), axis=1)[:, 8 - depth:]
                packed = np.packbits(bits.reshape(-1)).tobytes()
            rows += b"\0" + packed
        return rows
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]  # Adam7: y, x, dy, dx
    parts = [samples[y::dy, x::dx] for y, x, dy, dx in passes] if interlaced else [samples]
    data = b"".join(scanlines(part) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour, 0, 0, interlaced)
    files[name] = (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + (png_chunk(b"PLTE", palette) if palette else b"")
                   + (png_chunk(b"tRNS", transparency) if transparency else b"")
                   + png_chunk(b"IDAT", zlib.compress(data, 9)) + png_chunk(b"IEND", b""))


def pngs():
    grey, photo, alpha = (np.asarray(image) for image in (GREY, PHOTO, ALPHA))
    for depth in (1, 2, 4, 8):
        png(f"png-grey-{depth}.png", (grey >> (8 - depth))[..., None], depth, 0)
    few = np.concatenate([WIDE[..., :1] // 257 * np.uint16(2), np.zeros((2, WIDTH, 1), np.uint16)])  # around the clip at 255
    png("png-grey-16.png", few, 16, 0)
    png("png-grey-16-transparent.png", few, 16, 0, transparency=struct.pack(">H", int(few[3, 3, 0])))
    png("png-grey-8-transparent.png", grey[..., None], 8, 0, transparency=struct.pack(">H", int(grey[3, 3])))
    png("png-rgb-8.png", photo, 8, 2)
    png("png-rgb-8-transparent.png", photo, 8, 2, transparency=struct.pack(">HHH", *map(int, photo[3, 3])))
    png("png-rgb-16.png", WIDE, 16, 2)
    png("png-grey-alpha-8.png", np.stack([grey, alpha], -1), 8, 4)
    png("png-grey-alpha-16.png", np.stack([WIDE[..., 0], alpha.astype(np.uint16) * 257], -1), 16, 4)
    png("png-rgba-8.png", np.dstack([photo, alpha]), 8, 6)
    png("png-rgba-16.png", np.dstack([WIDE, alpha.astype(np.uint16) * 257]), 16, 6)
    indices, colours = np.asarray(PALETTE), bytes(PALETTE.getpalette()[:48])
    for depth in (1, 2, 4, 8):
        count = min(16, 1 << depth)
        png(f"png-palette-{depth}.png", (indices % count)[..., None], depth, 3, palette=colours[:3 * count])
    png("png-palette-transparent.png", indices[..., None], 4, 3, palette=colours, transparency=bytes(range(0, 160, 10)))
    png("png-interlaced-rgb.png", photo, 8, 2, interlaced=True)
    png("png-interlaced-palette.png", indices[..., None], 4, 3, palette=colours, interlaced=True)
    png("png-interlaced-grey-1.png", (grey >> 7)[..., None], 1, 0, interlaced=True)
    pillow("png-orientation-6.png", PHOTO, exif=exif(6))
    flipped = ImageOps.flip(PHOTO)
    pillow("png-animated.png", PHOTO, save_all=True, append_images=[flipped])
    pillow("png-animated-default-image.png", PHOTO, save_all=True, append_images=[flipped, PHOTO], default_image=True)


def webp_chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webps():
    pillow("webp-lossy.webp", PHOTO, quality=85)
    pillow("webp-lossless.webp", PHOTO, lossless=True)
    pillow("webp-lossy-alpha.webp", RGBA, quality=85)
    pillow("webp-lossless-alpha.webp", RGBA, lossless=True, exact=True)
    pillow("webp-orientation-8.webp", PHOTO, lossless=True, exif=exif(8))
    flipped = ImageOps.flip(PHOTO)
    pillow("webp-animated.webp", PHOTO, save_all=True, append_images=[flipped], lossless=True)
    pillow("webp-animated-lossy.webp", PHOTO, save_all=True, append_images=[flipped], quality=85)
    pillow("webp-animated-alpha.webp", RGBA, save_all=True, append_images=[flipped.convert("RGBA")], lossless=True, exact=True)
    # a first frame that covers a part of the canvas, on a background that is not black
    part = PHOTO.crop((0, 0, 20, 12))
    buffer = io.BytesIO()
    part.save(buffer, "WEBP", lossless=True)
    three = lambda n: struct.pack("<I", n)[:3]
    frame = three(4) + three(3) + three(part.width - 1) + three(part.height - 1) + three(100) + b"\0" + buffer.getvalue()[12:]
    body = (b"WEBP" + webp_chunk(b"VP8X", b"\x02\0\0\0" + three(WIDTH - 1) + three(HEIGHT - 1))
            + webp_chunk(b"ANIM", b"\x20\x40\x80\xff\0\0") + webp_chunk(b"ANMF", frame))
    files["webp-animated-part.webp"] = b"RIFF" + struct.pack("<I", len(body)) + body


def gifs():
    pillow("gif.gif", PALETTE, interlace=0)
    pillow("gif-interlaced.gif", PALETTE, interlace=1)
    pillow("gif-transparent.gif", PALETTE, transparency=5)
    pillow("gif-grey.gif", GREY)
    pillow("gif-animated.gif", PALETTE, save_all=True, append_images=[ImageOps.flip(PALETTE)])
    def moved(name, source, screen, offset):
        data = bytearray(files[source])
        data[6:10] = struct.pack("<HH", *screen)
        at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 128 else 0)
        while data[at] == 0x21:  # extensions
            at += 2
            while data[at]:
                at += data[at] + 1
            at += 1
        data[at + 1:at + 5] = struct.pack("<HH", *offset)
        files[name] = bytes(data)
    moved("gif-offset.gif", "gif.gif", (50, 40), (7, 9))
    moved("gif-offset-transparent.gif", "gif-transparent.gif", (50, 40), (7, 9))
    moved("gif-beyond-screen.gif", "gif.gif", (20, 10), (3, 2))
    # a palette of the frame's own: the global one moved behind the frame's descriptor
    data = files["gif.gif"]
    size = 3 << ((data[10] & 7) + 1)
    rest = data[13 + size:]
    at = rest.index(b",")
    files["gif-local-palette.gif"] = (data[:10] + bytes([data[10] & 0x7F]) + data[11:13] + rest[:at + 9]
                                      + bytes([0x80 | data[10] & 7]) + data[13:13 + size] + rest[at + 10:])


def bmp(name, bits, rows, palette=b"", compression=0, masks=b"", height=HEIGHT):
    data_at = 14 + 40 + len(masks) + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0)
    files[name] = b"BM" + struct.pack("<IHHI", data_at + len(rows), 0, 0, data_at) + header + masks + palette + rows


def bmps():
    pillow("bmp-1.bmp", PHOTO.convert("1"))
    pillow("bmp-grey.bmp", GREY)
    pillow("bmp-palette-8.bmp", PALETTE)
    pillow("bmp-24.bmp", PHOTO)
    pillow("bmp-32.bmp", RGBA)
    pad = lambda row: row + b"\0" * (-len(row) % 4)
    photo, indices = np.asarray(PHOTO).astype(np.uint16), np.asarray(PALETTE)
    colours = b"".join(bytes(PALETTE.getpalette()[3 * i:3 * i + 3][::-1]) + b"\0" for i in range(16))
    r, g, b = (photo[::-1, :, i] for i in range(3))
    in_555 = ((r >> 3) << 10 | (g >> 3) << 5 | b >> 3).astype("<u2")
    in_565 = ((r >> 3) << 11 | (g >> 2) << 5 | b >> 3).astype("<u2")
    bmp("bmp-16.bmp", 16, b"".join(pad(row.tobytes()) for row in in_555))
    bmp("bmp-16-fields.bmp", 16, b"".join(pad(row.tobytes()) for row in in_565), compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
    nibbles = [np.append(row, 0) for row in indices[::-1]]
    bmp("bmp-palette-4.bmp", 4, b"".join(pad((row[::2] << 4 | row[1::2]).astype(np.uint8).tobytes()) for row in nibbles), palette=colours)
    runs = b"".join(b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in indices[::-1]) + b"\0\x01"
    bmp("bmp-rle-8.bmp", 8, runs, palette=colours, compression=1)
    bgr = np.asarray(PHOTO)[..., ::-1]
    bmp("bmp-top-down.bmp", 24, b"".join(pad(row.tobytes()) for row in bgr), height=-HEIGHT)


def tiff(name, samples, order="<", planar=False, photometric=2, extra=()):
    """Samples [height, width, channels] of 8 or 16 bits, uncompressed, in one strip a plane."""
    bits, channels = samples.dtype.itemsize * 8, samples.shape[2]
    planes = [samples[..., c] for c in range(channels)] if planar else [samples]
    strips = [plane.astype(samples.dtype.newbyteorder(order)).tobytes() for plane in planes]
    tags = [(256, [WIDTH]), (257, [HEIGHT]), (258, [bits] * channels), (259, [1]), (262, [photometric]), (273, [0] * len(strips)),
            (277, [channels]), (278, [HEIGHT]), (279, [len(strip) for strip in strips]), (284, [2 if planar else 1])]
    tags += [(338, list(extra))] if extra else []
    tables_at = 8 + 2 + 12 * len(tags) + 4
    tables = b""
    def value(numbers):
        nonlocal tables
        packed = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(packed) <= 4:
            return packed.ljust(4, b"\0")
        tables += packed
        return struct.pack(order + "I", tables_at + len(tables) - len(packed))
    for _ in range(2):  # once to learn how long the tables are
        data_at, tables = tables_at + len(tables), b""
        offsets = [data_at + sum(map(len, strips[:i])) for i in range(len(strips))]
        entries = b"".join(struct.pack(order + "HHI", tag, 3, len(numbers)) + value(offsets if tag == 273 else numbers) for tag, numbers in tags)
    files[name] = ((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", len(tags))
                   + entries + b"\0\0\0\0" + tables + b"".join(strips))


def tiffs():
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        pillow(f"tiff-rgb-{compression.removeprefix('tiff_')}.tif", PHOTO, compression=compression)
    pillow("tiff-strips.tif", PHOTO, compression="tiff_lzw", tiffinfo={278: 5})
    pillow("tiff-predictor.tif", PHOTO, compression="tiff_lzw", tiffinfo={317: 2})
    pillow("tiff-grey.tif", GREY)
    pillow("tiff-grey-1.tif", PHOTO.convert("1"))
    pillow("tiff-palette.tif", PALETTE)
    pillow("tiff-palette-lzw.tif", PALETTE, compression="tiff_lzw")
    pillow("tiff-rgba.tif", RGBA)
    pillow("tiff-grey-alpha.tif", RGBA.convert("LA"))
    pillow("tiff-cmyk.tif", PHOTO.convert("CMYK"))
    few = np.asarray(GREY).astype(np.uint16) * 2
    pillow("tiff-grey-16.tif", Image.fromarray(few))
    pillow("tiff-grey-32.tif", Image.fromarray(few.astype(np.int32) - 50))
    pillow("tiff-grey-float.tif", Image.fromarray(few.astype(np.float32) - 50.3))
    pillow("tiff-orientation-5.tif", PHOTO, tiffinfo={274: 5})
    tiff("tiff-rgb-16.tif", WIDE)
    tiff("tiff-rgb-16-big-endian.tif", WIDE, order=">")
    tiff("tiff-grey-16-big-endian.tif", few[..., None], order=">", photometric=1)
    tiff("tiff-planar.tif", np.asarray(PHOTO), planar=True)
    tiff("tiff-white-is-zero.tif", np.asarray(GREY)[..., None], photometric=0)


FILTERS = dict(nearest=Image.NEAREST, box=Image.BOX, bilinear=Image.BILINEAR, hamming=Image.HAMMING, bicubic=Image.BICUBIC, lanczos=Image.LANCZOS)


def transformed(image, height, width, fit, rounding, filter, fill=(0, 0, 0)):
    """torchvision's resize and center_crop, transformers' where `rounding` is "down", timm's ResizeKeepRatio where `fit` is an object."""
    if isinstance(fit, int):
        short, long = sorted(image.size)
        other = int(fit * long / short)
        size = (fit, other) if image.width <= image.height else (other, fit)
    elif isinstance(fit, dict):
        ((how, (rows, columns)),) = fit.items()
        ratio = {"around": min, "within": max}[how](image.height / rows, image.width / columns)
        size = (round(image.width / ratio), round(image.height / ratio))
    else:
        size = image.size if fit == "keep" else fit[::-1]
    image = image.resize(size, FILTERS[filter])
    pad = lambda edge, crop: max(crop - edge, 0) // 2
    canvas = Image.new("RGB", (max(size[0], width), max(size[1], height)), tuple(fill))
    canvas.paste(image, (pad(size[0], width), pad(size[1], height)))
    start = {"half_to_even": lambda n: int(round(n / 2.0)), "down": lambda n: int(n / 2.0)}[rounding]
    left, top = start(canvas.width - width), start(canvas.height - height)
    return canvas.crop((left, top, left + width, top + height))


def transforms():
    source = Image.open(OUT / "png-rgb-8.png").convert("RGB")
    cases = [dict(height=12, width=12, fit=fit, rounding=rounding, filter=filter)
             for fit in (12, 13, 14, 15, 18) for rounding in ("half_to_even", "down") for filter in ("bilinear", "bicubic")]
    cases += [dict(height=48, width=48, fit=49, rounding="half_to_even", filter="bicubic"),  # enlarged
              dict(height=21, width=31, fit=21, rounding="down", filter="bicubic"),  # as it is
              dict(height=28, width=28, fit=21, rounding="down", filter="bicubic"),  # rows padded, columns cropped
              dict(height=40, width=45, fit=23, rounding="half_to_even", filter="bilinear"),  # padded all around
              dict(height=20, width=20, fit=[20, 20], rounding="down", filter="bicubic"),  # warped
              dict(height=9, width=40, fit=[11, 43], rounding="half_to_even", filter="bicubic"),
              dict(height=12, width=20, fit=dict(around=[13, 22]), rounding="half_to_even", filter="bicubic"),  # covers it
              dict(height=30, width=12, fit=dict(around=[34, 13]), rounding="half_to_even", filter="bicubic"),
              dict(height=24, width=24, fit=dict(within=[27, 27]), rounding="half_to_even", filter="bicubic", fill=[124, 116, 104]),  # a border
              dict(height=14, width=28, fit=dict(within=[14, 28]), rounding="half_to_even", filter="bilinear", fill=[9, 99, 199]),
              dict(height=16, width=18, fit="keep", rounding="down", filter="bilinear"),
              dict(height=24, width=40, fit="keep", rounding="down", filter="nearest", fill=[1, 2, 3])]
    cases += [dict(height=12, width=12, fit=fit, rounding="half_to_even", filter=filter)
              for fit in (12, 15, [9, 17], [40, 50]) for filter in ("nearest", "box", "hamming", "lanczos")]
    folder = HERE / "transforms"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, case in enumerate(cases):
        (folder / f"{number}.rgb").write_bytes(transformed(source, **case).tobytes())
    (folder / "expected.json").write_text("[\n" + ",\n".join("  " + json.dumps(case) for case in cases) + "\n]\n")


def field():
    rows = []
    for path in sorted((HERE / "field").iterdir()):
        if path.suffix in (".json", ".md"):
            continue
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        grid = image.resize((12, 12), Image.BOX).tobytes().hex()
        rows.append(dict(file=path.name, width=image.width, height=image.height, grid=grid))
    (HERE / "field" / "expected.json").write_text("[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n")


def main():
    for make in (jpeg, pngs, webps, gifs, bmps, tiffs):
        make()
    photo = Image.open(HERE / "cat.jpg").convert("RGB").crop((60, 0, 430, 230))
    for more in (kinds.jpegs, kinds.pngs, kinds.webps, kinds.bmps, kinds.tiffs):
        made = more(photo)
        assert not made.keys() & files.keys(), made.keys() & files.keys()
        files.update(made)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    rows = []
    for name, data in files.items():
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        (OUT / name).write_bytes(data)
        (OUT / name).with_suffix(".rgb").write_bytes(image.tobytes())
        rows.append(dict(file=name, width=image.width, height=image.height))
    (OUT / "expected.json").write_text("[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n")
    transforms()
    field()
    print(f"{len(files)} images, {sum(f.stat().st_size for f in OUT.iterdir()):,} bytes, by Pillow {Image.__version__}")


if __name__ == "__main__":
    main()
