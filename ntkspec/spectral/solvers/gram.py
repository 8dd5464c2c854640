"""Solver gram: all eigenvalues of the kernel as a matrix."""

from __future__ import annotations

from ntkspec.errors import MemoryBudgetError
from ntkspec.kernel.assembly import Assembly, Beside, least_bytes
from ntkspec.kernel.problem import Kernel
from ntkspec.machine.memory import format_bytes
from ntkspec.spectral.accuracy import ErrorModel, gram_errors, magnitude_of
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.solvers.base import Need, Solver, stated_spectrum


class Gram(Solver):
    """A solver that forms K and gives it to a symmetric eigenvalue solver, which overwrites it."""

    name = "gram"
    vectors = True
    precisions = ("float64", "float32")

    def need(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Need:
        """See `Solver.need`."""
        note, solving = f"the kernel {format_bytes(kernel.nbytes)}", _solving(kernel, vectors)
        try:
            plan = Assembly.from_kernel(kernel, beside=solving)
        except MemoryBudgetError:
            beside = max(least_bytes(kernel, 0), solving(kernel.backend))
            return Need(kernel.nbytes + beside, note, fits=False)
        factors = f"factors of {plan.tiling.panel} of {kernel.rows.samples} samples at a time"
        return Need(plan.needed, f"{note}, {factors}", fits=True, on_host=plan.on_host)

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`."""
        return gram_errors(kernel.fact(magnitude_of), kernel.dtype)

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum:
        """See `Solver.solve`."""
        errors, backend, columns = self.errors(kernel), kernel.backend, None
        matrix = Assembly.from_kernel(kernel, beside=_solving(kernel, vectors)).assemble()["total"]
        if vectors:
            values, eigenvectors = backend.eigh(matrix)
            columns = eigenvectors[:, ::-1]
        else:
            values = backend.eigvalsh(matrix)
        return stated_spectrum(self, kernel, values[::-1], errors, columns, precision=kernel.precision)


def _solving(kernel: Kernel, vectors: bool) -> Beside:
    """Return a function of a backend: the bytes beside the kernel that eigenvalues or eigenvectors take."""
    if vectors:
        return lambda backend: backend.eigh_bytes(kernel.size, kernel.dtype)
    return lambda backend: backend.eigvalsh_bytes(kernel.size, kernel.dtype)


SOLVER = Gram()
