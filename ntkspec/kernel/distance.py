"""The kernel distance of two kernels, which does not depend on their scales, computed in tiles.

    d(A, B) = 1 - <A, B>_F / (|A|_F |B|_F)

(Fort, Dziugaite, Paul, Kharaghani, Roy and Ganguli 2020, "Deep learning versus kernel learning"). If A and B
are alike, this formula loses digits by cancellation. The same number is, for A and B scaled to a trace of 1,
M = A - B and P = A + B,

    (<M, M> - <M, P>^2 / (|A| + |B|)^2) / (2 |A| |B|),    4 |A|^2, 4 |B|^2 = <M, M> + <P, P> +- 2 <M, P>,

which does not cancel: both terms are small where M is. One pass over pairs of tiles gives the three products.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Array, Backend, Choice, Precision
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel import tiles
from ntkspec.kernel.assembly import Assembly, overflow
from ntkspec.kernel.problem import Kernel, blocks_of

FIRST, OTHER = SIDES = ("first ", "other ")  # prefixes of the names of blocks and sums of both sides


def kernel_distance(
    first: Jacobian,
    other: Jacobian,
    outputs: Outputs = "trace",
    *,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    tile: int | None = None,
) -> float:
    """Compute the distance of two kernels' directions: 1 - <A, B> / (|A| |B|) in the Frobenius norm.

    Multiples of one kernel have distance 0. Neither kernel is formed as a whole, only pairs of tiles. The
    result d is off by at most e sqrt(2 d) + e^2 / 2, e being twice the sum of both kernels' relative errors
    (docs/method.md): for 1024 samples 2e-12 where d is 0.1, 1e-23 where it is 0.

    Args:
        first, other: Jacobians at the same n samples, of c outputs both; of one network or of two.
        outputs, precision, backend, memory, tile: as for `ntkspec.gram`; sums are in float64.

    Returns:
        A number from 0, the same kernel but for a factor, to 1, kernels without anything in common.

    Raises:
        UsageError: other numbers of samples or outputs, a kernel that is zero, or one with an overflow.
        MemoryBudgetError: the tiles at work and the factors of two samples do not fit.

    Source:
        Fort et al. 2020, "Deep learning versus kernel learning: an empirical study of loss landscape geometry
        and the time evolution of the neural tangent kernel".

    Example:
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> def jac(*rows): return Jacobian((Block("w", "network", 2, 1, None, DenseFactor(np.array(rows))),))
        >>> one, turned = jac([[1.0, 0.0]], [[0.0, 1.0]]), jac([[1.0, 0.0]], [[1.0, 0.0]])
        >>> kernel_distance(one, one), round(kernel_distance(one, turned), 4)
        (0.0, 0.2929)
    """
    _check_alike(first, other)
    kernel = Kernel.from_jacobian(first, outputs, precision=precision, backend=backend, memory=memory)
    distance = distances(kernel, {"total": first}, {"total": other}, tile)["total"]
    if distance is None:
        raise UsageError(
            "kernel distance",
            expected="two kernels that are not zero",
            got="one that is, or whose factors are too small to be squared",
            remedy="see that some parameter has a gradient, or rescale the model's outputs",
        )
    return distance


def distances(
    kernel: Kernel, first: Mapping[str, Jacobian], other: Mapping[str, Jacobian], tile: int | None = None
) -> dict[str, float | None]:
    """Compute the distances of sums of blocks of two Jacobians; every block's tile is computed once.

    Args:
        kernel: says outputs, precision, backend and budget.
        first, other: name -> blocks to add up, with the same names, at as many samples and outputs.
        tile: rows of a tile, as for `ntkspec.gram`.

    Returns:
        name -> distance, None where one of the kernels is zero; other errors as for `kernel_distance`.
    """
    parts = _beside(first, other)
    both = kernel.replaced(rows=Jacobian(tuple(blocks_of(parts).values())), columns=None)
    plan = Assembly.from_kernel(both, parts, tile, targets_given=True)
    scales = {name: _Scale.from_kernel(name, both.only(part)) for name, part in parts.items()}
    engine = both.backend
    names = [name for name in first if scales[FIRST + name].trace > 0 < scales[OTHER + name].trace]
    products: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}

    def work(pair: tuple[tiles.Strip, tiles.Strip]) -> dict[str, NDArray[np.float64]]:
        computed = tiles.compute(*pair, plan.groups, both)
        count = 1 if pair[0].start == pair[1].start else 2  # a tile below the diagonal stands for one above
        of_tiles = {}
        for name in names:
            a, b = (scales[side + name].scaled(computed[side + name]) for side in SIDES)
            of_tiles[name] = count * _products(a, b, engine)
        return of_tiles

    if names:
        for pairs in tiles.panel_pairs(both, plan.tiling):
            for of_tiles in engine.each(work, pairs):
                for name, of_tile in of_tiles.items():
                    products[name].append(of_tile)
    return {name: _distance(name, products[name]) if name in products else None for name in first}


@dataclass(frozen=True)
class _Scale:
    """The scaling of a kernel to a trace of 1, so that squares do not overflow and traces are equal."""

    exponent: int  # of a power of two: multiplying by it rounds nothing
    trace: float  # of the kernel times that power
    backend: Backend

    @staticmethod
    def from_kernel(name: str, kernel: Kernel) -> _Scale:
        """Choose the scaling by the kernel's diagonal, computed from the factors."""
        diagonal = kernel.diagonal
        if not np.isfinite(diagonal).all():
            raise _overflow(name)
        exponent = -math.frexp(float(diagonal.max()))[1]
        return _Scale(exponent, math.fsum(np.ldexp(diagonal, exponent)), kernel.backend)

    def scaled(self, tile: Array) -> Array:
        """Return the tile, scaled, as a new array in double precision."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            scaled = self.backend.xp.ldexp(tile.astype(np.float64), self.exponent)
            scaled /= self.trace
        return scaled


def _products(a: Array, b: Array, engine: Backend) -> NDArray[np.float64]:
    """Compute <M, M>, <M, P> and <P, P> (3,) of two tiles A and B, M = A - B and P = A + B; destroys A."""
    p = a + b
    m = a
    m -= b
    sums_of_rows = (engine.get(engine.row_sums(*pair)) for pair in ((m, m), (m, p), (p, p)))
    return np.array([math.fsum(sums) for sums in sums_of_rows])


def _distance(name: str, products: Sequence[NDArray[np.float64]]) -> float:
    """Compute the distance from the products (3,) of all pairs of tiles."""
    mm, mp, pp = (math.fsum(of_tiles) for of_tiles in zip(*products, strict=True))
    if not math.isfinite(pp):
        raise _overflow(name)
    a, b = (math.sqrt(max(mm + pp + sign * 2 * mp, 0.0)) / 2 for sign in (1, -1))  # |A| and |B|
    distance = (mm - (mp / (a + b)) ** 2) / (2 * a * b)
    return min(max(distance, 0.0), 1.0)  # only rounding leaves this range


def _beside(first: Mapping[str, Jacobian], other: Mapping[str, Jacobian]) -> dict[str, Jacobian]:
    """Return the sums of both sides as sums of blocks of one Jacobian, their names prefixed by the side."""
    parts: dict[str, Jacobian] = {}
    for side, sums in ((FIRST, first), (OTHER, other)):
        renamed = {name: replace(block, name=side + name) for name, block in blocks_of(sums).items()}
        for name, part in sums.items():
            parts[side + name] = Jacobian(tuple(renamed[block] for block in part.names))
    return parts


def _check_alike(first: Jacobian, other: Jacobian) -> None:
    """Raise `UsageError` where two Jacobians have different numbers of samples or outputs."""
    if (first.samples, first.outputs) != (other.samples, other.outputs):
        raise UsageError(
            "kernel distance",
            expected=f"two Jacobians of {first.samples} samples and {first.outputs} outputs",
            got=f"{other.samples} samples and {other.outputs} outputs in the second",
            remedy="give Jacobians of the same samples; jac.rows(indices) takes some of them",
        )


def _overflow(name: str) -> UsageError:
    """Make the error for a kernel with an overflow, by its name with the prefix of its side."""
    return overflow(name.removeprefix(FIRST).removeprefix(OTHER), "its precision")
