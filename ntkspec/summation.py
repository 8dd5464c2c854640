"""Add long sums in panels of fixed width and pairwise: their worst error hardly grows with the length.

A sum of k products, added in any order, is off by at most gamma_k times the sum of their absolute values
(Higham 2002, section 3.1), and it is off by about as much where all roundings go the same way. In panels of
at most w products, added pairwise, k becomes w + log2(k / w) (Higham 1993, "The accuracy of floating point
summation").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

T = TypeVar("T")

PANEL = 128  # products that one matrix product adds up: BLAS is slower in narrower panels
NARROW, FEW = 32, 256  # width of panels of matrices of fewer rows, where more passes cost next to nothing
PIECES = 64  # into which a block's samples are cut at most: each sparse product has a cost of its own
UP = 1 + 1e-9  # covers the rounding of the bound itself


def panel_of(rows: int) -> int:
    """Return the width of panels for a Gram matrix of this many rows; small matrices get narrow panels.

    Example:
        >>> panel_of(100), panel_of(5000)
        (32, 128)
    """
    return NARROW if rows < FEW else PANEL


def over_samples(samples: int) -> int:
    """Return how many samples to add up at once in products with J^T, so that a sum has some hundred terms.

    Example:
        >>> over_samples(5000), over_samples(1_000_000)
        (128, 15625)
    """
    return max(PANEL, samples // PIECES)


def panels(terms: int, width: int = PANEL) -> list[slice]:
    """Cut `terms` products into panels of equal size, none wider than `width`.

    Example:
        >>> panels(129)
        [slice(0, 65, None), slice(65, 129, None)]
    """
    size, count = _sizes(terms, width)
    return [slice(i * size, min((i + 1) * size, terms)) for i in range(count)]


def _sizes(terms: int, width: int) -> tuple[int, int]:
    """Return the number of products in the longest panel, and the number of panels."""
    count = max(-(-terms // width), 1)
    return max(-(-terms // count), 1), count


def roundings(terms: int, width: int = PANEL) -> int:
    """Return the most roundings that a product meets on its way into a sum of `terms` products.

    Example:
        >>> roundings(100), roundings(1_000_000)
        (100, 141)
    """
    size, count = _sizes(terms, width)
    return min(size, terms) + (count.bit_length() if count > 1 else 0)


def gamma(roundings: int, dtype: DTypeLike = np.float64) -> float:
    """Return a bound on the relative error of m roundings: m u / (1 - m u), rounded up.

    See Higham 2002, lemma 3.1. u is half the spacing of `dtype` at 1; where m u >= 1 the bound is infinite.

    Example:
        >>> f"{gamma(100):.3e}"
        '1.110e-14'
    """
    product = roundings * float(np.finfo(dtype).eps) / 2
    return float(product / (1 - product) * UP) if product < 1 else math.inf


def pairwise(count: int, term: Callable[[int, int], T]) -> T:
    """Return the sum of `count` arrays, added pairwise and in place where their type can do that.

    Args:
        count: how many arrays.
        term: makes the array number i, which is then written to. Its second argument is how many partial
            sums are kept meanwhile: arrays that are made with the same number may share memory.

    Example:
        >>> pairwise(4, lambda i, _: np.array([i, 10 * i]))
        array([ 6, 60])
    """
    sums: list[tuple[int, Any]] = []  # (how often it was added to, partial sum), the oldest first
    for i in range(count):
        sums.append((0, term(i, len(sums))))
        while len(sums) > 1 and sums[-2][0] == sums[-1][0]:
            _add_last(sums)
    while len(sums) > 1:
        _add_last(sums)
    total: T = sums[0][1]
    return total


def _add_last(sums: list[tuple[int, Any]]) -> None:
    """Replace the last two partial sums by their sum."""
    _, last = sums.pop()
    height, total = sums.pop()
    total += last  # in place where the array can do that
    sums.append((height + 1, total))


def buffers(terms: int, width: int = NARROW) -> int:
    """Return the most arrays that `pairwise` keeps at a time for a sum of `terms` products."""
    return _sizes(terms, width)[1].bit_length()
