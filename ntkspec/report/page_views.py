"""Name the page's one interactive figure and the ways in which it is drawn, and say how to read each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ntkspec.report.records import Report
from ntkspec.report.through_training import METRICS_SAID


def heading(report: Report) -> str:
    """Return the heading above the figure, by which other texts name it.

    Example:
        >>> heading(Report("", "", "cpu", ()))
        'How fast the network learns what'
    """
    return f"How fast {'each' if len(report.runs) > 1 else 'the'} network learns what"


@dataclass(frozen=True)
class View:
    """One way to draw the figure; a script has a function named after its key."""

    key: str
    name: str
    note: str


VIEWS: Mapping[str, View] = {
    view.key: view
    for view in (
        View(
            "alignment",
            "target beyond the first modes",
            "What part of the target lies outside of a network's k fastest modes, which are the patterns "
            "that it learns first (share of the squared deviation from the mean). The lower a curve, the "
            "fewer patterns make up the target. At the end of training this says what the network has "
            "learnt; at the start it does not predict the quality. A curve ends where eigenvalues drown in "
            "rounding.",
        ),
        View(
            "spectrum",
            "speed of each mode",
            "How fast a network learns its modes, the fastest first. A mode is a pattern on the sampled "
            "points, an eigenvector of the network's kernel; its eigenvalue is its speed. A higher curve "
            "is a faster network, not a better one: it learns noise as fast as detail. A cross marks the "
            "last eigenvalue that is larger than the rounding errors of its computation, whose size is the "
            "thin horizontal line, the floor.",
        ),
        View(
            "residual",
            "error over time",
            "What would be left of a network's present error if training went on with the kernel as it is "
            "at the stage shown: a prediction by the kernel, not a record of the training. A step has "
            "learning rate 1 / λ_max of that network. The thick line is the most that can be left, the "
            "thin one the least.",
        ),
        View(
            "training",
            "through training",
            "Every snapshot. A hollow triangle is not resolved: the value lies between zero "
            "and there. A cross at the lower edge is exactly zero, the thin line the floor. The effective "
            "rank is how many modes carry the kernel; the distance is 0 while the kernel keeps its "
            "direction, and 1 when nothing is left of it. " + METRICS_SAID,
        ),
    )
}
