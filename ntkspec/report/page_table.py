"""Make the table at the top of the page: the metrics of each run, and a few numbers of its spectrum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ntkspec.qualities import QUALITIES
from ntkspec.report import words
from ntkspec.report.records import Report
from ntkspec.report.style import StyledRun, reference, when_last
from ntkspec.report.summary import ComparisonTable, comparison_table, singular_baseline, warned

_NO_NUMBER = (words.UNRESOLVED, words.NOT_COMPUTED, words.REFERENCE)  # how cells without a number begin


@dataclass(frozen=True)
class Column:
    """A column, and what its numbers mean."""

    name: str
    meaning: str  # in a sentence, for whoever has never seen it; "" where the name says it all
    cells: tuple[str, ...]  # one for each run, as displayed

    @property
    def dim(self) -> tuple[bool, ...]:
        """Return for each cell whether it has no number."""
        return tuple(cell == "-" or cell.startswith(_NO_NUMBER) for cell in self.cells)


@dataclass(frozen=True)
class Front:
    """The table: a row for each run, in the order in which runs are shown."""

    runs: tuple[StyledRun, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]  # what the numbers do not show


def front(report: Report) -> Front:
    """Return the table; columns in which no run has a number are left out.

    Example:
        >>> front(Report("", "", "cpu", ())).columns
        ()
    """
    table = comparison_table(report)
    columns = [
        *_qualities(table),
        *_modes(table),
        *_resolved(table),
        _smallest(report, table),
        *_decades(report, table),
    ]
    runs = tuple(row.run for row in table.rows)
    shown = tuple(column for column in columns if not set(column.cells) <= {"-"})
    return Front(runs, shown, (*filter(None, [singular_baseline(report)]), *warned(report)))


def _qualities(table: ComparisonTable) -> Iterator[Column]:
    """Yield a column for each metric that has an explanation in `QUALITIES`; the details list the others."""
    for i, name in enumerate(table.qualities):
        if QUALITIES[name].meaning:
            cells = tuple(row.qualities[i] for row in table.rows)
            yield Column(QUALITIES[name].title, QUALITIES[name].meaning, cells)


def _modes(table: ComparisonTable) -> Iterator[Column]:
    if table.aligned:
        meaning = (
            "Modes for 90%: a mode is a pattern on the sampled points that the network learns at one speed. "
            "This is how many of its fastest modes together make up 90% of the target (of its squared "
            "deviation from the mean). A small number says that the trained network is tuned to this target."
        )
        yield Column("modes for 90%", meaning, tuple(row.modes for row in table.rows))


def _smallest(report: Report, table: ComparisonTable) -> Column:
    cells = tuple(row.lambda_min for row in table.rows)
    meaning = (
        f"Smallest eigenvalue: the speed of the slowest mode, {when_last(report)}. If it is near zero, some "
        "patterns are never learnt; if it is large, the network learns noise as fast as detail. Neither is "
        "better in itself."
    )
    if any(cell.startswith(words.UNRESOLVED) for cell in cells):
        meaning += (
            " Unresolved (<= x): too small for the arithmetic, somewhere between 0 and x. Where x lies "
            "below the floor that is drawn, it follows from the structure of the network: samples in one "
            "activation region share their patterns."
        )
    return Column("smallest eigenvalue", meaning, cells)


def _resolved(table: ComparisonTable) -> Iterator[Column]:
    """Yield a column with the number of resolved eigenvalues, if lambda_min of some run is not resolved."""
    spectra = [row.run.spectrum() for row in table.rows]
    if any(spectrum is not None and words.is_unresolved(spectrum) for spectrum in spectra):
        meaning = (
            "Modes above rounding: how many eigenvalues are larger than the errors of their computation."
        )
        cells = tuple("-" if spectrum is None else words.resolved(spectrum) for spectrum in spectra)
        yield Column("modes above rounding", meaning, cells)


def _decades(report: Report, table: ComparisonTable) -> Iterator[Column]:
    """Yield a column with the decades of lambda_min over the reference's, if the reference's is a number."""
    baseline = reference(report)
    spectrum = baseline.spectrum() if baseline else None
    if table.compared and spectrum is not None and spectrum.lambda_min:
        meaning = (
            f"Decades: by how many powers of ten the smallest eigenvalue exceeds that of {table.baseline}."
        )
        cells = tuple(row.decades.removeprefix("= ") for row in table.rows)
        yield Column(f"decades over {table.baseline}", meaning, cells)
