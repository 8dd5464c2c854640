"""The figures of a report: each is a module of this folder, found by its name.

A module has ORDER, its place among the figures, `draw(report)`, which returns a Figure, or None where the
report lacks what it needs, and `caption(report)`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

from ntkspec.report.captions import Caption
from ntkspec.report.records import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


class FigureModule(Protocol):
    """A module of this folder."""

    ORDER: int

    def draw(self, report: Report) -> Figure | None:
        """Draw the figure, or return None where the report lacks what it needs."""
        ...

    def caption(self, report: Report) -> Caption:
        """Return how to read the figure."""
        ...


def draw_all(report: Report) -> Iterator[tuple[str, Figure]]:
    """Yield the figures that the report has enough for, by name, drawn one at a time."""
    for name, module in _modules().items():
        figure = module.draw(report)
        if figure is not None:
            yield name, figure


def captions(report: Report) -> dict[str, Caption]:
    """Return how to read each figure, by its name, in order."""
    return {name: module.caption(report) for name, module in _modules().items()}


def _modules() -> dict[str, FigureModule]:
    """Load the modules, and Matplotlib with them."""
    modules = {name: cast(FigureModule, importlib.import_module(f"{__name__}.{name}")) for name in NAMES}
    return dict(sorted(modules.items(), key=lambda item: item[1].ORDER))
