"""Mean spectra as they are drawn, and the map's treatment of what is no number."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.paper.drawing import draw_mean, new_axes, new_figure
from analysis.paper.held_out import HELD_OUT, LEARNT, LINES, _against_smallest
from analysis.paper.map_of_settings import _decades_apart, _smallest
from ntkspec.population.outcomes import Curve, indices

SIZE = 64
INDEX = np.array(indices(SIZE))


def curve(scale, resolved=SIZE, smallest=1.0):
    values = [float(scale / i) if i <= resolved else None for i in INDEX]
    return Curve(
        values=tuple(values),
        size=SIZE,
        resolved=resolved,
        floor=1e-9,
        lambda_max=scale,
        lambda_min=smallest if resolved == SIZE else None,
        rank_at_most=SIZE,
        trace=1.0,
        effective_rank=1.0,
        method="gram",
    )


@pytest.fixture
def axes():
    return new_axes(new_figure(4, 3), 1, 1)[0]


def test_the_mean_is_geometric_and_the_band_holds_most(axes):
    draw_mean(axes, [curve(1.0), curve(100.0), curve(10.0)], "red", "end")
    (line,) = axes.lines
    assert np.allclose(line.get_xdata(), INDEX)
    assert np.allclose(line.get_ydata(), 10 / INDEX)
    (band,) = axes.collections
    low, high = band.get_paths()[0].get_extents().intervaly
    assert low == pytest.approx(1.0 / SIZE)
    assert high == pytest.approx(100.0)


def test_where_one_is_unresolved_the_mean_ends_and_the_median_goes_on(axes):
    draw_mean(axes, [curve(1.0), curve(10.0), curve(100.0, resolved=20)], "red", "mid")
    mean, cross, middle = axes.lines
    last = INDEX[INDEX <= 20][-1]
    assert mean.get_xdata()[-1] == last
    assert cross.get_marker() == "x"
    assert cross.get_xdata() == [last]
    assert np.allclose(middle.get_ydata()[1:], 1.0 / INDEX[INDEX > 20])  # of 1, 10 and one below both: 1
    assert not axes.collections  # no band in the middle of training


def test_zeros_and_floors_are_marks_and_gaps(axes):
    zero, lost = replace(curve(1.0), lambda_min=0.0), curve(1.0, resolved=20)
    high, low = curve(1.0, smallest=1e-3), curve(1.0, smallest=1e-5)
    groups = [[high, low], [zero, zero, high], [lost, lost, high], [low, low, zero]]
    _smallest(axes, (1, 2, 3, 4), groups)
    medians, *marks = axes.lines
    assert np.allclose(medians.get_ydata(), [1e-4, np.nan, np.nan, 1e-5], equal_nan=True)
    dots = [mark for mark in marks if mark.get_marker() == "."]
    assert [list(dot.get_ydata()) for dot in dots] == [[1e-3, 1e-5], [1e-3], [1e-3], [1e-5, 1e-5]]
    others = [(mark.get_marker(), *mark.get_xdata(), mark.get_alpha()) for mark in marks if mark not in dots]
    assert others == [("x", 2, 1.0), ("v", 3, 1.0), ("x", 4, 0.3)]  # faint: of the minority


def test_every_kind_of_network_has_its_colour(axes):
    def run(smallest):
        metrics = dict.fromkeys((LEARNT, HELD_OUT), 20.0).__getitem__
        return SimpleNamespace(
            end=SimpleNamespace(spectra={"total": curve(1.0, smallest=smallest)}, metric=metrics)
        )

    _against_smallest(axes, {"baseline": [run(1e-3)], "ffe-4": [run(1e-2)], "mpe-48": [run(0.0)]})
    dots = [(float(dot.get_xdata()[0]), dot.get_color()) for dot in axes.lines]
    assert dots == [(pytest.approx(1e-3), LINES["baseline"])] * 2 + [(pytest.approx(1e-2), LINES["ffe"])] * 2


def test_a_cell_of_the_map_is_the_median_or_says_why_there_is_none():
    def pairs(*smallest):
        ends = [
            [SimpleNamespace(end=SimpleNamespace(spectra={"total": c})) for c in pair] for pair in smallest
        ]
        return [tuple(pair) for pair in ends]

    zero, lost = replace(curve(1.0), lambda_min=0.0), curve(1.0, resolved=20)
    ten, one = curve(1.0, smallest=10.0), curve(1.0)
    assert _decades_apart(pairs((ten, one), (ten, one), (zero, one))) == (pytest.approx(1.0), "+1.0")
    for cells, said in (((zero, one), "-inf"), ((one, zero), "inf"), ((lost, lost), "?")):
        value, found = _decades_apart(pairs(cells, cells, (ten, one)))
        assert np.isnan(value)
        assert found == said
