"""All spectra of a report as one CSV table, a row for each eigenvalue."""

from __future__ import annotations

import csv
from typing import TextIO

from ntkspec.report.data import Report
from ntkspec.report.names import snapshot_name

COLUMNS = ("run", "snapshot", "step", "spectrum", "index", "eigenvalue", "error", "resolved", "floor", "zero")


def write_csv(report: Report, file: TextIO) -> None:
    """Write every spectrum to an open text file (newline="").

    Numbers have all their digits; index counts from 1; resolved is 1 for a number to quote, zero is 1 for
    what is exactly zero; where both are 0 the value lies somewhere in [0, floor].
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in report.runs:
        for snapshot in run.snapshots:
            for name, spectrum in snapshot.spectra.items():
                head = (run.label, snapshot_name(run, snapshot), snapshot.step, name)
                pairs = zip(spectrum.eigenvalues.tolist(), spectrum.error.tolist(), strict=True)
                writer.writerows(
                    (
                        *head,
                        i,
                        repr(value),
                        repr(error),
                        int(value > spectrum.floor),
                        repr(float(spectrum.floor)),
                        int(spectrum.singular and spectrum.rank is not None and i > spectrum.rank.at_most),
                    )
                    for i, (value, error) in enumerate(pairs, start=1)
                )
