"""`python -m ntkspec.train`: train one configuration on a picture or a mesh and write one run file."""

from __future__ import annotations

if __name__ == "__main__":  # before PyTorch takes its seconds
    from ntkspec.commands.cli import begin

    begin()

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ntkspec.commands.cli import after, console, line_on_stderr, run_command, warnings_as_lines
from ntkspec.commands.progress import Say, progress
from ntkspec.commands.train_request import Command, read_command
from ntkspec.commands.train_request import make_parser as make_parser  # as every command has it
from ntkspec.display import format_seconds
from ntkspec.extras import needs_torch
from ntkspec.machine.memory import format_bytes
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.devices import described, find_device
from ntkspec.qualities import QUALITIES, quality_of, values_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ntkspec.nets.task import Task
    from ntkspec.nets.training import LossCurve, Training

LOSS = "loss"
CURVE_POINTS = 100  # at most, of the loss curve in the run file; the whole curve is in the folder beside it


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    return run_command(lambda: _run(read_command(argv)))


def _run(command: Command) -> int:
    command.check_places()
    with progress(quiet=command.quiet, bars=True) as say:
        say(f"reading {command.source}")
        _learn(command, say)
    return 0


def _learn(command: Command, say: Say) -> None:
    config = command.config
    task = load_task(config, command.source)
    for note in task.notes:
        line_on_stderr(f"warning: {note}")
    indices = task.sample(config.sampling, config.samples, config.seed)
    config = replace(config, outputs=task.channels, label=config.label or config.encoding)
    _start_torch(command.threads)
    device = str(find_device(command.device))
    from ntkspec.export import ExportWarning

    with warnings_as_lines(ExportWarning):
        _train_and_export(replace(command, config=config, device=device), task, indices, say)


def load_task(config: TrainConfig, source: Path) -> Task:
    """Return the task of a config, loaded from its picture or mesh.

    Raises:
        UsageError: the file cannot be read, or is not of the kind that the config states.
    """
    if config.task == "occupancy":
        with needs_torch("training"):
            from ntkspec.nets.occupancy import load_occupancy
            from ntkspec.nets.surface import View
        view = View(config.up, config.azimuth)  # type: ignore[arg-type]  # TrainConfig checks it
        return load_occupancy(source, config.points, seed=config.seed, view=view)
    with needs_torch("training"):
        from ntkspec.nets.image import load_image
    return load_image(source, config.side, grey=config.grey, held_out=config.held_out or 0.0)


def _start_torch(threads: int | None) -> None:
    """Import torch with idle threads that sleep, since busy waiting slows a shared machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with needs_torch("training"):
        import torch
    if threads is not None:
        torch.set_num_threads(threads)


def _train_and_export(command: Command, task: Task, indices: NDArray[np.int64], say: Say) -> None:
    from ntkspec.nets.checkpoint import save_checkpoint
    from ntkspec.nets.run_folder import checkpoint_folder, write_curve
    from ntkspec.nets.training import train

    config = command.config
    if command.everywhere and not command.quiet:
        _foretell(config, task, command.device)
    with checkpoint_folder(command.output) as folder:
        training = train(
            config,
            task,
            device=command.device,
            progress=command.progress,
            say=say,
            on_snapshot=lambda kept: save_checkpoint(
                folder / f"{kept.label}.pt", config, kept.step, kept.state
            ),
        )
        write_curve(folder, training.curve.steps, training.curve.losses)
        write = partial(write_run, overwrite=command.overwrite, progress=command.progress, say=say)
        start = time.perf_counter()
        write(command.output, training, task, indices)
        seconds = time.perf_counter() - start
    if command.everywhere:
        end = replace(training, snapshots=training.snapshots[-1:])
        with after(f"the run is in {command.output}"):
            write(command.everywhere, end, task, _all_rows(task))
    if not command.quiet:
        _summary(command, training, len(indices), task.unit, seconds)


def _all_rows(task: Task) -> NDArray[np.int64]:
    import numpy as np

    return np.arange(len(task.coordinates))


def _foretell(config: TrainConfig, task: Task, device: str) -> None:
    """Print the expected size and writing time of a run file with the Jacobians at every pixel."""
    from ntkspec.export import forecast
    from ntkspec.nets.build import build_model

    cost = forecast(build_model(config).to(device), task.coordinates)
    size, seconds = format_bytes(cost.bytes), format_seconds(cost.seconds)
    print(f"every pixel: {cost.samples:,} {task.unit} take {size} and about {seconds}", flush=True)


def write_run(
    path: Path,
    training: Training,
    task: Task,
    indices: NDArray[np.int64],
    *,
    overwrite: bool = False,
    progress: bool = False,
    say: Say = lambda _: None,
    notes: Mapping[str, object] | None = None,
) -> None:
    """Write the snapshots of a training as a run file; networks are evaluated where they were trained.

    Args:
        path: the run file.
        training: its snapshots are exported, in float64.
        task: the picture or the mesh that was learnt.
        indices: (n,) rows of the task at which the Jacobians are taken.
        overwrite: replace an existing run file.
        progress: draw a bar on stderr.
        say: called with a line for every snapshot and every chunk of its samples.
        notes: what else to keep in the run's config, such as what made it.

    Raises:
        OutputError: the file cannot be written; nothing is left of it.
    """
    from ntkspec.export import RunExporter
    from ntkspec.store.new_file import all_or_nothing

    device, history = described(training.device), _history(training.curve, training.seconds)
    config = {
        **training.config.to_dict(),
        "family": training.config.family,
        "device": device,
        **(notes or {}),
        "training": history,
    }
    exporter = RunExporter(
        path,
        inputs=task.coordinates[indices],
        targets=task.values[indices],
        indices=indices,
        label=training.config.label or "",
        config=config,
        overwrite=overwrite,
        progress=progress,
        say=say,
    )
    with all_or_nothing(exporter, path) as run:  # nothing here could resume an unfinished file
        run.picture("truth", task.truth)
        for kept in training.snapshots:
            run.snapshot(
                training.model(kept),
                step=kept.step,
                label=kept.label,
                metrics=kept.metrics,
                picture=kept.picture,
            )


def _history(curve: LossCurve, seconds: float) -> dict[str, object]:
    """Return the seconds and the loss curve, thinned so that it fits an attribute of the run file."""
    every = -(-len(curve.steps) // CURVE_POINTS)
    losses = [float(f"{loss:.5g}") for loss in curve.losses[::every]]
    return {"seconds": round(seconds, 3), "steps": curve.steps[::every].tolist(), "losses": losses}


def _title(name: str) -> str:
    """Return the head of a metric's column, with its unit."""
    return f"{quality_of(name).title} {quality_of(name).unit}".strip()


def _number(name: str, value: float | None) -> str:
    """Return a metric with more digits than reports show, without its unit."""
    if value is None:
        return "-"
    return f"{value:{'.3e' if name == LOSS else quality_of(name).precise}}"


def _summary(command: Command, training: Training, samples: int, unit: str, export_seconds: float) -> None:
    from rich.table import Table

    from ntkspec.nets.run_folder import folder_beside

    config, snapshots = training.config, training.snapshots
    shown = [
        name for name in (LOSS, *QUALITIES) if any(name in values_of(kept.metrics) for kept in snapshots)
    ]
    table = Table("snapshot", "step", *(_title(name) for name in shown), title=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for kept in snapshots:
        numbers = [_number(name, values_of(kept.metrics).get(name)) for name in shown]
        table.add_row(kept.label, str(kept.step), *numbers)
    console().print(table)
    asked = "" if samples == config.samples else f" ({config.samples} asked for)"
    print(
        f"{config.label}: trained in {training.seconds:.1f} s, exported in {export_seconds:.1f} s, "
        f"on {described(training.device)}"
    )
    print(f"kernel at {samples} {unit}{asked}, {config.sampling}")
    print(f"wrote {command.output} and {folder_beside(command.output)}{os.sep}")
    following = shlex.quote(str(command.output))
    if command.everywhere:
        print(f"wrote {command.everywhere}: the end, at every pixel")
        following += f" --everywhere {shlex.quote(str(command.everywhere))}"
    print(f"next: python -m ntkspec.analyze {following}")


if __name__ == "__main__":
    sys.exit(main())
