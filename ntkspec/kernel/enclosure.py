"""Compute a kernel in floating point, with a rigorous bound on the rounding error of every entry.

With gamma_m = m u / (1 - m u), u = 2^-53, an inner product of length m has an error of at most
gamma_m |x|.|y|, in any order of additions, with or without fused operations (Higham 2002, section 3.1). An
entry of K is a sum over blocks of products of two inner products, so that

    |fl(K)_ij - K_ij| <= gamma_m sum_blocks (|l_i|.|l_j|) (|r_i|.|r_j|) <= gamma_m f_i f_j,

where f_i^2 = sum_blocks ||l_i||^2 ||r_i||^2 is computed from absolute values; the last step applies the
Cauchy-Schwarz inequality twice. Here m counts all roundings in the computation of an entry. Since f f^T <=
sum(f) diag(f) as quadratic forms, K lies between fl(K) - diag(margin) and fl(K) + diag(margin), margin =
gamma_m sum(f) f.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Array, Backend, CpuBackend
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.value_range import check_range
from ntkspec.summation import gamma

UNIT = 2.0**-53  # unit roundoff of double precision
TINIEST = 2.0**-1074  # what an underflow loses at most
KERNELS_HELD = 1.1  # memory of bounds, in kernels: the kernel itself and a few strips of its rows
UP = 1 + 1e-9  # covers the roundings of computing a bound itself: a few million at most


@dataclass(frozen=True, eq=False)
class KernelEnclosure:
    """A kernel as computed in double precision, with bounds on the rounding errors of its entries.

    Example:
        >>> exact = KernelEnclosure(np.eye(2), weights=np.zeros(2), gamma=0.0, underflow=0.0)
        >>> exact.size, exact.diagonal
        (2, array([1., 1.]))
    """

    kernel: Array = field(repr=False)  # (N, N), exactly symmetric, an array of `engine`
    weights: NDArray[np.float64] = field(repr=False)  # (N,) f
    gamma: float  # |kernel - K| <= gamma f f^T + underflow, entry by entry
    underflow: float
    engine: Backend = field(default_factory=CpuBackend)

    @property
    def size(self) -> int:
        """Return N, the rows of the kernel."""
        return len(self.kernel)

    @property
    def diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of the kernel as computed; (N,)."""
        return self.engine.get(self.kernel.diagonal())

    @property
    def margin(self) -> NDArray[np.float64]:
        """Return m (N,) such that kernel - diag(m) <= K <= kernel + diag(m) as quadratic forms."""
        spread: NDArray[np.float64] = self.gamma * self.weights.sum() * self.weights
        return (spread + self.size * self.underflow) * UP


def form(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    memory: float | None = None,
    beside: int = 0,
) -> KernelEnclosure:
    """Form the kernel of a Jacobian in double precision on the CPU, with bounds on its rounding errors.

    The stored numbers of the Jacobian are taken as exact.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: output mode.
        memory: budget in GiB, which also covers computing bounds from the kernel; default: 80% of the free
            memory.
        beside: number of further arrays of the kernel's size that the caller will need at the same time.

    Raises:
        MemoryBudgetError: the kernels and three times the factors do not fit.
        UsageError: entries of the kernel are too close to the limits of double precision, see `check_range`.

    Example:
        >>> import ntkspec
        >>> with ntkspec.open_run("data/golden/ffe.h5") as run:
        ...     form(run.snapshot("init").jacobian, outputs="full").size
        120
    """
    return enclosure_of(Kernel.from_jacobian(jacobian, outputs, backend="cpu", memory=memory), beside=beside)


def in_ieee_arithmetic(kernel: Kernel) -> Kernel:
    """Return the same kernel, to be computed in double precision on the CPU, where error bounds are rigorous.

    The libraries of a device may use other arithmetic (emulated float64, TF32), which cannot be detected.
    """
    kernel = kernel.in_float64
    return kernel if kernel.backend.name == "cpu" else kernel.replaced(backend=CpuBackend())


def enclosure_of(kernel: Kernel, *, beside: int = 0) -> KernelEnclosure:
    """Form a kernel in float64 on its own backend, with bounds on its rounding errors; see `form`.

    On a device the bounds hold only if its libraries compute in IEEE arithmetic. They are told to, but this
    cannot be checked: for certified bounds pass `in_ieee_arithmetic(kernel)`.
    """
    bytes_beside = int((KERNELS_HELD - 1 + beside) * kernel.nbytes) + 3 * kernel.rows.nbytes
    plan = Assembly.from_kernel(kernel, beside=lambda _: bytes_beside)
    check_range(kernel)
    matrix = plan.assemble()["total"]
    weights, squares = np.zeros(kernel.size), 0.0
    for term in kernel.terms:
        pair = term.uncancelled_pair
        right = _row_norms(term.engine, pair.right)
        left = np.ones(1) if pair.left is None else np.repeat(_row_norms(term.engine, pair.left), pair.repeat)
        weights = np.hypot(weights, left * right)
        squares += 1 + float(left.max()) ** 2 + float(right.max()) ** 2  # what an underflow is multiplied by
    roundings = forming_roundings(kernel)
    engine = CpuBackend() if plan.on_host else kernel.backend
    return KernelEnclosure(matrix, weights * UP, gamma(roundings), roundings * TINIEST * squares * UP, engine)


def _row_norms(engine: Backend, matrix: Array) -> NDArray[np.float64]:
    """Compute the Euclidean norms of the rows of a matrix without negative numbers, on the host."""
    return engine.get(engine.row_norms(matrix))


def forming_roundings(kernel: Kernel) -> int:
    """Return an upper bound on the roundings in the computation of an entry of K: m in the module's text."""
    longest = max(
        term.block.left.roundings_in_any_order + term.outputs_added * term.block.right.roundings_in_any_order
        for term in kernel.terms
    )
    return longest + 2 * len(kernel.rows.blocks) + 3
