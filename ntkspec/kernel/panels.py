"""Compute the triangular factor R of J^T = Q R from panels of columns of J.

Singular values of J resolve eigenvalues of J J^T down to about eps^2 times the largest, while eigenvalues of
the kernel as a matrix are resolved down to eps times the largest. J is never in memory as a whole: its
columns are folded into R one panel after the other (Demmel, Grigori, Hoemmen and Langou 2012,
"Communication-optimal parallel and sequential QR and LQ factorizations", the sequential flat tree).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ntkspec.backend import Array
from ntkspec.kernel.problem import Kernel

NARROWEST = 128  # columns, at least: narrower panels take more folds, and time


def column_panels(kernel: Kernel, width: int) -> Iterator[Array]:
    """Yield the columns of J that samples touch, as dense device arrays (N, m), m <= `width`, all new."""
    for term in kernel.terms:
        yield from term.columns(width)


def triangular_factor(kernel: Kernel) -> Array:
    """Return R (N, N), upper triangular, with R^T R = J J^T, as a device array of float64."""
    size, engine, width = kernel.size, kernel.backend, kernel.fact(panel_width)
    triangle, waiting = engine.xp.zeros((size, size), np.float64), []
    for panel in column_panels(kernel, width):
        waiting.append(panel)
        del panel  # `waiting` has the only reference, so that `fold` can free the panel
        if sum(columns.shape[1] for columns in waiting) > width // 2:
            triangle = engine.fold(triangle, waiting)
    return engine.fold(triangle, waiting) if waiting else triangle


def folds(kernel: Kernel) -> int:
    """Return an upper bound on the number of calls of `Backend.fold`: the number of panels of J.

    All panels of a block but one are at least half full. Several panels may be folded in one call.
    """
    return len(kernel.rows.blocks) + 2 * kernel.touched_width // kernel.fact(panel_width)


def panel_width(kernel: Kernel) -> int:
    """Choose how many columns of J are folded at once.

    On a device the result depends on the memory that is free at the moment. So call this function only
    through `kernel.fact(panel_width)`, which keeps the first result: plans, stated errors and the computation
    must all use the same width.
    """
    room = kernel.room - factor_bytes(kernel)
    return max(kernel.backend.fold_columns(kernel.size, room), NARROWEST)


def triangle_bytes(kernel: Kernel) -> int:
    """Return the peak bytes of `triangular_factor`, without the factors of J."""
    return kernel.backend.fold_bytes(kernel.size, kernel.fact(panel_width))


def factor_bytes(kernel: Kernel) -> int:
    """Return the bytes of three copies of the largest block's factors: stored, compact, and on the device."""
    return 3 * max(block.nbytes for block in kernel.rows)
