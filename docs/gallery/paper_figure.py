"""
A figure for two columns
========================

Two panels across both columns of a paper, 6.8 inches wide, in its font and its size of letters. The axes
are matplotlib's: titles, limits, ticks and further curves are added as on any others, and a PDF has
vectors.
"""

import matplotlib.pyplot as plt
from runs import trained

import ntkspec

presets = "baseline", "ffe-high", "mpe-fine"
report = ntkspec.analyze_runs([trained(preset) for preset in presets], snapshot="end")

paper = {"font.family": "serif", "font.size": 8, "axes.linewidth": 0.6, "legend.frameon": False}
with plt.rc_context(paper):
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.7), layout="constrained", sharey=True)
    ntkspec.plot.spectra(report, ax=left, legend=False)
    ntkspec.plot.ablation(report, ax=right, legend=False)
    left.set(title="(a) three encodings", ylim=(1e-12, 1e5))
    right.set(title="(b) without the grid's gradients", ylabel="")
    entries = dict(zip(*right.get_legend_handles_labels()[::-1], strict=True))
    entries |= dict(zip(*left.get_legend_handles_labels()[::-1], strict=True))  # its curves have markers
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=4, fontsize=7)
    figure.savefig("kernels.pdf")
    plt.show()
