"""Low-rank factorisation K = M^T M + rest from some rows of K, by pivoted Cholesky; K itself is not formed.

Many kernels are numerically of low rank: a trained baseline may resolve an eighth of its eigenvalues. Then
the eigenvalues of the r x r matrix M M^T are those of K to within the trace of the rest, which is positive
semidefinite and whose diagonal is known at every step:

    lambda_i(M M^T) <= lambda_i(K) <= lambda_i(M M^T) + trace(rest)

Once that trace is small against the floor, K has no further eigenvalues that could be resolved.

Pivots are drawn a block at a time with probabilities proportional to the rest's diagonal (Chen, Epperly,
Tropp and Webber 2024, "Randomly pivoted Cholesky"). A pivot that the others of its block make superfluous is
dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from ntkspec.backend import Array, Backend
from ntkspec.jacobian import Pair
from ntkspec.kernel import tiles
from ntkspec.kernel.problem import Kernel
from ntkspec.summation import gamma, pairwise, panels, roundings

BLOCK = 128  # rows of the kernel that are drawn at a time
KEEP = 0.001  # of the largest diagonal entry of a block's rest: pivots below it are dropped
NOISE = 8  # times eps K_ii: what rounding usually leaves of a diagonal entry of the rest
SQUARES = 16  # that are added in order
SHARE = 0.25  # of the floor: what the rest's trace may be
LARGEST = 0.5  # of N: at larger ranks the other routes are as fast
FIRST_LOOK = 2 * BLOCK  # rank at which the final rank is first estimated


@dataclass(frozen=True)
class LowRank:
    """A factorisation K = M^T M + rest, whose rest is positive semidefinite and small."""

    rows: Array  # (r, N) M, a device array of float64
    rest: float  # bound on the trace of K - M^T M, rounding included
    roundings: int  # behind an entry of M^T M


def largest_rank(size: int, repeat: int, budget: int) -> int:
    """Return the rank up to which this route is tried for a kernel of this size, within a budget in bytes.

    M takes N r numbers, M M^T r^2, and the rows at work three blocks of N.

    Args:
        size: N.
        repeat: rows of the kernel per sample, which are drawn together.
        budget: bytes.
    """
    room = budget // 8 - 3 * _block(repeat) * size
    by_memory = int((math.sqrt(size**2 + 4 * max(room, 0)) - size) / 2)
    return min(int(LARGEST * size), by_memory)


def _block(repeat: int) -> int:
    """Return how many rows are drawn at a time: those of some samples, or of one sample."""
    return max(BLOCK // repeat, 1) * repeat


def factorise(kernel: Kernel, floor: Callable[[float], float], most: int, entry_sums: int) -> LowRank | None:
    """Compute M with at most `most` rows whose rest is below the floor, or return None if that fails.

    Cost: r N (a + b) multiplications a block for the rows of K, N r^2 for M.

    Each step draws its pivots on the host and drops some of them there, also where all else is on a device:
    N and BLOCK^2 numbers are copied, a matter of milliseconds, and a rank of 4,000 takes some thirty steps.
    Larger blocks would save steps, but more of their rows would be superfluous.

    Args:
        kernel: all its factors are loaded.
        floor: returns the floor of this route for a lambda_max.
        most: rank, at most.
        entry_sums: roundings behind an entry of K.
    """
    engine, size, repeat = kernel.backend, kernel.size, kernel.repeat
    block = _block(repeat)
    pairs = tiles.device_pairs(kernel.in_float64)
    rows = engine.empty((most + block, size), np.float64)
    diagonal = rest = kernel.diagonal  # of K, and of the rest
    traces = [(0, float(rest.sum()))]  # of the rest, each after its rank
    rank, target = 0, 0.0
    rng = np.random.default_rng(0)  # fixed, so that a run can be repeated
    while rank <= most and rest.any():
        # What rounding may hide of the rest's trace.
        hidden = gamma(entry_sums + roundings(block, SQUARES) + len(traces)) * traces[0][1]
        samples = _draw(rest.reshape(-1, repeat).sum(axis=1), block // repeat, rng)
        drawn = np.arange(size)[tiles.rows_of(samples, repeat)]
        of_rest = _rows_of_rest(pairs, samples, rows[:rank], engine, repeat)
        noise = NOISE * float(np.finfo(np.float64).eps) * float(diagonal[drawn].max())
        kept, triangle = _pivots(engine.get(of_rest[:, drawn]), noise)
        if not len(kept):  # nothing but rounding is left
            small = rank and traces[-1][1] <= hidden
            return _low_rank(rows[:rank], traces[-1][1] + hidden, block) if small else None
        new = engine.solve_lower(engine.put(triangle, np.float64), of_rest[kept])
        rows[rank : rank + len(kept)] = new
        rank += len(kept)
        rest = np.maximum(rest - engine.get(_column_squares(new)), 0.0)
        rest[drawn[kept]] = 0.0
        traces.append((rank, float(rest.sum())))
        target = target or SHARE * floor(_largest(engine.get(new @ new.T)))  # lambda_max(K) is no smaller
        if traces[-1][1] <= target:
            return _low_rank(rows[:rank], traces[-1][1] + hidden, block)
        if rank >= FIRST_LOOK and _expected_rank(traces, target) > most:
            break
    return None


def _draw(weights: NDArray[np.float64], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw at most `most` different samples, with chances proportional to their weights; ascending."""
    chances = weights / weights.sum()
    count = min(most, int(np.count_nonzero(chances)))
    return np.sort(rng.choice(len(chances), count, replace=False, p=chances))


def _column_squares(rows: Array) -> Array:
    """Compute the squared Euclidean norms of the columns."""
    slices = panels(len(rows), SQUARES)
    return pairwise(len(slices), lambda i, _: (rows[slices[i]] ** 2).sum(axis=0))


def _low_rank(rows: Array, rest: float, block: int) -> LowRank:
    """Return a `LowRank` with the roundings of an elimination, over earlier rows and in one block."""
    return LowRank(rows, rest, roundings(len(rows)) + 2 * min(block, len(rows)) + 4)


def _rows_of_rest(
    pairs: dict[str, Pair], samples: NDArray[np.intp], rows: Array, engine: Backend, repeat: int
) -> Array:
    """Compute the rows of K - M^T M (m, N) that belong to some samples; `rows` are those of M so far."""
    chosen = tiles.take(pairs, samples, engine)
    of_rest = engine.empty((len(samples) * repeat, rows.shape[1]), np.float64)
    count = rows.shape[1] // repeat
    step = max(engine.tile // repeat, 1)

    def work(start: int) -> None:
        piece = slice(start, min(start + step, count))
        columns = tiles.rows_of(piece, repeat)
        tile = engine.scratch("rows", of_rest[:, columns].shape, np.float64)
        tile[...] = 0
        tiles.add_blocks(tile, pairs, chosen, tiles.take(pairs, piece, engine), engine)
        of_rest[:, columns] = tile

    for _ in engine.each(work, range(0, count, step)):
        pass
    if len(rows):
        drawn, slices = tiles.rows_of(samples, repeat), panels(len(rows))
        of_rest -= pairwise(len(slices), lambda i, _: rows[slices[i]][:, drawn].T @ rows[slices[i]])
    return of_rest


def _pivots(rest: NDArray[np.float64], noise: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Choose which rows of a block to keep, by pivoted Cholesky; return their numbers and triangular factor.

    Args:
        rest: (m, m) of the rest, at the rows of the block.
        noise: pivots below this may be nothing but rounding.
    """
    largest = float(rest.diagonal().max())
    tolerance = max(KEEP * largest, noise)
    if not largest > tolerance:
        return np.empty(0, np.intp), np.empty((0, 0))
    factor, order, rank, _ = scipy.linalg.lapack.dpstrf(rest, tol=tolerance, lower=1)
    kept = order[:rank].astype(np.intp) - 1
    triangle = np.tril(factor[:rank, :rank])
    return kept, triangle


def _largest(gram: NDArray[np.float64]) -> float:
    """Return the largest eigenvalue of a small symmetric matrix."""
    return float(scipy.linalg.eigh(gram, eigvals_only=True, check_finite=False)[-1])


def _expected_rank(traces: list[tuple[int, float]], target: float) -> float:
    """Estimate the rank at which the rest's trace reaches a target, from its fall in the latter half.

    Args:
        traces: of the rest so far, each after its rank.
        target: a trace.
    """
    rank, trace = traces[-1]
    half_rank, half_trace = max((step for step in traces if step[0] <= rank / 2), default=traces[0])
    fall = math.log(half_trace / trace)
    return rank + math.log(trace / target) * (rank - half_rank) / fall if fall > 0 else math.inf
