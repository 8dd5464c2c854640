"""TIFF files, read by tifffile: samples at their full depth, and the colours that they mean."""

from __future__ import annotations

import io
import itertools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import tifffile
from PIL import Image

from ntkspec.nets.pictures.pillow import read_pillow
from ntkspec.nets.pictures.raster import (
    Raster,
    Samples,
    UnreadableError,
    centre_square,
    describe_scale,
    find_white,
    lab_to_rgb,
)
from ntkspec.nets.pictures.tiff_samples import CODECS, read_samples

__all__ = ["SIGNATURES", "read_tiff"]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, CIELAB: 3, ICCLAB: 3}
ASSOCIATED, UNASSOCIATED = 1, 2  # ExtraSamples: alpha that colours were multiplied by, and alpha alone
REDUCED, MASK = 1, 4  # bits of NewSubfileType
ORIENTATION, INK_SET, COEFFICIENTS, SUBSAMPLING, REFERENCE = 274, 332, 529, 530, 532  # tags
AS_RGB = "save it as an RGB or grey picture"

logging.getLogger(tifffile.__name__).addHandler(logging.NullHandler())  # it comments on damage by itself


def read_tiff(data: bytes) -> Raster:
    """Read the first page that is neither a thumbnail nor a mask.

    Colour profiles and response curves are ignored. Samples beyond colours and alpha are, too, with a note.

    Raises:
        UnreadableError: samples or colours that cannot be read.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page, note = _choose_page(file)
        _check_size(page)
        raster = _read_page(page, data) if page.compression in CODECS else _through_pillow(data, page)
    return replace(raster, notes=(note, *raster.notes)) if note else raster


def _choose_page(file: tifffile.TiffFile) -> tuple[tifffile.TiffPage, str]:
    """Return the first page that is the picture itself, and a note where others could be meant."""
    pages = (page for page in file.pages if isinstance(page, tifffile.TiffPage))
    whole = list(itertools.islice((page for page in pages if not page.subfiletype & (REDUCED | MASK)), 2))
    if not whole:  # as in the raw files of cameras
        return file.pages.first, "has only a thumbnail or a mask: that is read"
    return whole[0], "has more than one page: the first is read" if len(whole) > 1 else ""


def _check_size(page: tifffile.TiffPage) -> None:
    """Raise `UnreadableError` for too many pixels: even a small file may claim to hold any number."""
    limit = Image.MAX_IMAGE_PIXELS or math.inf
    pixels = page.imagelength * page.imagewidth
    if pixels > 2 * limit or pixels * page.samplesperpixel > 8 * limit:
        size = f"{page.imagewidth} x {page.imagelength} pixels of {page.samplesperpixel} samples"
        raise UnreadableError(f"one too large to be safe ({size})", "scale it down")


def _name(value: object) -> str:
    """Return the specification's name of a tag's value; the value itself if it has none."""
    return str(getattr(value, "name", value))


def _through_pillow(data: bytes, page: tifffile.TiffPage) -> Raster:
    """Read a page that a picture codec such as JPEG compresses; libtiff decodes it to RGB of 8 bits."""
    if page.bitspersample not in (1, 8) or page.index:
        raise UnreadableError(
            f"{page.bitspersample} bits with compression {_name(page.compression)}",
            "save it without compression",
        )
    return read_pillow(data)


def _read_page(page: tifffile.TiffPage, data: bytes) -> Raster:
    photometric = int(page.photometric if page.photometric is not None else BLACK_IS_ZERO)
    if photometric not in COLOURS:
        raise UnreadableError(f"a picture of the kind {_name(page.photometric)}", AS_RGB)
    shared = page.tags.valueof(SUBSAMPLING, (2, 2)) if photometric == YCBCR else (1, 1)
    samples = read_samples(page, data, shared)
    samples = centre_square(_upright(samples, page.tags.valueof(ORIENTATION, 1)))
    return _interpret(page, photometric, samples)


def _upright(samples: Samples, orientation: int) -> Samples:
    """Return samples (H, W, s) as the picture is to be seen, top row first and left column first.

    Args:
        samples: in the order of the file.
        orientation: value of the TIFF tag Orientation, 1 to 8: on which sides row 0 and column 0 belong.
    """
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples


def _interpret(page: tifffile.TiffPage, photometric: int, samples: Samples) -> Raster:
    """Convert samples (H, W, s) to a `Raster` of colours."""
    count, extra = COLOURS[photometric], [int(kind) for kind in page.extrasamples]
    if samples.shape[-1] < count:
        raise UnreadableError(f"{samples.shape[-1]} samples a pixel in place of {count}", AS_RGB)
    if not extra and samples.shape[-1] == count + 1 and photometric == RGB:
        extra = [UNASSOCIATED]  # which its writer forgot to say
    colour, bits = samples[..., :count], page.bitspersample
    alpha = samples[..., count] if extra and extra[0] in (ASSOCIATED, UNASSOCIATED) else None
    opaque = 1.0 if alpha is None else find_white(alpha, bits) or max(float(alpha.max()), 1.0)
    white: float | None
    if photometric in CONVERSIONS:
        colour, white = CONVERSIONS[photometric](page, colour)
    else:
        white = find_white(colour, bits)
        if white and alpha is not None and alpha.dtype.kind != "f":  # of one scale, where that is guessed
            white = opaque = max(white, opaque)
    return Raster(
        colour,
        white,
        None if alpha is None else np.clip(alpha / np.float64(opaque), 0, 1).astype(np.float32),
        premultiplied=alpha is not None and extra[0] == ASSOCIATED,
        inverted=photometric == WHITE_IS_ZERO,
        notes=tuple(_notes(page, photometric, samples, samples.shape[-1] - count - (alpha is not None))),
    )


def _notes(page: tifffile.TiffPage, photometric: int, samples: Samples, spare: int) -> Iterator[str]:
    """Yield notes for the user about a page; `spare` is how many samples of each pixel are no colour."""
    if spare:
        yield f"has samples beside its colours ({spare} a pixel): left out"
    empty = page.databytecounts.count(0)
    if empty:
        yield f"lacks {empty} of its {len(page.databytecounts)} strips or tiles: taken for zeros"
    if photometric == CMYK:  # others are described when they are painted
        ink = samples[..., : COLOURS[CMYK]]
        note = describe_scale(ink, find_white(ink, page.bitspersample) or 1.0)
        if note:
            yield note


def _from_palette(page: tifffile.TiffPage, index: Samples) -> tuple[Samples, float]:
    table = page.colormap
    if table is None or index.dtype.kind == "f":
        raise UnreadableError("a palette picture without a palette", AS_RGB)
    white = 65535.0 if table.max() > 255 else 255.0  # some writers fill the lower byte alone
    return table.T[index[..., 0]], white


def _from_cmyk(page: tifffile.TiffPage, ink: Samples) -> tuple[Samples, float]:
    white = find_white(ink, page.bitspersample)
    if page.tags.valueof(INK_SET, 1) != 1 or white is None:
        raise UnreadableError("inks other than cyan, magenta, yellow and black", AS_RGB)
    paper = 1 - ink.astype(np.float32) / np.float32(white)
    return paper[..., :3] * paper[..., 3:], 1.0


def _from_ycbcr(page: tifffile.TiffPage, samples: Samples) -> tuple[Samples, float]:
    """Convert YCbCr to RGB by TIFF 6.0, section 21."""
    if page.bitspersample != 8:
        raise UnreadableError(f"YCbCr of {page.bitspersample} bits", AS_RGB)
    red, green, blue = _rationals(page, COEFFICIENTS, (0.299, 0.587, 0.114))
    codes = np.array(_rationals(page, REFERENCE, (0, 255, 128, 255, 128, 255))).reshape(3, 2)
    y, cb, cr = np.moveaxis(
        (samples - codes[:, 0]) / (codes[:, 1] - codes[:, 0]) * (1, 127 / 255, 127 / 255), -1, 0
    )
    r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
    rgb = np.stack([r, (y - red * r - blue * b) / green, b], axis=-1)
    return np.clip(rgb, 0, 1).astype(np.float32), 1.0


def _rationals(page: tifffile.TiffPage, tag: int, default: tuple[float, ...]) -> list[float]:
    """Return a tag's fractions, which tifffile gives as numerators and denominators in turn."""
    value = page.tags.valueof(tag)
    if value is None or len(value) != 2 * len(default) or not all(value[1::2]):
        return list(default)
    return [above / below for above, below in zip(value[::2], value[1::2], strict=True)]


def _from_lab(page: tifffile.TiffPage, samples: Samples) -> tuple[Samples, float]:
    """Convert L*, a*, b* to RGB.

    L* has the full range; the others are signed, or have an offset in the kind of ICC profiles.
    """
    bits = page.bitspersample
    if samples.dtype.kind == "f" or bits not in (8, 16):
        raise UnreadableError(f"CIE Lab of {bits} bits", AS_RGB)
    step, icc = 2 ** (bits - 8), page.photometric == ICCLAB
    codes = samples.astype(np.int32) % 2**bits
    lightness = codes[..., 0] * 100 / (255 * step if icc or bits == 8 else 65535)
    signed = codes[..., 1:] - 128 * step if icc else (codes[..., 1:] + 128 * step) % 2**bits - 128 * step
    return lab_to_rgb(lightness, signed[..., 0] / step, signed[..., 1] / step), 1.0


CONVERSIONS: dict[int, Callable[[tifffile.TiffPage, Samples], tuple[Samples, float]]] = {
    PALETTE: _from_palette,
    CMYK: _from_cmyk,
    YCBCR: _from_ycbcr,
    CIELAB: _from_lab,
    ICCLAB: _from_lab,
}
