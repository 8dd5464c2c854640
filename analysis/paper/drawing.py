"""What the figures share: a colour for each preset, mean spectra with bands, files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

from analysis.paper.ratios import resolved
from ntkspec.errors import UsageError
from ntkspec.nets.presets import PRESETS
from ntkspec.population.outcomes import Curve, indices
from ntkspec.report.canvas import new_axes, new_figure, to_bytes

COLOURS = {
    "baseline": "#1f1f1f",
    "ffe-low": "#5aa9e6",
    "ffe-medium": "#3565c4",
    "ffe-high": "#4a1f7d",
    "mpe-coarse": "#f0952b",
    "mpe-fine": "#b51d0e",
}
NAMES = {name: preset.label for name, preset in PRESETS.items()}
LOW, HIGH = 0.1, 0.9  # quantiles of the band
STAGES = ("mid", "end")

__all__ = ["COLOURS", "NAMES", "STAGES", "draw_mean", "finish", "legend", "line", "new_axes", "new_figure"]
__all__ += ["save", "ticks"]


def draw_mean(axes: Axes, group: Sequence[Curve], colour: str, stage: str) -> None:
    """Draw the geometric mean over items as far as all are resolved; from a cross there, their median.

    The mid is dashed, the end solid, the median faint; the band, 10 to 90% of items, is of the end alone.
    """
    if not len(group):
        return
    index = np.array(indices(next(iter(group)).size))
    values = np.array([resolved(curve) for curve in group])
    whole = ~np.isnan(values).any(axis=0)
    mean = np.exp(np.log(values[:, whole]).mean(axis=0))
    dash, width = ("-", 1.8) if stage == "end" else ((0, (5, 2)), 1.2)
    axes.plot(index[whole], mean, color=colour, linestyle=dash, linewidth=width)
    if not whole.all() and whole.any():
        axes.plot(index[whole][-1:], mean[-1:], "x", color=colour, markersize=5)
        on = slice(int(whole.sum()) - 1, None)  # from the cross
        axes.plot(index[on], _quantile(values, 0.5)[on], color=colour, linestyle=dash, linewidth=0.7)
    if stage == "end" and len(group) > 1:
        low, high = _quantile(values, LOW), _quantile(values, HIGH)
        known = ~np.isnan(low)
        axes.fill_between(index[known], low[known], high[known], color=colour, alpha=0.15, linewidth=0)


def _quantile(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return the quantile over items, unresolved values being the smallest; NaN where it is one of those."""
    ranked = np.sort(np.nan_to_num(values, nan=-np.inf), axis=0)[round(share * (len(values) - 1))]
    return np.where(np.isinf(ranked), np.nan, ranked)


def line(label: str, colour: str, *, dashed: bool = False) -> Line2D:
    """Return an entry of a legend."""
    return Line2D([], [], color=colour, label=label, linestyle=(0, (5, 2)) if dashed else "-")


def legend(figure: Figure, handles: Sequence[Line2D], columns: int) -> None:
    """Set a legend of so many columns under all panels."""
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def finish(axes: Axes, title: str, *, y_label: bool = True) -> None:
    """Set log scales, labels, a faint grid."""
    axes.set(xscale="log", yscale="log", title=title, xlabel="index $i$")
    if y_label:
        axes.set_ylabel(r"eigenvalue $\lambda_i$ of $J\,J^{\mathsf{T}}$")
    axes.grid(color="#e8e8e8", linewidth=0.6)
    axes.set_axisbelow(True)


def ticks(axes: Axes, x: Sequence[int]) -> None:
    """Set a log axis with a tick for every setting, and no other."""
    axes.set_xscale("log")
    axes.set_xticks(x, [str(each) for each in x])
    axes.xaxis.minorticks_off()


def save(figure: Figure, path: Path, *, colours: int | None = None) -> None:
    """Write a PNG, of so many colours at most where pictures would make it large; the folder is made."""
    if path.suffix != ".png":
        raise UsageError(str(path), expected="a name in .png", got=path.name, remedy="choose another")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = to_bytes(figure, "png")
    if colours is None:
        path.write_bytes(content)
    else:
        with Image.open(io.BytesIO(content)) as picture:
            picture.convert("RGB").quantize(colours).save(path, format="png", optimize=True)
    print(path)
