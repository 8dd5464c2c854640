"""Draw the figures of a report: each module of this folder draws one, which has the module's name.

A module defines ORDER, the figure's place among the others; `draw(report)`, which returns a Matplotlib
Figure, or None if the report lacks the data for it; and `caption(report)`, which returns its caption. What
stands in one pair of axes is drawn by functions that `ntkspec.plot` calls, too, on a caller's axes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from ntkspec.report.records import Report
from ntkspec.report.thinning import first_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


@dataclass(frozen=True)
class Caption:
    """The texts of a figure on the page: title, alternative text for screen readers, and caption."""

    title: str
    alt: str
    caption: str


def left_out(every: int, most: int, what: str = "runs") -> str:
    """Return a sentence for captions of figures that draw `most` things at most; "" if none is left out.

    Example:
        >>> left_out(20, 16)
        ' The first 16 of 20 runs are drawn.'
    """
    first = first_of(every, most, what)
    return f" {first} are drawn." if first else ""


def draw_all(report: Report) -> Iterator[tuple[str, Figure]]:
    """Yield (name, figure) for each figure for which the report has data.

    Each figure is drawn only when it is asked for, so that a single one is in memory.
    """
    for name, module in _modules().items():
        figure = module.draw(report)
        if figure is not None:
            yield name, figure


def captions(report: Report) -> dict[str, Caption]:
    """Return a dict from each figure's name to its caption, in the order of the page."""
    return {name: module.caption(report) for name, module in _modules().items()}


def _modules() -> dict[str, ModuleType]:
    """Import all modules of this folder, and so Matplotlib; return them by name, sorted by ORDER."""
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in NAMES}
    return dict(sorted(modules.items(), key=lambda item: item[1].ORDER))
