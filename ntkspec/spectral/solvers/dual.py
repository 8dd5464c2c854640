"""Solver dual: eigenvalues of J^T J over the touched parameters; the rest of the N are zero."""

from __future__ import annotations

from ntkspec import summation
from ntkspec.kernel.panels import column_panels
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import FLOAT64, PRODUCT, ErrorModel, magnitude_of, solver_error
from ntkspec.spectral.eigenvalues import Method, Spectrum
from ntkspec.spectral.solvers.protocol import Need, Promises, Solver, padded, square, square_error, stated


class Dual(Promises):
    """J is written out, and J^T J (p x p) has its nonzero eigenvalues."""

    name: Method = "dual"

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
        known = kernel.fact(magnitude_of)
        return ErrorModel(
            eigenvalue=solver_error(max(known.size, kernel.touched_width), FLOAT64),
            singular=0.0,
            absolute=square_error(known.size, known.norm) + known.underflow,
            stored=known.storing(known.dtype, products=PRODUCT),
        )

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum:
        """See `Solver.solve`."""
        width, engine = kernel.touched_width, kernel.backend
        what = f"J^T J of {width} touched parameters"
        kernel.require(what, self.need(kernel).needed, "or use --method gram or svd")
        errors = self.errors(kernel)
        jac = engine.xp.concatenate(list(column_panels(kernel, width)), axis=1)
        values = engine.eigvalsh(square(jac.T))[::-1][: kernel.size]
        return stated(self, kernel, padded(values, kernel.size), errors)


SOLVER: Solver = Dual()
