"""Pictures read by Pillow: decoded, turned upright, cropped to a square, and converted to samples."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.Image import Transpose

from ntkspec.nets.pictures.fits import SIGNATURE as FITS
from ntkspec.nets.pictures.fits import true_values
from ntkspec.nets.pictures.raster import Raster, find_white, lab_to_rgb

__all__ = ["decode", "read_pillow"]

PGM = (b"P2", b"P5")  # signatures
TURNS = {  # what makes a picture of each orientation upright
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def decode(data: bytes, raw_mode: str | None = None) -> Image.Image:
    """Decode the first frame of a picture, turn it upright and crop the square in its middle.

    Args:
        data: the file's content.
        raw_mode: how the decoder is told to take samples, in place of what Pillow would say.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata and large pictures
        with Image.open(io.BytesIO(data)) as picture:
            if raw_mode:
                assert isinstance(picture, ImageFile.ImageFile)
                picture.tile = [tile._replace(args=raw_mode) for tile in picture.tile]
            picture.load()
            orientation = _find_orientation(picture)
            upright = picture.transpose(TURNS[orientation]) if orientation in TURNS else picture
    edge = min(upright.size)
    left, top = (upright.width - edge) // 2, (upright.height - edge) // 2
    return upright.crop((left, top, left + edge, top + edge))


def _find_orientation(picture: Image.Image) -> object:
    """Return the orientation that EXIF or else XMP gives.

    EXIF that cannot be parsed is ignored, since the pixels are intact.
    """
    try:
        return picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises many types for damage
        bare = picture.copy()
        for name in ("exif", "Raw profile type exif"):
            bare.info.pop(name, None)
        return bare.getexif().get(ExifTags.Base.Orientation)


def read_pillow(data: bytes) -> Raster:
    """Read any picture that Pillow knows, with the depth that it keeps.

    CMYK without a profile becomes (1 - ink)(1 - black).
    """
    picture = decode(data)
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        samples = np.asarray(picture)[..., None]
        if data.startswith(FITS):
            samples = true_values(data, samples)
        elif picture.mode == "I" and data.startswith(PGM):  # scaled by Pillow to 16 bits
            samples = samples.astype(np.uint16)
        return Raster(samples, find_white(samples))
    if picture.mode == "LAB":
        lab = np.asarray(picture)
        colour = lab[..., 1:].astype(np.int8)
        return Raster(lab_to_rgb(lab[..., 0] / 2.55, colour[..., 0], colour[..., 1]), 1.0)
    bands = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    if not picture.has_transparency_data:
        samples = np.asarray(picture.convert(bands))
        return Raster(samples[..., None] if samples.ndim == 2 else samples, 255.0)
    straight = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode)  # Pillow converts these to nothing else
    samples = np.asarray((picture.convert(straight) if straight else picture).convert(f"{bands}A"))
    return Raster(samples[..., :-1], 255.0, samples[..., -1].astype(np.float32) / np.float32(255))
