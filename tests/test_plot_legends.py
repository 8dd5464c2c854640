"""`ntkspec.plot` on small axes: how thick lines are, and what a legend says where there is little room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from report import samples
from report.test_through_training import long_run

from ntkspec import plot
from ntkspec.errors import UsageError
from ntkspec.report.canvas import drawn, in_data
from ntkspec.report.style import OWN

TOTAL = samples.decaying(32, 1e3, 5)
RUN = samples.aligned(samples.one_run(samples.grid_run("a", 7, 0.5, size=24))).runs[0]


def axes_of(width: float, height: float = 4.0) -> Axes:
    """Axes of a size in inches."""
    return Figure((width, height)).add_axes((0.0, 0.0, 1.0, 1.0))


def labels(axes: Axes) -> list[str]:
    return [*map(str, axes.get_legend_handles_labels()[1])]


@pytest.mark.parametrize(("width", "factor"), [(8.0, 1.0), (4.0, 1.0), (3.0, 0.75), (1.0, 0.55)])
def test_lines_and_marks_have_a_share_of_their_size(width: float, factor: float) -> None:
    usual, axes = (plot.spectra({"a": samples.decaying(32, 1e3, 30)}, ax=axes_of(w)) for w in (8.0, width))
    for before, after in zip(drawn(usual), drawn(axes), strict=True):
        for size in ("linewidth", "markersize", "markeredgewidth"):
            expected = factor * getattr(before, f"get_{size}")()
            assert getattr(after, f"get_{size}")() == pytest.approx(expected)
    marks = [axes.get_legend_handles_labels()[0] for axes in (usual, axes)]
    for before, after in zip(*marks, strict=True):
        assert after.get_linewidth() == pytest.approx(factor * before.get_linewidth())


@pytest.mark.parametrize(
    ("width", "size", "length"), [(8.0, 9.0, 2.0), (3.2, 9.0, 1.8), (2.4, 6.75, 1.6), (1.0, 4.95, 1.55)]
)
def test_a_legend_has_smaller_letters_on_narrow_axes(width: float, size: float, length: float) -> None:
    legend = plot.spectra({"a": TOTAL}, ax=axes_of(width)).get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_fontsize() == pytest.approx(size)
    assert legend.handlelength == pytest.approx(length)


@pytest.mark.parametrize(("name", "said"), [("ten-letters and-ten-mo", 2), ("ten-letters and-ten-m", 1)])
def test_a_name_has_lines_where_a_legend_is_narrow(name: str, said: int) -> None:
    legend = plot.spectra({name: TOTAL}, ax=axes_of(1.0)).get_legend()
    assert legend is not None
    assert len(legend.get_texts()[0].get_text().split("\n")) == said


def test_curves_of_a_second_call_have_the_next_colour() -> None:
    axes = axes_of(4.0)
    for _ in range(3):
        plot.spectra({"a": TOTAL}, ax=axes)
    assert [line.get_color() for line in in_data(axes)] == [*OWN[:3]]


@pytest.mark.parametrize(
    ("width", "runs", "columns"), [(4.0, 4, 1), (4.0, 5, 2), (3.9, 5, 1)]
)  # with the entry of the floor
def test_a_long_legend_has_two_columns_where_there_is_room(width: float, runs: int, columns: int) -> None:
    found = plot.spectra({f"run {i}": TOTAL for i in range(runs)}, ax=axes_of(width))
    legend = found.get_legend()
    assert legend is not None
    assert len(labels(found)) == runs + 1
    assert legend._ncols == columns


def test_long_names_are_cut_for_the_legend() -> None:
    kernel, name, stage = "k" * 40, "n" * 60, "s" * 40
    end = replace(RUN.snapshots[-1], spectra={kernel: TOTAL}, label=stage)
    one = replace(RUN, label=name, snapshots=(end,))
    (said, *_) = labels(plot.spectra(one, kernel=kernel, ax=axes_of(4.0)))
    assert said == f"{'n' * 13}…, {'k' * 23}…"
    several = replace(RUN, label="a", snapshots=(replace(end, id="0", step=0, label="init"), end))
    assert labels(plot.spectra(several, kernel=kernel, ax=axes_of(4.0)))[1] == f"a, {'k' * 18}…, {'s' * 15}…"


@pytest.mark.parametrize(("height", "said"), [(2.75, 1), (2.65, 2), (0.3, 5)])
def test_the_label_of_the_y_axis_has_lines_for_low_axes(height: float, said: int) -> None:
    axes = plot.over_steps(long_run(), "kernel_distance", ax=axes_of(4.0, height))
    assert axes.get_ylabel().replace("\n", " ") == "kernel distance from the first snapshot"
    assert len(axes.get_ylabel().split("\n")) == said


def test_two_snapshots_are_a_course_and_two_runs_have_marks() -> None:
    two = replace(RUN, snapshots=RUN.snapshots[:2])
    assert len(in_data(plot.over_steps(two, "psnr_db", ax=axes_of(4.0)))) == 1
    with pytest.raises(UsageError, match="expected a run with two snapshots or more"):
        plot.over_steps(replace(RUN, snapshots=RUN.snapshots[:1]), ax=axes_of(4.0))
    for draw in (plot.alignment, plot.over_steps):
        axes = draw({"a": RUN, "b": RUN}, ax=axes_of(4.0))
        assert {"o", "s"} <= {line.get_marker() for line in axes.lines}
    handles = plot.ablation({"a": RUN, "b": RUN}, ax=axes_of(4.0)).get_legend_handles_labels()[0]
    assert [handle.get_marker() for handle in handles[:2]] == ["o", "s"]
    assert plot.ablation(RUN, ax=axes_of(4.0)).get_legend_handles_labels()[0][0].get_marker() == ""
    assert "s" not in {line.get_marker() for line in plot.alignment(RUN, ax=axes_of(4.0)).lines}


def test_an_axis_of_steps_that_grow_has_room_at_both_ends() -> None:
    steps = [0, 1, 2, 4, 8, 16, 32, 64, 128, 1000]
    assert plot.over_steps(long_run(steps=steps), ax=axes_of(4.0)).get_xlim() == pytest.approx((-0.25, 1200))
    later = [2 * step for step in steps[1:]]
    assert plot.over_steps(long_run(steps=later), ax=axes_of(4.0)).get_xlim() == pytest.approx(
        (2 / 1.2, 2400)
    )


def test_a_single_point_has_an_eigenfunction_and_none_has_not() -> None:
    axes = plot.eigenfunctions((np.zeros((1, 2)), np.ones(1)), ax=axes_of(4.0))
    assert axes.images[0].get_array().shape == (1, 1)
    with pytest.raises(UsageError, match=r"expected points \(M, 2\) and values \(M,\)"):
        plot.eigenfunctions((np.zeros((0, 2)), np.ones(0)), ax=axes_of(4.0))
