"""Beyond the paper: what networks make of pixels between those that they learn.

    python -m analysis.paper.held_out PICTURES -o paper/held_out --results paper/results

Half of the pixels, at random, are learnt, and the other half judged apart (`ntkspec.train --held-out 0.5`):
Fourier features of rising bandwidth, multigrids of rising resolution, and the baseline. The kernel is taken
at pixels that are learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.paper import command
from analysis.paper.drawing import COLOURS, legend, line, new_axes, new_figure, save, ticks
from analysis.paper.study import Settings, Study, trainings
from analysis.paper.sweeps import FINEST, LEVELS, SIGMAS
from analysis.paper.tables import curves, intervals, markdown, mean, metrics, runs_of, smallest
from ntkspec.population.jobs import Job
from ntkspec.population.outcomes import Outcome

SHARE = 0.5
LEARNT, HELD_OUT = "psnr_db_learnt", "psnr_db_held_out"
NETWORKS: Mapping[str, tuple[str, Settings]] = {  # name of the run -> title, settings
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


def jobs(folder: Path, pictures: Sequence[Path], scale: Settings) -> list[Job]:
    """Return a training for each network."""
    named = {name: {**own, "held_out": SHARE} for name, (_, own) in NETWORKS.items()}
    return trainings(named, folder, pictures, scale, frozenset({"end"}))


def draw(outcomes: Sequence[Outcome], output: Path) -> None:
    """Draw PSNR against bandwidth and against resolution, and against lambda_min; means over pictures."""
    runs = runs_of(outcomes)
    figure = new_figure(13.0, 4.6)
    axes = new_axes(figure, 1, 3, share=False)
    _against(axes[0], runs, "ffe", SIGMAS)
    axes[0].set(title="Fourier features", xlabel="bandwidth $\\sigma$ of 64 frequencies", ylabel="PSNR in dB")
    _against(axes[1], runs, "mpe", FINEST)
    axes[1].set(title="Multigrid", xlabel="cells an axis of the finest level")
    _against_smallest(axes[2], runs)
    low, high = np.array([panel.get_ylim() for panel in axes]).T
    for panel in axes:
        panel.set_ylim(low.min(), high.max())
    handles = [line(label, "#777777", dashed=dash == "--") for label, dash, _ in STYLES.values()]
    titles = ("baseline", "Fourier features", "multigrid")
    handles += [line(title, colour) for title, colour in zip(titles, LINES.values(), strict=True)]
    legend(figure, handles, 5)
    save(figure, output)


def _against(axes: Axes, runs: pd.DataFrame, kind: str, x: Sequence[int]) -> None:
    """Draw means with their intervals, and the baseline's mean as a level."""
    colour = LINES[kind]
    for metric, (_, dash, face) in STYLES.items():
        beside = np.array(x) * (0.97 if metric == LEARNT else 1.03)  # so that whiskers do not overlap
        means, ends = intervals((runs[f"{kind}-{each}"] for each in x), metric)
        whiskers = np.abs(ends - means) if np.isfinite(ends).all() else None  # of one picture: none
        axes.errorbar(beside, means, whiskers, color=colour, linestyle=dash, marker="o", markersize=4,
                      markerfacecolor=face or colour, elinewidth=0.8, capsize=2)  # fmt: skip
        level, _ = intervals([runs["baseline"]], metric)
        axes.axhline(level[0], color=LINES["baseline"], linestyle=dash, linewidth=1)
    ticks(axes, x)


def _against_smallest(axes: Axes, runs: pd.DataFrame) -> None:
    """Draw a dot for each network of which lambda_min is a number on every picture."""
    for name, group in runs.items():
        values = [each.end.spectra["total"].lambda_min for each in group]
        if not all(values):
            continue
        at = float(np.exp(np.mean(np.log(np.array(values, dtype=np.float64)))))
        colour = LINES[name.partition("-")[0]]
        for metric, (_, _, face) in STYLES.items():
            score, _ = intervals([group], metric)
            axes.plot(at, score[0], "o", color=colour, markerfacecolor=face or colour)
            if metric == LEARNT:
                axes.annotate(name.partition("-")[2], (at, score[0]), xytext=(0, 5), fontsize=7,
                              textcoords="offset points", ha="center")  # fmt: skip
    axes.set(xscale="log", xlabel=r"$\lambda_{\min}$", title=r"Against $\lambda_{\min}$ (open: learnt)")


def table(outcomes: Sequence[Outcome]) -> str:
    """Return PSNR of both sorts of pixels, gains of those held out, and lambda_min, in Markdown."""
    runs = runs_of(outcomes)[list(NETWORKS)]
    learnt, held_out = metrics(runs, LEARNT), metrics(runs, HELD_OUT)
    gains, best = held_out.drop(columns="baseline"), held_out.filter(like="ffe-").max(axis=1)
    columns = {
        "learnt, dB": learnt.apply(mean),
        "held out, dB": held_out.apply(mean),
        "over the baseline, dB": gains.sub(held_out["baseline"], axis=0).apply(mean),
        "over the best FFE, dB": gains.filter(like="mpe-").sub(best, axis=0).apply(mean),
        "lambda_min": curves(runs).apply(smallest),
    }
    titles = {name: title for name, (title, _) in NETWORKS.items()}
    return markdown(pd.DataFrame(columns, list(titles)).rename(index=titles), "network")


STUDY = Study("held_out", jobs, draw, table)

if __name__ == "__main__":
    command.run(lambda: STUDY.run(__doc__))
