"""What a random reflection saves LAPACK's two-stage solver where a kernel has a pattern of equal numbers.

    python analysis/studies/patterns.py

Prints the largest error over the largest eigenvalue, in eps, without the reflection and with it.
"""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import two_stage
from ntkspec.spectral.accuracy import solver_error

EPS = float(np.finfo(np.float64).eps)
SIZES = (1024, 4096)


def patterns(n: int) -> dict[str, NDArray[np.float64]]:
    """Return matrices (n, n) of two numbers each, n a power of two, so that their eigenvalues are exact."""
    return {"0.25 I plus a constant": 0.25 * np.eye(n) + 0.75 / n, "a constant": np.full((n, n), 1 / n)}


def error(matrix: NDArray[np.float64]) -> float:
    """Return the largest error over the largest eigenvalue, in eps."""
    n, diagonal, beside = len(matrix), float(matrix[0, 0]), float(matrix[0, 1])
    exact = np.append(np.full(n - 1, diagonal - beside), diagonal + (n - 1) * beside)
    return float(np.abs(two_stage.eigvalsh(matrix.copy()) - exact).max() / exact.max()) / EPS


def main() -> None:
    """Print a line for each pattern and size."""
    for n in SIZES:
        for name, matrix in patterns(n).items():
            with patch.object(two_stage, "mix", lambda matrix, xp: None):
                without = error(matrix)
            stated = solver_error(n, np.dtype(np.float64)) / EPS
            print(
                f"{name}, n = {n}: {without:.0f} eps without, {error(matrix):.0f} with; stated {stated:.0f}"
            )


if __name__ == "__main__":
    main()
