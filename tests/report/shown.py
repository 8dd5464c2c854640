"""What a report shows as text: the terminal's, and tables as a spreadsheet reads them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from rich.console import Console

from ntkspec.report.records import Report
from ntkspec.report.terminal import print_report


def printed(report: Report, width: int = 80, *, terminal: bool = False, details: bool = False) -> str:
    """What the terminal prints."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None
    )
    print_report(report, console, details=details)
    return file.getvalue()


def rows(write: Callable[[Report, Any], None], report: Report) -> list[dict[str, str]]:
    """The rows of a table by the names of its columns."""
    file = io.StringIO(newline="")
    write(report, file)
    return [*csv.DictReader(io.StringIO(file.getvalue(), newline=""))]
