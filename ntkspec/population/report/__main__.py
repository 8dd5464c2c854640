"""Write the report of a population in a process of its own, whose memory is given back when it ends.

Read the arguments of `write_population` from standard input, as a JSON object with the keys "reports",
"folder", "failures" and "broken".
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ntkspec.commands.cli import DONE, run_command
from ntkspec.population.report import Failed, write_population


def main() -> int:
    """Write the report described by the JSON on standard input; return the exit code."""
    return run_command(_write)


def _write() -> int:
    request = json.load(sys.stdin)
    failures = [Failed(**failure) for failure in request["failures"]]
    reports = [Path(report) for report in request["reports"]]
    write_population(reports, Path(request["folder"]), failures, request["broken"])
    return DONE


if __name__ == "__main__":
    sys.exit(main())
