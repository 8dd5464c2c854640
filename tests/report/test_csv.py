"""spectra.csv in spreadsheets: no text of a foreign file is run, whatever separates the cells."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from unicodedata import category, normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkspec.report.records import Report
from ntkspec.report.to_csv import text, write_csv

from . import samples

STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]
STARTS += [" =", "\u00a0=", "'=", "\x01=", "\u200b=", "\ufeff="]


def rows_of(report: Report, delimiter: str = ",") -> list[list[str]]:
    file = io.StringIO(newline="")
    write_csv(report, file)
    return list(csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=delimiter))


@pytest.mark.parametrize("start", STARTS, ids=repr)
def test_labels_and_kernels_are_no_formulas(start: str) -> None:
    hostile = f"{start}cmd|' /C calc'!A0"
    run = samples.plain_run(hostile, 9, 0.5, size=3)
    snapshot = replace(run.snapshots[0], label=hostile, spectra={hostile: run.snapshots[0].spectra["total"]})
    _, *rows = rows_of(samples.one_run(replace(run, snapshots=(snapshot,))))
    assert len(rows) == 3
    for row in rows:
        assert [row[0], row[1], row[3]] == [f"'{hostile}"] * 3
        assert float(row[5]) > 0  # numbers stay numbers, exponents and signs included
        assert row[2] == "0"


def is_live(cell: str) -> bool:
    """Whether a spreadsheet may run it: whatever it folds and passes over."""
    shown = [
        char for char in normalize("NFKC", cell) if category(char)[0] not in "CZ" and char not in FILLERS
    ]
    return "".join(shown).startswith(("=", "+", "-", "\u2212", "@"))


SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫⁼₋"
FILLERS = "\u034f\u115f\u1160\u3164\ufe0f"
INVISIBLE = ["", " ", '"', '""', "\u2060", "\u00ad", "\u202a", "\ufeff", "\U000e0041", *FILLERS]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("column", ["run", "snapshot", "kernel"])
def test_no_formula_begins_inside_a_text(column: str, delimiter: str) -> None:
    """Spreadsheets separate by what their country does, and then all but the first column stands unquoted."""
    for separator in (",", ";", "\t", "|", "\n", "\r", '"' + delimiter, "'" + delimiter, delimiter * 2):
        hostile = "x" + "".join(f"{separator}{before}{sign}1y" for sign in SIGNS for before in INVISIBLE)
        run = samples.plain_run(hostile if column == "run" else "x", 9, 0.5, size=1)
        snapshot = replace(
            run.snapshots[0],
            label=hostile if column == "snapshot" else "init",
            spectra={hostile if column == "kernel" else "total": run.snapshots[0].spectra["total"]},
        )
        rows = rows_of(samples.one_run(replace(run, snapshots=(snapshot,))), delimiter)
        assert not any(is_live(cell) for row in rows for cell in row)
        assert any("1y" in cell for row in rows for cell in row)


@given(st.lists(st.text("=-' \t;,\"\na\u2060", max_size=5), unique=True))
def test_different_texts_stay_different(texts: list[str]) -> None:
    assert len(set(map(text, texts))) == len(texts)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0))
def test_numbers_keep_all_digits(value: float) -> None:
    run = samples.plain_run("a", 9, 0.5, size=1)
    total = replace(run.snapshots[0].spectra["total"], eigenvalues=samples.np.array([value]))
    snapshot = replace(run.snapshots[0], spectra={"total": total})
    assert float(rows_of(samples.one_run(replace(run, snapshots=(snapshot,))))[1][5]) == value


def test_what_is_resolved_and_what_is_exactly_zero() -> None:
    """3 of 5 above the floor, a rank of 4 at most: the fifth is zero, the fourth is neither."""
    from ntkspec.spectral import Rank

    values = np.array([4.0, 2.0, 1.0, 1e-12, 0.0])
    found = replace(samples.spectrum(values, 1e-9), eigenvalues=values, rank=Rank(4, "made up"))
    run = samples.plain_run("a run", 9, 0.5, size=5)
    run = replace(run, snapshots=(replace(run.snapshots[0], spectra={"total": found}),))
    head, *rows = rows_of(samples.one_run(run))
    flags = [(row[head.index("index")], row[head.index("resolved")], row[head.index("zero")]) for row in rows]
    assert flags == [("1", "1", "0"), ("2", "1", "0"), ("3", "1", "0"), ("4", "0", "0"), ("5", "0", "1")]
    assert [float(row[head.index("floor")]) for row in rows] == [1e-9] * 5
