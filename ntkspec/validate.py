"""python -m ntkspec.validate: check that run files obey the contract, every number of them."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and h5py take their time
    from ntkspec.commands.cli import begin

    begin(trials=True)

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ntkspec import sandbox
from ntkspec.commands.cli import DONE, UNEXPECTED, Parser, one_line, positive, run_command
from ntkspec.display import counted
from ntkspec.machine.memory import format_bytes
from ntkspec.store import open_run

MOST_NAMES = 8  # of the snapshots of a file, in the line about it
EXAMPLE = "example:\n  python -m ntkspec.validate run.h5 other-writer.h5\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    return run_command(lambda: _validate_all(argv))


def _validate_all(argv: Sequence[str] | None) -> int:
    options = make_parser().parse_args(argv)
    worst = DONE
    with sandbox.server():
        for path in options.runs:
            worst = max(worst, run_command(partial(_validate, path, options.memory, options.quiet)))
            if worst > UNEXPECTED:  # a signal, which is meant for the whole command
                break
    return worst


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="python -m ntkspec.validate",
        description="Check run files against docs/run-format.md: structure, links, and every number.",
        epilog=EXAMPLE,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.h5", help="files to check")
    parser.add_argument(
        "--memory",
        type=positive(float),
        metavar="GIB",
        help="memory budget (default: 80%% of what is free)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


def _validate(path: Path, memory: float | None, quiet: bool) -> int:
    with open_run(path, memory=memory, trial=True) as run:
        run.check_values()
        if quiet:
            return DONE
        for warning in run.warnings:
            print(one_line(f"warning: {warning}"), file=sys.stderr)
        jacobian = run.snapshots[-1].jacobian
        names = [_name(snap.label, snap.step) for snap in run.snapshots]
        if len(names) > MOST_NAMES:
            names[MOST_NAMES - 2 : -1] = ["..."]
        summary = (
            f"{path}: valid. {repr(run.label) if run.label else 'Without a label,'} by {run.producer}: "
            f"{counted(sample=run.samples, output=jacobian.outputs, parameter=jacobian.width)} in "
            f"{counted(block=len(jacobian))} "
            f"({', '.join(jacobian.roles)}), {jacobian.dtype}, {format_bytes(jacobian.nbytes)} a snapshot; "
            f"{counted(snapshot=len(run))}: {', '.join(names)}"
        )
        print(one_line(summary))
    return DONE


def _name(label: str, step: int) -> str:
    return label if label == f"step {step}" else f"{label} (step {step})"


if __name__ == "__main__":
    sys.exit(main())
