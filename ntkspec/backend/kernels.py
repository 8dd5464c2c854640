"""Numba kernels of the CPU backend."""

from __future__ import annotations

from typing import Any

import numba


def _jit(function: Any) -> Any:
    """Compile in parallel, cached on disk where there is a place for the cache."""
    try:
        return numba.njit(parallel=True, cache=True)(function)
    except RuntimeError:  # no writable place: compile anew in every process
        return numba.njit(parallel=True)(function)


@_jit
def add_at_nonzeros(
    tile: Any, indptr: Any, indices: Any, data: Any, right_i: Any, right_j: Any, repeat: int
) -> None:  # pragma: no cover - compiled
    """tile += left * (right_i right_j^T) at the nonzeros of `left`, a CSR Gram tile of a sparse factor.

    On fine grids few pairs of samples share a node, so most inner products on the right are never needed.
    """
    width = right_i.shape[1]
    for i in numba.prange(len(indptr) - 1):
        for at in range(indptr[i], indptr[i + 1]):
            j = indices[at]
            for o in range(i * repeat, (i + 1) * repeat):
                for q in range(j * repeat, (j + 1) * repeat):
                    total = tile[o, q] * 0
                    for w in range(width):
                        total += right_i[o, w] * right_j[q, w]
                    tile[o, q] += data[at] * total
