"""Print the report within one screen: each run and kernel at the end of training, and which run is best."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ntkspec.display import counted
from ntkspec.qualities import QUALITIES
from ntkspec.report import words
from ntkspec.report.headline import headline
from ntkspec.report.names import clean, kernel_names
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.report.style import styled_runs, when_last
from ntkspec.report.summary import ComparisonRow, ComparisonTable, comparison_table, failures, notes
from ntkspec.report.terminal_columns import Column, print_columns, print_line, with_rows, written
from ntkspec.report.terminal_details import print_details, thorough
from ntkspec.spectral.record import Spectrum

_MOST_WARNINGS = 5  # that are printed


def print_report(report: Report, console: Console, *, details: bool = False) -> None:
    """Print the runs at the end of training, notes on the numbers, warnings, and which run is best.

    Columns that do not fit are left out, the least important first; colours and width are the console's.

    Args:
        details: print every snapshot and bound instead of the table, and all warnings.
    """
    if details:
        print_details(report, console)
    else:
        _print_ends(report, console)
    for note in notes(report):
        print_line(console, note.removesuffix("."), style="dim")
    warnings = (*failures(report), *report.warnings)
    shown = warnings if details else warnings[:_MOST_WARNINGS]
    for warning in shown:
        print_line(console, f"warning: {clean(warning, 2000)}", style="yellow")
    if len(shown) < len(warnings):
        print_line(console, f"warnings left out: {len(warnings) - len(shown)}; see --details", style="yellow")
    console.print()
    for sentence in headline(report):
        print_line(console, sentence)


def _print_ends(report: Report, console: Console) -> None:
    """Print the table of the last snapshots, and explain its abbreviations."""
    runs, table = styled_runs(report), comparison_table(report)
    print_line(console, _title(report), style="dim")
    names, alone = written([styled.short for styled in runs], 28, console), _one_size(report.runs)
    rows = [
        cells for name, row in zip(names, table.rows, strict=True) for cells in _rows(row, name, alone=alone)
    ]
    filled = [column for column in with_rows(_columns(table), rows) if column.filled]
    missing = ", ".join(column.title for column in print_columns(console, filled))
    console.print()
    ends = [run.end for run in runs if run.end]
    if any(words.is_unresolved(spectrum) for end in ends for spectrum in end.spectra.values()):
        print_line(console, words.AT_MOST, style="dim")
    if any(_certified(end) != "-" for end in ends):
        print_line(console, words.CERTIFIED_RANGE, style="dim")
    wider = f"; on a wider terminal: {missing}" if missing else ""
    print_line(console, f"--details: every snapshot and bound{wider}", style="dim")
    for name, styled in zip(names, runs, strict=True):
        if checks := thorough(styled.run):
            print_line(console, f"{name}: {checks}")


def _title(report: Report) -> str:
    """Return the table's title, which states what the rows have in common."""
    first = report.runs[0] if report.runs else None
    head = f"{counted(run=len(report.runs))}, {when_last(report)}"
    if first is None or not _one_size(report.runs):
        return head
    outputs = "" if first.outputs == 1 else f", {first.outputs} outputs ({words.mode(first)})"
    return f"{head}: {counted(sample=first.samples)}{outputs}, kernel {first.size} x {first.size}"


def _one_size(runs: Sequence[RunReport]) -> bool:
    return len({(run.samples, run.outputs, run.mode) for run in runs}) == 1


def _columns(table: ComparisonTable) -> list[Column]:
    """Return the columns; the first metric is the last to be left out on a narrow terminal."""
    qualities = [
        Column(QUALITIES[name].title, 1 if i == 0 else 5 + i, "right")
        for i, name in enumerate(table.qualities)
    ]
    return [
        Column("run", 0),
        *qualities,
        Column("modes", 2, "right"),
        Column("resolved", 4, "right"),
        Column("lambda_max", 5, "right"),
        Column("lambda_min", 0, "right"),
        Column("certified", 3, "right"),
    ]


def _rows(row: ComparisonRow, name: str, *, alone: bool) -> list[tuple[str, ...]]:
    """Return the cells of a run's total kernel, and below it of its sums of blocks.

    Args:
        alone: whether to write the number of resolved eigenvalues without the total, which is in the title.
    """
    end = row.run.end
    if end is None:
        return []
    shown, blank = kernel_names([row.run.run], 20), ("",) * (len(row.qualities) + 1)
    rows = []
    for kernel, spectrum in end.spectra.items():
        total = kernel == "total"
        head = (name, *row.qualities, row.modes) if total else (f"  {shown[kernel]}", *blank)
        resolved = str(spectrum.resolved) if alone and spectrum.complete else words.resolved(spectrum)
        proved = _certified(end) if total else ""
        rows.append((*head, resolved, words.largest(spectrum), _smallest(spectrum), proved))
    return rows


def _smallest(spectrum: Spectrum) -> str:
    """Return the smallest eigenvalue as text, or what is known of it."""
    if words.is_unresolved(spectrum):
        return f"<= {words.sci_up(spectrum.smallest_at_most)}"
    return words.lambda_min(spectrum)


def _certified(end: SnapshotReport) -> str:
    """Return the proved limits of the total kernel's lambda_min; "-" where nothing is proved of it."""
    bounds = [checked for checked in end.bounds if checked.bound.certified and checked.of == "total"]
    return words.certified(bounds) if bounds else "-"
