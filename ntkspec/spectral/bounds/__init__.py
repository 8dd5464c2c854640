"""Bounds on the eigenvalues of kernels; one function per theorem, each returns a `Bound`.

They are made from spectra (`theorem1`, Weyl, Cauchy, Ostrowski), from the Jacobian (`schur_product`,
`certified`), or from the formed kernel with its error, `form(jacobian)` (all others).
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
from ntkspec.spectral.certificate import Positivity, positivity

__all__ = [
    "Bound",
    "KernelEnclosure",
    "Positivity",
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
