"""A bound on lambda_min from the factors alone, by the Schur product theorem.

A block's kernel is the elementwise product of the Gram matrices P and Q of its two factors, and for positive
semidefinite P and Q

    lambda_min(P o Q) >= lambda_min(P) min_i Q_ii, and with P and Q exchanged

(Schur 1911; Horn and Johnson, Topics in Matrix Analysis, theorem 5.3.4). The smallest eigenvalue of a sum of
blocks is no smaller than the sum of their smallest eigenvalues (Weyl 1912).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ntkspec.backend import Backend, Choice
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, Jacobian, Ones, Outputs
from ntkspec.kernel.enclosure import UP
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.value_range import check_range
from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.bounds.statement import Values, stated
from ntkspec.spectral.choose import solve
from ntkspec.summation import gamma


def schur_product(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    backend: Choice | Backend = "auto",
    memory: float | None = None,
) -> Bound:
    """Bound lambda_min(K) >= sum over blocks of max(lambda_min(P) min_i Q_ii, lambda_min(Q) min_i P_ii).

    The eigenvalues of P and Q are computed, so the bound is as sure as their stated errors are. An unresolved
    lambda_min counts as 0; so does, without any work, that of a factor with fewer touched columns than rows.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: output mode; arguments and errors as for `ntkspec.spectrum`.

    Example:
        >>> import ntkspec
        >>> with ntkspec.open_run("data/golden/ffe.h5") as run:
        ...     bound = schur_product(run.snapshot("init").jacobian)
        >>> bound.side, bound.values.shape
        ('lower', (1,))
    """
    kernel = Kernel.from_jacobian(jacobian, outputs, backend=backend, memory=memory)
    check_range(kernel)
    return schur_product_of(kernel)


@stated(
    "Schur's product bound",
    "lambda_min(K) >= sum over blocks of max(lambda_min(P) min_i Q_ii, lambda_min(Q) min_i P_ii)",
    source="Schur 1911; Horn and Johnson, Topics in Matrix Analysis, theorem 5.3.4; Weyl 1912",
    assumptions="every block an elementwise product of P and Q, both positive semidefinite",
    side="lower",
    quantity="lambda_min",
    name="schur_product",
)
def schur_product_of(kernel: Kernel) -> Values:
    """Bound lambda_min of a kernel; see `schur_product`."""
    value = float(sum(_block_bound(term.compact, kernel) for term in kernel.terms))
    return np.array([value]), value <= 0


def _block_bound(block: Block, kernel: Kernel) -> float:
    n = block.samples
    p = replace(block, outputs=1, left=Ones(n, 1), right=block.left)
    q = replace(block, left=Ones(n, 1))
    p_gram = kernel.replaced(rows=Jacobian((p,)), outputs="trace")
    q_gram = kernel.replaced(rows=Jacobian((q,)))
    best = _smallest(q_gram) * _least_diagonal(p_gram)
    if kernel.repeat == 1:  # else a sample's rows share one row of P: it is singular
        best = max(best, _smallest(p_gram) * _least_diagonal(q_gram))
    return best


def _smallest(gram: Kernel) -> float:
    """Return a lower bound on lambda_min; 0 if it is not resolved."""
    if gram.touched_width < gram.size:
        return 0.0
    try:
        check_range(gram)
    except UsageError:  # squares leave the range of float64, though products with the other factor do not
        return 0.0
    spectrum = solve(gram)
    return float(spectrum.lower[-1]) if spectrum.lambda_min else 0.0


def _least_diagonal(gram: Kernel) -> float:
    """Return a lower bound on the diagonal; where entries of J collide, their sums are rounded."""
    least = np.minimum(gram.diagonal, np.finfo(np.float64).max)  # an entry that overflows is larger
    if gram.additions:
        roots = np.sqrt(least) - gamma(gram.additions) * np.sqrt(gram.absolute_diagonal)
        least = np.maximum(roots, 0.0) ** 2
    return float(least.min()) / UP
