"""The samples of a kernel: pixels, numbered row * side + column, or points in a box."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError


def sample_pixels(pattern: str, side: int, n: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose about n pixels of a picture of side x side; return their indices, ascending.

    Args:
        pattern: "random": n without replacement. "grid": every k-th pixel of both axes, with the k that comes
            nearest to n pixels, centred. "patch": the square block in the centre whose area is nearest to n.
        side: pixels a side.
        n: how many; "grid" and "patch" come as near as squares can, so ask the result how many there are.
        seed: of "random"; the others ignore it.

    Returns:
        int64 (about n,).

    Raises:
        UsageError: there are fewer than n pixels, n < 1, or no such pattern.

    >>> sample_pixels("patch", 4, 4)
    array([ 5,  6,  9, 10])
    """
    _check(n, side * side, f"the pixels of {side} x {side}", "a larger ⟦--side⟧")
    if pattern == "random":
        return _random(side * side, n, seed)
    if pattern == "grid":
        return _square(_grid_axis(side, n), side)
    if pattern == "patch":
        edge = min(range(1, side + 1), key=lambda m: abs(m * m - n))
        start = (side - edge) // 2
        return _square(np.arange(start, start + edge), side)
    raise _no_pattern(pattern, "random, grid or patch")


def sample_learnt(pattern: str, learnt: NDArray[np.int64], n: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose n pixels at random, without replacement, from those that are not held out; ascending.

    Raises:
        UsageError: there are fewer than n, n < 1, or the pattern is not "random": others need all pixels.
    """
    if pattern != "random":
        raise _no_pattern(pattern, "random, where pixels are held out")
    _check(n, len(learnt), "the pixels that are learnt", "a smaller ⟦--held-out⟧")
    return learnt[_random(len(learnt), n, seed)]


def sample_points(pattern: str, points: NDArray[np.float32], n: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose n points of an `OccupancyTask`; return their indices, ascending.

    Args:
        pattern: "random": n without replacement, half of them from either half of the points (which are
            uniform in the box, and near the surface). "patch": a point near the surface, the first of that
            half, and its nearest neighbours among all.
        points: (m, 3).
        n: how many.
        seed: of "random"; the other ignores it.

    Returns:
        int64 (n,).

    Raises:
        UsageError: there are fewer than n points, n < 1, or the pattern is "grid", which they do not form.
    """
    m, uniform = len(points), len(points) - len(points) // 2
    _check(n, m, "the points of the task", "more ⟦--points⟧")
    if pattern == "random":
        generator = np.random.default_rng(seed)
        near = min(n // 2, m - uniform)
        halves = (generator.choice(uniform, n - near, replace=False),
                  uniform + generator.choice(m - uniform, near, replace=False))  # fmt: skip
        return np.sort(np.concatenate(halves)).astype(np.int64)
    if pattern == "patch":
        squares = ((points - points[min(uniform, m - 1)]).astype(np.float64) ** 2).sum(axis=1)
        return np.sort(np.argsort(squares, kind="stable")[:n]).astype(np.int64)
    raise _no_pattern(pattern, "random or patch for a mesh")


def _check(n: int, most: int, what: str, remedy: str) -> None:
    if not 1 <= n <= most:
        raise UsageError(
            "option ⟦--samples⟧",
            expected=f"1 to {most}, {what}",
            got=str(n),
            remedy=f"ask for fewer samples or {remedy}",
        )


def _no_pattern(pattern: str, possible: str) -> UsageError:
    return UsageError("option ⟦--sampling⟧", expected=possible, got=repr(pattern))


def _random(count: int, n: int, seed: int) -> NDArray[np.int64]:
    chosen = np.random.default_rng(seed).choice(count, size=n, replace=False)
    return np.sort(chosen).astype(np.int64)


def _grid_axis(side: int, n: int) -> NDArray[np.int64]:
    """Return positions 0 <= p < side in equal steps, centred, whose number squared is nearest to n."""
    step = min(range(1, side + 1), key=lambda k: abs(math.ceil(side / k) ** 2 - n))
    count = math.ceil(side / step)
    start = (side - 1 - (count - 1) * step) // 2
    return start + step * np.arange(count)


def _square(axis: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    return (axis[:, None] * side + axis[None, :]).ravel().astype(np.int64)
