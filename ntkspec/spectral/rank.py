"""Exact facts: upper bounds on a kernel's rank. Eigenvalues beyond the rank are zero, not merely small.

Rank K = rank J, and the rank of J is at most

- the number of distinct rows of J (times c in mode full): samples in one place, or behind one dead layer;
- the number of its columns that are not zero throughout: touched nodes of grids, units that are not dead;
- for piecewise-linear networks, the sum over activation regions of what one region can hold.

In one region of a network of ReLU-like layers behind an encoding e(x), the gradient at each layer is
constant and each layer's input is affine in e (Montufar, Pascanu, Cho and Bengio 2014), so that all those
rows of J are linear in (e, 1). Of a grid whose gradient is constant there, rows are linear in the
interpolation weights. So a region holds no more independent rows than there are independent ones among
(e, 1, weights) at its samples: at most width(e) + 1 + nodes touched, and fewer where samples lie on a line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian import (
    Block,
    DenseFactor,
    Factor,
    Jacobian,
    LoadedFactor,
    Outputs,
    SparseFactor,
    rows_per_sample,
)

# Of the largest number of a sample's row: honest networks stay below 3e-14 (double) in what regions promise.
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}
SPAN_FLOPS = 1e10  # for the independent directions of a region: beyond, all its rows count as independent


@dataclass(frozen=True)
class Span:
    """What the rows of J in one region are linear in."""

    rows: NDArray[np.intp]  # (m,) its samples
    scale: NDArray[np.float64]  # (m, 1) of the rows, so that they are of one size
    rank: int  # independent directions, at most m
    basis: NDArray[np.float64] | None  # (m, rank) orthonormal, of the scaled rows; None: all are independent


@dataclass(frozen=True)
class Rank:
    """rank K <= at_most, and why.

    What distinct rows and nonzero columns say is exact for J as stored. What regions say is exact for the
    network; its stored numbers are rounded, and a spectrum that resolves more refutes it.
    """

    at_most: int
    reason: str
    of_network: bool = False  # by regions
    refuted: bool = False
    disobeying: tuple[str, ...] = ()  # blocks that do not keep to the regions, and count by their columns


def rank_bound(jacobian: Jacobian, outputs: Outputs = "trace") -> Rank:
    """The smallest upper bound on rank K that the blocks, and their regions if they have any, give.

    That a block obeys its regions is checked on its factors, row by row, to 1e-12 of a row's largest number
    (1e-5 in single precision); one that does not counts by its columns. Loads the factors.
    """
    loaded = jacobian.load()
    columns = sum(_columns(block, outputs) for block in loaded)
    distinct = _distinct(loaded)
    found = [
        Rank(jacobian.kernel_size(outputs), "no fact says less"),
        Rank(distinct * rows_per_sample(outputs, jacobian.outputs), f"{distinct} distinct rows of J"),
        Rank(columns, f"{columns} nonzero column{'s' if columns != 1 else ''} of J"),
    ]
    disobeying: tuple[str, ...] = ()
    if loaded.regions is not None:
        by_regions, disobeying = _by_regions(loaded, loaded.regions, outputs)
        found += by_regions
    return replace(min(found, key=lambda rank: rank.at_most), disobeying=disobeying)


def _by_regions(
    jacobian: Jacobian, regions: NDArray[np.int64], outputs: Outputs
) -> tuple[list[Rank], tuple[str, ...]]:
    """What all regions together can hold, grids counted region by region, then once by their columns.

    And the names of the blocks that do not obey.
    """
    _, labels, counts = np.unique(regions, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    encoding, dtype = _encoding(jacobian), jacobian.dtype
    fixed = {block.name for block in jacobian if _is_constant(_loaded(block.right), labels)}
    lefts = {block.name: _loaded(block.left) for block in jacobian if block.name in fixed}
    grids = {name: left for name, left in lefts.items() if isinstance(left, SparseFactor)}
    alone = None if encoding is None else [_span(rows, encoding[rows], dtype) for rows in members]
    spans = alone
    if grids:
        weights = list(grids.values())
        spans = [_span(rows, _inputs(encoding, weights, rows), dtype) for rows in members]
    dense = [block for block in jacobian if alone and block.name not in grids]
    affine = [block for block in dense if _obeys(block, block.name in fixed, spans)]
    obeying = {block.name for block in affine} | set(grids)
    rest = [block for block in jacobian if block.name not in obeying]
    beside = sum(_columns(block, outputs) for block in rest)
    repeat = rows_per_sample(outputs, jacobian.outputs)
    where = f"{len(members)} activation region{'s' if len(members) > 1 else ''}"
    found = []

    def hold(held: list[Span], what: str, others: int) -> None:
        other = f", and {others} other columns of J" if others else ""
        most = repeat * sum(span.rank for span in held) + others
        reason = f"{where}, each with no more independent rows than {what}{other}"
        found.append(Rank(most, reason, of_network=True))

    if grids and spans is not None:
        hold(spans, "encodings and interpolation weights", beside)
    if alone and affine and all(_obeys(block, block.name in fixed, alone) for block in affine):
        hold(
            alone,
            "encodings",
            beside + sum(_columns(block, outputs) for block in jacobian if block.name in grids),
        )
    return found, tuple(block.name for block in rest)


def _encoding(jacobian: Jacobian) -> NDArray[np.float64] | None:
    """(n, width + 1) the input of the first layer and a column of ones: what all else is linear in."""
    lefts = (_loaded(block.left) for block in jacobian)
    first = next((left for left in lefts if isinstance(left, DenseFactor)), None)
    if first is None:
        return None
    columns = first.values[:, 0, :].astype(np.float64)
    varying = columns[:, (columns != columns[0]).any(axis=0)]
    return np.column_stack([varying, np.ones(len(varying))])


def _is_constant(factor: LoadedFactor | None, labels: NDArray[np.intp]) -> bool:
    """Whether a right factor is the same for all samples of a region."""
    if factor is None:
        return True
    if isinstance(factor, SparseFactor):
        return False
    firsts = np.unique(labels, return_index=True)[1]
    return _close(factor.values[firsts][labels], factor.values, factor.dtype)


def _obeys(block: Block, fixed: bool, spans: list[Span] | None) -> bool:
    """Whether the block's rows of J are linear in what spans each region, if that is less than all rows."""
    left, right = _loaded(block.left), _loaded(block.right)
    factor = right if left is None else left if fixed else None
    if spans is None or not isinstance(factor, DenseFactor):
        return False
    values = factor.values.reshape(len(factor.values), -1).astype(np.float64)
    for span in spans:
        rows = values[span.rows] * span.scale
        if span.basis is not None and not _close(span.basis @ (span.basis.T @ rows), rows, factor.dtype):
            return False
    return True


def _span(rows: NDArray[np.intp], inputs: NDArray[np.float64] | None, dtype: np.dtype[Any]) -> Span:
    """The independent directions among the inputs (m, w) of a region, up to rounding; None: all rows are.

    Rows and columns are scaled to one first, so that small ones count as much as large ones.
    """
    m = len(rows)
    if m == 1 or inputs is None or not _affordable(m, inputs.shape[1]):
        return Span(rows, np.ones((m, 1)), m, None)
    largest = np.abs(inputs).max(axis=1, keepdims=True)
    scale = 1 / np.where(largest > 0, largest, 1.0)
    scaled = inputs * scale
    columns = np.abs(scaled).max(axis=0)
    left, values, _ = np.linalg.svd(scaled[:, columns > 0] / columns[columns > 0], full_matrices=False)
    rank = int(np.count_nonzero(values > TOLERANCE[dtype] * values[0]))
    return Span(rows, scale, rank, left[:, :rank] if rank < m else None)


def _inputs(
    encoding: NDArray[np.float64] | None, grids: list[SparseFactor], rows: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    """(m, w) what gradients of a region are linear in: encodings, and the weights of the touched nodes.

    None where they are so many that their directions would not be looked for.
    """
    parts = [] if encoding is None else [encoding[rows]]
    touched = [np.unique(grid.indices[rows], return_inverse=True) for grid in grids]
    if not _affordable(
        len(rows), sum(part.shape[1] for part in parts) + sum(len(each[0]) for each in touched)
    ):
        return None
    for grid, (nodes, column) in zip(grids, touched, strict=True):
        indices, weights = grid.indices[rows], grid.values[rows, 0].astype(np.float64)
        dense = np.zeros((len(rows), len(nodes)))
        np.add.at(dense, (np.arange(len(rows))[:, None], column.reshape(indices.shape)), weights)
        parts.append(dense[:, nodes >= 0])
    return np.concatenate(parts, axis=1)


def _affordable(m: int, w: int) -> bool:
    return m * w * min(m, w) <= SPAN_FLOPS


def _close(found: NDArray[Any], rows: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether each row is what it should be, but for rounding of its largest number."""
    apart = np.abs(found - rows).reshape(len(rows), -1).max(axis=1)
    return bool((apart <= TOLERANCE[dtype] * np.abs(rows).reshape(len(rows), -1).max(axis=1)).all())


def _columns(block: Block, outputs: Outputs) -> int:
    """Columns of the block's J that are not zero throughout; in mode trace those of all outputs count."""
    factor, right_factor = _loaded(block.left), _loaded(block.right)
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


def _distinct(jacobian: Jacobian) -> int:
    """Rows of J that differ in some stored number; they are told apart by 128-bit hashes.

    Where one factor of a block is zero the other says nothing: samples behind a layer that is dead for all of
    them have equal rows, though they differ in that layer's inputs.
    """
    blocks = []
    for block in jacobian:
        factors = [factor for factor in map(_loaded, (block.left, block.right)) if factor is not None]
        zero = np.zeros(jacobian.samples, dtype=bool)
        for factor in factors:
            zero |= ~(factor.values != 0).any(axis=(1, 2))
        arrays = [factor.values for factor in factors]
        arrays += [factor.indices for factor in factors if isinstance(factor, SparseFactor)]
        blocks.append((zero, arrays))

    def hashed(sample: int) -> bytes:
        row = blake2b(digest_size=16)
        for zero, arrays in blocks:
            row.update(b"0" if zero[sample] else b"1")
            for array in () if zero[sample] else arrays:
                row.update(array[sample].tobytes())
        return row.digest()

    return len({hashed(sample) for sample in range(jacobian.samples)})


def _loaded(factor: Factor | None) -> LoadedFactor | None:
    return None if factor is None else factor.load()
