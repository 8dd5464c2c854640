"""The flags of training's command line: every option of `TrainConfig`, and those of the command itself."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ntkspec.nets.config import OPTIONS, TrainConfig
from ntkspec.nets.options import Option
from ntkspec.nets.presets import PRESETS

__all__ = ["COMMAND_OPTIONS", "GIVEN_OPTIONS", "make_parser"]

USAGE = "python -m ntkspec.train --image PICTURE --preset NAME -o RUN.h5 [options]   (--help lists them)"
METAVARS = {"output": "RUN.h5", "image": "PICTURE", "mesh": "MESH"}

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


def make_parser() -> argparse.ArgumentParser:
    """A parser whose result holds what was given, by the options' names, and nothing else."""
    presets = "\n".join(f"  {name:12} {preset.summary}" for name, preset in PRESETS.items())
    parser = argparse.ArgumentParser(
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
