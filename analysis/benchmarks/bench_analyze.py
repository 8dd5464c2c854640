"""What does `python -m ntkspec.analyze` cost, in eigenvalue solves of one kernel?

A run file of one snapshot of `multigrid`, double precision: the whole command, from the file to the report on
disk, against one eigenvalue solve of the formed kernel. The command's peak memory is that of its largest
process.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import solvers
from common import SMALL, main
from contenders import run_file
from records import Benchmark, Case, Contender, Row, Work, derived

NETWORK = "multigrid"
ANALYZE = "ntkspec.analyze"
BROKEN_BOUND = 1  # exit code: done, but a bound or check does not hold


def analyze(case: Case) -> Work:
    """The command, on a file that holds just as many samples; every call writes a report of its own."""
    run = run_file(case.folder, f"{NETWORK}-{case.samples}")
    reports = (run.with_suffix(f".{number}") for number in itertools.count())

    def command(report: Path) -> Path:
        options = ["--quiet", "--backend", "cpu", "-o", str(report), "--json", f"{report}.json"]
        module = [sys.executable, "-m", "ntkspec.analyze", str(run)]
        done = subprocess.run([*module, *options], capture_output=True, text=True, check=False)
        if done.returncode not in (0, BROKEN_BOUND):
            raise RuntimeError(f"ntkspec.analyze: {done.stderr.strip()[-200:]}")
        return Path(f"{report}.json")

    return Work(command, _solves, lambda: (next(reports),), children=True)


def prepare(folder: Path, sizes: Sequence[int]) -> dict[str, Any]:
    """Run files, one for the first call too, and the formed kernel."""
    import networks

    for n in {SMALL, *sizes}:
        networks.write_run(run_file(folder, f"{NETWORK}-{n}"), NETWORK, n)
    solvers.write_kernel(folder, NETWORK, run_file(folder, f"{NETWORK}-{max(sizes)}"))
    return {NETWORK: networks.facts(NETWORK)}


def cases(sizes: Sequence[int]) -> Iterator[Case]:
    """The command between the solves that it is compared with."""
    for n in sizes:
        yield from (Case(NETWORK, n, name) for name in (solvers.EVD, ANALYZE, solvers.OURS))


def finish(rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Peak memory in kernels."""
    found = [
        derived(row, peak_over_kernel=row.peak_bytes / (8 * row.samples**2))
        for row in rows
        if row.status == "ok"
    ]
    return {"memory": found}


def _solves(report: Path) -> dict[str, Any]:
    """Which spectra the command computed, and how."""
    (run,) = json.loads(report.read_text())["runs"]
    spectra = run["snapshots"][0]["spectra"]
    return {"spectra": {name: spectrum["method"] for name, spectrum in spectra.items()}}


if __name__ == "__main__":
    benchmark = Benchmark(
        "analyze",
        "What does `python -m ntkspec.analyze` cost, in eigenvalue solves of one kernel?",
        sizes=(8192,),
        quick_sizes=(2048,),
        prepare=prepare,
        contenders={**solvers.SOLVERS, ANALYZE: Contender(analyze)},
        cases=cases,
        versus=((ANALYZE, solvers.EVD), (ANALYZE, solvers.OURS)),
        finish=finish,
    )
    main(benchmark, __file__)
