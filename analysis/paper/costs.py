"""What an encoding costs, and how fast many networks are trained at once, measured one by one on one thread.

    python -m analysis.paper.costs PICTURES --results paper/results

Costs are time and memory of training, export, kernel and spectrum. Each preset has a process of its own, for
its peak memory. Times are medians of five with their range, after one that does not count; a step is one of
the presets' own, of 4,096 pixels. Memory is by how much the process's peak exceeds that of the same on a
picture of 32 x 32 with 64 samples, which loads all libraries.

Speed is that of three ways to train many networks: `ntkspec.nets.training.train` for one picture after the
other; PyTorch's recipe for ensembles, `stack_module_state` and `vmap` over whole networks; and
`ntkspec.nets.population.train_population`, which shares the encoding of the pixels. Milliseconds a step and
network; medians of seven rounds with their range, the ways taking turns.
"""

from __future__ import annotations

import math
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.paper import command
from analysis.paper.drawing import NAMES
from analysis.paper.sources import PICTURES
from analysis.paper.tables import markdown
from ntkspec.commands.cli import positive
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.presets import PRESETS, resolve
from ntkspec.population.jobs import coloured
from ntkspec.population.json_files import write_json
from ntkspec.population.made_by import made_by

if TYPE_CHECKING:
    from ntkspec.nets.image import ImageTask

STEPS, REPEATS = 30, 5
TINY = {"side": 32, "iterations": 1, "batch": 64, "samples": 64}
AT_ONCE, ROUND_STEPS, ROUNDS = (3, 10), 20, 7
COMPARED = ("baseline", "ffe-medium", "mpe-coarse", "mpe-fine")


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
    return Cost(
        preset=config.preset or "",
        parameters=sum(p.numel() for p in training.model(training.snapshots[0]).parameters()),
        step_ms=[1e3 * each.seconds / config.iterations for each in trainings],
        export_s=[seconds / len(training.snapshots) for seconds in whole_s],
        file_mib=size / 2**20,
        gram_s=_times(lambda: ntkspec.gram(jacobian, backend="cpu"), repeats),
        spectrum_s=_times(lambda: ntkspec.spectrum(jacobian, backend="cpu"), repeats),
        memory_mib=math.nan,  # see `measure`
    )


def _times(work: Callable[[], object], repeats: int) -> list[float]:
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times[1:]


def one_by_one(config: TrainConfig, tasks: Sequence[ImageTask]) -> float:
    """Return the seconds of training them all, each alone."""
    from ntkspec.nets.training import train

    return sum(train(config, task).seconds for task in tasks)


def at_once(config: TrainConfig, tasks: Sequence[ImageTask]) -> float:
    """Return the seconds of training by `train_population`."""
    from ntkspec.nets.population import train_population

    return sum(each.seconds for each in train_population(config, tasks, kept=()))


def by_vmap(config: TrainConfig, tasks: Sequence[ImageTask]) -> float:
    """Return the seconds of as many steps with the network mapped over stacked parameters, at one rate."""
    import torch
    from torch.func import functional_call, stack_module_state, vmap

    from ntkspec.nets.build import build_model
    from ntkspec.nets.steps import draw_batch
    from ntkspec.nets.training import deterministic

    model = build_model(config)
    stacked, buffers = stack_module_state([build_model(config) for _ in tasks])
    parameters = {name: tensor.detach().clone().requires_grad_() for name, tensor in stacked.items()}
    optimizer = torch.optim.Adam(parameters.values(), config.lr)
    generator = torch.Generator().manual_seed(config.seed)
    x = torch.from_numpy(tasks[0].coordinates)
    y = torch.stack([torch.from_numpy(task.values) for task in tasks], dim=1)
    start = time.perf_counter()
    with deterministic():
        for _ in range(config.iterations):
            rows, values = draw_batch(x, y, config.batch, generator)
            optimizer.zero_grad(set_to_none=True)
            outputs = vmap(lambda p, b, rows=rows: functional_call(model, (p, b), (rows,)))(
                parameters, buffers
            )
            ((outputs - values.transpose(0, 1)) ** 2).mean(dim=(1, 2)).sum().backward()
            optimizer.step()
    return time.perf_counter() - start


ALONE, TOGETHER = "one after the other", ("vmap", "population")
WAYS: dict[str, Callable[[TrainConfig, Sequence[ImageTask]], float]] = {
    ALONE: one_by_one,
    "vmap": by_vmap,
    "population": at_once,
}


def measure_ways(preset: str, pictures: Sequence[Path], batch: int) -> dict[str, Any]:
    """Return the milliseconds a step and network of every round, by way, and what was trained."""
    from ntkspec.nets.image import load_image

    tasks = [coloured(load_image(path, 192)) for path in pictures]
    config = resolve({"preset": preset, "iterations": ROUND_STEPS, "batch": batch})
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for run in WAYS.values():  # once before it counts
        run(config, tasks)
    for _ in range(ROUNDS):
        for way, run in WAYS.items():
            taken[way].append(1e3 * run(config, tasks) / ROUND_STEPS / len(tasks))
    return {"preset": preset, "together": len(tasks), **taken}


def spread(times: Sequence[float], digits: int) -> str:
    """Return the median and the range."""
    shown = (f"{each:.{digits}f}" for each in (statistics.median(times), min(times), max(times)))
    return "{} ({} to {})".format(*shown)


def table(costs: Sequence[Cost]) -> str:
    """Return what each preset costs, in Markdown."""
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
    return markdown(rows, "encoding")


def speed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the speed of every way, in Markdown."""
    cells = {}
    for row in rows:
        middle = {way: statistics.median(row[way]) for way in WAYS}
        cells[f"{NAMES[row['preset']]}, {row['together']} at once"] = {
            **{f"{way}, ms": spread(row[way], 1) for way in WAYS},
            **{f"{way}, times faster": f"{middle[ALONE] / middle[way]:.2f}" for way in TOGETHER},
        }
    return markdown(cells, "networks")


def main() -> None:
    """Measure the costs of all presets, then the speed of every way, with 3 pictures and with 10."""
    parser = command.parser(__doc__)
    parser.add_argument("pictures", type=Path, help="folder of pictures; costs are of the first")
    parser.add_argument("--results", type=Path, required=True, help="folder for costs.json and batched.json")
    parser.add_argument(
        "--batch", type=positive(int), default=2048, help="pixels a step of many networks (default 2048)"
    )
    options = parser.parse_args()
    command.check_folder(options.results)
    chosen = {count: command.sources(options.pictures, PICTURES, count) for count in AT_ONCE}
    picture = command.sources(options.pictures, PICTURES)[0]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the children import NumPy and PyTorch
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        costs = list(pool.map(measure, PRESETS, [picture] * len(PRESETS)))
    print(table(costs))
    write_json(
        options.results / "costs.json", {"environment": made_by(), "costs": [asdict(cost) for cost in costs]}
    )
    import torch

    torch.set_num_threads(1)
    rows = [measure_ways(preset, chosen[count], options.batch) for preset in COMPARED for count in AT_ONCE]
    print(speed_table(rows))
    write_json(
        options.results / "batched.json", {"environment": made_by(), "batch": options.batch, "rows": rows}
    )


if __name__ == "__main__":
    command.run(main)
