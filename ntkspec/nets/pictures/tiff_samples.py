"""The samples of a TIFF page: strips and tiles, compression, predictors, and packed bits.

tifffile finds them, but unpacks only what needs no codec of its own. LZW and similar codecs therefore use
libtiff, a part of Pillow: each strip is read as a grey picture of its bytes.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ntkspec.nets.pictures.raster import UnreadableError

__all__ = ["CODECS", "read_samples"]

Bytes = NDArray[np.uint8]
Samples = NDArray[np.generic]

NONE, LZW, PACKBITS, ZSTD, LZMA = 1, 5, 32773, 50000, 34925
DEFLATE = (8, 32946, 50013)
CODECS = (NONE, LZW, PACKBITS, ZSTD, LZMA, *DEFLATE)  # those that give bytes; others give pictures
HORIZONTAL, FLOATING = 2, 3  # predictors
KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}  # by SampleFormat; 5 and 6 are complex
SIZES = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # FillOrder 2
UNDAMAGED = "get an undamaged copy"


@dataclass(frozen=True)
class _Block:
    """A strip or a tile: its place on the page, and its bytes."""

    plane: slice
    top: int
    left: int
    rows: int  # with those outside the page
    width: int
    data: bytes


def read_samples(page: tifffile.TiffPage, file: bytes, subsampling: tuple[int, int] = (1, 1)) -> Samples:
    """Read the samples (H, W, s) of a page, in the machine's byte order.

    Args:
        page: of unsigned or signed integers or floats; unsigned ones may have any number of bits up to 32.
        file: content of the file it is from.
        subsampling: pixels, across and down, that share the second and third sample.

    Raises:
        UnreadableError: samples of another kind, a codec that gives no bytes, or bytes that are missing.
    """
    kind = _check(page)
    bits, planar = page.bitspersample, page.planarconfig == 2
    if subsampling != (1, 1) and (bits != 8 or planar or page.predictor > 1):
        raise UnreadableError("subsampled colours in an unusual layout", "save it as RGB")
    stored = f"{kind}{_container(bits, kind)}"
    samples = np.zeros((page.imagelength, page.imagewidth, page.samplesperpixel), dtype=stored)
    for block in _blocks(page, file):
        count = 1 if planar else page.samplesperpixel
        if subsampling != (1, 1):
            values = _unpack_shared(block, page.compression, subsampling)
        else:
            rows = _decompress(block, page.compression, -(-block.width * count * bits // 8))
            values = _unpack(rows, page, kind, count)[:, : block.width]
        target = samples[
            block.top : block.top + block.rows, block.left : block.left + block.width, block.plane
        ]
        target[...] = values[: target.shape[0], : target.shape[1]]
    return samples


def _check(page: tifffile.TiffPage) -> str:
    """Return the kind of the samples; refuse those that are not real numbers of one size."""
    kind = KINDS.get(page.sampleformat)
    bits = page.bitspersample
    if kind is None:
        raise UnreadableError("complex samples", "save their absolute value")
    if not isinstance(bits, int) or not (bits in SIZES[kind] or (kind == "u" and 1 <= bits <= 32)):
        raise UnreadableError(f"samples of {bits} bits", "save it with 8 or 16 bits")
    if page.imagedepth != 1:
        raise UnreadableError("a volume", "save one layer of it")
    if page.predictor not in (1, HORIZONTAL, FLOATING) or (page.predictor > 1 and bits not in SIZES[kind]):
        raise UnreadableError(f"the predictor {page.predictor}", "save it without a predictor")
    return kind


def _container(bits: int, kind: str) -> int:
    """Return the bytes of the smallest type that has so many bits or more."""
    return next(size // 8 for size in SIZES[kind] if size >= bits)


def _blocks(page: tifffile.TiffPage, file: bytes) -> Iterator[_Block]:
    height, width = page.imagelength, page.imagewidth
    tiled = page.is_tiled
    wide, high = (
        (page.tilewidth, page.tilelength) if tiled else (width, min(page.rowsperstrip or height, height))
    )
    across, down = -(-width // wide), -(-height // high)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(places) < across * down * planes:
        raise UnreadableError("a TIFF with parts missing", UNDAMAGED)
    for number, (offset, count) in enumerate(places[: across * down * planes]):
        plane, place = divmod(number, across * down)
        top, left = high * (place // across), wide * (place % across)
        if count == 0 and offset == 0:  # left out by its writer: all zero
            continue
        if count == 0:
            raise UnreadableError("a TIFF with a strip or tile of no bytes", UNDAMAGED)
        rows = high if tiled else min(high, height - top)
        data = file[offset : offset + count]
        data = data.translate(REVERSED) if page.fillorder == 2 else data
        yield _Block(slice(plane, plane + 1) if planes > 1 else slice(None), top, left, rows, wide, data)


def _decompress(block: _Block, codec: int, row_bytes: int) -> Bytes:
    """Return the block's bytes, (rows, row_bytes)."""
    size = block.rows * row_bytes
    try:
        if codec in DEFLATE:
            data = zlib.decompressobj().decompress(block.data, size)
        elif codec == LZMA:
            data = lzma.LZMADecompressor().decompress(block.data, size)
        else:
            data = block.data if codec == NONE else _through_libtiff(block, codec, row_bytes)
    except (OSError, zlib.error, lzma.LZMAError) as error:
        raise UnreadableError(f"a damaged TIFF ({error})", UNDAMAGED) from error
    if len(data) < size:
        raise UnreadableError("a TIFF that is cut off", UNDAMAGED)
    return np.frombuffer(data, dtype=np.uint8, count=size).reshape(block.rows, row_bytes)


def _through_libtiff(block: _Block, codec: int, row_bytes: int) -> bytes:
    """Unpack a compressed block by libtiff, as a grey picture of 8 bits."""
    entries = {256: row_bytes, 257: block.rows, 258: 8, 259: codec, 262: 1}
    entries |= {273: 0, 277: 1, 278: block.rows, 279: len(block.data)}
    entries[273] = 8 + 2 + 12 * len(entries) + 4  # where the strip starts: after the header and this table
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    header = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    with Image.open(io.BytesIO(header + table + bytes(4) + block.data)) as picture:
        return picture.tobytes()


def _unpack(rows: Bytes, page: tifffile.TiffPage, kind: str, count: int) -> Samples:
    """Convert rows of bytes to samples (rows, width, count), and undo predictions."""
    bits, order = page.bitspersample, page.parent.byteorder
    if bits not in SIZES[kind]:
        return _unpack_bits(rows, bits, count, order)
    if page.predictor == FLOATING:
        return _undo_floating(rows, bits // 8, count)
    values = rows.view(f"{order}{kind}{bits // 8}").reshape(len(rows), -1, count)
    if page.predictor == HORIZONTAL:  # differences modulo 2^bits, whatever the kind
        whole = values.view(f"{order}u{bits // 8}")
        values = np.cumsum(whole, axis=1, dtype=f"u{bits // 8}").view(f"{kind}{bits // 8}")
    return values


def _unpack_bits(rows: Bytes, bits: int, count: int, order: str) -> Samples:
    """Unpack unsigned integers without padding, the highest bit first; whole bytes are in file order."""
    if bits == 24 and order == "<":
        rows = rows.reshape(len(rows), -1, 3)[..., ::-1].reshape(len(rows), -1)
    flat = np.unpackbits(rows, axis=1)
    flat = flat[:, : flat.shape[1] // (bits * count) * bits * count].reshape(len(rows), -1, count, bits)
    powers = 2 ** np.arange(bits - 1, -1, -1, dtype=np.uint32)
    return flat @ powers


def _undo_floating(rows: Bytes, size: int, count: int) -> Samples:
    """Reverse the predictor of floats: bytes in planes, the highest first, each byte as a difference."""
    differences = rows.reshape(len(rows), -1, count)
    planes = np.cumsum(differences, axis=1, dtype=np.uint8).reshape(len(rows), size, -1)
    return np.ascontiguousarray(planes.swapaxes(1, 2)).view(f">f{size}").reshape(len(rows), -1, count)


def _unpack_shared(block: _Block, codec: int, subsampling: tuple[int, int]) -> Samples:
    """Return samples (rows, width, 3) of units that hold h x v of the first and one of the other two."""
    h, v = subsampling
    across, down = -(-block.width // h), -(-block.rows // v)
    unit = h * v + 2
    units = _decompress(_Block(block.plane, 0, 0, down, across, block.data), codec, across * unit)
    units = units.reshape(down, across, unit)
    first = units[..., :-2].reshape(down, across, v, h).swapaxes(1, 2).reshape(down * v, across * h)
    shared = units[..., -2:].repeat(v, axis=0).repeat(h, axis=1)
    return np.concatenate([first[..., None], shared], axis=-1)[: block.rows, : block.width]
