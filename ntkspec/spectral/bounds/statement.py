"""The statement of each bound, written once, in a decorator of the function that computes the bound.

Reports take titles, theorems and sources from here, and `ntkspec.spectral.verify` takes the list of bounds to
compute for every kernel. To add a bound, write a function with the decorator `stated`; no more is needed.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, ParamSpec

import numpy as np
from numpy.typing import NDArray

from ntkspec.spectral.bounds.record import Bound, Quantity, Side, require

Arguments = ParamSpec("Arguments")
Values = tuple[NDArray[np.float64], bool]  # the values of `Bound`, and whether they are vacuous
# What a bound is computed from in a report: the enclosure of the kernel, the spectrum of some of its blocks,
# the two spectra of its blocks without and within the grid, or the spectrum of some of its samples and its
# size. A bound of none of these is not computed of every kernel.
Source = Literal["kernel", "blocks", "halves", "samples"]


@dataclass(frozen=True)
class _Stated:
    """A bound, and what reports know of it beside what is in the `Bound`."""

    title: str  # in the words of a report
    computed_from: Source | None
    bound: Callable[..., Bound]


_stated: dict[str, _Stated] = {}  # by name, in the order in which bounds are defined


def stated(
    title: str,
    theorem: str,
    *,
    source: str,
    assumptions: str,
    side: Side,
    quantity: Quantity = "eigenvalue",
    certified: bool = False,
    computed_from: Source | None = None,
    name: str | None = None,
) -> Callable[[Callable[Arguments, Values]], Callable[Arguments, Bound]]:
    """Decorate a function that returns values, and whether they are vacuous, so that it returns a `Bound`.

    Args:
        title: of the bound in reports.
        theorem: the statement.
        source: author, year, theorem.
        assumptions, side, quantity, certified: as in `Bound`.
        computed_from: what reports compute it from; see `Source`. None: reports do not compute it.
        name: of the bound; default: that of the function.

    Raises:
        ValueError: another bound has this name, which it would replace in every report.

    Example:
        >>> @stated("Sign", "lambda_i(K) >= 0", source="K = J J^T", assumptions="none", side="lower")
        ... def sign(size: int) -> Values:
        ...     return np.zeros(size), True
        >>> sign(2).theorem, sign(2).values.tolist(), title_of("sign")
        ('lambda_i(K) >= 0', [0.0, 0.0], 'Sign')
    """

    def decorate(compute: Callable[Arguments, Values]) -> Callable[Arguments, Bound]:
        key = name or compute.__name__
        if key in _stated:
            raise ValueError(f"expected a name of its own for a bound, got {key!r}, which another has")

        signature = inspect.signature(compute)

        @functools.wraps(compute)
        def bound(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Bound:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise TypeError(f"{key}(): {error}") from None
            for argument, value in given.items():
                require(compute.__annotations__.get(argument), value, f"bound {key}")
            values, vacuous = compute(*args, **kwargs)
            return Bound(key, theorem, source, assumptions, side, values, bool(vacuous), quantity, certified)

        bound.__annotations__["return"] = "Bound"
        _stated[key] = _Stated(title, computed_from, bound)
        return bound

    return decorate


def computed_from(source: Source) -> tuple[Callable[..., Bound], ...]:
    """Return the bounds that reports compute from this, in the order in which they are defined."""
    return tuple(one.bound for one in _stated.values() if one.computed_from == source)


def title_of(name: str) -> str | None:
    """Return the title of a bound; None for a name that is not known, as from a report of a later version."""
    return _stated[name].title if name in _stated else None
