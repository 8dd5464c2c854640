"""Hold what the page says under a figure: how to read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """The words that go with a figure."""

    title: str
    alt: str
    caption: str


FLOORS = (
    "Floors may differ by many decades between curves: how low one lies depends on the route by which the "
    "spectrum was computed (gram or svd, see each run's details), not on the network."
)
LATE_ALONE = " Drawn: the middle and the end of training; the figure above has every snapshot."
