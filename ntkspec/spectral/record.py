"""`Spectrum`: eigenvalues of a kernel with their stated errors, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.counts import whole_number
from ntkspec.backend import Precision
from ntkspec.display import NotAnArray, html_table
from ntkspec.frames import data_frame
from ntkspec.spectral import words
from ntkspec.spectral.rank import Rank
from ntkspec.spectral.regions import Regions
from ntkspec.spectral.report_values import spectrum_columns, spectrum_to_dict

if TYPE_CHECKING:
    from ntkspec.frames import DataFrame

# The solvers, each a file of `ntkspec.spectral.solvers`, in the order in which plans and help name them.
Method = Literal["gram", "svd", "dual", "cholesky", "lanczos"]


@dataclass(frozen=True, repr=False, eq=False)
class Spectrum(NotAnArray):
    """Eigenvalues of a positive semidefinite kernel, largest first, and the floor below which they are noise.

    Only `eigenvalues[:resolved]` are numbers to quote. The others lie somewhere in [0, floor], and their
    computed values are noise; they are kept, clipped at zero, so that the array has its full length.
    Eigenvalues beyond a bound on the rank are zero, with an error of zero. All of this holds for the
    Jacobian's numbers as they are stored; what is known of the network in exact arithmetic is in `regions`.

    Example:
        >>> import numpy as np
        >>> Spectrum(np.array([4.0, 1.0]), np.zeros(2), 1e-14, 2, 5.0, "gram", "float64")
        Spectrum(2 of 2 eigenvalues resolved above 1.0e-14 by gram, largest 4.0e+00, smallest 1.0e+00)
    """

    _ARRAYS = "its arrays .eigenvalues and .error, (m,), of which the first .resolved are numbers to quote"

    eigenvalues: NDArray[np.float64]  # (m,) descending, >= 0
    error: NDArray[np.float64]  # (m,) stated absolute error of each
    floor: float  # values at or below are unresolved
    size: int  # N, the kernel's size; m < N where only the largest were asked for
    trace: float  # from the factors, not from the eigenvalues
    method: Method
    precision: Precision
    blocks: tuple[str, ...] = ()
    trace_error: float = 0.0  # stated, absolute
    reason: str = ""  # why this method
    vectors: NDArray[np.float64] | None = None  # (N, m) orthonormal columns, on request
    rank: Rank | None = None  # what is known of the rank of the stored numbers
    regions: Regions | None = None  # bounds from activation regions, on the network's kernel and the stored

    def __repr__(self) -> str:
        network = ""
        if self.network_singular and self.regions and not self.singular:
            network = f", the network's kernel singular: rank <= {self.regions.at_most}"
        return (
            f"Spectrum({self._resolved} by {self.method}, largest {words.lambda_max(self)}, "
            f"smallest {words.lambda_min(self)}{network})"
        )

    @property
    def _resolved(self) -> str:
        computed = "" if self.complete else f"the {len(self)} largest of "
        return (
            f"{self.resolved} of {computed}{self.size} eigenvalues resolved above {words.sci_up(self.floor)}"
        )

    def _repr_html_(self) -> str:
        """Return a table of the numbers that describe the spectrum, for notebooks."""
        rows = [
            ("lambda_max", words.lambda_max(self)),
            ("lambda_min", words.lambda_min(self)),
            ("condition", words.condition(self)),
            ("effective rank", words.rank(self.effective_rank)),
            ("trace", words.sci(self.trace)),
            ("known", words.singular(self) or words.network(self)),
            ("method", f"{self.method}, {self.precision}"),
        ]
        return html_table(f"Spectrum: {self._resolved}", (), [row for row in rows if row[1]])

    def __len__(self) -> int:
        """Return m, how many eigenvalues were computed."""
        return len(self.eigenvalues)

    @property
    def complete(self) -> bool:
        """Return whether all N eigenvalues were computed."""
        return len(self.eigenvalues) == self.size

    @property
    def resolved(self) -> int:
        """Return how many eigenvalues lie above the floor."""
        return int(np.count_nonzero(self.eigenvalues > self.floor))

    @property
    def singular(self) -> bool:
        """Return whether some eigenvalue of the stored numbers is exactly zero."""
        return self.rank is not None and self.resolved <= self.rank.at_most < self.size

    @property
    def network_singular(self) -> bool:
        """Return whether, by its activation regions, the network's kernel is singular in exact arithmetic."""
        return self.regions is not None and self.regions.at_most < self.size

    @property
    def zero(self) -> bool:
        """Return whether the kernel is exactly zero: no parameter has a gradient."""
        return (self.rank is not None and self.rank.at_most == 0) or not (self.floor > 0 or self.resolved)

    @property
    def lambda_max(self) -> float | None:
        """Return the largest eigenvalue, or None if it is not resolved."""
        return float(self.eigenvalues[0]) if self.resolved else None

    @property
    def lambda_min(self) -> float | None:
        """Return the smallest of all N eigenvalues, 0 if the kernel is exactly singular; None: not known."""
        if self.singular:
            return 0.0
        if self.complete and self.resolved == self.size:
            return float(self.eigenvalues[-1])
        return None

    @property
    def condition(self) -> float | None:
        """Return lambda_max / lambda_min, or None where lambda_min is zero or not resolved."""
        if not self.lambda_min or self.lambda_max is None:
            return None
        return self.lambda_max / self.lambda_min

    @property
    def effective_rank(self) -> float | None:
        """Return exp of the entropy of lambda / sum(lambda) (Roy and Vetterli 2007).

        None if not all eigenvalues were computed, or none is resolved.
        """
        total = float(self.eigenvalues.sum())
        if not (self.complete and self.resolved):
            return None
        weights = self.eigenvalues / total
        weights = weights[weights > 0]
        return float(np.exp(-np.sum(weights * np.log(weights))))

    @property
    def stable_rank(self) -> float | None:
        """Return the stable rank of J, ||J||_F^2 / ||J||_2^2 = trace / lambda_max; None if not resolved.

        Source:
            Rudelson and Vershynin 2007.
        """
        return None if self.lambda_max is None else self.trace / self.lambda_max

    @property
    def lower(self) -> NDArray[np.float64]:
        """Return the eigenvalues less their stated errors, at least 0; (m,)."""
        return np.maximum(self.eigenvalues - self.error, 0.0)

    @property
    def upper(self) -> NDArray[np.float64]:
        """Return the eigenvalues plus their stated errors; (m,)."""
        return self.eigenvalues + self.error

    def largest(self, k: int) -> Self:
        """Return the spectrum of the k largest eigenvalues alone, k from 1."""
        k = whole_number(k, "k", 1)
        vectors = None if self.vectors is None else self.vectors[:, :k]
        return replace(self, eigenvalues=self.eigenvalues[:k], error=self.error[:k], vectors=vectors)

    @property
    def smallest_at_most(self) -> float:
        """Return an upper bound on the smallest computed eigenvalue, whether it is resolved or not."""
        last = len(self.eigenvalues) - 1
        most = float(self.upper[last])
        if last >= self.resolved and not self.singular:
            most = max(most, self.floor)
        if self.regions is not None and last >= self.regions.independent:
            most = min(most, self.regions.rest)
        return most

    def knowing(self, rank: Rank, regions: Regions | None = None) -> Self:
        """Return the spectrum with eigenvalues beyond the rank set to 0, and small ones bounded by regions.

        Eigenvalues that contradict one of the two are left as computed; the report's checks then fail.
        """
        place = np.arange(len(self.eigenvalues))
        values, error = self.eigenvalues, self.error
        if regions is not None:
            small = (place >= regions.independent) & (self.lower <= regions.rest)
            values = np.where(small, np.minimum(values, regions.rest), values)
            error = np.where(small, np.minimum(error, regions.rest), error)
        kept = (place < rank.at_most) | (self.lower > 0)
        return replace(self, eigenvalues=values * kept, error=error * kept, rank=rank, regions=regions)

    def because(self, reason: str) -> Self:
        """Return the same spectrum with `reason` as the reason why its method was chosen."""
        return replace(self, reason=reason)

    def to_frame(self) -> DataFrame:
        """Return a pandas data frame with a row for each eigenvalue, and the columns of spectra.csv.

        The column eigenvalue is a number to quote where resolved is True, and zero where zero is. Where both
        are False the eigenvalue lies somewhere in [0, floor], and the computed value is noise.

        Raises:
            NotInstalledError: there is no pandas.

        Example:
            >>> import numpy as np
            >>> s = Spectrum(np.array([4.0, 1e-15]), np.zeros(2), 1e-14, 2, 4.0, "gram", "float64")
            >>> s.to_frame().query("resolved")["eigenvalue"].tolist()
            [4.0]
        """
        return data_frame(spectrum_columns(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the spectrum as plain numbers, texts and lists, as report.json has it; None: not known.

        Example:
            >>> import numpy as np
            >>> s = Spectrum(np.array([4.0, 1e-15]), np.zeros(2), 1e-14, 2, 4.0, "gram", "float64")
            >>> s.to_dict()["resolved"], s.to_dict()["lambda_min"]
            (1, None)
        """
        return spectrum_to_dict(self)
