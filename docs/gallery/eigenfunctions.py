"""
What a network learns first
===========================

Eigenvectors of the kernel over the picture, from the largest eigenvalue down. Fourier features of a high frequency
learn ripples early; the fine grid begins with the picture itself.
"""

import matplotlib.pyplot as plt
from runs import trained

import ntkspec

modes = 1, 2, 4, 16, 64
report = ntkspec.analyze_runs([trained("ffe-high"), trained("mpe-fine")], snapshot="end")

figure, axes = plt.subplots(len(report), len(modes), figsize=(10, 4.4), layout="constrained")
for row, run in zip(axes, report, strict=True):
    row[0].set_ylabel(run.label)
    for ax, mode in zip(row, modes, strict=True):
        ntkspec.plot.eigenfunctions(run["end"], mode, ax=ax)
        ax.set_title(f"mode {mode}")
plt.show()
