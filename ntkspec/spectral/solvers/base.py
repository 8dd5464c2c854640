"""The interface of the solvers for a kernel's spectrum; each solver is one file of this folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ntkspec import summation
from ntkspec.backend import Array, Precision
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.accuracy import ErrorModel, magnitude_of
from ntkspec.spectral.record import Method, Spectrum


@dataclass(frozen=True)
class Need:
    """The memory that a solver needs at its peak."""

    needed: int  # bytes
    note: str  # what takes most of it, in words
    fits: bool  # whether there is room for it
    on_host: bool = False  # whether the memory is the host's although the backend is a device

    @classmethod
    def within(cls, room: int, needed: int, note: str, *, on_host: bool = False) -> Need:
        """Compare a need with the room for it, both in bytes."""
        return cls(needed, note, needed <= room, on_host)


class Solver(ABC):
    """A route from a kernel to its spectrum: of all kernels, unless its attributes say less."""

    name: Method
    vectors = False  # whether it gives eigenvectors
    complete = True  # whether it finds all eigenvalues, not only the largest
    precisions: tuple[Precision, ...] = ("float64",)  # that it can work in
    declines = ("", "")  # which kernels it is for, and which not; "" if for all

    @abstractmethod
    def need(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Need:
        """Estimate the memory that the solver needs, before anything is allocated.

        Args:
            kernel: whose eigenvalues are asked for.
            k: how many of the largest ones; None: all, or as many as the solver gives.
            vectors: whether eigenvectors are asked for, too, of a solver that gives them.
        """

    @abstractmethod
    def errors(self, kernel: Kernel) -> ErrorModel:
        """State the errors that are known before the solver runs."""

    @abstractmethod
    def solve(self, kernel: Kernel, k: int | None = None, *, vectors: bool = False) -> Spectrum | None:
        """Find the spectrum; None for a kernel that the solver declines.

        Raises:
            MemoryBudgetError: the solver needs more memory than the kernel's budget.
        """


def stated_spectrum(
    solver: Solver,
    kernel: Kernel,
    values: NDArray[np.float64],
    errors: ErrorModel,
    vectors: NDArray[np.float64] | None = None,
    *,
    precision: Precision = "float64",
) -> Spectrum:
    """Make a spectrum of a solver's eigenvalues (m,), descending, with their stated errors.

    Args:
        solver: the one that found them.
        kernel: whose eigenvalues they are.
        values: as computed; negative ones, which rounding can cause, become 0.
        errors: of the solver, for this kernel.
        vectors: (N, m) orthonormal columns, if they were asked for.
        precision: in which they were computed.
    """
    values = np.maximum(values, 0.0)  # the kernel is positive semidefinite
    magnitude, lambda_max = kernel.fact(magnitude_of), float(values[0])
    return Spectrum(
        eigenvalues=values,
        error=errors.error(values, lambda_max),
        floor=errors.floor(lambda_max),
        size=magnitude.size,
        trace=magnitude.trace,
        trace_error=magnitude.trace_error,
        method=solver.name,
        precision=precision,
        blocks=kernel.rows.names,
        vectors=vectors,
    )


def padded(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Append zeros for the eigenvalues that were not computed, all below the floor."""
    return np.concatenate([values, np.zeros(size - len(values))])


def square(rows: Array) -> Array:
    """Return M M^T (r, r) for a matrix M (r, N) of a backend; sums over N are taken in panels."""
    cut = summation.panels(rows.shape[1])
    return summation.pairwise(len(cut), lambda i, _: rows[:, cut[i]] @ rows[:, cut[i]].T)


def square_error(length: int, norm: float) -> float:
    """Bound the error of `square(M)`, M of `length` columns; `norm` is a bound on || |M| |M|^T ||."""
    return summation.gamma(summation.roundings(length)) * norm
