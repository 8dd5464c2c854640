"""Spectra of kernels: routes, floors, exact ranks, bounds, checks."""

from ntkspec.spectral import bounds, consistency
from ntkspec.spectral.rank import Rank, rank_bound
from ntkspec.spectral.regions import Regions
from ntkspec.spectral.solve import MethodChoice, spectra, spectrum
from ntkspec.spectral.spectrum import Method, Spectrum

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
