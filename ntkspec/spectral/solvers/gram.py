"""Solver gram: all eigenvalues of the formed kernel."""

from __future__ import annotations

from ntkspec.backend import Precision
from ntkspec.errors import MemoryBudgetError
from ntkspec.kernel.dense import Assembly, least_bytes
from ntkspec.kernel.problem import Kernel
from ntkspec.memory import format_bytes, require
from ntkspec.spectral.accuracy import ErrorModel, gram_errors, magnitude_of
from ntkspec.spectral.eigenvalues import Method, Spectrum
from ntkspec.spectral.solvers.protocol import Need, Promises, Solver, stated

VECTORS = 4  # kernels that a solver of eigenvectors takes


class Gram(Promises):
    """K is formed, and a symmetric eigenvalue solver destroys it."""

    name: Method = "gram"
    vectors = True
    precisions: tuple[Precision, ...] = ("float64", "float32")

    def need(self, kernel: Kernel, k: int | None = None) -> Need:
        """See `Solver.need`."""
        note = f"the kernel {format_bytes(kernel.nbytes)}"
        try:
            plan = Assembly.of(kernel)
        except MemoryBudgetError:
            return Need(least_bytes(kernel, kernel.nbytes), note, fits=False)
        held = f"factors of {plan.tiling.panel} of {kernel.rows.samples} samples at a time"
        return Need(plan.needed, f"{note}, {held}", fits=True)

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`."""
        return gram_errors(kernel.fact(magnitude_of), kernel.dtype)

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum:
        """See `Solver.solve`; eigenvectors take four kernels."""
        if vectors:
            remedy = "raise --memory, or use method lanczos"
            require("eigenvectors", VECTORS * kernel.nbytes, kernel.budget, remedy)
        errors, backend, columns = self.errors(kernel), kernel.backend, None
        formed = Assembly.of(kernel).assemble()["total"]
        if vectors:
            values, found = backend.eigh(formed)
            columns = found[:, ::-1]
        else:
            values = backend.eigvalsh(formed)
        return stated(self, kernel, values[::-1], errors, columns, precision=kernel.precision)


SOLVER: Solver = Gram()
