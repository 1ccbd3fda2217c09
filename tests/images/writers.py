"""Writers of what Pillow does not write: JPEGs of any sampling and any scans, TIFFs in tiles, planes and of any tags.

Not here: which images are written, and what Pillow makes of them (`generate.py`).
"""
import struct, zlib

import numpy as np

# ---- JPEG

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, (i // 8 if (i // 8 + i % 8) % 2 else i % 8)))
# Huffman tables of ITU-T T.81, annex K: codes of each length, then the symbols
DC = ([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], list(range(12)))
AC = ([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125], list(bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a"
    "535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6"
    "c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa")))
AC_CHROMA = ([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119], list(bytes.fromhex(
    "0001020311040521310612415107617113223281081442 91a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a43444546474849"
    "4a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4"
    "c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa".replace(" ", ""))))
COSINES = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) * (0.5 if u else 0.5 / np.sqrt(2)) for x in range(8)] for u in range(8)])
JFIF = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"


def codes(table):
    found, code, symbols = {}, 0, iter(table[1])
    for length, count in enumerate(table[0], 1):
        for _ in range(count):
            found[next(symbols)] = (code, length)
            code += 1
        code <<= 1
    return found


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def adobe(transform, length=12):
    return segment(0xEE, (b"Adobe\0\x64\0\0\0\0" + bytes([transform]))[:length])


class Bits:
    def __init__(self):
        self.bits = []

    def put(self, value, length):
        self.bits += [value >> i & 1 for i in reversed(range(length))]

    def number(self, value):
        length = abs(value).bit_length()
        self.put(value if value >= 0 else value + (1 << length) - 1, length)

    def bytes(self):
        bits = self.bits + [1] * (-len(self.bits) % 8)
        return np.packbits(bits).tobytes().replace(b"\xff", b"\xff\0")


def jpeg(components, size, scans=None, *, step=6, ids=None, head=segment(0xE0, JFIF), tables=True, restart=0, between=b"", progressive=False,
         wide_steps=False, tail=b""):
    """A JPEG of `components`, each (columns, rows of sampling, samples of its own size, at least); `size` is (width, height).

    `scans` lists the components of each scan, or those and the first and last coefficient for a progressive one.
    """
    width, height = size
    most = [max(c[i] for c in components) for i in (0, 1)]
    ids = ids or list(range(1, len(components) + 1))
    mcus = [-(-edge // (8 * m)) for edge, m in zip(size, most)]
    own, blocks = [], []
    for columns, rows, samples in components:
        own.append((-(-width * columns // (8 * most[0])), -(-height * rows // (8 * most[1]))))
        need = (mcus[1] * rows * 8, mcus[0] * columns * 8)
        samples = np.asarray(samples).astype(float)
        samples = np.pad(samples, [(0, max(0, n - s)) for n, s in zip(need, samples.shape)], mode="edge")[:need[0], :need[1]] - 128
        grid = samples.reshape(need[0] // 8, 8, need[1] // 8, 8).transpose(0, 2, 1, 3)
        blocks.append(np.rint(COSINES @ grid @ COSINES.T / step).astype(int).reshape(*grid.shape[:2], 64)[..., ZIGZAG])
    steps = b"".join(struct.pack(">H", step) for _ in range(64)) if wide_steps else bytes([step] * 64)
    huffman = b"".join(bytes([index << 4 if index < 2 else 0x11]) + bytes(t[0]) + bytes(t[1]) for index, t in enumerate((DC, AC)))
    frame = struct.pack(">BHHB", 8, height, width, len(components))
    frame += b"".join(bytes([i, c[0] << 4 | c[1], 0]) for i, c in zip(ids, components))
    parts = [b"\xff\xd8" + head, segment(0xDB, bytes([16 if wide_steps else 0]) + steps), segment(0xC2 if progressive else 0xC0, frame)]
    parts += [segment(0xC4, huffman)] if tables else []
    parts += [segment(0xDD, struct.pack(">H", restart))] if restart else []
    dc, ac = codes(DC), codes(AC)
    for scan in scans or [list(range(len(components)))]:
        scan, first, last = scan if isinstance(scan, tuple) else (scan, 0, 63)
        header = bytes([len(scan)]) + b"".join(bytes([ids[i], 0]) for i in scan) + bytes([first, last, 0])
        alone = len(scan) == 1
        across, down = own[scan[0]] if alone else mcus
        bits, data, predicted = Bits(), b"", [0] * len(components)
        for mcu in range(across * down):
            if restart and mcu and mcu % restart == 0:
                data += bits.bytes() + bytes([0xFF, 0xD0 + (mcu // restart - 1) % 8])
                bits, predicted = Bits(), [0] * len(components)
            for i in scan:
                columns, rows = (1, 1) if alone else components[i][:2]
                for y in range(mcu // across * rows, mcu // across * rows + rows):
                    for x in range(mcu % across * columns, mcu % across * columns + columns):
                        block, k = blocks[i][y, x], first
                        if k == 0:
                            difference = int(block[0]) - predicted[i]
                            predicted[i] = int(block[0])
                            bits.put(*dc[abs(difference).bit_length()])
                            bits.number(difference)
                            k = 1
                        zeros = 0
                        for value in map(int, block[k:last + 1]):
                            if value == 0:
                                zeros += 1
                                continue
                            for _ in range(zeros // 16):
                                bits.put(*ac[0xF0])
                            bits.put(*ac[zeros % 16 << 4 | abs(value).bit_length()])
                            bits.number(value)
                            zeros = 0
                        if zeros:
                            bits.put(*ac[0])
        parts += [segment(0xDA, header) + data + bits.bytes()]
    return between.join(parts) + between + b"\xff\xd9" + tail


def subsampled(plane, columns, rows):
    """The mean of so many columns and rows."""
    plane = np.asarray(plane).astype(float)
    plane = np.pad(plane, [(0, -plane.shape[0] % rows), (0, -plane.shape[1] % columns)], mode="edge")
    return plane.reshape(plane.shape[0] // rows, rows, plane.shape[1] // columns, columns).mean((1, 3))


def with_sampling(planes, sampling):
    """Components of full planes, by their sampling factors."""
    most = [max(s[i] for s in sampling) for i in (0, 1)]
    return [(c, r, subsampled(plane, most[0] // c, most[1] // r)) for plane, (c, r) in zip(planes, sampling)]


# ---- EXIF and XMP

TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 16: "Q"}


def exif(kind, values, order="<", tag=0x0112):
    """A block of EXIF with one tag, its values of a TIFF type."""
    packed = b"".join(struct.pack(order + TYPES[kind], *(v if isinstance(v, tuple) else (v,))) for v in values)
    inline = len(packed) <= 4
    entry = struct.pack(order + "HHI", tag, kind, len(values)) + (packed.ljust(4, b"\0") if inline else struct.pack(order + "I", 26))
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + struct.pack(order + "H", 1) + entry + b"\0\0\0\0" + (b"" if inline else packed)


def xmp(orientation, element=False):
    at, inside = ("", f"<tiff:Orientation>{orientation}</tiff:Orientation>") if element else (f' tiff:Orientation="{orientation}"', "")
    return (f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
            f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{at}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta>').encode()


# ---- TIFF

def differences(chunk):
    """What the predictor leaves of rows."""
    return np.concatenate([chunk[:, :1], chunk[:, 1:] - chunk[:, :-1]], axis=1)


def lzw(data):
    """LZW of TIFF in codes of 9 bits: the table is cleared before it needs more."""
    bits = Bits()
    for at in range(0, len(data), 200):
        bits.put(256, 9)
        for byte in data[at:at + 200]:
            bits.put(byte, 9)
    bits.put(257, 9)
    return np.packbits(bits.bits + [0] * (-len(bits.bits) % 8)).tobytes()


def tiff(samples, *, photometric=2, order="<", big=False, planar=False, tile=None, rows=None, compression=1, predictor=False, reverse=False,
         extra=None, packed=None, strip=None, tags=()):
    """A TIFF of samples [height, width, channels], in strips of `rows` rows or in tiles (width, height).

    `packed` is (bits, rows of bytes, width) for samples of less than a byte; `tags` are further ones: tag, type, values;
    `strip` is the one strip as it is stored.
    """
    height, width, channels = samples.shape if packed is None else (len(packed[1]), packed[2], 1)
    bits = samples.dtype.itemsize * 8 if packed is None else packed[0]
    encode = {1: bytes, 5: lzw, 8: lambda data: zlib.compress(data, 9)}[compression]
    chunks = []
    planes = [samples[..., c:c + 1] for c in range(channels)] if planar else [samples]
    across, down = tile or (width, rows or height)
    for plane in planes:
        for top in range(0, height, down):
            for left in range(0, width, across):
                if packed is not None:
                    data = b"".join(packed[1][top:top + down])
                else:
                    part = plane[top:top + down, left:left + across]
                    if tile:
                        part = np.pad(part, ((0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0)))
                    part = differences(part) if predictor else part
                    data = part.astype(part.dtype.newbyteorder(order)).tobytes()
                data = encode(data)
                chunks.append(bytes(int(f"{byte:08b}"[::-1], 2) for byte in data) if reverse else data)
    chunks = chunks if strip is None else [strip]
    entries = [(256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * channels), (259, 3, [compression]), (262, 3, [photometric]),
               (277, 3, [channels]), (284, 3, [2 if planar else 1])]
    entries += [(322, 3, [tile[0]]), (323, 3, [tile[1]])] if tile else [(278, 3, [down])]
    entries += [(324 if tile else 273, 16 if big else 4, None), (325 if tile else 279, 4, [len(c) for c in chunks])]
    entries += [(317, 3, [2])] if predictor else []
    entries += [(266, 3, [2])] if reverse else []
    entries += [(338, 3, extra)] if extra is not None else []
    entries = sorted(entries + list(tags))
    inline, entry_bytes = (8, 20) if big else (4, 12)
    tables_at = (16 + 8 if big else 8 + 2) + entry_bytes * len(entries) + (8 if big else 4)
    pack = lambda kind, values: b"".join(struct.pack(order + TYPES[kind], *(v if isinstance(v, tuple) else (v,))) for v in values)
    offsets, tables = [0] * len(chunks), b""
    for _ in range(2):  # once to learn how long the tables are
        data_at, tables, body = tables_at + len(tables), b"", b""
        offsets = [data_at + sum(map(len, chunks[:i])) for i in range(len(chunks))]
        for tag, kind, values in entries:
            values = offsets if values is None else values
            value = pack(kind, values)
            if len(value) > inline:
                tables, value = tables + value, struct.pack(order + ("Q" if big else "I"), tables_at + len(tables))
            body += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values)) + value.ljust(inline, b"\0")
    head = b"II" if order == "<" else b"MM"
    head += struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    count = struct.pack(order + ("Q" if big else "H"), len(entries))
    return head + count + body + b"\0" * (8 if big else 4) + tables + b"".join(chunks)
