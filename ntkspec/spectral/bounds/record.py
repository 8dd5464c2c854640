"""What a theorem says of the eigenvalues of a kernel, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.spectral.eigenvalues import Spectrum

Side = Literal["lower", "upper"]
Quantity = Literal["eigenvalue", "lambda_min"]


@dataclass(frozen=True, repr=False)
class Bound:
    """A lower or an upper bound on all eigenvalues of a kernel, or on its smallest alone.

    Example:
        >>> zero = Bound("zero", "lambda_i(K) >= 0", "K = J J^T", "none", "lower", np.zeros(2), vacuous=True)
        >>> zero.holds(Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64"))
        True
    """

    name: str
    theorem: str  # the statement
    source: str  # author, year, theorem
    assumptions: str
    side: Side
    values: NDArray[np.float64]  # (N,) one for each eigenvalue, descending; (1,) for quantity "lambda_min"
    vacuous: bool  # says nothing of lambda_min that was not known without it
    quantity: Quantity = "eigenvalue"
    certified: bool = False  # all rounding errors included rigorously

    def __repr__(self) -> str:
        vacuous = ", vacuous" if self.vacuous else ""
        return f"Bound({self.name}, {self.side}, lambda_min {self.values[-1]:.1e}{vacuous}: {self.theorem})"

    def holds(self, spectrum: Spectrum) -> bool:
        """Whether the computed spectrum of K obeys the bound within its stated errors.

        Raises:
            UsageError: the bound speaks of lambda_min, and the spectrum has the largest k alone.
        """
        return not np.any(self.broken(spectrum))

    def broken(self, spectrum: Spectrum) -> NDArray[np.bool_]:
        """Which of the bounded eigenvalues disobey, stated errors allowed for."""
        values, where = self._aligned(spectrum)
        if self.side == "lower":
            return ~np.asarray(values <= spectrum.upper[where])
        return ~np.asarray(values >= spectrum.lower[where])

    def tightness(self, spectrum: Spectrum) -> NDArray[np.float64]:
        """Decades between the bound and each eigenvalue that it speaks of.

        0 is attained; NaN where the eigenvalue is unresolved or the bound is not positive.
        """
        values, where = self._aligned(spectrum)
        eigenvalues = spectrum.eigenvalues[where]
        known = (eigenvalues > spectrum.floor) & (values > 0)
        decades = np.full(len(values), np.nan)
        decades[known] = np.log10(values[known]) - np.log10(eigenvalues[known])
        return -decades if self.side == "lower" else decades

    def _aligned(self, spectrum: Spectrum) -> tuple[NDArray[np.float64], slice]:
        """The values for which the spectrum has an eigenvalue, and where these stand in it."""
        known = len(spectrum.eigenvalues)
        if self.quantity == "lambda_min":
            require_complete(spectrum)
            return self.values, slice(known - 1, known)
        return self.values[:known], slice(0, known)


def require_complete(*spectra: Spectrum) -> None:
    for spectrum in spectra:
        if not spectrum.complete:
            raise UsageError(
                "bounds",
                expected=f"a complete spectrum of {spectrum.size} eigenvalues",
                got=f"the largest {len(spectrum.eigenvalues)}",
                remedy="compute the spectrum without k",
            )
