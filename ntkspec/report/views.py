"""The ways in which the page draws its one figure, each with how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ntkspec.report.captions import FLOORS


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
            "spectrum",
            "speed of each mode",
            "How fast each network learns its patterns, the fastest first. A pattern, or mode, is an "
            "eigenvector of the network's kernel on the sampled points; its eigenvalue is the speed. A "
            "curve that stays high far to the right belongs to a network that can learn fine detail there, "
            "noise included. Below the thin line of a curve's colour, its floor, rounding leaves no digit; "
            f"a cross marks the last eigenvalue above it. {FLOORS}",
        ),
        View(
            "alignment",
            "target beyond the first modes",
            "How much of what is to be learnt, its mean taken away, lies outside of a network's first k "
            "patterns: the lower and the further left a curve, the fewer patterns hold the target, and the "
            "sooner it is learnt. A trained network's kernel has turned towards its target: the curve at "
            "the end says what was learnt, and that at the start of training does not predict it. A curve "
            "ends where eigenvalues are no longer resolved.",
        ),
        View(
            "residual",
            "error over time",
            "What gradient descent would leave of the error that each network still makes, if its kernel "
            "stayed as it is at the stage that is shown: a forecast by the kernel, not the training that "
            "took place. Steps are those of learning rate 1 / λ_max, of each "
            "network's own. The thick line is the most that may be left, the thin one the least.",
        ),
        View(
            "training",
            "through training",
            "Every snapshot of every run. A hollow triangle is not resolved: the value lies between zero "
            "and there. A cross at the lower edge is exactly zero, the thin line the floor. The effective "
            "rank is how many patterns carry the kernel; the distance is 0 while the kernel keeps its "
            "direction, and 1 when nothing is left of it.",
        ),
    )
}
