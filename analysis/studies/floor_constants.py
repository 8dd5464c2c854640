"""How large are the errors that docs/method.md puts constants on?

For each prescribed spectrum: largest error of eigenvalues by route gram in units of eps lambda_max sqrt(N),
and of singular values by route svd in units of eps s sqrt(N). The stated errors have 2 (1 + 4 / sqrt(N)) and
1 + 4 / sqrt(N) in their place. Run: `python analysis/studies/floor_constants.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ntkspec import Block, DenseFactor, Jacobian, spectrum

EPS = float(np.finfo(np.float64).eps)


def prescribed(eigenvalues: NDArray[np.float64], p: int, rng: np.random.Generator) -> Jacobian:
    """A plain Jacobian whose kernel has these eigenvalues, up to rounding its entries."""
    n = len(eigenvalues)
    u = np.linalg.qr(rng.standard_normal((n, n)))[0]
    v = np.linalg.qr(rng.standard_normal((p, min(n, p))))[0]
    jac = (u[:, : v.shape[1]] * np.sqrt(eigenvalues[: v.shape[1]])) @ v.T
    return Jacobian((Block("theta", "network", n, 1, None, DenseFactor(jac[:, None, :])),))


def spectra(n: int) -> dict[str, NDArray[np.float64]]:
    """The prescribed spectra, descending."""
    return {
        "12 decades": 10.0 ** -np.linspace(0, 12, n),
        "30 decades": 10.0 ** -np.linspace(0, 30, n),
        "flat": np.ones(n),
        "power law": np.arange(1.0, n + 1) ** -2,
        "spiked": np.r_[1.0, np.full(n - 1, 1e-10)],
    }


def main() -> None:
    """Print one line a case and the largest of each column."""
    rng = np.random.default_rng(0)
    worst = np.zeros(2)
    print(f"{'N':>5} {'p':>5} {'spectrum':12} {'gram':>6} {'svd':>6}")
    for n in (64, 256, 1024):
        for p in (n // 2, n, 4 * n):
            for name, values in spectra(n).items():
                jac = prescribed(values, p, rng)
                meant = np.r_[values[: min(n, p)], np.zeros(n - min(n, p))]
                gram, svd = (spectrum(jac, method=method).eigenvalues for method in ("gram", "svd"))
                unit = EPS * np.sqrt(n)
                errors = np.array(
                    [
                        np.abs(gram - svd).max() / (unit * meant[0]),  # svd is the finer by far: the truth
                        np.abs(np.sqrt(svd) - np.sqrt(meant)).max() / (unit * np.sqrt(meant[0])),
                    ]
                )
                worst = np.maximum(worst, errors)
                print(f"{n:5d} {p:5d} {name:12} {errors[0]:6.2f} {errors[1]:6.2f}")
    print(f"{'largest':>24} {worst[0]:6.2f} {worst[1]:6.2f}")


if __name__ == "__main__":
    main()
