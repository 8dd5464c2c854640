"""Stated errors and floors of every route against the true errors, for condition numbers from 1 to 1e30.

Kernels with prescribed spectra, log-spaced; the truth is the spectrum of the Jacobian as stored, by mpmath in
90 digits. Writes the table "floors" of docs/method.md. Run: `python analysis/studies/floor_table.py` (3 min).
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
from numpy.typing import NDArray
from tables import markdown, put

from ntkspec import Block, DenseFactor, Jacobian, spectrum
from ntkspec.spectral import MethodChoice

N, WIDE, NARROW = 24, 36, 16  # rows; columns for gram and svd; columns for dual
SEEDS = 3
CONDITIONS = (0, 5, 10, 15, 20, 25, 30)  # decades of K
ROUTES: tuple[MethodChoice, ...] = ("gram", "svd", "dual")


@dataclass(frozen=True)
class Row:
    """One route at one condition number, the worst of all seeds."""

    resolved: str
    floor: float  # over lambda_max
    true_share: float  # largest true error over stated error, of resolved values
    caution: float  # decades between the floor and the largest error that it guards against


def prescribed(eigenvalues: NDArray[np.float64], p: int, seed: int) -> NDArray[np.float64]:
    """J (N, p) whose kernel has these eigenvalues, up to rounding its entries."""
    rng = np.random.default_rng(seed)
    u = np.linalg.qr(rng.standard_normal((N, N)))[0]
    v = np.linalg.qr(rng.standard_normal((p, min(N, p))))[0]
    scaled: NDArray[np.float64] = (u[:, : v.shape[1]] * np.sqrt(eigenvalues[: v.shape[1]])) @ v.T
    return scaled


def truth(jac: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues of J J^T, descending, from the smaller of both products in 90 digits."""
    with mpmath.workdps(90):
        exact = mpmath.matrix(jac.tolist())
        small = exact * exact.T if jac.shape[0] <= jac.shape[1] else exact.T * exact
        values = sorted((float(value) for value in mpmath.eigsy(small, eigvals_only=True)), reverse=True)
    return np.array(values + [0.0] * (N - len(values)))


def measure(route: MethodChoice, decades: int) -> Row:
    """The worst case of a route over all seeds."""
    resolved, floors, shares, guarded = [], [], [], []
    p = NARROW if route == "dual" else WIDE
    for seed in range(SEEDS):
        jac = prescribed(10.0 ** -np.linspace(0, decades, min(N, p)), p, seed)
        exact = truth(jac)
        block = Block("theta", "network", N, 1, None, DenseFactor(jac[:, None, :]))
        found = spectrum(Jacobian((block,)), method=route)
        off = np.abs(found.eigenvalues - exact)
        top = slice(0, found.resolved)
        resolved.append(found.resolved)
        floors.append(found.floor / found.eigenvalues[0])
        shares.append(float(np.max(off[top] / found.error[top])))
        # Errors of svd are of singular values: what the largest of them does to an eigenvalue at the floor.
        sigma = np.abs(np.sqrt(found.eigenvalues) - np.sqrt(exact)).max()
        at_floor = 2 * np.sqrt(found.floor) * sigma + sigma**2
        guarded.append(float(at_floor if route == "svd" else off.max()) / found.floor)
    low, high = min(resolved), max(resolved)
    count = f"{low}" if low == high else f"{low}-{high}"
    return Row(f"{count} of {N}", max(floors), max(shares), float(-np.log10(max(guarded))))


def main() -> None:
    """Measure, check what docs/method.md claims of the table, and write it."""
    rows = []
    for decades in CONDITIONS:
        for route in ROUTES:
            row = measure(route, decades)
            if not (row.true_share <= 1 and row.caution <= 2):
                raise SystemExit(f"{route} at 1e{decades}: the stated errors do not hold: {row}")
            errors = f"{row.floor:.1e}", f"{row.true_share:.2f}", f"{row.caution:.1f}"
            rows.append([f"1e{decades}, {route}", row.resolved, *errors])
            print(rows[-1], flush=True)
    head = ["condition of K, route", "resolved", "floor / lambda_max"]
    head += ["largest true / stated error", "decades of floor over true error"]
    put("floors", markdown(head, rows))


if __name__ == "__main__":
    main()
