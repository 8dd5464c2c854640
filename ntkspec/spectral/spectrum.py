"""Spectrum: eigenvalues together with what is known of their errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Precision
from ntkspec.spectral.rank import Rank

Method = Literal["gram", "svd", "dual", "cholesky", "lanczos"]


@dataclass(frozen=True, repr=False)
class Spectrum:
    """Eigenvalues of a positive semidefinite kernel, largest first, and the floor below which they are noise.

    Only `eigenvalues[:resolved]` are numbers to quote. The rest are what rounding left of values that lie
    somewhere in [0, floor]; they are kept, clipped at zero, so that the array has its full length. Those
    beyond a bound on the rank are zero: with an error of zero where J as stored has that rank, with the floor
    for an error where the network's J has it, whose numbers were rounded when they were stored.
    """

    eigenvalues: NDArray[np.float64]  # (m,) descending, >= 0
    error: NDArray[np.float64]  # (m,) stated absolute error of each
    floor: float  # values at or below are unresolved
    size: int  # N, the kernel's size; m < N where only the largest were asked for
    trace: float  # from the factors, not from the eigenvalues
    method: Method
    precision: Precision
    blocks: tuple[str, ...] = ()
    reason: str = ""  # why this method
    vectors: NDArray[np.float64] | None = None  # (N, m) orthonormal columns, on request
    rank: Rank | None = None  # what is known of the kernel's rank without rounding

    def __repr__(self) -> str:
        smallest = "" if self.lambda_min is None else f", smallest {self.lambda_min:.1e}"
        if self.singular and self.rank:
            smallest = f", exactly singular: rank <= {self.rank.at_most}"
        return (
            f"Spectrum({self.resolved} of {self.size} eigenvalues resolved above {self.floor:.1e}"
            f" by {self.method}, largest {self.eigenvalues[0]:.1e}{smallest})"
        )

    @property
    def complete(self) -> bool:
        """Whether all N eigenvalues are here."""
        return len(self.eigenvalues) == self.size

    @property
    def resolved(self) -> int:
        """How many eigenvalues lie above the floor."""
        return int(np.count_nonzero(self.eigenvalues > self.floor))

    @property
    def singular(self) -> bool:
        """Whether some eigenvalue is exactly zero: the rank is bounded, and no number denies it."""
        return self.rank is not None and not self.rank.refuted and self.rank.at_most < self.size

    @property
    def lambda_max(self) -> float | None:
        """The largest eigenvalue, or None if it is not resolved."""
        return float(self.eigenvalues[0]) if self.resolved else None

    @property
    def lambda_min(self) -> float | None:
        """The smallest of all N eigenvalues, 0 if the kernel is exactly singular; None where not known."""
        if self.singular:
            return 0.0
        if self.complete and self.resolved == self.size:
            return float(self.eigenvalues[-1])
        return None

    @property
    def condition(self) -> float | None:
        """lambda_max / lambda_min, or None where lambda_min is zero or not resolved."""
        if not self.lambda_min or self.lambda_max is None:
            return None
        return self.lambda_max / self.lambda_min

    @property
    def effective_rank(self) -> float | None:
        """exp of the entropy of lambda / sum(lambda) (Roy and Vetterli 2007); None if incomplete."""
        total = float(self.eigenvalues.sum())
        if not self.complete or not total > 0:
            return None
        weights = self.eigenvalues / total
        weights = weights[weights > 0]
        return float(np.exp(-np.sum(weights * np.log(weights))))

    @property
    def stable_rank(self) -> float | None:
        """trace / lambda_max, the stable rank of J: ||J||_F^2 / ||J||_2^2 (Rudelson and Vershynin 2007)."""
        return None if self.lambda_max is None else self.trace / self.lambda_max

    @property
    def lower(self) -> NDArray[np.float64]:
        """What each eigenvalue is at least, within the stated error; (m,)."""
        return np.maximum(self.eigenvalues - self.error, 0.0)

    @property
    def upper(self) -> NDArray[np.float64]:
        """What each eigenvalue is at most, within the stated error; (m,)."""
        return self.eigenvalues + self.error

    def largest(self, k: int) -> Spectrum:
        """The k largest eigenvalues alone."""
        vectors = None if self.vectors is None else self.vectors[:, :k]
        return replace(self, eigenvalues=self.eigenvalues[:k], error=self.error[:k], vectors=vectors)

    def with_rank(self, rank: Rank) -> Spectrum:
        """The same spectrum with zeros beyond the rank; unless it resolves more, which refutes the bound.

        The k largest alone cannot refute what regions say, so it is left out there.
        """
        if rank.of_network and not self.complete:
            return self
        known = replace(self, rank=replace(rank, refuted=self.resolved > rank.at_most))
        if not known.singular:
            return known
        within = np.arange(len(self.eigenvalues)) < rank.at_most
        off = self.floor if rank.of_network else 0.0
        error = np.where(within, self.error, off)
        return replace(known, eigenvalues=self.eigenvalues * within, error=error)

    def because(self, reason: str) -> Spectrum:
        """The same spectrum with the reason for its method."""
        return replace(self, reason=reason)
