"""Eigenfunctions in a report: the figure's cells against plain loops, the numbers in JSON and CSV."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from ntkspec.report.canvas import to_bytes
from ntkspec.report.figures import draw_all
from ntkspec.report.figures.eigenfunctions import MOST_CELLS, SHADES, cells
from ntkspec.report.figures.eigenfunctions import draw as fig_eigenfunctions
from ntkspec.report.from_json import report_from_json
from ntkspec.report.records import ModePictures, Report, RunReport
from ntkspec.report.to_csv import write_csv
from ntkspec.report.to_json import dumps, to_json
from ntkspec.report.tree import parse

from . import samples
from .shown import rows


def pixels(height: int, width: int) -> np.ndarray:
    """Their centres (height width, 2) in the unit square, row by row."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def shown(
    points: np.ndarray, modes: tuple[int, ...] = (1, 2, 8), cycles: float | None = None
) -> ModePictures:
    patterns = np.random.default_rng(0).standard_normal((len(points), len(modes))).astype(np.float32)
    return ModePictures(modes, tuple(9.0 / mode for mode in modes), (cycles,) * len(modes), points, patterns)


def with_modes(run: RunReport, *of_snapshots: ModePictures | None) -> RunReport:
    snapshots = zip(run.snapshots, of_snapshots, strict=True)
    return replace(run, snapshots=tuple(replace(snap, eigenfunctions=one) for snap, one in snapshots))


@pytest.fixture(scope="module")
def report() -> Report:
    """A run over a whole picture at mid-training, one at samples alone with fewer modes, one with nothing."""
    first, second, third = (samples.plain_run(name, 9, 0.5, size=16) for name in "abc")
    scattered = np.random.default_rng(1).random((50, 2))
    runs = (
        with_modes(first, shown(scattered), shown(pixels(6, 4), cycles=2.25), shown(scattered)),
        with_modes(second, shown(scattered), shown(scattered), shown(scattered, (1, 2))),
        third,
    )
    return replace(samples.one_run(first), runs=runs)


def test_a_row_for_each_run_that_has_modes(report: Report) -> None:
    figure = fig_eigenfunctions(report)
    assert figure is not None
    (axes,) = figure.axes
    assert len(axes.images) == 3 + 2
    assert axes.images[0].get_array().shape == (6, 4)
    assert axes.images[3].get_array().shape == (8, 8)  # about as many cells as there are samples
    said = [text.get_text() for text in axes.texts]
    assert [line for line in said if line.startswith("mode ")] == ["mode 1", "mode 2", "mode 8"]
    assert r"$\lambda$ = 9.0e+00" + "\n2.2 cycles" in said
    assert r"$\lambda$ = 4.5e+00" in said
    assert {"a, mid", "b"} < {*said}
    assert "c" not in {line[:1] for line in said}
    image = axes.images[0]
    assert image.cmap.N == SHADES
    assert image.norm.vmin == -image.norm.vmax
    assert "eigenfunctions" in dict(draw_all(report))


def test_a_picture_of_zeros_and_eight_rows_at_most(report: Report) -> None:
    flat = replace(shown(pixels(3, 3)), patterns=np.zeros((9, 3), np.float32))
    run = with_modes(report.runs[2], None, None, flat)
    figure = fig_eigenfunctions(replace(report, runs=tuple(replace(run, label=f"{i}") for i in range(9))))
    assert figure is not None
    assert len(figure.axes[0].images) == 8 * 3
    assert figure.axes[0].texts[-1].get_text() == "The first 8 of 9 runs"
    assert len(to_bytes(figure, "svg")) < 200_000


def test_nothing_to_draw(report: Report) -> None:
    assert fig_eigenfunctions(replace(report, runs=report.runs[2:])) is None
    assert fig_eigenfunctions(report_from_json(parse(dumps(report).encode(), "report.json"))) is None
    none = shown(pixels(3, 3), modes=())
    assert fig_eigenfunctions(samples.one_run(with_modes(report.runs[2], None, None, none))) is None
    earlier = fig_eigenfunctions(samples.one_run(with_modes(report.runs[2], None, shown(pixels(3, 3)), none)))
    assert earlier is not None
    assert len(earlier.axes[0].images) == 3


@pytest.mark.parametrize(("height", "width"), [(6, 4), (1, 5), (3, MOST_CELLS + 1), (2 * MOST_CELLS, 5)])
def test_cells_of_pixels_are_means_of_squares(height: int, width: int) -> None:
    values = np.random.default_rng(0).standard_normal((height, width))
    order = np.random.default_rng(1).permutation(height * width)
    picture, (left, right, bottom, top) = cells(pixels(height, width)[order], values.ravel()[order])
    step = 2 if max(height, width) > MOST_CELLS else 1
    for i in range(picture.shape[0]):
        for j in range(picture.shape[1]):
            square = values[i * step : (i + 1) * step, j * step : (j + 1) * step]
            assert picture[i, j] == pytest.approx(square.mean())
    assert picture.size == -(-height // step) * -(-width // step)
    if step == 1 and height > 1:
        assert (left, right, bottom, top) == pytest.approx((0.0, 1.0, 1.0, 0.0))  # the unit square


def test_cells_of_scattered_points_are_means_of_those_inside_and_blank_without_any() -> None:
    points = np.array([[0.0, 0.0], [0.1, 0.0], [4.0, 2.0], [0.0, 2.0], [2.0, 1.0]])
    picture, (left, right, bottom, top) = cells(points, np.array([1.0, 3.0, 5.0, 7.0, 9.0]))
    expected = np.array([[2.0, np.nan, np.nan], [np.nan, 9.0, np.nan], [7.0, np.nan, 5.0]])
    assert np.array_equal(picture, expected, equal_nan=True)
    assert (left, right, bottom, top) == pytest.approx((-1.0, 5.0, 2.5, -0.5))
    single, _ = cells(points[:1], np.array([4.0]))
    assert single.tolist() == [[4.0]]


def test_json_has_the_numbers_and_gives_them_back(report: Report) -> None:
    tree: dict[str, Any] = to_json(report)
    assert tree["runs"][0]["snapshots"][1]["eigenfunctions"] == [
        {"mode": 1, "eigenvalue": 9.0, "radial_frequency": 2.25},
        {"mode": 2, "eigenvalue": 4.5, "radial_frequency": 2.25},
        {"mode": 8, "eigenvalue": 1.125, "radial_frequency": 2.25},
    ]
    assert tree["runs"][1]["snapshots"][2]["eigenfunctions"][0]["radial_frequency"] is None
    assert tree["runs"][2]["snapshots"][2]["eigenfunctions"] is None
    again = report_from_json(parse(dumps(report).encode(), "report.json"))
    for run, other in zip(report.runs, again.runs, strict=True):
        for snap, read in zip(run.snapshots, other.snapshots, strict=True):
            given = snap.eigenfunctions
            kept = given and asdict(replace(given, points=None, patterns=None))
            assert (read.eigenfunctions and asdict(read.eigenfunctions)) == kept
    assert dumps(again) == dumps(report)


def test_spectra_csv_has_the_frequencies(report: Report) -> None:
    table = rows(write_csv, report)
    found = [(row["run"], row["step"], row["index"]) for row in table if row["radial_frequency"]]
    step = str(report.runs[0].snapshots[1].step)
    assert found == [("a", step, "1"), ("a", step, "2"), ("a", step, "8")]
    assert {row["radial_frequency"] for row in table} == {"", "2.25"}
