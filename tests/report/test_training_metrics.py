"""Metrics in the figure "training": which have a panel and on what axis, the same on the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from ntkspec.plot import over_steps
from ntkspec.qualities import quality_of
from ntkspec.report.figures import captions
from ntkspec.report.figures.training import draw as fig_training
from ntkspec.report.page_details import run_details
from ntkspec.report.page_plot import plot_data
from ntkspec.report.page_texts import VIEWS
from ntkspec.report.records import Report
from ntkspec.report.style import styled_runs

from . import samples
from .test_through_training import long_run


def with_metrics(metrics: list[dict[str, float]]) -> Report:
    """A run whose snapshots have these metrics."""
    run = long_run(steps=[10 * i for i in range(len(metrics))], grid=False)
    snaps = tuple(replace(snap, metrics=each) for snap, each in zip(run.snapshots, metrics, strict=True))
    return samples.one_run(replace(run, snapshots=snaps))


def drawn_metrics(report: Report) -> list[tuple[str, str, list[tuple[list[int], list[float]]]]]:
    """Title, scale and lines of each panel of a metric, the same ones in the figure and on the page."""
    figure, data = fig_training(report), plot_data(report)["training"]
    assert figure is not None
    found = []
    for axes, panel, metric in zip(figure.axes[4:], data["panels"][4:], data["metrics"][0], strict=True):
        assert axes.get_title() == panel["title"]
        lines = [
            (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist())
            for line in axes.lines
        ]
        shown = [
            (at, value)
            for at, value in zip(metric["at"], metric["values"][0]["number"], strict=True)
            if value is not None
        ]
        assert shown == [pair for line in lines for pair in zip(*line, strict=True)]
        found.append((axes.get_title(), axes.get_yscale(), lines))
    return found


def test_metrics_of_ones_own_have_a_panel_each() -> None:
    """A loss that is not a number at a step leaves a gap; a metric of a single snapshot has no course."""
    metrics = [
        {"loss": 1.0, "mse": 0.5, "start": 1.0},
        {"loss": 0.1, "psnr_db_held_out": 0.25},
        {"loss": np.nan, "psnr_db_held_out": 31.0},
        {"loss": 0.01, "mse": 0.25, "end": np.nan},
    ]
    assert drawn_metrics(with_metrics(metrics)) == [
        ("loss", "log", [([0, 10], [1.0, 0.1]), ([30], [0.01])]),
        ("mse", "linear", [([0, 30], [0.5, 0.25])]),
        ("PSNR, held-out pixels (dB)", "linear", [([10, 20], [0.25, 31.0])]),
    ]
    said = plot_data(with_metrics(metrics))["training"]["metrics"][0][0]
    assert said["values"][0]["said"] == ["1", "0.1", "-", "0.01"]
    assert said["head"][3] == "at 3, step 30"
    assert captions(with_metrics(metrics))["training"].alt == (
        "Panels against the step of training: largest eigenvalue; smallest eigenvalue; effective rank; "
        "kernel distance from the first snapshot; loss; mse; PSNR, held-out pixels (dB). A line for each run."
    )


def test_a_perfect_end_is_a_mark_at_the_upper_edge() -> None:
    report = with_metrics([{"psnr_db": 20.0}, {"psnr_db": 30.0}, {"psnr_db_infinite": 1.0}])
    figure, data = fig_training(report), plot_data(report)["training"]
    assert figure is not None
    line, mark = figure.axes[4].lines
    assert np.asarray(line.get_xydata()).tolist() == [[0, 20], [10, 30]]
    assert (mark.get_marker(), mark.get_transform() == figure.axes[4].get_xaxis_transform()) == ("^", True)
    assert np.asarray(mark.get_xydata()).tolist() == [[20, 0.975]]
    assert "infinite" in [entry.get_text() for entry in figure.legends[0].get_texts()]
    ((psnr,),) = data["metrics"]
    assert psnr["at"] == [0, 10, 20]
    assert psnr["values"][0]["infinite"] == [False, False, True]
    assert psnr["values"][0]["said"] == ["20.0 dB", "30.0 dB", "inf dB"]
    assert run_details(styled_runs(report)[0])["metrics"][2][1] == "PSNR inf dB"


def test_two_perfect_ends_are_a_course() -> None:
    report = with_metrics([{"psnr_db_infinite": 1.0}, {"psnr_db_infinite": 1.0}])
    assert [panel["title"] for panel in plot_data(report)["training"]["panels"][4:]] == ["PSNR (dB)"]


def test_metrics_of_different_targets_are_said_to_be() -> None:
    """The loss on one picture shares a panel with that on another, and says nothing of it."""
    metrics: dict[str, float] = {"loss": 1.0, "psnr_db_held_out": 30.0}
    (one,) = with_metrics([metrics, metrics]).runs

    def titles(**other: Any) -> list[str]:
        runs = one, replace(one, label="other", **other)
        report = Report("", "", "cpu", runs)
        figure, data = fig_training(report), plot_data(report)["training"]
        assert figure is not None
        drawn = [axes.get_title() for axes in figure.axes]
        assert drawn[4:] == [panel["title"] for panel in data["panels"][4:]]
        assert all(title in captions(report)["training"].alt for title in drawn[4:])
        assert over_steps(report, "loss", ax=Figure((9, 9)).subplots()).get_ylabel() == drawn[4]
        return drawn[4:]

    same = ["loss", "PSNR, held-out pixels (dB)"]
    assert titles() == same
    assert titles(truth=samples.picture(0.2)) == [f"{title}, of different pictures" for title in same]
    assert quality_of("iou_uniform").axis_title == "IoU, uniform points"
    halves, quarters = ({"task": {"kind": "image", "held_out": share, "side": 64}} for share in (0.5, 0.25))
    one = replace(one, config=halves)
    assert titles(config=quarters) == ["loss", "PSNR, held-out pixels (dB), which differ"]


def test_a_long_label_is_cut_where_one_points() -> None:
    report = with_metrics([{"loss": 1.0}, {"loss": 2.0}])
    run = report.runs[0]
    snaps = (run.snapshots[0], replace(run.snapshots[1], label="s" * 60))
    data = plot_data(samples.one_run(replace(run, snapshots=snaps)))["training"]
    for series in (data["runs"][0]["0"], data["metrics"][0][0]):
        assert series["head"] == ["at 0", f"{'s' * 39}…, step 10"]


@pytest.mark.parametrize(
    ("numbers", "scale"),
    [((100.0, 1.0), "log"), ((99.0, 1.0), "linear"), ((100.0, 0.0), "linear"), ((100.0, -1.0), "linear")],
)
def test_a_metric_is_on_a_log_axis_from_two_decades_on(numbers: tuple[float, ...], scale: str) -> None:
    ((_, found, _),) = drawn_metrics(with_metrics([{"loss": number} for number in numbers]))
    assert found == scale


def test_six_metrics_have_a_panel_and_none_takes_the_place_of_a_quantity() -> None:
    names = ["lambda_min", *(f"<{i}>" for i in range(7))]
    report = with_metrics([dict.fromkeys(names, 1.0), dict.fromkeys(names, 2.0)])
    figure = fig_training(report)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes[4:]] == names[1:7]
    for note in (captions(report)["training"].caption, VIEWS["training"].note):
        assert f"the first {len(figure.axes) - 4} metrics that a run has" in note
        assert "a triangle at the upper edge where one is infinite" in note
    panels = plot_data(report)["training"]["panels"]
    assert [panel["title"] for panel in panels[4:]] == [f"&lt;{i}&gt;" for i in range(6)]
    assert [panel["log_beyond"] for panel in panels] == [5, 5, 5, None, *[100] * 6]
    assert [axes.get_xlabel() for axes in figure.axes] == [*[""] * 8, *["step of training"] * 2]
