"""Runs of a study side by side, what is said of all items of a network, and tables in Markdown.

Runs stand in a data frame of pandas: a row for each item (a picture or mesh), a column for each network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.paper.ratios import decades, said
from ntkspec.population.intervals import Seeds, interval, median
from ntkspec.population.kept import Result
from ntkspec.population.outcomes import Curve, Outcome, Stage
from ntkspec.report.words import sci_down, sci_up

Floats = NDArray[np.float64]
Cells: TypeAlias = "pd.DataFrame | pd.Series"  # of all networks, or of one


def runs_of(outcomes: Iterable[Result]) -> pd.DataFrame:
    """Return the outcomes in a frame of items by names; NaN where an item has no run of a name."""
    return pd.Series({(each.item, each.name): each for each in outcomes}, dtype=object).unstack()


def stages(runs: Cells, label: str = "end") -> Cells:
    """Return the snapshots of this label, in the shape of the runs."""
    get = attrgetter("end") if label == "end" else lambda run: run.stages[label]
    return runs.map(get, na_action="ignore")


def curves(runs: Cells, label: str = "end", kernel: str = "total") -> Cells:
    """Return the spectra of one kernel at the snapshots of this label, in the shape of the runs."""
    return stages(runs, label).map(lambda stage: stage.spectra[kernel], na_action="ignore")


def metrics(runs: Cells, name: str) -> Cells:
    """Return a metric at the end of training, in the shape of the runs.

    Raises:
        UsageError: a run has no such metric.
    """
    return stages(runs).map(lambda stage: stage.metric(name), na_action="ignore").astype(float)


def mean(values: pd.Series, seeds: Seeds = (), digits: int = 2) -> str:
    """Return the mean over items with its interval, see `interval`."""
    return interval(values, seeds).text(digits)


def ratio(ours: pd.Series, theirs: pd.Series) -> str:
    """Return the median over items of one network's lambda_min over another's, in decades; see `said`."""
    return said(*median(ours.combine(theirs, decades)))


def intervals(groups: Iterable[Iterable[Outcome]], metric: str) -> tuple[Floats, Floats]:
    """Return the mean of a metric at the end for each group, (k,), and the ends of its interval, (2, k)."""
    found = [interval([run.end.metric(metric) for run in group]) for group in groups]
    return np.array([each.value for each in found]), np.array([(each.low, each.high) for each in found]).T


def smallest(spectra: Sequence[Curve]) -> str:
    """Return the geometric mean of lambda_min and its range, and how many are zero or unresolved."""
    frame = pd.DataFrame([(curve.lambda_min, curve.floor) for curve in spectra], columns=["value", "floor"])
    values, every = frame.value.astype(float), len(frame)
    numbers, zero, unresolved = values[values > 0], int((values == 0).sum()), frame[values.isna()]
    parts = []
    if len(numbers):
        span = f" ({numbers.min():.1e} to {numbers.max():.1e})" if len(numbers) > 1 else ""
        counted = f" in {len(numbers)}" if len(numbers) < every else ""
        parts.append(f"{np.exp(np.log(numbers).mean()):.1e}{span}{counted}")
    if zero:
        parts.append(f"0 in {zero}" if zero < every else f"exactly 0 in all {zero}")
    if len(unresolved):
        parts.append(f"unresolved (<= {sci_up(unresolved.floor.max())}) in {len(unresolved)}")
    return "; ".join(parts)


def enclosure(ends: Sequence[Stage]) -> str:
    """Return the least certified lower bound on lambda_min and the largest upper one, over all items."""
    if not all(stage.certified for stage in ends):
        return "-"
    known = pd.DataFrame([stage.certified for stage in ends])
    return f"{sci_down(known[0].min())} to {sci_up(known[1].max())}"


def markdown(
    table: pd.DataFrame | Mapping[str, Mapping[str, str]], title: str, *, words: bool = False
) -> str:
    """Return a table in Markdown.

    Args:
        table: cells of text by rows, whose names are the first column; a missing cell is empty.
        title: of the first column.
        words: the columns after the first are text too, set to the left; else they are numbers.
    """
    frame = (table if isinstance(table, pd.DataFrame) else pd.DataFrame(table).T).fillna("")
    rule = ["---", *["---" if words else "---:"] * len(frame.columns)]
    lines = [[title, *frame.columns], rule, *([name, *cells] for name, *cells in frame.itertuples())]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
