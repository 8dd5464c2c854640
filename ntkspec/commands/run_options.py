"""Define the options of commands that analyse run files, and convert them to settings."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import get_args

from ntkspec.backend import Choice, Precision
from ntkspec.commands.cli import Parser, positive, whole
from ntkspec.errors import UsageError, shown
from ntkspec.jacobian import Outputs
from ntkspec.runs.settings import MOST_MODES, RunSettings, When
from ntkspec.spectral import MethodChoice
from ntkspec.spectral.choose import AUTO


def add_settings(parser: Parser) -> None:
    """Add the options from which `settings_of` makes settings."""
    add = parser.add_argument
    add("--snapshot", default="all", metavar="LABEL|ID|STEP|all", help="which snapshots (default: all)")
    add(
        "--method",
        default="auto",
        choices=get_args(MethodChoice),
        help=f"solver of the eigenvalues; auto (default): {AUTO}",
    )
    add("-k", type=positive(int), metavar="K", help="only the K largest eigenvalues")
    add(
        "--outputs",
        type=_outputs,
        default="trace",
        metavar="trace|full|INT",
        help="how several outputs make one kernel: trace (default) adds up their kernels, full keeps them "
        "apart, a number takes one of them",
    )
    add(
        "--drop",
        action="append",
        nargs="+",
        default=[],
        metavar="ROLE|BLOCK",
        help="also analyse the kernel without these; may be repeated; put the run files before it",
    )
    add("--samples", type=positive(int), metavar="N", help="N of the samples, drawn at random (default: all)")
    add("--seed", type=whole, metavar="S", help="of that draw (default: 0)")
    add(
        "--backend",
        default="auto",
        choices=get_args(Choice),
        help="what computes; auto (default): the GPU if CuPy sees one",
    )
    add("--precision", default="float64", choices=get_args(Precision), help="of the kernel (default float64)")
    add(
        "--memory",
        type=positive(float),
        metavar="GIB",
        help="memory budget of the host (default: 80%% of what is free); a GPU has its own",
    )
    add(
        "--alignment",
        default="auto",
        choices=get_args(When),
        help="say how much of the targets each mode of the kernel holds, which takes its eigenvectors; "
        f"auto (default): up to {MOST_MODES:,} of them, where they fit in memory",
    )
    add(
        "--check",
        action="store_true",
        help="compute every total kernel and spectrum in a second way, and report how far they differ",
    )


def settings_of(options: argparse.Namespace) -> RunSettings:
    """Return the settings for the options of a command line.

    Raises:
        UsageError: a seed without --samples, or options that do not fit together.
    """
    if options.seed is not None and options.samples is None:
        raise UsageError(
            "⟦--seed⟧",
            expected="⟦--samples⟧ beside it",
            got="all samples",
            remedy="add ⟦--samples⟧ N, or leave it out",
        )
    settings = {field.name: getattr(options, field.name) for field in fields(RunSettings)}
    return RunSettings(**settings | {"drop": tuple(map(tuple, options.drop)), "seed": options.seed or 0})


def _outputs(text: str) -> Outputs:
    if text == "trace":
        return "trace"
    if text == "full":
        return "full"
    try:
        return whole(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"expected trace, full or an output's number, got {shown(text)}"
        ) from None
