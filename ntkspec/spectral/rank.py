"""Exact facts: upper bounds on a kernel's rank. Eigenvalues beyond the rank are zero, not merely small.

Rank K = rank J, and the rank of J is at most

- the number of distinct rows of J (times c in mode full): samples in one place, or behind one dead layer;
- the number of its columns that are not zero throughout: touched nodes of grids, units that are not dead;
- for piecewise-linear networks, the sum over activation regions of what one region can hold.

In one region of a network of ReLU-like layers behind an encoding e(x), the gradient at each layer is
constant and each layer's input is affine in e (Montufar, Pascanu, Cho and Bengio 2014), so that all those
rows of J are linear in (e, 1): their rank is at most width(e) + 1. Of a grid whose gradient is constant
there, rows are linear in the interpolation weights: at most one dimension for each node touched.
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
    encoding = _encoding(jacobian)
    affine, grids, rest = [], [], []
    for block in jacobian:
        left, right = _loaded(block.left), _loaded(block.right)
        fixed = _is_constant(right, labels)
        if isinstance(left, SparseFactor) and fixed:
            grids.append(block)
        elif encoding is not None and (
            (fixed and _is_affine(left, encoding, labels, counts))
            or (left is None and _is_affine(right, encoding, labels, counts))
        ):
            affine.append(block)
        else:
            rest.append(block)
    most = encoding.shape[1] if affine and encoding is not None else 0
    touched = sum(_touched_by_region(block, labels) for block in grids)
    beside = sum(_columns(block, outputs) for block in rest)
    repeat = rows_per_sample(outputs, jacobian.outputs)
    found = []
    where = f"{len(counts)} activation region{'s' if len(counts) > 1 else ''}"
    other = f", and {beside} other columns of J" if beside else ""
    if grids:
        held = repeat * int(np.minimum(counts, most + touched).sum()) + beside
        reason = (
            f"{where}, each with min(samples, {most} + its touched nodes) independent rows at most{other}"
        )
        found.append(Rank(held, reason, of_network=True))
    if affine:
        once = beside + sum(_columns(block, outputs) for block in grids)
        held = repeat * int(np.minimum(counts, most).sum()) + once
        other = f", and {once} other columns of J" if once else ""
        rows = f"min({'' if repeat == 1 else f'{repeat} x '}samples, {repeat * most})"
        reason = f"{where}, each with {rows} independent rows at most{other}"
        found.append(Rank(held, reason, of_network=True))
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


def _is_affine(
    factor: LoadedFactor | None,
    encoding: NDArray[np.float64],
    labels: NDArray[np.intp],
    counts: NDArray[np.intp],
) -> bool:
    """Whether a factor is affine in the encoding within every region that is large enough to tell."""
    if factor is None:
        return True
    if isinstance(factor, SparseFactor):
        return False
    values = factor.values.reshape(len(labels), -1).astype(np.float64)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    for region in (region for region in members if len(region) > encoding.shape[1]):
        basis, rows = encoding[region], values[region]
        fitted = basis @ np.linalg.lstsq(basis, rows, rcond=None)[0]
        if not _close(fitted, rows, factor.dtype):
            return False
    return True


def _close(found: NDArray[Any], rows: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether each row is what it should be, but for rounding of its largest number."""
    apart = np.abs(found - rows).reshape(len(rows), -1).max(axis=1)
    return bool((apart <= TOLERANCE[dtype] * np.abs(rows).reshape(len(rows), -1).max(axis=1)).all())


def _touched_by_region(block: Block, labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """(regions,) nodes of a grid with a weight other than zero for some sample of the region."""
    grid = _loaded(block.left)
    assert isinstance(grid, SparseFactor)
    samples, entries = np.nonzero((grid.indices >= 0) & (grid.values[:, 0] != 0))
    pairs = np.unique(np.stack([labels[samples], grid.indices[samples, entries]]), axis=1)
    return np.bincount(pairs[0], minlength=int(labels.max()) + 1)


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
