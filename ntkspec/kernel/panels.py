"""J itself, a range of columns at a time, and its triangular factor.

Singular values of J resolve eigenvalues of J J^T down to about eps^2 of the largest, where those of the
formed kernel end at eps. J is never held whole: the columns arrive in panels, and each panel is folded
into the triangular factor R of J^T = Q R (Demmel, Grigori, Hoemmen and Langou 2012, "Communication-optimal
parallel and sequential QR and LQ factorizations", the sequential flat tree).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ntkspec.kernel.problem import Kernel

PANELS = 8  # of as many columns as the kernel has rows
NARROWEST = 128  # but no fewer columns: long sums cost a QR digits, many folds cost it time


def column_panels(kernel: Kernel, width: int) -> Iterator[Any]:
    """Yield the touched columns of J as dense device panels (N, at most `width`), each a fresh array."""
    for term in kernel.terms:
        yield from term.columns(width)


def triangular_factor(kernel: Kernel) -> Any:
    """Return R (N, N), upper triangular, with R^T R = J J^T, as a device array of float64."""
    size, engine = kernel.size, kernel.backend
    triangle = engine.zeros((size, size), np.float64)
    for panel in column_panels(kernel, panel_width(size)):
        triangle = engine.fold(triangle, panel.T)
    return triangle


def folds(kernel: Kernel) -> int:
    """Count the panels of J at most; all but one a block are at least half full."""
    return len(kernel.rows.blocks) + 2 * kernel.touched_width // panel_width(kernel.size)


def panel_width(size: int) -> int:
    """Choose how many columns of J are folded in at once for a kernel of this size."""
    return max(size // PANELS, NARROWEST)


def triangle_bytes(size: int) -> int:
    """Return the bytes that `triangular_factor` needs at its peak for this size, factors apart."""
    return 8 * size * (2 * panel_width(size) + 2 * size)
