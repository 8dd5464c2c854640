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
from ntkspec.jacobian import Block, DenseFactor, Jacobian, Outputs, check_outputs, rows_per_sample
from ntkspec.operator import diagonal
from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.factorised import touched_width
from ntkspec.spectral.formed import UP
from ntkspec.spectral.solve import spectrum


def schur_product(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    backend: Choice | Backend = "auto",
    memory: float | None = None,
) -> Bound:
    """lambda_min(K) >= sum over blocks of max(lambda_min(P) min_i Q_ii, lambda_min(Q) min_i P_ii).

    The eigenvalues of P and Q are computed, so the bound is as sure as their stated errors are. An unresolved
    lambda_min counts as 0; so does, without any work, that of a factor with fewer touched columns than rows.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: output mode; arguments and errors as for `ntkspec.spectrum`.
    """
    check_outputs(outputs, jacobian.outputs)
    value = sum(_block_bound(block, outputs, backend, memory) for block in jacobian)
    return Bound(
        name="schur_product",
        theorem="lambda_min(K) >= sum over blocks of max(lambda_min(P) min_i Q_ii, lambda_min(Q) min_i P_ii)",
        source="Schur 1911; Horn and Johnson, Topics in Matrix Analysis, theorem 5.3.4; Weyl 1912",
        assumptions="every block an elementwise product of P and Q, both positive semidefinite",
        side="lower",
        values=np.array([value]),
        vacuous=value <= 0,
        quantity="lambda_min",
    )


def _block_bound(block: Block, outputs: Outputs, backend: Choice | Backend, memory: float | None) -> float:
    n, c = block.samples, block.outputs
    left = block.left or DenseFactor(np.ones((n, 1, 1)))
    right = block.right or DenseFactor(np.ones((n, c, 1)))
    p = Jacobian((replace(block, outputs=1, left=None, right=left),))
    q = Jacobian((replace(block, left=None, right=right),))
    best = _smallest(q, outputs, backend, memory) * _least_diagonal(p, "trace")
    if rows_per_sample(outputs, c) == 1:  # else a sample's rows share one row of P: it is singular
        best = max(best, _smallest(p, "trace", backend, memory) * _least_diagonal(q, outputs))
    return best


def _smallest(gram: Jacobian, outputs: Outputs, backend: Choice | Backend, memory: float | None) -> float:
    """What lambda_min is at least; 0 if it is not resolved."""
    if touched_width(gram, outputs) < gram.kernel_size(outputs):
        return 0.0
    found = spectrum(gram, outputs, backend=backend, memory=memory)
    return float(found.lower[-1]) if found.lambda_min else 0.0


def _least_diagonal(gram: Jacobian, outputs: Outputs) -> float:
    return float(diagonal(gram, outputs).min()) / UP
