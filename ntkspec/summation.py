"""Long sums in panels of fixed width, added pairwise: their worst rounding error hardly grows with length.

A sum of k products, added in any order, is off by at most gamma_k times the sum of their absolute values
(Higham 2002, section 3.1), and as much does come about where all roundings go one way. In panels of at most
w products, added pairwise, k becomes w + log2(k / w) (Higham 1993, "The accuracy of floating point
summation").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

PANEL = 128  # products that one matrix product adds up: narrower ones keep BLAS from its speed
NARROW, FEW = 32, 256  # panels of matrices of fewer rows: another pass over these costs nothing
PIECES = 64  # of a block's samples: sparse products have a cost each
UP = 1 + 1e-9  # covers the rounding of what is bounded


def panel_of(rows: int) -> int:
    """Choose the width of panels of a Gram matrix of so many rows: small ones can afford narrow panels.

    Example:
        >>> panel_of(100), panel_of(5000)
        (32, 128)
    """
    return NARROW if rows < FEW else PANEL


def over_samples(samples: int) -> int:
    """Choose how many samples are added up at once in products with J^T: at most some hundred products.

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
    """Products of the longest panel, and how many panels: plans ask it of millions of samples, often."""
    count = max(-(-terms // width), 1)
    return max(-(-terms // count), 1), count


def roundings(terms: int, width: int = PANEL) -> int:
    """Count the roundings between a product and the sum of `terms` of them, at most.

    Example:
        >>> roundings(100), roundings(1_000_000)
        (100, 141)
    """
    size, count = _sizes(terms, width)
    return min(size, terms) + (count.bit_length() if count > 1 else 0)


def gamma(roundings: int, dtype: Any = np.float64) -> float:
    """Bound the relative error of so many roundings: m u / (1 - m u) (Higham 2002, lemma 3.1), rounded up.

    u is half the spacing of `dtype` at 1; infinite where m u is no less than 1.

    Example:
        >>> f"{gamma(100):.3e}"
        '1.110e-14'
    """
    product = roundings * float(np.finfo(dtype).eps) / 2
    return float(product / (1 - product) * UP) if product < 1 else math.inf


def pairwise(count: int, term: Callable[[int, int], T]) -> T:
    """Add up `count` arrays pairwise, in place where they can be.

    Args:
        term: makes the array number i, which is then written to; its second argument is the number of other
            arrays that are needed later, so that arrays may share memory by that number.
    """
    held: list[tuple[int, Any]] = []  # (how often it was added to, sum), the oldest first
    for i in range(count):
        held.append((0, term(i, len(held))))
        while len(held) > 1 and held[-2][0] == held[-1][0]:
            _add_last(held)
    while len(held) > 1:
        _add_last(held)
    total: T = held[0][1]
    return total


def _add_last(held: list[tuple[int, Any]]) -> None:
    _, last = held.pop()
    height, total = held.pop()
    total += last  # in place where the array can do that
    held.append((height + 1, total))


def buffers(terms: int, width: int = NARROW) -> int:
    """Count the arrays that `pairwise` holds at most for a sum of `terms` products."""
    return _sizes(terms, width)[1].bit_length()
