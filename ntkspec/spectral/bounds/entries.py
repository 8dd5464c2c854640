"""Gershgorin's discs: bounds from the entries of a kernel.

For any positive vector d, D^-1 K D has the eigenvalues of K, and each of them lies in one of the discs

    |lambda - K_ii| <= R_i(d) / d_i,    R_i(d) = sum_{j != i} |K_ij| d_j

(Gershgorin 1931; with a scaling, Horn and Johnson, Matrix Analysis, 2nd edition, corollary 6.1.6). The best d
is the Perron vector of |K| for the upper end, whose optimum is lambda_max(|K|), and the vector of the
smallest eigenvalue of the comparison matrix 2 diag(K) - |K| for the lower end, whose optimum is that
eigenvalue (Collatz 1942; Wielandt 1950).

The same code finds both ends, as the upper end of discs about centres c: c = diag(K) for the upper end, and
c = -diag(K) for the lower one. The computed kernel has errors: |K_ij| <= |kernel_ij| + gamma f_i f_j +
underflow. They are added to R, also those of the diagonal, so that the ends hold for the exact K. With d = 1
they add up to the margin of `KernelEnclosure`; where d fits a kernel graded over many decades, they add up to
far less. All sums have terms of one sign and are rounded up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ntkspec.kernel.enclosure import TINIEST, UNIT, KernelEnclosure
from ntkspec.spectral.bounds.record import Side
from ntkspec.spectral.bounds.statement import Values, stated
from ntkspec.summation import gamma

SOURCE = "Gershgorin 1931; Horn and Johnson, Matrix Analysis, 2nd edition, 6.1.1 and 6.1.6"
SYMMETRIC = "K symmetric"
PASSES, ENTRIES = 40, 1e9  # over the kernel, to find d; of a large one fewer, down to 8
SETTLED = 1e-9  # change of d that ends the search
SMALLEST = 1e-50  # entry of d: R(d) stays far from underflow


@stated(
    "Gershgorin's lower bound",
    "lambda_i(K) >= min_j K_jj - sum_{l != j} |K_jl|",
    source=SOURCE,
    assumptions=SYMMETRIC,
    side="lower",
    computed_from="kernel",
)
def gershgorin_lower(enclosure: KernelEnclosure) -> Values:
    """Bound all eigenvalues from below by the lowest end of Gershgorin's discs.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its eigenvalues are 3 and 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> gershgorin_lower(exact).values.round(6)
        array([1., 1.])
    """
    return _values(enclosure, "lower", _plain_end(enclosure, "lower"))


@stated(
    "Gershgorin's upper bound",
    "lambda_i(K) <= max_j K_jj + sum_{l != j} |K_jl|",
    source=SOURCE,
    assumptions=SYMMETRIC,
    side="upper",
    computed_from="kernel",
)
def gershgorin_upper(enclosure: KernelEnclosure) -> Values:
    """Bound all eigenvalues from above by the highest end of Gershgorin's discs.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its eigenvalues are 3 and 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> gershgorin_upper(exact).values.round(6)
        array([3., 3.])
    """
    return _values(enclosure, "upper", _plain_end(enclosure, "upper"))


@stated(
    "Gershgorin's lower bound, scaled",
    "lambda_i(K) >= min_j K_jj - sum_{l != j} |K_jl| d_l / d_j, d > 0",
    source=SOURCE,
    assumptions=SYMMETRIC,
    side="lower",
    computed_from="kernel",
)
def gershgorin_scaled_lower(enclosure: KernelEnclosure) -> Values:
    """Bound all eigenvalues from below by the discs of D^-1 K D; never below `gershgorin_lower`.

    d, the diagonal of D, is found by iteration.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its eigenvalues are 3 and 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> gershgorin_scaled_lower(exact).values.round(6)
        array([1., 1.])
    """
    return _values(enclosure, "lower", _scaled_end(enclosure, "lower"))


@stated(
    "Gershgorin's upper bound, scaled",
    "lambda_i(K) <= max_j K_jj + sum_{l != j} |K_jl| d_l / d_j, d > 0",
    source=SOURCE,
    assumptions=SYMMETRIC,
    side="upper",
    computed_from="kernel",
)
def gershgorin_scaled_upper(enclosure: KernelEnclosure) -> Values:
    """Bound all eigenvalues from above by the discs of D^-1 K D; never above `gershgorin_upper`.

    d, the diagonal of D, is found by iteration.

    Example:
        >>> kernel = np.array([[2.0, 1.0], [1.0, 2.0]])  # its eigenvalues are 3 and 1
        >>> exact = KernelEnclosure(kernel, weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> gershgorin_scaled_upper(exact).values.round(6)
        array([3., 3.])
    """
    return _values(enclosure, "upper", _scaled_end(enclosure, "upper"))


def _plain_end(enclosure: KernelEnclosure, side: Side) -> float:
    return float(_ends(enclosure, side, np.ones(enclosure.size))[0].max())


def _scaled_end(enclosure: KernelEnclosure, side: Side) -> float:
    """Return the smallest upper end of the discs about c that an iteration over d finds.

    It starts from d = 1 or from d_i = K_ii^(1/2), for the lower side K_ii^(-1/2), whichever is better. Let
    t = max_i (c_i + R_i(d) / d_i) be the upper end for d. Then R_i(d) <= (t - c_i) d_i. Each step replaces
    d_i by sqrt(d_i R_i(d) / (t - c_i)), which is at most d_i. By the Cauchy-Schwarz inequality the new d
    satisfies the same inequality, so t never increases. The divisor t - c_i differs from row to row, which
    suits kernels with diagonals of many magnitudes. The square root prevents oscillation between two
    vectors, which power iteration shows for a bipartite pattern.
    """
    starts = (np.ones(enclosure.size), _roots(enclosure, side))
    best, d = min(
        ((float(_ends(enclosure, side, d)[0].max()), d) for d in starts), key=lambda start: start[0]
    )
    for _ in range(int(np.clip(ENTRIES / enclosure.size**2, 8, PASSES))):
        ends, reach = _ends(enclosure, side, d)
        best = min(best, float(ends.max()))
        step = np.sqrt(reach / (ends.max() - ends + reach))
        if step.min() > 1 - SETTLED:
            break
        d = d * step
        d = np.maximum(d / d.max(), SMALLEST)
    return best


def _roots(enclosure: KernelEnclosure, side: Side) -> NDArray[np.float64]:
    """Return d_i = K_ii^1/2 (N,), or for the lower end its reciprocal: best for a mostly diagonal kernel."""
    diagonal = enclosure.diagonal
    relative = np.maximum(diagonal / max(float(diagonal.max()), TINIEST), SMALLEST**2)
    return np.asarray(np.sqrt(relative if side == "upper" else relative.min() / relative))


def _ends(
    enclosure: KernelEnclosure, side: Side, d: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the upper ends c_i + R_i(d) / d_i of the discs and their radii, both (N,), rounded up."""
    diagonal, f = enclosure.diagonal, enclosure.weights
    errors = enclosure.gamma * float(f @ d) * f + enclosure.underflow * d.sum() + enclosure.size * TINIEST
    sums = enclosure.engine.absolute_product(enclosure.kernel, enclosure.engine.put(d, np.float64))
    radii = (enclosure.engine.get(sums) + errors) * (1 + gamma(enclosure.size + 8))
    reach = radii / d + 4 * UNIT * np.abs(diagonal)
    return (diagonal if side == "upper" else -diagonal) + reach, reach


def _values(enclosure: KernelEnclosure, side: Side, end: float) -> Values:
    """Return one value for all eigenvalues; an upper one is vacuous if not below the mean of the diagonal."""
    value = end if side == "upper" else -end
    vacuous = value >= float(enclosure.diagonal.mean()) if side == "upper" else value <= 0
    return np.full(enclosure.size, value), vacuous
