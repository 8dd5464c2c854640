"""The kernel as a linear operator: K v is computed from the factors, without forming an N x N matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from ntkspec.backend import Backend, Choice, CpuBackend
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.term import TermOperator, apply
from ntkspec.kernel.value_range import check_formable
from ntkspec.machine.memory import require


def operator(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    backend: Choice | Backend = "auto",
    memory: float | None = None,
) -> LinearOperator:
    """Return K = J J^T as a SciPy `LinearOperator` (N, N) of float64 that never forms K.

    Each block contributes rowsum((left u) * right) to K v, where the (a, b) matrix u = left^T diag(v) right
    is the block's part of J^T v. This takes about n a b multiplications per block.

    Args:
        jacobian: blocks, in memory or in a run file; loaded when the operator is made.
        outputs: output mode; see `ntkspec.jacobian.outputs`.
        backend: "auto", "cpu" or "gpu", where products are computed; vectors are on the host.
        memory: budget in GiB for the factors; default: 80% of the free memory.

    Raises:
        MemoryBudgetError: the factors do not fit.
        UsageError: the kernel is not zero and its products would underflow, or numbers are not finite.

    Example:
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> rows = DenseFactor(np.array([[[1.0, 2.0]], [[0.0, 1.0]]]))
        >>> K = operator(Jacobian((Block("theta", "network", 2, 1, None, rows),)))
        >>> (K @ np.array([1.0, 1.0])).tolist()
        [7.0, 3.0]
    """
    kernel = Kernel.from_jacobian(jacobian, outputs, backend=backend, memory=memory)
    _require_room(kernel)
    kernel = kernel.replaced(rows=jacobian.load())  # a file is read once, for the check and for the products
    check_formable(kernel)
    return operator_of(kernel)


def operator_of(kernel: Kernel) -> LinearOperator:
    """Return a kernel as a linear operator; see `operator`.

    If the factors do not fit on the device, they stay on the host, and products are computed there.
    """
    engine = operator_engine(kernel)
    if engine is not kernel.backend:
        kernel = kernel.replaced(backend=engine)
    _require_room(kernel)
    blocks = [TermOperator(term.pair, engine) for term in kernel.terms]

    def products(vectors: NDArray[Any]) -> NDArray[Any]:
        if np.iscomplexobj(vectors):
            return products(vectors.real) + 1j * products(vectors.imag)
        return engine.get(apply(blocks, engine.put(vectors, np.float64)))

    def product(vector: NDArray[Any]) -> NDArray[Any]:
        return products(vector.reshape(-1, 1))[:, 0]

    methods = {"matvec": product, "rmatvec": product, "matmat": products, "rmatmat": products}
    return LinearOperator(kernel.shape, dtype=np.dtype(np.float64), **methods)


def _require_room(kernel: Kernel) -> None:
    """Raise `MemoryBudgetError` if the factors do not fit; nothing is read."""
    remedy = "raise ⟦--memory⟧ or use fewer samples"
    require("factors of the kernel", operator_bytes(kernel), kernel.budget, remedy)


def operator_bytes(kernel: Kernel) -> int:
    """Return the bytes of the factors as `operator` keeps them in memory, in float64."""
    return 2 * kernel.rows.nbytes * 8 // kernel.rows.dtype.itemsize


def operator_engine(kernel: Kernel) -> Backend:
    """Return the backend on which `operator` computes: the kernel's, or the host if factors do not fit."""
    too_large = kernel.backend.device and operator_bytes(kernel) > kernel.room
    return CpuBackend() if too_large else kernel.backend
