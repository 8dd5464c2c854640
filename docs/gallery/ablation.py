"""
With and without the grid's gradients
=====================================

Two grids, coarse and fine. Without their gradients, with the trained features still in place, the small
eigenvalues fall. So it is the training of the grid that lifts them, and not what the grid has become.
"""

import matplotlib.pyplot as plt
from runs import trained

import ntkspec

presets = "baseline", "mpe-coarse", "mpe-fine"
report = ntkspec.analyze_runs([trained(preset) for preset in presets], snapshot="end")

figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
ntkspec.plot.ablation(report, ax=axes)
plt.show()
