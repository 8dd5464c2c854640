"""Draw spectra, ablations, alignments, courses of training and eigenfunctions on your own axes.

    fig, axs = plt.subplots(1, 2, figsize=(6.8, 2.6), layout="constrained")
    ntkspec.plot.spectra(report, ax=axs[0])
    ntkspec.plot.ablation(report, ax=axs[1])
    fig.savefig("kernels.pdf")

The functions draw what the report's figures draw, in its colours and marks. Fonts and everything else are the
caller's. A curve ends with a cross where eigenvalues are no longer resolved; the thin line of its colour is
its floor. Lines, marks and the legend are smaller on axes that are narrower than 4 inches.

Each function takes a report, one of its runs or snapshots, or results by name, and returns the axes: those
of `ax`, or else pyplot's current ones. A second call on the same axes adds curves, in other colours as long
as there are some. The legend's entries belong to the axes, so that `ax.legend()` and a figure's legend can
arrange them anew.
"""

from ntkspec.plot.kernels import ablation, spectra
from ntkspec.plot.modes import alignment, eigenfunctions
from ntkspec.plot.training import over_steps

__all__ = ["ablation", "alignment", "eigenfunctions", "over_steps", "spectra"]
