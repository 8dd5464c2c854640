"""Bounds on the rank and on small eigenvalues, from the activation regions of a piecewise-linear network.

In one region of a network of ReLU-like layers behind an encoding e(x), the gradient at each layer is
constant and each layer's input is affine in e (Montufar, Pascanu, Cho and Bengio 2014), so that all those
rows of J are linear in (e, 1). So for the network in exact arithmetic, behind its encoding as stored,

    rank K <= sum over regions of min(samples, width(e) + 1) + columns of what is trained before e.

The stored J was rounded, so its rank may be larger. But it is close to a matrix J' of rank r, in which the
rows of a region are products Q C: Q is a basis of the directions among (e, 1, weights), and the weights are
the interpolation weights of those grids whose gradient is the same throughout a region. So

    lambda_{r+1}(K) <= ||J - J'||_F^2 = rest                     (Eckart and Young 1936; Weyl 1912),

which is evaluated with all its rounding errors and rounded upwards. The bound holds for any tolerances: they
only choose the directions, and the blocks that count as linear in the regions, and thereby r and the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.display import counted
from ntkspec.jacobian import Block, Factor, Jacobian, Outputs, rows_per_sample
from ntkspec.jacobian.sparse import distinct
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.rank import nonzero_columns
from ntkspec.summation import gamma

# As a share of a row's norm: a block whose rows are farther than this from those of J' does not keep to the
# regions. Blocks that keep to them stay below 3e-14 (double).
PLAUSIBLE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}
SPAN_FLOPS = 1e10  # for the independent directions of a region: beyond, all its rows count as independent
UNDERFLOW = float(np.finfo(np.float64).tiny)  # what the underflow of a square takes off at most
GRID = "grid"  # the role of what is trained before the encoding
UP = 1 + 1e-9  # covers the roundings of norms of up to some million numbers


@dataclass(frozen=True)
class Regions:
    """A bound on the rank of the network's kernel, and one on the small eigenvalues of the stored kernel.

    The rank of the kernel in exact arithmetic is at most `at_most`, if the regions in the file are right. The
    eigenvalues of the stored kernel satisfy lambda_{independent + 1} <= rest, whether they are right or not.
    """

    at_most: int
    reason: str
    independent: int
    rest: float
    disobeying: tuple[str, ...] = ()  # blocks that do not keep to the regions, and count by their columns


@dataclass(frozen=True, eq=False)
class _Span:
    """The independent inputs that the rows of J in one region are linear in."""

    rows: NDArray[np.intp]  # (m,) its samples
    exponents: NDArray[np.int64]  # (m, 1) powers of two that make the rows of one size
    basis: NDArray[np.float64] | None  # (m, rank) orthonormal, of the scaled rows; None: all are independent

    @property
    def rank(self) -> int:
        """Return how many independent inputs there are."""
        return len(self.rows) if self.basis is None else self.basis.shape[1]


def regions_of(kernel: Kernel) -> Regions | None:
    """Bound a kernel's rank as `regions` does; return None if its factors do not fit in memory."""
    return regions(kernel.rows, kernel.outputs) if kernel.facts_fit else None


def regions(jacobian: Jacobian, outputs: Outputs = "trace") -> Regions | None:
    """Bound the rank of J J^T and its small eigenvalues by the activation regions of the samples.

    A grid adds to the rank either its directions in each region or its nonzero columns; the smaller sum is
    used. The factors of the Jacobian are loaded into memory.

    Returns:
        None if the Jacobian has no regions, or neither a layer whose input is known nor a suitable grid.
    """
    if jacobian.regions is None:
        return None
    loaded = jacobian.load()
    _, labels, counts = np.unique(jacobian.regions, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    encoding = _encoding(loaded)
    grids = {
        block.name: block.left
        for block in loaded
        if block.left.nodes is not None and _is_constant(block, outputs, labels)
    }
    if encoding is None and not grids:
        return None
    alone = [_span(rows, encoding, [], loaded.dtype) for rows in members]
    ways = [_stored(loaded, outputs, labels, alone, frozenset(grids))]
    at_most, reason = _of_network(loaded, outputs, ways[0].disobeying, encoding, counts)
    if grids:
        spans = [_span(rows, encoding, list(grids.values()), loaded.dtype) for rows in members]
        ways.append(_stored(loaded, outputs, labels, spans, frozenset()))
    stored = min(ways, key=lambda way: way.independent)
    return Regions(at_most, reason, stored.independent, stored.rest, ways[-1].disobeying)


def _of_network(
    jacobian: Jacobian,
    outputs: Outputs,
    disobeying: Sequence[str],
    encoding: NDArray[np.float64] | None,
    counts: NDArray[np.intp],
) -> tuple[int, str]:
    """Bound the rank of the network's kernel: blocks behind the encoding by regions, others by columns.

    Returns the bound and the reason for it.

    A trained part of the encoding counts by its columns even if it nearly keeps to the regions: it may be any
    function of its parameters.
    """
    width = 0 if encoding is None else encoding.shape[1]
    behind = {block.name for block in jacobian if width and block.role != GRID} - set(disobeying)
    others = sum(nonzero_columns(block, outputs) for block in jacobian if block.name not in behind)
    independent = int(np.minimum(counts, width).sum()) if behind else 0
    repeat = rows_per_sample(outputs, jacobian.outputs)
    most = min(repeat * independent + others, jacobian.kernel_size(outputs))
    if not behind:
        return most, f"{others} nonzero columns of J"
    where, each = counted(**{"activation region": len(counts)}), " each" if len(counts) > 1 else ""
    beside = f", and {others} other columns of J" if others else ""
    author = "" if jacobian.regions_certain else ", by the writer's regions"
    return most, f"{where} with at most {repeat * width} independent rows{each}{beside}{author}"


@dataclass(frozen=True)
class _Stored:
    """A bound on the stored numbers: eigenvalues beyond `independent` are at most `rest`."""

    independent: int
    rest: float
    disobeying: tuple[str, ...]


def _stored(
    jacobian: Jacobian,
    outputs: Outputs,
    labels: NDArray[np.intp],
    spans: Sequence[_Span],
    apart: frozenset[str],
) -> _Stored:
    """Add up the directions of the regions, and the columns of blocks that are `apart` or do not obey."""
    lost = {block.name: _lost(block, outputs, labels, spans) for block in jacobian if block.name not in apart}
    plausible = PLAUSIBLE[jacobian.dtype]
    obeying = {name for name, loss in lost.items() if (loss.rows <= plausible * loss.norms).all()}
    others = sum(nonzero_columns(block, outputs) for block in jacobian if block.name not in obeying)
    repeat = rows_per_sample(outputs, jacobian.outputs)
    squares = (float((loss.rows**2).sum()) for name, loss in lost.items() if name in obeying)
    rest = sum(squares) * UP + jacobian.samples * UNDERFLOW
    independent = min(repeat * sum(span.rank for span in spans) + others, jacobian.kernel_size(outputs))
    return _Stored(independent, rest, tuple(name for name in lost if name not in obeying))


@dataclass(frozen=True, eq=False)
class _Loss:
    """Upper bounds on how far rows of a block's J are from linear images of what spans their regions."""

    rows: NDArray[np.float64]  # (n,) norms of the differences, over all outputs
    norms: NDArray[np.float64]  # (n,) norms of the rows themselves


def _lost(block: Block, outputs: Outputs, labels: NDArray[np.intp], spans: Sequence[_Span]) -> _Loss:
    """Bound what is lost of a block's rows l (x) r by taking (Q C) (x) r' for them.

    r' is the right factor of the region's first sample; l - Q C and r - r' are lost, and what rounding loses
    of l and r themselves where colliding entries are added up. In a block without a left factor, r itself is
    compared with Q C.
    """
    left = block.left
    right, absolute = (factor.vectors(outputs) for factor in (block.right, block.right.absolute()))
    if right is None or absolute is None:  # its columns would differ from sample to sample
        return _Loss(np.full(block.samples, np.inf), np.ones(block.samples))
    norms, rounded = _norms(right), gamma(block.right.collisions - 1) * _norms(absolute)
    if not left.arrays:
        lost = _residuals(lambda rows: right[rows], spans, block.samples) + rounded
    else:
        first = _first_of_region(right, labels)
        inputs = _residuals(left.compact_rows, spans, block.samples)
        sizes = _norms(left.absolute().rows_of_same_norm)  # of l, entries added up without their signs
        added = gamma(left.collisions - 1) * sizes
        lost = ((inputs + added) * _norms(first) + sizes * (_norms(right - first) + rounded)) * UP
        norms = sizes * norms
    within = np.zeros(block.samples, dtype=bool)  # samples of regions with fewer directions
    for span in spans:
        within[span.rows] = span.basis is not None
    return _Loss(np.where(within, lost, 0.0), norms)


def _is_constant(block: Block, outputs: Outputs, labels: NDArray[np.intp]) -> bool:
    """Return whether the block's right factor is plausibly the same for all samples of a region."""
    if not block.right.arrays:
        return True
    right = block.right.vectors(outputs)
    if right is None:
        return False
    apart = _norms(right - _first_of_region(right, labels))
    return bool((apart <= PLAUSIBLE[block.dtype] * _norms(right)).all())


def _first_of_region(right: NDArray[np.float64], labels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return for each sample the vector of the first sample of its region; (n, w)."""
    return right[np.unique(labels, return_index=True)[1]][labels]


def _residuals(
    vectors: Callable[[NDArray[np.intp]], NDArray[np.float64]], spans: Sequence[_Span], n: int
) -> NDArray[np.float64]:
    """Bound the norms of what is left of the vectors when their part in each span is taken out; (n,).

    Rows are scaled by powers of two, which is exact. The rounding errors of the products are included.

    Args:
        vectors: function of m samples that returns theirs (m, w).
        spans: of the regions.
        n: number of samples.
    """
    lost = np.zeros(n)
    for span in spans:
        if span.basis is None:
            continue
        scaled = np.ldexp(vectors(span.rows), -span.exponents)
        directions = span.basis.T @ scaled
        rest = _norms(scaled - span.basis @ directions)
        rounding = _norms(np.abs(span.basis) @ np.abs(directions))
        bounds = (rest + gamma(span.basis.shape[1] + 2) * rounding) * UP
        lost[span.rows] = np.ldexp(bounds, span.exponents[:, 0])
    return lost


def _span(
    rows: NDArray[np.intp], encoding: NDArray[np.float64] | None, grids: list[Factor], dtype: np.dtype[Any]
) -> _Span:
    """Find the independent directions among the inputs of a region's m samples.

    Rows and columns are scaled to one first, so that small ones count as much as large ones.
    """
    inputs = _inputs(rows, encoding, grids)
    if inputs is None:
        return _Span(rows, np.zeros((len(rows), 1), np.int64), None)
    largest = np.abs(inputs).max(axis=1, keepdims=True, initial=0)
    exponents = np.frexp(largest)[1].astype(np.int64)
    scaled = np.ldexp(inputs, -exponents)
    columns = np.abs(scaled).max(axis=0, initial=0)
    left, values, _ = np.linalg.svd(scaled[:, columns > 0] / columns[columns > 0], full_matrices=False)
    rank = int(np.count_nonzero(values > PLAUSIBLE[dtype] * values.max(initial=0)))
    return _Span(rows, exponents, left[:, :rank] if rank < len(rows) else None)


def _inputs(
    rows: NDArray[np.intp], encoding: NDArray[np.float64] | None, grids: list[Factor]
) -> NDArray[np.float64] | None:
    """Return what gradients of a region are linear in (m, w): encodings, and weights of the touched nodes.

    None where all rows count as independent: for a single sample, where nothing is known, and where finding
    the independent directions would cost too much.
    """
    m = len(rows)
    if m == 1:
        return None
    parts = [] if encoding is None else [encoding[rows]]
    nodes = sum(
        int(np.count_nonzero(distinct(grid.nodes[rows]) >= 0)) for grid in grids if grid.nodes is not None
    )
    w = nodes + sum(part.shape[1] for part in parts)
    if not (parts or grids) or m * w * min(m, w) > SPAN_FLOPS:
        return None
    return np.concatenate([*parts, *(grid.compact_rows(rows) for grid in grids)], axis=1)


def _encoding(jacobian: Jacobian) -> NDArray[np.float64] | None:
    """Return the input of the first layer and a column of ones (n, width + 1); None if it is not known."""
    columns = next((inputs for block in jacobian if (inputs := block.left.inputs) is not None), None)
    if columns is None:
        return None
    varying = columns[:, (columns != columns[0]).any(axis=0)]
    return np.column_stack([varying, np.ones(len(varying))])


def _norms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Euclidean norms of the rows (n,), rounded upwards; no square underflows or overflows."""
    largest = np.abs(rows).max(axis=1, initial=0)
    exponents = np.frexp(largest)[1].astype(np.int64)
    scaled = np.ldexp(rows, -exponents[:, None])
    norms: NDArray[np.float64] = np.ldexp(np.sqrt(np.einsum("nw,nw->n", scaled, scaled)) * UP, exponents)
    return norms
