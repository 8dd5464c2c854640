"""How to read each figure: what the page says under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """Words that go with a figure."""

    title: str
    alt: str
    caption: str


CAPTIONS: Mapping[str, Caption] = {
    "spectra": Caption(
        title="Spectra",
        alt="Log-log plot of kernel eigenvalues against their index, one colour for each run.",
        caption="The higher and flatter a curve, the more patterns of the target its network can learn in a "
        "given time; a cross marks the last eigenvalue that is a number, and the rest of that curve lies "
        "below its floor, the thin line of its colour.",
    ),
    "ablation": Caption(
        title="What the grid's gradients do",
        alt="Log-log plots of the spectra of the baseline, the grid network, and the grid network without "
        "the grid's own gradients.",
        caption="The gap between the warm curve and the green one is what the grid's own parameters add to "
        "the kernel: the green curve keeps the trained grid in the forward pass and leaves only its "
        "gradients out.",
    ),
    "panels": Caption(
        title="Two families side by side",
        alt="Log-log plots of the spectra of the baseline, the Fourier feature networks and the grid "
        "networks, two families in each panel.",
        caption="Within a panel, compare how far to the right each curve stays above its floor: that is how "
        "many independent directions the network can still learn.",
    ),
    "pictures": Caption(
        title="Reconstructions",
        alt="The target picture and the picture that each run has learnt.",
        caption="Each run's output at the end of training beside its target; a higher PSNR and an MS-SSIM "
        "nearer to 1 are better.",
    ),
    "decades": Caption(
        title="Smallest eigenvalues",
        alt="Dot plot of the smallest eigenvalue of each run on a log axis; arrows for unresolved ones.",
        caption="A dot is a number; an arrow says only that the value lies somewhere to the left of its "
        "bar, the floor, so a distance measured from there is at least that large.",
    ),
}
