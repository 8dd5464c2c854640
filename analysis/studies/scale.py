"""How far it reaches: memory, bytes and time of every route up to ten million samples, and of many workers.

Measures constants on this machine, predicts from them, checks the predictions, simulates Dask's scheduler at
up to a thousand workers, and works out the plan for one matrix over several GPUs. About five minutes on 2
cores; needs PyTorch for the networks and the extra `cluster` for Dask.

    python analysis/studies/scale.py           # prints the tables
    python analysis/studies/scale.py --write   # puts them into docs/scale.md, too, and what was measured into
                                               # analysis/results/scale.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scaling.check import check_all
from scaling.constants import Constants, measure
from scaling.dask_cost import WINDOW, Measured, measure_dask
from scaling.devices import DEVICES, GPU, declines, fits, gpu_seconds
from scaling.limits import limits
from scaling.networks import in_memory, planned
from scaling.routes import BYTES, ROUTES, Habits, Work, memory, seconds
from scaling.several_gpus import LINKS, PROTOTYPE, Slabs
from scaling.simulation import Costs, efficiency, simulate
from scaling.storage import Storage, measure_storage
from scaling.tables import all_tables
from tables import METHOD, put

from ntkspec.jacobian import Jacobian
from ntkspec.kernel.problem import Kernel
from ntkspec.machine.memory import GIB, LARGEST
from ntkspec.population.made_by import made_by

PAGE = METHOD.with_name("scale.md")
RESULT = Path(__file__).parents[1] / "results" / "scale.json"
NETWORKS = ("mlp", "multigrid")
SAMPLES = (10**3, 10**4, 10**5, 10**6, 10**7)
WORKERS = (10, 30, 100, 300, 1000)
SECONDS = (1.0, 10.0, 60.0, 600.0)  # of a run
TASKS = 100  # runs a worker
WINDOWS = (1, 2, 4)
ENOUGH = 0.01  # of the efficiency that all tasks at once give: what a window may fall short by
MATRICES = (32768, 65536, 102400, 200_000, 250_000)
GPUS = (1, 2, 4, 8)


def main() -> None:
    """Measure, predict, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--write", action="store_true", help=f"replace {RESULT.name} and {PAGE.name}'s tables"
    )
    options = parser.parse_args()
    result = study()
    for name, text in all_tables(result).items():
        print(f"\n{name}\n\n{text}")
    if options.write:
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        for name, text in all_tables(result).items():
            put(name, text, PAGE)


def study() -> dict[str, Any]:
    """Return everything that the tables say, as it stands in the JSON."""
    begin = time.perf_counter()

    def say(step: str) -> None:
        print(f"[{time.perf_counter() - begin:.0f} s] {step}", flush=True)

    created, load = datetime.now(UTC).isoformat(timespec="seconds"), {"start": os.getloadavg()}
    machine = measure(say)
    say("measuring storage")
    storage = measure_storage()
    checks, habits = check_all(machine, storage, say)
    say("measuring Dask")
    dask = measure_dask()
    load["end"] = os.getloadavg()
    say("simulating and predicting")
    measured = {
        "made": {"created": created, **made_by(), "load_average": load},
        "constants": asdict(machine),
        "storage": asdict(storage),
        "habits": {network: asdict(habit) for network, habit in habits.items()},
        "checks": [asdict(check) for check in checks],
        "dask": _dask(dask),
    }
    return measured | _predicted(machine, storage, habits, dask)


def _predicted(
    machine: Constants, storage: Storage, habits: Mapping[str, Habits], dask: Measured
) -> dict[str, Any]:
    """What follows from the measurements."""
    models = {network: in_memory(network, 64) for network in NETWORKS}
    first = NETWORKS[0]
    ends = limits(lambda n: _work(models[first], n, habits[first]), machine, storage)
    return {
        "routes": [row for name in NETWORKS for row in _routes(name, models, habits, machine, storage)],
        "limits": [asdict(limit) for limit in ends],
        "efficiency": list(_efficiencies(dask.costs)),
        "crowds": [_crowd(run_s, dask, storage) for run_s in SECONDS],
        "prototype": [
            {"n": n, "predicted_s": Slabs(n, 1).seconds("NVLink 4"), "measured_s": measured}
            for n, measured in PROTOTYPE.items()
        ],
        "gpus": [_slabs(Slabs(n, gpus)) for n in MATRICES for gpus in GPUS],
    }


def _work(model: Jacobian, n: int, habits: Habits) -> Work:
    """The kernel of n samples, with all the memory that there could be."""
    return Work.of(Kernel.from_jacobian(planned(model, n), backend="cpu", memory=LARGEST // GIB), habits)


def _routes(
    network: str,
    models: Mapping[str, Jacobian],
    habits: Mapping[str, Habits],
    machine: Constants,
    storage: Storage,
) -> Iterator[dict[str, Any]]:
    for n in SAMPLES:
        work = _work(models[network], n, habits[network])
        for route in ROUTES:
            yield {
                "network": network,
                "n": n,
                "route": route,
                "rank": work.rank,
                "declines": declines(route, work),
                "memory": memory(route, work),
                "moved": BYTES[route](work),
                "seconds": seconds(route, work, machine, storage),
                "fits": {device.name: fits(route, work, device) for device in DEVICES},
                "gpu_seconds": gpu_seconds(route, work, machine, storage),
            }


def _dask(measured: Measured) -> dict[str, Any]:
    """What was measured, and the simulation of the same on as many cores."""
    cores = len(os.sched_getaffinity(0))
    sleeps = [
        asdict(s)
        | {"predicted_s": simulate(s.workers, s.tasks, s.task_s, measured.costs, window=WINDOW, cores=cores)}
        for s in measured.sleeps
    ]
    known = {"version": version("distributed"), "cores": cores, "costs": asdict(measured.costs)}
    return asdict(measured) | {"sleeps": sleeps} | known


def _efficiencies(costs: Costs) -> Iterator[dict[str, Any]]:
    """Of `WINDOW` tasks a worker ahead, and the smallest window that is enough."""
    for workers in WORKERS:
        for run_s in SECONDS:
            tasks = TASKS * workers
            by_window = {window: efficiency(workers, tasks, run_s, costs, window) for window in WINDOWS}
            at_once = efficiency(workers, tasks, run_s, costs)
            wanted = max(at_once, *by_window.values()) - ENOUGH
            yield {
                "workers": workers,
                "seconds": run_s,
                "efficiency": by_window[WINDOW],
                "at_once": at_once,
                "windows": {str(window): value for window, value in by_window.items()},
                "enough": next((str(w) for w, value in by_window.items() if value >= wanted), "all at once"),
            }


def _crowd(run_s: float, dask: Measured, storage: Storage) -> dict[str, Any]:
    """How many workers the slower of scheduler and client keeps busy, and what as many cost otherwise."""
    costs = dask.costs
    slower = "scheduler" if costs.scheduler_s >= costs.client_s else "client"
    workers = run_s / max(costs.scheduler_s, costs.client_s)
    return {
        "seconds": run_s,
        "workers": workers,
        "by": f"the {slower}'s {1 / max(costs.scheduler_s, costs.client_s):,.0f} tasks/s",
        "joining_s": workers * dask.join_scheduler_s,
        "files_s": workers * TASKS * storage.small_file_s,
    }


def _slabs(slabs: Slabs) -> dict[str, Any]:
    return asdict(slabs) | {
        "held_bytes": slabs.held_bytes,
        "fits": slabs.held_bytes <= GPU.budget,
        "received_bytes": slabs.received_bytes,
        "seconds": {link: slabs.seconds(link) for link in LINKS},
        "serial_s": slabs.serial_s,
    }


if __name__ == "__main__":
    main()
