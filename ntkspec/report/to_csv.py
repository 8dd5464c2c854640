"""Write a report as CSV tables: a row for each eigenvalue, and a row for each kernel at each snapshot."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from ntkspec.qualities import values_of
from ntkspec.report.names import named_snapshots
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.spectral.report_values import spectrum_columns

COLUMNS = (
    "run", "snapshot", "step", "spectrum", "index", "eigenvalue", "error", "resolved", "floor", "zero",
    "radial_frequency",
)  # fmt: skip
SNAPSHOT_COLUMNS = (
    "run", "snapshot", "step", "spectrum", "size", "resolved", "floor", "lambda_max", "lambda_min",
    "lambda_min_at_most", "zero", "condition", "trace", "effective_rank", "stable_rank", "kernel_distance",
    "modes_for_90_percent", "share_beyond_128_modes", "kernel_target_alignment",
)  # fmt: skip

_SEPARATORS = ",;|\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029"  # of cells and of lines, whatever reads the file
_SIGNS = "=＝﹦⁼₌+＋﹢⁺₊﬩\\-－﹣−⁻₋@＠﹫"  # what formulas begin with, and what may be folded into that
# What may stand before a sign: quotes, which the file's readers drop, and what is blank or invisible.
_PASSED = (
    "'\"\\0-\\x08\\x0e-\\x1b\\x1f \\x7f-\\x84\\x86-\\xa0\\xad\\u034f\\u061c\\u115f\\u1160\\u1680\\u17b4"
    "\\u17b5\\u180b-\\u180f\\u2000-\\u200f\\u202a-\\u202f\\u205f-\\u206f\\u2800\\u3000\\u3164"
    "\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U000e0000-\\U000e0fff"
)
_FORMULA = re.compile(rf"(?:\A|(?<=[{_SEPARATORS}]))(?=[{_PASSED}]*[{_SIGNS}])|\A(?='*[\t\r\n])")


def text(value: str) -> str:
    """Return a text, which may come from an untrusted file, as a cell that no spreadsheet runs as a formula.

    A program that reads the CSV may split the text at any character that it takes for a separator. An
    apostrophe is inserted before each part that a spreadsheet would run as a formula, and before each part
    that would be a formula without its own apostrophes, so that different texts stay different.

    Example:
        >>> text("=1+1"), text("'=1+1"), text("a;=1"), text("a = b")
        ("'=1+1", "''=1+1", "a;'=1", 'a = b')
    """
    return _FORMULA.sub("'", value)


def write_table(file: TextIO, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write the names of the columns, then the rows, to an open text file (newline=""); texts are quoted."""
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(columns)
    writer.writerows(rows)


def write_csv(report: Report, file: TextIO) -> None:
    """Write every spectrum to an open text file (newline="").

    Numbers have all their digits, and index counts from 1. resolved is 1 for a number that can be quoted,
    zero is 1 for an exact zero; where both are 0 the value lies somewhere in [0, floor]. radial_frequency is
    that of the eigenfunction over a whole picture, empty where none was drawn. Text is quoted, with an
    apostrophe before each part that a spreadsheet would run as a formula; see `text`.
    """
    write_table(file, COLUMNS, _eigenvalues(report))


def _eigenvalues(report: Report) -> Iterator[Sequence[object]]:
    for run, at, snapshot, name in _kernels(report):
        head = (text(run.label), text(at), snapshot.step, text(name))
        cycles = _frequencies(snapshot, name)
        columns = [column.tolist() for column in spectrum_columns(snapshot.spectra[name]).values()]
        for i, value, error, resolved, floor, zero in zip(*columns, strict=True):
            yield (*head, i, value, error, int(resolved), floor, int(zero), cell(cycles.get(i)))


def _frequencies(snapshot: SnapshotReport, kernel: str) -> dict[int, float | None]:
    shown = snapshot.eigenfunctions if kernel == "total" else None
    return dict(zip(shown.modes, shown.frequencies, strict=True)) if shown else {}


def write_snapshots_csv(report: Report, file: TextIO) -> None:
    """Write a row for each kernel at each snapshot to an open text file (newline="").

    What is not known is empty: lambda_min where it is not resolved (then it lies in [0, lambda_min_at_most]),
    kernel_distance where there is none, the columns of targets where these were not aligned with the kernel,
    and modes_for_90_percent where the resolved modes hold less. share_beyond_128_modes is an upper limit
    where fewer modes are resolved. zero is 1 where lambda_min is exactly zero. Text is as in `write_csv`.
    """
    rows = (
        (text(run.label), text(at), snap.step, text(name), *map(cell, kernel_numbers(snap, name).values()))
        for run, at, snap, name in _kernels(report)
    )
    write_table(file, SNAPSHOT_COLUMNS, rows)


def snapshot_columns(report: Report) -> dict[str, list[Any]]:
    """Return the columns of snapshots.csv by name, and one for each metric; None: not known.

    A metric that has the name of another column is called "metric <name>".
    """
    kernels = [*_kernels(report)]
    rows = [
        (run.label, at, snap.step, name, *kernel_numbers(snap, name).values())
        for run, at, snap, name in kernels
    ]
    columns = {name: [row[place] for row in rows] for place, name in enumerate(SNAPSHOT_COLUMNS)}
    metrics = [values_of(snap.metrics) for _, _, snap, _ in kernels]
    return columns | {
        f"metric {metric}" if metric in SNAPSHOT_COLUMNS else metric: [known.get(metric) for known in metrics]
        for metric in dict.fromkeys(itertools.chain(*metrics))
    }


def _kernels(report: Report) -> Iterator[tuple[RunReport, str, SnapshotReport, str]]:
    """Yield (run, name of a snapshot, snapshot, name of a kernel) for all kernels of a report."""
    for run in report.runs:
        for at, snapshot in named_snapshots(run):
            for name in snapshot.spectra:
                yield run, at, snapshot, name


def kernel_numbers(snapshot: SnapshotReport, name: str) -> dict[str, float | None]:
    """Return the numbers of one kernel at one snapshot by column, None where it has no such number.

    Args:
        snapshot: that has the kernel.
        name: of the kernel, such as "total".

    Returns:
        The columns of snapshots.csv from "size" on.
    """
    spectrum, distance = snapshot.spectra[name], snapshot.distances.get(name)
    aligned = snapshot.alignments.get(name)
    return {
        "size": spectrum.size,
        "resolved": spectrum.resolved,
        "floor": float(spectrum.floor),
        "lambda_max": spectrum.lambda_max,
        "lambda_min": spectrum.lambda_min,
        "lambda_min_at_most": float(spectrum.smallest_at_most) if spectrum.complete else None,
        "zero": int(spectrum.singular or spectrum.zero),
        "condition": spectrum.condition,
        "trace": float(spectrum.trace),
        "effective_rank": spectrum.effective_rank,
        "stable_rank": spectrum.stable_rank,
        "kernel_distance": distance.value if distance else None,
        "modes_for_90_percent": aligned.modes(0.9) if aligned else None,
        "share_beyond_128_modes": aligned.beyond(128) if aligned else None,
        "kernel_target_alignment": aligned.kernel_target if aligned else None,
    }


def cell(number: float | None) -> float | str:
    """Return a number as a cell of a table, or an empty one for None."""
    return "" if number is None else number
