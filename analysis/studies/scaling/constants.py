"""What this machine does in a second, by the package's own functions; medians of five, small sizes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkspec import gram, operator
from ntkspec.backend import CpuBackend, two_stage
from ntkspec.jacobian import Block, DenseFactor, Factor, Jacobian, SparseFactor
from ntkspec.kernel.panels import triangular_factor
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.krylov import largest
from ntkspec.spectral.solvers import SOLVERS

TIMES = 5
MEMORY = 4.0  # GiB, budget of what is measured here
TILED = 2048  # samples at which tiles are measured
WIDE, NARROW = 256, 8  # widths of dense factors
NODES, FINE, COARSE = 4, 2**20, 2**7  # lookups a sample; nodes of a level at which none meet, or many
ONE_STAGE, TWO_STAGE = 1536, 4096  # rows of matrices whose eigenvalues are measured, beside the smallest
FOLDED = 1024  # rows of triangular factors
APPLIED = 8192  # samples in products K v
KRYLOV, KEPT = 20_000, 100  # rows and eigenvalues of an operator that costs next to nothing
STEEP = 32  # width of factors with columns of falling size, whose kernel is of low numerical rank


@dataclass(frozen=True)
class Constants:
    """Seconds and rates of one machine; an entry of K is one that is computed, on or below the diagonal."""

    threads: int
    entry_s: float  # an entry of K: cleared, and stored twice
    block_s: float  # an entry and block of two dense factors, beside their products
    product_rate: float  # operations a second in products of dense factors, in tiles
    level_s: float  # an entry and level of a grid
    meeting_s: float  # a pair of samples that look up the same node
    one_stage_s: float  # eigenvalues of n rows take this times n^3, below `two_stage.SMALLEST` rows
    smallest_two_stage_s: float  # the same at that size, to see how well n^3 describes it
    two_stage_s: float  # the same at `TWO_STAGE` rows, from which larger sizes are predicted
    fold_rate: float  # operations a second where columns of J are folded into a triangle: 2 n^2 a column
    singular_s: float  # singular values of a triangle of n rows take this times n^3
    apply_rate: float  # operations a second in K v, of blocks of two dense factors: 4 a b a sample
    lookup_s: float  # a node that a sample looks up, in K v
    vector_s: float  # a row and an eigenvalue asked for, in each step of a Lanczos iteration
    low_rank_s: float  # the factorisation to rank r of N rows takes this times N r^2

    def solve_s(self, n: float) -> float:
        """Return the seconds of all eigenvalues of n rows."""
        return (self.one_stage_s if n < two_stage.SMALLEST else self.two_stage_s) * n**3


def measure(say: Callable[[str], None]) -> Constants:
    """Measure all of them, in one to three minutes; `say` is called with what is being measured."""
    known: dict[str, float] = {}
    for part in (_tiles, _eigenvalues, _singular_values, _products, _steps, _low_rank):
        say(f"measuring {part.__name__.strip('_').replace('_', ' ')}")
        known |= part(known)
    return Constants(threads=CpuBackend().workers, **known)


def median_s(work: Callable[..., Any], fresh: Callable[[], tuple[Any, ...]] = tuple) -> float:
    """Return the median seconds of five calls, after one that is not counted.

    Args:
        work: what is timed.
        fresh: makes its arguments anew for every call, untimed.
    """
    seconds = []
    for _ in range(1 + TIMES):
        arguments = fresh()
        start = time.perf_counter()
        work(*arguments)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def dense(n: int, width: int, seed: int = 0) -> DenseFactor:
    """Return a factor of normal numbers, one output."""
    return DenseFactor(np.random.default_rng(seed).standard_normal((n, 1, width)))


def lookups(n: int, nodes: int) -> SparseFactor:
    """Return a factor that looks up `NODES` of so many nodes at random."""
    rng = np.random.default_rng(0)
    indices = rng.integers(0, nodes, (n, NODES)).astype(np.int32)
    return SparseFactor(indices, rng.standard_normal((n, 1, NODES)), nodes)


def of_pairs(*pairs: tuple[Factor, Factor]) -> Jacobian:
    """Return a Jacobian with a block for each pair of factors."""
    blocks = (
        Block(f"block {i}", "network", left.samples, 1, left, right) for i, (left, right) in enumerate(pairs)
    )
    return Jacobian(tuple(blocks))


def _tiles(_: dict[str, float]) -> dict[str, float]:
    """Differences between kernels of one block and of three, of narrow blocks and wide ones."""
    n = TILED
    entries = n * (n + 1) / 2

    def seconds(*pairs: tuple[Factor, Factor]) -> float:
        jac = of_pairs(*pairs)
        return median_s(lambda: gram(jac, backend="cpu", memory=MEMORY))

    thin, wide = (dense(n, NARROW), dense(n, NARROW, 1)), (dense(n, WIDE), dense(n, WIDE, 1))
    fine, coarse = ((lookups(n, nodes), dense(n, 2)) for nodes in (FINE, COARSE))
    one, three, wider = seconds(thin), seconds(*[thin] * 3), seconds(wide)
    product_rate = entries * 4 * (WIDE - NARROW) / (wider - one)
    level, levels, meeting = seconds(fine), seconds(*[fine] * 3), seconds(coarse)
    block_s, level_s = (three - one) / 2 / entries, (levels - level) / 2 / entries
    return {
        "entry_s": max(level / entries - level_s, 0.0),
        "block_s": max(block_s - 4 * NARROW / product_rate, 0.0),
        "product_rate": product_rate,
        "level_s": max(level_s, 0.0),
        "meeting_s": max(meeting - level, 0.0) / entries / (NODES**2 * (1 / COARSE - 1 / FINE)),
    }


def _eigenvalues(_: dict[str, float]) -> dict[str, float]:
    engine = CpuBackend()

    def over_cube(n: int) -> float:
        rows = np.random.default_rng(0).standard_normal((n, 64))
        return median_s(engine.eigvalsh, lambda: (rows @ rows.T,)) / n**3

    return {
        "one_stage_s": over_cube(ONE_STAGE),
        "smallest_two_stage_s": over_cube(two_stage.SMALLEST),
        "two_stage_s": over_cube(TWO_STAGE),
    }


def _singular_values(_: dict[str, float]) -> dict[str, float]:
    n, width, engine = FOLDED, 64, CpuBackend()
    kernel = Kernel.from_jacobian(
        of_pairs((dense(n, width), dense(n, width, 1))), backend="cpu", memory=MEMORY
    )
    triangle = np.triu(np.random.default_rng(0).standard_normal((n, n)))
    return {
        "fold_rate": 2.0 * n**2 * width**2 / median_s(triangular_factor, lambda: (kernel,)),
        "singular_s": median_s(engine.singular_values, lambda: (triangle.copy(),)) / n**3,
    }


def _products(_: dict[str, float]) -> dict[str, float]:
    n = APPLIED
    vector = np.random.default_rng(0).standard_normal(n)
    seconds = []
    for pair in ((dense(n, WIDE), dense(n, WIDE, 1)), (lookups(n, COARSE), dense(n, 2))):
        product = operator(of_pairs(pair), backend="cpu", memory=MEMORY)
        seconds.append(median_s(product.matvec, lambda: (vector,)))
    return {"apply_rate": 4.0 * n * WIDE**2 / seconds[0], "lookup_s": seconds[1] / (n * NODES)}


def _steps(_: dict[str, float]) -> dict[str, float]:
    """What a Lanczos iteration takes beside its products, by an operator whose products cost nothing."""
    from scipy.sparse.linalg import LinearOperator

    values = np.arange(1.0, KRYLOV + 1) ** -2
    values /= values.sum()
    columns = 0

    def apply(vectors: Any) -> Any:
        nonlocal columns
        columns += 1 if vectors.ndim == 1 else vectors.shape[1]
        return (values * vectors.T).T

    diagonal = LinearOperator((KRYLOV, KRYLOV), matvec=apply, matmat=apply, dtype=np.dtype(np.float64))
    seconds = median_s(lambda: largest(diagonal, KEPT, 1e-13))
    return {"vector_s": seconds / (columns / (1 + TIMES)) / (KRYLOV * KEPT)}


def _low_rank(known: dict[str, float]) -> dict[str, float]:
    """The low-rank route, less what the entries of its rows take, and the eigenvalues at the end."""
    n, steep = TWO_STAGE, 10.0 ** np.linspace(0, -7, STEEP)
    left, right = (DenseFactor(dense(n, STEEP, seed).values[:] * steep) for seed in (0, 1))
    kernel = Kernel.from_jacobian(of_pairs((left, right)), backend="cpu", memory=MEMORY)
    solved = SOLVERS["cholesky"].solve(kernel)
    if solved is None:
        raise RuntimeError("the low-rank route declines the kernel that it is measured on")
    rank = int(np.count_nonzero(solved.eigenvalues))
    seconds = median_s(SOLVERS["cholesky"].solve, lambda: (kernel,))
    entry_s = known["entry_s"] + known["block_s"] + 4 * STEEP / known["product_rate"]
    rest = seconds - rank * n * entry_s - known["one_stage_s"] * rank**3
    return {"low_rank_s": rest / (n * rank**2)}
