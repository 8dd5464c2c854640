"""Solvers: five routes from a kernel to its spectrum, one file each; each states its own errors.

| solver   | works on              | resolves down to about | memory                |
| -------- | --------------------- | ---------------------- | --------------------- |
| gram     | K = J J^T, N x N      | eps lambda_max         | N^2 + factors         |
| svd      | R of J^T = Q R        | eps^2 lambda_max       | 3 N^2 + factors       |
| dual     | J^T J, p x p          | eps lambda_max         | 2 N p + p^2           |
| cholesky | r rows of K, if r < N | eps lambda_max         | N r + r^2 + factors   |
| lanczos  | K v, never assembled  | the largest k          | N k + factors         |

To add a solver, add a file here that defines `SOLVER`, and its name to `ntkspec.spectral.eigenvalues.Method`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import get_args

from ntkspec.spectral.record import Method
from ntkspec.spectral.solvers.base import Need, Solver

SOLVERS: Mapping[Method, Solver] = {
    name: import_module(f"{__name__}.{name}").SOLVER for name in get_args(Method)
}

__all__ = ["SOLVERS", "Need", "Solver"]
