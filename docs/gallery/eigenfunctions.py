"""
What a network learns first
===========================

Eigenvectors of the kernel as pictures, from the largest eigenvalue down. Fourier features of a low
frequency begin with broad patches. The fine grid begins with the picture itself.
"""

import matplotlib.pyplot as plt
from runs import trained

import ntkspec

modes = 1, 2, 4, 16, 64
figure, axes = plt.subplots(2, len(modes), figsize=(10, 4.4), layout="constrained")
for row, preset in zip(axes, ("ffe-low", "mpe-fine"), strict=True):
    with ntkspec.open_run(trained(preset, samples=1024)) as run:
        spectrum = ntkspec.spectrum(run["end"].jacobian, vectors=True)
        row[0].set_ylabel(run.label)
        for ax, mode in zip(row, modes, strict=True):
            ntkspec.plot.eigenfunctions((run.inputs, spectrum.vectors[:, mode - 1]), ax=ax)
            ax.set_title(f"mode {mode}")
plt.show()
