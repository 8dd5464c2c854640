"""What do large analyses cost, and does a killed kernel file continue to the same bits?

On run files of networks as initialised, `python -m ntkspec.analyze` in a process of its own: its seconds, and
the resident peak of its largest process. Then `ntkspec.write_kernels` is killed (SIGKILL) and started again,
and every entry is compared with an uninterrupted run's, bit by bit.

    python analysis/benchmarks/large.py                   # a minute or two; says little of large sizes
    python analysis/benchmarks/large.py --n 16384 --memory 6 --kills 5 -o large.json
    python analysis/benchmarks/large.py --n 20000 --memory 2 --kernels --kills 5 --networks multigrid

The last two take an hour or more on two cores; at n = 20,000 each kernel takes 3.2 GB of disk, and up to six
are there at a time (`--folder`). Linux only. Nothing beyond the standard library is imported before the last
analysis has ended: a child inherits the peak of the process that starts it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from common import THREADS

NETWORKS = ("mlp256", "multigrid")
BROKEN_BOUND = 1  # exit code: done, but a bound or check does not hold
SAFE = (
    5.0  # seconds between the moments at which a writer makes its tiles safe, as in ntkspec/kernel/files.py
)
# So that kills of small kernels, too, find some of the tiles done:
STRIPS = 32  # rows of tiles at the least
MOMENTS = 20  # at which an uninterrupted run would make tiles safe, at the least
ROWS = 256  # of two kernels that are compared at once


def main() -> None:
    """Measure, print and write JSON; or be one of the children."""
    options = _options()
    if options.worker:
        what, *arguments = options.worker
        (_write_run if what == "run" else _write_kernels)(*arguments)
        return
    result: dict[str, Any] = machine.environment(options.threads)
    result |= {key: getattr(options, key) for key in ("n", "memory", "kernels", "seed")}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for network in options.networks:
            subprocess.run(_worker("run", folder / f"{network}.h5", network, options.n), check=True)
        result["analyses"] = [_analysis(folder, network, options) for network in options.networks]
        if options.kills or options.at:
            result["killed"] = _kills(folder, options.networks[-1], options)
    result["load_average"]["end"] = os.getloadavg()
    start, end = (result["load_average"][at][0] for at in ("start", "end"))
    print(f"threads {options.threads}, load {start:.2f} at the start, {end:.2f} at the end")
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(1 if result.get("killed", {}).get("entries_that_differ") else 0)


def _analysis(folder: Path, network: str, options: argparse.Namespace) -> dict[str, Any]:
    """One `python -m ntkspec.analyze`: seconds, peak memory, and the routes that it took."""
    from ntkspec import read_report

    report, kernels = folder / f"{network}-report", folder / f"{network}-kernels"
    command = [sys.executable, "-m", "ntkspec.analyze", str(folder / f"{network}.h5"), "-o", str(report)]
    command += ["-q", "--backend", "cpu", "--memory", str(options.memory)]
    command += ["--kernels", str(kernels)] if options.kernels else []
    start = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)  # of this child, and of those that it has waited for
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, BROKEN_BOUND):
        sys.exit(f"ntkspec.analyze ended with {child.returncode}; its message is above")
    for file in kernels.glob("*"):
        file.unlink()  # what follows needs the room
    (snapshot,) = read_report(report / "report.json").runs[0].snapshots
    routes = {name: spectrum.method for name, spectrum in snapshot.spectra.items()}
    peak, kernel = usage.ru_maxrss * 1024, 8 * options.n**2
    sizes = f"peak {peak / 2**30:.2f} GiB, a kernel {kernel / 2**30:.2f} GiB"
    print(f"analyze {network}, n = {options.n}: {seconds:.1f} s, {sizes}; {routes}", flush=True)
    found = {"network": network, "seconds": seconds, "peak_bytes": peak, "kernel_bytes": kernel}
    return found | {"exit_code": child.returncode, "routes": routes}


def _kills(folder: Path, network: str, options: argparse.Namespace) -> dict[str, Any]:
    """Kill writers and go on with what they left; compare files that are finished, and begin others."""
    run, whole, path = folder / f"{network}.h5", folder / "whole.h5", folder / "killed.h5"
    seconds = _write(run, whole, options.memory, SAFE)
    print(f"kernels of {network} into a file: {seconds:.2f} s", flush=True)
    rng, safe = random.Random(options.seed), min(SAFE, seconds / MOMENTS)
    starts: list[dict[str, float]] = []
    differing = files = 0
    for after in options.at or [rng.uniform(0, seconds / 2) for _ in range(options.kills)]:
        _write(run, path, options.memory, safe, after)
        share, finished = _share_safe(path), path.exists()
        starts.append({"kill_after_seconds": after, "finished": finished, "share_safe": share})
        how = "finished within" if finished else "killed after"
        print(f"  {how} {after:.2f} s, {share:.0%} of the tiles are safe", flush=True)
        if finished:
            files, differing = files + 1, differing + _differing(whole, path)
            path.unlink()
    _write(run, path, options.memory, safe)
    files, differing = files + 1, differing + _differing(whole, path)
    killed = sum(not start["finished"] for start in starts)
    print(f"{killed} kills, {files} files finished, entries that differ: {differing}")
    found = {"network": network, "uninterrupted_seconds": seconds, "starts": starts, "kills": killed}
    return found | {"files": files, "entries_that_differ": differing}


def _write(run: Path, path: Path, memory: float, safe: float, kill_after: float | None = None) -> float:
    """Seconds of a child's `write_kernels` from its first tile on; it is killed where it takes too many."""
    child = subprocess.Popen(_worker("kernels", run, path, memory, safe), stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()  # the first tile is there
    start = time.perf_counter()
    try:
        child.wait(kill_after)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    with child.stdout:
        if child.wait() not in (0, -signal.SIGKILL):
            sys.exit(f"write_kernels ended with {child.returncode}; its message is above")
    return time.perf_counter() - start


def _share_safe(path: Path) -> float:
    """Of the tiles on and below the diagonal, those that are marked as there."""
    import h5py

    left = path if path.exists() else path.with_name(path.name + ".part")
    if not left.exists():
        return 0.0
    with h5py.File(left, "r", locking=False) as file:
        done = file["done"][...]
    return float(done.sum()) / (len(done) * (len(done) + 1) // 2)


def _differing(whole: Path, path: Path) -> int:
    """Entries of all kernels whose bits are not the same."""
    import h5py
    import numpy as np

    found = 0
    with h5py.File(whole, "r") as expected, h5py.File(path, "r") as other:
        for name, kernel in expected["kernels"].items():
            for start in range(0, len(kernel), ROWS):
                part = slice(start, start + ROWS)
                ours, theirs = (each["kernels"][name][part].view(np.uint64) for each in (expected, other))
                found += int(np.count_nonzero(ours != theirs))
    return found


def _worker(*arguments: Any) -> list[str]:
    return [sys.executable, __file__, "--worker", *map(str, arguments)]


def _write_run(path: str, network: str, n: str) -> None:
    import networks

    networks.write_run(Path(path), network, int(n))


def _write_kernels(run: str, path: str, memory: str, safe: str) -> None:
    from ntkspec import open_run
    from ntkspec.backend import CpuBackend
    from ntkspec.kernel import files as kernel_file
    from ntkspec.spectral.ablation import sums_of_blocks

    said = functools.cache(lambda: print("the first tile", flush=True))
    with open_run(run) as opened:
        jacobian = opened.snapshot(-1).jacobian
        kernel_file.SECONDS = float(safe)
        CpuBackend.tile = min(CpuBackend.tile, max(jacobian.samples // STRIPS, 1))
        options: Any = {"backend": "cpu", "memory": float(memory), "progress": lambda _: said()}
        kernel_file.write_kernels(path, sums_of_blocks(jacobian, ()), **options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=2048, help="samples (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=1.0, help="budget in GiB (default: %(default)s)")
    parser.add_argument("--kernels", action="store_true", help="analyze writes its kernels to files, too")
    parser.add_argument(
        "--networks", nargs="+", default=NETWORKS, help="of networks.py (default: %(default)s)"
    )
    parser.add_argument("--kills", type=int, default=3, help="at random moments (default: %(default)s)")
    parser.add_argument("--at", type=float, nargs="+", help="kill after these seconds instead")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="(default: all cores)")
    parser.add_argument("--folder", type=Path, help="where files may lie meanwhile (default: the system's)")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, str(options.threads)))  # for the children
    return options


if __name__ == "__main__":
    main()
