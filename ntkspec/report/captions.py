"""Define the caption of a figure on the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """The texts of a figure: title, alternative text for screen readers, and caption."""

    title: str
    alt: str
    caption: str


FLOORS = (
    "Floors may differ by many decades between curves: how low one lies depends on the route by which the "
    "spectrum was computed (gram or svd, see each run's details), not on the network."
)
LATE_ALONE = " Drawn: the middle and the end of training; the figure above has every snapshot."
