"""Spectra of kernels: solvers, stated errors, exact ranks, bounds on eigenvalues, and checks."""

from ntkspec.spectral import bounds, consistency
from ntkspec.spectral.choose import MethodChoice, spectra, spectrum
from ntkspec.spectral.rank import Rank, rank_bound
from ntkspec.spectral.record import Method, Spectrum
from ntkspec.spectral.regions import Regions

__all__ = [
    "Method",
    "MethodChoice",
    "Rank",
    "Regions",
    "Spectrum",
    "bounds",
    "consistency",
    "rank_bound",
    "spectra",
    "spectrum",
]
