"""All spectra of a report as one CSV table, a row for each eigenvalue."""

from __future__ import annotations

import csv
import re
from typing import TextIO

from ntkspec.report.data import Report
from ntkspec.report.names import snapshot_name

COLUMNS = ("run", "snapshot", "step", "spectrum", "index", "eigenvalue", "error", "resolved", "floor", "zero")

# What spreadsheets begin a formula with, full-width forms included, after what they may pass over.
_FORMULA = re.compile("[\\s'\\0-\\x20\\u200b-\\u200f\\ufeff]*[=+\\-@＝＋－＠]|'*[\\t\\r\\n]")


def text(value: str) -> str:
    """A cell that no spreadsheet runs, from a text that may come from a foreign file.

    One that would be a formula gets an apostrophe before it, and so does one that would be a formula without
    the apostrophes that it has, lest two texts become one.

    >>> text("=1+1"), text("'=1+1"), text("a = b")
    ("'=1+1", "''=1+1", 'a = b')
    """
    return f"'{value}" if _FORMULA.match(value) else value


def write_csv(report: Report, file: TextIO) -> None:
    """Write every spectrum to an open text file (newline="").

    Numbers have all their digits; index counts from 1; resolved is 1 for a number to quote, zero is 1 for
    what is exactly zero; where both are 0 the value lies somewhere in [0, floor]. Text is quoted, and begins
    with an apostrophe where a spreadsheet would take it for a formula.
    """
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for run in report.runs:
        for snapshot in run.snapshots:
            for name, spectrum in snapshot.spectra.items():
                head = (text(run.label), text(snapshot_name(run, snapshot)), snapshot.step, text(name))
                pairs = zip(spectrum.eigenvalues.tolist(), spectrum.error.tolist(), strict=True)
                writer.writerows(
                    (
                        *head,
                        i,
                        value,
                        error,
                        int(value > spectrum.floor),
                        float(spectrum.floor),
                        int(spectrum.singular and spectrum.rank is not None and i > spectrum.rank.at_most),
                    )
                    for i, (value, error) in enumerate(pairs, start=1)
                )
