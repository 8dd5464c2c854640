"""How fine a picture's pattern is, by its mean radial frequency, and which points are a picture's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from ntkspec.arguments.real_arrays import as_floats
from ntkspec.errors import UsageError

CONSTANT = 1e-12  # of the largest value: smaller differences in a picture are rounding
EVEN = 1e-3  # of the step between pixels: steps may differ by so much, as those of float32 do


@dataclass(frozen=True, eq=False)
class PixelGrid:
    """Points that are the pixels of a picture, each pixel once, in any order."""

    shape: tuple[int, int]  # (H, W)
    places: NDArray[np.intp]  # (H W,) pixel of each point, row * W + column; columns along x, rows along y

    @classmethod
    def from_points(cls, points: NDArray[Any]) -> PixelGrid | None:
        """Find the picture whose pixels are these points (n, 2); None if they are not the pixels of one.

        Example:
            >>> PixelGrid.from_points(np.array([[0.75, 0.5], [0.25, 0.5], [0.5, 0.5]])).places.tolist()
            [2, 0, 1]
        """
        if points.ndim != 2 or points.shape[1] != 2:
            return None
        (x, columns), (y, rows) = (np.unique(axis, return_inverse=True) for axis in points.T)
        places = rows * len(x) + columns
        whole = len(places) == len(x) * len(y) == len(np.unique(places))
        return cls((len(y), len(x)), places) if whole and _even(x) and _even(y) else None

    def picture(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the points (H W,) as a picture (H, W), its first row that of the smallest y."""
        picture = np.empty(len(values))
        picture[self.places] = values
        return picture.reshape(self.shape)


def radial_frequency(picture: ArrayLike) -> float | None:
    """Find the mean radial frequency of a picture, weighted by power, its mean taken away.

        sum |F(k)|^2 |k| / sum |F(k)|^2,    |k|^2 = k_x^2 + k_y^2 in cycles across the picture

    F is the cosine transform (type II): the Fourier transform of the picture and its mirror images, whose
    frequencies are the half cycles 0, 1/2, 1, ... A picture that is repeated instead jumps at its border,
    and the power of that jump falls off so slowly that the mean of a plain ramp would grow with the number
    of pixels. A window takes the jump away, too, but blurs every frequency by a cycle, which is all that the
    smoothest patterns have. Waves of another phase than a cosine's have a kink at the mirror: a sine of 5
    cycles comes out as 4.8, one of a single cycle as 0.8.

    Args:
        picture: (H, W), values at the centres of pixels.

    Returns:
        Cycles across the picture; 5 for cos(2 pi 5 x), 0.5 for half a wave; None where it is constant.

    Raises:
        UsageError: it is not a matrix of finite numbers.

    Source:
        N. Ahmed, T. Natarajan, K. R. Rao 1974, "Discrete cosine transform".

    Example:
        >>> x = (np.arange(32) + 0.5) / 32
        >>> round(radial_frequency(np.tile(np.cos(2 * np.pi * 5 * x), (32, 1))), 6)
        5.0
    """
    pixels = as_floats(picture, "picture").astype(np.float64, copy=False)
    if pixels.ndim != 2 or not pixels.size:
        raise UsageError(
            "picture",
            expected="numbers (H, W)",
            got=f"shape {pixels.shape}",
            remedy="give the values at all pixels, row by row",
        )
    pixels = np.ldexp(pixels, -np.frexp(np.abs(pixels).max())[1])  # exact; no square leaves the range
    varying = pixels - pixels.mean()
    if np.abs(varying).max() <= CONSTANT * np.abs(pixels).max():
        return None
    power = scipy.fft.dctn(varying, norm="ortho") ** 2
    down, across = (np.arange(size) / 2 for size in pixels.shape)
    return float((power * np.hypot(down[:, None], across)).sum() / power.sum())


def _even(axis: NDArray[Any]) -> bool:
    """Return whether ascending numbers have equal steps."""
    steps = np.diff(axis.astype(np.float64))
    return not steps.size or bool(np.ptp(steps) <= EVEN * steps.mean())
