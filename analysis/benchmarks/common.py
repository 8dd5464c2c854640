"""How is a contender measured? The parts that all benchmarks share.

Every contender runs in a process of its own, one after another, with the same thread settings: first once
at `SMALL` samples, where its kernel is compared with the definition (this also loads and compiles what it
needs), then timed at full size. Peak memory is that of the whole process, libraries and input included.

Only the standard library is imported here: a child of a large process inherits that process's peak.
Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SMALL = 256  # samples at which results are compared with the definition
REPEATS, SLOW_REPEATS, SLOW = 5, 3, 10.0  # timed calls; fewer once the first takes more than SLOW seconds
PACKAGES = ("ntkspec", "numpy", "scipy", "numba", "torch")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
HEADER = "network    samples  contender                    median      min      max  calls   peak MiB  error"


@dataclass(frozen=True)
class Case:
    """One contender on one network at one size."""

    network: str
    samples: int
    contender: str
    folder: str  # what `prepare` wrote


@dataclass(frozen=True)
class Work:
    """A contender that is set up: what is timed, and the kernel (n, n) that its result stands for."""

    run: Callable[[], Any]
    kernel: Callable[[Any], Any]


@dataclass(frozen=True)
class Row:
    """What was measured of a case."""

    network: str
    samples: int
    contender: str
    median_s: float
    min_s: float
    max_s: float
    calls: int
    peak_bytes: int  # of the whole process
    before_bytes: int  # resident after the set-up, before the timed calls
    error: float  # largest difference from the definition at SMALL samples, over its largest entry

    def line(self) -> str:
        """For people; columns as in HEADER."""
        times = "".join(f"{seconds:9.4f}" for seconds in (self.median_s, self.min_s, self.max_s))
        name = f"{self.network:<10} {self.samples:>7}  {self.contender:<26}"
        return f"{name}{times}{self.calls:>7}{self.peak_bytes / 2**20:>11.0f}  {self.error:.1e}"


Contenders = Mapping[str, Callable[[Case, int], Work]]  # name -> set-up for a number of samples
Prepare = Callable[[Path], dict[str, Any]]  # writes what contenders read; returns facts for the result


@dataclass(frozen=True)
class Benchmark:
    """A question, the work that answers it, and how rows are compared."""

    name: str
    question: str
    prepare: Prepare
    contenders: Contenders
    cases: tuple[tuple[str, int, str], ...]  # (network, samples, contender), in the order they run
    versus: tuple[tuple[str, str], ...]  # (other, ours): ratios other / ours


def main(benchmark: Benchmark, script: str) -> None:
    """Run all cases, print the table, write results/<name>.json; or be one of the workers."""
    parser = argparse.ArgumentParser(description=benchmark.question)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="of every contender (default: all cores)")
    parser.add_argument(
        "--results", type=Path, default=HERE / "results", help="folder (default: %(default)s)"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(benchmark, json.loads(options.worker))))
        return
    head = environment(options.threads)
    print(f"{benchmark.question}\n\n{HEADER}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        facts = _child(script, {"folder": folder}, options.threads)
        rows = list(_rows(benchmark, script, folder, options.threads))
    ratios = compare(rows, benchmark.versus)
    head["load_average"]["end"] = os.getloadavg()
    head["uncommitted_changes"] |= _changed()  # someone may have edited meanwhile
    body = {"rows": [asdict(row) for row in rows], "ratios": ratios}
    result = {"benchmark": benchmark.name, "question": benchmark.question} | head | facts | body
    options.results.mkdir(parents=True, exist_ok=True)
    target: Path = options.results / f"{benchmark.name}.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    _print_end(ratios, facts, head, target)


def compare(rows: Sequence[Row], versus: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Ratios other / ours of median and smallest times and of peak memory, wherever both ran."""
    found = {(row.network, row.samples, row.contender): row for row in rows}
    ratios = []
    for network, samples in dict.fromkeys((row.network, row.samples) for row in rows):
        for other, ours in versus:
            a, b = found.get((network, samples, other)), found.get((network, samples, ours))
            if a and b:
                times = {"median": a.median_s / b.median_s, "min": a.min_s / b.min_s}
                ratio = times | {"peak": a.peak_bytes / b.peak_bytes}
                ratios.append({"network": network, "samples": samples, "other": other, "ours": ours} | ratio)
    return ratios


def environment(threads: int) -> dict[str, Any]:
    """Machine, versions, commit, threads and load: what a reader needs to judge the numbers."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "memory_bytes": _memory()},
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {package: version(package) for package in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": _changed(),
        "threads": threads,
        "error_samples": SMALL,
        "load_average": {"start": os.getloadavg()},
    }


def _rows(benchmark: Benchmark, script: str, folder: str, threads: int) -> Iterable[Row]:
    for network, samples, contender in benchmark.cases:
        case = Case(network, samples, contender, folder)
        row = Row(network, samples, contender, **_child(script, asdict(case), threads))
        print(row.line(), flush=True)
        yield row


def _child(script: str, request: dict[str, Any], threads: int) -> dict[str, Any]:
    """The answer of a worker process."""
    env = os.environ | dict.fromkeys(THREADS, str(threads))
    command = [sys.executable, script, "--worker", json.dumps(request)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"exit status {done.returncode} of {request}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _work(benchmark: Benchmark, request: dict[str, Any]) -> dict[str, Any]:
    """In the child: prepare, or measure one case."""
    if "contender" not in request:
        return benchmark.prepare(Path(request["folder"]))
    case = Case(**request)
    set_up = benchmark.contenders[case.contender]
    error = _error(set_up(case, SMALL), definition_file(Path(case.folder), case.network))
    work = set_up(case, case.samples)
    before = _resident()
    seconds = repeat(work.run)
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "calls": len(seconds),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "before_bytes": before,
        "error": error,
    }


def repeat(run: Callable[[], Any]) -> list[float]:
    """Seconds of every call. No result outlives its call."""
    seconds: list[float] = []
    while len(seconds) < (SLOW_REPEATS if seconds and seconds[0] > SLOW else REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def definition_file(folder: Path, network: str) -> Path:
    """Where `prepare` leaves the kernel by the definition at the first SMALL samples."""
    return folder / f"{network}-definition.npy"


def _error(work: Work, reference: Path) -> float:
    import numpy as np

    expected = np.load(reference)
    return float(np.abs(work.kernel(work.run()) - expected).max() / np.abs(expected).max())


def _print_end(
    ratios: list[dict[str, Any]], facts: dict[str, Any], head: dict[str, Any], target: Path
) -> None:
    print("\nseconds; peak of the whole process; error against the definition at n =", SMALL)
    print(f"\n{'ratios':<62}    median       min      peak")
    for r in ratios:
        pair = f"{r['other']} / {r['ours']}"
        values = "".join(f"{r[key]:10.2f}" for key in ("median", "min", "peak"))
        print(f"{r['network']:<10} {r['samples']:>7}  {pair:<42}{values}")
    print()
    for name, fact in facts.items():
        for part in fact if isinstance(fact, list) else [fact]:
            print(f"{name}: {', '.join(f'{key} {value}' for key, value in part.items())}")
    start, end = (head["load_average"][at][0] for at in ("start", "end"))
    print(f"threads {head['threads']}, load {start:.2f} at the start, {end:.2f} at the end")
    print(f"wrote {target}\n")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _changed() -> bool:
    return bool(_git("status", "--porcelain", "--", ":/", ":(exclude,top)analysis/benchmarks/results"))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return done.stdout.strip()
