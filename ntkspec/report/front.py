"""The table at the top of the page: how well each run did, and the few numbers that say why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ntkspec.report import words
from ntkspec.report.headline import ranking
from ntkspec.report.records import Report
from ntkspec.report.style import StyledRun, when_last
from ntkspec.report.summary import ComparisonTable, comparison_table, singular_baseline

_SHOWN = ("psnr_db", "psnr_db_held_out", "iou")  # qualities; the others stand with the pictures and below
_NO_NUMBER = (words.UNRESOLVED, words.NOT_COMPUTED, words.REFERENCE, "-")  # how cells begin that hold none


@dataclass(frozen=True)
class Column:
    """A column with what its numbers mean."""

    name: str
    meaning: str  # in a sentence, for whoever has never seen it; "" where the name says it all
    cells: tuple[str, ...]  # one for each run, as displayed

    @property
    def dim(self) -> tuple[bool, ...]:
        """Which cells hold no number."""
        return tuple(cell.startswith(_NO_NUMBER) for cell in self.cells)


@dataclass(frozen=True)
class Front:
    """A row for each run, in the order in which runs are shown."""

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
    columns = [*_qualities(table), *_modes(table), _smallest(report, table), *_decades(table)]
    runs = tuple(row.run for row in table.rows)
    shown = tuple(column for column in columns if not set(column.cells) <= {"-"})
    return Front(runs, shown, tuple(filter(None, (singular_baseline(report), ranking(report)))))


def _qualities(table: ComparisonTable) -> Iterator[Column]:
    meanings = {
        "psnr_db": "PSNR: how near the learnt picture is to the true one, in decibels; 30 is good, 40 "
        "all but equal.",
        "psnr_db_held_out": "Held out: PSNR of the pixels that were not learnt.",
        "iou": "IoU: how much the learnt body and the true one share; 1 is all.",
    }
    for i, name in enumerate(table.qualities):
        if name in _SHOWN:
            yield Column(words.QUALITIES[name], meanings[name], tuple(row.qualities[i] for row in table.rows))


def _modes(table: ComparisonTable) -> Iterator[Column]:
    if table.aligned:
        meaning = (
            "Modes for 90%: a mode is a pattern on the samples that a network learns at a speed of its own;"
            " as many of the fastest as stand here hold 90% of the target, less its mean. Few say that the "
            "network has turned towards the target in training; before training the number does not "
            "foretell the result."
        )
        yield Column("modes for 90%", meaning, tuple(row.modes for row in table.rows))


def _smallest(report: Report, table: ComparisonTable) -> Column:
    cells = tuple(row.lambda_min for row in table.rows)
    meaning = (
        "Smallest eigenvalue: the speed at which the slowest of all modes is learnt, "
        f"{when_last(report)}. Near zero, some detail is never learnt; large, noise between the samples is "
        "learnt as readily."
    )
    if any(cell.startswith(words.UNRESOLVED) for cell in cells):
        meaning += " Unresolved (<= x): rounding leaves no digit of it; it lies between 0 and x."
    return Column("smallest eigenvalue", meaning, cells)


def _decades(table: ComparisonTable) -> Iterator[Column]:
    if table.compared:
        meaning = (
            f"Decades: by how many powers of ten the smallest eigenvalue exceeds that of {table.baseline}."
        )
        cells = tuple(row.decades.removeprefix("= ") for row in table.rows)
        yield Column(f"decades over {table.baseline}", meaning, cells)
