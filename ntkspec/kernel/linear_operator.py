"""The kernel as a linear operator: K v is computed from the factors, without forming an N x N matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from ntkspec.backend import Backend, Choice, CpuBackend
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.term import TermOperator, apply
from ntkspec.memory import require


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
        jacobian: blocks, in memory or in a run file; loaded once.
        outputs: output mode; see `ntkspec.jacobian.outputs`.
        backend: "auto", "cpu" or "gpu", where products are computed; vectors are on the host.
        memory: budget in GiB for the factors; default: 80% of the free memory.

    Raises:
        MemoryBudgetError: the factors do not fit.

    Example:
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> rows = DenseFactor(np.array([[[1.0, 2.0]], [[0.0, 1.0]]]))
        >>> K = operator(Jacobian((Block("theta", "network", 2, 1, None, rows),)))
        >>> (K @ np.array([1.0, 1.0])).tolist()
        [7.0, 3.0]
    """
    return operator_of(Kernel.from_jacobian(jacobian, outputs, backend=backend, memory=memory))


def operator_of(kernel: Kernel) -> LinearOperator:
    """Return a kernel as a linear operator; see `operator`.

    If the factors do not fit on the device, they stay on the host, and products are computed there.
    """
    engine = operator_engine(kernel)
    if engine is not kernel.backend:
        kernel = kernel.replaced(backend=engine)
    require(
        "factors of the kernel",
        operator_bytes(kernel),
        kernel.budget,
        "raise ⟦--memory⟧ or use fewer samples",
    )
    blocks = [TermOperator(term.pair, engine) for term in kernel.terms]

    def products(vectors: NDArray[Any]) -> NDArray[Any]:
        if np.iscomplexobj(vectors):
            return products(vectors.real) + 1j * products(vectors.imag)
        return engine.get(apply(blocks, engine.put(vectors, np.float64)))

    def product(vector: NDArray[Any]) -> NDArray[Any]:
        return products(vector.reshape(-1, 1))[:, 0]

    methods = {"matvec": product, "rmatvec": product, "matmat": products, "rmatmat": products}
    return LinearOperator(kernel.shape, dtype=np.dtype(np.float64), **methods)


def operator_bytes(kernel: Kernel) -> int:
    """Return the bytes of the factors as `operator` keeps them in memory, in float64."""
    return 2 * kernel.rows.nbytes * 8 // kernel.rows.dtype.itemsize


def operator_engine(kernel: Kernel) -> Backend:
    """Return the backend on which `operator` computes: the kernel's, or the host if factors do not fit."""
    too_large = kernel.backend.device and operator_bytes(kernel) > kernel.room
    return CpuBackend() if too_large else kernel.backend


def check_range(kernel: Kernel, where: str = "kernel") -> None:
    """Raise `UsageError` if the kernel's entries are too close to overflow or underflow.

    Errors are stated relative to the largest entries, which is valid only far from these limits. The check
    uses the kernel of absolute values, because numbers that cancel contribute to rounding errors, too.

    Args:
        kernel: any.
        where: what the message calls it.
    """
    single = kernel.precision == "float32"
    low, high = (1e-22, 1e30) if single else (1e-200, 1e200)
    largest = float(kernel.absolute_diagonal.max())
    if low < largest < high or (largest == 0 and not any(term.nonzero for term in kernel.terms)):
        return
    raise UsageError(
        where,
        expected=f"entries between {low:.0e} and {high:.0e} in {kernel.precision}",
        got=said_of_largest(largest),
        remedy="use ⟦--precision=float64⟧"
        if single and 1e-200 < largest < 1e200
        else "rescale the model's outputs",
    )


def said_of_largest(entry: float) -> str:
    """Return the largest entry of a kernel that is not zero in words, for messages."""
    return f"{entry:.0e} where they are largest" if entry else "gradients too small to be squared"


def in_range(kernels: Mapping[str, Kernel], where: str) -> tuple[dict[str, Kernel], list[str]]:
    """Return the kernels whose entries are in range, and a line for each of the others, which says why.

    Args:
        kernels: of sums of blocks, by name; "total" is that of all of them.
        where: what stands before the name of the total kernel in a message.

    Raises:
        UsageError: the total kernel is out of range.
    """
    check_range(kernels["total"], f"{where}kernel total")
    kept, left_out = {}, []
    for name, kernel in kernels.items():
        try:
            check_range(kernel, f"kernel {name}")
        except UsageError as error:
            left_out.append(f"left out {error.fault}")
        else:
            kept[name] = kernel
    return kept, left_out


def sums_in_range(
    kernel: Kernel, parts: Mapping[str, Jacobian], where: str
) -> tuple[dict[str, Jacobian], list[str]]:
    """Return the sums of blocks whose kernels are in range, and lines on the others; see `in_range`."""
    kept, left_out = in_range({name: kernel.only(part) for name, part in parts.items()}, where)
    return {name: parts[name] for name in kept}, left_out
