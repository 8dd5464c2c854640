"""Solver svd: squared singular values of J, through its triangular factor."""

from __future__ import annotations

from ntkspec.kernel.panels import folds, triangle_bytes, triangular_factor
from ntkspec.kernel.problem import Kernel
from ntkspec.memory import require
from ntkspec.spectral.accuracy import ErrorModel, magnitude_of, svd_errors
from ntkspec.spectral.eigenvalues import Method, Spectrum
from ntkspec.spectral.solvers.protocol import Need, Promises, Solver, stated


class Svd(Promises):
    """J^T is folded into R, panel by panel, and R's singular values are those of J."""

    name: Method = "svd"
    vectors = True

    def need(self, kernel: Kernel, k: int | None = None) -> Need:
        """See `Solver.need`."""
        largest = max(block.nbytes for block in kernel.rows)
        note = f"a triangle of {kernel.size} rows and panels of J"
        needed = triangle_bytes(kernel.size) + 3 * largest
        return Need.within(kernel.room, needed, note)

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`."""
        return svd_errors(kernel.fact(magnitude_of), folds(kernel))

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum:
        """See `Solver.solve`."""
        remedy = "raise --memory or use --method gram"
        require("svd of the Jacobian", self.need(kernel).needed, kernel.room, remedy)
        errors, columns = self.errors(kernel), None
        triangle = triangular_factor(kernel)
        if vectors:
            values, columns = kernel.backend.svd_right(triangle)
        else:
            values = kernel.backend.singular_values(triangle)
        return stated(self, kernel, values**2, errors, columns)


SOLVER: Solver = Svd()
