"""Solver lanczos: the k largest eigenvalues from products K v; see `ntkspec.spectral.krylov`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ntkspec import summation
from ntkspec.errors import UsageError
from ntkspec.kernel.linear_operator import operator_bytes, operator_engine, operator_of
from ntkspec.kernel.problem import Kernel
from ntkspec.machine.memory import require
from ntkspec.spectral.accuracy import FLOAT64, PRODUCT, ErrorModel, magnitude_of, solver_error
from ntkspec.spectral.krylov import largest, takes_whole, vector_bytes
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.solvers.base import Need, Solver, stated_spectrum

LANCZOS_K = 100  # eigenvalues unless `k` says how many


class Lanczos(Solver):
    """A solver that builds Krylov spaces from products K v, until it finds no larger eigenvalue."""

    name = "lanczos"
    vectors = True
    complete = False

    def need(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Need:
        """See `Solver.need`."""
        k = min(LANCZOS_K if k is None else k, kernel.size)
        needed = operator_bytes(kernel) + vector_bytes(kernel.size, k)
        note = f"factors, and vectors for {k} eigenvalues"
        return Need.within(kernel.budget, needed, note, on_host=operator_engine(kernel) is not kernel.backend)

    def errors(self, kernel: Kernel) -> ErrorModel:
        """See `Solver.errors`: those of one product K v; `solve` adds the error of the iteration."""
        magnitude = kernel.fact(magnitude_of)
        rounding = summation.gamma(magnitude.vector_sums + PRODUCT) * magnitude.norm + magnitude.underflow
        stored = magnitude.storing(magnitude.dtype)
        return ErrorModel(solver_error(1, FLOAT64), 0.0, absolute=rounding, stored=stored)

    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum:
        """See `Solver.solve`."""
        product, size = operator_of(kernel), kernel.size
        k = min(LANCZOS_K, size - 1) if k is None else k
        if not 1 <= k < size:
            raise UsageError(
                "method lanczos",
                expected=f"k from 1 to {size - 1}" if size > 1 else "a kernel of two or more rows",
                got=str(k) if size > 1 else "one of one row",
                remedy="use ⟦--method=gram⟧ for all",
            )
        room = kernel.budget - operator_bytes(kernel)
        whole = takes_whole(size, k, room)
        if not whole:
            needed = vector_bytes(size, k)
            require(f"vectors of {k} eigenvalues", needed, room, "raise ⟦--memory⟧ or ask for fewer")
        errors, scale = self.errors(kernel), kernel.trace
        errors = replace(errors, eigenvalue=solver_error(k, FLOAT64))
        if scale == 0:
            return stated_spectrum(self, kernel, np.zeros(k), errors, np.eye(size, k) if vectors else None)
        # ARPACK stops at an absolute accuracy for values below 4e-11, so it is given K / trace(K).
        ritz = largest(product * (1 / scale), k, errors.absolute / scale, whole=whole)
        left = (ritz.residual + ritz.missed) * scale
        errors = replace(errors, absolute=np.sqrt(k) * errors.absolute + left)
        return stated_spectrum(self, kernel, ritz.values * scale, errors, ritz.vectors if vectors else None)


SOLVER = Lanczos()
