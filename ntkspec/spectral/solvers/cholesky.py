"""Solver cholesky: all that is above the floor, from some rows of a kernel of low numerical rank."""

from __future__ import annotations

from dataclasses import replace

from ntkspec import sums
from ntkspec.backend import Precision
from ntkspec.kernel.low_rank import factorise, largest_rank
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import ErrorModel, gram_errors, measured, norm_bound
from ntkspec.spectral.eigenvalues import Method, Spectrum
from ntkspec.spectral.solvers.protocol import FLOAT64, Need, Solver, padded, square, square_error, stated


class Cholesky:
    """K = M^T M + rest from pivoted rows; the eigenvalues are those of M M^T, to within the rest's trace."""

    name: Method = "cholesky"
    vectors = False
    complete = True
    precisions: tuple[Precision, ...] = ("float64",)

    def need(self, kernel: Kernel, k: int | None = None) -> Need:
        """See `Solver.need`; the rank is the largest for which it is tried."""
        rank = _most(kernel)
        rank = rank if rank > 0 else kernel.size // 2
        return Need(_bytes(kernel, rank), f"{rank} rows of the kernel at most")

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`: those of forming K, to which the factorisation's come."""
        return gram_errors(kernel.fact(measured), FLOAT64)

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum | None:
        """See `Solver.solve`; None where more than half of the eigenvalues are above the floor.

        To the error of forming K comes that of the factorisation (Higham 2002, theorem 10.3), and the trace
        of what is left out.
        """
        errors, most = self.errors(kernel), _most(kernel)
        if most <= 0:
            return None
        found = factorise(kernel, errors.floor, most, kernel.fact(measured).entry_sums)
        if found is None:
            return None
        norm = norm_bound(found.rows, kernel.backend)
        lost = sums.gamma(found.roundings) * norm + square_error(kernel.size, norm) + found.rest
        values = kernel.backend.eigvalsh(square(found.rows))[::-1]
        errors = replace(errors, absolute=errors.absolute + lost)
        return stated(self, kernel, padded(values, kernel.size), errors)


def _most(kernel: Kernel) -> int:
    """The largest rank for which the budget has room and which is still worth it."""
    return largest_rank(kernel.size, kernel.repeat, kernel.budget - _bytes(kernel, 0))


def _bytes(kernel: Kernel, rank: int) -> int:
    """What a kernel of this numerical rank takes."""
    stored = 3 * kernel.rows.nbytes * FLOAT64.itemsize // kernel.rows.dtype.itemsize
    squares = (1 + sums.buffers(kernel.size)) * rank**2
    return int(FLOAT64.itemsize * (rank * kernel.size + squares) + stored)


SOLVER: Solver = Cholesky()
