"""TIFF files, read by tifffile: grey, RGB and palettes at their full depth."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tifffile

from ntkspec.nets.pictures.raster import Raster, Samples, UnreadableError, check_size, find_white

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1}  # samples a pixel
UNCOMPRESSED, JPEG = 1, (6, 7)
BITS = (*range(1, 17), 32, 64)
REAL = (1, 2, 3)  # SampleFormat: unsigned, signed, floating
ASSOCIATED, UNASSOCIATED = 1, 2  # ExtraSamples: alpha that colours were multiplied by, and alpha alone
REDUCED, MASK = 1, 4  # bits of NewSubfileType
ORIENTATION = 274  # tag

for library in ("tifffile", "imagecodecs"):  # which comment on damage by themselves
    logging.getLogger(library).addHandler(logging.NullHandler())


def read_tiff(data: bytes, by_pillow: Callable[[bytes], Raster]) -> Raster:
    """Read the first page that is neither a thumbnail nor a mask.

    Colour profiles and response curves are ignored. Samples beyond colours and alpha are, too, with a note.

    Args:
        data: the file's content.
        by_pillow: reads files whose first page is a JPEG.

    Raises:
        UnreadableError: samples or colours of a kind that is not read, or missing parts.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
        whole = [page for page in pages if not page.subfiletype & (REDUCED | MASK)]
        page, notes = (whole or pages)[0], []
        if not whole:  # as in the raw files of cameras
            notes.append("has only a thumbnail or a mask: that is read")
        elif len(whole) > 1:
            notes.append("has more than one page: the first is read")
        if page.compression in JPEG and page.index == 0 and page.bitspersample == 8:
            return replace(by_pillow(data), notes=tuple(notes))
        samples = _samples(page, data)
    extra = page.extrasamples[0] if page.extrasamples and page.photometric != PALETTE else None
    used = COLOURS[page.photometric] + (extra in (ASSOCIATED, UNASSOCIATED))
    if samples.shape[-1] > used:
        notes.append(f"has samples beside its colours ({samples.shape[-1] - used} a pixel): left out")
    samples, white = samples[..., :used], find_white(samples[..., :used], page.bitspersample)
    if page.photometric == PALETTE:
        samples, white = _with_palette(page, samples)
    return Raster.from_samples(
        samples,
        white,
        page.tags.valueof(ORIENTATION, 1),
        premultiplied=extra == ASSOCIATED,
        inverted=page.photometric == WHITE_IS_ZERO,
        notes=tuple(notes),
    )


def _samples(page: tifffile.TiffPage, data: bytes) -> Samples:
    """Return the samples (H, W, s) of a page; refuse what would not be read as it was meant."""
    height, width, bits = page.imagelength, page.imagewidth, page.bitspersample
    check_size(width, height)
    if page.photometric not in COLOURS:
        kind = getattr(page.photometric, "name", page.photometric)
        raise UnreadableError(f"a TIFF of the kind {kind}", "save it as an RGB or grey picture")
    if bits not in BITS or page.sampleformat not in REAL:
        kind = getattr(page.sampleformat, "name", page.sampleformat)
        raise UnreadableError(f"samples of {bits} bits ({kind})", "save real numbers of 8 or 16 bits")
    if page.samplesperpixel < COLOURS[page.photometric]:
        raise UnreadableError(f"{page.samplesperpixel} samples a pixel in an RGB picture", "save it again")
    if page.axes not in ("YX", "YXS", "SYX"):
        raise UnreadableError(f"a TIFF of the axes {page.axes}", "save one picture of it")
    _require_all_parts(page, data)
    samples = page.asarray()
    samples = np.moveaxis(samples, 0, -1) if page.axes == "SYX" else samples
    samples = samples.reshape(height, width, -1)
    return samples.astype(np.uint8) if samples.dtype == bool else samples  # of one bit


def _require_all_parts(page: tifffile.TiffPage, data: bytes) -> None:
    """Raise `UnreadableError` if strips or tiles are missing or cut off, which tifffile fills with zeros."""
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    row = -(-page.imagewidth * page.samplesperpixel * page.bitspersample // 8)
    short = page.compression == UNCOMPRESSED and sum(size for _, size in parts) < page.imagelength * row
    few = len(parts) < math.prod(page.chunked)
    if short or few or any(size == 0 or start + size > len(data) for start, size in parts):
        raise UnreadableError("a TIFF with parts missing", "get an undamaged copy")


def _with_palette(page: tifffile.TiffPage, index: Samples) -> tuple[Samples, float]:
    """Return the colours (H, W, 3) of a palette, and their white."""
    if page.colormap is None:
        raise UnreadableError("a palette picture without a palette", "save it as RGB")
    white = 65535.0 if page.colormap.max() > 255 else 255.0  # some writers fill the lower byte alone
    return page.colormap.T[index[..., 0]], white
