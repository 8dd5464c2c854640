"""FITS images: Pillow takes their integers for unsigned ones and ignores offset and scale."""

from __future__ import annotations

import numpy as np

from ntkspec.nets.pictures.raster import Samples, UnreadableError

__all__ = ["SIGNATURE", "true_values"]

SIGNATURE = b"SIMPLE  ="
CARD = 80  # bytes


def true_values(data: bytes, stored: Samples) -> Samples:
    """Return the physical values of a FITS image: BSCALE * stored + BZERO.

    Args:
        data: the file's content.
        stored: the image's numbers as Pillow hands them over.

    Raises:
        UnreadableError: the image is not the file's first part, so that its scale is unknown.
    """
    header = _read_header(data)
    if header.get("NAXIS", 0) < 2:
        raise UnreadableError(
            "a FITS file with its image in an extension", "save the image as a TIFF or a PNG"
        )
    zero, scale = header.get("BZERO", 0.0), header.get("BSCALE", 1.0)
    if stored.dtype.kind == "u" and stored.dtype.itemsize == 2:
        stored = stored.astype(np.uint16).view(np.int16)
    if (zero, scale) == (32768, 1) and stored.dtype == np.int16:  # how FITS holds unsigned integers
        return (stored.astype(np.int32) + 32768).astype(np.uint16)
    return stored if (zero, scale) == (0, 1) else stored * np.float64(scale) + zero


def _read_header(data: bytes) -> dict[str, float]:
    """Return the numbers in the cards of the first header, by keyword."""
    numbers = {}
    for start in range(0, len(data), CARD):
        card = data[start : start + CARD].decode("latin-1")
        if card.strip() == "END":
            break
        try:
            numbers[card[:8].strip()] = float(card[10:].split("/")[0].replace("D", "E"))
        except ValueError:
            continue
    return numbers
