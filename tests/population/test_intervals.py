"""Intervals over items, and ratios that may be zero or unresolved."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from analysis.paper.ratios import decades, said
from ntkspec.population import intervals
from ntkspec.population.intervals import DRAWS, _medians, interval, median
from ntkspec.population.outcomes import Curve
from ntkspec.report.compare import Known


def curve(smallest, floor=1e-10, values=(1.0, 0.5)):
    return Curve(
        values=values,
        size=len(values),
        resolved=sum(value is not None for value in values),
        floor=floor,
        lambda_max=1.0,
        lambda_min=smallest,
        rank_at_most=2,
        trace=1.5,
        effective_rank=1.9,
        method="gram",
    )


def test_intervals_are_those_of_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=40)
    found = interval(values)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=DRAWS, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    spread = theirs.high - theirs.low
    assert found.value == pytest.approx(values.mean())
    assert theirs.low - 0.1 * spread < found.low < theirs.low + 0.05 * spread  # ours is a little wider
    assert theirs.high - 0.05 * spread < found.high < theirs.high + 0.1 * spread


@pytest.mark.parametrize("count", [8, 10, 30])
def test_intervals_of_normal_means_cover_them_as_often_as_they_say(count, monkeypatch):
    monkeypatch.setattr("ntkspec.population.intervals.DRAWS", 500)
    rng = np.random.default_rng(3)
    covered = [
        found.low <= 0 <= found.high for found in (interval(rng.standard_normal(count)) for _ in range(400))
    ]
    assert 0.925 < np.mean(covered) < 0.985


def test_what_is_said_of_ratios_tells_what_decides():
    ratio = [Known(math.inf, math.inf)] * 6
    assert said(*median(ratio)) == "no finite ratio"
    assert said(*median([*ratio, Known(2.0, 2.0)]), " decades") == "inf (2.00 to inf) decades"
    assert said(*median([Known(-math.inf, -math.inf)] * 3 + [Known(3.0, 3.0)])) == "-inf (-inf to 3.00)"
    assert said(*median([Known(-math.inf, -math.inf)] * 3)) == "zero"
    half = [Known(1.0, 1.0)] * 3 + [Known(0.5, math.inf)] * 3
    assert said(*median(half)) == "at least 0.75"
    assert said(*median([Known(-math.inf, 3.0)] * 3), " decades") == "at most 3.00 decades"
    assert said(*median([Known(-math.inf, math.inf)] * 3)) == "unknown"
    assert said(*median([Known(1.0, 2.0)] * 3), " decades") == "between 1.00 and 2.00 decades"
    some = [Known(1.0, 1.0), Known(2.0, 2.0), Known(2.5, 9.0)]
    assert said(*median(some), " decades") == "2.00, between 1.00 and 9.00 decades"


def test_limits_of_a_median_are_rounded_to_the_safe_side():
    assert said(*median([Known(-math.inf, -7.4474)] * 3), " decades") == "at most -7.44 decades"
    assert said(*median([Known(2.719, math.inf)] * 3)) == "at least 2.71"
    assert said(*median([Known(-17.8908, -5.8104)] * 3)) == "between -17.90 and -5.81"
    assert said(*median([Known(0.29, math.inf)] * 3)) == "at least 0.29"  # not 0.28


def test_items_of_one_seed_are_drawn_together():
    """Twelve seeds of five items that are all alike: no more is known than of twelve items."""
    apart = np.random.default_rng(4).gamma(2.0, size=12)
    alike, seeds = list(np.repeat(apart, 5)), [k for k in range(12) for _ in range(5)]
    found, alone = interval(alike, seeds), interval(list(apart))
    assert (found.value, found.low, found.high) == pytest.approx((alone.value, alone.low, alone.high))
    assert found.count == 60
    naive = interval(alike)
    assert naive.high - naive.low < 0.6 * (found.high - found.low)
    known = [Known(float(value), float(value)) for value in alike]
    assert median(known, seeds)[0].low == pytest.approx(median(known[::5])[0].low)
    few = [k % 7 for k in range(60)]  # seven seeds tell too little of others: items one by one
    assert interval(alike, few) == naive


def test_intervals_of_seeds_of_several_items_cover_as_often_as_they_say(monkeypatch):
    monkeypatch.setattr("ntkspec.population.intervals.DRAWS", 500)
    rng = np.random.default_rng(5)
    seeds = [k for k in range(20) for _ in range(4)]
    covered = []
    for _ in range(300):
        values = np.repeat(rng.standard_normal(20), 4) + rng.standard_normal(80)
        covered.append(
            [found.low <= 0 <= found.high for found in (interval(values, seeds), interval(values))]
        )
    together, one_by_one = np.mean(covered, axis=0)
    assert 0.92 < together < 0.985
    assert one_by_one < 0.82


@given(
    values=st.lists(st.floats(-5, 5) | st.just(math.inf) | st.just(-math.inf), min_size=1, max_size=12),
    data=st.data(),
)
def test_medians_of_repeated_items_are_those_of_the_repeated_list(values, data):
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)).filter(any))
    ranked = sorted(np.repeat(values, times))
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    expected = (low + high) / 2 if math.isfinite(low) and math.isfinite(high) else low
    assert _medians(np.array(values), np.array([times]), -1) == [pytest.approx(expected)]
    mirrored = _medians(-np.array(values), np.array([times]), 1)
    assert mirrored == [pytest.approx(-expected)]


def test_of_few_items_the_ends_are_their_range():
    found = interval([1.0, 2.0, 6.0])
    assert (found.value, found.low, found.high, str(found)) == (3.0, 1.0, 6.0, "3.00 (1.00 to 6.00)")


@pytest.mark.parametrize("count", [5, 21])
def test_medians_of_what_is_known_between_ends(count):
    known = [Known(float(k), float(k)) for k in range(count)]
    least, most = median(known)
    assert least == most
    assert least.value == (count - 1) // 2
    below = [Known(-math.inf, -9.0)] * (count // 4)  # unresolved: the median is known all the same
    least, most = median(known + below)
    assert least.value == most.value < (count - 1) // 2
    assert median(known + [Known(math.inf, math.inf)] * (count + 2))[0].value == math.inf
    least, most = median(known + [Known(-math.inf, math.inf)] * (count + 2))
    assert (least.value, most.value) == (-math.inf, math.inf)


def test_how_many_are_drawn_at_a_time_changes_nothing(monkeypatch):
    values = list(np.random.default_rng(6).gamma(2.0, size=40))
    known = [Known(value, value) for value in values]
    whole = interval(values), *median(known)
    monkeypatch.setattr(intervals, "_CELLS", 40 * 1500)  # 4000 draws in three parts
    assert (interval(values), *median(known)) == whole


def test_one_value_has_no_interval_and_none_no_mean():
    assert (interval([3.0]).low, interval([3.0]).high) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="finite"):
        interval([])
    with pytest.raises(ValueError, match="finite"):
        interval([1.0, math.inf])


KNOWN = st.floats(1e-20, 1e5)
FLOORS = st.floats(1e-12, 1e-3)


@given(a=KNOWN, b=KNOWN)
def test_decades_of_two_numbers_are_a_number(a, b):
    found = decades(curve(a), curve(b))
    assert found.low == found.high
    assert found.low == pytest.approx(math.log10(a / b))


@given(a=KNOWN, floor=FLOORS, share=st.floats(1e-6, 1.0))
def test_the_truth_lies_between_where_one_is_unresolved(a, floor, share):
    truth = floor * share
    above, below = decades(curve(a), curve(None, floor)), decades(curve(None, floor), curve(a))
    assert above.low <= math.log10(a / truth) + 1e-12
    assert above.high == math.inf
    assert below.high >= math.log10(truth / a) - 1e-12
    assert below.low == -math.inf


def test_over_zero_there_is_no_number():
    assert decades(curve(1e-3), curve(0.0)).low == math.inf
    assert decades(curve(0.0), curve(1e-3)).high == -math.inf
    nothing = decades(curve(0.0), curve(0.0))
    assert (nothing.low, nothing.high) == (0.0, 0.0)  # equal, so surely not decades apart
    over, under = decades(curve(None), curve(0.0)), decades(curve(0.0), curve(None))
    assert (over.low, over.high) == (0.0, math.inf)  # it is zero, too, or any factor above
    assert (under.low, under.high) == (-math.inf, 0.0)
