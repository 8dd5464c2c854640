"""What `scale.py` found, as the tables of docs/scale.md: from the JSON alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tables import markdown

Result = Mapping[str, Any]  # analysis/results/scale.json
PERIODS = ((60.0, 1.0, "s"), (5400.0, 60.0, "min"), (129600.0, 3600.0, "h"), (3e7, 86400.0, "d"))
YEAR = 365.25 * 86400
LONGEST = 1000 * YEAR
SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB")
UNITS = {  # of constants: what to multiply by, and what then stands behind the number
    "entry_s": (1e9, "ns an entry of K: cleared, stored twice"),
    "block_s": (1e9, "ns an entry and block of two dense factors, beside their products"),
    "product_rate": (1e-9, "GFLOP/s in dense products of tiles"),
    "level_s": (1e9, "ns an entry and level of a grid"),
    "meeting_s": (1e9, "ns a pair of samples that look up one node"),
    "one_stage_s": (1e12, "ps times n^3: eigenvalues, n = 1,536, one stage"),
    "smallest_two_stage_s": (1e12, "ps times n^3: eigenvalues, n = 3,072, two stages"),
    "two_stage_s": (1e12, "ps times n^3: eigenvalues, n = 4,096, two stages"),
    "fold_rate": (1e-9, "GFLOP/s where J is folded into a triangle"),
    "singular_s": (1e12, "ps times n^3: singular values of a triangle"),
    "apply_rate": (1e-9, "GFLOP/s in K v, dense factors"),
    "lookup_s": (1e9, "ns a lookup in K v"),
    "vector_s": (1e9, "ns a row and eigenvalue asked for, each step of Lanczos"),
    "low_rank_s": (1e12, "ps times n r^2: the factorisation of the low-rank route"),
    "copy_rate": (1e-9, "GB/s copied in memory, reads and writes"),
    "write_rate": (1e-6, "MB/s written to the disk, until safe there"),
    "hash_rate": (1e-6, "MB/s hashed"),
    "read_s_a_byte": (1e9, "ns a byte of a run file: opened, checked, read from the system's cache"),
    "small_file_s": (1e3, "ms a small result file"),
}


def all_tables(result: Result) -> dict[str, str]:
    """Return every table by its name on the page."""
    return {name: make(result) for name, make in TABLES.items()}


def period(seconds: float) -> str:
    """Seconds for people.

    Example:
        >>> [period(s) for s in (0.0123, 75, 2e5, 1e9, 1e12)]
        ['0.012 s', '1.2 min', '2.3 d', '32 years', '> 1000 years']
    """
    if seconds > LONGEST:
        return "> 1000 years"
    for limit, unit, name in PERIODS:
        if seconds < limit:
            return f"{_short(seconds / unit)} {name}"
    return f"{_short(seconds / YEAR)} years"


def size(count: float) -> str:
    """Bytes for people.

    Example:
        >>> size(8 * 10.0**14)
        '728 TiB'
    """
    steps = min(int(math.log(max(count, 1), 1024)), len(SIZES) - 1)
    number = count / 1024**steps
    return f"{number:.3g} {SIZES[steps]}" if number < 1000 else f"{number:.0f} {SIZES[steps]}"


def _short(number: float) -> str:
    return f"{number:.2g}" if number < 100 else f"{number:.0f}"


def machine(result: Result) -> str:
    """Where and with what it was measured."""
    made, dask = result["made"], result["dask"]
    start, end = (made["load_average"][at][0] for at in ("start", "end"))
    changed = ", with uncommitted changes" if made["uncommitted_changes"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return (
        f"*{made['created'][:10]}, commit {str(made['commit'])[:10]}{changed}; {made['machine']['cpu']}, "
        f"{made['machine']['cores']} cores, {made['machine']['memory_bytes'] / 2**30:.0f} GiB, "
        f"{result['constants']['threads']} threads; load {start:.1f} at the start, {end:.1f} at the end; "
        f"{versions}, distributed {dask['version']}.*"
    )


def constants(result: Result) -> str:
    """The measured constants, each with its unit."""
    measured = result["constants"] | result["storage"]
    rows = [[text, f"{measured[name] * factor:.3g}"] for name, (factor, text) in UNITS.items()]
    return f"{markdown(['measured', ''], rows)}\n\n{machine(result)}"


def checks(result: Result) -> str:
    """Predictions beside measurements."""
    rows = [
        [f"{c['route']}, {c['network']}", f"{c['n']:,}", f"{c['predicted_s']:.2f}", f"{c['measured_s']:.2f}",
         f"{c['predicted_s'] / c['measured_s']:.2f}"]
        for c in result["checks"]
    ]  # fmt: skip
    return markdown(["route, network", "n", "predicted s", "measured s", "predicted / measured"], rows)


def habits(result: Result) -> str:
    """What was measured of the two networks."""
    rows = [
        [network, f"{1e6 * h['facts_s']:.0f}", str(h["products"]), f"{h['rank']:,} of {h['rank_at']:,}",
         f"{h['growth']:.2f}"]
        for network, h in result["habits"].items()
    ]  # fmt: skip
    head = [
        "network",
        "besides eigenvalues, µs a sample",
        "products in Lanczos",
        "resolved by gram",
        "grows as n^",
    ]
    return markdown(head, rows)


def routes(network: str) -> Callable[[Result], str]:
    """Every route of one network at every n."""

    def table(result: Result) -> str:
        devices = list(result["routes"][0]["fits"])
        head = ["n", "route", "memory", "bytes moved", "this machine", *devices, "GPU, predicted"]
        rows = [_route(row, devices) for row in result["routes"] if row["network"] == network]
        return markdown(head, rows)

    return table


def _route(row: Mapping[str, Any], devices: Sequence[str]) -> list[str]:
    name = row["route"] if row["route"] != "low-rank" else f"low-rank, r = {row['rank']:,}"
    sizes = [size(row["memory"]), size(row["moved"])]
    if row["declines"]:
        return [f"{row['n']:,}", name, *["declines"] * 3, *["no"] * len(devices), "declines"]
    places = ["yes" if row["fits"][device] else "no" for device in devices]
    return [f"{row['n']:,}", name, *sizes, period(row["seconds"]), *places, period(row["gpu_seconds"])]


def limits(result: Result) -> str:
    """What ends at which n, the first first."""
    rows = [
        [str(place), limit["what"], f"{limit['n']:,}", limit["why"]]
        for place, limit in enumerate(result["limits"], 1)
    ]
    return markdown(["", "what ends", "at n =", "by"], rows)


def loads(result: Result) -> str:
    """What a task that does nothing costs Dask."""
    names = ("wall_s", "scheduler_s", "client_s", "worker_s")
    rows = [
        [f"{load['workers']}, {load['window']} ahead", *(f"{1e3 * load[name]:.2f}" for name in names)]
        for load in result["dask"]["loads"]
    ]
    head = ["workers, tasks a worker", "wall ms a task", "scheduler ms", "client ms", "workers ms"]
    dask = result["dask"]
    alone = (
        f"A task alone takes {1e3 * dask['alone_s']:.1f} ms from submitting it to its result. A worker has "
        f"joined {dask['join_s']:.1f} s after it was started, which takes the scheduler "
        f"{1e3 * dask['join_scheduler_s']:.0f} ms of processor time."
    )
    return f"{markdown(head, rows)}\n\n{alone}"


def sleeps(result: Result) -> str:
    """The simulation beside runs of tasks that sleep."""
    rows = [
        [str(s["workers"]), f"{1e3 * s['task_s']:.0f}", str(s["tasks"]), f"{s['predicted_s']:.2f}",
         f"{s['measured_s']:.2f}", f"{s['predicted_s'] / s['measured_s']:.2f}"]
        for s in result["dask"]["sleeps"]
    ]  # fmt: skip
    head = ["workers", "a task ms", "tasks", "simulated s", "measured s", "simulated / measured"]
    return markdown(head, rows)


def efficiencies(result: Result) -> str:
    """Ideal over simulated time, with the window that is enough in brackets."""
    entries = {(e["workers"], e["seconds"]): e for e in result["efficiency"]}
    workers, seconds = (sorted({key[place] for key in entries}) for place in (0, 1))
    rows = [[f"{w:,}", *(_efficiency(entries[w, s]) for s in seconds)] for w in workers]
    return markdown(["workers", *(f"runs of {s:g} s" for s in seconds)], rows)


def _efficiency(entry: Mapping[str, Any]) -> str:
    return f"{100 * entry['efficiency']:.1f}% ({entry['enough']})"


def crowds(result: Result) -> str:
    """What comes first as workers are added, runs of each length."""
    rows = [
        [f"{c['seconds']:g} s", f"{c['workers']:,.0f}", c["by"], period(c["joining_s"]), period(c["files_s"])]
        for c in result["crowds"]
    ]
    head = [
        "a run",
        "workers that are kept busy",
        "ends by",
        "joining, scheduler",
        "result files, one by one, this disk",
    ]
    return markdown(head, rows)


def gpus(result: Result) -> str:
    """The plan for one matrix over several GPUs."""
    links = list(result["gpus"][0]["seconds"])
    head = [
        "n",
        "GPUs",
        "on each",
        "fits 80 GB",
        "each receives",
        *(f"expected, {link}" for link in links),
        "not shortened",
    ]
    rows = [
        [f"{g['n']:,}", str(g["gpus"]), f"{g['held_bytes'] / 1e9:.1f} GB",
         "yes" if g["fits"] else "no",
         f"{g['received_bytes'] / 1e9:.0f} GB", *(period(g["seconds"][link]) for link in links),
         period(g["serial_s"])]
        for g in result["gpus"]
    ]  # fmt: skip
    return markdown(head, rows)


def prototype(result: Result) -> str:
    """The model of one GPU beside the prototype's times."""
    rows = [
        [f"{p['n']:,}", f"{p['predicted_s']:.2f}", f"{p['measured_s']:.2f}",
         f"{p['predicted_s'] / p['measured_s']:.2f}"]
        for p in result["prototype"]
    ]  # fmt: skip
    return markdown(["n", "model s", "measured s, one H200", "model / measured"], rows)


TABLES: Mapping[str, Callable[[Result], str]] = {
    "constants": constants,
    "checks": checks,
    "habits": habits,
    "mlp": routes("mlp"),
    "multigrid": routes("multigrid"),
    "limits": limits,
    "loads": loads,
    "sleeps": sleeps,
    "efficiencies": efficiencies,
    "crowds": crowds,
    "prototype": prototype,
    "gpus": gpus,
}
