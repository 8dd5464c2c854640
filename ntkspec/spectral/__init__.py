"""Spectra of kernels: routes, floors, bounds."""

from ntkspec.spectral import bounds
from ntkspec.spectral.solve import MethodChoice, spectra, spectrum
from ntkspec.spectral.spectrum import Method, Precision, Spectrum

__all__ = ["Method", "MethodChoice", "Precision", "Spectrum", "bounds", "spectra", "spectrum"]
