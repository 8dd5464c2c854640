"""Choose the order, the names and the colours in which the labels of a population are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ntkspec.population.report.cohorts import Cohort, at_stage
from ntkspec.population.report.reading import KeptPopulation
from ntkspec.report.grouping import grouped
from ntkspec.report.names import clean, short
from ntkspec.report.records import Report
from ntkspec.report.style import MARKERS, Kind, Stage, styled_runs, when_last

MOST_LABELS = 12  # in a figure
NO_LABEL = "(no label)"


@dataclass(frozen=True)
class ShownLabel:
    """A label, and the way it is shown."""

    label: str  # as it stands in the files
    name: str  # printable, short and unlike the others
    runs: int
    kind: Kind
    colour: str | None  # None: not among those that are drawn
    marker: str | None = None  # matplotlib's, where another label has this colour, too


def shown_labels(population: KeptPopulation) -> tuple[ShownLabel, ...]:
    """Return all labels in the order of a report: baseline, Fourier features, multigrids, others.

    Only the labels with the most runs have a colour.
    """
    labels = tuple(population.examples)
    runs = Counter(run.label for run in population.runs)
    names = dict(
        zip(labels, short([label if clean(label) else NO_LABEL for label in labels], 28), strict=True)
    )
    drawn = sorted(labels, key=lambda label: -runs[label])[:MOST_LABELS]
    looks = {styled.run.label: styled for styled in styled_runs(_report(population, drawn))}
    shared = Counter(styled.colour for styled in looks.values())
    shown = []
    for styled in styled_runs(_report(population, labels)):
        label, look = styled.run.label, looks.get(styled.run.label)
        marker = MARKERS[look.marker] if look and shared[look.colour] > 1 else None
        colour = look.colour if look else None
        shown.append(ShownLabel(label, names[label], runs[label], styled.kind, colour, marker))
    return tuple(shown)


def cohorts_at(
    cohorts: Sequence[Cohort], labels: Iterable[ShownLabel], stage: Stage
) -> dict[ShownLabel, Cohort]:
    """Return the cohort of each label at a stage, if it has one; of several, the one with the most runs."""
    return {label: first for label in labels for first in at_stage(cohorts, label.label, stage)[:1]}


def left_out(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> str:
    """Return sentences for captions: which labels and cohorts are not drawn; "" if all are."""
    few = f" Drawn: the {MOST_LABELS} of {len(labels)} labels that have the most runs."
    kinds = (
        " Of a label with kernels of several sizes or outputs, those of one kind are drawn: "
        "no other kind has more runs."
    )
    kernels = grouped((cohort.label, cohort.kernels) for cohort in cohorts)
    several = any(len({*of_label}) > 1 for of_label in kernels.values())
    return (few if len(labels) > MOST_LABELS else "") + (kinds if several else "")


def when(population: KeptPopulation) -> str:
    """Return a text that says when the last snapshots were taken, such as "at the end of training"."""
    return when_last(_report(population, tuple(population.examples)))


def _report(population: KeptPopulation, labels: Iterable[str]) -> Report:
    """Return a report with one run for each label, which tells the kind of its runs (baseline, grid, ...)."""
    wanted = set(labels)
    examples = tuple(run for label, run in population.examples.items() if label in wanted)
    return Report(created="", producer="", backend="cpu", runs=examples)
