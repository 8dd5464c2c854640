"""`Eigenvalues`: what a spectrum knows of a kernel, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.counts import whole_number
from ntkspec.backend import Precision
from ntkspec.spectral.rank import Rank
from ntkspec.spectral.regions import Regions

# The solvers, each a file of `ntkspec.spectral.solvers`, in the order in which plans and help name them.
Method = Literal["gram", "svd", "dual", "cholesky", "lanczos"]


@dataclass(frozen=True, repr=False, eq=False)
class Eigenvalues:
    """The numbers of a `Spectrum`, which adds how they are shown and written."""

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
