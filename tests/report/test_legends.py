"""Legends of figures: an entry for what was drawn and for nothing else, in as many columns as have room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.lines import Line2D

from ntkspec.report.canvas import new_figure
from ntkspec.report.curves import STAGE_DASHES, STAGE_WIDTHS
from ntkspec.report.figures import ablation, panels, spectra
from ntkspec.report.legends import legend_below, mark, mark_handles, run_handles, stage_handles
from ntkspec.report.records import SnapshotReport
from ntkspec.report.style import LATE, STAGES, styled_runs
from ntkspec.spectral.record import Spectrum

from . import samples

WHOLE = samples.spectrum(np.array([4.0, 2.0, 1.0]), 1e-9)
HALF = samples.spectrum(np.array([4.0, 2.0, 1e-12]), 1e-9)
NONE = samples.spectrum(np.zeros(3), 1e-9)
LARGEST = samples.spectrum(np.array([4.0, 2.0]), 1e-9, size=50, method="lanczos")
CROSS = ["last resolved value", "stated error"]


@pytest.mark.parametrize(
    ("spectrum", "hatch", "said"),
    [
        (WHOLE, True, ["floor"]),
        (HALF, True, ["floor", "unresolved", *CROSS]),
        (HALF, False, ["floor", *CROSS]),
        (NONE, True, ["floor", "unresolved"]),
        (LARGEST, True, ["floor", "last computed value"]),
    ],
)
def test_marks_are_those_that_occur(spectrum: Spectrum, hatch: bool, said: list[str]) -> None:
    hatches = [spectrum] if hatch else []
    marks = mark_handles([spectrum], floors=[spectrum], hatches=hatches, name="floor")
    assert [each.get_label() for each in marks] == said
    bare = [each for each in said if each not in ("floor", "unresolved")]
    assert [each.get_label() for each in mark_handles([spectrum])] == bare


def test_stages_have_the_look_of_their_curves() -> None:
    report = samples.six_runs(8)
    names = ["start of training", "mid-training", "end of training"]
    curves = [(run, "total") for run in styled_runs(report)]
    handles = [each for each in stage_handles(report, curves) if each.get_label() in names]
    looks = [(each.get_linestyle(), each.get_linewidth()) for each in handles if isinstance(each, Line2D)]
    expected = [mark("", linestyle=STAGE_DASHES[stage], linewidth=STAGE_WIDTHS[stage]) for stage in STAGES]
    assert looks == [(each.get_linestyle(), each.get_linewidth()) for each in expected]
    late = [each.get_label() for each in stage_handles(report, curves, shown=LATE)]
    assert late[:2] == names[1:]
    run = report.runs[0]
    named = replace(run.snapshots[-1], label="a name that is longer than 24 letters")
    one = samples.one_run(replace(run, snapshots=(named,)))
    assert stage_handles(one, [(styled_runs(one)[0], "total")])[0].get_label() == "a name that is longer t…"


def test_runs_have_a_marker_where_their_curves_have_one() -> None:
    runs = styled_runs(samples.six_runs(8))[:2]
    assert [each.get_marker() for each in run_handles(runs)] == ["", ""]
    signed = run_handles(runs, signed=True)
    assert [(each.get_marker(), each.get_color()) for each in signed] == [
        ("o", runs[0].colour),
        ("s", runs[1].colour),
    ]


@pytest.mark.parametrize(
    ("width", "entries", "columns"), [(2.0, 5, 2), (7.3, 5, 3), (9.6, 5, 4), (9.6, 3, 3)]
)
def test_a_legend_has_a_column_for_every_two_and_a_half_inches(
    width: float, entries: int, columns: int
) -> None:
    figure = new_figure(width, 3.0)
    legend_below(figure, [mark(str(i)) for i in range(entries)])
    assert figure.legends[0]._ncols == columns


def test_marks_of_kernels_that_a_figure_does_not_draw_have_no_entry() -> None:
    """Of networks whose kernels are resolved, and with a grid whose gradients leave nothing resolved."""
    whole = samples.six_runs(8)
    runs = tuple(replace(run, snapshots=tuple(map(_resolved, run.snapshots))) for run in whole.runs)
    report = replace(whole, runs=runs)
    for draw, crosses in ((spectra.draw, False), (panels.draw, False), (ablation.draw, True)):
        figure = draw(report)
        assert figure is not None
        entries = {entry.get_text() for entry in figure.legends[0].get_texts()}
        assert entries.isdisjoint(CROSS) is not crosses
        drawn = any(line.get_marker() == "x" for axes in figure.axes for line in axes.lines)
        assert drawn is crosses


def _resolved(snapshot: SnapshotReport) -> SnapshotReport:
    found = dict(snapshot.spectra)
    found["total"] = replace(found["total"], floor=1e-300, eigenvalues=found["total"].eigenvalues + 1e-9)
    return replace(snapshot, spectra=found)
