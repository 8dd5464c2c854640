"""Two workers against one, a second start, and the memory of the command, for many small runs.

    python analysis/studies/batch_speed.py --write

What the workers wrote is compared with what one process writes that has one thread, as each of two workers
has: all but when it was made. With --write the table of docs/cluster.md is made anew, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from batch_kills import make_runs
from tables import markdown, put

from ntkspec.cli import Parser, positive, run_command
from ntkspec.population.made_by import made_by
from ntkspec.population.results import all_made

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "analysis" / "results" / "batch.json", ROOT / "docs" / "cluster.md"
SAMPLES = 384


def timed(place: Path, runs: str, results: str, *words: str) -> tuple[float, int]:
    """Run the batch; return its seconds, and the most bytes that the command itself held."""
    full = [sys.executable, "-m", "ntkspec.batch", runs, "-o", results, "--backend", "cpu", "-q", *words]
    start, most = time.perf_counter(), 0
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if "--share" in words else {}
    cores = sorted(os.sched_getaffinity(0))[: int(words[-1]) if "--workers" in words else None]
    with subprocess.Popen(full, cwd=place, env={**os.environ, **alone}) as process:
        os.sched_setaffinity(process.pid, cores)  # a core a worker: one alone would have two threads
        itself = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                most = max(most, itself.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
        if process.wait():
            raise RuntimeError(f"{' '.join(full)}: exit code {process.returncode}")
    return time.perf_counter() - start, most


def differing(one: Path, other: Path) -> int:
    """Count the reports of which two batches say anything else, but when they were made."""
    count, compared = 0, list(all_made(one))
    for made in compared:
        first, second = (
            {**json.loads((made.folder(place) / "report.json").read_text()), "created": ""}
            for place in (one, other)
        )
        count += first != second
    if not compared:
        raise RuntimeError(f"{one}: expected results, got none")
    return count


def measure(place: Path, runs: int, repeat: int) -> dict[str, Any]:
    """Measure everything in a scratch folder."""
    (place / "all").mkdir()
    (place / "few").mkdir()
    make_runs(place / "all", runs, SAMPLES)
    make_runs(place / "few", runs // 8, SAMPLES)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    memory: list[int] = []
    for number in range(repeat):
        for workers in (1, 2):  # in turn, lest one of them have the quieter machine
            took, most = timed(place, "all", f"results{workers}-{number}", "--workers", str(workers))
            seconds[workers].append(took)
            memory.append(most)
            print(f"{workers} workers: {took:.1f} s, {most / 2**20:.0f} MiB", flush=True)
    timed(place, "all", "alone", "--share", "0/1")
    again = [timed(place, "all", "results2-0", "--workers", "2")[0] for _ in range(repeat)]
    few = [timed(place, "few", f"few{number}", "--workers", "2")[1] for number in range(repeat)]
    medians = {workers: statistics.median(took) for workers, took in seconds.items()}
    return {
        "runs": runs,
        "samples": SAMPLES,
        "seconds_of_one_worker": seconds[1],
        "seconds_of_two_workers": seconds[2],
        "ratio": medians[1] / medians[2],
        "seconds_of_a_second_start": again,
        "command_bytes": memory,
        "command_bytes_of_an_eighth_of_the_runs": few,
        "differ_from_one_by_one": differing(place / "results2-0", place / "alone"),
        "made": made_by(),
    }


def table(numbers: dict[str, Any]) -> str:
    """The numbers as a table in Markdown."""

    def median(name: str) -> float:
        return float(statistics.median(numbers[name]))

    mib = 2**20
    eighth = median("command_bytes_of_an_eighth_of_the_runs") / mib
    return markdown(
        (f"{numbers['runs']} runs of {numbers['samples']} samples, 2 cores", "came"),
        (
            ("one worker, on one core", f"{median('seconds_of_one_worker'):.1f} s"),
            (
                "two workers, on two",
                f"{median('seconds_of_two_workers'):.1f} s, {numbers['ratio']:.2f} x as fast",
            ),
            ("second start, all there", f"{median('seconds_of_a_second_start'):.1f} s"),
            ("reports that differ from one by one", str(numbers["differ_from_one_by_one"])),
            ("memory of the command", f"{median('command_bytes') / mib:.0f} MiB"),
            (f"the same of {numbers['runs'] // 8} runs", f"{eighth:.0f} MiB"),
        ),
    )


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = Parser(description=__doc__)
    parser.add_argument("--runs", type=positive(int), default=200, help="(default 200)")
    parser.add_argument("--repeat", type=positive(int), default=3, help="of which medians count (default 3)")
    parser.add_argument("--write", action="store_true", help="keep the numbers and the table")
    options: argparse.Namespace = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        numbers = measure(Path(folder), options.runs, options.repeat)
    print(table(numbers))
    if options.write:
        RESULTS.write_text(json.dumps(numbers, indent=1) + "\n")
        put("batch", table(numbers), PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
