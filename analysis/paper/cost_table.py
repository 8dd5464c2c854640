"""What an encoding costs: time and memory of training, export, kernel and spectrum, measured one by one.

    python -m analysis.paper.cost_table PICTURES --results paper/results

Each preset has a process of its own, with one thread, for its peak memory. Times are medians of five with
their range, after one that does not count; a step is one of the presets' own, of 4,096 pixels. Memory is by
how much the process's peak exceeds that of the same on a picture of 32 x 32 with 64 samples, which loads all
libraries.
"""

from __future__ import annotations

import math
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.paper import command
from analysis.paper.drawing import NAMES
from analysis.paper.tables import markdown
from ntkspec.nets.presets import PRESETS, resolve
from ntkspec.population.jobs import coloured
from ntkspec.population.json_files import read_json, write_json
from ntkspec.population.made_by import made_by
from ntkspec.population.sources import PICTURES

if TYPE_CHECKING:
    from ntkspec.nets.config import TrainConfig

STEPS, REPEATS = 30, 5
TINY = {"side": 32, "iterations": 1, "batch": 64, "samples": 64}


@dataclass(frozen=True)
class Cost:
    """One preset on one picture of 192 x 192, kernel at 1,024 pixels."""

    preset: str
    parameters: int
    step_ms: Sequence[float]  # one of each repeat, here and below
    export_s: Sequence[float]
    file_mib: float  # of one snapshot
    gram_s: Sequence[float]
    spectrum_s: Sequence[float]  # of the total, as `auto` finds it
    memory_mib: float


def measure(preset: str, picture: Path) -> Cost:
    """Train a little, export, assemble, solve."""
    _work(resolve({"preset": preset, **TINY}), picture, repeats=1)  # loads all libraries, compiles kernels
    before = _peak()
    found = _work(resolve({"preset": preset, "iterations": STEPS}), picture, REPEATS)
    return replace(found, memory_mib=(_peak() - before) / 2**20)


def _peak() -> int:
    """Return the most bytes of memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _work(config: TrainConfig, picture: Path, repeats: int) -> Cost:
    import ntkspec
    from ntkspec.nets.image import load_image
    from ntkspec.nets.training import train
    from ntkspec.train import write_run

    task = coloured(load_image(picture, config.side))
    trainings = [train(config, task) for _ in range(1 + repeats)][1:]
    training = trainings[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        indices = task.sample(config.sampling, config.samples, config.seed)
        whole_s = _times(lambda: write_run(path, training, task, indices, overwrite=True), repeats)
        size = path.stat().st_size / len(training.snapshots)
        with ntkspec.open_run(path) as run:
            jacobian = run.snapshot("end").jacobian.load()
    gram_s = _times(lambda: ntkspec.gram(jacobian, backend="cpu"), repeats)
    spectrum_s = _times(lambda: ntkspec.spectrum(jacobian, backend="cpu"), repeats)
    return Cost(
        preset=config.preset or "",
        parameters=sum(p.numel() for p in training.model(training.snapshots[0]).parameters()),
        step_ms=[1e3 * each.seconds / config.iterations for each in trainings],
        export_s=[seconds / len(training.snapshots) for seconds in whole_s],
        file_mib=size / 2**20,
        gram_s=gram_s,
        spectrum_s=spectrum_s,
        memory_mib=math.nan,  # see `measure`
    )


def _times(work: Callable[[], object], repeats: int) -> list[float]:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def spread(times: Sequence[float], digits: int) -> str:
    """Return the median and the range."""
    return "{:.{d}f} ({:.{d}f} to {:.{d}f})".format(
        statistics.median(times), min(times), max(times), d=digits
    )


def read(results: Path) -> list[Cost]:
    """Return what this command wrote into a folder of results."""
    return [Cost(**cost) for cost in read_json(results / "costs.json")["costs"]]


def table(costs: Sequence[Cost]) -> str:
    """Return a row for each preset, in Markdown."""
    rows = {
        NAMES[cost.preset]: {
            "parameters": f"{cost.parameters:,}",
            "step, ms": spread(cost.step_ms, 1),
            "export of a snapshot, s": spread(cost.export_s, 2),
            "its size, MiB": f"{cost.file_mib:.1f}",
            "Gram, s": spread(cost.gram_s, 3),
            "spectrum, s": spread(cost.spectrum_s, 2),
            "memory, MiB": f"{cost.memory_mib:.0f}",
        }
        for cost in costs
    }
    return markdown(pd.DataFrame.from_dict(rows, orient="index").rename_axis("encoding"))


def main() -> None:
    """Measure all presets, one after the other."""
    parser = command.parser(__doc__)
    parser.add_argument("pictures", type=Path, help="folder of pictures; the first is taken")
    parser.add_argument("--results", type=Path, required=True, help="folder for costs.json")
    options = parser.parse_args()
    picture = command.sources(options.pictures, PICTURES)[0]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the children import NumPy and PyTorch
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        costs = list(pool.map(measure, PRESETS, [picture] * len(PRESETS)))
    print(table(costs))
    content = {"environment": made_by(), "costs": [asdict(cost) for cost in costs]}
    write_json(options.results / "costs.json", content)


if __name__ == "__main__":
    command.run(main)
