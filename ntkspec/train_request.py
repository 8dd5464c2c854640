"""Read and check the options of `python -m ntkspec.train`, of flags and a TOML file, without PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkspec.errors import UsageError
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.devices import check_device
from ntkspec.nets.flags import COMMAND_OPTIONS, GIVEN_OPTIONS, read_flags
from ntkspec.nets.presets import resolve
from ntkspec.nets.sections import read_toml, unnest


@dataclass(frozen=True)
class Command:
    """The values of a command line's options."""

    config: TrainConfig
    config_file: Path | None
    source: Path  # the picture or the mesh
    output: Path
    everywhere: Path | None  # the run file of every pixel
    overwrite: bool
    quiet: bool
    threads: int | None
    device: str  # auto, cpu, cuda or cuda:<number>

    @property
    def progress(self) -> bool:
        """Return whether to draw progress bars: on a terminal, unless quiet."""
        return not self.quiet and sys.stderr.isatty()

    def check_places(self) -> None:
        """Refuse, before any work, run files that cannot or must not be written.

        Raises:
            OutputError: a file of that name exists, or is one that is read.
        """
        from ntkspec.nets.run_folder import check_output  # these import h5py, which takes time
        from ntkspec.store.new_file import check_new_file

        inputs = [path for path in (self.source, self.config_file) if path]
        check_output(self.output, overwrite=self.overwrite, inputs=inputs)
        if self.everywhere:
            check_new_file(self.everywhere, overwrite=self.overwrite, inputs=inputs)


def read_command(argv: Sequence[str] | None) -> Command:
    """Read the words of the command line, and the TOML file that they may name.

    Raises:
        UsageError: an unknown option, a value that cannot work, or options that do not fit together.
    """
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
    output = _required(command.get("output"), "⟦--output⟧", "the run file to write, as in ⟦-o|output=run.h5⟧")
    source = _required(*_source(config))
    return Command(
        config,
        path,
        Path(source),
        Path(output),
        _everywhere(command.get("everywhere"), config, Path(output)),
        command.get("overwrite", False),
        command.get("quiet", False),
        command.get("threads"),
        check_device(command.get("device", "auto")),
    )


def _source(config: TrainConfig) -> tuple[str | None, str, str]:
    """Return the file to learn, and of a missing one the option and what to expect, for the message."""
    if config.task == "occupancy":
        return config.mesh, "⟦--mesh⟧", "a watertight mesh, as in ⟦--mesh=bunny.ply⟧"
    return (
        config.image,
        "⟦--image⟧ or ⟦--mesh⟧",
        "a picture, as in ⟦--image=photo.jpg⟧, or a mesh, as in ⟦--mesh=bunny.ply⟧",
    )


def _everywhere(path: str | None, config: TrainConfig, output: Path) -> Path | None:
    """Return the path of the run file of every pixel, or None where none is asked for."""
    if path is None:
        return None
    where = "option ⟦--everywhere⟧"
    if config.task == "occupancy":
        raise UsageError(
            where, expected="a picture, which has pixels", got="a mesh", remedy="leave out this option"
        )
    if Path(path).resolve() == output.resolve():
        raise UsageError(
            where,
            expected="another file than ⟦-o|output⟧",
            got=repr(path),
            remedy="give it a name of its own",
        )
    return Path(path)


def _required(value: str | None, flag: str, expected: str) -> str:
    if not value:
        raise UsageError(
            f"option {flag}", expected=expected, got="none", remedy="add it; --help shows an example"
        )
    return value
