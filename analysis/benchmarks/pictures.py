"""Pictures of results: bars of times, and lines over the number of samples.

Matplotlib is imported when a picture is drawn: what imports this file must stay small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS, OTHERS, TEXT = "#c0392b", "#7f8c8d", "#333333"


def bars(result: dict[str, Any], target: Path) -> None:
    """Median seconds of every contender on a log scale, a panel for each network, size and precision."""
    plt = _pyplot()
    groups = _groups(result["rows"])
    heights = [len(rows) + 1.2 for rows in groups.values()]
    figure, axes = plt.subplots(
        len(groups), 1, figsize=(8, 0.32 * sum(heights) + 0.6), height_ratios=heights, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    longest = max((row["median_s"] for row in result["rows"] if row["status"] == "ok"), default=1.0)
    shortest = min((row["median_s"] for row in result["rows"] if row["status"] == "ok"), default=0.1)
    for axis, (title, rows) in zip(axes[:, 0], groups.items(), strict=True):
        axis.set_xscale("log")
        axis.set_xlim(shortest / 2, longest * 8)
        for place, row in enumerate(reversed(rows)):
            _bar(axis, place, row, shortest / 2)
        axis.set_yticks(range(len(rows)), [row["contender"] for row in reversed(rows)], fontsize=8)
        axis.set_title(title, fontsize=9, loc="left")
        axis.tick_params(axis="x", labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel(f"seconds (median; {result['threads']} threads)", fontsize=8)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def growth(result: dict[str, Any], target: Path) -> None:
    """Seconds and gigabytes over the number of samples, a line for each network."""
    plt = _pyplot()
    figure, (times, memory) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    networks = dict.fromkeys(row["network"] for row in result["rows"])
    exponents = {entry["network"]: entry["exponent"] for entry in result["exponents"]}
    for network, color in zip(networks, (OURS, "#2c3e50", "#2980b9"), strict=False):
        rows = [row for row in result["rows"] if row["network"] == network and row["status"] == "ok"]
        label = f"{network}, n^{exponents[network]:.2f}" if network in exponents else network
        n = [row["samples"] for row in rows]
        times.loglog(n, [row["median_s"] for row in rows], "o-", color=color, label=label)
        needs = [entry for entry in result["memory"] if entry["network"] == network]
        n = [entry["samples"] for entry in needs]
        memory.loglog(n, [e["grown_bytes"] / 1e9 for e in needs], "o-", color=color, label=f"{network}, peak")
        least = [entry["needed_bytes"] / 1e9 for entry in needs]
        memory.loglog(n, least, "--", color=color, label=f"{network}, kernel + factors")
    for axis, title in ((times, "seconds of ntkspec.gram"), (memory, "GB beyond the start of the process")):
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlabel("samples n", fontsize=8)
        axis.set_xticks(sorted({row["samples"] for row in result["rows"]}), minor=False)
        axis.xaxis.set_major_formatter("{x:.0f}")
        axis.minorticks_off()
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=7, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _bar(axis: Any, place: int, row: dict[str, Any], left: float) -> None:
    if row["status"] != "ok":
        axis.text(left * 1.1, place, row["status"][:90], va="center", fontsize=7, color=TEXT, style="italic")
        axis.barh(place, 0)
        return
    ours = "ntkspec" in row["contender"]
    axis.barh(place, row["median_s"], color=OURS if ours else OTHERS, height=0.7)
    label = f" {row['median_s']:.3g} s, {row['peak_bytes'] / 2**30:.2g} GiB"
    axis.text(row["median_s"], place, label, va="center", fontsize=7, color=TEXT)


def _groups(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        title = f"{row['network']}, n = {row['samples']}, {row['dtype']}"
        groups.setdefault(title, []).append(row)
    return groups


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
