"""Long sums in panels: the right sum, in the memory that is promised, off by no more than its roundings."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkspec import summation
from ntkspec.backend import select


@given(terms=st.integers(0, 5_000), width=st.integers(1, 2000))
def test_panels_make_up_all_terms_and_none_is_wider(terms, width):
    cut = summation.panels(terms, width)
    assert cut[0].start == 0
    assert cut[-1].stop == terms
    assert all(before.stop == after.start for before, after in itertools.pairwise(cut))
    assert all(panel.stop - panel.start <= width for panel in cut)
    assert len(cut) == max(-(-terms // width), 1)


@given(count=st.integers(1, 300))
def test_pairwise_adds_every_term_once_in_few_buffers(count):
    used = set()

    def term(i, slot):
        used.add(slot)
        return np.array([float(2**0), float(i)])

    total = summation.pairwise(count, term)
    assert total.tolist() == [count, count * (count - 1) / 2]
    assert len(used) <= summation.buffers(count, 1)


@given(count=st.integers(1, 3000))
def test_no_term_is_added_to_more_often_than_is_counted(count):
    """Each array carries the longest chain of additions behind it."""

    class Depth:
        def __init__(self, depth):
            self.depth = depth

        def __iadd__(self, other):
            self.depth = max(self.depth, other.depth) + 1
            return self

    assert 1 + summation.pairwise(count, lambda i, slot: Depth(0)).depth <= summation.roundings(count, 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("width", [1, 127, 128, 129, 700, 5000])
def test_products_of_one_sign_are_off_by_their_roundings_at_most(width, dtype):
    """A Gram tile of constant rows, exactly: every product and every sum is rounded the same way."""
    cpu, unit = select("cpu"), Fraction(float(np.finfo(dtype).eps)) / 2
    for seed in range(5):
        value = dtype(np.random.default_rng(seed).uniform(0.5, 2))
        rows = np.full((3, width), value, dtype)
        tile = np.zeros((3, 3), dtype)
        cpu.add_tile(tile, None, (rows, rows), 1)
        exact = width * Fraction(float(value)) ** 2
        assert abs(Fraction(float(tile[1, 2])) - exact) <= summation.roundings(
            width
        ) * unit * exact * Fraction(1001, 1000)


@pytest.mark.parametrize(
    ("dtype", "unit"), [(np.float64, Fraction(1, 2**53)), (np.float32, Fraction(1, 2**24))]
)
@pytest.mark.parametrize("roundings", [1, 100, 10**6, 10**7])
def test_gamma_is_that_of_higham_rounded_up(roundings, dtype, unit):
    exact = roundings * unit / (1 - roundings * unit)
    assert exact <= Fraction(summation.gamma(roundings, dtype)) <= exact * (1 + Fraction(1, 10**8))


def test_gamma_ends_where_nothing_is_certain():
    assert summation.gamma(2**53) == np.inf
    assert summation.gamma(2**24, np.float32) == np.inf
    assert summation.gamma(0) == 0
