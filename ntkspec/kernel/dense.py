"""Form kernels K = J J^T as arrays: of all blocks, of each block, or of sums of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ntkspec.backend import Backend, Choice, Precision
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.assembly import Assembly, ShareDone
from ntkspec.kernel.checks import check_jacobians
from ntkspec.kernel.problem import Kernel, blocks_of
from ntkspec.kernel.value_range import check_formed


def gram(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    columns: Jacobian | None = None,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    tile: int | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Form the kernel J J^T, summed over blocks, or with `columns` the kernel between two sets of samples.

    J J^T is exactly symmetric.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: "trace", "full" or an output's number; see `ntkspec.jacobian.outputs`.
        columns: a Jacobian of the same parameters at other samples, to which the kernel's columns belong.
        precision: dtype in which products are formed and added.
        backend: "auto", "cpu" or "gpu".
        memory: budget in GiB; default: 80% of the free memory.
        tile: rows of K in a tile; default: chosen from the backend and the budget. It changes results only
            by rounding.
        out: array of `precision` to write the kernel to; it does not count in the budget.

    Returns:
        The kernel (N, N) as an array of `precision`, N = n or n*c, or (N, M) with `columns`; it is `out` if
        that was given. Entries are plain sums, not divided by n, c or p.

    Raises:
        MemoryBudgetError: the kernel, the tiles in use and the factors of two samples do not fit.
        RunFileError: the run file contains numbers that docs/run-format.md forbids.
        UsageError: `columns` has other parameters, `out` has the wrong shape or dtype, an entry overflows, or
            all entries are lost to underflow.

    Example:
        >>> import numpy as np
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> rows = DenseFactor(np.array([[[1.0, 2.0]], [[0.0, 1.0]]]))
        >>> jac = Jacobian((Block("theta", "network", 2, 1, None, rows),))
        >>> gram(jac).tolist(), gram(jac, columns=jac.rows([1])).tolist()
        ([[5.0, 2.0], [2.0, 1.0]], [[2.0], [1.0]])
    """
    kernel = Kernel.from_jacobian(
        jacobian, outputs, columns=columns, precision=precision, backend=backend, memory=memory
    )
    return _arrays(kernel, {"total": jacobian}, tile, None if out is None else {"total": out}, None)["total"]


def gram_by_block(jacobian: Jacobian, outputs: Outputs = "trace", **options: Any) -> dict[str, NDArray[Any]]:
    """Form the kernel of every block in one pass, by the block's name.

    Args:
        jacobian, outputs: as for `gram`.
        options: precision, backend, memory and tile, as for `gram`.

    Returns:
        name -> kernel (N, N). Their sum is `gram(jacobian)`, up to rounding.

    Raises:
        UsageError: as for `gram`, for any of the blocks: what is returned adds up to the whole. The message
            names the block, and `jacobian.without(name)` has the others.

    Example:
        >>> import numpy as np
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> first, last = DenseFactor(np.ones((2, 1, 3))), DenseFactor(np.array([[[1.0]], [[2.0]]]))
        >>> blocks = (Block("a", "network", 2, 1, None, first), Block("b", "network", 2, 1, None, last))
        >>> {name: kernel.tolist() for name, kernel in gram_by_block(Jacobian(blocks)).items()}
        {'a': [[3.0, 3.0], [3.0, 3.0]], 'b': [[1.0, 2.0], [2.0, 4.0]]}
    """
    check_jacobians([jacobian])
    return gram_sums({name: jacobian.only(name) for name in jacobian.names}, outputs, **options)


def gram_sums(
    parts: Mapping[str, Jacobian],
    outputs: Outputs = "trace",
    *,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    tile: int | None = None,
    out: Mapping[str, NDArray[Any]] | None = None,
    progress: ShareDone | None = None,
) -> dict[str, NDArray[Any]]:
    """Form the kernels of several sums of blocks of one Jacobian in one pass.

    Each tile of a block is computed once and added to all sums that contain the block.

    Args:
        parts: name -> the blocks to add up, e.g. {"total": jac, "no_grid": jac.without("grid")}.
        out: name -> array to write that kernel to, as for `gram`; for all kernels or for none.
        progress: called with the share of the work that is done, from 0 to 1.

    Returns:
        name -> kernel (N, N). Other arguments and errors are as for `gram`.
    """
    whole = Jacobian(tuple(blocks_of(parts).values()))
    kernel = Kernel.from_jacobian(whole, outputs, precision=precision, backend=backend, memory=memory)
    return _arrays(kernel, parts, tile, out, progress)


def _arrays(
    kernel: Kernel,
    parts: Mapping[str, Jacobian],
    tile: int | None,
    out: Mapping[str, NDArray[Any]] | None,
    progress: ShareDone | None,
) -> dict[str, NDArray[Any]]:
    plan = Assembly.from_kernel(kernel, parts, tile, targets_given=out is not None)
    formed = {name: kernel.backend.get(array) for name, array in plan.assemble(out, progress).items()}
    for name, array in formed.items():
        check_formed(kernel.only(parts[name]), array, f"kernel {name}")
    return formed
