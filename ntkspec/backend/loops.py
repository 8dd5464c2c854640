"""Numba kernels of the CPU backend. They release the GIL, so that threads can compute tiles in parallel."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from ntkspec.backend.arrays import Array

MIRROR = 32  # rows and columns of a patch that is transposed at once: it stays in the nearest cache

_compiling = threading.Lock()


def _kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a function at its first call, since importing Numba is slow.

    Numba's own threads are not used: a process that has started them must not be forked.
    """

    @functools.cache
    def compiled() -> Callable[..., None]:
        import numba

        try:  # cached on disk where there is a place for it
            return numba.njit(nogil=True, cache=True)(function)
        except RuntimeError:
            return numba.njit(nogil=True)(function)

    @functools.wraps(function)
    def call(*arguments: object) -> None:
        with _compiling:
            kernel = compiled()
        kernel(*arguments)

    return call


@_kernel
def add_product(tile: Array, left: Array, right: Array, repeat: int) -> None:  # pragma: no cover - compiled
    """Add left * right to a tile, elementwise; left is (ti, tj), the others (ti * repeat, tj * repeat)."""
    if repeat == 1:
        for i in range(tile.shape[0]):
            for j in range(tile.shape[1]):
                tile[i, j] += left[i, j] * right[i, j]
        return
    for i in range(tile.shape[0]):
        for j in range(left.shape[1]):
            factor = left[i // repeat, j]
            for q in range(j * repeat, (j + 1) * repeat):
                tile[i, q] += factor * right[i, q]


@_kernel
def add_sparse(
    tile: Array, sums: Array, rows: Array, columns: Array, right_i: Array, right_j: Array, repeat: int
) -> None:  # pragma: no cover - compiled
    """Add the elementwise product of two Gram matrices, left and right, to a tile, in place.

    The left factors are sparse. Pairs of samples (i, j) whose left rows have no common column are skipped.

    Args:
        tile: (ti * repeat, tj * repeat).
        sums: scratch array, (ti, tj) or larger; must be all zeros, and is all zeros again at the end.
        rows, columns: the left factors of the samples i and j, as `cpu.CsrRows.by_column` returns them.
        right_i, right_j: the right factors, (ti * repeat, w) and (tj * repeat, w).
        repeat: rows of the tile per sample.
    """
    columns_i, starts_i, samples_i, values_i = rows
    columns_j, starts_j, samples_j, values_j = columns
    for collect in (True, False):
        a = b = 0
        while a < len(columns_i) and b < len(columns_j):
            if columns_i[a] < columns_j[b]:
                a += 1
            elif columns_i[a] > columns_j[b]:
                b += 1
            else:
                for at in range(starts_i[a], starts_i[a + 1]):
                    i = samples_i[at]
                    for to in range(starts_j[b], starts_j[b + 1]):
                        j = samples_j[to]
                        if collect:
                            sums[i, j] += values_i[at] * values_j[to]
                        elif sums[i, j] != 0:  # 0 if used already: pairs may share columns
                            for o in range(i * repeat, (i + 1) * repeat):
                                for q in range(j * repeat, (j + 1) * repeat):
                                    total = tile[o, q] * 0
                                    for w in range(right_i.shape[1]):
                                        total += right_i[o, w] * right_j[q, w]
                                    tile[o, q] += sums[i, j] * total
                            sums[i, j] = 0
                a += 1
                b += 1


@_kernel
def store(kernel: Array, row: int, column: int, tile: Array) -> None:  # pragma: no cover - compiled
    """Copy a tile to kernel[row:, column:], and transposed to kernel[column:, row:]; see `Backend.store`."""
    height, width = tile.shape
    diagonal = row == column
    for i in range(height):
        for j in range(i + 1 if diagonal else width):
            kernel[row + i, column + j] = tile[i, j]
    for left in range(0, width, MIRROR):
        for top in range(left if diagonal else 0, height, MIRROR):
            for j in range(left, min(left + MIRROR, width)):
                for i in range(max(top, j) if diagonal else top, min(top + MIRROR, height)):
                    kernel[column + j, row + i] = tile[i, j]


@_kernel
def mirror(kernel: Array, start: int, stop: int) -> None:  # pragma: no cover - compiled
    """Copy the rows start:stop of the lower triangle to the columns start:stop of the upper triangle."""
    for top in range(start, stop, MIRROR):
        for left in range(0, top + 1, MIRROR):
            for j in range(left, min(left + MIRROR, stop)):
                for i in range(max(top, j + 1), min(top + MIRROR, stop)):
                    kernel[j, i] = kernel[i, j]


@_kernel
def absolute_product(
    kernel: Array, vector: Array, product: Array, start: int, stop: int
) -> None:  # pragma: no cover - compiled
    """Write the sum over j != i of |kernel_ij| vector_j to product[i], for the rows i of start:stop."""
    for i in range(start, stop):
        total = 0.0
        for j in range(i):
            total += abs(kernel[i, j]) * vector[j]
        for j in range(i + 1, kernel.shape[0]):
            total += abs(kernel[i, j]) * vector[j]
        product[i] = total
