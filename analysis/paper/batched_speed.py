"""The speed of training many networks at once against one after the other, in one run.

    python -m analysis.paper.batched_speed PICTURES --results paper/results

Three ways, on one thread: `ntkspec.nets.training.train` for one picture; PyTorch's recipe for ensembles,
`stack_module_state` and `vmap` over whole networks; and `ntkspec.nets.population.train_population`, which
shares the encoding of the pixels. Milliseconds a step and network; medians of seven rounds with their range,
the ways taking turns.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.paper import command
from analysis.paper.cost_table import spread
from analysis.paper.drawing import NAMES
from analysis.paper.tables import markdown
from ntkspec.population.jobs import coloured
from ntkspec.population.json_files import write_json
from ntkspec.population.made_by import made_by
from ntkspec.population.sources import PICTURES

if TYPE_CHECKING:
    from ntkspec.nets.config import TrainConfig
    from ntkspec.nets.image import ImageTask

PRESETS = ("baseline", "ffe-medium", "mpe-coarse", "mpe-fine")
STEPS, ROUNDS = 20, 7


def one_by_one(config: TrainConfig, tasks: Sequence[ImageTask]) -> float:
    """Seconds of training them all, each alone."""
    from ntkspec.nets.training import train

    return sum(train(config, task).seconds for task in tasks)


def at_once(config: TrainConfig, tasks: Sequence[ImageTask]) -> float:
    """Seconds of training, by `train_population`."""
    from ntkspec.nets.population import train_population

    return sum(each.seconds for each in train_population(config, tasks, kept=()))


def by_vmap(config: TrainConfig, tasks: Sequence[ImageTask]) -> float:
    """Seconds of as many steps with the network mapped over stacked parameters, one learning rate for all."""
    import torch
    from torch.func import functional_call, stack_module_state, vmap

    from ntkspec.nets.build import build_model
    from ntkspec.nets.training import deterministic, draw_batch

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


def measure(preset: str, tasks: Sequence[ImageTask], batch: int) -> dict[str, list[float]]:
    """Milliseconds a step and network of every round, by way."""
    from ntkspec.nets.presets import resolve

    config = resolve({"preset": preset, "iterations": STEPS, "batch": batch})
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for run in WAYS.values():  # once before it counts
        run(config, tasks)
    for _ in range(ROUNDS):
        for way, run in WAYS.items():
            taken[way].append(1e3 * run(config, tasks) / STEPS / len(tasks))
    return taken


def main() -> None:
    """Measure four presets with 10 pictures, and with 3."""
    parser = command.parser(__doc__)
    parser.add_argument("pictures", type=Path, help="folder of pictures")
    parser.add_argument("--results", type=Path, required=True, help="folder for batched.json")
    parser.add_argument("--batch", type=int, default=2048, help="pixels a step (default 2048)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    from ntkspec.nets.image import load_image

    torch.set_num_threads(1)
    rows = []
    for preset in PRESETS:
        for together in (3, 10):
            chosen = command.sources(options.pictures, PICTURES, together)
            tasks = [coloured(load_image(path, 192)) for path in chosen]
            found = measure(preset, tasks, options.batch)
            rows.append({"preset": preset, "together": len(tasks), **found})
    print(table(rows))
    content = {"environment": made_by(), "batch": options.batch, "rows": rows}
    write_json(options.results / "batched.json", content)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a row for each population, in Markdown."""
    cells = {
        f"{NAMES[row['preset']]}, {row['together']} at once": {
            **{f"{way}, ms": spread(row[way], 1) for way in WAYS},
            **{
                f"{way}, times faster": f"{statistics.median(row[ALONE]) / statistics.median(row[way]):.2f}"
                for way in TOGETHER
            },
        }
        for row in rows
    }
    return markdown(pd.DataFrame.from_dict(cells, orient="index").rename_axis("networks"))


if __name__ == "__main__":
    command.run(main)
