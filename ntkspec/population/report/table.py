"""Make the table of a population: a row for each cohort, a section for each snapshot, the last one first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ntkspec.population.report import wording
from ntkspec.population.report.cohorts import Cohort
from ntkspec.population.report.labels import ShownLabel
from ntkspec.population.report.wording import Cell
from ntkspec.qualities import QUALITIES
from ntkspec.report.grouping import grouped
from ntkspec.report.names import clean

MOST_ROWS = 150
_MOST_METRICS = 3  # of those that reports do not know


@dataclass(frozen=True)
class Row:
    """A row of the table: one cohort, as it is shown."""

    label: ShownLabel
    runs: str
    kernels: str
    smallest: Cell  # lambda_min of the total kernel
    counts: str  # of runs: a number / zero / unresolved
    without_grid: Cell  # the same of the kernel without the grid's gradients
    effective_rank: Cell
    metrics: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """The cohorts at one snapshot."""

    snapshot: str
    rows: tuple[Row, ...]


def sections(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> tuple[Section, ...]:
    """Return the table, cut after `MOST_ROWS` rows."""
    shown = {label.label: label for label in labels}
    place = {label.label: i for i, label in enumerate(labels)}
    metrics = metrics_in_table(cohorts)
    by_snapshot = grouped((cohort.snapshot, cohort) for cohort in cohorts)
    steps = {name: max(cohort.step for cohort in group) for name, group in by_snapshot.items()}
    table, room = [], MOST_ROWS
    for name in sorted(by_snapshot, key=lambda name: (-steps[name], name)):
        group = sorted(by_snapshot[name], key=lambda cohort: place[cohort.label])[:room]
        rows = tuple(_row(cohort, shown[cohort.label], metrics) for cohort in group)
        room -= len(rows)
        if rows:
            table.append(Section(clean(name, 40), rows))
    return tuple(table)


def in_order(metrics: Iterable[str]) -> list[str]:
    """Return the names of metrics, each once; metrics that `ntkspec.qualities` knows come first.

    Example:
        >>> in_order(["loss", "psnr_db", "loss", "accuracy"])
        ['psnr_db', 'accuracy', 'loss']
    """
    names = set(metrics)
    first = [name for name in QUALITIES if name in names]
    return first + sorted(names - set(first))


def metrics_in_table(cohorts: Iterable[Cohort]) -> list[str]:
    """Return the metrics that have a column: those that `ntkspec.qualities` knows, or else the first few."""
    metrics = in_order(
        name for cohort in cohorts for name in (*cohort.metrics, *cohort.infinite, *cohort.not_averaged)
    )
    return [name for name in metrics if name in QUALITIES] or metrics[:_MOST_METRICS]


def _row(cohort: Cohort, label: ShownLabel, metrics: Sequence[str]) -> Row:
    total = cohort.spectra["total"]
    return Row(
        label=label,
        runs=f"{cohort.runs:,}",
        kernels=wording.kernels(cohort.kernels),
        smallest=wording.smallest(total),
        counts=wording.counts(total.states),
        without_grid=_without_grid(cohort),
        effective_rank=wording.effective_rank(total),
        metrics=tuple(wording.metric(name, cohort) for name in metrics),
    )


def _without_grid(cohort: Cohort) -> Cell:
    kernel = cohort.spectra.get("no_grid")
    if kernel is None:
        return Cell("-")
    shown = wording.smallest(kernel)
    numbers = kernel.states["resolved"] == kernel.runs
    return shown if numbers else Cell(shown.value, wording.counts(kernel.states))
