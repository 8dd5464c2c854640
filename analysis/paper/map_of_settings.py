"""The map: on which settings lambda_min and PSNR depend, over the pictures of the sweeps.

    python -m analysis.paper.map_of_settings paper/sweeps weights.json -o map.png

Lines are medians of lambda_min, dots the pictures. Where the median is exactly zero, a cross stands on the
axis below, where it is unresolved, a triangle, where it is not known which, both; faint ones where that is so
of some pictures. Marks of different lines stand above each other. PSNR is a mean, with its interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.paper import command
from analysis.paper.dependence import Setting, settings
from analysis.paper.drawing import COLOURS, new_axes, new_figure, save, ticks
from analysis.paper.groups import require
from analysis.paper.ratios import decades
from analysis.paper.sweeps import FEATURES, FINEST, SIGMAS, fourier, multigrid
from analysis.paper.tables import curves, intervals, runs_of
from analysis.paper.weights import load_weights
from ntkspec.population.intervals import median
from ntkspec.population.outcomes import Curve, Outcome, known_range
from ntkspec.report.compare import known_decades

KINDS = {
    "baseline": ("baseline", COLOURS["baseline"]),
    "ffe": ("FFE (medium)", COLOURS["ffe-medium"]),
    "mpe": ("MPE (fine)", COLOURS["mpe-fine"]),
}
VARIED = {  # axis of the settings -> its label, the panel's title
    "samples": ("samples $n$", "Number of samples"),
    "pattern": ("", "Sampling pattern"),
    "width": ("width", "Width"),
    "steps": ("steps of Adam", "Length of training"),
}
SHADES = ("#9ecae1", "#3565c4", "#14285e")  # few to many features
# Of the lines of one panel, how far above the axis their marks stand.
RISES = {
    colour: k for lines in (SHADES, [own for _, own in KINDS.values()]) for k, colour in enumerate(lines)
}


def draw(outcomes: Sequence[Outcome], weights: Path, output: Path) -> None:
    """Draw three rows of three panels; `weights` is what weights.py wrote."""
    require(outcomes, {name for each in settings(outcomes) for name in each.runs})
    runs = runs_of(outcomes)
    figure = new_figure(13.5, 12.0)
    axes = new_axes(figure, 3, 3, share=False)
    _fourier(axes[0], runs, _smallest, r"$\lambda_{\min}$")
    axes[0].legend(frameon=False, fontsize=7.5)  # of both
    _fourier(axes[1], runs, _psnr, "PSNR in dB")
    _heat(axes[2], runs, _decades_apart, "MPE over FFE: decades of $\\lambda_{\\min}$")
    _heat(axes[3], runs, _psnr_apart, "MPE over FFE: dB of PSNR")
    chosen = {axis: list(some) for axis, some in groupby(settings(outcomes), attrgetter("axis"))}
    for panel, (axis, (label, title)) in zip(axes[4:8], VARIED.items(), strict=True):
        _compared(panel, runs, chosen[axis])
        panel.set(xlabel=label, ylabel=r"$\lambda_{\min}$", title=title)
    _weights(axes[8], load_weights(weights))
    axes[4].legend(frameon=False, fontsize=8)
    save(figure, output)


def _smallest(axes: Axes, x: Sequence[float], groups: Sequence[Sequence[Curve]], **style: Any) -> None:
    """Draw medians where they are numbers, and marks where not; a dot for each picture but on level lines."""
    middles = [median([known_decades(known_range(curve), (1.0, 1.0)) for curve in group]) for group in groups]
    values = [10**least.value if least.value == most.value else np.nan for least, most in middles]
    axes.plot(x, [value or np.nan for value in values], **{"marker": "o", "markersize": 4, **style})
    axes.set_yscale("log")
    if style.get("marker") == "":
        return
    rise = 0.02 + 0.035 * RISES.get(style.get("color", ""), 0)
    for place, group, value in zip(x, groups, values, strict=True):
        numbers = [curve.lambda_min for curve in group if curve.lambda_min]
        axes.plot([place] * len(numbers), numbers, ".", color=style.get("color"), alpha=0.3, markersize=4)
        for some, mark, is_middle in (
            (any(curve.lambda_min == 0 for curve in group), "x", value == 0 or np.isnan(value)),
            (any(curve.lambda_min is None for curve in group), "v", np.isnan(value)),
        ):
            if some:
                axes.plot([place], [rise], mark, color=style.get("color"), markerfacecolor="none",
                          alpha=1.0 if is_middle else 0.3, clip_on=False,
                          transform=axes.get_xaxis_transform())  # fmt: skip


def _psnr(axes: Axes, x: Sequence[float], groups: Sequence[Sequence[Outcome]], **style: Any) -> None:
    means, ends = intervals(groups, "psnr_db")
    axes.plot(x, means, **{"marker": "o", "markersize": 4, **style})
    if style.get("marker") != "" and np.isfinite(ends).all():  # not of a level line, nor of one picture
        axes.vlines(x, *ends, color=style.get("color"), linewidth=0.8)


def _fourier(axes: Axes, runs: pd.DataFrame, plot: Callable[..., None], title: str) -> None:
    """Draw against the bandwidth, a line for each size; multigrids as level lines."""
    inside = curves if plot is _smallest else list
    for features, colour in zip(FEATURES, SHADES, strict=True):
        members = [inside(runs[fourier(sigma, features)]) for sigma in SIGMAS]
        plot(axes, SIGMAS, members, color=colour, label=f"FFE, {features} frequencies")
    for finest, style in ((24, ":"), (48, "--"), (192, "-.")):
        members = [inside(runs[multigrid(finest)])] * 2
        plot(axes, (SIGMAS[0], SIGMAS[-1]), members, color=COLOURS["mpe-fine"], linestyle=style, marker="",
             label=f"MPE, finest {finest}")  # fmt: skip
    ticks(axes, SIGMAS)
    axes.set(xlabel="bandwidth $\\sigma$ of the frequencies", ylabel=title)
    axes.set_title(f"{title} against bandwidth")


def _decades_apart(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[float, str]:
    """Return the median ratio of lambda_min, and what to say of it."""
    least, most = median([decades(*(each.end.spectra["total"] for each in pair)) for pair in pairs])
    if math.isfinite(least.value) and least.value == most.value:
        return least.value, f"{least.value:+.1f}"
    return np.nan, "inf" if least.value == math.inf else "-inf" if most.value == -math.inf else "?"


def _psnr_apart(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[float, str]:
    gain = float(np.mean([mpe.end.metric("psnr_db") - ffe.end.metric("psnr_db") for mpe, ffe in pairs]))
    return gain, f"{gain:+.1f}"


def _heat(axes: Axes, runs: pd.DataFrame, apart: Callable[..., tuple[float, str]], title: str) -> None:
    """Draw finest level against bandwidth; a cell without a number is grey."""
    cells = [
        [apart([*zip(runs[multigrid(finest)], runs[fourier(sigma, 64)], strict=True)]) for sigma in SIGMAS]
        for finest in FINEST
    ]
    table = np.array([[value for value, _ in row] for row in cells])
    largest = float(np.nanmax(np.abs(table))) if not np.isnan(table).all() else 1.0
    axes.set_facecolor("#dddddd")
    axes.imshow(table, cmap="RdBu_r", vmin=-largest, vmax=largest, origin="lower", aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        dark = not np.isnan(value) and abs(value) > 0.6 * largest
        axes.text(column, row, cells[row][column][1], ha="center", va="center", fontsize=8,
                  color="white" if dark else "black")  # fmt: skip
    axes.set_xticks(range(len(SIGMAS)), [str(sigma) for sigma in SIGMAS])
    axes.set_yticks(range(len(FINEST)), [str(finest) for finest in FINEST])
    axes.set(xlabel="bandwidth $\\sigma$ (64 frequencies)", ylabel="finest level, cells an axis", title=title)


def _compared(axes: Axes, runs: pd.DataFrame, chosen: Sequence[Setting]) -> None:
    """Draw three kinds of networks over the settings of one axis."""
    axis, values = chosen[0].axis, [setting.value for setting in chosen]
    x = range(len(values)) if axis == "pattern" else [int(value) for value in values]
    for kind, (title, colour) in KINDS.items():
        members = [curves(runs[getattr(setting, kind)], setting.stage) for setting in chosen]
        _smallest(axes, x, members, color=colour, label=title)
    if axis == "pattern":
        axes.set_xticks(x, values)
        axes.set_xlim(-0.3, len(x) - 0.7)
    elif axis == "steps":
        axes.set_xscale("symlog", linthresh=10)
    else:
        ticks(axes, x)


def _weights(axes: Axes, items: Sequence[Mapping[str, Any]]) -> None:
    """Draw against the grid's rate over the network's."""
    rows = pd.json_normalize(list(items), "rows").fillna(0.0).groupby("rate")
    for key, label, style in (
        ("lambda_min", r"$\lambda_{\min}$", "-"),
        ("median", r"$\lambda_{n/2}$", "--"),
        ("lambda_max", r"$\lambda_{\max}$", ":"),
    ):
        axes.plot(rows[key].median(), style, marker="o", markersize=4,
                  color=COLOURS["mpe-fine"], label=label)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="learning rate of the grid over the network's",
             ylabel="eigenvalue", title=r"Weighting: $K_{\mathrm{MLP}} + r\,K_{\mathrm{grid}}$")  # fmt: skip
    axes.legend(frameon=False, fontsize=8)


if __name__ == "__main__":
    command.of_outcomes(__doc__, draw, "study", file="weights", output="map.png")
