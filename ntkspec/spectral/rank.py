"""Exact facts about the stored numbers: upper bounds on a kernel's rank.

Rank K = rank J, and the rank of J is at most

- the number of distinct rows of J that are not zero: samples in one place, or behind one dead layer, are one;
- the number of its columns that are not zero throughout: touched nodes of grids, units that are not dead.

Both compare numbers bit by bit, without any tolerance: eigenvalues beyond the rank are zero, not merely
small. What lies within a tolerance is small, see `ntkspec.spectral.regions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian import (
    Block,
    DenseFactor,
    Jacobian,
    LoadedFactor,
    Outputs,
    SparseFactor,
    loaded_factor,
    rows_per_sample,
)


@dataclass(frozen=True)
class Rank:
    """rank K <= at_most, K the kernel of the numbers as they are stored, and why."""

    at_most: int
    reason: str


def rank_bound(jacobian: Jacobian, outputs: Outputs = "trace") -> Rank:
    """Find the smallest upper bound on rank K that rows and columns of J give; loads the factors.

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
    said = f"{rows} distinct rows of J" if repeat == 1 else f"{rows} distinct rows of J that are not zero"
    found = [
        Rank(jacobian.kernel_size(outputs), "no fact says less"),
        Rank(rows, said),
        Rank(columns, f"{columns} nonzero column{'s' if columns != 1 else ''} of J"),
    ]
    return min(found, key=lambda rank: rank.at_most)


def nonzero_columns(block: Block, outputs: Outputs) -> int:
    """Count the columns of the block's J that are not zero throughout; in mode trace those of all outputs."""
    factor, right_factor = loaded_factor(block.left), loaded_factor(block.right)
    left = 1 if factor is None else int(_nonzero(factor)[0].sum())
    if right_factor is None:
        return left
    right = _nonzero(right_factor)
    if outputs == "trace":
        return left * int(right.sum())
    return left * int((right.any(axis=0) if outputs == "full" else right[outputs]).sum())


def _nonzero(factor: LoadedFactor) -> NDArray[np.bool_]:
    """(c, width) where any sample has a number other than zero; of sparse ones the touched columns alone."""
    if isinstance(factor, DenseFactor):
        return np.asarray((factor.values != 0).any(axis=0))
    compact = factor.compact()
    found = np.zeros((factor.outputs, compact.columns), dtype=bool)
    samples, output, entries = np.nonzero((compact.indices >= 0)[:, None, :] & (compact.values != 0))
    found[output, compact.indices[samples, entries]] = True
    return found


def _distinct_rows(jacobian: Jacobian, outputs: Outputs) -> int:
    """Count rows of J that differ in some stored number and are not zero; 128-bit hashes tell them apart.

    Where one factor of a block is zero the other says nothing: samples behind a layer that is dead for all of
    them have equal rows, though they differ in that layer's inputs. In mode full, a sample's rows count apart
    where any of its numbers differ from those of another sample.
    """
    kept = slice(None) if isinstance(outputs, str) else slice(outputs, outputs + 1)
    blocks = []
    for block in jacobian:
        left, right = loaded_factor(block.left), loaded_factor(block.right)
        zero = np.zeros((jacobian.samples, jacobian.outputs), dtype=bool)  # of the block's part of a row
        arrays: list[NDArray[Any]] = []
        for factor, outs in ((left, slice(None)), (right, kept)):
            if factor is None:
                continue
            zero |= ~_entries(factor).any(axis=2)
            arrays.append(factor.values[:, outs])
            if isinstance(factor, SparseFactor):
                arrays.append(factor.indices)
        blocks.append((zero[:, kept], arrays))
    empty = np.logical_and.reduce([zero for zero, _ in blocks])  # (n, outputs)

    def hashed(sample: int) -> bytes:
        row = blake2b(digest_size=16)
        for zero, arrays in blocks:
            dead = bool(zero[sample].all())
            row.update(b"0" if dead else b"1")
            for array in () if dead else arrays:
                row.update(array[sample].tobytes())
        return row.digest()

    counts = {hashed(i): int((~empty[i]).sum()) for i in range(jacobian.samples) if not empty[i].all()}
    return sum(counts.values()) if outputs == "full" else len(counts)


def _entries(factor: LoadedFactor) -> NDArray[np.bool_]:
    """(n, c, entries) where a stored number counts: it is not zero, and no padding."""
    numbers = np.asarray(factor.values != 0)
    return numbers & (factor.indices >= 0)[:, None, :] if isinstance(factor, SparseFactor) else numbers
