"""Choose which of many things are shown: points of curves, snapshots of runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def thinned(count: int, points: int) -> NDArray[np.int64]:
    """Return at most `points` of 1..count, first and last among them, evenly spaced on a log axis.

    Example:
        >>> thinned(1000, 4).tolist()
        [1, 10, 100, 1000]
    """
    if count <= points:
        return np.arange(1, count + 1)
    return np.unique(np.geomspace(1, count, points).round().astype(np.int64))


def points_each(curves: int, *, most: int, fewest: int, together: int) -> int:
    """Return how many points each of some curves has, so that a page with many of them stays small.

    Args:
        curves: how many there are.
        most: points of one of few curves.
        fewest: points of one of many.
        together: points of all curves, unless each has the fewest.

    Example:
        >>> [points_each(curves, most=300, fewest=60, together=40_000) for curves in (1, 200, 9000)]
        [300, 200, 60]
    """
    return max(fewest, min(most, together // max(curves, 1)))


def few(count: int, most: int) -> list[int]:
    """Return at most `most` of 0..count-1, evenly spaced, first and last among them.

    Example:
        >>> few(21, 5)
        [0, 5, 10, 15, 20]
    """
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(most - 1, 1)) for i in range(most)})


def first_of(every: int, most: int, what: str = "runs") -> str:
    """Return how many of some things are shown, if `most` are and the others are left out; else "".

    Example:
        >>> first_of(20, 16), first_of(16, 16)
        ('The first 16 of 20 runs', '')
    """
    return f"The first {most} of {every} {what}" if every > most else ""
