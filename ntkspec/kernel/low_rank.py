"""K = M^T M + rest from some of its rows, by pivoted Cholesky factorisation; nothing N x N is formed.

Many kernels are numerically of low rank: a trained baseline may resolve an eighth of its eigenvalues. Then
the eigenvalues of the r x r matrix M M^T are those of K to within the trace of the rest, which is positive
semidefinite and whose diagonal is known at every step:

    lambda_i(M M^T) <= lambda_i(K) <= lambda_i(M M^T) + trace(rest),    and K has nothing more to resolve
    once that trace is small against the floor.

Pivots are drawn a block at a time with probabilities proportional to the rest's diagonal (Chen, Epperly,
Tropp and Webber 2024, "Randomly pivoted Cholesky"); those that others of their block make superfluous are
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
LARGEST = 0.5  # of N: ranks from which the other routes are as fast
FIRST_LOOK = 2 * BLOCK  # rank at which it is first asked whether this is getting anywhere


@dataclass(frozen=True)
class LowRank:
    """A factorisation K = M^T M + rest, whose rest is positive semidefinite and small."""

    rows: Array  # (r, N) M, a device array of float64
    rest: float  # what the trace of K - M^T M is at most, rounding included
    roundings: int  # behind an entry of M^T M


def largest_rank(size: int, repeat: int, budget: int) -> int:
    """Return the rank up to which this route is tried for a kernel of this size, within a budget in bytes.

    Args:
        repeat: rows of the kernel per sample, which are drawn together.

    M takes N r numbers, the rows being worked on two blocks more, M M^T r^2.
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
    N and BLOCK^2 numbers come there, a matter of milliseconds, and a rank of 4,000 takes some thirty steps.
    Blocks of more rows would save steps, but draw more rows that others of their block make superfluous.

    Args:
        kernel: all its factors are loaded.
        floor: of the route, for a lambda_max.
        entry_sums: roundings behind an entry of K.
    """
    engine, left = kernel.backend, kernel.diagonal
    size, repeat = kernel.size, kernel.repeat
    pairs = tiles.device_pairs(kernel.in_float64)
    rows = engine.empty((most + _block(repeat), size), np.float64)
    noise = NOISE * float(np.finfo(np.float64).eps)
    full, trace = left, float(left.sum())
    lost = 0.0  # what rounding may hide of the rest's trace
    rng = np.random.default_rng(0)  # fixed, so that a run can be repeated
    rank, seen, wanted = 0, [(0, float(left.sum()))], 0.0
    while rank <= most:
        by_sample = left.reshape(-1, repeat).sum(axis=1)
        if not by_sample.any():
            break
        lost = gamma(entry_sums + roundings(_block(repeat), SQUARES) + len(seen)) * trace
        chances = by_sample / by_sample.sum()
        count = min(_block(repeat) // repeat, int(np.count_nonzero(chances)))
        drawn = np.sort(rng.choice(len(chances), count, replace=False, p=chances))
        new = _rows_of_rest(pairs, drawn, rows[:rank], engine, repeat)
        at = np.arange(size)[tiles.rows_of(drawn, repeat)]
        kept, triangle = _pivots(engine.get(new[:, at]), noise * float(full[at].max()))
        if not len(kept):  # nothing but rounding is left, and `lost` says how much that may be
            small = rank and seen[-1][1] <= lost
            return _low_rank(rows[:rank], seen[-1][1] + lost, _block(repeat)) if small else None
        found = engine.solve_lower(engine.put(triangle, np.float64), new[kept])
        rows[rank : rank + len(kept)] = found
        rank += len(kept)
        left = np.maximum(left - engine.get(_column_squares(found)), 0.0)
        left[at[kept]] = 0.0
        if not wanted:
            wanted = SHARE * floor(_largest(engine.get(found @ found.T)))
        seen.append((rank, float(left.sum())))
        if seen[-1][1] <= wanted:
            return _low_rank(rows[:rank], seen[-1][1] + lost, _block(repeat))
        if rank >= FIRST_LOOK and _expected_rank(seen, wanted) > most:
            break
    return None


def _column_squares(rows: Array) -> Array:
    """Compute the squared Euclidean norms of the columns."""
    slices = panels(len(rows), SQUARES)
    return pairwise(len(slices), lambda i, _: (rows[slices[i]] ** 2).sum(axis=0))


def _low_rank(rows: Array, rest: float, block: int) -> LowRank:
    """Return a `LowRank` with the roundings of an elimination, over earlier rows and in one block."""
    return LowRank(rows, rest, roundings(len(rows)) + 2 * min(block, len(rows)) + 4)


def _rows_of_rest(
    pairs: dict[str, Pair],
    drawn: NDArray[np.intp],
    rows: Array,
    engine: Backend,
    repeat: int,
) -> Array:
    """Compute the rows of K - M^T M (m, N) that belong to some samples."""
    chosen = tiles.take(pairs, drawn, engine)
    new = engine.empty((len(drawn) * repeat, rows.shape[1]), np.float64)
    samples = rows.shape[1] // repeat
    step = max(engine.tile // repeat, 1)

    def work(start: int) -> None:
        part = slice(start, min(start + step, samples))
        at = tiles.rows_of(part, repeat)
        tile = engine.scratch("rows", new[:, at].shape, np.float64)
        tile[...] = 0
        tiles.add_blocks(tile, pairs, chosen, tiles.take(pairs, part, engine), engine)
        new[:, at] = tile

    for _ in engine.each(work, range(0, samples, step)):
        pass
    if len(rows):
        at, slices = tiles.rows_of(drawn, repeat), panels(len(rows))
        new -= pairwise(len(slices), lambda i, _: rows[slices[i]][:, at].T @ rows[slices[i]])
    return new


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


def _expected_rank(seen: list[tuple[int, float]], wanted: float) -> float:
    """Estimate the rank at which the trace of the rest reaches `wanted`, from its fall in the latter half."""
    rank, rest = seen[-1]
    before, then = max((each for each in seen if each[0] <= rank / 2), default=seen[0])
    fallen = math.log(then / rest)
    return rank + math.log(rest / wanted) * (rank - before) / fallen if fallen > 0 else math.inf
