"""What only measuring tells of a network: products that Lanczos takes, and growth of the numerical rank."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ntkspec.jacobian import Jacobian
from ntkspec.kernel.linear_operator import operator_of
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.value_range import check_range
from ntkspec.spectral.accuracy import magnitude_of
from ntkspec.spectral.krylov import largest
from ntkspec.spectral.rank import rank_of
from ntkspec.spectral.regions import regions_of
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.solvers.lanczos import LANCZOS_K
from scaling.constants import MEMORY, median_s
from scaling.routes import Habits


def habits_of(jacobian: Jacobian, ranks: Mapping[int, int]) -> Habits:
    """Time the facts, count the products of a Lanczos iteration, and fit a power to two numerical ranks.

    Args:
        jacobian: of some samples of the network.
        ranks: samples -> eigenvalues above the floor.
    """
    (few, low), (many, high) = sorted(ranks.items())
    growth = math.log(high / low) / math.log(many / few)
    return Habits(facts_s(jacobian), products(jacobian), many, high, growth)


def facts_s(jacobian: Jacobian) -> float:
    """Return the seconds a sample of what `ntkspec.spectrum` finds besides eigenvalues."""

    def find(kernel: Kernel) -> None:
        check_range(kernel)
        for fact in (magnitude_of, rank_of, regions_of):
            kernel.fact(fact)

    return median_s(find, lambda: (_kernel(jacobian),)) / jacobian.samples


def products(jacobian: Jacobian) -> int:
    """Count the products K v that the route lanczos takes for `LANCZOS_K` eigenvalues."""
    kernel = _kernel(jacobian)
    product, scale, columns = operator_of(kernel), kernel.trace, 0

    def apply(vectors: Any) -> Any:
        nonlocal columns
        columns += 1 if vectors.ndim == 1 else vectors.shape[1]
        return (product @ vectors) / scale

    counted = LinearOperator(kernel.shape, matvec=apply, matmat=apply, dtype=np.dtype(np.float64))
    largest(counted, LANCZOS_K, SOLVERS["lanczos"].errors(kernel).absolute / scale)
    return columns


def _kernel(jacobian: Jacobian) -> Kernel:
    return Kernel.from_jacobian(jacobian, backend="cpu", memory=MEMORY)
