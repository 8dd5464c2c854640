"""Write the page's title and introduction, and name the ways in which its interactive figure is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ntkspec.report.names import enumerated
from ntkspec.report.records import Report
from ntkspec.report.style import Kind, styled_runs, when_last
from ntkspec.report.targets import data_name
from ntkspec.report.through_training import METRICS_SAID

_NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_FAMILIES: Mapping[Kind, str] = {
    "baseline": "Baseline: the coordinates go straight into the network.",
    "ffe": "FFE: Fourier feature encoding, fixed sines and cosines of the coordinates.",
    "mpe": "MPE: multigrid parametric encoding, learnt values at the nodes of grids, interpolated between "
    "them.",
}


def title(report: Report) -> str:
    """Return a title such as "astronaut.png, learnt by six networks", or runs' names if data has none.

    Example:
        >>> title(Report("", "", "cpu", ()))
        'No runs'
    """
    if not report.runs:
        return "No runs"
    names = [run.name for run in styled_runs(report)]
    data = list(dict.fromkeys(data_name(run) for run in report.runs))
    if "" in data:
        return f"{_listed(names)}: spectra" if len(names) == 1 else f"{_listed(names)}, compared"
    by = names[0] if len(names) == 1 else f"{_number(len(names))} networks"
    return f"{_listed(data)}, learnt by {by}"


def setting(report: Report) -> tuple[str, ...]:
    """Return sentences that introduce the page: what is shown, and what the names mean.

    Example:
        >>> setting(Report("", "", "cpu", ()))
        ()
    """
    runs = styled_runs(report)
    if not runs:
        return ()
    sizes = sorted({run.run.samples for run in runs})
    points = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    kernel = (
        "A network's neural tangent kernel says how a training step for one point changes its output at "
        f"another; here at {points} sampled points, {when_last(report)}."
    )
    kinds = {run.kind for run in runs if run.kind in run.name.casefold()}  # else the page has no such word
    meanings = " ".join(text for kind, text in _FAMILIES.items() if kind in kinds)
    return (kernel, meanings) if meanings and kinds != {"baseline"} else (kernel,)


def _listed(names: Sequence[str]) -> str:
    return enumerated(names, most=4, number=_number)


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"


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
