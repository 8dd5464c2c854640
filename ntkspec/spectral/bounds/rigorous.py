"""Bounds on the smallest eigenvalue that no rounding error can break.

They speak of the exact kernel J J^T of the Jacobian as it is stored. The lower bound is what Cholesky
factorisations prove, see `ntkspec.spectral.certificate`. The upper bound is the Rayleigh quotient
||J^T v||^2 / ||v||^2 of any vector v, evaluated with its error.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from ntkspec.arguments.real_arrays import as_real
from ntkspec.backend import Backend
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs, Pair
from ntkspec.kernel.enclosure import (
    TINIEST,
    UP,
    KernelEnclosure,
    enclosure_of,
    forming_roundings,
    in_ieee_arithmetic,
)
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.term import TermOperator
from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.bounds.statement import Values, stated
from ntkspec.spectral.certificate import EXTRA_ROUNDINGS, CholeskyCertificate, positivity
from ntkspec.summation import gamma


def certified(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    memory: float | None = None,
) -> tuple[Bound, Bound]:
    """Return a certified lower and upper bound on lambda_min of J J^T; arguments and errors as for `form`.

    Example:
        >>> import ntkspec
        >>> with ntkspec.open_run("data/golden/ffe.h5") as run:
        ...     low, high = certified(run.snapshot("init").jacobian)
        >>> bool(0 <= low.values[0] < high.values[0])
        True
    """
    kernel = Kernel.from_jacobian(jacobian, outputs, backend="cpu", memory=memory)
    enclosure = enclosure_of(kernel)
    certificate = positivity(enclosure)
    return certified_lower(enclosure, certificate), certified_upper_of(kernel, certificate.vector)


@stated(
    "Certified lower bound",
    "lambda_min(K) >= s if the Cholesky factorisation of fl(K) - s I - margins runs to its end",
    source="Rump, BIT 46, 2006; Demmel 1989; Higham 2002, theorem 10.5",
    assumptions="IEEE double precision, no Strassen-like products; K of the Jacobian as stored",
    side="lower",
    quantity="lambda_min",
    certified=True,
)
def certified_lower(enclosure: KernelEnclosure, certificate: CholeskyCertificate | None = None) -> Values:
    """Bound lambda_min(K) >= s for the largest s that bisection over Cholesky factorisations proves.

    Args:
        enclosure: the kernel in double precision with its error, from `form`.
        certificate: `positivity(enclosure)`, if it is at hand.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its smallest eigenvalue is 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> bool(0.98 < certified_lower(exact).values[0] <= 1)
        True
    """
    value = (certificate or positivity(enclosure)).proved
    return np.array([value]), not value > 0


def certified_upper(jacobian: Jacobian, vector: ArrayLike, outputs: Outputs = "trace") -> Bound:
    """Bound lambda_min(K) <= ||J^T v||^2 / ||v||^2, with the rounding errors of J^T v added.

    The errors are squared with the norm, so the bound can fall to about (n eps)^2 trace(K), far below what
    the formed kernel resolves.

    Args:
        jacobian: blocks, in memory or in a run file.
        vector: (N,) v, any vector but zero.
        outputs: output mode.

    Raises:
        UsageError: the vector is zero, not of finite real numbers, or of another length.

    Example:
        >>> import ntkspec
        >>> with ntkspec.open_run("data/golden/ffe.h5") as run:
        ...     bound = certified_upper(run.snapshot("init").jacobian, np.ones(40))
        >>> bound.certified, bound.vacuous
        (True, True)
    """
    numbers = as_real(vector, "vector").astype(np.float64, copy=False)
    return certified_upper_of(Kernel.from_jacobian(jacobian, outputs, backend="cpu"), numbers)


@stated(
    "Certified upper bound",
    "lambda_min(K) <= ||J^T v||^2 / ||v||^2",
    source="Rayleigh quotient (Horn and Johnson, Matrix Analysis, theorem 4.2.2)",
    assumptions="IEEE double precision; K of the Jacobian as stored",
    side="upper",
    quantity="lambda_min",
    certified=True,
    name="certified_upper",
)
def certified_upper_of(kernel: Kernel, vector: NDArray[np.float64]) -> Values:
    """Bound lambda_min by the Rayleigh quotient of a vector (N,), on the CPU; see `certified_upper`."""
    kernel = in_ieee_arithmetic(kernel)
    rows = kernel.size
    if np.shape(vector) != (rows,) or not 0 < _norm(vector) < np.inf:
        raise UsageError(
            "vector",
            expected=f"{rows} finite numbers, not all zero",
            got=f"shape {np.shape(vector)}, norm {_norm(np.asarray(vector)):.1e}",
            remedy="leave the choice to ntkspec.bounds.certified",
        )
    if not any(term.nonzero for term in kernel.terms):
        return np.zeros(1), True  # exactly: J is zero, and nothing was rounded
    vector = vector / _norm(vector)
    growth = gamma(rows + forming_roundings(kernel))
    magnitudes = np.abs(vector)
    norm = 0.0
    for term in kernel.terms:
        spread = _norm_of_projection(term.uncancelled_pair, magnitudes, term.engine)
        error = growth * spread + rows * TINIEST * _entries(term.pair)
        norm = float(np.hypot(norm, (_norm_of_projection(term.pair, vector, term.engine) + error) * UP))
    value = float(np.nextafter(norm**2 / float(vector @ vector) * UP, np.inf))
    mean = kernel.trace / rows
    return np.array([value]), not value < mean


def _norm_of_projection(pair: Pair, vector: NDArray[np.float64], engine: Backend) -> float:
    """Return the norm, rounded upwards, of a block's part of J^T v as computed."""
    projected = TermOperator(pair, engine).transposed_times(engine.put(vector[:, None], np.float64))
    return _norm(engine.get(engine.numbers(projected)))


def _norm(values: NDArray[np.float64]) -> float:
    """Return the Euclidean norm, rounded upwards."""
    length = float(scipy.linalg.blas.dnrm2(values)) if values.size else 0.0  # scaled: no underflow
    return length * (1 + gamma(values.size + EXTRA_ROUNDINGS))


def _entries(pair: Pair) -> float:
    """Return the number of entries of J^T v times 1 + the largest absolute number in the factors of J.

    This times the smallest positive number bounds what underflow can take off J^T v.
    """
    matrices = [matrix for matrix in (pair.left, pair.right) if matrix is not None and matrix.shape[1]]
    largest = 1 + max((float(abs(matrix).max()) for matrix in matrices), default=0.0)
    width = (1 if pair.left is None else pair.left.shape[1]) * pair.right.shape[1]
    return float(width * largest)
