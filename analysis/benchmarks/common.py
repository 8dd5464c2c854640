"""How is a contender measured? The parts that all benchmarks share.

Every contender runs in a process of its own, one after another, with the same thread settings: first once
at `SMALL` samples (this loads and compiles what it needs), then timed at full size. A contender that fails
leaves a line that says so, and the others go on.

Only the standard library is imported here: a child of a large process inherits that process's peak, and
peers run this file in environments of their own.
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
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import machine
import peers
from records import HEADER, Benchmark, Case, Contender, Row, Work, compare, plain

HERE = Path(__file__).parent
SMALL = 256  # samples of the untimed first call, and at which results are compared with the definition
REPEATS = 5  # timed calls; one alone where the first takes more than SLOW or QUICK_SLOW seconds
SLOW, QUICK_SLOW = 20.0, 10.0
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main(benchmark: Benchmark, script: str) -> None:
    """Run all cases, print the table, write NAME.json and NAME.png; or be one of the workers."""
    options = _options(benchmark)
    if options.worker:
        print(json.dumps(_work(benchmark, json.loads(options.worker))))
        return
    from ntkspec.population.made_by import changed  # not at the top: workers of other tools have no ntkspec

    head = machine.environment(options.threads) | {
        "peers": peers.versions(), "error_samples": SMALL, "quick": options.quick
    }  # fmt: skip
    print(f"{benchmark.question}\n\n{HEADER}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        ask = _Asker(script, folder, options)
        facts = ask.worker(sys.executable, {"folder": folder, "sizes": options.sizes})
        if "failed" in facts:
            sys.exit(f"the set-up failed: {facts['failed']}")
        rows = list(_rows(benchmark, ask))
    head["load_average"]["end"] = os.getloadavg()
    head["uncommitted_changes"] |= changed()  # someone may have edited meanwhile
    lists = {"ratios": compare(rows, benchmark.versus), **benchmark.finish(rows, facts)}
    result = {"benchmark": benchmark.name, "question": benchmark.question, **head, "facts": facts, **lists}
    result["rows"] = [plain(row) for row in rows]
    options.results.mkdir(parents=True, exist_ok=True)
    target: Path = options.results / f"{benchmark.name}.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    benchmark.picture(result, target.with_suffix(".png"))
    _print_end(lists, facts, head, target)


def definition_file(folder: str | Path, network: str) -> Path:
    """Where `prepare` leaves the kernel by the definition at the first SMALL samples."""
    return Path(folder) / f"{network}-definition.npy"


def error(kernel: Any, case: Case) -> dict[str, Any]:
    """Largest difference from the definition, over its largest entry, of a kernel's leading part."""
    import numpy as np

    part = np.asarray(kernel[:SMALL, :SMALL], dtype=np.float64)
    expected = np.load(definition_file(case.folder, case.network))[: len(part), : len(part)]
    return {"error": float(np.abs(part - expected).max() / np.abs(expected).max())}


def repeat(work: Work, slow: float) -> tuple[list[float], Any]:
    """Seconds of every call, and the last result. No other result outlives its call."""
    seconds: list[float] = []
    result = None
    while len(seconds) < (1 if seconds and seconds[0] > slow else REPEATS):
        del result
        arguments = work.fresh()
        start = time.perf_counter()
        result = work.run(*arguments)
        seconds.append(time.perf_counter() - start)
        del arguments
    return seconds, result


@dataclass(frozen=True)
class _Asker:
    """Starts workers and takes their answers."""

    script: str
    folder: str
    options: argparse.Namespace

    def worker(self, python: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of a worker process, or {"failed": why}."""
        env = os.environ | dict.fromkeys(THREADS, str(self.options.threads))
        command = [python, self.script, "--worker", json.dumps(request)]
        limit = self.options.limit
        try:
            done = subprocess.run(
                command, env=env, capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {limit:g} s"}
        if done.returncode < 0:
            return {"failed": f"killed by signal {-done.returncode}"}
        if done.returncode:
            return {"failed": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


def _options(benchmark: Benchmark) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=benchmark.question)
    parser.add_argument("--quick", action="store_true", help=f"a short version: n = {benchmark.quick_sizes}")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"samples (default: {benchmark.sizes})")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="(default: all cores)")
    parser.add_argument("--only", nargs="+", help="contenders (default: all)")
    parser.add_argument(
        "--limit", type=float, default=3600, help="seconds a contender (default: %(default)s)"
    )
    parser.add_argument(
        "--results", type=Path, help="folder (default: results, or quick if --quick or --sizes)"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    usual = not (options.quick or options.sizes or options.only)
    options.results = options.results or HERE / ("results" if usual else "quick")
    options.sizes = options.sizes or (benchmark.quick_sizes if options.quick else benchmark.sizes)
    return options


def _rows(benchmark: Benchmark, ask: _Asker) -> Iterator[Row]:
    options = ask.options
    for case in benchmark.cases(options.sizes):
        if options.only and case.contender not in options.only:
            continue
        bare = Row(case.network, case.samples, case.dtype, case.contender)
        row = _measure(benchmark.contenders[case.contender], replace(case, folder=ask.folder), bare, ask)
        print(row.line(), flush=True)
        yield row


def _measure(contender: Contender, case: Case, bare: Row, ask: _Asker) -> Row:
    try:
        python = peers.interpreter(contender.peer) if contender.peer else sys.executable
    except peers.PeerMissingError as missing:
        return replace(bare, status=f"not run: {missing}")
    slow = QUICK_SLOW if ask.options.quick else SLOW
    answer = ask.worker(python, {"case": asdict(case), "slow": slow})
    failed = answer.pop("failed", None)
    return replace(bare, status=f"failed: {failed[:200]}") if failed else replace(bare, **answer)


def _work(benchmark: Benchmark, request: dict[str, Any]) -> dict[str, Any]:
    """In the child: prepare, or measure one case."""
    machine.contain()
    if "case" not in request:
        return benchmark.prepare(Path(request["folder"]), request["sizes"])
    case = Case(**request["case"])
    set_up = benchmark.contenders[case.contender].set_up
    small = set_up(replace(case, samples=min(SMALL, case.samples)))
    small.run(*small.fresh())
    del small
    start = machine.resident()
    work = set_up(case)
    seconds, result = repeat(work, request["slow"])
    peak = machine.peak(work.children)
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "calls": len(seconds),
        "peak_bytes": peak,
        "start_bytes": start,
        "facts": work.facts(result),
    }


def _print_end(
    lists: dict[str, list[dict[str, Any]]], facts: dict[str, Any], head: dict[str, Any], target: Path
) -> None:
    print(
        f"\nseconds; peak of the whole process; error as the script says, at n = {SMALL} if by the definition"
    )
    for title, entries in lists.items():
        print(f"\n{title}" if entries else "")
        for entry in entries:
            name = f"{entry['network']:<13}{entry['samples']:>7} {entry['dtype']:<8} {entry['contender']:<46}"
            print(name, ", ".join(f"{key} {v:.3g}" for key, v in entry.items() if isinstance(v, float)))
    print()
    for name, fact in facts.items():
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in fact.items())}")
    start, end = (head["load_average"][at][0] for at in ("start", "end"))
    print(f"threads {head['threads']}, load {start:.2f} at the start, {end:.2f} at the end")
    print(f"wrote {target} and {target.with_suffix('.png').name}\n")
