"""Reduce a symmetric matrix to a band matrix with the same eigenvalues, in place, by matrix products.

In each panel of b columns, b reflections Q = I - V T V^T make the entries below the band zero. The rest of
the matrix becomes Q^T A Q = A - V W^T - W V^T with

    W = X - V (T^T (V^T X)) / 2,    X = A V T

(Bischof, Lang and Sun 2000, "A framework for symmetric band reduction"; W as in LAPACK's sytrd). The V and W
of several panels are collected and their products subtracted at once, because a device is faster at long
products. Until then the array holds A without these updates, so they are applied to each new panel and to
each X separately. Only the lower triangle is computed; it is copied to the upper one.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from ntkspec.backend.arrays import Array
from ntkspec.backend.in_place import DeviceInPlace

COLLECTED = 512  # most columns of V that are collected before they are subtracted
SHARE = 16  # strips of the update: more of them compute less above the diagonal, which is not needed
NARROWEST = 1024  # columns of a strip


class Panels(Protocol):
    """QR factorisation of panels of one width by Householder reflections."""

    width: int  # b

    def factor(self, panel: Array, v: Array, again: Array) -> Array:
        """Reduce a panel (m, b) to triangular form by reflections.

        Args:
            panel: overwritten by R on and above its diagonal; entries below are then arbitrary.
            v, again: (m, b), both overwritten by V, whose columns are the vectors of the reflections.

        Returns:
            T (b, b), upper triangular: the product of the reflections is I - V T V^T.
        """
        ...


def collected(rows: int, width: int) -> int:
    """Choose how many columns of V to collect before they are subtracted: about rows / 32.

    Args:
        rows: N, the rows of the matrix.
        width: b, the columns of a panel; the result is a multiple of it.
    """
    return min(COLLECTED, max(rows // 32, 1) // width * width + width)


def to_band(matrix: Array, xp: ModuleType, panels: Panels, products: DeviceInPlace) -> Array:
    """Reduce a symmetric matrix (N, N) to a band of b subdiagonals; the matrix is destroyed.

    It takes about 4 N^3 / 3 operations. Each entry of the result has an error of a few eps times the norm of
    the matrix.

    Args:
        matrix: C-contiguous, with both triangles filled.
        xp: the array module, NumPy or CuPy.
        panels: factorises panels of b columns.
        products: multiplies and transposes parts of the matrix.

    Returns:
        The band (N, 2 b) in float64. Row j holds entry (j, j) of the matrix, the b entries below it in
        column j, and b - 1 zeros.
    """
    size, width = len(matrix), panels.width
    at_once = collected(size, width)
    left, right = (xp.empty((size, 2 * at_once), matrix.dtype) for _ in range(2))
    work = _Work(matrix, left, right, xp, panels, products)
    start = 0
    while start + width < size - 1:
        done = 0
        while done < at_once and start + width < size - 1:
            work.take_panel(start, 2 * done)
            start, done = start + width, done + width
        work.subtract(start, 2 * done)
    return _band(matrix, width, xp)


@dataclass(frozen=True, eq=False)
class _Work:
    """The state of a reduction: the matrix A, and the V and W that were collected and not yet subtracted.

    `left` holds V_1, W_1, V_2, ... side by side, and `right` holds W_1, V_1, W_2, ...
    """

    matrix: Array
    left: Array
    right: Array
    xp: ModuleType
    panels: Panels
    products: DeviceInPlace

    def take_panel(self, start: int, used: int) -> None:
        """Make one panel zero below the band, and append its V and W to `left` and `right`.

        Args:
            start: first column of the panel.
            used: number of columns of `left` and `right` that are filled so far.
        """
        multiply, width = self.products.multiply, self.panels.width
        below, stop = start + width, used + width
        columns = self.matrix[start:, start:below]
        if used:
            multiply(columns, self.left[start:, :used], self.right[start:below, :used].T, -1.0, 1.0)
        v, again = self.left[below:, used:stop], self.right[below:, stop : stop + width]
        triangle = self.panels.factor(columns[width:], v, again)

        image, x = (self.xp.empty(v.shape, v.dtype) for _ in range(2))
        multiply(image, self.matrix[below:, below:], v)
        if used:
            inner = self.xp.empty((used, width), v.dtype)
            multiply(inner, self.right[below:, :used].T, v)
            multiply(image, self.left[below:, :used], inner, -1.0, 1.0)
        multiply(x, image, triangle)
        inner, turned = (self.xp.empty((width, width), v.dtype) for _ in range(2))
        multiply(inner, v.T, x)
        multiply(turned, triangle.T, inner)
        multiply(x, v, turned, -0.5, 1.0)
        self.left[below:, stop : stop + width] = x
        self.right[below:, used:stop] = x

    def subtract(self, start: int, used: int) -> None:
        """Subtract the collected V W^T + W V^T from the matrix, in the rows and columns from `start` on."""
        size = len(self.matrix)
        step = max((size - start) // SHARE, NARROWEST)
        for column in range(start, size, step):
            end = min(column + step, size)
            strip = self.matrix[column:, column:end]
            self.products.multiply(
                strip, self.left[column:, :used], self.right[column:end, :used].T, -1.0, 1.0
            )
            if end < size:
                self.products.transpose(self.matrix[column:end, end:], self.matrix[end:, column:end])


def _band(matrix: Array, width: int, xp: ModuleType) -> Array:
    size = len(matrix)
    band = xp.zeros((size, 2 * width), "float64")
    for place in range(min(width + 1, size)):
        band[: size - place, place] = xp.diagonal(matrix, -place)
    return band
