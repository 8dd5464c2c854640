"""Solver dual: eigenvalues of J^T J, p x p for the p parameters with a gradient; all others of K are zero."""

from __future__ import annotations

import numpy as np

from ntkspec import summation
from ntkspec.kernel.panels import column_panels
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import FLOAT64, PRODUCT, ErrorModel, magnitude_of, solver_error
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.solvers.base import (
    Need,
    Solver,
    padded,
    square,
    square_error,
    stated_spectrum,
)


class Dual(Solver):
    """A solver that forms J as a dense matrix: J^T J (p x p) has the nonzero eigenvalues of K = J J^T."""

    name = "dual"

    def need(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Need:
        """See `Solver.need`."""
        size, width = kernel.size, kernel.touched_width
        square_bytes = FLOAT64.itemsize * width**2
        summing = summation.buffers(size) * square_bytes
        beside = max(summing, kernel.backend.eigvalsh_bytes(width, FLOAT64))
        needed = FLOAT64.itemsize * 2 * size * width + square_bytes + beside
        return Need.within(kernel.room, needed, "J and J^T J over the touched parameters")

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`."""
        magnitude = kernel.fact(magnitude_of)
        return ErrorModel(
            eigenvalue=solver_error(max(magnitude.size, kernel.touched_width), FLOAT64),
            singular=0.0,
            absolute=square_error(magnitude.size, magnitude.norm) + magnitude.underflow,
            stored=magnitude.storing(magnitude.dtype, products=PRODUCT),
        )

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum:
        """See `Solver.solve`."""
        width, engine = kernel.touched_width, kernel.backend
        needed = self.need(kernel).needed
        kernel.require(f"J^T J of {width} touched parameters", needed, "or use ⟦--method=gram⟧ or svd")
        errors = self.errors(kernel)
        if not width:  # parameters without numbers
            return stated_spectrum(self, kernel, padded(np.empty(0), kernel.size), errors)
        jac = engine.xp.concatenate(list(column_panels(kernel, width)), axis=1)
        values = engine.eigvalsh(square(jac.T))[::-1][: kernel.size]
        return stated_spectrum(self, kernel, padded(values, kernel.size), errors)


SOLVER = Dual()
