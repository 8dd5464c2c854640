"""
Spectra of encodings
====================

How fast a network learns fine detail is decided by its small eigenvalues, far to the right. Fourier
features of a high frequency and a fine grid keep them up. The network on bare coordinates (black) has a
singular kernel: its curve ends at the cross, beyond which nothing is resolved.
"""

import matplotlib.pyplot as plt
from runs import trained

import ntkspec

presets = "baseline", "ffe-low", "ffe-high", "mpe-coarse", "mpe-fine"
report = ntkspec.analyze_runs([trained(preset) for preset in presets], snapshot="end")

figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
ntkspec.plot.spectra(report, ax=axes)
plt.show()
