"""Exact facts about the stored numbers: upper bounds on a kernel's rank.

Rank K = rank J, and the rank of J is at most

- the number of distinct rows of J that are not zero: samples at one place, or behind one dead layer, have
  the same row;
- the number of its columns that are not zero throughout: touched nodes of grids, units that are not dead.

Both compare numbers bit by bit, without any tolerance: eigenvalues beyond the rank are zero, not merely
small. For rows that are equal up to a tolerance see `ntkspec.spectral.regions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.display import counted
from ntkspec.jacobian import Block, Jacobian, Outputs, rows_per_sample
from ntkspec.kernel.problem import Kernel


@dataclass(frozen=True)
class Rank:
    """An upper bound on the rank of the kernel of the stored numbers, and the reason for it."""

    at_most: int
    reason: str


def rank_bound(jacobian: Jacobian, outputs: Outputs = "trace") -> Rank:
    """Find the smallest upper bound on rank K: its size, the distinct rows or the nonzero columns of J.

    Loads the factors into memory.

    Example:
        >>> import numpy as np
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> rows = DenseFactor(np.array([[[1.0, 2.0]], [[1.0, 2.0]], [[0.0, 3.0]]]))
        >>> rank_bound(Jacobian((Block("theta", "network", 3, 1, None, rows),)))
        Rank(at_most=2, reason='2 distinct rows of J')
    """
    loaded = jacobian.load()
    columns = sum(nonzero_columns(block, outputs) for block in loaded)
    rows, repeat = _distinct_rows(loaded, outputs), rows_per_sample(outputs, jacobian.outputs)
    reason = f"{counted(**{'distinct row': rows})} of J"
    if repeat > 1:
        reason += f" that {'are' if rows != 1 else 'is'} not zero"
    bounds = [
        Rank(jacobian.kernel_size(outputs), "no fact says less"),
        Rank(rows, reason),
        Rank(columns, f"{counted(**{'nonzero column': columns})} of J"),
    ]
    return min(bounds, key=lambda rank: rank.at_most)


def rank_of(kernel: Kernel) -> Rank:
    """Find an upper bound on a kernel's rank; it is the size N if the factors do not fit in memory."""
    if not kernel.facts_fit:
        return Rank(kernel.size, "not looked for: the factors do not fit the memory budget")
    return rank_bound(kernel.rows, kernel.outputs)


def nonzero_columns(block: Block, outputs: Outputs) -> int:
    """Count the columns of the block's J that are not zero throughout; in mode trace those of all outputs."""
    return block.left.nonzero_columns(0) * block.right.nonzero_columns(outputs)


def _distinct_rows(jacobian: Jacobian, outputs: Outputs) -> int:
    """Count rows of J that differ in some stored number and are not zero; 128-bit hashes tell them apart.

    A row whose key no other row has is not hashed. Where one factor of a block is zero, the numbers of the
    other do not matter: samples behind a layer that is dead for all of them have equal rows, even if the
    inputs of that layer differ. In mode full, all rows of a sample count as distinct from those of another
    sample as soon as any number differs.
    """
    kept = slice(None) if isinstance(outputs, str) else slice(outputs, outputs + 1)
    blocks = []
    for block in jacobian:
        zero = np.zeros((jacobian.samples, jacobian.outputs), dtype=bool)  # of the block's part of a row
        arrays: list[NDArray[Any]] = []
        for factor, outs in ((block.left, slice(None)), (block.right, kept)):
            zero |= ~factor.nonzero_entries.any(axis=2)
            arrays += [
                array[:, outs] if array.ndim > 2 and array.shape[1] > 1 else array  # others have no outputs
                for array in factor.arrays.values()
            ]
        blocks.append((zero[:, kept], arrays))
    empty = np.logical_and.reduce([zero for zero, _ in blocks])  # (n, outputs)

    def hashed(sample: int) -> bytes:
        """Return the hash of a sample's rows."""
        row = blake2b(digest_size=16)
        for zero, arrays in blocks:
            dead = bool(zero[sample].all())
            row.update(b"0" if dead else b"1")
            for array in () if dead else arrays:
                row.update(array[sample].tobytes())
        return row.digest()

    counted = (~empty).sum(axis=1) if outputs == "full" else (~empty.all(axis=1)).astype(np.intp)
    _, key, sharing = np.unique(_keys(blocks), return_inverse=True, return_counts=True)
    alone = sharing[key] == 1
    rest = {hashed(i): int(counted[i]) for i in np.flatnonzero(~alone & (counted > 0)).tolist()}
    return int(counted[alone].sum()) + sum(rest.values())


def _keys(blocks: Iterable[tuple[NDArray[np.bool_], list[NDArray[Any]]]]) -> NDArray[np.uint64]:
    """Give every row a key (n,) made of its numbers: rows of different keys differ, others rarely."""
    rng, keys = np.random.default_rng(0), np.zeros(1, np.uint64)
    for zero, arrays in blocks:
        alive = (~zero.all(axis=1)).astype(np.uint64)
        for array in arrays:
            rows = np.ascontiguousarray(array).reshape(len(array), -1)
            words = rows.view(f"u{rows.itemsize}")
            keys = keys + alive * (words @ rng.integers(1, 2**63, words.shape[1], np.uint64))
        keys = keys * np.uint64(3) + alive
    return keys
