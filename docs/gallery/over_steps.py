"""
Over the steps of training
==========================

What three networks and their kernels do while they learn. The kernel of the fine grid turns first, and
furthest. An empty triangle is an upper bound: that eigenvalue is not resolved.
"""

import matplotlib.pyplot as plt
from runs import trained

import ntkspec

presets = "baseline", "ffe-high", "mpe-fine"
report = ntkspec.analyze_runs([trained(preset) for preset in presets])

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for ax, quantity in zip(axes, ("lambda_min", "kernel_distance", "psnr_db"), strict=True):
    ntkspec.plot.over_steps(report, quantity, ax=ax, legend=quantity == "psnr_db")
plt.show()
