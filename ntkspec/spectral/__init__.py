"""Spectra of kernels: solvers, accuracy, exact ranks, bounds, checks."""

from ntkspec.spectral import bounds, consistency
from ntkspec.spectral.choose import MethodChoice, spectra, spectrum
from ntkspec.spectral.eigenvalues import Method, Spectrum
from ntkspec.spectral.rank import Rank, rank_bound
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
