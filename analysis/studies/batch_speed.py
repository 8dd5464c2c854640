"""Two workers against one, a second start, and the memory of the command, for many small runs.

    python analysis/studies/batch_speed.py --write

One worker is timed as it comes, with the threads of all cores, and on one core, as each of two has. What the
workers wrote is compared with what one process writes that has one thread: all but when it was made. Beside
them stands what two processes gain that do nothing but solve eigenvalue problems. With --write the table of
docs/cluster.md is made anew, too.
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

from ntkspec.commands.cli import Parser, positive, run_command
from ntkspec.population.made_by import made_by
from ntkspec.population.results import all_made

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "analysis" / "results" / "batch.json", ROOT / "docs" / "cluster.md"
SAMPLES = 512
WAYS = {  # what is timed: workers and cores
    "one_worker": (1, 2),
    "one_worker_on_one_core": (1, 1),
    "two_workers": (2, 2),
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
BARE = """
import time, numpy
matrix = numpy.random.default_rng(0).random(({samples}, {samples}))
start = time.perf_counter()
for _ in range(150):
    numpy.linalg.eigvalsh(matrix + matrix.T)
print(time.perf_counter() - start)
"""


def timed(place: Path, runs: str, results: str, *words: str, cores: int = 2) -> tuple[float, int]:
    """Run the batch; return its seconds, and the most bytes that the command itself held."""
    full = [sys.executable, "-m", "ntkspec.batch", runs, "-o", results, "--backend", "cpu", "-q", *words]
    variables = {**os.environ, **(ONE_THREAD if "--share" in words else {})}
    start, most = time.perf_counter(), 0
    with subprocess.Popen(full, cwd=place, env=variables) as process:
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:cores])
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


def bare_gain(samples: int) -> float:
    """Return how much more two processes at once do than one that has a core to itself."""
    words = [sys.executable, "-c", BARE.format(samples=samples)]
    variables = {**os.environ, **ONE_THREAD}

    def seconds(count: int) -> float:
        started = [subprocess.Popen(words, env=variables, stdout=subprocess.PIPE) for _ in range(count)]
        return max(float(process.communicate()[0]) for process in started)

    return 2 * seconds(1) / seconds(2)


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


def measure(place: Path, runs: int, samples: int, repeat: int) -> dict[str, Any]:
    """Measure everything in a scratch folder."""
    (place / "all").mkdir()
    (place / "few").mkdir()
    make_runs(place / "all", runs, samples)
    make_runs(place / "few", runs // 8, samples)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    memory: list[int] = []
    for number in range(repeat):
        for way, (workers, cores) in WAYS.items():  # in turn, lest one of them have the quieter machine
            took, most = timed(place, "all", f"{way}-{number}", "--workers", str(workers), cores=cores)
            seconds[way].append(took)
            memory.append(most)
            print(f"{way}: {took:.1f} s, {most / 2**20:.0f} MiB", flush=True)
    timed(place, "all", "alone", "--share", "0/1")
    return {
        "runs": runs,
        "samples": samples,
        "seconds": seconds,
        "seconds_of_a_second_start": [
            timed(place, "all", "two_workers-0", "--workers", "2")[0] for _ in range(repeat)
        ],
        "command_bytes": memory,
        "command_bytes_of_an_eighth_of_the_runs": [
            timed(place, "few", f"few{number}", "--workers", "2")[1] for number in range(repeat)
        ],
        "differ_from_one_by_one": differing(place / "two_workers-0", place / "alone"),
        "gain_of_two_bare_processes": bare_gain(samples),
        "made": made_by(),
    }


def table(numbers: dict[str, Any]) -> str:
    """The numbers as a table in Markdown."""
    seconds = {way: statistics.median(took) for way, took in numbers["seconds"].items()}
    again = statistics.median(numbers["seconds_of_a_second_start"])
    mib = {
        name: statistics.median(numbers[name]) / 2**20
        for name in ("command_bytes", "command_bytes_of_an_eighth_of_the_runs")
    }
    one, alone, two = (seconds[way] for way in WAYS)
    return markdown(
        (f"{numbers['runs']} runs of {numbers['samples']} samples, 2 cores", "came"),
        (
            ("one worker, two threads", f"{one:.1f} s"),
            ("one worker, on one core", f"{alone:.1f} s"),
            ("two workers", f"{two:.1f} s: {one / two:.2f} and {alone / two:.2f} x as fast"),
            ("two bare processes", f"{numbers['gain_of_two_bare_processes']:.2f} x as fast"),
            ("second start, all there", f"{again:.1f} s"),
            ("reports that differ from one by one", str(numbers["differ_from_one_by_one"])),
            ("memory of the command", f"{mib['command_bytes']:.0f} MiB"),
            (
                f"the same of {numbers['runs'] // 8} runs",
                f"{mib['command_bytes_of_an_eighth_of_the_runs']:.0f} MiB",
            ),
        ),
    )


def main() -> int:
    """Measure, print, and write if asked to."""
    parser = Parser(description=__doc__)
    parser.add_argument("--runs", type=positive(int), default=200, help="(default 200)")
    parser.add_argument("--samples", type=positive(int), default=SAMPLES, help=f"(default {SAMPLES})")
    parser.add_argument("--repeat", type=positive(int), default=3, help="of which medians count (default 3)")
    parser.add_argument("--write", action="store_true", help="keep the numbers and the table")
    options: argparse.Namespace = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        numbers = measure(Path(folder), options.runs, options.samples, options.repeat)
    print(table(numbers))
    if options.write:
        RESULTS.write_text(json.dumps(numbers, indent=1) + "\n")
        put("batch", table(numbers), PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
