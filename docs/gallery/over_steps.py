"""
Over the steps of training
==========================

What a network's kernel does while it learns. The kernel of a network with a grid keeps its smallest eigenvalue and
turns away from where it began; a line that ends in an arrow or a dashed one is a value that is known from one side only.
"""

import matplotlib.pyplot as plt
from runs import trained

import ntkspec

report = ntkspec.analyze_runs([trained("baseline"), trained("ffe-high"), trained("mpe-fine")])

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for ax, quantity in zip(axes, ("lambda_min", "distance", "psnr_db"), strict=True):
    ntkspec.plot.over_steps(report, quantity, ax=ax, legend=quantity == "psnr_db")
plt.show()
