"""`Bound`: what a theorem says of the eigenvalues of a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ntkspec.display import NotAnArray
from ntkspec.errors import UsageError, shown
from ntkspec.kernel.enclosure import KernelEnclosure
from ntkspec.spectral.record import Spectrum

Side = Literal["lower", "upper"]
Quantity = Literal["eigenvalue", "lambda_min"]
_WANTED: dict[str, tuple[type, str]] = {
    "Spectrum": (Spectrum, "a spectrum, as ntkspec.spectrum(jac) returns it"),
    "KernelEnclosure": (KernelEnclosure, "a kernel's enclosure, as ntkspec.bounds.form(jac) returns it"),
}


@dataclass(frozen=True, repr=False, eq=False)
class Bound(NotAnArray):
    """A lower or an upper bound on all eigenvalues of a kernel, or on its smallest alone.

    Example:
        >>> zero = Bound("zero", "lambda_i(K) >= 0", "K = J J^T", "none", "lower", np.zeros(2), vacuous=True)
        >>> zero.holds(Spectrum(np.array([4.0, 1.0]), np.zeros(2), 0.0, 2, 5.0, "gram", "float64"))
        True
    """

    _ARRAYS = "its array .values, (N,), or (1,) of a bound on lambda_min alone"

    name: str
    theorem: str  # the statement
    source: str  # author, year, theorem
    assumptions: str
    side: Side
    values: NDArray[np.float64]  # (N,) one for each eigenvalue, descending; (1,) for quantity "lambda_min"
    vacuous: bool  # whether it says nothing about lambda_min that was not known without it
    quantity: Quantity = "eigenvalue"
    certified: bool = False  # all rounding errors included rigorously

    def __repr__(self) -> str:
        vacuous = ", vacuous" if self.vacuous else ""
        return f"Bound({self.name}, {self.side}, lambda_min {self.values[-1]:.1e}{vacuous}: {self.theorem})"

    def holds(self, spectrum: Spectrum) -> bool:
        """Return whether the computed spectrum of K obeys the bound within its stated errors.

        Raises:
            UsageError: the bound is of a kernel of another size; or it is on lambda_min, and the spectrum has
                only the k largest eigenvalues.
        """
        return not np.any(self.broken(spectrum))

    def broken(self, spectrum: Spectrum) -> NDArray[np.bool_]:
        """Return which of the bounded eigenvalues break the bound by more than their stated errors; (m,)."""
        values, where = self._aligned(spectrum)
        if self.side == "lower":
            return ~np.asarray(values <= spectrum.upper[where])
        return ~np.asarray(values >= spectrum.lower[where])

    def tightness(self, spectrum: Spectrum) -> NDArray[np.float64]:
        """Return how many decades lie between the bound and each bounded eigenvalue; (m,).

        0 where the bound is attained; NaN where the eigenvalue is unresolved or the bound is not positive.
        """
        values, where = self._aligned(spectrum)
        eigenvalues = spectrum.eigenvalues[where]
        comparable = (eigenvalues > spectrum.floor) & (values > 0)
        decades = np.full(len(values), np.nan)
        decades[comparable] = np.log10(values[comparable]) - np.log10(eigenvalues[comparable])
        return -decades if self.side == "lower" else decades

    def _aligned(self, spectrum: Spectrum) -> tuple[NDArray[np.float64], slice]:
        """Return the values for which the spectrum has an eigenvalue, and the slice of these eigenvalues."""
        require("Spectrum", spectrum, f"bound {self.name}")
        count = len(spectrum.eigenvalues)
        if self.quantity == "lambda_min":
            require_complete(spectrum)
            return self.values, slice(count - 1, count)
        if len(self.values) != spectrum.size:
            raise UsageError(
                f"bound {self.name}",
                expected=f"a spectrum of a kernel of size {len(self.values)}, of which the bound speaks",
                got=f"one of size {spectrum.size}",
                remedy="use the same samples and outputs for both",
            )
        return self.values[:count], slice(0, count)


def require(kind: object, value: object, where: str) -> None:
    """Raise `UsageError` where a spectrum or a kernel's enclosure was asked for and another thing came.

    Args:
        kind: the name of the class; of other classes nothing is checked.
        value: what came.
        where: what the message is about.
    """
    wanted = _WANTED.get(str(kind))
    if wanted and not isinstance(value, wanted[0]):
        raise UsageError(where, expected=wanted[1], got=shown(value))


def require_complete(*spectra: Spectrum) -> None:
    """Raise `UsageError` unless all spectra have all their eigenvalues."""
    for spectrum in spectra:
        if not spectrum.complete:
            raise UsageError(
                "bounds",
                expected=f"a complete spectrum of {spectrum.size} eigenvalues",
                got=f"the largest {len(spectrum.eigenvalues)}",
                remedy="compute the spectrum without k",
            )
