"""Decode pictures: PNG by libpng and TIFF by tifffile, which keep 16 bits and floats, others by Pillow."""

from __future__ import annotations

import io
import struct
import warnings

import imagecodecs
import numpy as np
from PIL import ExifTags, Image

from ntkspec.nets.pictures.raster import Raster, Samples, UnreadableError, check_size, find_white
from ntkspec.nets.pictures.tiff import SIGNATURES as TIFF
from ntkspec.nets.pictures.tiff import read_tiff

PNG = b"\x89PNG\r\n\x1a\n"
FITS = b"SIMPLE  ="
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # modes of Pillow with more than 8 bits


def decode(data: bytes) -> Raster:
    """Decode the content of a picture file; of an animation or a file of pages, the first picture.

    Raises:
        UnreadableError: its colours are of a kind that is not read. The libraries raise many other types.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata and large pictures
        if data.startswith(PNG):
            return _png(data)
        if data.startswith(FITS):  # whose numbers have a scale of their own
            raise UnreadableError("a FITS file", "save its picture as a TIFF")
        return read_tiff(data, _by_pillow) if data.startswith(TIFF) else _by_pillow(data)


def _png(data: bytes) -> Raster:
    """Read a PNG at its full depth; libpng makes alpha of a transparent colour, and colours of a palette."""
    if len(data) >= 24:
        check_size(*struct.unpack(">II", data[16:24]))
    samples = imagecodecs.png_decode(data)
    opaque = samples.ndim == 2 or samples.shape[-1] % 2
    if opaque and b"tRNS" in data.partition(b"IDAT")[0]:  # which libpng leaves out if it is damaged
        raise UnreadableError("a PNG whose transparency is damaged", "get an undamaged copy")
    return Raster.from_samples(samples, float(np.iinfo(samples.dtype).max), _orientation(data))


def _by_pillow(data: bytes) -> Raster:
    """Read any picture that Pillow knows, with the depth that it keeps."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        if picture.mode not in DEEP:
            return Raster.from_samples(_in_eight_bits(picture), 255.0, _orientation(data))
        samples = np.asarray(picture)
        if picture.format == "PPM" and picture.mode == "I":  # scaled by Pillow to 16 bits
            samples = samples.astype(np.uint16)
        return Raster.from_samples(samples, find_white(samples), _orientation(data))


def _in_eight_bits(picture: Image.Image) -> Samples:
    """Return the samples of a picture as grey or RGB, with alpha where it has transparent parts."""
    if picture.mode == "LAB":  # Pillow would convert it by a profile of its own
        raise UnreadableError("a picture in CIE L*a*b*", "save it as RGB")
    if picture.mode in ("La", "RGBa"):  # Pillow converts these to nothing else
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    bands = "L" if picture.mode in ("1", "L", "LA") else "RGB"
    return np.asarray(picture.convert(f"{bands}A" if picture.has_transparency_data else bands))


def _orientation(data: bytes) -> object:
    """Return the orientation that EXIF or else XMP gives; None where Pillow cannot read them.

    The samples are intact without it. For damaged EXIF, and for texts that are damaged or too long, Pillow
    raises errors of many types, such as `SyntaxError` and `struct.error`.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # see above
        return None
