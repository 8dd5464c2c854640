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
            "How fast each network learns its modes, the fastest first. A mode is a pattern on the sampled "
            "points, an eigenvector of the network's kernel; its eigenvalue is the speed. A curve that "
            "stays high far to the right belongs to a network that can learn fine detail there, noise "
            "included. Below the thin line of a curve's colour, its floor, rounding leaves no digit; a "
            f"cross marks the last eigenvalue above it. {FLOORS}",
        ),
        View(
            "alignment",
            "target beyond the first modes",
            "How much of what is to be learnt, its mean taken away, lies outside of a network's k fastest "
            "modes: the lower a curve, the fewer modes hold the target. A trained network's kernel has "
            "turned towards its target: the curve at the end says what was learnt, and that at the start of"
            " training does not foretell it. A curve ends where eigenvalues are no longer resolved.",
        ),
        View(
            "residual",
            "error over time",
            "What gradient descent would leave of the error that each network still makes, if its kernel "
            "stayed as it is at the stage that is shown: said by the kernel, it is not the training that "
            "took place. Steps are of learning rate 1 / λ_max, each network's own. The thick line is the "
            "most that may be left, the thin one the least.",
        ),
        View(
            "training",
            "through training",
            "Every snapshot of every run. A hollow triangle is not resolved: the value lies between zero "
            "and there. A cross at the lower edge is exactly zero, the thin line the floor. The effective "
            "rank is how many modes carry the kernel; the distance is 0 while the kernel keeps its "
            "direction, and 1 when nothing is left of it.",
        ),
    )
}
