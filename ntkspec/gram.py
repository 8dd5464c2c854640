"""Assemble kernels: K = J J^T in symmetric tiles, all blocks of a tile at once.

Every block contributes the elementwise product of two small Gram matrices, so a tile of K costs
n^2 (a + b) multiplications a block instead of n^2 a b (Novak, Sohl-Dickstein, Schoenholz 2022,
"Fast Finite Width Neural Tangent Kernel", use the same identity for dense layers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, Jacobian, Matrix, Outputs, Pair, check_outputs, rows_per_sample
from ntkspec.memory import budget_bytes, require

TILE = 1024  # rows of the kernel in a tile
DENSE_COLUMNS = 256  # a sparse factor of at most this width is multiplied as a dense panel
Progress = Callable[[float], None]  # called with the share of the work that is done


def gram(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    tile: int = TILE,
) -> NDArray[Any]:
    """The kernel J J^T summed over the blocks, exactly symmetric.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: "trace", "full" or an output's number; see `ntkspec.jacobian.outputs`.
        precision: in which products are formed and added.
        backend: "auto", "cpu" or "gpu".
        memory: budget in GiB; default 80% of what is free.
        tile: rows of K assembled at once; results do not depend on it beyond rounding.

    Returns:
        (N, N) array of `precision`, N = n or n*c. Nothing is divided by n, c or p.

    Raises:
        MemoryBudgetError: the kernel and two panels of factors do not fit.
        RunFileError: the run file holds numbers that the contract forbids.
    """
    return gram_sums(
        {"total": jacobian}, outputs, precision=precision, backend=backend, memory=memory, tile=tile
    )["total"]


def gram_by_block(jacobian: Jacobian, outputs: Outputs = "trace", **options: Any) -> dict[str, NDArray[Any]]:
    """One kernel a block, in one pass; options as for `gram`. They add up to `gram(jacobian)`."""
    return gram_sums({name: jacobian.only(name) for name in jacobian.names}, outputs, **options)


def gram_sums(
    sums: Mapping[str, Jacobian],
    outputs: Outputs = "trace",
    *,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    tile: int = TILE,
    progress: Progress | None = None,
) -> dict[str, NDArray[Any]]:
    """Several sums of blocks of one Jacobian in one pass: every block's tile is computed once.

    Args:
        sums: name -> the blocks to add up, e.g. {"total": jac, "no_grid": jac.without("grid")}.
        progress: called with the share that is done.

    Returns:
        name -> (N, N) kernel. Other arguments and errors as for `gram`.
    """
    blocks = blocks_of(sums)
    whole = Jacobian(tuple(blocks.values()))
    check_outputs(outputs, whole.outputs)
    engine, dtype = select(backend), np.dtype(precision)
    if tile < 1:
        raise UsageError("tile", expected="a positive number of rows", got=str(tile), remedy=f"e.g. {TILE}")
    repeat = rows_per_sample(outputs, whole.outputs)
    size = whole.samples * repeat
    budget = budget_bytes(memory)
    kernel_bytes = len(sums) * size**2 * dtype.itemsize
    panel = _panel_samples(whole, kernel_bytes, budget, dtype)
    members = {name: frozenset(jacobian.names) for name, jacobian in sums.items()}
    kernels = {name: engine.zeros((size, size), dtype) for name in sums}
    step = max(tile // repeat, 1)
    for rows, columns, done in _panel_pairs(whole, outputs, engine, dtype, panel, step):
        for row in rows:
            for column in columns:
                if column.start <= row.start:
                    _add(kernels, members, row, column, engine, repeat, dtype)
        if progress:
            progress(done)
    for name, kernel in kernels.items():
        if not np.isfinite(float(kernel.diagonal().sum())):
            raise UsageError(
                f"kernel {name}",
                expected=f"entries that {precision} can hold",
                got="an overflow",
                remedy="rescale the model's outputs, or use float64",
            )
    return {name: engine.get(kernel) for name, kernel in kernels.items()}


def blocks_of(sums: Mapping[str, Jacobian]) -> dict[str, Block]:
    """Every block of several sums once, by name.

    Raises:
        UsageError: two different blocks of one name.
    """
    blocks: dict[str, Block] = {}
    for block in (block for jacobian in sums.values() for block in jacobian):
        if blocks.setdefault(block.name, block) is not block:
            raise UsageError(
                f"block {block.name!r}",
                expected="sums of blocks of one Jacobian",
                got="two different blocks of that name",
                remedy="take them one after the other",
            )
    return blocks


@dataclass(frozen=True)
class _Strip:
    """The factors of samples start:stop on the device."""

    start: int
    stop: int
    pairs: Mapping[str, Pair]  # by block


def _panel_pairs(
    jacobian: Jacobian, outputs: Outputs, engine: Backend, dtype: Any, panel: int, step: int
) -> Iterator[tuple[list[_Strip], list[_Strip], float]]:
    """Pairs of panels on and below the diagonal, each read from the file when its turn comes."""
    starts = range(0, jacobian.samples, panel)
    total = len(starts) * (len(starts) + 1) // 2
    done = 0
    for i, start in enumerate(starts):
        rows = _strips(jacobian, start, panel, outputs, engine, dtype, step)
        for other in starts[: i + 1]:
            same = other == start
            columns = rows if same else _strips(jacobian, other, panel, outputs, engine, dtype, step)
            done += 1
            yield rows, columns, done / total


def _strips(
    jacobian: Jacobian, start: int, panel: int, outputs: Outputs, engine: Backend, dtype: Any, step: int
) -> list[_Strip]:
    stop = min(start + panel, jacobian.samples)
    loaded = jacobian.load(start, stop)
    if loaded.samples == jacobian.samples:  # else the panels' numberings would differ
        loaded = Jacobian(tuple(block.compact() for block in loaded))
    strips = []
    for at in range(0, stop - start, step):
        end = min(at + step, stop - start)
        pairs = {
            block.name: _put(block.pair(outputs, dtype), engine, dtype) for block in loaded.load(at, end)
        }
        strips.append(_Strip(start + at, start + end, pairs))
    return strips


def _put(pair: Pair, engine: Backend, dtype: Any) -> Pair:
    left = None if pair.left is None else engine.put(_panel(pair.left), dtype)
    return Pair(left, engine.put(_panel(pair.right), dtype), pair.repeat)


def _panel(matrix: Matrix) -> Matrix:
    """Narrow sparse factors (coarse grid levels, where every pair of samples overlaps) go dense."""
    if sp.issparse(matrix) and matrix.shape[1] <= DENSE_COLUMNS:
        dense: NDArray[Any] = matrix.toarray()
        return dense
    return matrix


def _add(
    kernels: Mapping[str, Any],
    members: Mapping[str, frozenset[str]],
    row: _Strip,
    column: _Strip,
    engine: Backend,
    repeat: int,
    dtype: Any,
) -> None:
    """Add every block's tile to the kernels that it belongs to, and mirror it above the diagonal."""
    at = np.s_[row.start * repeat : row.stop * repeat, column.start * repeat : column.stop * repeat]
    shape = kernels[next(iter(kernels))][at].shape
    groups: dict[tuple[str, ...], list[str]] = {}
    for block in row.pairs:
        targets = tuple(name for name in kernels if block in members[name])
        groups.setdefault(targets, []).append(block)
    sums: dict[str, Any] = {}
    for targets, blocks in groups.items():
        tile = engine.zeros(shape, dtype)
        for block in blocks:
            a, b = row.pairs[block], column.pairs[block]
            left = None if a.left is None else (a.left, b.left)
            engine.add_tile(tile, left, (a.right, b.right), repeat)
        for name in targets:
            sums[name] = tile if name not in sums else sums[name] + tile
    for name, tile in sums.items():
        if row.start == column.start:
            kernels[name][at] = engine.symmetric(tile)
        else:
            kernels[name][at] = tile
            kernels[name][at[1], at[0]] = tile.T


def least_bytes(jacobian: Jacobian, kernel_bytes: int, dtype: Any) -> int:
    """Bytes that kernels of `kernel_bytes` need at the least: themselves and the factors of two samples."""
    return int(kernel_bytes + 2 * _bytes_a_sample(jacobian, dtype))


def _bytes_a_sample(jacobian: Jacobian, dtype: Any) -> float:
    """Of the factors, as stored and as converted to `dtype`."""
    stored = jacobian.nbytes / jacobian.samples
    return stored * (1 + max(float(np.dtype(dtype).itemsize) / jacobian.dtype.itemsize, 1.0))


def _panel_samples(jacobian: Jacobian, kernel_bytes: int, budget: int, dtype: Any) -> int:
    """Samples whose factors are held at once: all if they fit beside the kernels, else what fits twice."""
    per_sample = _bytes_a_sample(jacobian, dtype)
    room = budget - kernel_bytes
    require(
        f"kernel of {jacobian.samples} samples",
        least_bytes(jacobian, kernel_bytes, dtype),
        budget,
        "raise --memory, use fewer samples, --precision float32, or --method lanczos",
    )
    if per_sample * jacobian.samples <= room:
        return jacobian.samples
    return max(int(room / (2 * per_sample)), 1)
