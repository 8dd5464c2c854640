"""Plan the tiles and the memory in which kernels are assembled, and assemble them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.counts import whole_number
from ntkspec.backend import Array, Backend, CpuBackend
from ntkspec.errors import MemoryBudgetError, UsageError, shown
from ntkspec.jacobian import Jacobian
from ntkspec.kernel import tiles
from ntkspec.kernel.forms import TileForm
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.value_range import overflow
from ntkspec.machine.memory import BUDGET, format_bytes

SMALLEST_TILE = 32  # rows of a tile, at least, where memory is short
FEWER = "or use fewer samples, ⟦--precision=float32⟧, or ⟦--method=lanczos⟧"
ShareDone = Callable[[float], None]  # called with the share of the work that is done
Beside = Callable[[Backend], int]  # bytes needed in addition to a kernel, if this backend computes with it


@dataclass(frozen=True)
class Assembly:
    """A plan to assemble kernels: which blocks each kernel sums, in which tiles, and in how much memory."""

    kernel: Kernel  # of all blocks that some sum has
    groups: tiles.Groups
    names: tuple[str, ...]
    tiling: tiles.Tiling
    on_host: bool  # kernels are stored on the host, wherever the backend computes
    needed: int  # bytes, kernels included
    forms: Mapping[str, TileForm] | None = None  # of the blocks; None: as chosen by all samples of the kernel

    @staticmethod
    def from_kernel(
        kernel: Kernel,
        parts: Mapping[str, Jacobian] | None = None,
        tile: int | None = None,
        *,
        targets_given: bool = False,
        beside: Beside = lambda _: 0,
    ) -> Assembly:
        """Plan an assembly that fits the memory where the kernel is computed.

        Kernels are put on the host if they do not fit on the device together with the bytes of `beside`.

        Args:
            kernel: the kernel of all blocks that occur in `parts`.
            parts: name -> blocks to add up; default: {"total": all blocks}.
            tile: as for `ntkspec.gram`.
            targets_given: whether the arrays of the kernels exist already; they do not count in the budget.
            beside: returns the bytes that the caller needs in addition to the kernels, after the assembly.

        Raises:
            MemoryBudgetError: the kernels do not fit, either with the tiles in use and the factors of two
                samples, or with the bytes of `beside`.
        """
        tile = None if tile is None else whole_number(tile, "tile", 1)
        parts = {"total": kernel.rows} if parts is None else parts
        groups = tiles.groups_of(parts)
        tile, work = _tile_rows(kernel, groups, tile)
        kernels = 0 if targets_given else len(parts) * kernel.nbytes
        later = beside(kernel.backend)
        peak = max(least_bytes(kernel, kernels + work), kernels + later)
        on_host = targets_given or (bool(kernel.backend.device) and peak > kernel.room)
        if on_host and not targets_given:
            later = beside(CpuBackend())
            _require_on_host(kernel, kernels + later, peak)
        panel = _panel_samples(kernel, work + (0 if on_host else kernels))
        samples = _samples(kernel)
        kernel.require(_with_beside(samples), 0 if on_host else kernels + later, FEWER)
        tiling = tiles.Tiling.from_sizes(kernel, panel, tile)
        most = max(side.samples for side in kernel.sides)
        factors = _bytes_a_sample(kernel) * (samples if panel == most else 2 * panel)
        needed = int(kernels + max(work + factors, later))
        return Assembly(kernel, groups, tuple(parts), tiling, on_host, needed)

    def assemble(
        self, out: Mapping[str, NDArray[Any]] | None = None, progress: ShareDone | None = None
    ) -> dict[str, Array]:
        """Assemble all kernels and return them by name: device arrays, or host arrays if `on_host`.

        Args:
            out, progress: as for `ntkspec.kernel.dense.gram_sums`.

        Raises:
            UsageError: an array of `out` has the wrong shape or dtype, or an entry of a kernel overflows.
        """
        kernels = self.targets() if out is None else self._checked(out)
        for _, done in self.run(kernels):
            if progress:
                progress(done)
        require_finite(kernels, self.kernel.precision, symmetric=self.kernel.columns is None)
        return kernels

    def targets(self) -> dict[str, Array]:
        """Create an uninitialised array for each kernel; return them by name."""
        xp = np if self.on_host else self.kernel.backend.xp
        return {name: xp.empty(self.kernel.shape, self.kernel.dtype) for name in self.names}

    def _checked(self, out: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the arrays of `out`; raise `UsageError` if one has wrong shape or dtype or is read-only."""
        shape, dtype = self.kernel.shape, self.kernel.dtype
        for name in self.names:
            array = out.get(name)
            if not isinstance(array, np.ndarray):
                got = shown(array)
            elif array.shape != shape or array.dtype != dtype:
                got = f"{array.shape} of {array.dtype}"
            elif not array.flags.writeable:
                got = f"{array.shape} of {array.dtype}, which may not be written to"
            else:
                continue
            raise UsageError(
                f"array for kernel {name}",
                expected=f"{shape} of {dtype}",
                got=got,
                remedy="give numpy.empty of that shape and dtype",
            )
        return {name: out[name] for name in self.names}

    def run(
        self, kernels: Mapping[str, Array], skip: Callable[[int, int], bool] | None = None
    ) -> Iterator[tuple[tuple[int, int], float]]:
        """Compute every tile and store it in the kernels.

        Args:
            kernels: name -> array, as `targets` returns them, or other arrays of that shape.
            skip: returns whether a tile, given by its first samples (row, column), is done already.

        Yields:
            The first samples (row, column) of a tile that is done, and the share of all tiles that are done.
        """
        kernel, repeat, engine = self.kernel, self.kernel.repeat, self.kernel.backend
        store = engine.store if kernel.columns is None else engine.insert

        def work(pair: tuple[tiles.Strip, tiles.Strip]) -> tuple[int, int]:
            row, column = pair
            for name, tile in tiles.compute(row, column, self.groups, kernel).items():
                store(kernels[name], row.start * repeat, column.start * repeat, tile)
            return row.start, column.start

        skipped = [bool(skip and skip(*tile)) for tile in tiles.first_samples(kernel, self.tiling.step)]
        done = sum(skipped)
        for pairs in tiles.panel_pairs(kernel, self.tiling, skip, self.forms):
            for first_samples in engine.each(work, pairs):
                done += 1
                yield first_samples, done / len(skipped)


def require_finite(kernels: Mapping[str, Array], precision: str, *, symmetric: bool = True) -> None:
    """Raise `UsageError` if an entry of a kernel is not finite, as after an overflow.

    Of a symmetric kernel only the diagonal is checked: it contains the largest entries.
    """
    for name, kernel in kernels.items():
        if not np.isfinite(kernel.diagonal() if symmetric else kernel).all():
            raise overflow(f"kernel {name}", precision)


def least_bytes(kernel: Kernel, kernel_bytes: int) -> int:
    """Return the least bytes to assemble kernels: `kernel_bytes` plus those of the factors of two samples."""
    return int(kernel_bytes + 2 * _bytes_a_sample(kernel))


def _tile_rows(kernel: Kernel, groups: tiles.Groups, tile: int | None) -> tuple[int, int]:
    """Return the number of rows of a tile, and the bytes of all tiles in use at the same time.

    If `tile` is None, start from the backend's tile and halve it until the tiles fit an eighth of the memory.
    """
    if tile is None:
        tile, room = kernel.backend.tile, kernel.room
        while tile > SMALLEST_TILE and tiles.scratch_bytes(kernel, groups, tile) > room // 8:
            tile //= 2
    return tile, tiles.scratch_bytes(kernel, groups, tile)


def _samples(kernel: Kernel) -> int:
    """Return the number of samples: of the rows, plus of the columns if these are other samples."""
    return sum(side.samples for side in kernel.sides)


def _bytes_a_sample(kernel: Kernel) -> float:
    """Return the bytes of one sample's factors: as stored plus as converted to the kernel's precision."""
    itemsize = kernel.dtype.itemsize
    return max(
        side.nbytes / side.samples * (1 + max(itemsize / side.dtype.itemsize, 1.0)) for side in kernel.sides
    )


def _panel_samples(kernel: Kernel, kernel_bytes: int) -> int:
    """Return how many samples a panel has: all if their factors fit, otherwise half of the number that fits.

    It is half because a tile needs two panels, one for its rows and one for its columns.
    """
    per_sample, samples = _bytes_a_sample(kernel), _samples(kernel)
    room = kernel.room - kernel_bytes
    kernel.require(f"kernel of {samples} samples", least_bytes(kernel, kernel_bytes), FEWER)
    if per_sample * samples <= room:
        return max(side.samples for side in kernel.sides)
    return max(int(room / (2 * per_sample)), 1)


def _require_on_host(kernel: Kernel, needed: int, on_device: int) -> None:
    """Raise `MemoryBudgetError` if a kernel fits neither on the device nor within the host's budget."""
    if needed > kernel.budget:
        budget, room, host, device = map(format_bytes, (kernel.budget, kernel.room, needed, on_device))
        raise MemoryBudgetError(
            _with_beside(_samples(kernel)),
            expected=f"at most {budget} on the host ({BUDGET}) or {room} on the {kernel.backend.device}",
            got=f"a need of {host} on the host or {device} on the device",
            remedy=f"raise ⟦--memory⟧ {FEWER}",
        )


def _with_beside(samples: int) -> str:
    return f"kernel of {samples} samples, with what is needed beside it"
