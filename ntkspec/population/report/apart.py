"""Write a population's report in another process, so that its memory is given back when that ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ntkspec.errors import OutputError
from ntkspec.population.report.reading import Failed


def write_population_apart(
    reports: Sequence[Path], folder: Path, failures: Sequence[Failed], broken: Sequence[str]
) -> None:
    """Call `write.write_population` in another process: it needs much memory, and this one may run for days.

    Raises:
        OutputError: the other process failed, and has printed why.
    """
    request = {
        "reports": [str(report) for report in reports],
        "folder": str(folder),
        "failures": [asdict(failed) for failed in failures],
        "broken": list(broken),
    }
    words = [sys.executable, "-m", "ntkspec.population.report"]
    try:  # in a session of its own: Ctrl-C reaches this process alone, whose `run` then ends the other
        subprocess.run(words, input=json.dumps(request), text=True, check=True, start_new_session=True)
    except subprocess.CalledProcessError as error:
        raise OutputError(
            str(folder),
            expected="a report of all runs",
            got=f"an end with code {error.returncode}",
            remedy="see the line above; the results of the runs are kept",
        ) from None
