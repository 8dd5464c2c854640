"""Spectra, an ablation and a bound: `python analysis/quickstart.py BASELINE.h5 MPE.h5 OUT.png`."""

import sys

from matplotlib.figure import Figure

import ntkspec

baseline_file, mpe_file, picture = sys.argv[1:]

with ntkspec.open_run(baseline_file) as run:
    baseline = ntkspec.spectrum(run.snapshot("end").jacobian)
with ntkspec.open_run(mpe_file) as run:
    jac = run.snapshot("end").jacobian
    total = ntkspec.spectrum(jac)
    network = ntkspec.spectrum(jac.without("grid"))  # the grid is used, its gradients are left out
    grid = ntkspec.spectrum(jac.only("grid"))

bound = ntkspec.bounds.weyl_lower(network, grid)
print(f"Weyl holds: {bound.holds(total)}; lambda_min >= {bound.values[-1]:.1e}; computed {total.lambda_min}")
print(f"baseline: {baseline.resolved} of {baseline.size} eigenvalues resolved, floor {baseline.floor:.1e}")

figure = Figure(layout="constrained")
shown = {"baseline": baseline, "MPE": total, "MPE without grid": network}
ntkspec.plot.spectra(shown, ax=figure.subplots())
figure.savefig(picture)
