"""Choose which points of a long curve are drawn; more points would not be visible."""

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
