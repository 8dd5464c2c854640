"""A kernel as it was formed in floating point, with a rigorous bound on every entry's rounding error.

With gamma_m = m u / (1 - m u), u = 2^-53, every inner product of length m, in any order and with or without
fused operations, is off by at most gamma_m |x|.|y| (Higham 2002, section 3.1). An entry of K is a sum over
blocks of products of two such, so that

    |fl(K)_ij - K_ij| <= gamma_m sum_blocks (|l_i|.|l_j|) (|r_i|.|r_j|) <= gamma_m f_i f_j,

f_i^2 = sum_blocks ||l_i||^2 ||r_i||^2 in absolute values, by the Cauchy-Schwarz inequality twice. m counts
all roundings behind an entry. Since f f^T <= sum(f) diag(f) as quadratic forms, K lies between
fl(K) - diag(margin) and fl(K) + diag(margin), margin = gamma_m sum(f) f.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ntkspec.gram import gram
from ntkspec.jacobian import Factor, Jacobian, Matrix, Outputs, check_outputs
from ntkspec.memory import budget_bytes, require
from ntkspec.operator import check_range
from ntkspec.sums import gamma

UNIT = 2.0**-53  # unit roundoff of double precision
TINIEST = 2.0**-1074  # what an underflow loses at most
KERNELS_HELD = 1.1  # what bounds take, in kernels: itself and a few panels of rows
UP = 1 + 1e-9  # covers the roundings of computing a bound itself: a few million at most


@dataclass(frozen=True)
class Formed:
    """A kernel in double precision and how far its entries may be off."""

    kernel: NDArray[np.float64]  # (N, N), exactly symmetric
    weights: NDArray[np.float64]  # (N,) f
    gamma: float  # |kernel - K| <= gamma f f^T + underflow, entry by entry
    underflow: float

    @property
    def size(self) -> int:
        """N."""
        return len(self.kernel)

    @property
    def margin(self) -> NDArray[np.float64]:
        """(N,) such that kernel - diag(margin) <= K <= kernel + diag(margin) as quadratic forms."""
        spread: NDArray[np.float64] = self.gamma * self.weights.sum() * self.weights
        return (spread + self.size * self.underflow) * UP


def form(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    memory: float | None = None,
    beside: int = 0,
) -> Formed:
    """The kernel of the Jacobian as stored, in double precision on the CPU, with its error.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: output mode.
        memory: budget in GiB, also for what bounds do with the kernel; default 80% of what is free.
        beside: further kernels that the caller will hold at the same time.

    Raises:
        MemoryBudgetError: the kernels and three times the factors do not fit.
        UsageError: numbers outside the range of double precision.
    """
    check_outputs(outputs, jacobian.outputs)
    need = int((KERNELS_HELD + beside) * 8 * jacobian.kernel_size(outputs) ** 2) + 3 * jacobian.nbytes
    require("bounds from the kernel", need, budget_bytes(memory), "raise --memory, or use fewer samples")
    check_range(jacobian, outputs)
    kernel = gram(jacobian, outputs, backend="cpu", memory=memory)
    roundings = forming_roundings(jacobian, outputs)
    weights, squares = np.zeros(len(kernel)), 0.0
    for block in jacobian:
        pair = block.absolute().compact().pair(outputs)
        left = np.ones(1) if pair.left is None else np.repeat(_row_norms(pair.left), pair.repeat)
        right = _row_norms(pair.right)
        weights = np.hypot(weights, left * right)
        squares += 1 + float(left.max()) ** 2 + float(right.max()) ** 2  # what an underflow is multiplied by
    return Formed(kernel, weights * UP, gamma(roundings), roundings * TINIEST * squares * UP)


def forming_roundings(jacobian: Jacobian, outputs: Outputs) -> int:
    """m: the roundings behind an entry of K at most, products, sums of collisions and of blocks included."""
    c = jacobian.outputs if outputs == "trace" else 1
    longest = max(_terms(block.left) + c * _terms(block.right) for block in jacobian)
    return longest + 2 * len(jacobian.blocks) + 3


def _row_norms(matrix: Matrix) -> NDArray[np.float64]:
    """(rows,) Euclidean norms of a matrix without negative numbers; scaled, so that no square underflows."""
    if not matrix.shape[1]:
        return np.zeros(matrix.shape[0])
    largest = np.asarray(matrix.max(axis=1).todense() if sp.issparse(matrix) else matrix.max(axis=1)).ravel()
    scale = np.where(largest > 0, largest, 1.0)
    if sp.issparse(matrix):
        scaled = sp.diags_array(1 / scale).tocsr() @ matrix
        squares = np.asarray(scaled.multiply(scaled).sum(axis=1)).ravel()
    else:
        scaled = matrix / scale[:, None]
        squares = np.einsum("iw,iw->i", scaled, scaled)
    norms: NDArray[np.float64] = scale * np.sqrt(squares)
    return norms


def _terms(factor: Factor | None) -> int:
    """Of an inner product of two rows; sparse entries may be sums of collisions, on both sides."""
    if factor is None:
        return 1
    return 3 * factor.entries if factor.sparse else factor.entries
