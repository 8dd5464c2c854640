"""The command `python -m ntkspec.export`: checkpoints of a PyTorch model in, one run file out."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkspec._io import type_and_line
from ntkspec.commands.cli import DONE, one_line, run_command, warnings_as_lines
from ntkspec.commands.export_request import Request, Source, read_request
from ntkspec.commands.export_request import make_parser as make_parser  # as every command has it
from ntkspec.commands.progress import Say, progress
from ntkspec.errors import ExportError, UsageError
from ntkspec.nets.devices import described, find_device
from ntkspec.store.array_files import read_array
from ntkspec.store.new_file import all_or_nothing

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from ntkspec.export.factories import Factory


NETWORK = ("model", "encoding")  # sections of the config of ntkspec.train that say what the network is


@dataclass(frozen=True)
class Loader:
    """Makes models with the weights of checkpoints, on one device."""

    factory: Factory | None  # None: of checkpoints that ntkspec.train wrote
    device: torch.device

    def load(self, source: Source) -> Loaded:
        """Make the model of a checkpoint.

        Raises:
            UsageError: it is no checkpoint, or not of this model.
        """
        from ntkspec.export.checkpoints import load_state, read_checkpoint

        checkpoint = read_checkpoint(source.path, source.step)
        config: Mapping[str, Any] = {}
        if self.factory is None:
            model, config = _of_training(source.path)
        else:
            model = self.factory.build()
            load_state(model, checkpoint)
        model.to(self.device)
        return Loaded(model, source.place if checkpoint.step is None else checkpoint.step, config)


@dataclass(frozen=True)
class Loaded:
    """A model with the weights of a checkpoint."""

    model: nn.Module
    step: int
    config: Mapping[str, Any]  # of ntkspec.train, if it wrote the checkpoint


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(lambda: _export(read_request(argv)))


def _export(request: Request) -> int:
    request.check_place()
    inputs = read_array(request.inputs, "⟦--inputs⟧")
    targets = None if request.targets is None else read_array(request.targets, "⟦--targets⟧")
    from ntkspec.export import ExportWarning  # imports PyTorch, or says that it is not installed
    from ntkspec.export.arrays import as_rows
    from ntkspec.export.factories import find_factory, imports_from_here

    inputs = as_rows(inputs, "⟦--inputs⟧")
    targets = None if targets is None else as_rows(targets, "⟦--targets⟧")
    device = find_device(request.device)
    shown = progress(quiet=request.quiet, bars=True)
    with imports_from_here(), warnings_as_lines(ExportWarning), shown as say, _no_exit(request.model):
        say("reading the checkpoints")
        factory = find_factory(request.model, request.arguments) if request.model else None
        loader = Loader(factory, device)
        config = _check(request, loader, inputs, targets)
        _write(request, loader, inputs, targets, config, say)
    if not request.quiet:
        labels = ", ".join(source.label for source in request.sources)
        print(
            one_line(
                f"wrote {request.output}: {len(inputs)} samples on {described(device)}; snapshots: {labels}"
            )
        )
        print(f"next: python -m ntkspec.analyze {shlex.quote(str(request.output))}")
    return DONE


@contextlib.contextmanager
def _no_exit(model: str | None) -> Iterator[None]:
    """Turn a `SystemExit` of the user's model into an error: its exit code would be taken for this command's.

    Raises:
        UsageError: the block raised an exception that is neither an `Exception` nor an interrupt.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UsageError(
            f"⟦--model⟧ {model}",
            expected="a model that does not end the program",
            got=type_and_line(error),
            remedy="take out of its code what does, such as sys.exit()",
        ) from error


def _check(
    request: Request, loader: Loader, inputs: NDArray[np.floating], targets: NDArray[np.floating] | None
) -> Mapping[str, Any]:
    """Load every checkpoint once, before anything is computed, and return the config of the first one."""
    from ntkspec.export.factories import check_same, output_columns

    first, *others = request.sources
    loaded = loader.load(first)
    if loader.factory is not None:
        check_same(loaded.model, loader.load(first).model, inputs, loader.factory.name)
    width = output_columns(loaded.model, inputs)
    if request.columns is not None and width is not None and max(request.columns) >= width:
        raise UsageError(
            "⟦--outputs⟧",
            expected=f"numbers from 0 to {width - 1}, since the model has {width} outputs",
            got=str(max(request.columns)),
            remedy="number them from 0",
        )
    kept = width if request.columns is None else len(request.columns)
    if targets is not None and kept is not None and targets.shape != (len(inputs), kept):
        raise UsageError(
            "⟦--targets⟧",
            expected=f"shape {(len(inputs), kept)}, a row a sample and a column an output that is kept",
            got=f"{targets.shape}",
        )
    for source in others:
        other = loader.load(source)
        if any(other.config.get(part) != loaded.config.get(part) for part in NETWORK):
            raise UsageError(
                str(source.path),
                expected=f"a checkpoint of the network of {first.path}",
                got="one of another network",
                remedy="export it into a file of its own; analyze compares several files",
            )
    return loaded.config


def _write(
    request: Request,
    loader: Loader,
    inputs: NDArray[np.floating],
    targets: NDArray[np.floating] | None,
    config: Mapping[str, Any],
    say: Say,
) -> None:
    """Write the whole run file, or nothing: this command cannot resume an unfinished one."""
    from ntkspec.export import RunExporter
    from ntkspec.export.factories import keeping

    exporter = RunExporter(
        request.output,
        inputs=inputs,
        targets=targets,
        label=request.label or config.get("label") or request.output.stem,
        config={**config, "device": described(loader.device), "export": request.made_from()},
        roles=request.roles or None,
        precision=request.precision,
        memory=request.memory,
        overwrite=request.overwrite,
        progress=not request.quiet,
        say=say,
    )
    with all_or_nothing(exporter, request.output) as run:
        for source in request.sources:
            loaded = loader.load(source)
            with _about(source), keeping(loaded.model, request.columns):
                run.snapshot(loaded.model, step=loaded.step, label=source.label)


@contextlib.contextmanager
def _about(source: Source) -> Iterator[None]:
    """Add the checkpoint's path to an `ExportError` raised inside the `with` block."""
    try:
        yield
    except ExportError as error:
        raise error.but(inside=str(source.path)) from error


def _of_training(path: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """Return the network of a checkpoint that ntkspec.train wrote, and the config of that training."""
    from ntkspec.nets.checkpoint import load_checkpoint

    try:
        model, config, _ = load_checkpoint(path)
    except UsageError as error:
        raise UsageError(
            "⟦--model⟧",
            expected="package.module:factory",
            got=f"none, and {path} is no checkpoint of ntkspec.train",
            remedy="name what makes the model, e.g. ⟦--model=field:make⟧",
        ) from error
    return model.eval(), config.to_dict()


if __name__ == "__main__":
    sys.exit(main())
