"""Spectra of kernels: routes, floors, bounds."""

from ntkspec.spectral import bounds
from ntkspec.spectral.solve import MethodChoice, spectra, spectrum
from ntkspec.spectral.spectrum import Method, Spectrum

__all__ = ["Method", "MethodChoice", "Spectrum", "bounds", "spectra", "spectrum"]
