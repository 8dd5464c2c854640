"""How to read each figure: what the page says under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ntkspec.report.moments import by_step, left_out
from ntkspec.report.records import Report
from ntkspec.report.style import LATE, when_last


@dataclass(frozen=True)
class Caption:
    """Words that go with a figure."""

    title: str
    alt: str
    caption: str


FLOORS = (
    "Floors may differ by many decades between curves: how low one lies depends on the route by which the "
    "spectrum was computed (gram or svd, see each run's details), not on the network."
)
_CAPTIONS: Mapping[str, Caption] = {
    "spectra": Caption(
        title="Spectra",
        alt="Log-log plot of kernel eigenvalues against their index, one colour for each run.",
        caption="The higher a curve at index i, the faster at least i independent patterns on the sampled "
        "points can be learnt, wanted or not; it does not say what the network draws between the samples. "
        "A cross marks the last eigenvalue that is a number, and the rest of that curve lies below its "
        "floor, the thin line of its colour. A shaded band, wide enough to be seen only near a floor, is the "
        f"stated error. {FLOORS}",
    ),
    "alignment": Caption(
        title="Where the targets lie in the spectrum",
        alt="Two log-log plots, a line for each run: the share of the targets outside of the first k modes "
        "of the kernel, and the residual that gradient flow would leave over time.",
        caption="Left: the lower a curve at k, the more of the targets lies in the k patterns that this "
        "network learns fastest {when}. A cross marks the last mode whose eigenvalue is a number. Right: "
        "what would be left of the present error if the kernel stayed as it is; a band where no more is "
        "known. A trained network's kernel has learnt the targets: the curves say what was learnt; those of "
        "an untrained one do not foretell it.",
    ),
    "training": Caption(
        title="Through training",
        alt="Four panels against the step of training: largest eigenvalue, smallest eigenvalue, effective "
        "rank and kernel distance from the first snapshot; a line for each run.",
        caption="Every snapshot, of the total kernel; the figure above has the others. A filled mark is a "
        "number. A hollow triangle says only that the value lies between zero and there: up to the floor, "
        "or to what a network's activation regions leave. A cross at the lower edge is exactly "
        "zero, the thin line the floor. Kernel distance is 1 - <K_t, K_0> / (|K_t| |K_0|), with Frobenius "
        "norms: 0 where the kernel has kept its direction, whatever its scale.",
    ),
    "ablation": Caption(
        title="What the grid's gradients do",
        alt="Log-log plots of the spectra of the baseline, the grid network, and the grid network without "
        "the grid's own gradients.",
        caption="The gap between the warm curve and the green one is what the grid's own parameters add to "
        "the kernel: the green curve keeps the grid in the forward pass and leaves only its "
        "gradients out.",
    ),
    "panels": Caption(
        title="Two families side by side",
        alt="Log-log plots of the spectra of the baseline, the Fourier feature networks and the grid "
        "networks, two families in each panel.",
        caption="Within a panel, compare how far to the right each curve stays above its floor: that is how "
        "many independent patterns on the sampled points are known to be learnable. Floors belong to the "
        "route, not to the network.",
    ),
    "pictures": Caption(
        title="Reconstructions",
        alt="The target picture and the picture that each run has learnt.",
        caption="Each run's output {when} beside its target; a higher PSNR and an MS-SSIM or an IoU "
        "nearer to 1 are better.",
    ),
    "decades": Caption(
        title="Smallest eigenvalues",
        alt="Dot plot of the smallest eigenvalue of each run on a log axis; arrows for unresolved ones.",
        caption="A dot is a number; an arrow says only that the value lies somewhere to the left of its "
        "bar, the floor, so a distance measured from there is at least that large. A zero is exact.",
    ),
    "eigenfunctions": Caption(
        title="What the kernel sees: its eigenfunctions",
        alt="A row of small pictures for each run, one for each of some eigenfunctions of its total kernel.",
        caption="Of the total kernels {when}. A network learns these patterns one after the other, that "
        "of the largest eigenvalue (lambda) first. Red and blue are values of opposite sign, "
        "white is zero. Each picture has its own scale, and the sample with the largest value "
        "is red. Where only the samples are known, a cell is the mean of those in it, and blank "
        "without any; over the whole picture a pattern goes on by Nystroem's extension. Cycles "
        "are the mean radial frequency: how many waves fit across the picture.",
    ),
}


_STEPWISE = (
    "Every snapshot, from light at the start of training to dark at its end. The higher a curve at index i, "
    "the faster at least i independent patterns on the sampled points can be learnt, wanted or not. A cross "
    "marks the last eigenvalue that is a number; the thin line is the floor of the last snapshot. A shaded "
    f"band is the stated error. {FLOORS}"
)
_LATE = " Drawn: the middle and the end of training; the figure above has every snapshot."


def captions(report: Report) -> dict[str, Caption]:
    """The words for every figure, by name, in order."""
    when = when_last(report)
    found = {name: replace(it, caption=it.caption.replace("{when}", when)) for name, it in _CAPTIONS.items()}
    if by_step(report):
        found["spectra"] = replace(
            found["spectra"],
            alt="Log-log plot of kernel eigenvalues against their index, a colour for each snapshot.",
            caption=_STEPWISE,
        )
    if left_out(report, LATE):
        for name in ("ablation", "panels"):
            found[name] = replace(found[name], caption=found[name].caption + _LATE)
    return found
