"""Checks of our own numbers: the same thing computed twice, held against what rounding allows.

A check that fails means a fault in this program, in a library under it or in the machine; rounding alone
cannot break those of kernels (see `formed`), nor, with the margin described in docs/method.md, the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Backend
from ntkspec.errors import MemoryBudgetError
from ntkspec.gram import gram
from ntkspec.jacobian import (
    DenseFactor,
    Factor,
    Jacobian,
    LoadedFactor,
    Outputs,
    SparseFactor,
    rows_per_sample,
)
from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.formed import TINIEST, Formed
from ntkspec.spectral.positivity import Positivity
from ntkspec.spectral.solve import spectrum
from ntkspec.spectral.spectrum import Spectrum

PANEL = 256  # rows of two kernels that are compared at once
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Check:
    """Something that must be so, and how far it is."""

    name: str
    statement: str
    of: str  # name of the kernel
    worst: float  # largest departure, as a share of what rounding allows; more than 1 fails

    @property
    def holds(self) -> bool:
        """Whether the departure is within what rounding allows."""
        return self.worst <= 1


def of_spectrum(name: str, found: Spectrum) -> Iterator[Check]:
    """A spectrum against its trace and against what is known of its rank and of its regions."""
    if found.complete:
        apart = abs(float(found.eigenvalues.sum()) - found.trace)
        allowed = float(found.error.sum()) + found.size * EPS * found.trace + found.trace_error
        said = "the eigenvalues add up to the trace of the factors"
        yield Check("trace", said, name, _share(apart, allowed))
    if found.rank is not None and found.rank.at_most < found.size:
        said = f"at most {found.rank.at_most} eigenvalues are not zero ({found.rank.reason})"
        yield Check("rank", said, name, _share(int(np.count_nonzero(found.lower)), found.rank.at_most))
    known = found.regions
    if known is not None and known.independent < len(found.eigenvalues):
        said = f"eigenvalues beyond {known.independent} are at most {known.rest:.1e} ({known.reason})"
        yield Check("regions", said, name, _share(float(found.lower[known.independent]), known.rest))


def of_kernel(name: str, found: Positivity) -> Check:
    """Whether a formed kernel is positive semidefinite but for rounding."""
    said = "the kernel is positive semidefinite down to rounding"
    return Check("semidefinite", said, name, 0.0 if found.semidefinite else float("inf"))


def of_zeros(name: str, lower: Bound, found: Spectrum) -> Iterator[Check]:
    """Whether the certified lower bound is above what else is known of the smallest eigenvalue."""
    proved = float(lower.values[0])
    if found.singular:
        said = "a kernel that is called singular is not proved to be definite"
        yield Check("zeros", said, name, _share(proved, 0.0))
    elif found.regions is not None and found.regions.independent < found.size:
        said = "the smallest eigenvalue is not proved to be larger than what regions leave of it"
        yield Check("zeros", said, name, _share(proved, found.regions.rest))


def second_kernels(
    name: str, formed: Formed, part: Jacobian, outputs: Outputs, backend: Backend, memory: float | None
) -> Iterator[Check]:
    """The kernel block by block, with its samples reversed, and in other tiles. Memory: two kernels."""
    total = np.zeros_like(formed.kernel)
    for block in part:
        total += gram(replace(part, blocks=(block,)), outputs, backend=backend, memory=memory)
    said = "the blocks' kernels add up to it"
    yield Check("additivity", said, name, _departure(formed, total))
    del total
    reverse = gram(_reversed(part.load()), outputs, backend=backend, memory=memory)
    said = "row i times row j is row j times row i, computed apart"
    yield Check("symmetry", said, name, _departure(formed, _restored(reverse, part, outputs)))
    del reverse
    tile = max(min(backend.tile, len(formed.kernel)) // 3, 1)
    other = gram(part, outputs, backend=backend, memory=memory, tile=tile)
    yield Check("tiles", f"tiles of {tile} rows give the same", name, _departure(formed, other))


def second_route(
    name: str, found: Spectrum, part: Jacobian, outputs: Outputs, backend: Backend, memory: float | None
) -> Iterator[Check]:
    """The spectrum by another route, if one fits the memory budget."""
    for method in ("gram", "svd", "dual"):
        if method == found.method:
            continue
        try:
            second = spectrum(part, outputs, method=method, backend=backend, memory=memory)
        except MemoryBudgetError:
            continue
        apart = np.abs(second.eigenvalues - found.eigenvalues)
        worst = float(np.max([*map(_share, apart.tolist(), (second.error + found.error).tolist())]))
        said = f"{found.method} and {method} agree within their stated errors"
        yield Check("routes", said, name, worst)
        return


def _share(apart: float, allowed: float) -> float:
    if apart == 0:
        return 0.0
    return apart / allowed if allowed > 0 else float("inf")


def _departure(formed: Formed, other: NDArray[np.float64]) -> float:
    """The largest |formed - other| in units of what two roundings of the same kernel can differ by."""
    worst = 0.0
    for start in range(0, formed.size, PANEL):
        rows = slice(start, start + PANEL)
        allowed = 2 * (formed.gamma * np.outer(formed.weights[rows], formed.weights) + formed.underflow)
        allowed += TINIEST
        shares = np.abs(formed.kernel[rows] - other[rows]) / allowed
        worst = float(np.maximum(worst, np.max(shares)))  # which, other than Python's max, keeps NaN
    return worst


def _restored(reverse: NDArray[np.float64], part: Jacobian, outputs: Outputs) -> NDArray[np.float64]:
    """The kernel of reversed samples in the order of the samples; rows of one sample keep theirs."""
    repeat = rows_per_sample(outputs, part.outputs)
    cells = reverse.reshape(part.samples, repeat, part.samples, repeat)[::-1, :, ::-1, :]
    return cells.reshape(reverse.shape)


def _reversed(jacobian: Jacobian) -> Jacobian:
    return Jacobian(
        tuple(
            replace(block, left=_reversed_factor(block.left), right=_reversed_factor(block.right))
            for block in jacobian
        )
    )


def _reversed_factor(factor: Factor | None) -> LoadedFactor | None:
    if factor is None:
        return None
    loaded = factor.load()
    if isinstance(loaded, SparseFactor):
        return SparseFactor(loaded.indices[::-1], loaded.values[::-1], loaded.columns)
    return DenseFactor(loaded.values[::-1])
