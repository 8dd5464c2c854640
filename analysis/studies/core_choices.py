"""Are tiles, sparse products and the blocks of the pivoted Cholesky factorisation well chosen?

Tables for docs/adr/0012-tiles-and-threads.md and 0013-low-rank-by-pivoted-cholesky.md, of networks as
initialised. What a table compares is timed in turn, three times over; the smallest time of each counts, over
that of the choice made. Threads are those that BLAS may use (OMP_NUM_THREADS).

    python analysis/studies/core_choices.py              # a minute or two
    python analysis/studies/core_choices.py --n 8192
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from tables import markdown

from ntkspec import Jacobian, gram
from ntkspec.backend import CpuBackend, arrays, loops
from ntkspec.export import jacobian
from ntkspec.kernel import low_rank
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import gram_errors, magnitude_of

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

TILES = (128, 192, 256, 384, 512, 1024)
MEETINGS = (0, 64, 256, 1024)
KEEPS = (0.1, 0.01, 0.001, 0.0001)
BLOCKS = (32, 64, 128, 256)
TURNS = 3


class CsrProducts(CpuBackend):
    """The CPU backend with SciPy's product of sparse matrices in place of its sparse tile."""

    def add_tile(self, tile: Any, left: tuple[Any, Any] | None, right: tuple[Any, Any], repeat: int) -> None:
        """See `Backend.add_tile`."""
        if left is None:
            super().add_tile(tile, left, right, repeat)
        else:
            loops.add_product(tile, self._gram("left", *left), self._gram("right", *right), repeat)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=2048, help="samples (default: %(default)s)")
    n: int = parser.parse_args().n
    print(f"n = {n}, {CpuBackend().workers} threads, NumPy {np.__version__}\n")
    print(f"Time of a kernel, by rows of a tile:\n\n{by_tile(('mlp256', 'mlp512', 'multigrid'), n)}\n")
    print(f"Time of the multigrid's kernel, by MEETING and by product:\n\n{by_sparse_product(n)}\n")
    print(
        f"Pivoted Cholesky, by KEEP and BLOCK:\n\n{by_pivots('baseline', n)}\n\n{giving_up('multigrid', n)}"
    )


def by_tile(names: tuple[str, ...], n: int) -> str:
    """A line a network."""

    def over_chosen(name: str) -> list[str]:
        jac, out = load(name, n), np.empty((n, n))
        seconds = in_turn(lambda tile: gram(jac, backend="cpu", tile=tile, out=out), TILES)
        return [f"{seconds[tile] / seconds[CpuBackend.tile]:.2f}" for tile in TILES]

    return markdown(["network", *map(str, TILES)], [[name, *over_chosen(name)] for name in names])


def by_sparse_product(n: int) -> str:
    """Which factors go dense, and the CSR product that the sparse tile replaced."""
    jac, out, chosen = load("multigrid", n), np.empty((n, n)), arrays.MEETING
    csr = "CSR product"

    def run(way: int | str) -> None:
        with mock.patch.object(arrays, "MEETING", chosen if way == csr else way):
            gram(jac, backend=CsrProducts() if way == csr else "cpu", out=out)

    ways = (*MEETINGS, csr)
    seconds = in_turn(run, ways)
    return markdown(
        ["", *map(str, ways)], [["multigrid", *(f"{seconds[way] / seconds[chosen]:.2f}" for way in ways)]]
    )


def by_pivots(name: str, n: int) -> str:
    """The rank that is reached, rows of K that were computed for it, and the time."""
    jac, chosen = load(name, n), (low_rank.KEEP, low_rank.BLOCK)
    found: dict[tuple[float, int], tuple[int, int]] = {}

    def run(way: tuple[float, int]) -> None:
        found[way] = factorise(jac, *way)

    ways = [*((keep, chosen[1]) for keep in KEEPS), *((chosen[0], block) for block in BLOCKS)]
    seconds = in_turn(run, ways)
    rows = []
    for (keep, block), (rank, drawn) in found.items():
        time_taken = f"{seconds[keep, block] / seconds[chosen]:.2f}"
        rows.append([f"{name}, {keep:g}, {block}", str(rank or "gave up"), str(drawn), time_taken])
    return markdown(["network, KEEP, BLOCK", "rank", "rows of K computed", "time"], rows)


def giving_up(name: str, n: int) -> str:
    """What trying costs where the rank is not low."""
    jac, out = load(name, n), np.empty((n, n))
    rank, drawn = factorise(jac, low_rank.KEEP, low_rank.BLOCK)
    ways: dict[str, Callable[[], Any]] = {
        "gram": lambda: gram(jac, backend="cpu", out=out),
        "cholesky": lambda: factorise(jac, low_rank.KEEP, low_rank.BLOCK),
    }
    seconds = in_turn(lambda way: ways[way](), ways)
    said = f"reaches rank {rank}" if rank else "gives up"
    return (
        f"{name}: {said} after {drawn} rows, {seconds['cholesky'] / seconds['gram']:.2f} of the time of gram"
    )


def factorise(jac: Jacobian, keep: float, block: int) -> tuple[int, int]:
    """The rank reached, 0 if it gave up, and the rows of K that were computed."""
    drawn = 0
    pivots = low_rank._pivots

    def counted(rest: Any, noise: float) -> Any:
        nonlocal drawn
        drawn += len(rest)
        return pivots(rest, noise)

    kernel = Kernel(jac)
    sizes = kernel.fact(magnitude_of)
    floor = gram_errors(sizes, np.dtype(np.float64)).floor
    with mock.patch.multiple(low_rank, KEEP=keep, BLOCK=block, _pivots=counted):
        found = low_rank.factorise(kernel, floor, jac.samples // 2, sizes.entry_sums)
    return (len(found.rows) if found else 0), drawn


def load(name: str, n: int) -> Jacobian:
    """The Jacobian of one of the benchmarks' networks."""
    import networks

    return jacobian(networks.model(name), networks.inputs(n))


def in_turn(run: Callable[[Any], Any], ways: Iterable[Any]) -> dict[Any, float]:
    """The smallest time of each way, after an untimed turn."""
    seconds: dict[Any, list[float]] = {way: [] for way in ways}
    for _ in range(1 + TURNS):
        for way, times in seconds.items():
            start = time.perf_counter()
            run(way)
            times.append(time.perf_counter() - start)
    return {way: min(times[1:]) for way, times in seconds.items()}


if __name__ == "__main__":
    main()
