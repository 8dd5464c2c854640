"""`ntkspec.plot`: on the caller's axes, what the report's figures draw."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report import samples
from report.test_eigenfunctions_figure import pixels, shown
from report.test_through_training import long_run
from report.test_training_metrics import with_metrics

from ntkspec import plot
from ntkspec.errors import UsageError
from ntkspec.plot.as_report import at_end
from ntkspec.report.canvas import drawn, in_data
from ntkspec.report.figures import ablation, alignment, eigenfunctions, spectra, training
from ntkspec.report.records import SnapshotReport
from ntkspec.report.style import NO_GRID_COLOUR
from ntkspec.report.through_training import QUANTITIES
from ntkspec.spectral.distance import KernelDistance
from ntkspec.spectral.eigenfunctions import Eigenfunctions

REPORT = samples.aligned(samples.six_runs(24))
RUNS = {run.label: run for run in REPORT.runs}
GRID = RUNS["MPE (fine)"]
END = replace(GRID.snapshots[-1], eigenfunctions=shown(pixels(6, 4), cycles=2.25))
TOTAL, ALIGNED = END.spectra["total"], END.alignments["total"]
TWO = replace(REPORT, runs=(RUNS["Baseline"], GRID))
UNRESOLVED = samples.spectrum(np.zeros(9), 1e-9)


def new_axes(width: float = 6.4) -> Axes:
    return Figure((width, 4.8)).subplots()


def names(axes: Axes) -> list[str]:
    """What the legend says, which is what a caller's own legend would say."""
    legend = axes.get_legend()
    assert legend is not None
    said = [" ".join(text.get_text().split()) for text in legend.get_texts()]
    assert sorted(said) == sorted(axes.get_legend_handles_labels()[1])
    return said


def lines(axes: Axes) -> list[tuple[Any, ...]]:
    """All that tells lines apart but their widths."""
    return [
        (*np.asarray(line.get_data()).tolist(), line.get_color(), line.get_linestyle(), line.get_marker())
        for line in drawn(axes)
    ]


@pytest.mark.parametrize(
    ("draw", "what", "said"),
    [
        (plot.spectra, REPORT, [run.label for run in samples.six_runs(4).runs]),
        (plot.spectra, GRID, ["MPE (fine), init", "MPE (fine), mid", "MPE (fine), end"]),
        (plot.spectra, END, ["end"]),
        (plot.spectra, TOTAL, []),
        (plot.spectra, {"a": TOTAL, "b": GRID, "c": END}, ["a", "b", "c"]),
        (plot.spectra, long_run("x"), [f"x, step {step:,}" for step in (0, 250, 500, 750, 1000)]),
        (plot.ablation, TWO, ["Baseline", "MPE (fine)", "without the grid's gradients"]),
        (plot.ablation, REPORT, ["Baseline", "MPE (coarse)", "MPE (fine)", "without the grid's gradients"]),
        (plot.ablation, GRID, ["MPE (fine)", "without the grid's gradients"]),
        (plot.ablation, END, ["end", "without the grid's gradients"]),
        (plot.alignment, REPORT, [run.label for run in samples.six_runs(4).runs]),
        (plot.alignment, GRID, ["MPE (fine)"]),
        (plot.alignment, END, ["end"]),
        (plot.alignment, {"a": ALIGNED, "b": END}, ["a", "b"]),
        (plot.over_steps, REPORT, [run.label for run in samples.six_runs(4).runs]),
        (plot.over_steps, {"a": GRID, "b": long_run("x")}, ["a", "b"]),
        (plot.over_steps, GRID, ["MPE (fine)"]),
    ],
)
def test_every_kind_of_argument(draw: Callable[..., Axes], what: Any, said: list[str]) -> None:
    axes = new_axes()
    assert draw(what, ax=axes) is axes
    assert in_data(axes)
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    marks = {"numerical floor", "unresolved", "last resolved value", "stated error", "last resolved mode"}
    marks |= {"unresolved: at most this"}
    assert sorted({*names(axes)} - marks) == sorted(said)


def test_the_lines_are_those_of_the_figures() -> None:
    def of_figure(figure: Figure | None, place: int = 0) -> list[tuple[Any, ...]]:
        assert figure is not None
        return lines(figure.axes[place])

    assert lines(plot.spectra(REPORT, ax=new_axes())) == of_figure(spectra.draw(at_end(REPORT)))
    for report in (samples.one_run(GRID), samples.one_run(long_run())):
        assert lines(plot.spectra(report, ax=new_axes())) == of_figure(spectra.draw(report))
    assert lines(plot.ablation(TWO, ax=new_axes())) == of_figure(ablation.draw(at_end(TWO)))
    assert lines(plot.alignment(REPORT, ax=new_axes())) == of_figure(alignment.draw(REPORT))
    for report in (REPORT, samples.one_run(long_run())):
        figure = training.draw(report)
        for place, quantity in enumerate((*QUANTITIES, "psnr_db", "ms_ssim")):
            axes = plot.over_steps(report, quantity, ax=new_axes())
            assert figure is not None
            assert lines(axes) == lines(figure.axes[place])
            assert (axes.get_ylabel(), axes.get_yscale()) == (
                figure.axes[place].get_title(),
                figure.axes[place].get_yscale(),
            )
    figure = eigenfunctions.draw(samples.one_run(replace(GRID, snapshots=(END,))))
    assert figure is not None
    axes = plot.eigenfunctions(END, 2, ax=new_axes())
    assert np.array_equal(axes.images[0].get_array(), figure.axes[0].images[1].get_array())


def test_what_is_not_resolved_is_a_cross_and_a_floor() -> None:
    half = samples.decaying(32, 1e3, 30)
    assert 0 < half.resolved < half.size
    axes = plot.spectra({"half": half, "none": UNRESOLVED}, ax=new_axes())
    curve, cross = in_data(axes)
    assert np.min(curve.get_ydata()) > half.floor
    assert (cross.get_marker(), np.asarray(cross.get_xdata()).tolist()) == ("x", [half.resolved])
    floors = [line for line in drawn(axes) if line not in in_data(axes)]
    assert [np.asarray(line.get_ydata())[0] for line in floors] == [half.floor, UNRESOLVED.floor]
    assert names(axes)[:3] == ["half", "none", "numerical floor"]
    axes = plot.spectra(UNRESOLVED, ax=new_axes())
    assert [text.get_text() for text in axes.texts] == ["no eigenvalue is resolved"]
    plot.spectra({"a": TOTAL}, ax=axes)
    assert not axes.texts
    assert axes.get_ylim()[1] > TOTAL.eigenvalues[0]


def test_a_second_call_adds_curves_in_other_colours() -> None:
    axes = plot.spectra(END, ax=new_axes())
    plot.spectra({"longer": samples.decaying(400, 1e6, 5), "end": END}, ax=axes)
    curves = [line for line in in_data(axes) if len(np.asarray(line.get_xdata())) > 2]
    assert len({to_hex(line.get_color()) for line in curves}) == len(curves) == 3
    assert names(axes) == ["end", "end", "longer", "numerical floor"]
    assert axes.get_xlim()[1] > 400
    assert axes.get_ylim()[1] > 1e6
    plot.spectra(long_run(), ax=axes)
    assert len({to_hex(line.get_color()) for line in in_data(axes)}) == 3 + 21
    axes = plot.over_steps(
        GRID, "kernel_distance", ax=plot.over_steps(long_run("y"), "kernel_distance", ax=new_axes())
    )
    assert names(axes) == ["y", "MPE (fine)"]


def test_a_legend_is_left_to_the_caller() -> None:
    axes = plot.ablation(TWO, ax=new_axes(), legend=False)
    assert axes.get_legend() is None
    axes.legend()
    assert names(axes)[:3] == ["Baseline", "MPE (fine)", "without the grid's gradients"]


def test_limits_of_the_caller_stay() -> None:
    for draw, what in ((plot.spectra, END), (plot.alignment, END), (plot.over_steps, long_run())):
        axes = new_axes()
        axes.set(xlim=(2.0, 5.0), ylim=(0.5, 0.75))
        draw(what, ax=axes)
        assert (*axes.get_xlim(), *axes.get_ylim()) == (2.0, 5.0, 0.5, 0.75)


def test_kernels_have_their_names() -> None:
    axes = plot.spectra(END, kernel="no_grid", ax=new_axes())
    assert names(axes)[0] == "end, no_grid"
    assert in_data(axes)[0].get_color() == NO_GRID_COLOUR
    axes = plot.spectra(REPORT, kernel="grid", ax=new_axes())
    assert names(axes)[:2] == ["MPE (coarse), grid", "MPE (fine), grid"]


@pytest.mark.parametrize("theirs", [np.nan, 0.0])
def test_a_line_of_the_callers_leaves_eigenvalues_on_a_log_axis(theirs: float) -> None:
    axes = new_axes()
    axes.plot([0, 500], [1.0, theirs])
    assert plot.over_steps(long_run(), "lambda_min", ax=axes).get_yscale() == "log"


def test_a_line_of_the_callers_decides_the_axis_of_a_metric_by_its_finite_numbers() -> None:
    run = with_metrics([{"loss": 1.0}, {"loss": 1e-3}]).runs[0]
    for theirs, scale in ((np.nan, "log"), (0.0, "linear"), (-1.0, "linear")):
        axes = new_axes()
        axes.plot([0, 10], [1.0, theirs])
        assert plot.over_steps(run, "loss", ax=axes).get_yscale() == scale


def test_a_metric_over_steps() -> None:
    axes = plot.over_steps(GRID, "psnr_db", ax=new_axes())
    assert axes.get_ylabel() == "PSNR (dB)"
    assert names(axes) == ["MPE (fine)"]
    psnr = [snapshot.metrics["psnr_db"] for snapshot in GRID.snapshots]
    assert lines(axes)[0][:2] == ([0, 750, 1500], psnr)
    last = replace(GRID.snapshots[-1], metrics={"psnr_db": np.nan})
    axes = plot.over_steps(replace(GRID, snapshots=(*GRID.snapshots[:-1], last)), "psnr_db", ax=new_axes())
    assert lines(axes)[0][:2] == ([0, 750], psnr[:2])


def test_steps_that_grow_by_factors() -> None:
    """The axis looks as in the report, and has the steps as its coordinates."""
    steps = [0, 1, 2, 4, 8, 16, 32, 64, 128, 1024]
    axes = plot.over_steps(long_run(steps=steps), ax=new_axes())
    assert lines(axes)[-1][0] == steps
    places = axes.transData.transform([(step, 1.0) for step in (0, 1, 10, 100)])[:, 0]
    zero, decade, other = np.diff(places)
    assert decade == pytest.approx(other)
    assert zero / decade == pytest.approx(0.35)
    assert "1,000" in [label.get_text() for label in axes.get_xticklabels()]
    assert plot.over_steps(long_run(), ax=axes).get_xscale() == "linear"  # all steps together


def test_marks_at_the_edge_lie_between_the_first_step_and_the_last() -> None:
    last = replace(GRID.snapshots[-1], step=10_000, spectra={"total": samples.spectrum(np.zeros(4), 0.0)})
    axes = plot.over_steps(replace(GRID, snapshots=(*GRID.snapshots[:-1], last)), "lambda_max", ax=new_axes())
    (cross,) = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    left, right = axes.get_xlim()
    assert left < cross.get_xdata()[0] == 10_000 < right


def test_numbers_take_the_place_of_a_note() -> None:
    none = tuple(
        replace(snapshot, distances={"total": KernelDistance(None, "0")}) for snapshot in GRID.snapshots
    )
    known = {"total": KernelDistance(0.5, "0")}
    some = tuple(replace(snapshot, distances=known) for snapshot in GRID.snapshots)
    axes = plot.over_steps(replace(GRID, snapshots=none), "kernel_distance", ax=new_axes())
    assert [note.get_text() for note in axes.texts] == ["no number"]
    assert not axes.yaxis.get_tick_params()["labelleft"]
    plot.over_steps(replace(GRID, snapshots=some), "kernel_distance", ax=axes)
    assert not axes.texts
    assert axes.yaxis.get_tick_params()["labelleft"]


def test_eigenfunctions_have_the_coordinates_of_their_points() -> None:
    points = 3.0 * pixels(6, 4)
    values = np.arange(48.0).reshape(24, 2)
    axes = plot.eigenfunctions((points, values[:, 0]), ax=new_axes())
    assert (*axes.get_xlim(), *axes.get_ylim()) == pytest.approx((0.0, 3.0, 3.0, 0.0))
    assert np.array_equal(axes.images[0].get_array(), values[:, 0].reshape(6, 4))
    assert not axes.get_title()
    found = Eigenfunctions((1, 4), np.array([9.0, 2.0]), values, np.zeros(2))
    axes = plot.eigenfunctions((points, found), 4, ax=new_axes())
    assert np.array_equal(axes.images[0].get_array(), values[:, 1].reshape(6, 4))
    assert (axes.get_title(), axes.get_xlabel()) == ("mode 4", r"$\lambda$ = 2.0e+00")
    axes = plot.eigenfunctions(replace(GRID, snapshots=(END,)), ax=new_axes())
    assert axes.get_xlabel().endswith("2.2 cycles")


def test_narrow_axes_have_thinner_lines_and_legends_inside() -> None:
    before = dict(rcParams)
    figure = Figure((3.3, 2.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.spectra(REPORT, ax=left)
    plot.ablation(GRID, ax=right)
    figure.draw_without_rendering()
    wide = plot.spectra(REPORT, ax=new_axes())
    for narrow, usual in zip(drawn(left), drawn(wide), strict=True):
        assert narrow.get_linewidth() < usual.get_linewidth()
    for axes in (left, right):
        legend = axes.get_legend()
        assert legend is not None
        assert legend.get_window_extent().width < 1.02 * axes.get_window_extent().width
    box = figure.get_tightbbox()
    assert (box.width, box.height) < (3.4, 2.1)
    assert dict(rcParams) == before


NONE_YET = replace(GRID, snapshots=())
LOST = replace(END, eigenfunctions=replace(shown(pixels(2, 2)), points=None, patterns=None))
NO_MODES = replace(END, eigenfunctions=shown(pixels(2, 2), modes=()))
ZERO = SnapshotReport("s", 0, "s", {}, {"total": TOTAL, "no_grid": samples.spectrum(np.zeros(9), 0.0)})


@pytest.mark.parametrize(
    ("draw", "arguments", "said"),
    [
        (plot.spectra, ["run.h5"], "plot.spectra: expected a report, .* got 'run.h5'; ntkspec.analyze_runs"),
        (plot.spectra, [np.ones(3)], r"got array\(\[1., 1., 1.\]\); .* ntkspec.spectrum a Spectrum"),
        (plot.spectra, [{"a": 3}], "expected a report, .* got 3"),
        (plot.spectra, [{}], "got an empty dict"),
        (plot.spectra, [NONE_YET], "got an empty RunReport"),
        (plot.spectra, [END, "nogrid"], "one of total, no_grid, grid, got 'nogrid'; did you mean no_grid"),
        (
            plot.spectra,
            [END, ["total"]],
            r"kernel: expected the name of a kernel, .* got \['total'\]; call it",
        ),
        (plot.spectra, [ZERO, "no_grid"], "expected a kernel no_grid above zero, got one that is exactly"),
        (plot.spectra, [END, "total", [1, 2]], r"spectra, ax: expected matplotlib axes, got \[1, 2\]; of"),
        (plot.ablation, [RUNS["Baseline"]], "expected a network with a grid, got none"),
        (plot.ablation, [TOTAL], "expected a network with a grid, got none"),
        (plot.alignment, [TOTAL], "expected an alignment of the kernel total, got none; ntkspec.alignment"),
        (plot.alignment, [replace(ZERO, no_alignment="no targets")], "got none: no targets; ntkspec.ali"),
        (plot.over_steps, [replace(GRID, snapshots=(END,))], "expected a run with two snapshots or more"),
        (
            plot.over_steps,
            [GRID, "psnr"],
            "lambda_max, .* psnr_db, ms_ssim, got 'psnr'; did you mean psnr_db",
        ),
        (plot.eigenfunctions, [REPORT], "expected one run or snapshot, got 6 runs"),
        (plot.eigenfunctions, [LOST], "expected a report with eigenfunctions .* got one without; analyse"),
        (plot.eigenfunctions, [NO_MODES], "expected a report with eigenfunctions .* got one without"),
        (plot.eigenfunctions, [END, 3], "mode: expected one of 1, 2, 8, got 3"),
        (plot.eigenfunctions, [(pixels(2, 2), np.ones(3))], r"expected points \(M, 2\) and values \(M,\)"),
        (plot.eigenfunctions, [(pixels(2, 2), np.full(4, np.nan))], "all finite, got"),
        (plot.eigenfunctions, [(pixels(2, 2), [[1], [2, 3]])], "all finite, got"),
        (plot.eigenfunctions, [(pixels(2, 2),)], "all finite, got"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(
    draw: Callable[..., Axes], arguments: list[Any], said: str
) -> None:
    what, *rest = arguments
    named = dict(zip(("kernel", "ax"), rest, strict=False)) if draw is plot.spectra else {}
    with pytest.raises(UsageError, match=said) as caught:
        draw(what, *([] if named else rest), **named)
    assert "\n" not in str(caught.value)


IN_A_PROCESS_OF_ITS_OWN = """
import sys, ntkspec
assert "matplotlib" not in sys.modules
from ntkspec import plot
assert plot is ntkspec.plot and "plot" in dir(ntkspec)
import numpy as np
from matplotlib.figure import Figure
s = ntkspec.Spectrum(np.array([4.0, 1.0]), np.zeros(2), 1e-14, 2, 5.0, "gram", "float64")
ntkspec.plot.spectra({"s": s}, ax=Figure().subplots())
assert "matplotlib.pyplot" not in sys.modules
axes = ntkspec.plot.spectra({"s": s})
from matplotlib import pyplot
assert axes is pyplot.gca() and pyplot.get_backend() == "agg"
"""


def test_pyplot_is_loaded_only_without_axes() -> None:
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run([sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN], env=environment, check=True)


def test_floors_may_be_left_out() -> None:
    for draw, what in ((plot.spectra, REPORT), (plot.spectra, GRID), (plot.ablation, GRID)):
        full, bare = draw(what, ax=new_axes()), draw(what, ax=new_axes(), floors=False)
        labels = [axes.get_legend_handles_labels()[1] for axes in (full, bare)]
        assert [*labels[1]] == [each for each in labels[0] if each not in ("numerical floor", "unresolved")]
        assert len(in_data(bare)) == len(in_data(full)) > 0
        floors = [len(drawn(axes)) - len(in_data(axes)) for axes in (full, bare)]
        assert floors[0] > floors[1] == 0
        assert not any(area.get_hatch() for area in bare.collections)
