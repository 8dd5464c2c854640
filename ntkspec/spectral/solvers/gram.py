"""Solver gram: all eigenvalues of the formed kernel."""

from __future__ import annotations

from ntkspec.backend import Precision
from ntkspec.errors import MemoryBudgetError
from ntkspec.kernel.dense import Assembly, least_bytes
from ntkspec.kernel.problem import Kernel
from ntkspec.memory import format_bytes, require
from ntkspec.spectral.accuracy import ErrorModel, gram_errors, magnitude_of
from ntkspec.spectral.eigenvalues import Method, Spectrum
from ntkspec.spectral.solvers.protocol import Need, Solver, stated

VECTORS = 4  # kernels that a solver of eigenvectors takes


class Gram:
    """K is formed, and a symmetric eigenvalue solver destroys it."""

    name: Method = "gram"
    vectors = True
    complete = True
    precisions: tuple[Precision, ...] = ("float64", "float32")
    declines = ("", "")

    def need(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Need:
        """See `Solver.need`."""
        note, samples = f"the kernel {format_bytes(kernel.nbytes)}", kernel.rows.samples
        solving = VECTORS * kernel.nbytes if vectors else 0
        try:
            plan = Assembly.of(kernel)
        except MemoryBudgetError:
            return Need(max(least_bytes(kernel, kernel.nbytes), solving), note, fits=False)
        needed, held = max(plan.needed, solving), plan.tiling.panel
        note = f"{note}, factors of {held} of {samples} samples at a time"
        return Need(needed, note, fits=needed <= kernel.budget)

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`."""
        return gram_errors(kernel.fact(magnitude_of), kernel.dtype)

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum:
        """See `Solver.solve`; eigenvectors take four kernels."""
        if vectors:
            remedy = "raise --memory, or use method lanczos"
            require("eigenvectors", VECTORS * kernel.nbytes, kernel.budget, remedy)
        formed, backend = Assembly.of(kernel).assemble()["total"], kernel.backend
        columns = None
        if vectors:
            values, found = backend.eigh(formed)
            columns = found[:, ::-1]
        else:
            values = backend.eigvalsh(formed)
        return stated(self, kernel, values[::-1], self.errors(kernel), columns, precision=kernel.precision)


SOLVER: Solver = Gram()
