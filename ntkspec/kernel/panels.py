"""The columns of J, in panels, and the triangular factor that is computed from them.

Singular values of J resolve eigenvalues of J J^T down to about eps^2 of the largest; eigenvalues of the
formed kernel end at eps. J is never in memory as a whole: panel after panel of its columns is folded into the
triangular factor R of J^T = Q R (Demmel, Grigori, Hoemmen and Langou 2012, "Communication-optimal parallel
and sequential QR and LQ factorizations", the sequential flat tree).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ntkspec.backend import Array
from ntkspec.kernel.problem import Kernel

NARROWEST = 128  # columns, at least: narrower panels take more folds, and time


def column_panels(kernel: Kernel, width: int) -> Iterator[Array]:
    """Yield the touched columns of J as dense device panels (N, at most `width`), each a new array."""
    for term in kernel.terms:
        yield from term.columns(width)


def triangular_factor(kernel: Kernel) -> Array:
    """Return R (N, N), upper triangular, with R^T R = J J^T, as a device array of float64."""
    size, engine, width = kernel.size, kernel.backend, kernel.fact(panel_width)
    triangle, waiting = engine.zeros((size, size), np.float64), []
    for panel in column_panels(kernel, width):
        waiting.append(panel)
        del panel  # `waiting` has the only reference, so that `fold` can free the panel
        if sum(columns.shape[1] for columns in waiting) > width // 2:
            triangle = engine.fold(triangle, waiting)
    return engine.fold(triangle, waiting) if waiting else triangle


def folds(kernel: Kernel) -> int:
    """Count the panels into which J is cut, at most: all but one of each block are at least half full.

    Some may share a fold.
    """
    return len(kernel.rows.blocks) + 2 * kernel.touched_width // kernel.fact(panel_width)


def fold_sums(kernel: Kernel) -> int:
    """Return how many products a fold adds up at a time, see `Backend.fold_sums`."""
    return kernel.backend.fold_sums(kernel.size, kernel.fact(panel_width))


def panel_width(kernel: Kernel) -> int:
    """Choose how many columns of J are folded in at once.

    On a device the result depends on the memory that is free at the moment. So call it by
    `kernel.fact(panel_width)`, which asks once: plans, stated errors and the work itself must agree.
    """
    room = kernel.room - factor_bytes(kernel)
    return max(kernel.backend.fold_columns(kernel.size, room), NARROWEST)


def triangle_bytes(kernel: Kernel) -> int:
    """Return the peak bytes of `triangular_factor`, without the factors of J."""
    return kernel.backend.fold_bytes(kernel.size, kernel.fact(panel_width))


def factor_bytes(kernel: Kernel) -> int:
    """Return the bytes of the largest block's factors: as stored, compact, and on the device."""
    return 3 * max(block.nbytes for block in kernel.rows)
