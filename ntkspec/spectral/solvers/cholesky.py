"""Solver cholesky: all eigenvalues above the floor, from some rows of a kernel of low numerical rank."""

from __future__ import annotations

from dataclasses import replace

from ntkspec import summation
from ntkspec.kernel.low_rank import factorise, largest_rank
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import FLOAT64, ErrorModel, gram_errors, magnitude_of, norm_bound
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.solvers.base import (
    Need,
    Solver,
    padded,
    square,
    square_error,
    stated_spectrum,
)


class Cholesky(Solver):
    """A solver that factorises K = M^T M + rest by pivoted Cholesky and returns the eigenvalues of M M^T.

    They are off by at most the trace of the rest.
    """

    name = "cholesky"
    declines = (
        "a kernel whose numerical rank is below half its size, and memory for that many rows",
        "one with more to resolve, a rest that falls slowly or is lost, or all zeros, or too little memory",
    )

    def need(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Need:
        """See `Solver.need`; the memory is that of the largest rank for which the solver is tried."""
        rank = _most(kernel)
        rank = rank if rank > 0 else kernel.size // 2
        needed = rank_bytes(kernel, rank)
        return Need.within(kernel.room, needed, f"{rank} rows of the kernel at most")

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`: those of forming K; `solve` adds that of the factorisation."""
        return gram_errors(kernel.fact(magnitude_of), FLOAT64)

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum | None:
        """See `Solver.solve`; None where more than half of the eigenvalues are above the floor.

        The errors are those of forming K and of the factorisation (Higham 2002, theorem 10.3), and the trace
        of the rest.
        """
        errors, most = self.errors(kernel), _most(kernel)
        if most <= 0:
            return None
        low_rank = factorise(kernel, errors.floor, most, kernel.fact(magnitude_of).entry_sums)
        if low_rank is None:
            return None
        norm = norm_bound(low_rank.rows, kernel.backend)
        lost = summation.gamma(low_rank.roundings) * norm + square_error(kernel.size, norm) + low_rank.rest
        values = kernel.backend.eigvalsh(square(low_rank.rows))[::-1]
        errors = replace(errors, absolute=errors.absolute + lost)
        return stated_spectrum(self, kernel, padded(values, kernel.size), errors)


def _most(kernel: Kernel) -> int:
    """Return the largest rank that fits in memory and at which no other solver is as fast."""
    return largest_rank(kernel.size, kernel.repeat, kernel.room - rank_bytes(kernel, 0))


def rank_bytes(kernel: Kernel, rank: int) -> int:
    """Return the bytes of memory that this solver takes for a kernel of N rows and this numerical rank."""
    stored = 3 * kernel.rows.nbytes * FLOAT64.itemsize // kernel.rows.dtype.itemsize
    squares = (1 + summation.buffers(kernel.size)) * rank**2
    return int(FLOAT64.itemsize * (rank * kernel.size + squares) + stored)


SOLVER = Cholesky()
