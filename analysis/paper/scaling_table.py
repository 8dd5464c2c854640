"""The scaling table: settings, parameters, quality, lambda_min and its certified bounds, mean over items.

python -m analysis.paper.scaling_table paper/2d
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import pandas as pd

from analysis.paper import command
from analysis.paper.drawing import NAMES
from analysis.paper.groups import require
from analysis.paper.tables import curves, enclosure, markdown, mean, runs_of, smallest, stages
from ntkspec.population.outcomes import Outcome

QUALITY = {  # title -> metric, and its digits
    "PSNR in dB": ("psnr_db", 2),
    "MS-SSIM": ("ms_ssim", 3),
    "IoU": ("iou", 3),
    "Chamfer": ("chamfer", 4),
}


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a row for each preset, in Markdown; intervals are of the mean over items."""
    require(outcomes, NAMES)
    runs = runs_of(outcomes)[list(NAMES)]
    first = runs.iloc[0]
    scores = {title: runs.apply(quality, args=asked) for title, asked in QUALITY.items()}
    columns = {
        "settings": first.map(settings),
        "parameters": first.map(lambda run: f"{run.parameters:,}"),
        **{title: cells for title, cells in scores.items() if any(cells != "-")},
        "lambda_min": curves(runs).apply(smallest),
        "certified": stages(runs).apply(enclosure),
    }
    return markdown(pd.DataFrame(columns).rename(index=NAMES), "encoding")


def quality(runs: pd.Series, metric: str, digits: int) -> str:
    """Return the mean of a metric at the end and its interval, over the items that have it."""
    known = runs[runs.map(lambda run: metric in run.end.metrics)]
    if known.empty:
        return "-"
    values = known.map(lambda run: run.end.metrics[metric])
    counted = f" in {len(known)}" if len(known) < len(runs) else ""
    return mean(values, known.map(attrgetter("seed")), digits) + counted


def settings(run: Outcome) -> str:
    """Return what the preset's encoding is."""
    encoding = run.config["encoding"]
    if encoding["kind"] == "gaussian":
        return f"sigma {encoding['sigma']:g}, {encoding['features']} frequencies"
    if encoding["kind"] == "multigrid":
        return f"{encoding['levels']} levels, {encoding['base']} to {encoding['finest']} cells"
    return "-"


if __name__ == "__main__":
    command.of_outcomes(__doc__, table, "study")
