"""Bounds on the eigenvalues of kernels: one function for each theorem, which returns a `Bound`.

They are computed from spectra (`theorem1`, Weyl, Cauchy, Ostrowski), from the Jacobian (`schur_product`,
`certified`), or from the enclosure of the kernel that `form(jacobian)` returns (all others).

    >>> import ntkspec
    >>> with ntkspec.open_run("data/golden/ffe.h5") as run:
    ...     enclosure = ntkspec.bounds.form(run.snapshot("init").jacobian)
    >>> ntkspec.bounds.trace_upper(enclosure).theorem
    'lambda_i(K) <= min(trace(K) / i, ||K||_F / sqrt(i))'
"""

from ntkspec.kernel.enclosure import KernelEnclosure, form
from ntkspec.spectral.bounds.entries import (
    gershgorin_lower,
    gershgorin_scaled_lower,
    gershgorin_scaled_upper,
    gershgorin_upper,
)
from ntkspec.spectral.bounds.interlacing import cauchy_lower, cauchy_upper
from ntkspec.spectral.bounds.moments import (
    frobenius_lower,
    trace_upper,
    wolkowicz_styan_lower,
    wolkowicz_styan_upper,
)
from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.bounds.rigorous import (
    certified,
    certified_lower,
    certified_upper,
)
from ntkspec.spectral.bounds.scaling import ostrowski_lower, ostrowski_upper
from ntkspec.spectral.bounds.schur import schur_product
from ntkspec.spectral.bounds.weyl import theorem1, weyl_lower, weyl_upper
from ntkspec.spectral.certificate import CholeskyCertificate, positivity

__all__ = [
    "Bound",
    "CholeskyCertificate",
    "KernelEnclosure",
    "cauchy_lower",
    "cauchy_upper",
    "certified",
    "certified_lower",
    "certified_upper",
    "form",
    "frobenius_lower",
    "gershgorin_lower",
    "gershgorin_scaled_lower",
    "gershgorin_scaled_upper",
    "gershgorin_upper",
    "ostrowski_lower",
    "ostrowski_upper",
    "positivity",
    "schur_product",
    "theorem1",
    "trace_upper",
    "weyl_lower",
    "weyl_upper",
    "wolkowicz_styan_lower",
    "wolkowicz_styan_upper",
]
