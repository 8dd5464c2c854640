"""`python -m ntkspec.train`: train one configuration on a picture and write one run file."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkspec.cli import console, run_command
from ntkspec.errors import UsageError
from ntkspec.nets.config import OPTIONS, TrainConfig, read_toml, unnest
from ntkspec.nets.options import Option
from ntkspec.nets.presets import PRESETS, resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ntkspec.nets.image import ImageTask
    from ntkspec.nets.training import LossCurve, Training

USAGE = "python -m ntkspec.train --image PICTURE --preset NAME -o RUN.h5 [options]   (--help lists them)"
TORCH_WING = ("torch", "torchmetrics", "skimage")  # what the extra `torch` installs
METAVARS = {"output": "RUN.h5", "image": "PICTURE"}
CURVE_POINTS = 100  # most points of the loss curve inside the run file; all of them are beside it

COMMAND_OPTIONS = (
    Option("output", "", "output", str, "the run file to write; checkpoints go beside it", optional=True),
    Option("overwrite", "", "overwrite", bool, "replace an existing run file and its checkpoints"),
    Option("quiet", "", "quiet", bool, "no progress bar and no summary"),
    Option(
        "threads",
        "",
        "threads",
        int,
        "of the processor (default: torch's choice)",
        least=1,
        most=4 * (os.cpu_count() or 1),
        optional=True,
    ),
)
GIVEN_OPTIONS = (*(option for option in OPTIONS if not option.hidden), *COMMAND_OPTIONS)


@dataclass(frozen=True)
class Command:
    """What was asked for."""

    config: TrainConfig
    config_file: Path | None
    image: Path
    output: Path
    overwrite: bool
    quiet: bool
    threads: int | None

    @property
    def progress(self) -> bool:
        """Whether to draw bars: a file or a pipe gets none."""
        return not self.quiet and sys.stderr.isatty()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    try:
        return run_command(lambda: _run(_parse(argv)))
    except SystemExit as stop:  # argparse, after --help or a usage error
        return stop.code if isinstance(stop.code, int) else 2


def _parser() -> argparse.ArgumentParser:
    presets = "\n".join(f"  {name:12} {preset.summary}" for name, preset in PRESETS.items())
    parser = argparse.ArgumentParser(
        prog="python -m ntkspec.train",
        usage=USAGE,
        description="Train one coordinate network on a picture, and write its kernel's run file.",
        epilog=f"presets:\n{presets}\n\n"
        "example:\n  python -m ntkspec.train --image photo.jpg --preset mpe-fine -o fine.h5\n\n"
        "A TOML file gives the same options in sections; flags win over it, and both over the preset:\n"
        '  preset = "ffe-low"\n  [encoding]\n  sigma = 2.0\n  [optimizer]\n  iterations = 500\n',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="read options from this file")
    groups = {"": parser.add_argument_group("run")}
    for option in (*COMMAND_OPTIONS, *OPTIONS):
        if not option.hidden:
            if option.section not in groups:
                groups[option.section] = parser.add_argument_group(f"[{option.section}]")
            _add_flag(groups[option.section], option)
    return parser


def _add_flag(group: argparse._ArgumentGroup, option: Option) -> None:
    short = {"output": ["-o"], "quiet": ["-q"]}.get(option.name, [])
    default = getattr(TrainConfig, option.name, None)
    shown = (
        option.help if default in (None, ()) or option.kind is bool else f"{option.help} (default {default})"
    )
    arguments: dict[str, Any] = {"help": shown, "dest": option.name}
    if option.kind is bool:
        arguments["action"] = argparse.BooleanOptionalAction
    elif option.kind is tuple:
        arguments |= {"type": int, "nargs": "+", "metavar": "STEP"}
    elif option.name == "preset":
        arguments |= {"choices": list(PRESETS), "metavar": "NAME"}
    elif option.choices:
        arguments["choices"] = option.choices
    else:
        metavar = METAVARS.get(option.name, {int: "N", float: "X"}.get(option.kind, "TEXT"))
        arguments |= {"type": option.kind, "metavar": metavar}
    group.add_argument(*short, option.flag, **arguments)


def _parse(argv: Sequence[str] | None) -> Command:
    flags = vars(_parser().parse_args(argv))
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
    image = _required(config.image, "--image", "a picture, as in --image photo.jpg")
    overwrite, quiet = command.get("overwrite", False), command.get("quiet", False)
    return Command(config, path, Path(image), Path(output), overwrite, quiet, command.get("threads"))


def _required(value: str | None, flag: str, expected: str) -> str:
    if not value:
        raise UsageError(
            f"option {flag}", expected=expected, got="none", remedy="add it; --help shows an example"
        )
    return value


def _run(command: Command) -> int:
    from ntkspec.nets.image import load_image
    from ntkspec.nets.run_folder import check_output
    from ntkspec.nets.samples import sample_pixels

    inputs = [path for path in (command.image, command.config_file) if path]
    check_output(command.output, overwrite=command.overwrite, inputs=inputs)
    config = command.config
    task = load_image(command.image, config.side, grey=config.grey)
    for note in task.notes:
        _warn(note)
    indices = sample_pixels(config.sampling, config.side, config.samples, config.seed)
    config = replace(config, outputs=task.channels, label=config.label or config.encoding)
    _start_torch(command.threads)
    with _warnings_as_lines():
        _train_and_export(replace(command, config=config), task, indices)
    return 0


def _start_torch(threads: int | None) -> None:
    """Import torch; idle threads yield, since spinning slows a shared machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        for name in ("ntkspec.nets.training", "ntkspec.export"):
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in TORCH_WING:
            raise
        raise UsageError(
            "training",
            expected="PyTorch and its companions",
            got=f"no module named {error.name!r}",
            remedy='run: pip install "ntkspec[torch]"',
        ) from error
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _train_and_export(command: Command, task: ImageTask, indices: NDArray[np.int64]) -> None:
    from ntkspec.nets.checkpoint import save_checkpoint
    from ntkspec.nets.run_folder import checkpoint_folder, write_curve
    from ntkspec.nets.training import train

    config = command.config
    with checkpoint_folder(command.output) as folder:
        training = train(
            config,
            task,
            progress=command.progress,
            on_snapshot=lambda kept: save_checkpoint(
                folder / f"{kept.label}.pt", config, kept.step, kept.state
            ),
        )
        write_curve(folder, training.curve.steps, training.curve.losses)
        start = time.perf_counter()
        _export(command, task, indices, training)
        seconds = time.perf_counter() - start
    if not command.quiet:
        _summary(command, training, len(indices), seconds)


def _export(command: Command, task: ImageTask, indices: NDArray[np.int64], training: Training) -> None:
    from ntkspec.export import RunExporter
    from ntkspec.nets.image import to_uint8
    from ntkspec.nets.run_folder import part_beside

    config = {**training.config.to_dict(), "training": _history(training.curve, training.seconds)}
    exporter = RunExporter(
        command.output,
        inputs=task.coordinates[indices],
        targets=task.values[indices],
        indices=indices,
        label=training.config.label or "",
        config=config,
        overwrite=command.overwrite,
        progress=command.progress,
    )
    opened = False
    try:
        with exporter as run:
            opened = True
            run.picture("truth", to_uint8(task.image(task.values)))
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
            part_beside(command.output).unlink(missing_ok=True)
        raise


def _history(curve: LossCurve, seconds: float) -> dict[str, Any]:
    """The loss curve, thinned so that it fits an attribute of the run file."""
    every = -(-len(curve.steps) // CURVE_POINTS)
    losses = [float(f"{loss:.5g}") for loss in curve.losses[::every]]
    return {"seconds": round(seconds, 3), "steps": curve.steps[::every].tolist(), "losses": losses}


def _summary(command: Command, training: Training, samples: int, export_seconds: float) -> None:
    from rich.table import Table

    from ntkspec.nets.run_folder import folder_beside

    config = training.config
    table = Table("snapshot", *(title for title in ("step", "loss", "PSNR dB", "MS-SSIM")), title=None)
    for column in table.columns[1:]:
        column.justify = "right"
    formats = {"loss": "{:.3e}", "psnr_db": "{:.2f}", "ms_ssim": "{:.4f}"}
    for kept in training.snapshots:
        numbers = [
            text.format(kept.metrics[key]) if key in kept.metrics else "-" for key, text in formats.items()
        ]
        table.add_row(kept.label, str(kept.step), *numbers)
    console().print(table)
    asked = "" if samples == config.samples else f" ({config.samples} asked for)"
    print(f"{config.label}: trained in {training.seconds:.1f} s, exported in {export_seconds:.1f} s")
    print(f"kernel at {samples} pixels{asked}, {config.sampling}")
    print(f"wrote {command.output} and {folder_beside(command.output)}{os.sep}")
    print(f"next: python -m ntkspec.analyze {shlex.quote(str(command.output))}")


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Warnings of the exporter as one line each, once."""
    from ntkspec.export import ExportWarning

    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, ExportWarning):
                _warn(str(message))
            else:
                usual(message, category, *rest, **named)

        warnings.showwarning = show
        yield


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
