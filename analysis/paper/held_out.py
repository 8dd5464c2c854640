"""Beyond the paper: what networks make of pixels between those that they learn.

    python -m analysis.paper.held_out PICTURES -o paper/held_out --results paper/results

Half of the pixels, at random, are learnt, and the other half judged apart (`ntkspec.train --held-out 0.5`):
Fourier features of rising bandwidth, multigrids of rising resolution, and the baseline. The kernel is taken
at pixels that are learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from analysis.paper import command
from analysis.paper.beside import markdown
from analysis.paper.drawing import COLOURS, line, new_axes, new_figure, save, ticks
from analysis.paper.scaling_table import smallest
from analysis.paper.sweeps import FINEST, LEVELS, SIGMAS
from analysis.paper.variants import run_study
from ntkspec.population.groups import by_name
from ntkspec.population.intervals import Interval, interval
from ntkspec.population.jobs import Job
from ntkspec.population.outcomes import Outcome

SHARE = 0.5
LEARNT, HELD_OUT = "psnr_db_learnt", "psnr_db_held_out"
NETWORKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # name of the run -> title, settings
    "baseline": ("baseline", {"preset": "baseline"}),
    **{f"ffe-{sigma}": (f"FFE, sigma {sigma}", {"preset": "ffe-low", "sigma": sigma}) for sigma in SIGMAS},
    **{
        f"mpe-{finest}": (
            f"MPE, finest {finest}",
            {"preset": "mpe-fine", "finest": finest, "levels": LEVELS[finest]},
        )
        for finest in FINEST
    },
}
# By what a run's name begins with.
LINES = {"baseline": COLOURS["baseline"], "ffe": COLOURS["ffe-medium"], "mpe": COLOURS["mpe-fine"]}
STYLES = {LEARNT: ("pixels that are learnt", "--", "none"), HELD_OUT: ("pixels held out", "-", None)}

Groups = Mapping[str, Sequence[Outcome]]


def jobs(folder: Path, pictures: Sequence[Path], scale: Mapping[str, Any]) -> list[Job]:
    """A training for each network."""
    end = frozenset({"end"})
    return [
        Job(folder, tuple(pictures), {**own, **scale, "held_out": SHARE}, {name: {}}, kept=end)
        for name, (_, own) in NETWORKS.items()
    ]


def draw(outcomes: Sequence[Outcome], output: Path) -> None:
    """PSNR against bandwidth and against resolution, and against lambda_min; means over pictures."""
    groups = by_name(outcomes)
    figure = new_figure(13.0, 4.6)
    axes = new_axes(figure, 1, 3, share=False)
    _against(axes[0], groups, "ffe", SIGMAS)
    axes[0].set(title="Fourier features", xlabel="bandwidth $\\sigma$ of 64 frequencies", ylabel="PSNR in dB")
    _against(axes[1], groups, "mpe", FINEST)
    axes[1].set(title="Multigrid", xlabel="cells an axis of the finest level")
    _against_smallest(axes[2], groups)
    low, high = np.array([panel.get_ylim() for panel in axes]).T
    for panel in axes:
        panel.set_ylim(low.min(), high.max())
    handles = [line(label, "#777777", dashed=dash == "--") for label, dash, _ in STYLES.values()]
    titles = ("baseline", "Fourier features", "multigrid")
    handles += [line(title, colour) for title, colour in zip(titles, LINES.values(), strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    save(figure, output)


def _psnr(group: Sequence[Outcome], metric: str) -> Interval:
    return interval([each.end.metric(metric) for each in group])


def _against(axes: Axes, groups: Groups, kind: str, x: Sequence[int]) -> None:
    """Means with their intervals, and the baseline's mean as a level."""
    colour = LINES[kind]
    for metric, (_, dash, face) in STYLES.items():
        beside = np.array(x) * (0.97 if metric == LEARNT else 1.03)  # so that whiskers do not overlap
        found = [_psnr(groups[f"{kind}-{each}"], metric) for each in x]
        means = np.array([each.value for each in found])
        ends = np.array([[each.low, each.high] for each in found]).T
        whiskers = np.abs(ends - means) if np.isfinite(ends).all() else None  # of one picture: none
        axes.errorbar(beside, means, whiskers, color=colour, linestyle=dash, marker="o", markersize=4,
                      markerfacecolor=face or colour, elinewidth=0.8, capsize=2)  # fmt: skip
        level = _psnr(groups["baseline"], metric).value
        axes.axhline(level, color=LINES["baseline"], linestyle=dash, linewidth=1)
    ticks(axes, x)


def _against_smallest(axes: Axes, groups: Groups) -> None:
    """A dot for each network of which lambda_min is a number on every picture."""
    for name, group in groups.items():
        values = [each.end.spectra["total"].lambda_min for each in group]
        if not all(values):
            continue
        at = float(np.exp(np.mean(np.log(np.array(values, dtype=np.float64)))))
        colour = LINES[name.partition("-")[0]]
        for metric, (_, _, face) in STYLES.items():
            axes.plot(at, _psnr(group, metric).value, "o", color=colour, markerfacecolor=face or colour)
        axes.annotate(name.partition("-")[2], (at, _psnr(group, LEARNT).value), xytext=(0, 5), fontsize=7,
                      textcoords="offset points", ha="center")  # fmt: skip
    axes.set(xscale="log", xlabel=r"$\lambda_{\min}$", title=r"Against $\lambda_{\min}$ (open: learnt)")


def table(outcomes: Sequence[Outcome]) -> str:
    """PSNR of both sorts of pixels, gains of those held out, and lambda_min, in Markdown."""
    groups = by_name(outcomes)
    ours = {name: [each.end.metric(HELD_OUT) for each in group] for name, group in groups.items()}
    best = [max(scores) for scores in zip(*(ours[f"ffe-{sigma}"] for sigma in SIGMAS), strict=True)]
    rows = []
    for name, (title, _) in NETWORKS.items():
        group = groups[name]
        gains = [_gain(ours[name], ours["baseline"]) if name != "baseline" else ""]
        gains.append(_gain(ours[name], best) if name.startswith("mpe") else "")
        kernels = [each.end.spectra["total"] for each in group]
        rows.append(
            [title, str(_psnr(group, LEARNT)), str(_psnr(group, HELD_OUT)), *gains, smallest(kernels)]
        )
    head = ["network", "learnt, dB", "held out, dB", "over the baseline, dB", "over the best FFE, dB"]
    return markdown([*head, "lambda_min"], rows)


def _gain(ours: Sequence[float], theirs: Sequence[float]) -> str:
    return str(interval([one - other for one, other in zip(ours, theirs, strict=True)]))


if __name__ == "__main__":
    command.run(lambda: run_study(__doc__, "held_out", jobs, draw, table))
