"""What the command lines here share: one-line errors with exit code 2, as ntkspec's own, and parsers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ntkspec.cli import DONE, run_command
from ntkspec.errors import UsageError


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's main function and exit: 0 done, 2 bad input in one line, 130 interrupted."""

    def command() -> int:
        main()
        return DONE

    sys.exit(run_command(command))


def parser(description: str | None) -> argparse.ArgumentParser:
    """One that shows a script's docstring as it stands."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def study_and_output(description: str | None, output: str) -> tuple[Path, Path]:
    """A folder of run files, or of packed outcomes, and the file to write."""
    asked = parser(description)
    asked.add_argument("study", type=Path, help="folder of run files, or of packed outcomes")
    asked.add_argument("-o", "--output", type=Path, default=Path(output), help=f"(default {output})")
    options = asked.parse_args()
    return options.study, options.output


def no_runs(place: Path) -> UsageError:
    """What to say of a study without run files."""
    return UsageError(
        str(place),
        expected="a folder of folders of run files",
        got="none in it",
        remedy="make them first, see analysis/paper/README.md",
    )
