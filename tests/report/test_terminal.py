"""The terminal: fits 80 columns, survives pipes and hostile labels, quotes nothing that is not resolved."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from ntkspec.report.records import Report, SnapshotReport
from ntkspec.report.terminal import print_report

from . import samples

NEGATIVE = re.compile(r"(?<![\de])-\d")


def _printed(report: Report, width: int = 80, *, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None
    )
    print_report(report, console)
    return file.getvalue()


def test_pipe_at_80_columns(report: Report) -> None:
    text = _printed(report)
    assert "\x1b" not in text
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert "unresolved (<= " in text
    assert not NEGATIVE.search(text)
    for line in text.splitlines():  # no row is broken into two
        assert line.count("unresolved (") == line.count("unresolved (<= ")
    assert "Theorem 1 holds for all 64 eigenvalues" in text
    assert re.search(r"MPE \(fine\) +32.5 dB +0.922 +\S+ .*>= 5.\d", text)


def test_wide_terminal_has_every_column(report: Report) -> None:
    text = _printed(report, 160, terminal=True)
    assert "\x1b[" in text
    for title in ("step", "N", "eff. rank", "stable rank", "method", "condition"):
        assert title in text


@pytest.mark.parametrize("width", [20, 40, 60, 100])
def test_any_width_prints(report: Report, width: int) -> None:
    assert "lambda" in _printed(report, width).replace("\n", "")


def test_nothing_resolved_and_not_computed() -> None:
    spectra = {
        "total": samples.spectrum(np.zeros(9), 1e-3),
        "top": samples.spectrum(np.array([3.0, 1.0]), 1e-9, size=5000, method="lanczos"),
    }
    run = replace(
        samples.plain_run("x", 9, 0.5, size=9), snapshots=(SnapshotReport("a", 0, "end", {}, spectra),)
    )
    text = _printed(samples.one_run(run))
    assert "unresolved (<= 1.0e-03)" in text
    assert "not computed" in text
    assert "2 of 2 (top)" in text


def test_labels_are_neither_markup_nor_escapes() -> None:
    text = _printed(samples.one_run(samples.plain_run("[red]\x1b[2J[/nope]", 9, 0.5, size=4)))
    assert "[red]" in text
    assert "\x1b" not in text


def test_failed_bounds_and_warnings_are_said(report: Report) -> None:
    run = report.runs[-1]
    end = run.snapshots[-1]
    broken = replace(end.bounds[0], holds=False)
    run = replace(run, snapshots=(replace(end, bounds=(broken,)),), warnings=("two samples coincide",))
    text = _printed(samples.one_run(run))
    assert "warning: MPE (fine), end: Theorem 1 FAILS" in text
    assert "warning: two samples coincide" in text


@pytest.mark.parametrize("width", [72, 80, 100, 160])
def test_all_runs_have_the_same_columns(report: Report, width: int) -> None:
    text = _printed(report, width)
    assert len({line for line in text.splitlines() if line.startswith("snapshot  ")}) == 1


def test_one_line_for_each_bound_of_a_run(report: Report) -> None:
    lines = _printed(report, 400).splitlines()
    assert len([line for line in lines if "Theorem 1 " in line or "Weyl's " in line]) == 6
