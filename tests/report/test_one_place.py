"""A new bound, figure or metric is added in one place, and shows wherever the others do."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from ntkspec.qualities import QUALITIES, Quality
from ntkspec.report import figures
from ntkspec.report.figures import Caption
from ntkspec.report.page import render_page
from ntkspec.report.page_table import front
from ntkspec.report.records import Report
from ntkspec.report.words import theorem
from ntkspec.runs.analysis import analyze_run
from ntkspec.spectral.bounds import statement

from . import samples
from .shown import printed


def test_a_bound_is_its_function_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "_stated", dict(statement._stated))

    @statement.stated(
        "No eigenvalue is negative",
        "lambda_i(K) >= 0",
        source="K = J J^T",
        assumptions="none",
        side="lower",
        computed_from="kernel",
    )
    def nothing(enclosure: object) -> statement.Values:
        return np.zeros(40), True

    checked = {bound.bound.name: bound for bound in analyze_run("data/golden/mpe.h5").snapshots[0].bounds}
    assert checked["nothing"].holds
    assert theorem(checked["nothing"]) == "No eigenvalue is negative"


def test_a_bound_does_not_take_the_name_of_another() -> None:
    decorate = statement.stated("", "", source="", assumptions="", side="lower", name="theorem1")
    with pytest.raises(ValueError, match="'theorem1', which another has"):
        decorate(lambda: (np.zeros(1), True))
    assert statement.title_of("theorem1") == "Theorem 1"


def test_a_figure_is_its_module_alone(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ntkspec.report.figures.blank")
    module.__dict__.update(
        ORDER=0,
        draw=lambda _: Figure(),
        caption=lambda _: Caption("Blank", "Nothing.", "See nothing."),
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(figures, "NAMES", frozenset({"blank"}))
    drawn = dict(figures.draw_all(report))
    assert [*drawn] == [*figures.captions(report)] == ["blank"]
    assert "See nothing." in render_page(report, {"blank": b"<svg/>"})


def test_a_metric_is_its_record_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUALITIES, "charm", Quality("charm", "Charm", "Charm: how nice it is.", digits=".2f"))
    run = samples.plain_run("x", 9, 0.5, size=4)
    nice = replace(run, snapshots=tuple(replace(snap, metrics={"charm": 0.25}) for snap in run.snapshots))
    report = samples.one_run(nice)
    (column,) = (column for column in front(report).columns if column.name == "Charm")
    assert (column.cells, column.meaning) == (("0.25",), "Charm: how nice it is.")
    assert "Charm" in printed(report, 200)
