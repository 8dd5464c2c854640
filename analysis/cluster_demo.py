"""A batch on a small cluster on this machine, one of whose workers is killed midway.

    python analysis/cluster_demo.py demo/*.h5 -o demo-cluster

`make demo-cluster` runs it on the six networks of `make demo`: 24 run files, each of a quarter of the samples
of one network, one of them cut short; a scheduler, two workers, the batch, and its report.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import ntkspec
from ntkspec.commands.cli import DONE, FAILED, Parser, run_command
from ntkspec.errors import UsageError

sys.path.insert(0, str(Path(__file__).parent / "studies"))
from cluster_here import cluster, finished, free_port, worker_processes

PARTS, WORKERS = 4, 2
CUT = 100_000  # bytes that are left of the file that is cut short


def quarters(run_file: Path, folder: Path) -> list[Path]:
    """Write run files of disjoint random parts of a run's samples, each as the last snapshot has them."""
    paths = []
    with ntkspec.open_run(run_file) as run:
        last = run.snapshots[-1]
        samples = np.random.default_rng(0).permutation(run.samples)
        for number, chosen in enumerate(np.array_split(samples, PARTS)):
            rows = np.sort(chosen)
            path = folder / f"part{number}" / run_file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            ntkspec.write_run(
                path,
                run.inputs[rows],
                last.outputs[rows],
                last.jacobian.rows(rows).load(),
                targets=None if run.targets is None else run.targets[rows],
                label=last.label,
                step=last.step,
                metrics=last.metrics,
                run_label=run.label,
                config=run.config,
            )
            paths.append(path)
    return paths


def batch(folder: Path, count: int) -> int:
    """Analyse the run files on two workers, one of which is killed when a third of all is done."""
    results, port = folder / "results", free_port()
    address = f"tcp://127.0.0.1:{port}"
    words = [str(folder / "runs"), "-o", str(results), "--cluster", address]
    with cluster(port, WORKERS) as (_, workers):
        print(
            f"a scheduler at {address} and {WORKERS} workers; python -m ntkspec.batch {' '.join(words)}",
            flush=True,
        )
        with subprocess.Popen([sys.executable, "-m", "ntkspec.batch", *words]) as process:
            while len(finished(results)) < count // 3 and process.poll() is None:
                time.sleep(0.05)
            there = worker_processes(workers.pid)
            if process.poll() is None and there:
                there[0].kill()
                print(f"killed a worker when {len(finished(results))} runs were done", flush=True)
            code = process.wait()
    if code != FAILED or len(finished(results)) != count - 1:
        raise UsageError(
            str(results),
            expected=f"{count - 1} results and exit code {FAILED}, for the file that is cut short",
            got=f"{len(finished(results))} and {code}",
            remedy="see above",
        )
    print(f"{count - 1} results, and the one that is cut short among the failures, as it should be")
    return DONE


def main() -> int:
    """Make the run files, start the cluster and the batch, kill a worker, and say what came."""
    parser = Parser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run files")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("demo-cluster"), help="(default demo-cluster)"
    )
    options: argparse.Namespace = parser.parse_args()
    folder = options.output
    if folder.exists() and {path.name for path in folder.iterdir()} - {"runs", "results"}:
        raise UsageError(
            str(folder),
            expected="no folder, or one of this demo",
            got="another",
            remedy="name another with -o",
        )
    shutil.rmtree(folder, ignore_errors=True)
    paths = [path for run in options.runs for path in quarters(run, folder / "runs")]
    with paths[-1].open("r+b") as file:
        file.truncate(CUT)
    print(f"{len(paths)} run files in {folder / 'runs'}, of which {paths[-1].name} of part3 is cut short")
    return batch(folder, len(paths))


if __name__ == "__main__":
    sys.exit(run_command(main))
