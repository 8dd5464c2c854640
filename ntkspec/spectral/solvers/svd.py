"""Solver svd: squared singular values of J, through its triangular factor."""

from __future__ import annotations

from ntkspec.kernel.panels import factor_bytes, folds, panel_width, triangle_bytes, triangular_factor
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import FLOAT64, ErrorModel, magnitude_of, svd_errors
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.solvers.base import Need, Solver, stated_spectrum


class Svd(Solver):
    """A solver that folds J^T into a triangle R, panel by panel: the singular values of R are those of J."""

    name = "svd"
    vectors = True

    def need(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Need:
        """See `Solver.need`."""
        size, columns, backend = kernel.size, kernel.fact(panel_width), kernel.backend
        beside = backend.svd_right_bytes(size) if vectors else backend.singular_values_bytes(size)
        solving = FLOAT64.itemsize * size**2 + beside
        needed = max(triangle_bytes(kernel), solving) + factor_bytes(kernel)
        note = f"a triangle of {size} rows and panels of {columns} columns of J"
        return Need.within(kernel.room, needed, note)

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`."""
        fold_sums = kernel.backend.fold_sums(kernel.size, kernel.fact(panel_width))
        return svd_errors(kernel.fact(magnitude_of), folds(kernel), fold_sums)

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum:
        """See `Solver.solve`."""
        need = self.need(kernel, vectors=vectors)
        kernel.require("svd of the Jacobian", need.needed, "or use ⟦--method=gram⟧")
        errors, columns = self.errors(kernel), None
        triangle = triangular_factor(kernel)
        if vectors:
            values, columns = kernel.backend.svd_right(triangle)
        else:
            values = kernel.backend.singular_values(triangle)
        return stated_spectrum(self, kernel, values**2, errors, columns)


SOLVER = Svd()
