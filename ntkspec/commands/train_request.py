"""Read and check the options of `python -m ntkspec.train`, of flags and a TOML file, without PyTorch."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ntkspec.commands.cli import Parser
from ntkspec.errors import UsageError
from ntkspec.nets.config import OPTIONS, TrainConfig
from ntkspec.nets.devices import DEVICES, check_device
from ntkspec.nets.options import Option, nearest
from ntkspec.nets.presets import PRESETS, resolve
from ntkspec.nets.sections import read_toml, unnest

USAGE = "python -m ntkspec.train --image PICTURE --preset NAME -o RUN.h5 [options]   (--help lists them)"
METAVARS = {
    "output": "RUN.h5",
    "everywhere": "ALL.h5",
    "image": "PICTURE",
    "mesh": "MESH",
    "preset": "NAME",
    "device": DEVICES,
}

COMMAND_OPTIONS = (
    Option("output", str, "the run file to write; checkpoints go beside it", optional=True),
    Option(
        "everywhere",
        str,
        "write a second run file: the trained network alone, at every pixel of the picture; "
        "analyze --everywhere draws the kernel's eigenfunctions with it",
        optional=True,
    ),
    Option("overwrite", bool, "replace existing run files and their checkpoints"),
    Option("quiet", bool, "no progress bar and no summary"),
    Option(
        "threads",
        int,
        "of the processor (default: torch's choice)",
        least=1,
        most=4 * (os.cpu_count() or 1),
        optional=True,
    ),
    Option("device", str, "where it is trained and exported (default auto: CUDA if there is any)"),
)
GIVEN_OPTIONS = (*(option for option in OPTIONS if not option.hidden), *COMMAND_OPTIONS)


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
            OutputError: a file of that name exists, or is one that is read, or lies among the checkpoints.
        """
        from ntkspec.nets.run_folder import check_output, folder_beside  # these import h5py, which takes time
        from ntkspec.store.new_file import check_new_file, refused

        inputs = [path for path in (self.source, self.config_file) if path]
        check_output(self.output, overwrite=self.overwrite, inputs=inputs)
        if self.everywhere:
            check_new_file(self.everywhere, overwrite=self.overwrite, inputs=inputs)
            folder = folder_beside(self.output)
            if Path(os.path.realpath(self.everywhere)).is_relative_to(os.path.realpath(folder)):
                expected = f"a place outside {folder}, where checkpoints go"
                raise refused(self.everywhere, expected, "one inside", "give another ⟦--everywhere⟧")


def read_command(argv: Sequence[str] | None) -> Command:
    """Read the words of the command line, and the TOML file that they may name.

    Raises:
        UsageError: an unknown option, a value that cannot work, or options that do not fit together.
        SystemExit: after --help or --version.
    """
    given, unknown = make_parser().parse_known_args(argv)
    if unknown:
        raise _unknown_word(unknown[0])
    flags = vars(given)
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
    if os.path.realpath(path) == os.path.realpath(output):  # Path.resolve raises at links to themselves
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


def _unknown_word(word: str) -> UsageError:
    if not word.startswith("-"):
        return UsageError(
            "command line",
            expected="options and their values",
            got=repr(word),
            remedy="give a picture as ⟦--image⟧ PICTURE, a mesh as ⟦--mesh⟧ MESH",
        )
    flag = word.split("=")[0]
    close = nearest(flag, ["--config", "--help", "--version", *(option.flag for option in GIVEN_OPTIONS)])
    return UsageError(
        f"option {flag}",
        expected="one that --help lists",
        got="an unknown one",
        remedy=f"did you mean ⟦{close}⟧?" if close else "leave it out",
    )


class _Parser(Parser):
    """A parser that raises a UsageError where others print the error and exit."""

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError for a message of argparse, such as "argument --side: expected one argument"."""
        name, _, complaint = message.removeprefix("argument ").rpartition(": ")
        missing = complaint.startswith("expected ")
        expected, _, got = complaint.removeprefix("expected ").partition(", got ")
        raise UsageError(
            f"option {name}" if name else "command line",
            expected=expected if missing else "options as --help shows them",
            got=(got or "none") if missing else complaint,
            remedy="write it behind the option, with = between them if it begins with a dash"
            if missing
            else "see --help",
        )


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    presets = "\n".join(f"  {name:12} {preset.summary}" for name, preset in PRESETS.items())
    parser = _Parser(
        prog="python -m ntkspec.train",
        usage=USAGE,
        description="Train one coordinate network on a picture or a mesh, and write its kernel's run file.",
        epilog=f"presets:\n{presets}\n\n"
        "examples:\n  python -m ntkspec.train --image photo.jpg --preset mpe-fine -o fine.h5\n"
        "  python -m ntkspec.train --mesh bunny.ply --preset mpe-fine -o bunny.h5\n\n"
        "A TOML file gives the same options in sections; flags win over it, and both over the preset:\n"
        '  preset = "ffe-low"\n  [encoding]\n  sigma = 2.0\n  [optimizer]\n  iterations = 500\n',
        argument_default=argparse.SUPPRESS,
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
        arguments |= {"type": option.parse, "nargs": "+", "metavar": "STEP"}
    else:
        choices = f"{{{','.join(option.choices)}}}" if option.choices else None
        metavar = METAVARS.get(option.name, {int: "N", float: "X"}.get(option.kind, "TEXT"))
        arguments |= {"type": option.parse, "metavar": choices or metavar}
    group.add_argument(*short, option.flag, **arguments)
