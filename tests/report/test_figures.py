"""Figures: drawn where the report has enough, None where it has not, for every odd kind of report."""

from __future__ import annotations

import importlib
import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ntkspec.report.canvas import to_bytes
from ntkspec.report.curves import draw_floor
from ntkspec.report.figures import ablation, decades, draw_all, panels, spectra
from ntkspec.report.legends import mark_handles
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.spectral.rank import Rank
from ntkspec.spectral.record import Spectrum

from . import samples


def _drawn(report: Report) -> dict[str, bytes]:
    """Name and SVG of every figure; drawing must not fail."""
    return {name: to_bytes(figure, "svg") for name, figure in draw_all(report)}


def _of(spectrum: Spectrum, **changes: object) -> Report:
    snapshot = SnapshotReport("end", 5, "end", {}, {"total": spectrum})
    run = RunReport("x.h5", "x", spectrum.size, 1, "trace", (snapshot,))
    return samples.one_run(replace(run, **changes))  # type: ignore[arg-type]  # of any field


def test_written_files_are_pictures(folder: Path) -> None:
    for path in (folder / "figures").glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert round(picture.info["dpi"][0]) == 160
            assert picture.width >= 1200
            assert np.asarray(picture.convert("L")).std() > 1
    for path in (folder / "figures").glob("*.svg"):
        root = ET.parse(path).getroot()
        assert root.tag.endswith("svg")
        assert sum(1 for _ in root.iter()) > 50


def test_same_report_same_bytes(report: Report) -> None:
    first, second = (decades.draw(report) for _ in range(2))
    assert first is not None
    assert second is not None
    for ending in ("svg", "png"):
        assert to_bytes(first, ending) == to_bytes(second, ending)


def test_one_run_without_grid() -> None:
    run = samples.plain_run("x", 20, 0.5, size=32)
    assert set(_drawn(samples.one_run(run))) == {"spectra", "training", "pictures"}
    bare = replace(run, truth=None, snapshots=tuple(replace(snap, picture=None) for snap in run.snapshots))
    assert set(_drawn(samples.one_run(bare))) == {"spectra", "training"}


def test_one_run_with_grid() -> None:
    assert set(_drawn(samples.one_run(samples.grid_run("x", 7, 0.5, size=32)))) == {
        "spectra", "training", "ablation", "pictures",
    }  # fmt: skip


def test_many_runs() -> None:
    runs = tuple(samples.plain_run(f"run {i}", 8 + i, 0.5, size=16) for i in range(27))
    report = replace(samples.one_run(runs[0]), runs=runs)
    assert [name for name, _ in draw_all(report)] == ["spectra", "training", "pictures", "decades"]
    nine = spectra.draw(replace(report, runs=runs[:9]))  # too many for one pair of axes
    assert nine is not None
    assert len(nine.axes) == 9
    assert ET.parse(io.BytesIO(to_bytes(nine, "svg"))).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    "spectrum",
    [
        samples.spectrum(np.zeros(64), 1e-9),
        samples.spectrum(np.zeros(4), 0.0),
        samples.spectrum(np.array([2.5]), 1e-12),
        samples.spectrum(np.array([0.0]), 1e-12),
        samples.spectrum(np.geomspace(1e3, 1.0, 20), 1e-9, size=5000, method="lanczos"),
        samples.decaying(5000, 2e4, 25),
    ],
    ids=["unresolved", "zero", "single", "single-unresolved", "top-k", "huge"],
)
def test_odd_spectra(spectrum: Spectrum) -> None:
    report = _of(spectrum)
    drawn = _drawn(report)
    if not spectrum.floor:  # exactly zero: no empty axes
        assert not drawn
        return
    assert set(drawn) == {"spectra"}
    assert len(drawn["spectra"]) < 300_000
    pair = replace(report, runs=(report.runs[0], replace(report.runs[0], label="y")))
    assert set(_drawn(pair)) == {"spectra", "decades"}


@pytest.mark.parametrize(("rank", "hatched"), [(3, False), (4, True), (None, True)])
def test_the_legend_says_unresolved_where_something_is_hatched(rank: int | None, hatched: bool) -> None:
    """Which nothing is where all eigenvalues below the resolved ones are known to be zero."""
    six = samples.spectrum(np.array([4.0, 2.0, 1.0, 0.0, 0.0, 0.0]), 1e-9)
    six = replace(six, rank=None if rank is None else Rank(rank, "distinct rows"))
    axes = Figure().subplots()
    draw_floor(axes, six, "black", hatch=True)
    labels = [handle.get_label() for handle in mark_handles([six], hatches=[six])]
    assert ("unresolved" in labels) is bool(axes.collections) is hatched


def test_full_mode() -> None:
    report = _of(samples.decaying(96, 10, 4), samples=32, outputs=3, mode="full")
    assert report.runs[0].size == 96
    assert set(_drawn(report)) == {"spectra"}


def test_labels_are_drawn_as_they_are() -> None:
    labels = ("$x^{", "_hidden", "\\alpha$", "", "漢字", "a\x00b", "x" * 300)
    runs = tuple(samples.plain_run(label, 9, 0.5, size=8) for label in labels)
    runs = (*runs, samples.grid_run("$y_", 9, 0.5, size=8))
    for name, svg in _drawn(replace(samples.one_run(runs[0]), runs=runs, baseline="$x^{")).items():
        assert ET.parse(io.BytesIO(svg)).getroot().tag.endswith("svg"), name


@pytest.mark.parametrize("draw", [spectra.draw, panels.draw, ablation.draw])
def test_nothing_to_draw(draw: Callable[[Report], object]) -> None:
    assert draw(Report("", "", "cpu", ())) is None


def test_unresolved_values_are_cut(report: Report) -> None:
    figure = spectra.draw(report)
    assert figure is not None
    floors = [snap.spectra["total"].floor for run in report.runs for snap in run.snapshots]
    # Typed for any data that matplotlib takes; here they are arrays of numbers.
    lowest = min(float(np.min(line.get_ydata())) for line in figure.axes[0].lines)  # type: ignore[arg-type]
    assert lowest >= min(floors)


def test_every_panel_shows_the_floors_of_its_runs() -> None:
    """Floors far below all resolved values count for the axes too."""
    run = samples.six_runs().runs[0]
    end = run.snapshots[-1]
    deep = replace(end.spectra["total"], floor=1e-200)
    base = replace(run, snapshots=(*run.snapshots[:-1], replace(end, spectra={"total": deep})))
    figure = panels.draw(replace(samples.six_runs(), runs=(base, *samples.six_runs().runs[1:])))
    assert figure is not None
    assert figure.axes[0].get_ylim()[0] <= 1e-200


@pytest.mark.parametrize(
    ("labels", "title"),
    [
        (("FFE (low)",), "Fourier features and multigrid"),
        (("FFE (low)", "FFE (high)"), "High Fourier features and multigrid"),
    ],
)
def test_fourier_features_are_called_high_beside_lower_ones(labels: tuple[str, ...], title: str) -> None:
    report = samples.six_runs(8)
    runs = [run for run in report.runs if run.label in ("Baseline", "MPE (fine)", *labels)]
    assert len(runs) == 2 + len(labels)
    figure = panels.draw(replace(report, runs=tuple(runs)))
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes][-1] == title


def _of_other_samples(report: Report) -> Report:
    """The report, with other samples of MPE (coarse)."""
    runs = (replace(run, inputs="others" if run.label == "MPE (coarse)" else "these") for run in report.runs)
    return replace(report, runs=tuple(runs))


def test_kernels_of_other_samples_stand_beside_none() -> None:
    """In the figures that compare with the baseline."""
    report = samples.six_runs(8)
    other = _of_other_samples(report)
    alone, beside = (len(ablation.draw(each).axes[0].lines) for each in (other, report))
    assert alone < beside == len(ablation.draw(other).axes[1].lines)
    names = [
        [entry.get_text() for entry in panels.draw(each).legends[0].get_texts()] for each in (report, other)
    ]
    assert {*names[0]} - {*names[1]} == {"MPE (coarse)"}
    for module, note in (
        (ablation, "beside networks with kernels of the same samples"),
        (panels, "are left out"),
    ):
        assert note in module.caption(other).caption
        assert note not in module.caption(report).caption


def test_the_title_of_smallest_eigenvalues_explains_what_is_drawn() -> None:
    resolved = _of(samples.decaying(8, 10, 4)).runs[0]
    low = _of(samples.decaying(8, 10, 40)).runs[0]
    three = replace(samples.spectrum(np.array([4.0, 2.0, 1.0, 0.0]), 1e-9), rank=Rank(3, "distinct rows"))
    zero = _of(three).runs[0]
    for second, said in (
        (resolved, ""),
        (low, " (arrows: unresolved, at most there)"),
        (zero, " (0: exactly singular)"),
    ):
        figure = decades.draw(Report("", "", "cpu", (resolved, replace(second, label="y"))))
        assert figure.axes[0].get_title() == f"Smallest eigenvalues{said}"


@pytest.mark.parametrize(
    ("name", "every", "most", "what"),
    [
        ("spectra", 17, 16, "runs"),
        ("ablation", 17, 16, "networks with a grid"),
        ("alignment", 49, 48, "runs"),
        ("training", 49, 48, "runs"),
        ("decades", 49, 48, "runs"),
        ("pictures", 50, 48, "pictures"),  # of 49 runs, and what they were to learn
    ],
)
def test_figure_and_caption_say_who_is_left_out(name: str, every: int, most: int, what: str) -> None:
    run = samples.grid_run("x", 7, 0.5, size=4)
    runs = tuple(replace(run, label=str(i)) for i in range(every - (name == "pictures")))
    report = samples.aligned(Report("", "", "cpu", runs))
    fewer = replace(report, runs=runs[: most - 1])
    module = importlib.import_module(f"ntkspec.report.figures.{name}")
    said = f"The first {most} of {every} {what}"
    assert module.draw(report).get_suptitle() == said
    assert said in module.caption(report).caption
    assert "The first" not in module.caption(fewer).caption


def test_of_large_families_a_few_runs_are_drawn() -> None:
    """The legend would leave no room for the panels."""
    every = [samples.plain_run(f"FFE {i}", 9, 0.5, size=4, family="ffe") for i in range(40)]
    every += [samples.grid_run(f"MPE {i}", 7, 0.5, size=4, family="mpe") for i in range(40)]
    report = Report("", "", "cpu", tuple(every))
    figure = panels.draw(report)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [sum(name.startswith(kind) for name in named) for kind in ("FFE", "MPE")] == [1, 16]
    assert "of more runs, 16 are drawn" in panels.caption(report).caption
    assert "are drawn" not in panels.caption(replace(report, runs=report.runs[24:56])).caption
