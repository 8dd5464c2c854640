"""Format the numbers of a population as text, and make their table: a row a cohort, last snapshots first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ntkspec.population.intervals import FEW, Interval
from ntkspec.population.report.cohorts import Cohort, Kernels, SpectrumStatistics
from ntkspec.population.report.labels import ShownLabel
from ntkspec.qualities import QUALITIES, quality_of
from ntkspec.report import words
from ntkspec.report.grouping import grouped
from ntkspec.report.names import clean
from ntkspec.report.words import STATES, State

_STATES: Mapping[State, str] = {
    "resolved": "a number",
    "zero": "exactly 0",
    "unresolved": "unresolved",
    "not computed": "not computed",
}
NETWORK = "network singular"
OTHER_PIXELS = "different pixels"
MOST_ROWS = 150
_MOST_METRICS = 3  # of those that reports do not know


@dataclass(frozen=True)
class Cell:
    """A cell of a table: the text of a number, and that of its interval or of another remark."""

    value: str
    beside: str = ""

    @property
    def dim(self) -> bool:
        """Return whether the cell has no number."""
        return self.value == "-" or self.value.startswith((words.UNRESOLVED, words.NOT_COMPUTED, "<= "))


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural if the number is not 1.

    Example:
        >>> count(1, "run"), count(1200, "run")
        ('1 run', '1,200 runs')
    """
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def smallest(statistics: SpectrumStatistics) -> Cell:
    """Return a cell with the median of lambda_min and its interval, or with what is known instead.

    The text is a number, "0" or "not computed"; "unresolved (<= x)", where x bounds lambda_min of all runs;
    "<= x", where x bounds the median; or "unresolved" if no bound is known.
    """
    least, most = statistics.smallest
    median = statistics.median_smallest
    if median is not None:
        interval = Interval(median, least.low, most.high, least.count)
        return Cell(words.sci(median), interval.ends(words.sci) if interval.high else "")
    beside = _network(statistics)
    if statistics.states["not computed"] == statistics.runs:
        return Cell(words.NOT_COMPUTED, beside)
    all_unresolved = statistics.states["unresolved"] == statistics.runs
    limit = statistics.smallest_at_most if all_unresolved else most.value
    if not math.isfinite(limit):
        return Cell(words.UNRESOLVED, beside)
    bound = f"<= {words.sci_up(limit)}"
    return Cell(f"{words.UNRESOLVED} ({bound})" if all_unresolved else bound, beside)


def states(runs: Mapping[State, int]) -> str:
    """Return a text: in how many runs lambda_min is a number, exactly zero, unresolved or not computed.

    Example:
        >>> states({"resolved": 2, "zero": 1, "unresolved": 0, "not computed": 0})
        'a number in 2, exactly 0 in 1'
    """
    return ", ".join(f"{_STATES[state]} in {runs[state]:,}" for state in STATES if runs[state])


def counts(runs: Mapping[State, int]) -> str:
    """Return the counts of `states` as numbers, without words.

    Example:
        >>> counts({"resolved": 2, "zero": 1, "unresolved": 0, "not computed": 3})
        '2 / 1 / 0 (3 not computed)'
    """
    missing = f" ({runs['not computed']:,} not computed)" if runs["not computed"] else ""
    return f"{runs['resolved']:,} / {runs['zero']:,} / {runs['unresolved']:,}{missing}"


def metric(name: str, cohort: Cohort) -> Cell:
    """Return a cell with the mean of a metric and its interval, in its unit; "-" if it has no value.

    Runs in which it is infinite are not in the mean, and counted beside it. It has none where it is of other
    pixels in some runs than in others.
    """
    if name in cohort.not_averaged:
        return Cell("-", OTHER_PIXELS)
    statistics, infinite = cohort.metrics.get(name), cohort.infinite.get(name, 0)

    def form(value: float, count: int) -> str:
        return quality_of(name).show(value) + (f" in {count:,}" if count < cohort.runs else "")

    perfect = [form(math.inf, infinite)] if infinite else []
    if statistics is None:
        return Cell("".join(perfect) or "-")
    mean = statistics.mean
    return Cell(
        ", ".join([form(mean.value, mean.count), *perfect]),
        mean.ends(lambda value: quality_of(name).show(value).removesuffix(" dB")),
    )


def effective_rank(statistics: SpectrumStatistics) -> Cell:
    """Return a cell with the mean effective rank and its interval; "-" if it is known for no run."""
    mean = statistics.effective_rank
    if mean is None:
        return Cell("-")
    few = f" in {mean.count:,}" if mean.count < statistics.runs else ""
    return Cell(words.rank(mean.value) + few, mean.ends(words.rank))


def kernels(kind: Kernels) -> str:
    """Return a text: the size of the kernels, and how the kernels of several outputs were combined.

    Example:
        >>> kernels(Kernels(64, 1, "trace")), kernels(Kernels(192, 3, "full")), kernels(Kernels(64, 3, "0"))
        ('N = 64', 'N = 192, 3 outputs (full)', 'N = 64, 3 outputs (number 0 alone)')
    """
    if kind.outputs == 1:
        return f"N = {kind.size}"
    mode = f"number {kind.mode} alone" if kind.mode.isdigit() else kind.mode
    return f"N = {kind.size}, {kind.outputs} outputs ({mode})"


def intervals(sizes: Iterable[int]) -> str:
    """Return what the brackets in a table mean, for cohorts of these sizes; "" if there are no brackets."""
    several = {size for size in sizes if size > 1}
    meanings = []
    if any(size >= FEW for size in several):
        meanings.append("[a, b] is the 95% interval over runs, by bootstrap, each run drawn on its own")
    if any(size < FEW for size in several):
        meanings.append(f"(a to b) is the range, where there are fewer than {FEW} runs")
    return "; ".join(meanings)


def _network(statistics: SpectrumStatistics) -> str:
    """Return a text: in how many runs the kernel of the network is proved singular; "" if in none."""
    singular, runs = statistics.network_singular, statistics.runs
    if not singular:
        return ""
    where = f" in {singular:,} of {runs:,}" if singular < runs else f" in all {runs:,}" if runs > 1 else ""
    return f"{NETWORK}{where}"


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
        kernels=kernels(cohort.kernels),
        smallest=smallest(total),
        counts=counts(total.states),
        without_grid=_without_grid(cohort),
        effective_rank=effective_rank(total),
        metrics=tuple(metric(name, cohort) for name in metrics),
    )


def _without_grid(cohort: Cohort) -> Cell:
    kernel = cohort.spectra.get("no_grid")
    if kernel is None:
        return Cell("-")
    shown = smallest(kernel)
    numbers = kernel.states["resolved"] == kernel.runs
    return shown if numbers else Cell(shown.value, counts(kernel.states))
