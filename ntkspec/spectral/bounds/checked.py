"""A bound compared with the spectrum that it speaks of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.record import Spectrum


@dataclass(frozen=True)
class CheckedBound:
    """A bound, whether the spectrum obeys it, and how tight it is."""

    bound: Bound
    of: str  # name of the bounded spectrum, e.g. "total"
    sources: tuple[str, ...]  # what it was computed from: names of spectra, or "half the samples"
    holds: bool
    decades_min: float | None = None  # between the bound and lambda_min; None where either is not a number
    decades_median: float | None = None  # the median over all eigenvalues for which both are

    @classmethod
    def from_bound(
        cls, bound: Bound, of: str, spectrum: Spectrum, sources: tuple[str, ...] = ()
    ) -> CheckedBound:
        """Check whether the eigenvalues of a spectrum obey a bound, and measure how tight the bound is.

        Args:
            bound: on the eigenvalues of the spectrum.
            of: name of the spectrum, such as "total".
            spectrum: must have all N eigenvalues if the bound is on lambda_min alone.
            sources: names of the spectra that the bound was computed from, or "half the samples".
        """
        decades = bound.tightness(spectrum)
        finite = decades[np.isfinite(decades)]
        last = float(decades[-1]) if len(decades) and spectrum.complete else math.nan
        return cls(
            bound,
            of,
            sources,
            bound.holds(spectrum),
            decades_min=last if math.isfinite(last) else None,
            decades_median=float(np.median(finite)) if len(finite) else None,
        )
