"""What does it cost, and gain, to have one large kernel computed by worker processes?

    python analysis/studies/shared_gram.py                   # n = 4,096: about a minute on 2 cores
    python analysis/studies/shared_gram.py --n 20000 --write # puts analysis/results/shared_gram.json too

Kernels of a made-up run, layers of dense factors and levels of a grid, go to files: by `write_kernels`
in one process, and by `write_kernels_with` over one worker and over two. Every process computes with one
thread, and has loaded and compiled what it needs before it is timed; the smallest of some times counts. The
kernels are compared bit by bit. Exit code 1: some entry differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tables import markdown

from ntkspec import Block, DenseFactor, Jacobian, Parameter, RunWriter, SparseFactor, open_run, write_kernels
from ntkspec.population.made_by import made_by
from ntkspec.report.places import names_in_file
from ntkspec.runs.analysis import RunSettings
from ntkspec.runs.shared_kernels import SIDE, SquareJob, write_kernels_with
from ntkspec.spectral.ablation import sums_of_blocks

RESULT = Path(__file__).parents[1] / "results" / "shared_gram.json"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
WORKERS = (1, 2)
LAYERS, LEVELS = 3, 8
CORNERS, FEATURES = 4, 2  # of a level: nodes that a sample reads, numbers at each
SMALL = 512  # samples of the run that warms up
KERNELS = "run-end.h5"  # the name of the file
ROWS = 256  # of two kernels that are compared at once


class Workers(ProcessPoolExecutor):
    """Processes that count the bytes of the squares that they wrote."""

    written = squares = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Submit a call; see `Executor.submit`."""
        if not (arguments and isinstance(arguments[0], SquareJob)):
            return super().submit(function, *arguments, **named)
        future = super().submit(_size_of_square, function, arguments[0])
        future.add_done_callback(self._count)
        return future

    def _count(self, future: Future[int]) -> None:
        self.written += future.result()
        self.squares += 1


def main() -> None:
    """Measure, print a table, write JSON if asked to."""
    options = _options()
    os.environ.update(dict.fromkeys(THREADS, "1"))  # for the workers, which import NumPy themselves
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_run(folder / "run.h5", options.n, options.width)
        write_run(folder / "small.h5", SMALL, options.width)
        ways = []
        for workers in (0, *WORKERS):
            ways.append(measured(folder, workers, options.turns))
            made = folder / str(workers) / KERNELS
            ways[-1]["entries_that_differ"] = differing(folder / "0" / KERNELS, made)
            if workers:
                made.unlink()
    print(f"n = {options.n}, load {load[0]:.1f} at the start\n\n{table(ways)}")
    if options.write:
        head = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **made_by(), "load_average": load}
        asked = {"n": options.n, "width": options.width}
        RESULT.write_text(json.dumps({**head, **asked, "ways": ways}, indent=1) + "\n")
    sys.exit(1 if any(way["entries_that_differ"] for way in ways) else 0)


def measured(folder: Path, workers: int, turns: int) -> dict[str, Any]:
    """One way: by so many workers, or for 0 by one process alone; its last file is left."""
    with Workers(max(workers, 1), get_context("spawn")) as pool:
        _seconds(pool, folder, workers, "small.h5")  # loads and compiles
        pool.written = pool.squares = 0
        seconds = [_seconds(pool, folder, workers, "run.h5") for _ in range(turns)]
    return {
        "workers": workers,
        "seconds": seconds,
        "squares": pool.squares // turns,
        "bytes_of_squares": pool.written // turns,
    }


def _seconds(pool: Workers, folder: Path, workers: int, run_file: str) -> float:
    made = folder / str(workers)
    made.mkdir(exist_ok=True)
    for file in made.iterdir():
        file.unlink()
    side = SMALL // 2 if run_file == "small.h5" else SIDE  # so that all workers are at work
    start = time.perf_counter()
    if workers:
        settings = RunSettings(backend="cpu")
        write_kernels_with(pool, folder / run_file, made, settings, at_once=workers + 1, side=side)
    else:
        pool.submit(write_alone, folder / run_file, made / KERNELS).result()
    return time.perf_counter() - start


def write_run(path: Path, n: int, width: int) -> None:
    """A run of layers with factors of this width and of levels of a grid; all numbers are random."""
    rng = np.random.default_rng(0)
    blocks = []
    for layer in range(LAYERS):
        left, right = (DenseFactor(rng.standard_normal((n, 1, width))) for _ in range(2))
        weight = Parameter("weight", (width, width))
        blocks.append(Block(f"layer.{layer}", "network", n, 1, left, right, layer, (weight,)))
    for level in range(LEVELS):
        nodes = int(16 * 1.5**level) ** 2
        read = SparseFactor(rng.integers(0, nodes, (n, CORNERS)), rng.random((n, 1, CORNERS)), nodes)
        right = DenseFactor(rng.standard_normal((n, 1, FEATURES)))
        features = Parameter("table", (nodes, FEATURES))
        blocks.append(Block(f"level.{level}", "grid", n, 1, read, right, LAYERS + level, (features,)))
    with (
        RunWriter(path, inputs=rng.random((n, 2)), label="made up") as run,
        run.snapshot("end", step=0, label="end") as snapshot,
    ):
        snapshot.write(0, rng.random((n, 1)), Jacobian(tuple(blocks)))


def write_alone(run_file: Path, path: Path) -> None:
    """The kernels of its snapshot by one process."""
    with open_run(run_file) as run:
        sums = sums_of_blocks(run.snapshot("end").jacobian, ())
        write_kernels(path, names_in_file(sums), backend="cpu")


def differing(expected: Path, made: Path) -> int:
    """Count the entries of all kernels whose bits are not the same."""
    found = 0
    with h5py.File(expected, "r") as one, h5py.File(made, "r") as other:
        for name, kernel in one["kernels"].items():
            for start in range(0, len(kernel), ROWS):
                part = slice(start, start + ROWS)
                bits = [file["kernels"][name][part].view(np.uint64) for file in (one, other)]
                found += int(np.count_nonzero(bits[0] != bits[1]))
    return found


def table(ways: Sequence[dict[str, Any]]) -> str:
    """A line for each way."""
    alone = min(ways[0]["seconds"])
    rows = []
    for way in ways:
        least = min(way["seconds"])
        counts = (way[count] for count in ("squares", "bytes_of_squares", "entries_that_differ"))
        cells = [f"{least:.1f}", f"{least / alone:.2f}", *(f"{count:,}" for count in counts)]
        rows.append([str(way["workers"] or "none: one process"), *cells])
    head = ["workers", "seconds", "of one process's", "squares", "bytes of squares", "entries that differ"]
    return markdown(head, rows)


def _size_of_square(function: Callable[[SquareJob], None], job: SquareJob) -> int:
    function(job)
    return job.place.stat().st_size


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=4096, help="samples (default: %(default)s)")
    parser.add_argument("--width", type=int, default=512, help="of a layer's factors (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=2, help="times of each way (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where files may lie meanwhile (default: the system's)")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
