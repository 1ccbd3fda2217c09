"""Cases of the kinds that decoders read differently: made by `generate.py` into formats/, with what Pillow makes of them.

Small (19×13), for each is read many times in the tests; the sizes are odd, so that blocks end beside the image.
"""
import io, struct, zlib

import numpy as np
from PIL import Image

import writers
from writers import JFIF, adobe, exif, jpeg, segment, tiff, with_sampling, xmp

SIZE = WIDTH, HEIGHT = 19, 13


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def jpegs(photo):
    small = photo.resize(SIZE, Image.BICUBIC)
    ycc, rgb, cmyk = small.convert("YCbCr").split(), small.split(), small.convert("CMYK").split()
    files = {}
    # components in scans of their own, some or all
    samplings = {"444": (1, 1), "422": (2, 1), "420": (2, 2), "440": (1, 2), "311": (3, 1), "411": (4, 1)}
    for name, luma in samplings.items():
        planes = with_sampling(ycc, [luma, (1, 1), (1, 1)])
        files[f"jpeg-apart-{name}.jpg"] = jpeg(planes, SIZE, [[0], [1], [2]])
        files[f"jpeg-sampling-{name}.jpg"] = jpeg(planes, SIZE)
    planes = with_sampling(ycc, [(2, 2), (1, 1), (1, 1)])
    files["jpeg-apart-two.jpg"] = jpeg(planes, SIZE, [[0], [1, 2]])
    files["jpeg-apart-order.jpg"] = jpeg(planes, SIZE, [[2], [0], [1]])
    files["jpeg-apart-restarts.jpg"] = jpeg(planes, SIZE, [[0], [1, 2]], restart=2)
    files["jpeg-apart-progressive.jpg"] = jpeg(
        planes, SIZE, [([0], 0, 0), ([1], 0, 0), ([2], 0, 0)] + [([i], *band) for i in range(3) for band in ((1, 5), (6, 63))], progressive=True)
    # chroma finer than luma, of two resolutions, lower and not narrower; grey whose one component says 2×2
    for name, sampling in {"fine-chroma": [(1, 1), (2, 2), (1, 1)], "fine-both": [(1, 1), (2, 2), (2, 2)], "fine-wide": [(1, 1), (2, 1), (2, 1)],
                           "mixed": [(2, 2), (2, 1), (1, 2)], "mixed-4": [(4, 2), (1, 2), (2, 1)], "all-22": [(2, 2)] * 3, "1-4": [(1, 4), (1, 1), (1, 2)],
                           "grey-22": [(2, 2)]}.items():
        planes = with_sampling(ycc, sampling) if "all" not in name and "grey" not in name else [(2, 2, p) for p in ycc[:len(sampling)]]
        scans = [[i] for i in range(len(sampling))] if sum(c * r for c, r in sampling) > 10 else None
        files[f"jpeg-sampling-{name}.jpg"] = jpeg(planes, SIZE, scans)
    # narrower than libjpeg's triangle, and about
    for width in range(1, 10):
        for name, subsampling in (("420", 2), ("422", 1)):
            image = photo.resize((width, 6), Image.BICUBIC)
            files[f"jpeg-narrow-{name}-{width}.jpg"] = saved(image, "JPEG", quality=92, subsampling=subsampling)
    files["jpeg-narrow-progressive.jpg"] = saved(photo.resize((4, 20), Image.BICUBIC), "JPEG", quality=92, subsampling=2, progressive=True)
    # large enough for the fast decoder
    large = photo.resize((131, 127), Image.BICUBIC)
    for name, subsampling in (("420", 2), ("422", 1), ("444", 0)):
        files[f"jpeg-large-{name}.jpg"] = saved(large, "JPEG", quality=75, subsampling=subsampling, progressive=name == "422", restart_marker_rows=name == "444")
    # which colours the components are: by JFIF, by Adobe's transform, by ids
    full = lambda planes: [(1, 1, plane) for plane in planes]
    jfif = segment(0xE0, JFIF)
    heads = {"none": b"", "jfif": jfif, **{f"adobe-{t}": adobe(t) for t in (0, 1, 2, 3)}, "jfif-adobe-0": jfif + adobe(0), "adobe-0-jfif": adobe(0) + jfif,
             "short-adobe": jfif + adobe(0, 11), "short-adobe-alone": adobe(0, 11), "short-jfif": segment(0xE0, JFIF[:9])}
    for name, head in heads.items():
        for kind, planes, ids in (("ids-123", ycc, [1, 2, 3]), ("ids-rgb", rgb, list(b"RGB")), ("ids-012", ycc, [0, 1, 2]), ("four", cmyk, [1, 2, 3, 4]),
                                  ("four-cmyk", cmyk, list(b"CMYK"))):
            if kind in ("ids-012", "four-cmyk") and name not in ("none", "jfif", "adobe-1"):
                continue
            files[f"jpeg-colours-{name}-{kind}.jpg"] = jpeg(full(planes), SIZE, ids=ids, head=head)
    files["jpeg-colours-same-ids.jpg"] = jpeg(full(ycc), SIZE, ids=[1, 1, 1])
    files["jpeg-colours-cmyk-subsampled.jpg"] = jpeg(with_sampling(cmyk, [(2, 2), (1, 1), (1, 1), (2, 2)]), SIZE, head=adobe(2))
    files["jpeg-colours-cmyk-progressive.jpg"] = saved(small.convert("CMYK"), "JPEG", quality=92, progressive=True)
    files["jpeg-colours-rgb-progressive.jpg"] = saved(small, "JPEG", quality=92, progressive=True, keep_rgb=True)
    # what libjpeg passes over, or has itself
    planes = with_sampling(ycc, [(2, 1), (1, 1), (1, 1)])
    files["jpeg-segments-no-tables.jpg"] = jpeg(planes, SIZE, tables=False)
    files["jpeg-segments-no-tables-apart.jpg"] = jpeg(planes, SIZE, [[0], [1], [2]], tables=False, head=b"")
    files["jpeg-segments-stray.jpg"] = jpeg(planes, SIZE, between=b"\0\1\2stray")
    files["jpeg-segments-stray-apart.jpg"] = jpeg(planes, SIZE, [[0], [1], [2]], between=b"\0\0\x80")
    files["jpeg-segments-fill.jpg"] = jpeg(planes, SIZE, between=b"\xff\xff\xff")
    files["jpeg-segments-stuffed.jpg"] = jpeg(planes, SIZE, between=b"\xff\0x")
    files["jpeg-segments-wide-steps.jpg"] = jpeg(planes, SIZE, wide_steps=True, step=11)
    files["jpeg-segments-extended.jpg"] = jpeg(planes, SIZE).replace(b"\xff\xc0", b"\xff\xc1")
    files["jpeg-segments-trailing-image.jpg"] = jpeg(planes, SIZE, tail=jpeg(full(ycc), (8, 8)))
    # orientation: of EXIF of other types, in two segments, of XMP
    upright = saved(photo.resize((14, 9), Image.BICUBIC), "JPEG", quality=92, subsampling=0)
    behind_head = lambda *segments: upright[:20] + b"".join(segments) + upright[20:]
    block = lambda *values: segment(0xE1, b"Exif\0\0" + exif(*values))
    packet = lambda *values: segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(*values))
    kinds = {"byte": (1, [6]), "ascii": (2, [b"6", b"\0"]), "long": (4, [6]), "rational": (5, [(6, 1)]), "sbyte": (6, [6]), "undefined": (7, [6]), "sshort": (8, [6]),
             "slong": (9, [6]), "srational": (10, [(6, 1)]), "float": (11, [6.0]), "half": (11, [6.5]), "double": (12, [6.0]), "two": (3, [6, 1]), "three": (3, [6, 1, 1]),
             "none": (3, []), "zero": (3, [0]), "nine": (3, [9]), "big-endian": (3, [6], ">"), "big-endian-long": (4, [6], ">"), "long-two": (4, [6, 3])}
    for name, values in kinds.items():
        files[f"jpeg-exif-{name}.jpg"] = behind_head(block(*values))
    files["jpeg-exif-twice-1-6.jpg"] = behind_head(block(3, [1]), block(3, [6]))
    files["jpeg-exif-twice-6-1.jpg"] = behind_head(block(3, [6]), block(3, [1]))
    files["jpeg-exif-name-twice.jpg"] = behind_head(segment(0xE1, b"Exif\0\0Exif\0\0" + exif(3, [6])))
    files["jpeg-exif-without-orientation-xmp.jpg"] = behind_head(block(3, [7], "<", 0x0128), packet(6))
    files["jpeg-exif-upright-xmp.jpg"] = behind_head(block(3, [1]), packet(6))
    files["jpeg-exif-xmp-attribute.jpg"] = behind_head(packet(6))
    files["jpeg-exif-xmp-element.jpg"] = behind_head(packet(8, True))
    files["jpeg-exif-xmp-twice.jpg"] = behind_head(packet(8), packet(3))
    files["jpeg-exif-xmp-nine.jpg"] = behind_head(packet(9))
    return files


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pngs(photo):
    plain = saved(photo.resize((14, 9), Image.BICUBIC), "PNG")
    pixels, end = plain.index(b"IDAT") - 4, plain.index(b"IEND") - 4
    def with_chunks(*chunks, behind=False):
        at = end if behind else pixels
        return plain[:at] + b"".join(png_chunk(*chunk) for chunk in chunks) + plain[at:]
    profile = lambda data: b"\nexif\n%8d\n" % len(data) + data.hex().encode() + b"\n"
    named = lambda values: b"Exif\0\0" + exif(*values)
    raw = b"Raw profile type exif\0"
    six, one = (3, [6]), (3, [1])
    itxt = lambda text, compressed: b"XML:com.adobe.xmp\0" + bytes([compressed, 0]) + b"\0\0" + (zlib.compress(text) if compressed else text)
    files = {"exif-behind": with_chunks((b"eXIf", exif(*six)), behind=True), "exif-long": with_chunks((b"eXIf", exif(4, [6], ">"))),
             "exif-twice": with_chunks((b"eXIf", exif(*one)), (b"eXIf", exif(*six))),
             "profile-ztxt": with_chunks((b"zTXt", raw + b"\0" + zlib.compress(profile(named(six))))), "profile-text": with_chunks((b"tEXt", raw + profile(named(six)))),
             "profile-behind": with_chunks((b"zTXt", raw + b"\0" + zlib.compress(profile(named(six)))), behind=True),
             "profile-no-name": with_chunks((b"tEXt", raw + profile(exif(*six)))),
             "profile-and-exif": with_chunks((b"eXIf", exif(*one)), (b"tEXt", raw + profile(named(six)))),
             "xmp": with_chunks((b"iTXt", itxt(xmp(6), 0))), "xmp-element": with_chunks((b"iTXt", itxt(xmp(8, True), 0))), "xmp-compressed": with_chunks((b"iTXt", itxt(xmp(6), 1))),
             "xmp-behind": with_chunks((b"iTXt", itxt(xmp(6), 0)), behind=True), "xmp-text": with_chunks((b"tEXt", b"XML:com.adobe.xmp\0" + xmp(6))),
             "xmp-exif-without": with_chunks((b"eXIf", exif(3, [7], "<", 0x0128)), (b"iTXt", itxt(xmp(6), 0))),
             "xmp-exif-upright": with_chunks((b"eXIf", exif(*one)), (b"iTXt", itxt(xmp(6), 0))),
             "no-end": plain[:end], "no-end-cut-head": plain[:end] + b"\0\0\0",
             "no-end-exif": with_chunks((b"eXIf", exif(*six)), behind=True)[:-12]}
    return {f"png-{name}.png": data for name, data in files.items()}


def webp_chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webps(photo):
    image = photo.resize((14, 9), Image.BICUBIC)
    plain = saved(image, "WEBP", lossless=True)[12:]
    alpha = image.convert("RGBA")
    alpha.putalpha(image.convert("L"))
    def extended(flags, *behind, pixels=plain, before=()):
        head = webp_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + struct.pack("<I", 13)[:3] + struct.pack("<I", 8)[:3])
        body = b"WEBP" + head + b"".join(before) + pixels + b"".join(webp_chunk(*chunk) for chunk in behind)
        return b"RIFF" + struct.pack("<I", len(body)) + body
    six = exif(3, [6])
    files = {"exif": extended(8, (b"EXIF", six)), "exif-long": extended(8, (b"EXIF", exif(4, [6], ">"))), "exif-named": extended(8, (b"EXIF", b"Exif\0\0" + six)),
             "exif-no-chunk": extended(8), "xmp-no-chunk": extended(4), "all-no-chunk": extended(0x2C), "alpha-no-chunk": extended(0x10, pixels=saved(image, "WEBP", quality=85)[12:]), "exif-no-flag": extended(0, (b"EXIF", six)),
             "xmp": extended(4, (b"XMP ", xmp(6))), "xmp-element": extended(4, (b"XMP ", xmp(8, True))), "xmp-no-flag": extended(0, (b"XMP ", xmp(6))),
             "xmp-exif-upright": extended(12, (b"EXIF", exif(3, [1])), (b"XMP ", xmp(6))), "xmp-exif-without": extended(12, (b"EXIF", exif(3, [7], "<", 0x0128)), (b"XMP ", xmp(6)))}
    files = {f"webp-{name}.webp": data for name, data in files.items()}
    # a first frame that says that it is blended with what is not there
    still = saved(alpha, "WEBP", lossless=True, exact=True)
    pixels = still[still.index(b"VP8L"):]
    frame = b"\0" * 6 + struct.pack("<I", 13)[:3] + struct.pack("<I", 8)[:3] + struct.pack("<I", 100)[:3] + b"\0" + pixels
    files["webp-animated-blended.webp"] = extended(0x12, before=[webp_chunk(b"ANIM", b"\0\0\0\0\0\0")], pixels=webp_chunk(b"ANMF", frame))
    return files


def bmp(bits, size, rows, palette, compression=0, head=40, forgets=False, from_top=False):
    width, height = size
    at = 14 + head + (0 if forgets else len(palette))
    fields = struct.pack("<IiiHHIIiiII", head, width, -height if from_top else height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", 14 + head + len(palette) + len(rows), 0, 0, at) + fields.ljust(head, b"\0") + palette + rows


def bmps(photo):
    size = width, height = 14, 9
    indexed = photo.resize(size, Image.BICUBIC).quantize(16, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    rows, colours = np.asarray(indexed)[::-1], indexed.getpalette()[:48]
    palette = b"".join(bytes(colours[3 * i:3 * i + 3][::-1]) + b"\0" for i in range(16))
    pairs = lambda row: bytes(a << 4 | b for a, b in zip(row[::2], row[1::2]))
    plain = b"".join(bytes(row) + b"\0" * (-width % 4) for row in rows)
    runs = lambda row: b"".join(bytes([1, value]) for value in row)
    literal = lambda row: bytes([0, width]) + bytes(row)
    # three pixels are passed over within a row, then a row and two
    delta = runs(rows[0][:4]) + b"\0\2\3\0" + runs(rows[0][7:]) + b"\0\0" + runs(rows[1][:5]) + b"\0\2\2\1" + runs(rows[2][7:]) + b"\0\0"
    delta += b"".join(literal(row) + b"\0\0" for row in rows[3:]) + b"\0\1"
    delta_4 = b"".join(bytes([1, value << 4]) for value in rows[0][:4]) + b"\0\2\3\0" + bytes([7, 0x5A]) + b"\0\0\0\2\0\1"
    delta_4 += b"".join(bytes([0, width]) + pairs(row) + b"\0" * (-(width // 2) % 2) + b"\0\0" for row in rows[2:]) + b"\0\1"
    short = b"".join(runs(row[:width - i]) + b"\0\0" for i, row in enumerate(rows)) + b"\0\1"
    files = {"rle-8-delta": bmp(8, size, delta, palette, 1), "rle-4-delta": bmp(4, size, delta_4, palette, 2), "rle-8-short-rows": bmp(8, size, short, palette, 1),
             "rle-8-no-end-mark": bmp(8, size, b"".join(runs(row) + b"\0\0" for row in rows), palette, 1), "rle-8-too-long": bmp(8, size, b"".join(bytes([200, row[0]]) + b"\0\0" for row in rows) + b"\0\1", palette, 1),
             "rle-8-top-down": bmp(8, size, b"".join(runs(row) + b"\0\0" for row in rows) + b"\0\1", palette, 1, from_top=True),
             "rle-8-forgets-palette": bmp(8, size, b"".join(runs(row) + b"\0\0" for row in rows) + b"\0\1", palette, 1, forgets=True),
             "forgets-palette": bmp(8, size, plain, palette, forgets=True), "os2": bmp(8, size, plain, palette, head=64)}
    return {f"bmp-{name}.bmp": data for name, data in files.items()}


def tiffs(photo):
    small = photo.resize(SIZE, Image.BICUBIC)
    rgb, grey = np.asarray(small), np.asarray(small.convert("L"))[..., None]
    wide = rgb.astype(np.uint16) * 257 + np.arange(WIDTH, dtype=np.uint16)[None, :, None]
    alpha = np.linspace(0, 255, WIDTH * HEIGHT).astype(np.uint8).reshape(HEIGHT, WIDTH, 1)
    rgba, wide_rgba = np.concatenate([rgb, alpha], -1), np.concatenate([wide, alpha.astype(np.uint16) * 257], -1)
    files = {}
    for planar in (False, True):
        for predictor in (False, True):
            for compression, name in ((1, "raw"), (5, "lzw"), (8, "deflate")):
                if predictor and compression == 1 or planar and name == "raw" and predictor:
                    continue
                label = f"{name}{'-planar' if planar else ''}{'-predictor' if predictor else ''}"
                options = dict(planar=planar, predictor=predictor, compression=compression)
                files[f"tiled-{label}"] = tiff(rgb, tile=(16, 16), **options)
                files[f"rows-{label}"] = tiff(rgb, rows=5, **options)
                if name == "deflate":
                    for order, endian in (("<", "little"), (">", "big")):
                        files[f"tiled-16-{endian}-{label}"] = tiff(wide, tile=(16, 16), order=order, **options)
                        files[f"rows-16-{endian}-{label}"] = tiff(wide, rows=5, order=order, **options)
    files["tiled-grey-predictor"] = tiff(grey, tile=(16, 16), photometric=1, compression=8, predictor=True)
    files["tiled-large"] = tiff(grey, tile=(64, 48), photometric=1, compression=8)
    files["tiled-planar-rgba"] = tiff(rgba, tile=(16, 16), planar=True, extra=[2], compression=8)
    files["planar-extra"] = tiff(rgba, planar=True, extra=[0], compression=8)
    for extra, name in ((0, "unknown"), (1, "associated"), (2, "unassociated")):
        for compression, way in ((1, "raw"), (5, "lzw")):
            files[f"alpha-{name}-{way}"] = tiff(rgba, extra=[extra], compression=compression)
            files[f"alpha-{name}-16-{way}"] = tiff(wide_rgba, extra=[extra], compression=compression)
        if extra != 1:
            files[f"alpha-{name}-grey"] = tiff(np.concatenate([grey, alpha], -1), photometric=1, extra=[extra])
    files["alpha-associated-planar"] = tiff(rgba, extra=[1], planar=True, compression=8)
    files["alpha-associated-tiled"] = tiff(rgba, extra=[1], tile=(16, 16), compression=8)
    files["alpha-unsaid"] = tiff(rgba)
    files["alpha-associated-and-more"] = tiff(np.concatenate([rgba, alpha], -1), extra=[1, 0])
    # the lowest bit first
    bits = [np.packbits(row >> 7).tobytes() for row in grey[..., 0]]
    nibbles = [bytes(a << 4 | b for a, b in zip((np.append(row, 0) >> 4)[::2], (np.append(row, 0) >> 4)[1::2])) for row in grey[..., 0]]
    pairs = [np.packbits(np.unpackbits((row >> 6)[:, None], axis=1)[:, 6:].reshape(-1)).tobytes() for row in grey[..., 0]]
    for photometric, name in ((0, "white-is-zero"), (1, "black-is-zero")):
        for count, packed in ((1, bits), (2, pairs), (4, nibbles)):
            for compression, way in ((1, "raw"), (5, "lzw")):
                for reverse in (False, True):
                    label = f"{'low-bit-first' if reverse else 'bits'}-{count}-{name}-{way}"
                    files[label] = tiff(grey, photometric=photometric, packed=(count, packed, WIDTH), compression=compression, reverse=reverse, rows=5)
    files["low-bit-first-8"] = tiff(grey, photometric=1, reverse=True)
    files["low-bit-first-8-lzw"] = tiff(grey, photometric=1, reverse=True, compression=5)
    files["low-bit-first-rgb"] = tiff(rgb, reverse=True)
    colours = [(320, 3, [i * 4112 % 65536 for i in range(16)] + [65535 - i * 4369 for i in range(16)] + [i * i * 257 for i in range(16)])]
    files["low-bit-first-palette"] = tiff(grey, photometric=3, packed=(4, nibbles, WIDTH), reverse=True, compression=5, tags=colours)
    files["palette-planar-alpha"] = tiff(np.concatenate([grey >> 4, alpha], -1), photometric=3, extra=[2], tags=[(320, 3, [i * 257 for i in range(256)] * 2 + [65535 - i * 257 for i in range(256)])])
    files["big"] = tiff(rgb, big=True, rows=5)
    files["big-tiled-16"] = tiff(wide, big=True, tile=(16, 16), compression=8)
    files["big-orientation"] = tiff(rgb, big=True, tags=[(274, 3, [6])])
    twelve = (grey[..., 0].astype(np.uint16) * 2)
    packed = [b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in zip(np.append(row, 0)[::2].tolist(), np.append(row, 0)[1::2].tolist()))[:-(-WIDTH * 12 // 8)] for row in twelve]
    files["grey-12"] = tiff(grey, photometric=1, packed=(12, packed, WIDTH))
    files["grey-signed-8"] = tiff(grey, photometric=1, tags=[(339, 3, [2])])
    files["grey-signed-16"] = tiff((grey.astype(np.int16) * 3 - 200).view(np.uint16), photometric=1, tags=[(339, 3, [2])])
    files["grey-32-high"] = tiff(grey.astype(np.uint32) * 16_909_320, photometric=1)
    files["cmyk-16"] = tiff(np.asarray(small.convert("CMYK")).astype(np.uint16) * 257, photometric=5)
    files["cmyk-tiled-planar"] = tiff(np.asarray(small.convert("CMYK")), photometric=5, tile=(16, 16), planar=True, compression=8)
    # Y'CbCr without JPEG: blocks of luma with one chroma; libtiff's, so compressed
    ycc = np.asarray(small.convert("YCbCr"))
    for columns, rows in ((1, 1), (2, 1), (1, 2), (2, 2), (4, 2)):
        blocks = [np.pad(ycc, ((0, -HEIGHT % rows), (0, -WIDTH % columns), (0, 0)), mode="edge")[y:y + rows, x:x + columns]
                  for y in range(0, HEIGHT, rows) for x in range(0, WIDTH, columns)]
        data = b"".join(block[..., 0].tobytes() + bytes(block[0, 0, 1:].tolist()) for block in blocks)
        one = tiff(ycc, photometric=6, compression=8, tags=[(530, 3, [columns, rows]), (532, 5, [(v, 1) for v in (0, 255, 128, 255, 128, 255)])], strip=zlib.compress(data))
        files[f"ycbcr-{columns}{rows}"] = one
    levels = [(529, 5, [(2126, 10000), (7152, 10000), (722, 10000)]), (530, 3, [1, 1]), (532, 5, [(v, 1) for v in (16, 235, 128, 240, 128, 240)])]
    files["ycbcr-levels"] = tiff(ycc, photometric=6, compression=8, tags=levels)
    files["ycbcr-raw"] = tiff(ycc, photometric=6, tags=[(530, 3, [1, 1])])
    # tiles in the tags of strips, as early writers had them
    files["tiles-as-strips"] = tiff(rgb, tile=(16, 16), compression=8).replace(struct.pack("<HH", 324, 4), struct.pack("<HH", 273, 4)).replace(struct.pack("<HH", 325, 4), struct.pack("<HH", 279, 4))
    files["no-lengths"] = tiff(rgb, rows=5).replace(struct.pack("<HH", 279, 4), struct.pack("<HH", 280, 4))
    for kind, values in {"long": (4, [6]), "two": (3, [6, 1]), "byte": (1, [6]), "nine": (3, [9])}.items():
        files[f"orientation-{kind}"] = tiff(rgb, tags=[(274, *values)])
    for name, packet in {"attribute": xmp(6), "element": xmp(8, True)}.items():
        files[f"xmp-{name}"] = tiff(rgb, tags=[(700, 1, list(packet))])
    files["xmp-orientation-upright"] = tiff(rgb, tags=[(274, 3, [1]), (700, 1, list(xmp(6)))])
    # fax and JPEG, by libtiff
    page = photo.resize((67, 40), Image.BICUBIC).convert("1")
    for compression in ("group3", "group4", "tiff_ccitt"):
        files[f"fax-{compression}"] = saved(page, "TIFF", compression=compression, strip_size=160)
    files["fax-group3-2d"] = saved(page, "TIFF", compression="group3", tiffinfo={292: 1}, strip_size=160)
    files["fax-group3-fill"] = saved(page, "TIFF", compression="group3", tiffinfo={292: 4}, strip_size=160)
    files["fax-group3-2d-fill"] = saved(page, "TIFF", compression="group3", tiffinfo={292: 5}, strip_size=160)
    files["fax-black-is-zero"] = saved(page, "TIFF", compression="group4", tiffinfo={262: 1})
    files["fax-low-bit-first"] = saved(page, "TIFF", compression="group4", tiffinfo={266: 2})
    files["fax-white"] = saved(Image.new("1", (67, 9), 1), "TIFF", compression="group4")
    files["fax-stripes"] = saved(Image.fromarray((np.indices((9, 67)).sum(0) % 2 * 255).astype(np.uint8)).convert("1"), "TIFF", compression="group4")
    lines = photo.resize((33, 40), Image.BICUBIC)
    files["jpeg-ycbcr"] = saved(lines, "TIFF", compression="jpeg", quality=92, strip_size=1600)
    files["jpeg-grey"] = saved(lines.convert("L"), "TIFF", compression="jpeg", quality=92, strip_size=600)
    files["jpeg-cmyk"] = saved(lines.convert("CMYK"), "TIFF", compression="jpeg", quality=92)
    files["jpeg-rgb"] = saved(lines, "TIFF", compression="jpeg", quality=92, tiffinfo={262: 2})
    return {f"tiff-{name}.tif": data for name, data in files.items()}
