"""`python -m ntkspec.train`: train one configuration on a picture or a mesh and write one run file."""

from __future__ import annotations

if __name__ == "__main__":  # before PyTorch takes its seconds
    from ntkspec.cli import begin

    begin()

import importlib
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkspec.cli import console, run_command, warn, warnings_as_lines
from ntkspec.errors import UsageError
from ntkspec.extras import needs_torch
from ntkspec.nets.config import TrainConfig, read_toml, unnest
from ntkspec.nets.devices import check_device, described, find_device
from ntkspec.nets.flags import COMMAND_OPTIONS, GIVEN_OPTIONS, read_flags
from ntkspec.nets.flags import make_parser as make_parser  # as every command has it
from ntkspec.nets.presets import resolve
from ntkspec.progress import Say, progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ntkspec.nets.task import Task
    from ntkspec.nets.training import LossCurve, Training

METRICS = {  # those that the summary shows, where there are such: title and format
    "loss": ("loss", "{:.3e}"),
    "psnr_db": ("PSNR dB", "{:.2f}"),
    "psnr_db_learnt": ("learnt dB", "{:.2f}"),
    "psnr_db_held_out": ("held out dB", "{:.2f}"),
    "ms_ssim": ("MS-SSIM", "{:.4f}"),
    "iou": ("IoU", "{:.4f}"),
    "chamfer": ("Chamfer", "{:.4f}"),
}
CURVE_POINTS = 100  # most points of the loss curve inside the run file; all of them are beside it


@dataclass(frozen=True)
class Command:
    """What was asked for."""

    config: TrainConfig
    config_file: Path | None
    source: Path  # the picture or the mesh
    output: Path
    overwrite: bool
    quiet: bool
    threads: int | None
    device: str  # auto, cpu, cuda or cuda:<number>

    @property
    def progress(self) -> bool:
        """Whether to draw bars: a file or a pipe gets none."""
        return not self.quiet and sys.stderr.isatty()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    try:
        return run_command(lambda: _run(_parse(argv)))
    except SystemExit as stop:  # argparse, after --help
        return stop.code if isinstance(stop.code, int) else 2


def _parse(argv: Sequence[str] | None) -> Command:
    flags = read_flags(argv)
    path = flags.pop("config", None)
    layers = [unnest(read_toml(path), str(path), GIVEN_OPTIONS)] if path else []
    layers.append(
        {option.name: option.check(flags[option.name]) for option in GIVEN_OPTIONS if option.name in flags}
    )
    names = [option.name for option in COMMAND_OPTIONS]
    command: dict[str, Any] = {}
    for layer in layers:
        command |= {name: layer.pop(name) for name in names if name in layer}
    config = resolve(*layers)
    output = _required(command.get("output"), "--output", "the run file to write, as in -o run.h5")
    source = _required(*_source(config))
    return Command(
        config,
        path,
        Path(source),
        Path(output),
        command.get("overwrite", False),
        command.get("quiet", False),
        command.get("threads"),
        check_device(command.get("device", "auto")),
    )


def _source(config: TrainConfig) -> tuple[str | None, str, str]:
    """The file to learn, and what to say where none is given."""
    if config.task == "occupancy":
        return config.mesh, "--mesh", "a watertight mesh, as in --mesh bunny.ply"
    return (
        config.image,
        "--image or --mesh",
        "a picture, as in --image photo.jpg, or a mesh, as in --mesh bunny.ply",
    )


def _required(value: str | None, flag: str, expected: str) -> str:
    if not value:
        raise UsageError(
            f"option {flag}", expected=expected, got="none", remedy="add it; --help shows an example"
        )
    return value


def _run(command: Command) -> int:
    from ntkspec.nets.run_folder import check_output

    inputs = [path for path in (command.source, command.config_file) if path]
    check_output(command.output, overwrite=command.overwrite, inputs=inputs)
    with progress(quiet=command.quiet, bars=True) as say:
        say(f"reading {command.source}")
        _learn(command, say)
    return 0


def _learn(command: Command, say: Say) -> None:
    config = command.config
    task = load_task(config, command.source)
    for note in task.notes:
        warn(note)
    indices = task.sample(config.sampling, config.samples, config.seed)
    config = replace(config, outputs=task.channels, label=config.label or config.encoding)
    _start_torch(command.threads)
    device = str(find_device(command.device))
    from ntkspec.export import ExportWarning

    with warnings_as_lines(ExportWarning):
        _train_and_export(replace(command, config=config, device=device), task, indices, say)


def load_task(config: TrainConfig, source: Path) -> Task:
    """The task of a config, from its picture or mesh.

    Raises:
        UsageError: the file cannot be read, or is not what the config says.
    """
    if config.task == "occupancy":
        _import("ntkspec.nets.occupancy")
        from ntkspec.nets.occupancy import load_occupancy
        from ntkspec.nets.surface import View

        view = View(config.up, config.azimuth)  # type: ignore[arg-type]  # TrainConfig checks it
        return load_occupancy(source, config.points, seed=config.seed, view=view)
    _import("ntkspec.nets.image")
    from ntkspec.nets.image import load_image

    return load_image(source, config.side, grey=config.grey, held_out=config.held_out or 0.0)


def _import(*names: str) -> None:
    """Import modules that need the extra `torch`, whose absence is said in one line."""
    with needs_torch("training"):
        for name in names:
            importlib.import_module(name)


def _start_torch(threads: int | None) -> None:
    """Import torch; idle threads yield, since spinning slows a shared machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _import("ntkspec.nets.training", "ntkspec.export")
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _train_and_export(command: Command, task: Task, indices: NDArray[np.int64], say: Say) -> None:
    from ntkspec.nets.checkpoint import save_checkpoint
    from ntkspec.nets.run_folder import checkpoint_folder, write_curve
    from ntkspec.nets.training import train

    config = command.config
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
        start = time.perf_counter()
        write_run(
            command.output,
            training,
            task,
            indices,
            overwrite=command.overwrite,
            progress=command.progress,
            say=say,
        )
        seconds = time.perf_counter() - start
    if not command.quiet:
        _summary(command, training, f"{len(indices)} {task.unit}", seconds)


def write_run(
    path: Path,
    training: Training,
    task: Task,
    indices: NDArray[np.int64],
    *,
    overwrite: bool = False,
    progress: bool = False,
    say: Say = lambda _: None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the snapshots of a training as a run file, evaluated on the device where it was trained.

    Args:
        path: the run file.
        training: its snapshots are exported, in float64.
        task: what was learnt.
        indices: (n,) rows of the task at which the Jacobians are taken.
        overwrite: replace an existing run file.
        progress: draw a bar on stderr.
        say: called with a line for every snapshot and every chunk of its samples.
        notes: what else to keep in the run's config, such as what made it.

    Raises:
        OutputError: the file cannot be written; none is left then.
    """
    from ntkspec.export import RunExporter
    from ntkspec.nets.run_folder import part_beside

    device, history = described(training.device), _history(training.curve, training.seconds)
    config = {**training.config.to_dict(), "device": device, **(notes or {}), "training": history}
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
    opened = False
    try:
        with exporter as run:
            opened = True
            run.picture("truth", task.truth)
            for kept in training.snapshots:
                run.snapshot(
                    training.model(kept),
                    step=kept.step,
                    label=kept.label,
                    metrics=kept.metrics,
                    picture=kept.picture,
                )
    except BaseException:
        if opened:  # nothing here could resume the part that the exporter keeps
            part_beside(path).unlink(missing_ok=True)
        raise


def _history(curve: LossCurve, seconds: float) -> dict[str, Any]:
    """The loss curve, thinned so that it fits an attribute of the run file."""
    every = -(-len(curve.steps) // CURVE_POINTS)
    losses = [float(f"{loss:.5g}") for loss in curve.losses[::every]]
    return {"seconds": round(seconds, 3), "steps": curve.steps[::every].tolist(), "losses": losses}


def _summary(command: Command, training: Training, sampled: str, export_seconds: float) -> None:
    from rich.table import Table

    from ntkspec.nets.run_folder import folder_beside

    config, snapshots = training.config, training.snapshots
    shown = [name for name in METRICS if any(name in kept.metrics for kept in snapshots)]
    table = Table("snapshot", "step", *(METRICS[name][0] for name in shown), title=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for kept in snapshots:
        numbers = [
            METRICS[name][1].format(kept.metrics[name]) if name in kept.metrics else "-" for name in shown
        ]
        table.add_row(kept.label, str(kept.step), *numbers)
    console().print(table)
    asked = "" if sampled.startswith(f"{config.samples} ") else f" ({config.samples} asked for)"
    print(
        f"{config.label}: trained in {training.seconds:.1f} s, exported in {export_seconds:.1f} s, "
        f"on {described(training.device)}"
    )
    print(f"kernel at {sampled}{asked}, {config.sampling}")
    print(f"wrote {command.output} and {folder_beside(command.output)}{os.sep}")
    print(f"next: python -m ntkspec.analyze {shlex.quote(str(command.output))}")


if __name__ == "__main__":
    sys.exit(main())
