"""The scaling table: settings, parameters, quality, lambda_min and its certified bounds, mean over items.

python -m analysis.paper.scaling_table paper/2d
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.paper import command
from analysis.paper.beside import markdown
from analysis.paper.drawing import NAMES
from ntkspec.population.groups import require
from ntkspec.population.intervals import interval
from ntkspec.population.outcomes import Curve, Outcome, Stage
from ntkspec.report.words import sci_down, sci_up

QUALITY = {"psnr_db": "PSNR in dB", "ms_ssim": "MS-SSIM", "iou": "IoU", "chamfer": "Chamfer"}
DIGITS = {"psnr_db": 2, "ms_ssim": 3, "iou": 3, "chamfer": 4}


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each preset, in Markdown; intervals are of the mean over items."""
    require(outcomes, NAMES)
    shown = [metric for metric in QUALITY if any(metric in each.end.metrics for each in outcomes)]
    rows = []
    for name, title in NAMES.items():
        group = [each for each in outcomes if each.name == name]
        ends = [each.end for each in group]
        rows.append(
            [
                title,
                settings(group[0]),
                f"{group[0].parameters:,}",
                *(quality(group, metric) for metric in shown),
                smallest([end.spectra["total"] for end in ends]),
                enclosure(ends),
            ]
        )
    head = ["encoding", "settings", "parameters", *(QUALITY[metric] for metric in shown)]
    return markdown([*head, "lambda_min", "certified"], rows)


def quality(group: Sequence[Outcome], metric: str) -> str:
    """The mean of a metric at the end and its interval, over the items that have it."""
    known = [run for run in group if metric in run.end.metrics]
    if not known:
        return "-"
    found = interval([run.end.metrics[metric] for run in known], [run.seed for run in known])
    return found.text(DIGITS[metric]) + (f" in {len(known)}" if len(known) < len(group) else "")


def settings(outcome: Outcome) -> str:
    """What the preset's encoding is."""
    encoding = outcome.config["encoding"]
    if encoding["kind"] == "gaussian":
        return f"sigma {encoding['sigma']:g}, {encoding['features']} frequencies"
    if encoding["kind"] == "multigrid":
        return f"{encoding['levels']} levels, {encoding['base']} to {encoding['finest']} cells"
    return "-"


def smallest(curves: Sequence[Curve]) -> str:
    """The geometric mean of lambda_min and its range, and how many are zero or unresolved."""
    numbers = np.array([curve.lambda_min for curve in curves if curve.lambda_min])
    zero = sum(curve.lambda_min == 0 for curve in curves)
    unresolved = sum(curve.lambda_min is None for curve in curves)
    said = []
    if len(numbers):
        mean = np.exp(np.log(numbers).mean())
        span = f" ({numbers.min():.1e} to {numbers.max():.1e})" if len(numbers) > 1 else ""
        said.append(f"{mean:.1e}{span}" + (f" in {len(numbers)}" if len(numbers) < len(curves) else ""))
    if zero:
        said.append(f"0 in {zero}" if zero < len(curves) else f"exactly 0 in all {zero}")
    if unresolved:
        floor = max(curve.floor for curve in curves if curve.lambda_min is None)
        said.append(f"unresolved (<= {floor:.0e}) in {unresolved}")
    return "; ".join(said)


def enclosure(stages: Sequence[Stage]) -> str:
    """The least of the certified lower bounds on lambda_min and the largest of the upper, over all items."""
    known = [stage.certified for stage in stages if stage.certified]
    if len(known) < len(stages):
        return "-"
    return f"{sci_down(min(low for low, _ in known))} to {sci_up(max(high for _, high in known))}"


if __name__ == "__main__":
    command.show(__doc__, table)
