"""Writers of TIFF and PNG files that follow the specifications, byte by byte, with all that may vary."""

import lzma
import struct
import zlib

import numpy as np

NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA = 1, 5, 8, 32946, 32773, 34925
REVERSE = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def lzw(data):
    """TIFF's LZW without a match: nine bits a byte, and the table cleared before codes grow to ten."""
    codes = []
    for start in range(0, max(len(data), 1), 250):
        codes += [256, *data[start : start + 250]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def packbits(data):
    """Runs of literals alone."""
    parts = [data[start : start + 128] for start in range(0, len(data), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


CODECS = {
    NONE: bytes,
    LZW: lzw,
    DEFLATE: zlib.compress,
    OLD_DEFLATE: zlib.compress,
    PACKBITS: packbits,
    LZMA: lzma.compress,
}


def pack(block, bits, order, predictor=1):
    """Samples (rows, width, s) as the bytes of a strip or tile."""
    kind = block.dtype.kind
    if predictor == 3:
        rows = (
            block.astype(f">f{bits // 8}").reshape(len(block), -1, 1).view("u1")
        )  # (rows, width * s, bytes)
        planes = rows.swapaxes(1, 2).reshape(len(block), -1, block.shape[2]).astype(int)
        return np.diff(planes, axis=1, prepend=0).astype("u1").tobytes()
    if bits in (8, 16, 32, 64):
        block = block.astype(f"{kind}{bits // 8}")
        if predictor == 2:
            whole = block.view(f"u{bits // 8}")
            block = np.diff(whole, axis=1, prepend=np.zeros_like(whole[:, :1]))
            kind = "u"
        return block.astype(f"{order}{kind}{bits // 8}").tobytes()
    if bits == 24:  # whole bytes, and so in the file's order
        whole = block.astype(">u4").reshape(-1, 1).view("u1")[:, 1:]
        return whole[:, :: -1 if order == "<" else 1].tobytes()
    text = ["".join(f"{value:0{bits}b}" for value in row) for row in block.reshape(len(block), -1).tolist()]
    text = [row + "0" * (-len(row) % 8) for row in text]
    return b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in text)


def blocks(samples, planar, tile, rows):
    """Strips or tiles (rows, width, s) in the order in which they are stored."""
    height, width, count = samples.shape
    planes = [samples[..., [plane]] for plane in range(count)] if planar == 2 else [samples]
    for plane in planes:
        if tile is None:
            yield from (plane[top : top + rows] for top in range(0, height, rows))
            continue
        padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, plane.shape[2]), plane.dtype)
        padded[:height, :width] = plane
        for top in range(0, height, tile):
            yield from (padded[top : top + tile, left : left + tile] for left in range(0, width, tile))


def tiff(samples, photometric, bits=None, *, order="<", codec=NONE, predictor=1, planar=1, tile=None, rows=3,
         extra=(), fill=1, big=False, tags=(), data=None, before=()):  # fmt: skip
    """A TIFF of one page; `data` replaces its strips, `before` are pages before it: lists of tags."""
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, count = samples.shape
    bits = bits or 8 * samples.dtype.itemsize
    stored = data or [pack(block, bits, order, predictor) for block in blocks(samples, planar, tile, rows)]
    stored = [CODECS[codec](part) for part in stored]
    stored = [part.translate(REVERSE) if fill == 2 else part for part in stored]
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    place, size = ([322, 323], [324, 325]) if tile else ([], [273, 279])
    entries = {256: [width], 257: [height], 258: [bits] * count, 259: [codec], 262: [photometric],
               266: [fill], 277: [count], 284: [planar], 339: [kind] * count,
               size[0]: [0] * len(stored), size[1]: [len(part) for part in stored]}  # fmt: skip
    entries |= {tag: [tile] for tag in place} if tile else {278: [rows]}
    entries |= {317: [predictor]} if predictor > 1 else {}
    entries |= {338: list(extra)} if extra else {}
    entries |= dict(tags)
    return _assemble([*({**entries, **other} for other in before), entries], size[0], stored, order, big)


def _assemble(pages, offsets, stored, order, big):
    """Header, then the strips, then the pages, all of which point to those strips."""
    word, form = ("Q", "Q") if big else ("I", "H")
    head = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
    body = bytearray({"<": b"II", ">": b"MM"}[order] + head)
    link = len(body) - (8 if big else 4)
    starts = []
    for part in stored:
        starts.append(len(body) if part else 0)  # nothing: left out
        body += part + b"\0" * (len(part) % 2)
    for page in pages:
        page = {**page, offsets: starts}
        body[link : link + struct.calcsize(word)] = struct.pack(order + word, len(body))
        table, tail = b"", b""
        after = (
            len(body)
            + struct.calcsize(order + form)
            + (20 if big else 12) * len(page)
            + struct.calcsize(word)
        )
        for tag, values in sorted(page.items()):
            kind, code = (5, "I") if tag in (529, 532) else (3, "H") if max(values) < 65536 else (4, "I")
            values = (
                [part for value in values for part in (round(value * 1000), 1000)] if kind == 5 else values
            )
            raw = struct.pack(f"{order}{len(values)}{code}", *values)
            count = len(values) // 2 if kind == 5 else len(values)
            room = struct.calcsize(word)
            if len(raw) > room:
                where = struct.pack(order + word, after + len(tail))
                tail += raw
            else:
                where = raw.ljust(room, b"\0")
            table += struct.pack(f"{order}HH{word}", tag, kind, count) + where
        body += struct.pack(order + form, len(page)) + table
        link = len(body)
        body += b"\0" * struct.calcsize(word) + tail
    return bytes(body)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _filtered(rows, step):
    """Rows of bytes under PNG's filters 0 to 4 in turn."""
    above, out = np.zeros(rows.shape[1], dtype=int), b""
    for number, row in enumerate(rows.astype(int)):
        left = np.concatenate([np.zeros(step, dtype=int), row])[: len(row)]
        corner = np.concatenate([np.zeros(step, dtype=int), above])[: len(row)]
        guess = left + above - corner
        near = np.stack([abs(guess - left), abs(guess - above), abs(guess - corner)]).argmin(axis=0)
        paeth = np.choose(near, [left, above, corner])
        predicted = (0 * row, left, above, (left + above) // 2, paeth)[number % 5]
        out += bytes([number % 5]) + ((row - predicted) % 256).astype("u1").tobytes()
        above = row
    return out


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png(samples, colour, depth, *extra, interlaced=False):
    """A PNG; `extra` chunks stand between its header and its samples (H, W, c)."""
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, count = samples.shape
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    raw = b""
    for part in passes:
        if part.size:
            rows = np.frombuffer(pack(part, depth, ">"), dtype="u1").reshape(len(part), -1)
            raw += _filtered(rows, max(1, depth * count // 8))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
