"""Pictures as they are stored: samples, their white, transparency, and the colours that they give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Samples: TypeAlias = NDArray[Any]  # of any type of real numbers

LUMA = np.array([0.299, 0.587, 0.114])  # of RGB, ITU-R BT.601
WHITE_8, WHITE_16 = 255.0, 65535.0


class UnreadableError(Exception):
    """The error of a picture that cannot be read: what was there instead, and a remedy."""

    def __init__(self, got: str, remedy: str) -> None:
        self.got, self.remedy = got, remedy
        super().__init__(got, remedy)


@dataclass(frozen=True, eq=False)
class Raster:
    """A square of stored samples, upright: the value 0 is black, the value `white` is white."""

    colour: Samples  # (H, W, c): c = 1 for grey, 3 for RGB
    white: float | None = None  # None: unknown, so that the least sample is black and the greatest white
    alpha: NDArray[np.float32] | None = None  # (H, W), in [0, 1]; None: opaque
    premultiplied: bool = False  # whether the colours were multiplied by alpha
    inverted: bool = False  # whether 0 is white
    notes: tuple[str, ...] = ()  # what a user should know, as predicates of the file

    @classmethod
    def from_samples(
        cls,
        samples: Samples,
        white: float | None,
        orientation: object = 1,
        *,
        premultiplied: bool = False,
        inverted: bool = False,
        notes: tuple[str, ...] = (),
    ) -> Raster:
        """Crop the square in the middle of a picture, and part its samples into colours and alpha.

        Args:
            samples: (H, W) or (H, W, s), in the order of the file; s is 1 or 3, or 2 or 4 with alpha.
            white: of colours, and of alpha; see `find_white`.
            orientation: of EXIF and TIFF, 1 to 8: on which sides row 0 and column 0 belong.
            premultiplied, inverted, notes: as in the class.
        """
        square = _square_upright(samples.reshape(*samples.shape[:2], -1), orientation)
        if square.shape[-1] % 2:
            return cls(square, white, None, premultiplied, inverted, notes)
        alpha = np.clip(square[..., -1] / np.float64(white or 1.0), 0, 1).astype(np.float32)
        return cls(square[..., :-1], white, alpha, premultiplied, inverted, notes)


def check_size(width: int, height: int) -> None:
    """Raise `UnreadableError` for too many pixels: even a small file may claim to hold any number."""
    if width * height > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
        raise UnreadableError(f"one too large to be safe ({width} x {height} pixels)", "scale it down")


def _square_upright(samples: Samples, orientation: object) -> Samples:
    """Turn samples (H, W, ...) as the picture is to be seen, and crop the largest square in its middle."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    height, width = samples.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return samples[top : top + edge, left : left + edge]


def find_white(samples: Samples, bits: int | None = None) -> float | None:
    """Find the sample that means white; None if nothing tells.

    Integers of fewer than 32 bits have the largest number of their bits for white. Those of 32 and more do,
    too, if the highest byte is in use; otherwise they are taken for 8 or 16 bits, if they fit, which
    `describe_scale` says. Floats are in [0, 1]. Samples that are negative, or fit none of these, have an
    unknown scale.

    Args:
        samples: of any real type.
        bits: of an integer, where fewer than its type has.

    >>> find_white(np.array([0, 9], dtype=np.uint16), bits=12), find_white(np.array([0.0, 7.5]))
    (4095.0, None)

    Raises:
        UnreadableError: NaN or Inf.
    """
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite(low + high):
        raise UnreadableError("NaN or Inf among its values", "replace them by numbers")
    if low < 0:
        return None
    if samples.dtype.kind == "f":
        return 1.0 if high <= 1 else None
    bits = bits or 8 * samples.dtype.itemsize
    full = 2.0 ** (bits - (samples.dtype.kind == "i")) - 1
    if bits < 32 or high > full / 256:
        return full
    return next((white for white in (WHITE_8, WHITE_16) if high <= white), None)


def describe_scale(samples: Samples, white: float) -> str:
    """Return what a user should know about the white that `find_white` found, as a predicate of the file."""
    high = float(samples.max())
    if high > 0 and samples.dtype.kind in "iu" and samples.dtype.itemsize > 2 and white <= WHITE_16:
        bits = 8 * samples.dtype.itemsize
        return f"has integers of {bits} bits, none above {high:g}: taken for values from 0 to {white:g}"
    if 0 < high <= white / 256:
        return f"has no value above {high:g} where {white:g} is possible: its shades hardly differ"
    return ""


def paint(raster: Raster, *, grey: bool = False) -> tuple[NDArray[np.float32], str]:
    """Paint the colours on white: float32 (H, W, 1 or 3) in [0, 1], and a note on their scale or ""."""
    colour, note = _scale(raster)
    if raster.inverted:
        colour = 1 - colour
    if raster.alpha is not None:
        alpha = raster.alpha[..., None]
        colour = (colour if raster.premultiplied else colour * alpha) + (1 - alpha)
    if grey and colour.shape[-1] == 3:
        colour = (colour @ LUMA.astype(np.float32))[..., None]
    return np.clip(colour, 0, 1), note


def _scale(raster: Raster) -> tuple[NDArray[np.float32], str]:
    samples = raster.colour
    if raster.white is not None:
        note = describe_scale(samples, raster.white)
        if samples.dtype.itemsize > 2:  # float32 has no room for all of them
            return (samples / np.float64(raster.white)).astype(np.float32), note
        return samples.astype(np.float32) / np.float32(raster.white), note
    samples = samples.astype(np.float64)
    low, high = samples.min(), samples.max()
    scaled = ((samples - low) / max(high - low, 1e-300)).astype(np.float32)
    kind = "grey values" if samples.shape[-1] == 1 else "values"
    return scaled, f"has {kind} from {low:g} to {high:g}: rescaled to [0, 1]"
