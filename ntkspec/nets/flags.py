"""The flags of training's command line: every option of `TrainConfig`, and those of the command itself."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ntkspec._version import PRODUCER
from ntkspec.errors import UsageError
from ntkspec.nets.config import OPTIONS, TrainConfig
from ntkspec.nets.devices import DEVICES
from ntkspec.nets.options import Option, nearest
from ntkspec.nets.presets import PRESETS

__all__ = ["COMMAND_OPTIONS", "GIVEN_OPTIONS", "make_parser", "read_flags"]

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
    Option("output", "", "output", str, "the run file to write; checkpoints go beside it", optional=True),
    Option(
        "everywhere",
        "",
        "everywhere",
        str,
        "write a second run file: the trained network alone, at every pixel of the picture; "
        "analyze --everywhere draws the kernel's eigenfunctions with it",
        optional=True,
    ),
    Option("overwrite", "", "overwrite", bool, "replace existing run files and their checkpoints"),
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
    Option(
        "device", "", "device", str, "where it is trained and exported (default auto: CUDA if there is any)"
    ),
)
GIVEN_OPTIONS = (*(option for option in OPTIONS if not option.hidden), *COMMAND_OPTIONS)


def read_flags(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the options that the command line gives, by name, and no others.

    Args:
        argv: its words; None: those of this process.

    Raises:
        UsageError: an unknown option, or a value that cannot work.
        SystemExit: after --help or --version.
    """
    options, unknown = make_parser().parse_known_args(argv)
    if unknown:
        raise _unknown_word(unknown[0])
    return vars(options)


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


class _Parser(argparse.ArgumentParser):
    """A parser that raises a UsageError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError for a message of argparse, such as "argument --side: expected one argument"."""
        name, _, complaint = message.removeprefix("argument ").rpartition(": ")
        missing = complaint.startswith("expected ")
        raise UsageError(
            f"option {name}" if name else "command line",
            expected=complaint.removeprefix("expected ") if missing else "options as --help shows them",
            got="none" if missing else complaint,
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
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=PRODUCER, help="print the version and exit")
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
