"""The terminal: fits 80 columns, survives pipes and hostile labels, quotes nothing that is not resolved."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from ntkspec.report import words
from ntkspec.report.records import Report, SnapshotReport
from ntkspec.spectral import bounds
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.consistency import Check

from . import samples
from .shown import printed

NEGATIVE = re.compile(r"(?<![\de])-\d")


def test_one_screen_at_80_columns(report: Report) -> None:
    lines = printed(report).splitlines()
    assert len(lines) <= 29  # and one for the path
    assert max(map(len, lines)) <= 80
    assert lines[0] == "6 runs, at the end of training: 64 samples, kernel 64 x 64"
    assert lines[1].split() == ["run", "PSNR", "MS-SSIM", "resolved", "lambda_max", "lambda_min"]
    assert [line.split("  ")[0] for line in lines[2:8]] == [
        "Baseline", "FFE (low)", "FFE (medium)", "FFE (high)", "MPE (coarse)", "",
    ]  # fmt: skip
    assert any(re.fullmatch(r"  no_grid +\d+ +1.0e\+03 +<= 1.2e-10", line) for line in lines)
    assert lines[-4].startswith("MPE (fine) comes closest to the picture: ")


def test_the_details_at_80_columns(report: Report) -> None:
    text = printed(report, details=True)
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
    text = printed(report, 160, terminal=True, details=True)
    assert "\x1b[" in text
    for title in ("step", "N", "eff. rank", "stable rank", "method", "condition"):
        assert title in text


def test_the_details_say_where_the_target_lies_at_every_snapshot(report: Report) -> None:
    aligned = samples.aligned(samples.one_run(report.runs[0]))
    lines = printed(aligned, 200, details=True).splitlines()
    title, *rows = (" ".join(line.split()) for line in lines[1:5])
    assert "lambda_min modes condition" in title
    for row, snapshot in zip(rows, aligned.runs[0].snapshots, strict=True):
        assert f" {words.modes(snapshot.alignments['total'])} " in row
    assert "modes" not in printed(report, 200, details=True)


@pytest.mark.parametrize("width", [20, 40, 60, 100])
def test_any_width_prints(report: Report, width: int) -> None:
    for details in (False, True):
        assert "lambda" in printed(report, width, details=details).replace("\n", "")


def test_columns_that_do_not_fit_are_named(report: Report) -> None:
    narrow = " ".join(printed(report, 60).split())
    assert "--details: every snapshot and bound; on a wider terminal: MS-SSIM" in narrow
    assert "wider terminal" not in printed(report, 100)


def test_nothing_resolved_and_not_computed() -> None:
    spectra = {
        "total": samples.spectrum(np.zeros(9), 1e-3),
        "top": samples.spectrum(np.array([3.0, 1.0]), 1e-9, size=5000, method="lanczos"),
    }
    run = replace(
        samples.plain_run("x", 9, 0.5, size=9), snapshots=(SnapshotReport("a", 0, "end", {}, spectra),)
    )
    text = printed(samples.one_run(run), details=True)
    assert "unresolved (<= 1.0e-03)" in text
    for shown in (text, printed(samples.one_run(run))):
        assert "not computed" in shown
        assert "2 of 2 (top)" in shown
        assert "<= 1.0e-03" in shown


def test_labels_are_neither_markup_nor_escapes() -> None:
    text = printed(samples.one_run(samples.plain_run("[red]\x1b[2J[/nope]", 9, 0.5, size=4)))
    assert "[red]" in text
    assert "\x1b" not in text


def test_failed_bounds_and_warnings_are_said(report: Report) -> None:
    run = report.runs[-1]
    end = run.snapshots[-1]
    broken = replace(end.bounds[0], holds=False)
    checks = (Check("trace", "sums agree", "total", 1.5), Check("tiles", "tiles agree", "grid", 1.0))
    end = replace(end, bounds=(broken,), checks=checks)
    run = replace(run, snapshots=(end,), warnings=("two samples coincide",))
    text = printed(samples.one_run(run), 200)
    assert "warning: MPE (fine), end: Theorem 1 FAILS" in text
    assert "warning: MPE (fine), end: of total it should be so that sums agree, and it is not" in text
    assert "tiles agree" not in text
    assert "warning: two samples coincide" in text


def test_many_warnings_are_counted() -> None:
    run = replace(samples.plain_run("x", 9, 0.5, size=4), warnings=tuple(f"word {i}" for i in range(9)))
    text = printed(samples.one_run(run))
    assert "warning: word 4\nwarnings left out: 4; see --details\n" in text
    assert "warning: word 8" in printed(samples.one_run(run), details=True)


def test_the_certified_range_is_a_column(report: Report) -> None:
    found = [
        bounds.Bound(f"certified_{side}", "", "", "", side, np.array([value]), False, "lambda_min", True)
        for side, value in (("lower", 9.31e-4), ("upper", 9.49e-4))
    ]
    run = report.runs[0]
    end = replace(run.snapshots[-1], bounds=tuple(CheckedBound(bound, "total", (), True) for bound in found))
    text = printed(replace(report, runs=(replace(run, snapshots=(end,)),)))
    assert "9.3e-04 to 9.5e-04" in text
    assert "certified: lambda_min lies between these" in text


def test_runs_of_other_sizes_say_of_how_many() -> None:
    runs = tuple(samples.plain_run(f"{size}", 9, 0.5, size=size) for size in (4, 5))
    text = printed(Report("", "", "cpu", runs))
    assert text.startswith("2 runs, at the end of training\n")
    assert re.search(r"^5 .* 5 of 5 ", text, re.MULTILINE)


@pytest.mark.parametrize("width", [72, 80, 100, 160])
def test_all_runs_have_the_same_columns(report: Report, width: int) -> None:
    text = printed(report, width, details=True)
    assert len({line for line in text.splitlines() if line.startswith("snapshot  ")}) == 1


def test_one_line_for_each_bound_of_a_run(report: Report) -> None:
    lines = printed(report, 400, details=True).splitlines()
    assert len([line for line in lines if "Theorem 1 " in line or "Weyl's " in line]) == 6
