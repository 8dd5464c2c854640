"""Reduce a symmetric matrix to a band with the same eigenvalues, by matrix products and in place.

A panel of b columns is brought to zero below the band by b reflections, Q = I - V T V^T; the rest of the
matrix becomes Q^T A Q = A - V W^T - W V^T with

    W = X - V (T^T (V^T X)) / 2,    X = A V T

(Bischof, Lang and Sun 2000, "A framework for symmetric band reduction"; W as in LAPACK's sytrd). The V and W
of several panels are collected and subtracted at once: products are then long enough for the device.
Meanwhile A stands for A - sum V_i W_i^T + W_i V_i^T, so what was collected is subtracted from each panel and
from each X when they are computed. The lower triangle is computed, and copied to the upper one.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

from ntkspec.backend.in_place import InPlace
from ntkspec.backend.protocol import Array

COLLECTED = 512  # columns of panels that are subtracted at once, at most
SHARE = 16  # strips of the update: more of them compute less above the diagonal, which is not needed
NARROWEST = 1024  # columns of a strip


class Panels(Protocol):
    """QR factorisation of panels of one width by Householder reflections."""

    width: int  # b

    def factor(self, panel: Array, v: Array, again: Array) -> Array:
        """Reduce a panel (m, b) to triangular form by reflections.

        Args:
            panel: becomes R on and above its diagonal; below, anything.
            v, again: (m, b) both become V, whose columns are the reflections' vectors.

        Returns:
            T (b, b), upper triangular: the product of the reflections is I - V T V^T.
        """
        ...


def collected(rows: int, width: int) -> int:
    """Choose how many columns of panels are subtracted at once from a matrix of `rows` rows."""
    return min(COLLECTED, max(rows // 32, 1) // width * width + width)


def to_band(matrix: Array, xp: ModuleType, panels: Panels, products: InPlace) -> Array:
    """Reduce a symmetric matrix (N, N), which is destroyed, to a band of b subdiagonals.

    About 4 N^3 / 3 operations; each element of the result is off by a few eps of the norm of the matrix.

    Args:
        matrix: with rows side by side; both triangles are there.
        xp: the array module.
        panels: factorises panels of b columns.
        products: in place.

    Returns:
        (N, 2 b) float64: row j holds the diagonal's number j and those below it, and b - 1 zeros.
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


@dataclass(frozen=True)
class _Work:
    """A reduction under way: A, and the V and W that were collected.

    `left` holds V_1, W_1, V_2, ... and `right` holds W_1, V_1, W_2, ... side by side.
    """

    matrix: Array
    left: Array
    right: Array
    xp: ModuleType
    panels: Panels
    products: InPlace

    def take_panel(self, start: int, used: int) -> None:
        """Reduce the panel that starts at a column to zero below the band, and append its V and W.

        Args:
            start: the column.
            used: columns of `left` and `right` so far.
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
        """Subtract the collected products from the rest of the matrix, which begins at row `start`."""
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
