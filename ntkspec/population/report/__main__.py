"""Write the report of a population in a process of its own, whose memory is given back when it ends.

It is told what to do on standard input, as JSON: {"reports", "folder", "failures", "broken"}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ntkspec.cli import DONE, run_command
from ntkspec.population.report import Failed, write_population


def main() -> int:
    """Do what standard input says; returns the exit code."""
    return run_command(_write)


def _write() -> int:
    asked = json.load(sys.stdin)
    failures = [Failed(**failure) for failure in asked["failures"]]
    reports = [Path(report) for report in asked["reports"]]
    write_population(reports, Path(asked["folder"]), failures, asked["broken"])
    return DONE


if __name__ == "__main__":
    sys.exit(main())
