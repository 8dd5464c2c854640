"""What `bench_gpu.py` left in analysis/benchmarks/results/gpu.json, as tables of docs/benchmarks.md.

Run: `python analysis/studies/gpu_tables.py [gpu.json]`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tables import METHOD, markdown, put

RESULT = Path(__file__).parents[1] / "benchmarks" / "results" / "gpu.json"
PAGE = METHOD.with_name("benchmarks.md")
OURS = "ntkspec"
Row = dict[str, Any]


def text(result: dict[str, Any]) -> str:
    """All tables, and where and with what it was measured; of what was not measured no table."""
    tables = {
        "checks": checks,
        "rates": device_rates,
        "gram": grams,
        "eigenvalues": eigenvalues,
        "routes": routes,
        "analyze": analyses,
        "peers": peers,
    }
    parts = [table(result[group]) for group, table in tables.items() if result.get(group)]
    left_out = [f"- not done: {each}" for each in result["not_done"]]
    left_out += [f"- failed: {each}" for each in result["failed"]]
    if not result["finished"]:
        left_out.append("- the run was ended before it was through: what is missing above was not measured")
    return "\n\n".join([*parts, *(["\n".join(left_out)] if left_out else []), f"*{made_by(result)}*"])


def checks(rows: list[Row]) -> str:
    """Every check with its worst number."""
    head = ["check", "of", "n", "worst", "LAPACK", "at most", ""]
    cells = [
        [
            *(row["what"], row["of"], str(row["n"]), number(row["worst"]), number(row.get("lapack"))),
            *(number(row["limit"]), "holds" if row["passed"] else "**fails**"),
        ]
        for row in rows
    ]
    return markdown(head, cells)


def device_rates(rows: list[Row]) -> str:
    """One line."""
    rate = {row["what"]: row["rate"] for row in rows}
    product, copy = (rate.get(what, 0.0) / 1e12 for what in ("matrix product", "copy"))
    return f"On this device: {product:.1f} TFLOP/s in a float64 matrix product, {copy:.2f} TB/s in a copy."


def grams(rows: list[Row]) -> str:
    """Seconds from factors on the device to a kernel there, beside the bound; and from the host."""
    head = ["kernel of", "n", "median s", "calls", "bound s", "times the bound", "from the host, s"]
    keys = ("seconds", "calls", "bound", "ratio", "from_host")
    return markdown(head, [[row["what"], str(row["n"]), *(number(row[key]) for key in keys)] for row in rows])


def eigenvalues(rows: list[Row]) -> str:
    """A line for every size: ours beside the others. Then the steps of ours, where they were measured."""
    others = list(dict.fromkeys(row["what"] for row in rows if row["what"] != OURS))
    head = ["n, precision", "ntkspec, s", "kernel formed, too", "trace, norm", "peak, kernels"]
    head += [title for other in others for title in (f"{other}, s", "times ours")]
    found = {(row["n"], row["precision"], row["what"]): row for row in rows}
    cells = []
    for n, precision in dict.fromkeys((row["n"], row["precision"]) for row in rows):
        ours = found.get((n, precision, OURS), {})
        seconds = ours.get("seconds")
        both = seconds + ours["gram_seconds"] if "gram_seconds" in ours else None
        off = max(ours["trace_error"], ours["norm_error"]) if "trace_error" in ours else ours.get("error")
        line = [f"{n}, {precision}", *map(number, (seconds, both, off, ours.get("peak_kernels")))]
        for other in others:
            theirs = found.get((n, precision, other), {}).get("seconds")
            line += [number(theirs), number(theirs / seconds if theirs and seconds else None)]
        cells.append(line)
    stepped = [row for row in rows if "steps" in row]
    if not stepped:
        return markdown(head, cells)
    names = list(stepped[0]["steps"])
    seconds = [[str(row["n"]), *(number(row["steps"][name]) for name in names)] for row in stepped]
    return f"{markdown(head, cells)}\n\n{markdown(['seconds of, n', *names], seconds)}"


def routes(rows: list[Row]) -> str:
    """A line for every route and kernel."""
    head = ["route", "kernel of multigrid", "n", "parameters", "s", "outcome"]
    cells = [
        [
            *(row["what"], row["of"], str(row["n"]), f"{row['parameters']:,}"),
            *(number(row.get("seconds")), row["status"]),
        ]
        for row in rows
    ]
    return markdown(head, cells)


def analyses(rows: list[Row]) -> str:
    """The whole, what certified bounds took of it, and the rest over three solves."""
    head = ["multigrid", "n", "s", "certified bounds, s", "three solves, s", "the rest / three solves"]
    head += ["steps, s"]
    cells = [
        [
            *(row["what"], str(row["n"]), number(row["seconds"])),
            *(number(row["certified"]), number(row["three_solves"])),
            *(number(row["ratio"]), ", ".join(f"{step} {number(s)}" for step, s in row["steps"].items())),
        ]
        for row in rows
    ]
    return markdown(head, cells)


def peers(rows: list[Row]) -> str:
    """From a network to its kernel."""
    head = ["mlp256 to its kernel", "n", "median s", "torch.func's time over it", "difference"]
    keys = ("theirs_over_ours", "difference")
    cells = [
        [row["what"], str(row["n"]), number(row["seconds"]), *(number(row.get(k)) for k in keys)]
        for row in rows
    ]
    return markdown(head, cells)


def number(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def made_by(result: dict[str, Any]) -> str:
    """Where and with what it was measured."""
    device, machine = result["device"], result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    changed = {True: ", with uncommitted changes", None: ", as far as the copy tells"}
    return (
        f"{result['created'][:10]}, commit {str(result['commit'])[:10]}"
        f"{changed.get(result['uncommitted_changes'], '')}; "
        f"{device['name']}, {device['memory_bytes'] / 2**30:.0f} GiB; "
        f"{machine['cpu']}, {result['threads']} cores; {result['system']}; {versions}; "
        f"{result['seconds']:.0f} s in all."
    )


def put_tables(path: Path = RESULT) -> None:
    """Put the tables of a result into docs/benchmarks.md."""
    put("gpu", text(json.loads(path.read_text(encoding="utf-8"))), PAGE)


if __name__ == "__main__":
    put_tables(*map(Path, sys.argv[1:2]))
