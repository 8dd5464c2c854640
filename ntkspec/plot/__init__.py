"""Draw spectra, ablations, alignments, courses of training and eigenfunctions on your own axes.

The functions draw what the report's figures draw, in its colours, on matplotlib axes that are given or, as
in other libraries, on pyplot's current ones. Fonts and sizes are the caller's. What is not resolved is never
drawn as a number: a curve ends with a cross, and the thin line of its colour is the floor.

    fig, axs = plt.subplots(1, 2, figsize=(6.8, 2.6), layout="constrained")
    ntkspec.plot.spectra(report, ax=axs[0])
    ntkspec.plot.ablation(report["mpe-fine"], ax=axs[1])
"""

from ntkspec.plot.draw import ablation, alignment, eigenfunctions, over_steps, spectra

__all__ = ["ablation", "alignment", "eigenfunctions", "over_steps", "spectra"]
