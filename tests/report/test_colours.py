"""Colours of runs: readable on both backgrounds, apart for every eye, and otherwise by dash or marker."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ntkspec.report.figures import alignment, spectra, training
from ntkspec.report.moments import Moment
from ntkspec.report.records import Report
from ntkspec.report.style import MARKERS, OWN, StyledRun, styled_runs

from . import samples

WHITE, DARK = "#ffffff", "#121417"  # backgrounds of the page
READABLE = 3.0  # least contrast of a mark: WCAG 2.2, 1.4.11
APART = 20.0  # of two colours, CIE 1976; 2.3 is what can just be seen side by side
APART_IN_GREY = 8.0  # of L*
# Machado, Oliveira, Fernandes: A physiologically-based model for simulation of color vision deficiency,
# IEEE TVCG 15 (2009), severity 1.0, on linear RGB.
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour: str) -> NDArray[np.float64]:
    """Red, green and blue of #rrggbb, linear, from 0 to 1."""
    shares = np.frombuffer(bytes.fromhex(colour[1:]), dtype=np.uint8) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(colour: str, eye: str = "usual") -> NDArray[np.float64]:
    """CIE 1976 L*, a*, b* of a colour as an eye sees it."""
    seen = np.clip(EYES[eye] @ linear(colour), 0, 1)
    share = TO_XYZ @ seen / TO_XYZ.sum(1)
    x, y, z = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, WCAG 2.2."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def own_runs(count: int) -> tuple[StyledRun, ...]:
    runs = tuple(samples.plain_run(f"net {i}", 9, 0.5, size=4) for i in range(count))
    return styled_runs(Report("", "", "cpu", runs))


def test_the_measures_are_right() -> None:
    assert contrast("#000000", WHITE) == pytest.approx(21.0)
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.005)  # the known example of one below 4.5
    np.testing.assert_allclose(lab("#ff0000"), [53.24, 80.09, 67.20], atol=0.05)
    for eye in ("protanopia", "deuteranopia"):  # Ishihara's plates: red and green of one lightness
        assert np.linalg.norm(lab("#c06040", eye) - lab("#808040", eye)) < 15
        assert np.linalg.norm(lab("#c06040") - lab("#808040")) > 35


@pytest.mark.parametrize("colour", OWN)
@pytest.mark.parametrize("background", [WHITE, DARK])
def test_own_colours_are_readable_on_both_backgrounds(colour: str, background: str) -> None:
    assert contrast(colour, background) >= READABLE


@pytest.mark.parametrize("eye", EYES)
def test_own_colours_are_apart_for_every_eye(eye: str) -> None:
    for first, second in itertools.combinations(OWN, 2):
        assert np.linalg.norm(lab(first, eye) - lab(second, eye)) >= APART


def test_neighbours_are_apart_in_greyscale() -> None:
    """Others than neighbours are apart by their markers, as the next test says."""
    lightness = [lab(colour)[0] for colour in OWN]
    assert min(abs(a - b) for a, b in itertools.pairwise(lightness)) >= APART_IN_GREY


def test_any_number_of_own_runs_is_told_apart() -> None:
    runs = own_runs(24)
    assert len({run.marker for run in runs[: len(MARKERS)]}) == len(MARKERS)  # eight in greyscale
    assert len({(run.colour, run.dash) for run in runs}) == len(runs)
    assert {run.dash for run in runs[: len(OWN)]} == {()}  # solid as long as colours suffice
    assert all(run.dark == run.colour and run.kind == "other" for run in runs)


def test_families_are_readable_on_dark(report: Report) -> None:
    assert {run.kind for run in styled_runs(report)} == {"baseline", "ffe", "mpe"}
    assert min(contrast(run.dark, DARK) for run in styled_runs(report)) >= READABLE
    assert {run.dash for run in styled_runs(report)} == {()}


def test_snapshots_are_readable_on_dark(report: Report) -> None:
    snapshot = report.runs[0].snapshots[0]
    for place in range(9):
        assert contrast(Moment(snapshot, "", place, 9, None).dark, DARK) >= READABLE


def test_neighbours_on_a_crowded_ramp_have_other_dashes() -> None:
    encoding = {"kind": "gaussian"}
    runs = tuple(samples.plain_run(f"FFE {i}", 9, 0.5, size=4, encoding=encoding) for i in range(9))
    shown = styled_runs(Report("", "", "cpu", runs))
    assert all(one.dash != other.dash for one, other in itertools.pairwise(shown))


@pytest.mark.parametrize("draw", [spectra.draw, alignment.draw, training.draw])
def test_figures_tell_eight_own_runs_apart(draw: Callable[[Report], Figure | None]) -> None:
    """Colours come again after six, and dashes are of stages: legend and last curves have markers."""
    runs = tuple(samples.plain_run(f"net {i}", 9, 0.5, size=8) for i in range(8))
    figure = draw(samples.aligned(Report("", "", "cpu", runs)))
    assert figure is not None
    expected = {(run.colour, MARKERS[run.marker]) for run in styled_runs(Report("", "", "cpu", runs))}
    (legend,) = figure.legends
    handles = [line for line in legend.get_lines() if str(line.get_label()).startswith("net")]
    assert {(line.get_color(), line.get_marker()) for line in handles} == expected
    for axes in figure.axes:
        drawn = {(line.get_color(), line.get_marker()) for line in axes.lines}
        assert not axes.lines or drawn >= expected
    figure = draw(samples.aligned(samples.one_run(runs[0])))
    assert figure is not None
    assert {line.get_marker() for line in figure.axes[0].lines} <= {"None", "o"}


def test_of_several_runs_without_an_encoding_none_is_the_baseline() -> None:
    plain = {"encoding": {"kind": "identity"}}
    runs = tuple(samples.plain_run(f"{i}", 9, 0.5, size=4, **plain) for i in range(3))
    assert [run.kind for run in styled_runs(Report("", "", "cpu", runs))] == ["other"] * 3
    assert [run.kind for run in styled_runs(Report("", "", "cpu", runs[:1]))] == ["baseline"]
    named = styled_runs(Report("", "", "cpu", runs, baseline="1"))
    assert [run.name for run in named if run.kind == "baseline"] == ["1"]
