"""
A figure for two columns
========================

Two panels across both columns of a paper, 6.8 inches wide, in its font and its size of letters. The axes are
matplotlib's: titles, limits, ticks and further curves are added as on any others, and a PDF has vectors.
"""

import matplotlib.pyplot as plt
from runs import trained

import ntkspec

presets = "baseline", "ffe-high", "mpe-fine"
report = ntkspec.analyze_runs([trained(preset) for preset in presets], snapshot="end")

paper = {"font.family": "serif", "font.size": 8, "axes.linewidth": 0.6, "axes.spines.right": False}
paper |= {"axes.spines.top": False, "legend.frameon": False}
with plt.rc_context(paper):
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.5), layout="constrained")
    ntkspec.plot.spectra(report, ax=left, legend=False)
    ntkspec.plot.ablation(report, ax=right)
    left.set_title("(a) three encodings", loc="left")
    right.set_title("(b) without the grid's gradients", loc="left")
    right.sharey(left)
    figure.savefig("kernels.pdf")
    plt.show()
