"""What fits a laptop, a node and a GPU, and what the GPU would take: predicted from stated constants."""

from __future__ import annotations

from dataclasses import dataclass

from ntkspec.errors import MemoryBudgetError
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.linear_operator import operator_bytes
from ntkspec.kernel.low_rank import LARGEST
from ntkspec.kernel.panels import panel_width
from ntkspec.machine.memory import GIB, SHARE
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.solvers.lanczos import LANCZOS_K
from scaling.constants import Constants
from scaling.routes import NUMBER, Route, Work, memory
from scaling.several_gpus import LINKS, REACHED, Slabs
from scaling.storage import Storage

GPU_RATE = 60.6e12  # a second in matrix products of float64, measured on one H200
GPU_BANDWIDTH = 3.35e12  # of device memory, data sheet of the H100 SXM
PASSES = 8  # over a tile for each block of two factors: products written, multiplied, added
XSYEVD_MATRICES = 6  # that cuSOLVER's Xsyevd takes through CuPy: the matrix, a copy, a workspace of four


@dataclass(frozen=True)
class Device:
    """Where a route may run."""

    name: str
    memory_bytes: float

    @property
    def budget(self) -> int:
        """Bytes that the package plans with where nothing else is in memory."""
        return int(SHARE * self.memory_bytes)


LAPTOP = Device("laptop, 24 GiB", 24 * GIB)
NODE = Device("node, 192 GiB", 192 * GIB)
GPU = Device("GPU, 80 GB", 80e9)
DEVICES = (LAPTOP, NODE, GPU)


def fits(route: Route, work: Work, device: Device) -> bool:
    """Return whether the package's plan of a route fits a device; factors may come in panels."""
    kernel = work.kernel.replaced(budget=device.budget)
    if route == "gram":
        return SOLVERS["gram"].need(kernel).fits
    if route == "file":
        try:
            Assembly.from_kernel(kernel, targets_given=True)
        except MemoryBudgetError:
            return False
        return True
    return memory(route, work) <= device.budget and not declines(route, work)


def declines(route: Route, work: Work) -> bool:
    """Return whether the low-rank route would give up: there is too much to resolve."""
    return route == "low-rank" and work.rank > LARGEST * work.n


def gpu_seconds(route: Route, work: Work, machine: Constants, storage: Storage) -> float:
    """Return the seconds of a route on one GPU by stated rates, if it had the memory.

    Eigenvalues are those of the prototype's band reduction. Folding and singular values are at least what
    their operations and bytes take. The disk, and the vectors of a Lanczos iteration, are this machine's.
    """
    n = work.n
    if route == "gram":
        return _formed_s(work, work.entries) + _eigenvalues_s(n)
    if route == "file":
        sent = NUMBER * n**2 / (REACHED * LINKS["PCIe 5 x16"])
        return _formed_s(work, work.entries) + max(sent, NUMBER * n**2 / storage.write_rate)
    if route == "svd":
        panel = panel_width(work.kernel)
        fold = 2.0 * (n + panel) * n**2 - 2.0 * n**3 / 3  # a QR of the triangle above the panel
        folds = work.kernel.touched_width / panel
        return folds * fold / GPU_RATE + 2 * NUMBER * n**3 / 3 / GPU_BANDWIDTH
    if route == "dual":
        width = work.kernel.touched_width
        return 2.0 * n * width**2 / GPU_RATE + _eigenvalues_s(width)
    if route == "lanczos":
        product = max(work.apply_operations / GPU_RATE, operator_bytes(work.kernel) / GPU_BANDWIDTH)
        return work.habits.products * (product + n * LANCZOS_K * machine.vector_s)
    rows = _formed_s(work, float(work.rank) * n)
    return rows + 3.0 * n * work.rank**2 / GPU_RATE + _eigenvalues_s(work.rank)


def _formed_s(work: Work, entries: float) -> float:
    """Seconds to form entries of K: of their operations, or of the bytes of tiles, which no cache holds."""
    blocks = len(work.dense) + len(work.levels)
    moved = entries * NUMBER * (PASSES * blocks + 2)
    return max(entries * work.entry_operations / GPU_RATE, moved / GPU_BANDWIDTH)


def _eigenvalues_s(n: int) -> float:
    return Slabs(n, 1).seconds("NVLink 4")
