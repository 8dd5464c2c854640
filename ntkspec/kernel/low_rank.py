"""Compute a low-rank factorisation K = M^T M + rest by pivoted Cholesky, from some rows of K only.

Many kernels have low numerical rank. Of a trained network without encoding, for example, rounding may hide
all but an eighth of the eigenvalues. The rest is positive semidefinite, and its diagonal is known at every
step. So the eigenvalues of the r x r matrix M M^T are those of K up to the trace of the rest:

    lambda_i(M M^T) <= lambda_i(K) <= lambda_i(M M^T) + trace(rest)

The floor is the size below which rounding hides eigenvalues. Once the trace is small compared with the floor,
K has no further eigenvalues that could be resolved.

Pivots are drawn at random in blocks, with probabilities proportional to the diagonal of the rest (Chen,
Epperly, Tropp and Webber 2024, "Randomly pivoted Cholesky"). A pivot is dropped if the other rows of its
block nearly span its row.
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


@dataclass(frozen=True, eq=False)
class LowRank:
    """A factorisation K = M^T M + rest with a small, positive semidefinite rest."""

    rows: Array  # (r, N) M, a device array of float64
    rest: float  # upper bound on the trace of K - M^T M, rounding included
    roundings: int  # in the computation of an entry of M^T M


def largest_rank(size: int, repeat: int, budget: int) -> int:
    """Return the largest rank r to try for a kernel of this size, within a memory budget.

    M takes N r numbers and M M^T takes r^2. The rows that are being computed take three blocks of rows of
    length N.

    Args:
        size: N, the rows of the kernel.
        repeat: rows of the kernel per sample, which are drawn together.
        budget: bytes.
    """
    room = budget // 8 - 3 * _block(repeat) * size
    by_memory = int((math.sqrt(size**2 + 4 * max(room, 0)) - size) / 2)
    return min(int(LARGEST * size), by_memory)


def _block(repeat: int) -> int:
    """Return how many rows of the kernel are drawn at a time: about `BLOCK`, the rows of whole samples."""
    return max(BLOCK // repeat, 1) * repeat


def factorise(kernel: Kernel, floor: Callable[[float], float], most: int, entry_sums: int) -> LowRank | None:
    """Compute a factorisation whose rest is small against the floor, or None if that fails.

    It takes r N (a + b) multiplications per block of the Jacobian for the rows of K, and N r^2 for M.

    Each step draws its pivots on the host and drops some of them there, even if all other work is on a
    device. This copies N and BLOCK^2 numbers, which takes milliseconds; a rank of 4,000 takes about thirty
    steps. Larger blocks would need fewer steps, but more of their pivots would be dropped.

    Args:
        kernel: all of its factors are loaded.
        floor: returns the floor of this method for a given lambda_max.
        most: largest rank.
        entry_sums: number of roundings in the computation of an entry of K.
    """
    engine, size, repeat = kernel.backend, kernel.size, kernel.repeat
    block = _block(repeat)
    pairs = tiles.device_pairs(kernel.in_float64)
    rows = engine.xp.empty((most + block, size), np.float64)
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
    """Draw at most `most` distinct samples with probabilities proportional to their weights; ascending."""
    chances = weights / weights.sum()
    count = min(most, int(np.count_nonzero(chances)))
    return np.sort(rng.choice(len(chances), count, replace=False, p=chances))


def _column_squares(rows: Array) -> Array:
    """Compute the squared Euclidean norms of the columns."""
    slices = panels(len(rows), SQUARES)
    return pairwise(len(slices), lambda i, _: (rows[slices[i]] ** 2).sum(axis=0))


def _low_rank(rows: Array, rest: float, block: int) -> LowRank:
    """Return a `LowRank`, with the roundings of the elimination: over all earlier rows and within a block."""
    return LowRank(rows, rest, roundings(len(rows)) + 2 * min(block, len(rows)) + 4)


def _rows_of_rest(
    pairs: dict[str, Pair], samples: NDArray[np.intp], rows: Array, engine: Backend, repeat: int
) -> Array:
    """Compute the rows (m, N) of K - M^T M that belong to some samples; `rows` is M so far."""
    chosen = tiles.take(pairs, samples, engine)
    of_rest = engine.xp.empty((len(samples) * repeat, rows.shape[1]), np.float64)
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
    """Choose by pivoted Cholesky which rows of a block to keep.

    Args:
        rest: (m, m), the entries of the rest at the rows and columns of the block.
        noise: pivots below this number may consist of rounding errors only.

    Returns:
        The numbers (k,) of the rows to keep, and the triangular factor (k, k) of their part of the rest.
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
    """Estimate the rank at which the trace of the rest falls to a target.

    It is extrapolated from the decrease since half of the present rank, as if the decay were exponential.

    Args:
        traces: (rank, trace of the rest) after every step so far.
        target: the trace to reach.

    Example:
        >>> _expected_rank([(0, 1.0), (64, 1e-2), (128, 1e-4)], 1e-8)
        256.0
    """
    rank, trace = traces[-1]
    half_rank, half_trace = max((step for step in traces if step[0] <= rank / 2), default=traces[0])
    fall = math.log(half_trace / trace)
    return rank + math.log(trace / target) * (rank - half_rank) / fall if fall > 0 else math.inf
