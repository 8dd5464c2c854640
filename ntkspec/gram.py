"""Assemble kernels: K = J J^T in symmetric tiles, all blocks of a tile at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec import tiles
from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, Jacobian, Outputs, check_outputs
from ntkspec.memory import budget_bytes, require

SMALLEST_TILE = 32  # rows that tiles shrink to where memory is short
FEWER = "raise --memory, use fewer samples, --precision float32, or --method lanczos"
Progress = Callable[[float], None]  # called with the share of the work that is done


def gram(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    tile: int | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """The kernel J J^T summed over the blocks, exactly symmetric.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: "trace", "full" or an output's number; see `ntkspec.jacobian.outputs`.
        precision: in which products are formed and added.
        backend: "auto", "cpu" or "gpu".
        memory: budget in GiB; default 80% of what is free.
        tile: rows of K assembled at once; default: what suits the machine and the budget; results do not
            depend on it beyond rounding.
        out: (N, N) array of `precision` to put the kernel into; it does not count in the budget.

    Returns:
        (N, N) array of `precision`, `out` if it was given, N = n or n*c. Nothing is divided by n, c or p.

    Raises:
        MemoryBudgetError: the kernel, the tiles at work and the factors of two samples do not fit.
        RunFileError: the run file holds numbers that the contract forbids.
    """
    return gram_sums(
        {"total": jacobian},
        outputs,
        precision=precision,
        backend=backend,
        memory=memory,
        tile=tile,
        out=None if out is None else {"total": out},
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
    tile: int | None = None,
    out: Mapping[str, NDArray[Any]] | None = None,
    progress: Progress | None = None,
) -> dict[str, NDArray[Any]]:
    """Several sums of blocks of one Jacobian in one pass: every block's tile is computed once.

    Args:
        sums: name -> the blocks to add up, e.g. {"total": jac, "no_grid": jac.without("grid")}.
        out: name -> array to put that kernel into, as for `gram`; all or none.
        progress: called with the share that is done.

    Returns:
        name -> (N, N) kernel. Other arguments and errors as for `gram`.
    """
    engine = select(backend)
    budget, kernels_fit = budget_bytes(memory), out is not None
    plan = Assembly.of(sums, outputs, precision, engine, budget, tile, kernels_fit=kernels_fit)
    kernels = plan.assemble(engine, out, progress)
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
class Assembly:
    """What is assembled, in which pieces, and the memory that it takes."""

    jacobian: Jacobian  # every block once
    sums: tiles.Sums
    names: tuple[str, ...]
    grid: tiles.Grid
    size: int  # N
    dtype: np.dtype[Any]
    on_host: bool  # kernels live on the host although the backend computes elsewhere
    needed: int  # bytes, kernels included

    @staticmethod
    def of(
        sums: Mapping[str, Jacobian],
        outputs: Outputs,
        precision: Precision,
        engine: Backend,
        budget: int,
        tile: int | None = None,
        *,
        kernels_fit: bool = False,
    ) -> Assembly:
        """Cut the work so that it fits the budget (bytes).

        Args:
            kernels_fit: there is a place for the kernels outside of the budget.

        Raises:
            MemoryBudgetError: the kernels, the tiles at work and the factors of two samples do not fit.
        """
        whole = Jacobian(tuple(blocks_of(sums).values()))
        check_outputs(outputs, whole.outputs)
        if tile is not None and tile < 1:
            raise UsageError("tile", expected="a positive number of rows", got=str(tile), remedy="e.g. 256")
        dtype, size = np.dtype(precision), whole.kernel_size(outputs)
        kernels = 0 if kernels_fit else len(sums) * size**2 * dtype.itemsize
        groups = tiles.Sums.of(sums)
        room = engine.room(budget)
        repeat, sums_at_work = size // whole.samples, tiles.product_tiles(whole, outputs)

        def scratch(rows: int) -> int:
            return groups.scratch_bytes(size, max(rows, repeat), engine.workers, dtype, sums_at_work)

        if tile is None:
            tile = engine.tile
            while tile > SMALLEST_TILE and scratch(tile) > room // 8:
                tile //= 2
        work = scratch(tile)
        on_host = kernels_fit or (room != budget and least_bytes(whole, kernels + work, dtype) > room)
        held = kernels_fit or on_host
        panel = _panel_samples(whole, work + (0 if held else kernels), room, dtype)
        if on_host:
            require(f"kernel of {whole.samples} samples on the host", kernels, budget, FEWER)
        grid = tiles.cut(whole, outputs, panel, tile)
        factors = _bytes_a_sample(whole, dtype) * panel * (1 if panel == whole.samples else 2)
        needed = int(kernels + work + factors)
        return Assembly(whole, groups, tuple(sums), grid, size, dtype, on_host, needed)

    def assemble(
        self,
        engine: Backend,
        out: Mapping[str, NDArray[Any]] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """name -> (N, N) kernel, which stays where it was assembled: on the device, if it fits there.

        Args:
            engine: the backend of the plan.
            out, progress: as for `gram_sums`.

        Raises:
            UsageError: `out` is not as planned, or a kernel has entries that its precision cannot hold.
        """
        kernels = self.targets(engine) if out is None else self._checked(out)
        for _, done in self.run(engine, kernels):
            if progress:
                progress(done)
        require_finite(kernels, str(self.dtype))
        return kernels

    def targets(self, engine: Backend) -> dict[str, Any]:
        """name -> (N, N) array to assemble into, its entries arbitrary."""
        make = np.empty if self.on_host else engine.empty
        return {name: make((self.size, self.size), self.dtype) for name in self.names}

    def _checked(self, out: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        for name in self.names:
            array = out.get(name)
            if array is None or array.shape != (self.size, self.size) or array.dtype != self.dtype:
                got = "none" if array is None else f"{array.shape} of {array.dtype}"
                raise UsageError(
                    f"array for kernel {name}",
                    expected=f"{(self.size, self.size)} of {self.dtype}",
                    got=got,
                    remedy="give numpy.empty of that shape and dtype",
                )
        return {name: out[name] for name in self.names}

    def run(
        self, engine: Backend, kernels: Mapping[str, Any], skip: Callable[[int, int], bool] | None = None
    ) -> Iterator[tuple[tuple[int, int], float]]:
        """Compute and store every tile; yields its first samples (row, column) and the share that is done.

        Args:
            kernels: as `targets` makes them, or other arrays of that shape.
            skip: says of a tile's first samples whether it is there already.
        """
        done = 0.0
        repeat = self.grid.repeat

        def work(pair: tuple[tiles.Strip, tiles.Strip]) -> tuple[int, int]:
            row, column = pair
            for name, tile in tiles.compute(row, column, self.sums, self.grid, engine, self.dtype).items():
                engine.store(kernels[name], row.start * repeat, column.start * repeat, tile)
            return row.start, column.start

        for pairs, share in tiles.panel_pairs(self.jacobian, self.grid, engine, self.dtype):
            todo = [pair for pair in pairs if not (skip and skip(pair[0].start, pair[1].start))]
            for at in engine.each(work, todo):
                done += share / len(todo)
                yield at, done


def require_finite(kernels: Mapping[str, Any], precision: str) -> None:
    """Raise `UsageError` where a kernel has entries that its precision cannot hold."""
    for name, kernel in kernels.items():
        if not np.isfinite(float(kernel.diagonal().sum())):
            raise UsageError(
                f"kernel {name}",
                expected=f"entries that {precision} can hold",
                got="an overflow",
                remedy="rescale the model's outputs, or use float64",
            )


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
        FEWER,
    )
    if per_sample * jacobian.samples <= room:
        return jacobian.samples
    return max(int(room / (2 * per_sample)), 1)
