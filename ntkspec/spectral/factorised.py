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
import scipy.sparse as sp
from numpy.typing import NDArray

from ntkspec.backend import Backend
from ntkspec.jacobian import Block, Factor, Jacobian, Matrix, Outputs

PANEL = 8  # so many panels have as many columns as the kernel has rows
NARROWEST = 128  # but no fewer columns: long sums cost a QR digits, many folds cost it time


def touched_width(jacobian: Jacobian, outputs: Outputs) -> int:
    """Columns of J that some sample touches, an upper bound on the kernel's rank; reads sparse indices."""
    return sum(_touched(block, outputs) for block in jacobian)


def column_panels(jacobian: Jacobian, outputs: Outputs, width: int) -> Iterator[NDArray[np.float64]]:
    """The columns of J that some sample touches, as dense panels (N, at most `width`), each a fresh array."""
    for block in jacobian:
        pair = block.compact().pair(outputs)
        right, left = pair.right, pair.left
        for rights in _column_ranges(right.shape[1], width):
            part = _dense(right[:, rights])
            if left is None:
                yield part.copy()
                continue
            for lefts in _column_ranges(left.shape[1], max(width // part.shape[1], 1)):
                repeated = np.repeat(_dense(left[:, lefts]), pair.repeat, axis=0)
                yield np.einsum("na,nw->naw", repeated, part).reshape(len(part), -1)


def triangular_factor(jacobian: Jacobian, outputs: Outputs, backend: Backend) -> Any:
    """R (N, N), upper triangular, with R^T R = J J^T, as a device array of float64."""
    size = jacobian.kernel_size(outputs)
    triangle = backend.zeros((size, size), np.float64)
    for panel in column_panels(jacobian, outputs, panel_width(size)):
        triangle = backend.fold(triangle, backend.put(panel.T, np.float64))
    return triangle


def panel_width(size: int) -> int:
    """Columns of J that are folded in at once for a kernel of this size."""
    return max(size // PANEL, NARROWEST)


def triangle_bytes(size: int) -> int:
    """Bytes that `triangular_factor` needs at its peak for a kernel of this size, factors apart."""
    return 8 * size * (2 * panel_width(size) + 2 * size)


def _touched(block: Block, outputs: Outputs) -> int:
    left, right = (_touched_columns(factor) for factor in (block.left, block.right))
    return left * right * (block.outputs if outputs == "trace" else 1)


def _touched_columns(factor: Factor | None) -> int:
    """Of a dense factor all, and without reading it."""
    if factor is None:
        return 1
    return factor.load().compact().width if factor.sparse else factor.width


def _column_ranges(total: int, width: int) -> list[slice]:
    return [slice(start, min(start + width, total)) for start in range(0, total, width)]


def _dense(matrix: Matrix) -> NDArray[np.float64]:
    dense: NDArray[np.float64] = matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)
    return dense
