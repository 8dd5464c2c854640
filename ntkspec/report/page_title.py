"""Write the page's title: what was learnt, and by which networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ntkspec.report.names import enumerated
from ntkspec.report.records import Report
from ntkspec.report.style import Kind, styled_runs, when_last
from ntkspec.report.targets import data_name

_NUMBERS = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
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
    kinds = {run.kind for run in runs}
    meanings = " ".join(text for kind, text in _FAMILIES.items() if kind in kinds)
    return (kernel, meanings) if meanings and kinds != {"baseline"} else (kernel,)


def _listed(names: Sequence[str]) -> str:
    return enumerated(names, most=4, number=_number)


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"
