"""Decades of lambda_min between two numbers that are known within limits only."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkspec.report.compare import Known, decades_between, known_decades
from ntkspec.spectral.rank import Rank
from ntkspec.spectral.record import Spectrum

INF = math.inf
limits = st.tuples(st.just(0.0) | st.floats(1e-300, 1e300), st.just(0.0) | st.floats(1e-300, 1e300)).map(
    sorted
)


@pytest.mark.parametrize(
    ("above", "below", "known"),
    [
        ((100, 100), (1, 1), (2, 2)),
        ((10, 100), (1, 10), (0, 2)),
        ((10, 10), (0, 1e-3), (4, INF)),
        ((0, 1e-3), (10, 10), (-INF, -4)),
        ((0, 1), (0, 1), (-INF, INF)),
        ((1, 1), (0, 0), (INF, INF)),
        ((0, 0), (1, 1), (-INF, -INF)),
        ((0, 0), (0, 0), (-INF, INF)),
    ],
)
def test_limits_of_a_ratio(above, below, known):
    assert known_decades(above, below) == Known(*known)


@given(limits, limits)
def test_the_other_way_round_it_is_the_negative(above, below):
    one, other = known_decades(above, below), known_decades(below, above)
    assert (one.low, one.high) == (-other.high, -other.low)
    assert one.low <= one.high


def spectrum(
    smallest: float, error: float, floor: float, scale: float = 1.0, rank: int | None = None
) -> Spectrum:
    return Spectrum(
        eigenvalues=np.array([1.0, smallest]) * scale,
        error=np.array([0.0, error]) * scale,
        floor=floor * scale,
        size=2,
        trace=scale,
        method="gram",
        precision="float64",
        rank=None if rank is None else Rank(rank, "of a test"),
    )


NUMBER, UNSURE = (0.02, 0.001, 1e-3), (0.02, 0.02, 1e-3)  # of which the second may be zero
ROUGH, LESS = (
    (0.02, 0.01, 1e-3),
    (0.002, 0.001, 1e-3),
)  # by the stated errors three times their sizes, or a third
UNRESOLVED, EXACT, ZERO = (1e-6, 1e-5, 1e-4), (0.0, 0.0, 1e-5, 1), (0.0, 0.0, 0.0)


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (NUMBER, NUMBER, (0, "=")),
        (NUMBER, UNSURE, (None, "unresolved")),
        (ROUGH, ROUGH, (None, "unresolved")),
        (ROUGH, LESS, (math.log10(0.01 / 0.003), ">=")),
        (LESS, ROUGH, (math.log10(0.003 / 0.01), "<=")),
        (NUMBER, LESS, (math.log10(0.019 / 0.003), ">=")),
        (ROUGH, UNRESOLVED, (2, ">=")),  # 0.01 over 1e-4
        (UNRESOLVED, ROUGH, (-2, "<=")),
        (ROUGH, EXACT, (3, ">=")),  # 0.01 over the floor 1e-5
        (EXACT, ROUGH, (-3, "<=")),
        (UNSURE, UNRESOLVED, (None, "unresolved")),
        (UNRESOLVED, UNSURE, (None, "unresolved")),
        (UNRESOLVED, EXACT, (None, "unresolved")),
        (NUMBER, ZERO, (None, "unresolved")),
        (ZERO, NUMBER, (None, "unresolved")),
    ],
)
def test_decades_between_spectra(one, other, found, scale):
    spectra = [spectrum(*each[:3], scale, *each[3:]) for each in (one, other)]
    decades, qualifier = decades_between(*spectra)
    assert decades_between(spectra[0].largest(1), spectra[1]) == (None, "unresolved")
    assert qualifier == found[1]
    assert decades == (None if found[0] is None else pytest.approx(found[0], abs=1e-12))
