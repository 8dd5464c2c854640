"""What a route takes for a kernel of n samples: memory, bytes moved, operations, seconds on this machine.

Memory is what the package's plans say. Bytes are those that main memory has to deliver or take where caches
hold no more than a tile or a panel; they are derived, not measured, and what is far smaller is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ntkspec.backend import two_stage
from ntkspec.backend.arrays import MEETING, WIDEST
from ntkspec.jacobian import SparseFactor
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.linear_operator import operator_bytes
from ntkspec.kernel.low_rank import BLOCK
from ntkspec.kernel.panels import panel_width
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.solvers.cholesky import rank_bytes
from ntkspec.spectral.solvers.lanczos import LANCZOS_K
from ntkspec.summation import PANEL
from scaling.constants import Constants
from scaling.storage import Storage

Route = Literal["gram", "file", "svd", "dual", "lanczos", "low-rank"]
ROUTES: tuple[Route, ...] = get_args(Route)
BAND = 32  # width of the band of LAPACK's two stages, from the size of the workspace that it asks for
NUMBER = 8  # bytes


@dataclass(frozen=True)
class Level:
    """A level of a grid: a sparse factor on the left."""

    lookups: int  # of a sample
    nodes: int
    width: int  # of the dense factor beside it

    @property
    def written_out(self) -> bool:
        """Whether tiles take it as a dense factor: nearly every pair of samples meets in a node."""
        return self.nodes <= WIDEST and MEETING * self.lookups**2 > self.nodes**2

    @property
    def meetings(self) -> float:
        """Nodes that two samples share on average, of samples that are spread evenly."""
        return self.lookups**2 / self.nodes


@dataclass(frozen=True)
class Habits:
    """What only measuring tells of a network and its spectrum."""

    facts_s: float  # a sample: what a spectrum needs besides eigenvalues, such as sizes, ranks and regions
    products: int  # K v in a Lanczos iteration for `LANCZOS_K` eigenvalues
    rank_at: int  # samples at which the numerical rank was found
    rank: int
    growth: float  # exponent of n by which it grew between two sizes

    def rank_of(self, n: int, parameters: int) -> int:
        """Return the numerical rank of n samples if it goes on growing so; n or the parameters at most."""
        return int(min(n, parameters, self.rank * (n / self.rank_at) ** self.growth))


@dataclass(frozen=True)
class Work:
    """A kernel of some n, of which nothing but sizes need be there, and what its arithmetic depends on."""

    kernel: Kernel
    dense: tuple[tuple[int, int], ...]  # widths of blocks of two dense factors
    levels: tuple[Level, ...]
    habits: Habits

    @classmethod
    def of(cls, kernel: Kernel, habits: Habits) -> Work:
        """Read the sizes of a kernel's blocks."""
        pairs, levels = [], []
        for block in kernel.rows:
            if isinstance(block.left, SparseFactor):
                levels.append(Level(block.left.entries, block.left.columns, block.right.width))
            else:
                pairs.append(block.widths)
        return cls(kernel, tuple(pairs), tuple(levels), habits)

    @property
    def n(self) -> int:
        """Rows of the kernel."""
        return self.kernel.size

    @property
    def entries(self) -> float:
        """Entries of K that are computed: those on and below the diagonal."""
        return self.n * (self.n + 1) / 2

    @property
    def rank(self) -> int:
        """The numerical rank as it is expected."""
        return self.habits.rank_of(self.n, self.kernel.rows.width)

    @property
    def pair_widths(self) -> tuple[tuple[int, int], ...]:
        """Widths of the factors of which tiles make dense products."""
        return (*self.dense, *((level.nodes, level.width) for level in self.levels if level.written_out))

    @property
    def entry_operations(self) -> float:
        """Operations of an entry of K in dense products."""
        return float(sum(2 * (a + b) for a, b in self.pair_widths))

    @property
    def apply_operations(self) -> float:
        """Operations of a product K v."""
        return 4.0 * self.n * sum(a * b for a, b in self.dense)

    def entry_s(self, constants: Constants) -> float:
        """Return the seconds of an entry of K."""
        sparse = [level for level in self.levels if not level.written_out]
        levels = sum(constants.level_s + level.meetings * constants.meeting_s for level in sparse)
        dense = len(self.pair_widths) * constants.block_s + self.entry_operations / constants.product_rate
        return constants.entry_s + dense + levels

    def apply_s(self, constants: Constants) -> float:
        """Return the seconds of a product K v."""
        lookups = self.n * sum(level.lookups for level in self.levels)
        return self.apply_operations / constants.apply_rate + lookups * constants.lookup_s


# -- memory


def memory(route: Route, work: Work) -> int:
    """Return the bytes that the package plans with for a route, with all factors in memory."""
    if route == "file":
        return Assembly.from_kernel(work.kernel, targets_given=True).needed
    if route == "low-rank":
        return rank_bytes(work.kernel, work.rank)
    return SOLVERS[route].need(work.kernel).needed


# -- bytes moved


def tile_bytes(work: Work, tile: int) -> float:
    """Return the bytes of all tiles: the factors of two strips for each, and K, which stores read first."""
    strips = work.n / tile
    return strips**2 / 2 * 2 * tile * _factor_bytes(work) + 2 * NUMBER * work.n**2


def solve_bytes(n: float) -> float:
    """Return the bytes of all eigenvalues of n rows.

    A panel of `BAND` columns reads one triangle of what is left for its product, and reads and writes it for
    the update, in two stages; in one stage each column alone reads it.
    """
    return (NUMBER / 2) * n**3 / 3 * (3 / BAND if n >= two_stage.SMALLEST else 1)


def gram_bytes(work: Work) -> float:
    """Return the bytes of forming K and solving it."""
    return tile_bytes(work, work.kernel.backend.tile) + solve_bytes(work.n)


def file_bytes(work: Work) -> float:
    """Return the bytes of forming K into a file: the tiles', K again to the disk, the factors hashed."""
    return tile_bytes(work, work.kernel.backend.tile) + NUMBER * work.n**2 + work.n * _factor_bytes(work)


def svd_bytes(work: Work) -> float:
    """Return the bytes of folding J, a panel at a time, and of the triangle's singular values.

    Each fold reads and writes a panel and one triangle; each column of the bidiagonal form reads what is left
    of the matrix twice.
    """
    n, columns = work.n, work.kernel.touched_width
    folds = columns / panel_width(work.kernel)
    return 2 * NUMBER * (n * columns + folds * n**2 / 2) + 2 * NUMBER * n**3 / 3


def dual_bytes(work: Work) -> float:
    """Return the bytes of J, written and read, of J^T J for each panel of samples, and of solving it."""
    n, width = work.n, work.kernel.touched_width
    return 2 * NUMBER * n * width + 3 * NUMBER * n / PANEL * width**2 + solve_bytes(width)


def lanczos_bytes(work: Work) -> float:
    """Return the bytes of a Lanczos iteration.

    A product reads the factors for J^T v and again for J u; a step reads a basis that has 2 k vectors when it
    is full, twice for each of two orthogonalisations.
    """
    factors = operator_bytes(work.kernel)
    basis = 4 * NUMBER * work.n * LANCZOS_K
    return work.habits.products * (factors + basis)


def low_rank_bytes(work: Work) -> float:
    """Return the bytes of the low-rank route: for each block of rows all factors and the rows so far."""
    n, rank = work.n, work.rank
    blocks = rank / BLOCK
    return blocks * n * (_factor_bytes(work) + NUMBER * rank / 2) + 2 * NUMBER * n * rank + solve_bytes(rank)


BYTES: Mapping[Route, Callable[[Work], float]] = {
    "gram": gram_bytes,
    "file": file_bytes,
    "svd": svd_bytes,
    "dual": dual_bytes,
    "lanczos": lanczos_bytes,
    "low-rank": low_rank_bytes,
}


def _factor_bytes(work: Work) -> float:
    """Bytes of a sample's factors."""
    return work.kernel.rows.nbytes / work.kernel.rows.samples


# -- seconds on this machine


def seconds(route: Route, work: Work, machine: Constants, storage: Storage) -> float:
    """Return the seconds of a route on the machine that was measured, if it had the memory."""
    n = work.n
    if route == "file":
        formed = work.entries * work.entry_s(machine)
        return formed + NUMBER * n**2 / storage.write_rate + n * _factor_bytes(work) / storage.hash_rate
    return n * work.habits.facts_s + _solver_s(route, work, machine, storage)


def _solver_s(route: Route, work: Work, machine: Constants, storage: Storage) -> float:
    n = work.n
    if route == "gram":
        return work.entries * work.entry_s(machine) + machine.solve_s(n)
    if route == "svd":
        columns = work.kernel.touched_width
        return 2.0 * n**2 * columns / machine.fold_rate + machine.singular_s * n**3
    if route == "dual":
        width = work.kernel.touched_width
        written = NUMBER * n * width / storage.copy_rate
        return written + 2.0 * n * width**2 / machine.product_rate + machine.solve_s(width)
    if route == "lanczos":
        step = n * LANCZOS_K * machine.vector_s
        return work.habits.products * (work.apply_s(machine) + step)
    rows = work.rank * n * work.entry_s(machine)
    return rows + machine.low_rank_s * n * work.rank**2 + machine.solve_s(work.rank)
