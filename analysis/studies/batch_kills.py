"""Kill a worker, the scheduler or the command of a batch at random moments: what is lost, what is done again?

    python analysis/studies/batch_kills.py --kills 10 --write analysis/results/batch_kills.json

Each trial analyses small runs, kills with SIGKILL once, starts the command again where it ended, and
compares. Results that were there before the second start and are younger after it were done again; runs
without a result are lost; processes of the first start that are there a minute later are left.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from cluster_here import cluster, end, finished, free_port, start_scheduler, start_workers, worker_processes

import ntkspec
from ntkspec.commands.cli import Parser, positive, run_command
from ntkspec.population.made_by import made_by

RUNS, SAMPLES, WORKERS = 24, 300, 2
Trial = Callable[[Path, random.Random], dict[str, Any] | None]  # None: nothing was left to kill


def make_runs(folder: Path, count: int, samples: int) -> None:
    """Write small run files of random Jacobians, with a grid and a network."""
    for seed in range(count):
        numbers = np.random.default_rng(seed)
        grid = ntkspec.jacobian.SparseFactor(
            numbers.integers(0, 400, (samples, 4)), numbers.random((samples, 1, 4)), 400
        )
        ntkspec.write_run(
            folder / f"net{seed:03}.h5",
            numbers.random((samples, 2)),
            numbers.random((samples, 1)),
            {"mlp": numbers.standard_normal((samples, 1, 200)), "grid": grid},
            roles={"grid": "grid"},
        )


def command(place: Path, *words: str) -> subprocess.Popen[str]:
    """Start the batch of a place's runs."""
    full = [sys.executable, "-m", "ntkspec.batch", str(place / "runs"), "-o", str(place / "results")]
    pipe = subprocess.PIPE
    return subprocess.Popen([*full, "--backend", "cpu", *words], stdout=pipe, stderr=pipe, text=True)


def wait_for_some(place: Path, chance: random.Random, process: subprocess.Popen[str]) -> bool:
    """Wait until so many results are there, drawn by chance; return whether there is some work left."""
    some = chance.randrange(0, RUNS - 8)
    while len(finished(place / "results")) < some and process.poll() is None:
        time.sleep(0.02)
    time.sleep(chance.random() * 0.3)
    return process.poll() is None and len(finished(place / "results")) < RUNS


def kill_worker(place: Path, chance: random.Random) -> dict[str, Any] | None:
    """Kill one of two workers; the command goes on by itself. None if all was done by then."""
    with command(place, "--workers", str(WORKERS)) as process:
        while len(worker_processes(process.pid)) < WORKERS:
            time.sleep(0.05)
        hit = wait_for_some(place, chance, process)
        before = finished(place / "results")
        family = psutil.Process(process.pid).children(recursive=True) if hit else []
        if hit:
            chance.choice(worker_processes(process.pid)).kill()
        _, errors = process.communicate(timeout=300)
    left = len(psutil.wait_procs(family, timeout=60)[1])
    return (
        counted(place, before) | {"left": left, "code": process.returncode, "said": errors} if hit else None
    )


def kill_scheduler(place: Path, chance: random.Random) -> dict[str, Any] | None:
    """Kill the scheduler that the command is connected to; start both again."""
    port = free_port()
    address = ("--cluster", f"tcp://127.0.0.1:{port}")
    with cluster(port, WORKERS) as (scheduler, workers), command(place, *address) as process:
        hit = wait_for_some(place, chance, process)
        end(scheduler)
        _, errors = process.communicate(timeout=300)
        left = workers_left(workers, 60)
        before = settled(place)
        first = process.returncode
    if not hit:
        return None
    again = start_scheduler(port), start_workers(port, WORKERS)
    with command(place, *address) as process:
        _, more = process.communicate(timeout=300)
    for each in again:
        end(each)
    counts = counted(place, before) | {"left": left, "said": errors + more}
    return counts | {"code": process.returncode, "code_of_first": first}


def kill_command(place: Path, chance: random.Random) -> dict[str, Any] | None:
    """Kill the command, whose workers end with it; start it again."""
    with command(place, "--workers", str(WORKERS)) as process:
        while len(worker_processes(process.pid)) < WORKERS:
            time.sleep(0.05)
        if not wait_for_some(place, chance, process):
            process.communicate(timeout=300)
            return None
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        _, left = psutil.wait_procs(family, timeout=60)
    before = settled(place)
    with command(place, "--workers", str(WORKERS)) as process:
        _, errors = process.communicate(timeout=300)
    return counted(place, before) | {"left": len(left), "code": process.returncode, "said": errors}


def workers_left(workers: subprocess.Popen[bytes], seconds: float) -> int:
    """Count the processes of workers that are there so long after their scheduler's end."""
    family = [psutil.Process(workers.pid), *psutil.Process(workers.pid).children(recursive=True)]
    return len(psutil.wait_procs(family, timeout=seconds)[1])


def settled(place: Path) -> dict[str, int]:
    """Return the results when no more come: a worker may have been about to write one."""
    while True:
        before = finished(place / "results")
        time.sleep(1)
        if finished(place / "results") == before:
            return before


def counted(place: Path, before: dict[str, int]) -> dict[str, Any]:
    """Count what is lost and what was done again since `before`."""
    after = finished(place / "results")
    return {
        "finished_before": len(before),
        "lost": RUNS - len(after),
        "done_again": sum(after.get(run) != stamp for run, stamp in before.items()),
        "leftovers": sum(path.name.startswith(".") for path in (place / "results").iterdir()),
    }


KINDS: dict[str, Trial] = {"worker": kill_worker, "scheduler": kill_scheduler, "command": kill_command}


def summary(kind: str, trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the trials of one kind."""
    names = ("lost", "done_again", "left", "leftovers")
    return {
        "killed": kind,
        "kills": len(trials),
        "finished_before": [trial["finished_before"] for trial in trials],
        **{name: sum(trial[name] for trial in trials) for name in names},
        "codes": sorted({trial["code"] for trial in trials}),
        "codes_of_first": sorted({trial["code_of_first"] for trial in trials if "code_of_first" in trial}),
    }


def main() -> int:
    """Run the trials and print a line for each, and the sums as JSON."""
    parser = Parser(description=__doc__)
    parser.add_argument("--kills", type=positive(int), default=10, help="of each kind (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default 1)")
    parser.add_argument("--write", type=Path, help="file for the JSON")
    options: argparse.Namespace = parser.parse_args()
    chance, sums = random.Random(options.seed), []
    for kind, trial in KINDS.items():
        ends: list[dict[str, Any]] = []
        while len(ends) < options.kills:
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                (place / "runs").mkdir()
                make_runs(place / "runs", RUNS, SAMPLES)
                counts = trial(place, chance)
            print(f"{kind} {len(ends) + 1}: {json.dumps(counts)}", flush=True)
            ends += [] if counts is None else [counts]
        sums.append(summary(kind, ends))
    text = json.dumps({"runs": RUNS, "samples": SAMPLES, "trials": sums, "made": made_by()}, indent=1)
    print(text)
    if options.write:
        options.write.write_text(text + "\n")
    bad = ("lost", "done_again", "left", "leftovers")
    return int(any(any(each[name] for name in bad) or each["codes"] != [0] for each in sums))


if __name__ == "__main__":
    sys.exit(run_command(main))
