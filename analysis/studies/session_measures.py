"""Measures of a session: how long the reprs are, in characters, and what importing ntkspec takes.

python analysis/studies/session_measures.py [RUN.h5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ntkspec

ROOT = Path(__file__).parents[2]
REPEATS = 9
# What ntkspec imports of NumPy, SciPy and h5py is loaded before the clock starts.
CLOCK = """
import sys, ntkspec
{before}
for name in [name for name in sys.modules if name.partition(".")[0] == "ntkspec"]:
    del sys.modules[name]
import time
start = time.process_time()
{statement}
print(time.process_time() - start)
"""


def main() -> None:
    """Print the measures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", default=ROOT / "data" / "golden" / "mpe.h5")
    run = parser.parse_args().run
    print(json.dumps({"characters": dict(lengths(run)), "seconds": dict(imports())}, indent=2))


def lengths(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name of each kind of object and the length of its repr, all made from one run file."""
    report = ntkspec.analyze_runs(path, alignment="never")
    with ntkspec.open_run(path) as run:
        snapshot = run[-1]
        jac = snapshot.jacobian
        total = ntkspec.spectrum(jac)
        objects = (run, snapshot, jac, jac.blocks[0], jac.load().blocks[0].right, total)
        for thing in (*objects, report, report.runs[0], report.runs[0][-1], ntkspec.bounds.theorem1(total)):
            yield type(thing).__name__, len(repr(thing))


def imports() -> Iterator[tuple[str, float]]:
    """Yield statements and the median processor time, in seconds, of each in a new interpreter."""
    everything = "from ntkspec import *"
    compiled = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}  # modules are compiled once, as after installing
    for statement in ("import ntkspec", everything):
        code = CLOCK.format(before=everything, statement=statement)
        done = [
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=compiled
            )
            for _ in range(REPEATS)
        ]
        yield statement, round(statistics.median(float(each.stdout) for each in done), 4)


if __name__ == "__main__":
    main()
