"""PNG files: decoded by Pillow, except for what it loses: 16 bits of colours, and the transparent one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ntkspec.nets.pictures.pillow import decode
from ntkspec.nets.pictures.raster import Raster, UnreadableError

__all__ = ["SIGNATURE", "read_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types
KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"eXIf")  # eXIf holds the camera's orientation,
XMP = b"XML:com.adobe.xmp\0\0"  # or this, where it is not compressed
MOST_XMP = 2**20 - 2**10  # bytes; Pillow takes texts up to 2^20
COLOUR_BANDS = {RGB: "RGB", RGB_ALPHA: "RGBA"}


@dataclass(frozen=True)
class _Header:
    """The chunk IHDR, and the content of tRNS."""

    size: bytes  # width and height
    depth: int  # bits a sample
    kind: int  # colour type
    rest: bytes  # compression, filter, interlace
    transparent: bytes | None

    @property
    def key(self) -> list[int] | None:
        """Return the samples of the transparent colour; None if there is none."""
        count = {GREY: 1, RGB: 3}.get(self.kind)
        if count is None or self.transparent is None or len(self.transparent) < 2 * count:
            return None
        return [value % 2**self.depth for value in struct.unpack(f">{count}H", self.transparent[: 2 * count])]


def read_png(data: bytes) -> Raster:
    """Read a PNG at its full depth; of an animation, the picture that is shown where there is none.

    Texts, profiles and gamma are left out: samples are taken as they are.
    """
    chunks = list(_chunks(data))
    header = _read_header(chunks)
    if header is None:
        raise UnreadableError("a PNG without a header", "save it again")
    if header.kind == PALETTE:
        return _with_palette(decode(_file(chunks)), header)
    samples = _samples(chunks, header)
    white = 255.0 if header.depth < 16 else 65535.0
    if header.kind in (GREY_ALPHA, RGB_ALPHA):
        alpha = samples[..., -1].astype(np.float32) / np.float32(white)
        return Raster(samples[..., :-1], white, alpha)
    if header.key is None:
        return Raster(samples, white)
    key = [value * (255 // (2**header.depth - 1)) if header.depth < 8 else value for value in header.key]
    return Raster(samples, white, np.any(samples != key, axis=-1).astype(np.float32))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield types and contents of chunks, without damaged EXIF; Pillow judges what is cut off at the end."""
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        (length,), kind = struct.unpack(">I", data[start : start + 4]), data[start + 4 : start + 8]
        content, check = data[start + 8 : start + 8 + length], data[start + 8 + length : start + 12 + length]
        damaged = len(check) == 4 and zlib.crc32(kind + content) != struct.unpack(">I", check)[0]
        if damaged and kind in (*KEPT, b"tRNS") and kind != b"eXIf":
            raise UnreadableError(f"a damaged chunk {kind.decode()}", "get an undamaged copy")
        if not (damaged and kind == b"eXIf"):
            yield kind, content
        if len(check) < 4 or kind == b"IEND":
            return
        start += 12 + length


def _read_header(chunks: list[tuple[bytes, bytes]]) -> _Header | None:
    contents = dict(reversed(chunks))  # the first of each kind
    header = contents.get(b"IHDR", b"")
    if len(header) != 13:
        return None
    return _Header(header[:8], header[8], header[9], header[10:], contents.get(b"tRNS"))


def _file(chunks: list[tuple[bytes, bytes]], header: bytes | None = None) -> bytes:
    """Return a PNG of the chunks that make the picture; `header` replaces IHDR."""
    kept = [SIGNATURE]
    for kind, content in chunks:
        text = kind == b"iTXt" and content.startswith(XMP) and len(content) < MOST_XMP
        if kind in KEPT or text:
            content = header if header and kind == b"IHDR" else content
            check = struct.pack(">I", zlib.crc32(kind + content))
            kept += [struct.pack(">I", len(content)), kind, content, check]
    return b"".join(kept)


def _samples(chunks: list[tuple[bytes, bytes]], header: _Header) -> NDArray[np.uint8 | np.uint16]:
    """Return all samples (H, W, c) of a picture without a palette, below 8 bits stretched to 8, 16 kept."""
    if header.depth < 16 or header.kind == GREY:
        picture = decode(_file(chunks))
        samples = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
        return samples[..., None] if samples.ndim == 2 else samples
    if header.kind == GREY_ALPHA:  # as many bytes a pixel as RGBA of 8 bits, and so filtered in the same way
        disguise = header.size + bytes([8, RGB_ALPHA]) + header.rest
        pairs = np.ascontiguousarray(np.asarray(decode(_file(chunks, disguise))))
        return pairs.view(">u2").astype(np.uint16)
    # Of a colour's samples Pillow keeps one byte: the first if told that it is the higher, or the second.
    bands = COLOUR_BANDS.get(header.kind, "")
    high, low = (np.asarray(decode(_file(chunks), f"{bands};16{order}")) for order in "BL")
    return np.asarray(high * np.uint16(256) + low, dtype=np.uint16)


def _with_palette(picture: Image.Image, header: _Header) -> Raster:
    index = np.asarray(picture)
    colour = np.asarray(picture.convert("RGB"))
    if header.transparent is None:
        return Raster(colour, 255.0)
    table = np.full(256, 255, dtype=np.uint8)
    table[: len(header.transparent[:256])] = np.frombuffer(header.transparent[:256], dtype=np.uint8)
    return Raster(colour, 255.0, table[index].astype(np.float32) / np.float32(255))
